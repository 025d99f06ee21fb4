//! The latest events of each origin, so that whoever missed a few gets just those.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::change::Change;
use crate::engine::merge::Origin;

/// Contiguous runs of events, one for each origin, bounded.
#[derive(Clone, Debug)]
pub struct Log {
    kept: BTreeMap<Origin, VecDeque<Arc<Change>>>,
    per_origin_max: usize,
}

impl Log {
    pub fn new(per_origin_max: usize) -> Log {
        Log { kept: BTreeMap::new(), per_origin_max }
    }

    /// Adds the next event of its origin; what came before a gap is of no use and is dropped.
    pub fn push(&mut self, change: Arc<Change>) {
        let kept = self.kept.entry(change.dot.origin).or_default();
        if kept.back().is_some_and(|last| last.dot.seq + 1 != change.dot.seq) {
            kept.clear();
        }
        kept.push_back(change);
        if kept.len() > self.per_origin_max {
            kept.pop_front();
        }
    }

    /// Keeps so many of each origin from now on.
    pub fn keep(&mut self, per_origin_max: usize) {
        self.per_origin_max = per_origin_max;
        for kept in self.kept.values_mut() {
            kept.drain(..kept.len().saturating_sub(per_origin_max));
        }
    }

    /// The most that is here of one origin.
    pub fn longest(&self) -> usize {
        self.kept.values().map(VecDeque::len).max().unwrap_or(0)
    }

    /// Everything that is here, origin by origin.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Change>> {
        self.kept.values().flatten()
    }

    /// The oldest event of an origin that is still here.
    pub fn floor(&self, origin: Origin) -> Option<u64> {
        Some(self.kept.get(&origin)?.front()?.dot.seq)
    }

    /// Whether every event from `first` to `last` is here.
    pub fn holds(&self, origin: Origin, first: u64, last: u64) -> bool {
        let Some(kept) = self.kept.get(&origin) else { return false };
        let (Some(oldest), Some(newest)) = (kept.front(), kept.back()) else { return false };
        oldest.dot.seq <= first && newest.dot.seq >= last
    }

    /// What is here from `first` to `last`, oldest first.
    pub fn range(&self, origin: Origin, first: u64, last: u64) -> impl Iterator<Item = &Arc<Change>> {
        let kept = self.kept.get(&origin);
        let oldest = self.floor(origin).unwrap_or(1);
        let skipped = usize::try_from(first.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let kept = kept.into_iter().flat_map(move |kept| kept.iter().skip(skipped));
        kept.take_while(move |change| change.dot.seq <= last)
    }

    pub fn clear(&mut self, origin: Origin) {
        self.kept.remove(&origin);
    }
}
