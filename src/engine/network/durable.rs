//! Facts that outlive the runs of servers: what is in force here, what of it is on disk, and what has to be
//! written.
//!
//! Other servers are told only what is on disk, so that nobody ever holds what a crash here has undone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::change::{Change, Edit, Key, Value};
use super::log::Log;
use crate::engine::merge::{Answer, Dot, Fact, Facts, Named, Origin, Write};

#[derive(Clone, Debug)]
pub struct Durable {
    /// What is in force here.
    facts: Facts<Key, Value>,
    /// The same, as far as it is on disk.
    kept: Facts<Key, Value>,
    /// The latest events that are on disk, for servers that missed only those.
    recent: Log,
    /// What has been taken since, with the number of the batch that it is written in; in the order in
    /// which it was taken.
    waiting: VecDeque<(u64, Step)>,
    /// What the next batch has to write.
    writing: Writing,
    /// The number of the next batch.
    batch: u64,
    /// How far this server's own generation had come when it was started.
    begun_at: u64,
    /// How far others can have heard it: as far as it had come by then, or was told since.
    told: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Change(Arc<Change>),
    Merge(Answer<Key, Value>),
}

/// The difference between what is on disk and what should be.
#[derive(Clone, Debug, Default)]
pub struct Writing {
    /// Facts that count now, and dots of those that do not any more.
    pub facts: BTreeMap<Dot, Option<(Key, Fact<Value>)>>,
    pub seen: BTreeMap<Origin, Option<u64>>,
    /// Whether something is known to be superseded though it has not come.
    pub early: BTreeMap<Named, bool>,
    /// This server's generation, where it is another than before.
    pub generation: Option<u32>,
    /// What else this server remembers, for itself alone.
    pub state: BTreeMap<String, Option<String>>,
}

impl Writing {
    fn is_empty(&self) -> bool {
        let is_nothing_shared = self.facts.is_empty() && self.seen.is_empty() && self.early.is_empty();
        is_nothing_shared && self.generation.is_none() && self.state.is_empty()
    }
}

/// What has come to be on disk.
#[derive(Debug, Default)]
pub struct Kept {
    /// Events that may be passed on now.
    pub changes: Vec<Arc<Change>>,
    /// Whether there is more that neighbours can be told to ask for.
    pub merged: bool,
}

impl Durable {
    pub fn new(events_kept: usize, stored: Facts<Key, Value>, own: Origin) -> Durable {
        Durable {
            begun_at: stored.seen().tip(own),
            told: stored.seen().tip(own),
            kept: stored.clone(),
            facts: stored,
            recent: Log::new(events_kept),
            waiting: VecDeque::new(),
            writing: Writing::default(),
            batch: 1,
        }
    }

    pub fn facts(&self) -> &Facts<Key, Value> {
        &self.facts
    }

    pub fn kept(&self) -> &Facts<Key, Value> {
        &self.kept
    }

    pub fn recent(&self) -> &Log {
        &self.recent
    }

    pub fn keep_events(&mut self, events_kept: usize) {
        self.recent.keep(events_kept);
    }

    /// Takes the next event of its origin and answers with the keys whose facts are not what they were.
    pub fn apply(&mut self, change: &Arc<Change>) -> Vec<Key> {
        let key = fact_of(change).map(|(key, _)| key);
        let before = self.dots_of(key.as_ref());
        let was_early: Vec<Named> = self.facts.early().of(change.dot).collect();
        let keys = take(&mut self.facts, change);

        let after = self.dots_of(key.as_ref());
        for gone in before.difference(&after) {
            self.writing.facts.insert(*gone, None);
        }
        if let Some(key) = &key {
            for fact in self.facts.siblings(key).iter().filter(|fact| !before.contains(&fact.dot)) {
                self.writing.facts.insert(fact.dot, Some((key.clone(), fact.clone())));
            }
        }
        self.writing.seen.insert(change.dot.origin, Some(change.dot.seq));
        self.writing.early.extend(was_early.into_iter().map(|named| (named, false)));
        let is_early = change.over.iter().flat_map(|over| self.facts.early().of(*over));
        self.writing.early.extend(is_early.map(|named| (named, true)));
        self.waiting.push_back((self.batch, Step::Change(change.clone())));
        keys
    }

    fn dots_of(&self, key: Option<&Key>) -> BTreeSet<Dot> {
        let siblings = key.map_or(&[][..], |key| self.facts.siblings(key));
        siblings.iter().map(|fact| fact.dot).collect()
    }

    /// Takes all that was missed in one step.
    pub fn merge(&mut self, answer: Answer<Key, Value>) -> Vec<Key> {
        let before = self.facts.clone();
        let keys = self.facts.merge(answer.clone());
        self.write_difference(&before);
        self.waiting.push_back((self.batch, Step::Merge(answer)));
        keys
    }

    /// Has one event mean what it should have meant all along, here and on disk.
    pub fn put_right(&mut self, dot: Dot, right: Option<(Key, Fact<Value>)>) -> Vec<Key> {
        if self.kept.seen().covers(dot) {
            self.kept.put_right(dot, right.clone());
        }
        self.writing.facts.insert(dot, right.clone());
        self.facts.put_right(dot, right)
    }

    /// Begins anew as if the disk were empty. What this run of the server had written comes back as edits,
    /// to be written once more.
    pub fn begin_anew(&mut self, own: Origin) -> Vec<Edit> {
        let before = std::mem::take(&mut self.facts);
        self.kept = Facts::default();
        self.waiting.clear();
        let origins: Vec<Origin> = before.seen().iter().map(|(origin, _)| origin).collect();
        origins.into_iter().for_each(|origin| self.recent.clear(origin));
        self.write_difference(&before);
        let is_of_this_run = |dot: Dot| dot.origin == own && dot.seq > self.begun_at;
        let written = before.iter().filter(|(_, fact)| is_of_this_run(fact.dot));
        written.filter_map(|(key, fact)| super::edit_of(key, &fact.value)).collect()
    }

    /// This server's own writings start at 1 again.
    pub fn begin_generation(&mut self, generation: u32) {
        self.writing.generation = Some(generation);
        (self.begun_at, self.told) = (0, 0);
    }

    /// Others have now been told of this server's own writings up to this one.
    pub fn tell(&mut self, seq: u64) {
        self.told = seq.max(self.told);
    }

    pub fn told(&self) -> u64 {
        self.told
    }

    fn write_difference(&mut self, before: &Facts<Key, Value>) {
        let dots =
            |facts: &Facts<Key, Value>| -> BTreeSet<Dot> { facts.iter().map(|(_, fact)| fact.dot).collect() };
        let (old, new) = (dots(before), dots(&self.facts));
        for gone in old.difference(&new) {
            self.writing.facts.insert(*gone, None);
        }
        for (key, fact) in self.facts.iter().filter(|(_, fact)| !old.contains(&fact.dot)) {
            self.writing.facts.insert(fact.dot, Some((key.clone(), fact.clone())));
        }
        let (old, new) = (before.seen(), self.facts.seen());
        self.writing.seen.extend(new.beyond(old).iter().map(|(origin, tip)| (origin, Some(tip))));
        let gone = old.iter().filter(|(origin, _)| new.tip(*origin) == 0);
        self.writing.seen.extend(gone.map(|(origin, _)| (origin, None)));
        let (old, new) = (before.early(), self.facts.early());
        self.writing.early.extend(old.beyond(new).map(|named| (named, false)));
        self.writing.early.extend(new.beyond(old).map(|named| (named, true)));
    }

    /// Remembers something for this server alone, or forgets it.
    pub fn remember(&mut self, key: String, value: Option<String>) {
        self.writing.state.insert(key, value);
    }

    /// What has to be written next, with the number under which it will be said to be on disk.
    pub fn next_batch(&mut self) -> Option<(u64, Writing)> {
        if self.writing.is_empty() {
            return None;
        }
        let number = self.batch;
        self.batch += 1;
        Some((number, std::mem::take(&mut self.writing)))
    }

    /// Every batch up to this one is on disk.
    pub fn keep(&mut self, number: u64) -> Kept {
        let mut kept = Kept::default();
        while self.waiting.front().is_some_and(|(batch, _)| *batch <= number) {
            match self.waiting.pop_front() {
                Some((_, Step::Change(change))) => {
                    take(&mut self.kept, &change);
                    self.recent.push(change.clone());
                    kept.changes.push(change);
                }
                Some((_, Step::Merge(answer))) => {
                    self.kept.merge(answer);
                    kept.merged = true;
                }
                None => break,
            }
        }
        kept
    }
}

/// What an event writes; every server may write every durable fact.
fn fact_of(change: &Change) -> Option<(Key, Option<Value>)> {
    change.edit.fact(change.dot.origin.server)
}

fn take(facts: &mut Facts<Key, Value>, change: &Change) -> Vec<Key> {
    let Some((key, value)) = fact_of(change) else {
        // What nobody here can read still advances the vector, on every server alike.
        facts.pass(change.dot);
        return Vec::new();
    };
    let (over, ends) = (change.over.clone(), Vec::new());
    facts.apply(Write { dot: change.dot, stamp: change.stamp, key, value, over, ends })
}
