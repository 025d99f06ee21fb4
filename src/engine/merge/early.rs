//! What is known to be superseded though it has not come: dots, each with the key under which it was written over.
//!
//! Whoever writes over something has seen it, and so knows of which key it is. A dot that turns out to be of another
//! key was never seen by whoever named it, and is not superseded: numbers that are yet to be given out can be
//! guessed by anyone.

use std::collections::BTreeSet;

use super::dot::{Dot, Vector};
use crate::defect::{Defect, is_planted};

/// So many there may be at most. In a network where nobody lies there are as many as events that are on their way.
pub const EARLY_MAX: usize = 100_000;

/// A dot, and the mark of the key of which somebody says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    pub dot: Dot,
    pub mark: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Early(BTreeSet<Named>);

impl Early {
    pub fn insert(&mut self, named: Named) {
        self.0.insert(named);
    }

    /// All that was said of a dot: it may have been named under several keys, and is of one at most.
    pub fn of(&self, dot: Dot) -> impl Iterator<Item = Named> {
        let (first, last) = (Named { dot, mark: 0 }, Named { dot, mark: u64::MAX });
        self.0.range(first..=last).copied()
    }

    /// Whether a dot was named under a key, of which the mark is worked out where that matters.
    pub fn names(&self, dot: Dot, mark: impl FnOnce() -> u64) -> bool {
        if is_planted(Defect::EarlyOfAnyKey) {
            return self.of(dot).next().is_some();
        }
        self.of(dot).next().is_some() && self.0.contains(&Named { dot, mark: mark() })
    }

    /// The dot has come: nothing more needs to be known of it.
    pub fn forget(&mut self, dot: Dot) {
        for named in self.of(dot).collect::<Vec<_>>() {
            self.0.remove(&named);
        }
    }

    pub fn forget_covered(&mut self, seen: &Vector) {
        self.0.retain(|named| !seen.covers(named.dot));
    }

    /// Leaves no more than there may be: first those go that are of servers of which nothing was ever heard.
    pub fn bound(&mut self, seen: &Vector) {
        if self.0.len() > EARLY_MAX {
            self.0.retain(|named| seen.epoch(named.dot.origin.server).is_some());
        }
        while self.0.len() > EARLY_MAX {
            self.0.pop_last();
        }
    }

    /// What is here and not there.
    pub fn beyond<'a>(&'a self, other: &'a Early) -> impl Iterator<Item = Named> + 'a {
        self.0.difference(&other.0).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = Named> {
        self.0.iter().copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Extend<Named> for Early {
    fn extend<I: IntoIterator<Item = Named>>(&mut self, all: I) {
        self.0.extend(all);
    }
}

impl FromIterator<Named> for Early {
    fn from_iter<I: IntoIterator<Item = Named>>(all: I) -> Early {
        Early(all.into_iter().collect())
    }
}
