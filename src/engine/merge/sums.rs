//! Sums over facts, kept up to date as they come and go: equal facts, equal sums.

use std::collections::BTreeMap;

use super::dot::{Origin, Vector};
use super::facts::Fact;

/// What two servers can compare of a fact: the same on both, whatever program and version they run.
pub trait Digested<K>: Sized {
    fn digest(key: &K, fact: &Fact<Self>) -> u64;

    /// A key in short: the same on both, and another for every other key.
    fn mark(key: &K) -> u64;

    fn counting(key: &K) -> Counting;
}

/// When a fact counts in a comparison. What servers may forget on their own does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    Always,
    /// While its writer has begun no later run.
    InLatestRun,
    /// As the caller sees fit: it is no part of any sum here.
    Apart,
}

/// The sums of each origin's facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums(BTreeMap<Origin, Sum>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    always: u64,
    in_latest_run: u64,
    facts: usize,
}

impl Sums {
    pub fn add<K, V: Digested<K>>(&mut self, key: &K, fact: &Fact<V>) {
        let sum = self.0.entry(fact.dot.origin).or_default();
        sum.facts += 1;
        if let Some(part) = sum.part(V::counting(key)) {
            *part = part.wrapping_add(V::digest(key, fact));
        }
    }

    pub fn take<K, V: Digested<K>>(&mut self, key: &K, fact: &Fact<V>) {
        let sum = self.0.entry(fact.dot.origin).or_default();
        sum.facts -= 1;
        if let Some(part) = sum.part(V::counting(key)) {
            *part = part.wrapping_sub(V::digest(key, fact));
        }
        if sum.facts == 0 {
            self.0.remove(&fact.dot.origin);
        }
    }

    /// How many facts of an origin there are.
    pub fn facts_of(&self, origin: Origin) -> usize {
        self.0.get(&origin).map_or(0, |sum| sum.facts)
    }

    pub fn total(&self, seen: &Vector) -> u64 {
        let latest = |origin: &Origin| seen.epoch(origin.server) == Some(origin.epoch);
        self.0.iter().fold(0, |total: u64, (origin, sum)| {
            let owned = if latest(origin) { sum.in_latest_run } else { 0 };
            total.wrapping_add(sum.always).wrapping_add(owned)
        })
    }
}

impl Sum {
    fn part(&mut self, counting: Counting) -> Option<&mut u64> {
        match counting {
            Counting::Always => Some(&mut self.always),
            Counting::InLatestRun => Some(&mut self.in_latest_run),
            Counting::Apart => None,
        }
    }
}
