//! Sets of dots that mostly come in runs: a run of any length takes no more room than a single dot.

use std::collections::BTreeMap;

use super::dot::{Dot, Origin, Stream};

/// By origin and stream the first of each run, and its last. Runs neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dots(BTreeMap<(Origin, Stream), BTreeMap<u64, u64>>);

impl Dots {
    pub fn insert(&mut self, dot: Dot) {
        self.insert_run(dot.origin, dot.stream, dot.seq, dot.seq);
    }

    /// Adds everything from `first` to `last`, both included.
    pub fn insert_run(&mut self, origin: Origin, stream: Stream, mut first: u64, mut last: u64) {
        let runs = self.0.entry((origin, stream)).or_default();
        if let Some((&before, &end)) = runs.range(..=first).next_back()
            && end.saturating_add(1) >= first
        {
            (first, last) = (before, last.max(end));
        }
        while let Some((&next, &end)) = runs.range(first..=last.saturating_add(1)).next() {
            last = last.max(end);
            runs.remove(&next);
        }
        runs.insert(first, last);
    }

    pub fn contains(&self, dot: Dot) -> bool {
        let runs = self.0.get(&(dot.origin, dot.stream));
        let run = runs.and_then(|runs| runs.range(..=dot.seq).next_back());
        run.is_some_and(|(_, last)| dot.seq <= *last)
    }

    /// The runs of each origin and stream, in order.
    pub fn runs(&self) -> impl Iterator<Item = (Origin, Stream, impl Iterator<Item = (u64, u64)>)> {
        let all = self.0.iter();
        all.map(|((origin, stream), runs)| {
            (*origin, *stream, runs.iter().map(|(first, last)| (*first, *last)))
        })
    }

    /// How much room this takes, in runs.
    pub fn runs_count(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }
}

impl Extend<Dot> for Dots {
    fn extend<I: IntoIterator<Item = Dot>>(&mut self, dots: I) {
        dots.into_iter().for_each(|dot| self.insert(dot));
    }
}

impl FromIterator<Dot> for Dots {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Dots {
        let mut set = Dots::default();
        set.extend(dots);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::names::ServerId;
    use std::collections::BTreeSet;

    fn origin() -> Origin {
        Origin { server: ServerId::parse("7FA").unwrap(), epoch: 1 }
    }

    fn dot(seq: u64) -> Dot {
        Dot { origin: origin(), stream: Stream::Session, seq }
    }

    #[test]
    fn runs_hold_what_a_set_of_each_dot_would() {
        let mut state = 7u64;
        let mut roll = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        for _ in 0..500 {
            let (mut dots, mut each) = (Dots::default(), BTreeSet::new());
            for _ in 0..roll(12) {
                let first = roll(40);
                let last = first + roll(6);
                dots.insert_run(origin(), Stream::Session, first, last);
                each.extend(first..=last);
            }
            assert!((0..60).all(|seq| dots.contains(dot(seq)) == each.contains(&seq)), "{dots:?} {each:?}");
            let gaps = each.iter().filter(|seq| !each.contains(&(**seq + 1))).count();
            assert_eq!(dots.runs_count(), gaps, "{dots:?}");
        }
    }

    #[test]
    fn a_run_may_reach_as_far_as_numbers_do() {
        let mut dots = Dots::default();
        dots.insert_run(origin(), Stream::Session, 3, u64::MAX);
        dots.insert_run(origin(), Stream::Session, 0, u64::MAX);
        dots.insert(dot(u64::MAX));
        assert_eq!(dots.runs_count(), 1);
        assert!(dots.contains(dot(0)) && dots.contains(dot(u64::MAX)));
    }
}
