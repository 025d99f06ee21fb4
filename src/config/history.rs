//! `[history]`: whether what people say is kept for those who come later.

use super::section::Section;

/// `[history]`
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub enabled: bool,
    /// How many messages a client may have at once.
    pub most_at_once: usize,
    /// How many messages are shown to those who come to a channel with a client that cannot ask for them.
    pub replay_on_join: usize,
    /// Whether those who come to a channel may read what was said before.
    pub newcomers_see_all: bool,
}

impl Default for History {
    fn default() -> History {
        History { enabled: true, most_at_once: 100, replay_on_join: 20, newcomers_see_all: true }
    }
}

impl Section<'_, '_, '_> {
    pub(super) fn history(&mut self) {
        let mut history = std::mem::take(&mut self.reader.reading.config.history);
        self.flag("enabled", &mut history.enabled);
        self.number("most_at_once", &mut history.most_at_once, 10, 1_000);
        self.number("replay_on_join", &mut history.replay_on_join, 0, 200);
        self.flag("newcomers_see_all", &mut history.newcomers_see_all);
        self.without_effect(&["keep", "keep_messages"]);
        self.reader.reading.config.history = history;
    }
}
