//! The batch that holds what is told of a netsplit, or of its end: one for all of it, though it is told some at a time.

use std::sync::Arc;

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::network::Split;
use crate::wire::base36;

/// One that has begun, and not ended.
#[derive(Debug)]
pub struct OpenBatch {
    name: String,
    kind: &'static str,
    split: Split,
    /// Those who were told that it has begun, each once and in one order.
    hears: Vec<ConnId>,
}

impl Engine {
    /// Lines that belong together, for those who can be told so, each named once and in order; more may follow while
    /// people are turning.
    pub(super) fn in_batch(
        &mut self,
        kind: &'static str,
        split: &Split,
        hears: &[ConnId],
        lines: impl FnOnce(&mut Engine, &str),
    ) {
        let is_open = self.open_batch.as_ref().is_some_and(|open| open.kind == kind && open.split == *split);
        if !is_open {
            self.end_batch();
            self.batches_made += 1;
            let name = base36::encode(self.batches_made);
            self.open_batch = Some(OpenBatch { name, kind, split: split.clone(), hears: Vec::new() });
        }
        let Some(mut open) = self.open_batch.take() else { return };
        let mut known = open.hears.iter().copied().peekable();
        let is_new = |conn: &ConnId| {
            while known.next_if(|known| known < conn).is_some() {}
            known.peek() != Some(conn) && self.takes_batches(*conn)
        };
        let new: Arc<[ConnId]> = hears.iter().copied().filter(is_new).collect();
        if !new.is_empty() {
            open.hears.extend(new.iter());
            open.hears.sort_unstable();
        }
        let (server, name) = (self.identity.name.to_string(), open.name.clone());
        let start = format!(":{server} BATCH +{name} {kind} {} {}", split.near, split.far);
        self.say(new, self.spoken(start));
        self.open_batch = Some(open);
        lines(self, &name);
        if !self.network.is_turning() {
            self.end_batch();
        }
    }

    /// Nothing more belongs to it.
    pub(super) fn end_batch(&mut self) {
        let Some(open) = self.open_batch.take() else { return };
        let hears: Arc<[ConnId]> = open.hears.into_iter().filter(|conn| self.takes_batches(*conn)).collect();
        let end = format!(":{} BATCH -{}", self.identity.name, open.name);
        self.say(hears, self.spoken(end));
    }

    fn takes_batches(&self, conn: ConnId) -> bool {
        self.sessions.caps_of(conn).has(Cap::Batch)
    }
}
