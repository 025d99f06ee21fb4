//! What people say: messages as every server keeps them, in memory and bounded.

use std::sync::Arc;

use super::account::AccountId;
use super::change::{Change, Edit};
use super::log::Log;
use super::redaction::Redacted;
use crate::engine::merge::{Dot, Origin, Vector};
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
    /// Where it is for a person: the accounts of who said it and whom it is for, as far as they have any.
    pub between: Between,
    /// Of a message of several lines the whole, with line breaks.
    pub text: String,
    /// Where in the text a line of the writer's ended that the next goes on with; rising.
    pub joints: Vec<usize>,
    /// Client-only tags, with their `+`.
    pub tags: Vec<(String, String)>,
    /// Said on a channel where not everybody could have come.
    pub is_closed: bool,
    /// It was taken back, and has no words any more.
    pub is_blank: bool,
}

/// The accounts of who said something to somebody, and of whom it was for.
pub type Between = (Option<AccountId>, Option<AccountId>);

/// What the name of somebody on another network has in it, and no nick here.
pub const RELAY_SEPARATOR: char = '/';

impl Message {
    /// Who relays it, where somebody on another network has said it: stands where the user name of others does.
    pub fn relayer(&self) -> Option<&str> {
        let (name, rest) = self.source.split_once('!')?;
        let relayer = rest.split('@').next();
        relayer.filter(|_| name.contains(RELAY_SEPARATOR))
    }
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
    Channel {
        name: ChannelName,
        least: Option<char>,
    },
    User {
        user: UserId,
        nick: Nick,
    },
}

/// All messages heard, by origin.
#[derive(Clone, Debug)]
pub struct Talk {
    seen: Vector,
    log: Log,
    redacted: Redacted,
}

impl Talk {
    pub fn new(kept_per_origin: usize) -> Talk {
        Talk { seen: Vector::default(), log: Log::new(kept_per_origin), redacted: Redacted::default() }
    }

    /// What was on disk: how far each origin had been heard, the latest of it, and what was taken back before it came.
    pub fn restored(
        kept_per_origin: usize,
        seen: Vector,
        recent: Vec<Arc<Change>>,
        taken_back: Vec<Dot>,
    ) -> Talk {
        let mut talk = Talk { seen, ..Talk::new(kept_per_origin) };
        taken_back.into_iter().for_each(|message| talk.redacted.add(message));
        for change in recent {
            match &change.edit {
                Edit::Message(message) if message.is_blank => talk.redacted.add(change.dot),
                Edit::Redact(redaction) if change.edit.is_rightful(change.dot.origin.server) => {
                    talk.redacted.add(redaction.message);
                }
                _ => {}
            }
            if talk.seen.covers(change.dot) {
                talk.log.push(change);
            }
        }
        talk
    }

    pub fn seen(&self) -> &Vector {
        &self.seen
    }

    /// The oldest message of this origin that is still here; one past the tip where none is.
    pub fn floor(&self, origin: Origin) -> u64 {
        self.log.floor(origin).unwrap_or(self.seen.tip(origin) + 1)
    }

    pub(super) fn take(&mut self, change: Arc<Change>) {
        assert!(self.seen.is_next(change.dot), "the caller takes events in sequence only");
        self.seen.raise(change.dot.origin, change.dot.seq);
        self.log.push(change);
    }

    /// Messages of this origin up to `tip` are nowhere to be had any more.
    pub(super) fn skip(&mut self, origin: Origin, tip: u64) {
        if tip > self.seen.tip(origin) {
            self.log.clear(origin);
            self.seen.raise(origin, tip);
        }
    }

    /// An origin used its numbers twice: nothing of it counts.
    pub fn forget(&mut self, origin: Origin) {
        self.log.clear(origin);
        self.seen.set(origin, 0);
    }

    pub(super) fn keep(&mut self, per_origin_max: usize) {
        self.log.keep(per_origin_max);
    }

    pub(super) fn redact(&mut self, message: Dot) {
        self.redacted.add(message);
    }

    pub fn redacted(&self) -> &Redacted {
        &self.redacted
    }

    /// A message, if it is still here.
    pub fn find(&self, dot: Dot) -> Option<&Arc<Change>> {
        self.range(dot.origin, dot.seq, dot.seq).next().filter(|change| change.dot == dot)
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What is here of an origin's messages from `first` to `last`, oldest first.
    pub fn range(&self, origin: Origin, first: u64, last: u64) -> impl Iterator<Item = &Arc<Change>> {
        self.log.range(origin, first, last)
    }
}
