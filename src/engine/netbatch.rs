//! The batch that holds what is told of a netsplit, or of its end: one for all of it, though it is told some at a time.

use std::collections::BTreeSet;
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
    /// Those who were told that it has begun.
    hears: BTreeSet<ConnId>,
}

impl Engine {
    /// Lines that belong together, for those who can be told so; more may follow while people are turning.
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
            let (split, hears) = (split.clone(), BTreeSet::new());
            self.open_batch = Some(OpenBatch { name, kind, split, hears });
        }
        let Some(mut open) = self.open_batch.take() else { return };
        let is_new = |conn: &ConnId| !open.hears.contains(conn) && self.takes_batches(*conn);
        let new: Arc<[ConnId]> = hears.iter().copied().filter(is_new).collect();
        open.hears.extend(new.iter());
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
        self.sessions.get(conn).is_some_and(|session| session.wants(Cap::Batch))
    }
}
