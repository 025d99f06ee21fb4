//! What people say: messages as every server keeps them, in memory and bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::change::Change;
use crate::engine::merge::{Origin, Vector};
use crate::wire::fold::Folded;
use crate::wire::names::{ChannelName, Nick, UserId};

/// One message; it explains itself when its sender is long gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub verb: Verb,
    pub sender: UserId,
    /// `nick!user@host` as it was then.
    pub source: String,
    pub account: Option<String>,
    pub target: Target,
    pub text: String,
    /// Client-only tags, with their `+`.
    pub tags: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Privmsg,
    Notice,
    Tagmsg,
}

impl Verb {
    pub const ALL: [Verb; 3] = [Verb::Privmsg, Verb::Notice, Verb::Tagmsg];

    pub fn name(self) -> &'static str {
        match self {
            Verb::Privmsg => "PRIVMSG",
            Verb::Notice => "NOTICE",
            Verb::Tagmsg => "TAGMSG",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A channel, or those on it with at least this status.
    Channel { name: ChannelName, least: Option<char> },
    User { user: UserId, nick: Nick },
}

impl Target {
    pub fn channel(&self) -> Option<Folded> {
        match self {
            Target::Channel { name, .. } => Some(name.folded()),
            Target::User { .. } => None,
        }
    }
}

/// How many messages of one origin are kept in memory for servers that missed them.
pub const KEPT_PER_ORIGIN: usize = 10_000;

/// All messages heard, by origin.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    seen: Vector,
    kept: BTreeMap<Origin, VecDeque<Arc<Change>>>,
}

impl Talk {
    pub fn seen(&self) -> &Vector {
        &self.seen
    }

    /// The oldest message of this origin that is still here; one past the tip where none is.
    pub fn floor(&self, origin: Origin) -> u64 {
        let oldest = self.kept.get(&origin).and_then(|kept| kept.front());
        oldest.map_or(self.seen.tip(origin) + 1, |change| change.dot.seq)
    }

    pub(super) fn take(&mut self, change: Arc<Change>) {
        assert!(self.seen.is_next(change.dot), "the caller takes events in sequence only");
        self.seen.raise(change.dot.origin, change.dot.seq);
        let kept = self.kept.entry(change.dot.origin).or_default();
        kept.push_back(change);
        if kept.len() > KEPT_PER_ORIGIN {
            kept.pop_front();
        }
    }

    /// Messages of this origin up to `tip` are nowhere to be had any more.
    pub fn skip(&mut self, origin: Origin, tip: u64) {
        if tip > self.seen.tip(origin) {
            self.kept.remove(&origin);
            self.seen.raise(origin, tip);
        }
    }

    /// What is here of an origin's messages from `first` to `last`, oldest first.
    pub fn range(&self, origin: Origin, first: u64, last: u64) -> impl Iterator<Item = &Arc<Change>> {
        let kept = self.kept.get(&origin).into_iter().flatten();
        kept.skip_while(move |change| change.dot.seq < first).take_while(move |change| change.dot.seq <= last)
    }
}
