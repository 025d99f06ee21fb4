//! What goes to thousands and has yet to be queued for some of them: for all of them at once, that would take as long as
//! everyone else waits meanwhile.
//!
//! Nobody gets anything later before what was said to them earlier: whoever queues something for one of those who wait
//! takes out what they have yet to get, and queues that first.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::engine::{Bundle, ConnId};

/// So many are worth the trouble.
pub const FANOUT_MIN: usize = 512;

/// What they hear.
#[derive(Clone)]
pub enum Said {
    Line(Arc<str>),
    Bundle(Arc<Bundle>),
}

/// In the order in which it was said.
#[derive(Default)]
pub struct Fanouts {
    waiting: VecDeque<Fanout>,
    left: usize,
}

struct Fanout {
    said: Said,
    /// By their ids, so that one of them is soon found.
    to: Vec<ConnId>,
    /// How many have had it, from the first on.
    had: usize,
    /// Who has had it before their turn, by their places.
    early: BTreeSet<usize>,
}

impl Fanouts {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many have had no turn yet, counted once for each thing; some of them have had it early.
    pub fn left(&self) -> usize {
        self.left
    }

    pub fn put(&mut self, mut to: Vec<ConnId>, said: Said) {
        // Mostly in order by now, since people are listed in the order in which they came.
        to.sort();
        self.left += to.len();
        self.waiting.push_back(Fanout { said, to, had: 0, early: BTreeSet::new() });
    }

    /// Some whose turn it is, at most so many, and what it is that they hear.
    pub fn next(&mut self, most: usize) -> Option<(Vec<ConnId>, Said)> {
        let first = self.waiting.front_mut()?;
        let end = first.to.len().min(first.had + most);
        let places = (first.had..end).filter(|place| !first.early.contains(place));
        let to = places.map(|place| first.to[place]).collect();
        self.left -= end - first.had;
        first.had = end;
        first.early = first.early.split_off(&end);
        let said = first.said.clone();
        if end == first.to.len() {
            self.waiting.pop_front();
        }
        Some((to, said))
    }

    /// What one of them has yet to get, in its order; it is theirs from then on.
    pub fn take_of(&mut self, conn: ConnId) -> impl Iterator<Item = Said> {
        self.waiting.iter_mut().filter_map(move |fanout| {
            let place = fanout.had + fanout.to[fanout.had..].binary_search(&conn).ok()?;
            fanout.early.insert(place).then(|| fanout.said.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn line(said: Said) -> String {
        match said {
            Said::Line(line) => line.to_string(),
            Said::Bundle(bundle) => bundle.text().to_string(),
        }
    }

    #[test]
    fn whoever_is_served_before_their_turn_each_hears_everything_once_and_in_order() {
        let (mut dice, mut fanouts) = (1u64, Fanouts::default());
        let mut below = |bound: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % bound
        };
        let (mut said, mut heard) = (BTreeMap::new(), BTreeMap::<ConnId, Vec<String>>::new());
        for number in 0..2_000 {
            match below(3) {
                0 => {
                    let to: Vec<ConnId> = (0..50).rev().filter(|_| below(2) == 0).map(ConnId).collect();
                    for conn in &to {
                        said.entry(*conn).or_insert_with(Vec::new).push(number.to_string());
                    }
                    fanouts.put(to, Said::Line(number.to_string().into()));
                }
                1 => {
                    let conn = ConnId(below(60));
                    heard.entry(conn).or_default().extend(fanouts.take_of(conn).map(line));
                    assert_eq!(heard[&conn], said.get(&conn).cloned().unwrap_or_default());
                }
                _ => {
                    if let Some((to, what)) = fanouts.next(1 + below(40) as usize) {
                        for conn in to {
                            heard.entry(conn).or_default().push(line(what.clone()));
                        }
                    }
                }
            }
        }
        while let Some((to, what)) = fanouts.next(7) {
            to.into_iter().for_each(|conn| heard.entry(conn).or_default().push(line(what.clone())));
        }
        assert!(fanouts.is_empty() && fanouts.left() == 0);
        heard.retain(|_, lines| !lines.is_empty());
        assert_eq!(heard, said);
    }
}
