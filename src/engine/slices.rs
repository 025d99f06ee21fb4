//! Long answers, a slice at a time: between two of them everyone else is served.

use super::Engine;
use super::effect::Effect;
use super::event::{AskId, ConnId};
use super::outgoing::{Outgoing, Spoken};
use super::pending::Pending;
use super::turn::Turn;
use crate::wire::base36;

/// How many people or channels one slice looks at: a third of a millisecond or so.
pub const SLICE: usize = 256;

/// What says the next slice, and whether that was the last.
type Say = dyn FnMut(&mut Turn) -> bool + Send + Sync;

/// An answer of which more is to come.
pub struct Slices {
    conn: ConnId,
    /// All of a labelled answer.
    batch: Option<String>,
    say: Box<Say>,
}

impl std::fmt::Debug for Slices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slices({:?})", self.conn)
    }
}

impl Turn<'_> {
    /// How many people or channels one slice of an answer looks at.
    pub fn slice(&self) -> usize {
        self.engine.slice
    }

    /// Answers the speaker in slices, the first of them at once. What they say meanwhile waits until it is over; what is
    /// told to them meanwhile is not held up, so each slice has to show what is so by then.
    pub fn reply_in_slices(&mut self, mut say: impl FnMut(&mut Turn) -> bool + Send + Sync + 'static) {
        let first = self.engine.outgoing.len();
        if say(self) {
            return;
        }
        let conn = self.conn;
        let batch = self.label.take().map(|label| {
            self.engine.batches_made += 1;
            let batch = base36::encode(self.engine.batches_made);
            self.engine.put_in_batch(first, &batch);
            let start = format!(":{} BATCH +{batch} labeled-response", self.server_name());
            let spoken = Spoken::new(self.now.wall, start).tagged("label", label);
            self.engine.outgoing.insert(first, Outgoing { to: conn.into(), spoken });
            batch
        });
        let ask = self.ask(Pending::Slices(Slices { conn, batch, say: Box::new(say) }));
        self.engine.hold_lines(conn, ask);
        self.effect(Effect::GoOn { ask });
    }
}

impl Engine {
    /// Has slices be of so many, for tests with few people.
    pub fn slice_by(&mut self, count: usize) {
        self.slice = count.max(1);
    }

    /// Others have been served since the last slice of something.
    pub(super) fn next_slice(&mut self, ask: AskId) {
        match self.asks.take(ask) {
            Some(Pending::Slices(slices)) => self.say_slice(ask, slices),
            Some(Pending::Tide) => self.go_on_turning(ask),
            _ => {}
        }
    }

    /// Says the next slice of a long answer, where somebody is there to hear it.
    fn say_slice(&mut self, ask: AskId, mut slices: Slices) {
        let Slices { conn, batch, say } = &mut slices;
        let conn = *conn;
        if self.sessions.get(conn).is_none_or(|session| session.user().is_none()) {
            return;
        }
        self.flush_outgoing();
        let is_last = say(&mut Turn::new(self, conn));
        if let Some(batch) = batch {
            self.put_in_batch(0, batch);
            if is_last {
                let end = format!(":{} BATCH -{batch}", self.identity.name);
                let spoken = Spoken::new(self.now.wall, end);
                self.outgoing.push(Outgoing { to: conn.into(), spoken });
            }
        }
        self.flush_outgoing();
        if !is_last {
            self.asks.put_back(ask, Pending::Slices(slices));
            self.effects.push(Effect::GoOn { ask });
            return;
        }
        if let Some(session) = self.sessions.get_mut(conn) {
            session.held.close(ask);
        }
        self.release_lines(conn);
    }

    fn put_in_batch(&mut self, first: usize, batch: &str) {
        for outgoing in &mut self.outgoing[first..] {
            outgoing.spoken = outgoing.spoken.clone().in_batch(batch);
        }
    }
}
