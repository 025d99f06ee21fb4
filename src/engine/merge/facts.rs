//! What has been written and not yet superseded by something that had seen it.
//!
//! The facts that count are a pure function of the events seen, and the vector says which those are.
//! So equal vectors mean equal facts, in whatever order things came, and the vector itself remembers
//! what was removed: there are no tombstones.

use crate::defect::{Defect, is_planted};
use std::collections::{BTreeMap, BTreeSet};

use super::dot::{Dot, Origin, Vector};
use super::dots::Dots;
use super::early::{EARLY_MAX, Early, Named};
use super::stamp::Stamp;
use super::sums::{Counting, Digested, Sums};

/// One writing of a key that still counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact<V> {
    pub dot: Dot,
    pub stamp: Stamp,
    pub value: V,
}

/// One event, as far as merging cares.
#[derive(Clone, Debug)]
pub struct Write<K, V> {
    pub dot: Dot,
    pub stamp: Stamp,
    pub key: K,
    /// `None` removes.
    pub value: Option<V>,
    /// What other origins had written of this key, as far as the writer had seen it.
    pub over: Vec<Dot>,
    /// Further keys of which everything this origin wrote ends here.
    pub ends: Vec<K>,
}

/// Everything that somebody who has seen `asked` is missing, to be merged in one step or not at all.
#[derive(Clone, Debug)]
pub struct Answer<K, V> {
    /// Facts outside `asked`.
    pub facts: Vec<(K, Fact<V>)>,
    /// Dots inside `asked` that still count for the answering server.
    pub alive: Dots,
    /// What the answering server knows to be superseded though it has not come to it.
    pub early: Early,
    pub seen: Vector,
}

#[derive(Clone, Debug)]
pub struct Facts<K, V> {
    seen: Vector,
    /// Writings of one key that had not seen each other stand side by side, the latest stamp last.
    live: BTreeMap<K, Vec<Fact<V>>>,
    early: Early,
    sums: Sums,
}

impl<K: Ord + Clone, V: Clone + Digested<K>> Default for Facts<K, V> {
    fn default() -> Facts<K, V> {
        Facts {
            seen: Vector::default(),
            live: BTreeMap::new(),
            early: Early::default(),
            sums: Sums::default(),
        }
    }
}

impl<K: Ord + Clone, V: Clone + Digested<K>> Facts<K, V> {
    pub fn seen(&self) -> &Vector {
        &self.seen
    }

    /// What is known to be superseded though it has not come.
    pub fn early(&self) -> &Early {
        &self.early
    }

    /// As it was when it was put on disk.
    pub fn restored(
        seen: Vector,
        facts: impl IntoIterator<Item = (K, Fact<V>)>,
        early: Early,
    ) -> Facts<K, V> {
        let mut restored = Facts { seen, live: BTreeMap::new(), early, sums: Sums::default() };
        facts.into_iter().for_each(|(key, fact)| restored.insert(key, fact));
        restored
    }

    /// What shows of a key: of several writings that stand side by side, the latest.
    pub fn get(&self, key: &K) -> Option<&Fact<V>> {
        self.live.get(key)?.last()
    }

    /// All that counts of a key, the latest last.
    pub fn siblings(&self, key: &K) -> &[Fact<V>] {
        self.live.get(key).map_or(&[], Vec::as_slice)
    }

    /// What shows of every key from `first` to `last`, both included.
    pub fn range(&self, first: &K, last: &K) -> impl Iterator<Item = (&K, &Fact<V>)> {
        self.live.range(first..=last).filter_map(|(key, facts)| Some((key, facts.last()?)))
    }

    /// Every fact that counts, siblings too.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Fact<V>)> {
        self.live.iter().flat_map(|(key, facts)| facts.iter().map(move |fact| (key, fact)))
    }

    /// Takes the next event of its origin and answers with the keys whose facts are not what they were.
    pub fn apply(&mut self, mut write: Write<K, V>) -> Vec<K> {
        if is_planted(Defect::OverIgnored)
            || (is_planted(Defect::DeadReplacesNothing)
                && supersedes::<K, V>(&self.early, &self.seen, write.dot, &write.key))
        {
            write.over.clear();
        }
        assert!(self.seen.is_next(write.dot), "the caller takes events in sequence only");
        self.seen.raise(write.dot.origin, write.dot.seq);
        let origin = write.dot.origin;
        let mut touched = Vec::new();
        for key in write.ends {
            if self.remove_where(&key, |fact| fact.dot.origin == origin) {
                touched.push(key);
            }
        }
        // An origin's own earlier writing of a key is always among what it writes over.
        let over = |fact: &Fact<V>| fact.dot.origin == origin || write.over.contains(&fact.dot);
        let mut changed = self.remove_where(&write.key, over);
        // Of its own earlier events nobody has to speak, and of its own later ones nobody can.
        let is_early =
            |dot: &Dot| dot.stream == write.dot.stream && dot.origin != origin && !self.seen.covers(*dot);
        for dot in write.over.iter().copied().filter(is_early) {
            // Without room for it both stand until servers compare what they hold.
            if self.early.len() < EARLY_MAX {
                self.early.insert(Named { dot, mark: V::mark(&write.key) });
            }
        }
        if is_planted(Defect::EarlyForgotten) {
            self.early = Early::default();
        }
        // Dead on arrival: somebody who had seen it wrote over it, and their news came first.
        let superseded = supersedes::<K, V>(&self.early, &self.seen, write.dot, &write.key);
        self.early.forget(write.dot);
        if let Some(value) = write.value
            && !superseded
        {
            self.insert(write.key.clone(), Fact { dot: write.dot, stamp: write.stamp, value });
            changed = true;
        }
        if changed {
            touched.push(write.key);
        }
        touched
    }

    /// Takes the next event of its origin, which says nothing that counts.
    pub fn pass(&mut self, dot: Dot) {
        assert!(self.seen.is_next(dot), "the caller takes events in sequence only");
        self.seen.raise(dot.origin, dot.seq);
        self.early.forget(dot);
    }

    /// All that somebody who has seen `asked` lacks.
    pub fn answer(&self, asked: &Vector) -> Answer<K, V> {
        let mut answer = Answer {
            facts: Vec::new(),
            alive: Dots::default(),
            early: self.early.clone(),
            seen: self.seen.clone(),
        };
        for (key, fact) in self.iter() {
            if asked.covers(fact.dot) {
                answer.alive.insert(fact.dot);
            } else {
                answer.facts.push((key.clone(), fact.clone()));
            }
        }
        answer
    }

    /// Merges what another server holds, and answers with the keys whose facts are not what they were.
    ///
    /// A fact that only one side holds stays if the other side has not seen it, and goes if the other
    /// side has: then it was superseded there.
    pub fn merge(&mut self, answer: Answer<K, V>) -> Vec<K> {
        let mut touched = BTreeSet::new();
        let mut theirs = answer.alive;
        theirs.extend(answer.facts.iter().map(|(_, fact)| fact.dot));
        self.live.retain(|key, facts| {
            let before = facts.len();
            facts.retain(|fact| {
                let unknown_there = !answer.seen.covers(fact.dot)
                    && !supersedes::<K, V>(&answer.early, &answer.seen, fact.dot, key);
                let stays =
                    theirs.contains(fact.dot) || unknown_there || is_planted(Defect::MergeKeepsTheDead);
                if !stays {
                    self.sums.take(key, fact);
                }
                stays
            });
            if facts.len() != before {
                touched.insert(key.clone());
            }
            !facts.is_empty()
        });
        for (key, fact) in answer.facts {
            // A peer may say the same twice.
            let is_here = self.siblings(&key).iter().any(|known| known.dot == fact.dot);
            let is_superseded = || supersedes::<K, V>(&self.early, &self.seen, fact.dot, &key);
            if !is_here && !self.seen.covers(fact.dot) && !is_superseded() {
                self.insert(key.clone(), fact);
                touched.insert(key);
            }
        }
        self.seen.join(&answer.seen);
        self.early.extend(answer.early.iter());
        self.early.forget_covered(&self.seen);
        self.early.bound(&self.seen);
        touched.into_iter().collect()
    }

    /// Drops facts that no view can ever show again. This is local: it is up to the caller to be sure.
    pub fn forget(&mut self, key: &K, which: impl Fn(&Fact<V>) -> bool) -> bool {
        self.remove_where(key, which)
    }

    /// A sum over all that counts, but for what is to be counted apart; equal where the same has been heard.
    pub fn sum(&self) -> u64 {
        self.sums.total(&self.seen)
    }

    /// How many facts of an origin count.
    pub fn count_of(&self, origin: Origin) -> usize {
        self.sums.facts_of(origin)
    }

    /// Whether a fact is part of `sum`.
    pub fn is_summed(&self, key: &K, fact: &Fact<V>) -> bool {
        match V::counting(key) {
            Counting::Always => true,
            Counting::InLatestRun => self.seen.epoch(fact.dot.origin.server) == Some(fact.dot.origin.epoch),
            Counting::Apart => false,
        }
    }

    /// Has one event that was heard mean what it should have meant all along, and answers with the keys whose
    /// facts are not what they were.
    pub fn put_right(&mut self, dot: Dot, right: Option<(K, Fact<V>)>) -> Vec<K> {
        assert!(self.seen.covers(dot), "the caller puts right only what was heard");
        let wrong: Vec<K> =
            self.iter().filter(|(_, fact)| fact.dot == dot).map(|(key, _)| key.clone()).collect();
        let mut touched: BTreeSet<K> = wrong.into_iter().collect();
        for key in &touched {
            self.remove_where(key, |fact| fact.dot == dot);
        }
        if let Some((key, fact)) = right {
            self.insert(key.clone(), fact);
            touched.insert(key);
        }
        touched.into_iter().collect()
    }

    fn insert(&mut self, key: K, fact: Fact<V>) {
        self.sums.add(&key, &fact);
        let siblings = self.live.entry(key).or_default();
        let place = match is_planted(Defect::LatestArrivalWins) {
            true => siblings.len(),
            false => siblings.partition_point(|other| other.stamp < fact.stamp),
        };
        // Nearly all are the only one, and there are some for everyone who is here: no room for more is kept.
        siblings.reserve_exact(1);
        siblings.insert(place, fact);
    }

    fn remove_where(&mut self, key: &K, which: impl Fn(&Fact<V>) -> bool) -> bool {
        let Some(siblings) = self.live.get_mut(key) else { return false };
        let before = siblings.len();
        siblings.retain(|fact| {
            let goes = which(fact);
            if goes {
                self.sums.take(key, fact);
            }
            !goes
        });
        let changed = siblings.len() != before;
        if siblings.is_empty() {
            self.live.remove(key);
        }
        changed
    }
}

/// Whether something that has not come is known to be superseded. What is owned only a later run of its owner can have
/// written over, and whoever knows of that has heard of the run.
fn supersedes<K, V: Digested<K>>(early: &Early, seen: &Vector, dot: Dot, key: &K) -> bool {
    let may_be = match V::counting(key) {
        Counting::InLatestRun => {
            seen.epoch(dot.origin.server).is_some_and(|epoch| epoch > dot.origin.epoch)
                || is_planted(Defect::OwnedByAnyone)
        }
        Counting::Always | Counting::Apart => true,
    };
    may_be && early.names(dot, || V::mark(key))
}

#[cfg(test)]
mod tests {
    use super::super::dot::Stream;
    use super::*;
    use crate::wire::names::ServerId;

    /// With key 9 it says nothing that counts.
    type Event = Write<u8, u32>;

    const UNREADABLE: u8 = 9;

    fn take(facts: &mut Facts<u8, u32>, event: Event) {
        if event.key == UNREADABLE {
            facts.pass(event.dot);
        } else {
            facts.apply(event);
        }
    }

    impl Digested<u8> for u32 {
        fn digest(key: &u8, fact: &Fact<u32>) -> u64 {
            let mixed = u64::from(*key) << 32 | u64::from(fact.value);
            (mixed + fact.dot.seq).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }

        fn mark(key: &u8) -> u64 {
            u64::from(*key)
        }

        fn counting(key: &u8) -> Counting {
            if *key == 0 { Counting::InLatestRun } else { Counting::Always }
        }
    }

    fn dot(server: usize, seq: u64) -> Dot {
        let server = ServerId::parse(["1AA", "2BB", "3CC", "4DD"][server]).unwrap();
        Dot { origin: Origin { server, epoch: 1 }, stream: Stream::Session, seq }
    }

    /// Four servers that write at random, hear each other's events in any order that keeps each
    /// origin's own, and now and then merge; against an oracle that keeps every event ever written. One of them
    /// may lie, and say that it writes over what it cannot have seen.
    fn random_run(seed: u64, events: usize, has_liar: bool) {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = move |sides: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            (dice >> 33) as usize % sides
        };
        let mut servers: Vec<Facts<u8, u32>> = vec![Facts::default(); 4];
        let mut said: Vec<Event> = Vec::new();
        for step in 0..events {
            let me = roll(4);
            match roll(4) {
                0 => {
                    let key = if roll(8) == 0 { UNREADABLE } else { roll(3) as u8 };
                    let own = dot(me, 1);
                    let next = servers[me].seen.tip(own.origin) + 1;
                    let over = servers[me].siblings(&key).iter().map(|fact| fact.dot);
                    let mut over: Vec<Dot> = over.filter(|dot| dot.origin != own.origin).collect();
                    // Of what is owned only its owner writes, and here nobody has a second run.
                    if key == 0 {
                        over.clear();
                    } else if has_liar && me == 3 {
                        over.extend((0..roll(4)).map(|_| dot(roll(3), 1 + roll(12) as u64)));
                    }
                    let value = (roll(3) > 0).then_some(step as u32);
                    let stamp = Stamp { ms: step as u64, count: 0, server: own.origin.server };
                    let ends = if value.is_none() && roll(2) == 0 { vec![roll(3) as u8] } else { vec![] };
                    let event = Write { dot: dot(me, next), stamp, key, value, over, ends };
                    said.push(event.clone());
                    take(&mut servers[me], event);
                }
                1 => {
                    let other = roll(4);
                    let answer = servers[other].answer(&servers[me].seen);
                    servers[me].merge(answer);
                }
                _ => {
                    let fit: Vec<_> =
                        said.iter().filter(|e| servers[me].seen.is_next(e.dot)).cloned().collect();
                    if !fit.is_empty() {
                        let event = fit[roll(fit.len())].clone();
                        take(&mut servers[me], event);
                    }
                }
            }
            for server in &servers {
                let (dots, early) = oracle(&said, &server.seen);
                assert_eq!(server.dots(), dots, "seed {seed}, step {step}");
                assert_eq!(server.early, early, "seed {seed}, step {step}");
                let all = server.iter().map(|(key, fact)| u32::digest(key, fact));
                assert_eq!(server.sum(), all.fold(0, u64::wrapping_add), "seed {seed}, step {step}");
            }
        }
    }

    /// What counts among the events that a vector covers: those that no covered event wrote over or ended. And
    /// what is known to be superseded though the vector does not cover it.
    fn oracle(said: &[Event], seen: &Vector) -> (BTreeSet<Dot>, Early) {
        let covered = said.iter().filter(|e| seen.covers(e.dot) && e.key != UNREADABLE);
        let covered: Vec<_> = covered.collect();
        let dead = |event: &Event| {
            covered.iter().any(|later| {
                let own = later.dot.origin == event.dot.origin && later.dot.seq > event.dot.seq;
                let same = later.key == event.key && (own || later.over.contains(&event.dot));
                same || (own && later.ends.contains(&event.key))
            })
        };
        let alive = covered.iter().filter(|e| e.value.is_some() && !dead(e)).map(|e| e.dot).collect();
        let over = covered.iter().flat_map(|e| e.over.iter().map(|dot| (*dot, u32::mark(&e.key))));
        let early = over.filter(|(dot, _)| !seen.covers(*dot));
        (alive, early.map(|(dot, mark)| Named { dot, mark }).collect())
    }

    impl Facts<u8, u32> {
        fn dots(&self) -> BTreeSet<Dot> {
            self.iter().map(|(_, fact)| fact.dot).collect()
        }
    }

    #[test]
    fn equal_vectors_mean_equal_facts_in_whatever_order_things_came() {
        for seed in 1..=300 {
            random_run(seed, 60, false);
        }
    }

    #[test]
    fn so_they_do_where_somebody_writes_over_what_nobody_has_written_yet() {
        for seed in 1..=300 {
            random_run(seed, 60, true);
        }
    }

    /// What one server says of key 7, and another that it replaces this with something of its own key.
    fn named_under(key: u8) -> (Event, Event) {
        let stamp = |server: usize, ms| Stamp { ms, count: 0, server: dot(server, 1).origin.server };
        let (ends, over) = (vec![], vec![dot(0, 1)]);
        let right = Write {
            dot: dot(0, 1),
            stamp: stamp(0, 1),
            key: 7,
            value: Some(1),
            over: vec![],
            ends: ends.clone(),
        };
        (right, Write { dot: dot(1, 1), stamp: stamp(1, 2), key, value: Some(2), over, ends })
    }

    #[test]
    fn nobody_ends_what_is_to_come_by_guessing_its_number() {
        let (right, lie) = named_under(6);
        let (mut before, mut after) = (Facts::default(), Facts::default());
        before.apply(lie.clone());
        assert_eq!(before.apply(right.clone()), [7]);
        after.apply(right.clone());
        after.apply(lie.clone());
        for facts in [&before, &after] {
            assert_eq!(facts.siblings(&7).len(), 1, "it counts whichever comes first");
            assert_eq!(facts.early, Early::default());
        }
        assert_eq!(before.sum(), after.sum());
        // So it is where they come as an answer, from either side.
        let (mut liars, mut others) = (Facts::default(), Facts::default());
        liars.apply(lie);
        others.apply(right);
        let (from_liars, from_others) = (liars.answer(others.seen()), others.answer(liars.seen()));
        liars.merge(from_others);
        others.merge(from_liars);
        assert_eq!((liars.dots(), others.dots()), (before.dots(), before.dots()));
    }

    #[test]
    fn what_was_named_under_several_keys_is_superseded_under_its_own() {
        let (right, lie) = named_under(6);
        let (_, truth) = named_under(7);
        let mut facts: Facts<u8, u32> = Facts::default();
        facts.apply(lie);
        facts.apply(Write { dot: dot(2, 1), ..truth });
        assert_eq!(facts.early.len(), 2);
        assert!(facts.apply(right).is_empty());
        assert_eq!(facts.early, Early::default());
        assert_eq!(facts.siblings(&7).len(), 1, "what the third wrote of it");
    }

    #[test]
    fn an_event_that_was_superseded_before_it_came_is_dead_on_arrival() {
        let stamp = |server: usize, ms| Stamp { ms, count: 0, server: dot(server, 1).origin.server };
        let first =
            Write { dot: dot(0, 1), stamp: stamp(0, 1), key: 7, value: Some(1), over: vec![], ends: vec![] };
        let second = Write {
            dot: dot(1, 1),
            stamp: stamp(1, 2),
            key: 7,
            value: None,
            over: vec![dot(0, 1)],
            ends: vec![],
        };
        let mut facts = Facts::default();
        assert!(facts.apply(second).is_empty());
        assert!(facts.apply(first).is_empty());
        assert_eq!(facts.get(&7), None);
        assert_eq!(facts.early, Early::default());
    }

    #[test]
    fn a_fact_that_an_answer_holds_twice_counts_once() {
        let stamp = Stamp { ms: 1, count: 0, server: dot(0, 1).origin.server };
        let fact = (7, Fact { dot: dot(0, 1), stamp, value: 1 });
        let answer = Answer {
            facts: vec![fact.clone(), fact],
            alive: Default::default(),
            early: Default::default(),
            seen: [(dot(0, 1).origin, 1)].into_iter().collect(),
        };
        let mut facts: Facts<u8, u32> = Facts::default();
        facts.merge(answer);
        assert_eq!(facts.siblings(&7).len(), 1);
    }

    #[test]
    fn of_two_that_had_not_seen_each_other_the_later_shows_and_the_next_is_over_both() {
        let stamp = |server: usize, ms| Stamp { ms, count: 0, server: dot(server, 1).origin.server };
        let mut facts = Facts::default();
        facts.apply(Write {
            dot: dot(0, 1),
            stamp: stamp(0, 5),
            key: 7,
            value: Some(1),
            over: vec![],
            ends: vec![],
        });
        facts.apply(Write {
            dot: dot(1, 1),
            stamp: stamp(1, 4),
            key: 7,
            value: Some(2),
            over: vec![],
            ends: vec![],
        });
        assert_eq!(facts.get(&7).unwrap().value, 1);
        let over = vec![dot(0, 1), dot(1, 1)];
        facts.apply(Write { dot: dot(2, 1), stamp: stamp(2, 6), key: 7, value: None, over, ends: vec![] });
        assert_eq!(facts.siblings(&7), []);
    }
}
