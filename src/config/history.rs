//! `[history]`: whether what people say is kept for those who come later, and for how long.

use std::time::Duration;

use super::fit;
use super::section::Section;

/// `[history]`
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub enabled: bool,
    /// How long messages are kept.
    pub keep: Duration,
    /// How many are kept, and how many bytes the store may take for them; 0 is any number.
    pub keep_messages: u64,
    pub keep_bytes: u64,
    pub ack: Ack,
    /// Whether it is kept as well who came and went, who was called otherwise, and what was set.
    pub events: bool,
    /// How many messages a client may have at once.
    pub most_at_once: usize,
    /// How many messages are shown to those who come to a channel with a client that cannot ask for them.
    pub replay_on_join: usize,
    /// Whether those who come to a channel may read what was said before.
    pub newcomers_see_all: bool,
}

/// When somebody is told that what they said has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// As it is said to others.
    Memory,
    /// When it is on disk here.
    Disk,
}

impl Default for History {
    fn default() -> History {
        History {
            enabled: true,
            keep: Duration::from_secs(365 * 86_400),
            keep_messages: 10_000_000,
            keep_bytes: 0,
            ack: Ack::Memory,
            events: true,
            most_at_once: 100,
            replay_on_join: 20,
            newcomers_see_all: true,
        }
    }
}

const ACKS: [(&str, Ack); 2] = [("memory", Ack::Memory), ("disk", Ack::Disk)];

impl Section<'_, '_, '_> {
    pub(super) fn history(&mut self) {
        let mut history = std::mem::take(&mut self.reader.reading.config.history);
        self.flag("enabled", &mut history.enabled);
        self.duration("keep", &mut history.keep);
        self.number("keep_messages", &mut history.keep_messages, 0, i64::MAX as u64);
        self.number("keep_bytes", &mut history.keep_bytes, 0, i64::MAX as u64);
        let mut ack = String::new();
        self.text("ack", &mut ack, |text| fit::one_of(text, &ACKS.map(|(name, _)| name)));
        if let Some((_, which)) = ACKS.iter().find(|(name, _)| *name == ack) {
            history.ack = *which;
        }
        self.flag("events", &mut history.events);
        self.number("most_at_once", &mut history.most_at_once, 10, 1_000);
        self.number("replay_on_join", &mut history.replay_on_join, 0, 200);
        self.flag("newcomers_see_all", &mut history.newcomers_see_all);
        self.reader.reading.config.history = history;
    }
}
