//! Keeps what is said: hands each message to the store once, and asks the store for those of long ago.
//!
//! Nothing waits for the disk. What the store has no room for, as when the disk is full, is handed to it again later
//! out of memory, for as long as it is there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Engine;
use super::effect::Effect;
use super::event::AskId;
use super::history::{Entry, Query, Record};
use super::merge::{Origin, Stream};
use super::network::Change;
use super::pending::Pending;
use super::turn::{Deferred, Outcome, Turn};

/// How many messages are handed to the store again at once; it is asked every tick whether it has room.
const AGAIN_AT_ONCE: usize = 2_000;

/// What is handed to the store.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// Of what was handed over last.
    number: u64,
    /// What comes of the present step.
    entries: Vec<Entry>,
    /// The first message of each origin that the store did not take.
    left_out: BTreeMap<Origin, u64>,
}

/// What is done with an answer of the store's, for the client who asked.
pub struct Then(Box<GoOn>);

type GoOn = dyn FnOnce(&mut Turn, Answer) -> Outcome + Send + Sync;

/// What the store has found, oldest first; or why it could not look.
pub type Answer = Result<Vec<Record>, String>;

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then(…)")
    }
}

impl Engine {
    pub(super) fn keeps_history(&self) -> bool {
        self.config.history.enabled
    }

    /// Has a message kept that was just taken.
    pub(super) fn chronicle(&mut self, change: &Arc<Change>) {
        if !self.keeps_history() || change.dot.stream != Stream::Message {
            return;
        }
        // What comes after something that was left out goes with it, so that each origin's are written in order.
        if !self.chronicle.left_out.contains_key(&change.dot.origin) {
            self.chronicle.entries.push(Entry::Said(change.clone()));
        }
    }

    /// Has it kept that messages of an origin are nowhere to be had.
    pub(super) fn chronicle_gap(&mut self, origin: Origin, tip: u64) {
        if self.keeps_history() {
            self.chronicle.entries.push(Entry::Skipped { origin, tip });
        }
    }

    /// Has everything forgotten that an origin said.
    pub(super) fn chronicle_end(&mut self, origin: Origin) {
        if self.keeps_history() {
            self.chronicle.left_out.remove(&origin);
            self.chronicle.entries.push(Entry::Forgotten { origin });
        }
    }

    /// Hands over all that came of this step.
    pub(super) fn hand_over(&mut self) {
        if self.chronicle.entries.is_empty() {
            return;
        }
        self.chronicle.number += 1;
        let (number, entries) = (self.chronicle.number, std::mem::take(&mut self.chronicle.entries));
        self.effects.push(Effect::Record { number, entries });
    }

    /// The store had no room for these.
    pub(super) fn not_recorded(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            match entry {
                Entry::Said(change) => {
                    let first = self.chronicle.left_out.entry(change.dot.origin).or_insert(change.dot.seq);
                    *first = change.dot.seq.min(*first);
                }
                // Few, and small.
                entry => self.chronicle.entries.push(entry),
            }
        }
    }

    /// Hands over again what was left out, as far as it is still in memory. What is not comes back from neighbours at
    /// the next start: the store says no more than it has.
    pub(super) fn hand_over_again(&mut self) {
        let mut room = AGAIN_AT_ONCE;
        while room > 0
            && let Some((origin, first)) = self.chronicle.left_out.pop_first()
        {
            let tip = self.network.seen(Stream::Message).tip(origin);
            let first = first.max(self.network.talk().floor(origin));
            let last = tip.min(first.saturating_add(room as u64 - 1));
            let found = self.network.talk().range(origin, first, last).cloned();
            let entries: Vec<Entry> = found.map(Entry::Said).collect();
            room -= entries.len().min(room);
            self.chronicle.entries.extend(entries);
            if last < tip {
                self.chronicle.left_out.insert(origin, last + 1);
                return;
            }
        }
    }

    // Asking.

    /// Asks the store.
    pub(super) fn recall(&mut self, query: Query, pending: Pending) {
        // What was just said is to be found as well.
        self.hand_over();
        let ask = self.ask(pending);
        self.effects.push(Effect::Recall { ask, query });
    }

    pub(super) fn recalled(&mut self, ask: AskId, outcome: Answer) {
        match self.asks.take(ask) {
            Some(Pending::Recall { reply, holds, then }) => {
                let conn = reply.conn;
                if let Some(session) = self.sessions.get_mut(conn).filter(|_| holds) {
                    session.held.close();
                }
                self.go_on(reply, |turn| (then.0)(turn, outcome));
                self.release_lines(conn);
            }
            Some(Pending::Retell { conn, floor }) => self.retold_from_store(conn, floor, outcome),
            _ => {}
        }
    }
}

impl Turn<'_> {
    /// Asks the store, and goes on with its answer as the same line, with its label; in `then` it may be asked again.
    /// Whoever has gone by then is not answered.
    pub fn recall(
        &mut self,
        query: Query,
        then: impl FnOnce(&mut Turn, Answer) -> Outcome + Send + Sync + 'static,
    ) {
        self.recall_holding(true, query, then);
    }

    /// The same; where it does not hold them, what the client says meanwhile is not kept waiting.
    pub fn recall_holding(
        &mut self,
        holds: bool,
        query: Query,
        then: impl FnOnce(&mut Turn, Answer) -> Outcome + Send + Sync + 'static,
    ) {
        let reply: Deferred = self.defer();
        if holds {
            let now_ms = self.now.steady_ms;
            self.session_mut().held.open(now_ms);
        }
        self.engine.recall(query, Pending::Recall { reply, holds, then: Then(Box::new(then)) });
    }
}
