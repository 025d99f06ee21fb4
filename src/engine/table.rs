//! What is known of each of many by their ids, found in one step: for what is looked up for everyone who hears a line.
//!
//! Its order is nobody's to see, and the same in every run. Ids are given out one by one by this server, so nobody can
//! choose them to collide.

use std::mem;

use super::event::ConnId;
use crate::wire::names::UserId;

/// How many places there are at least, and how many eighths of them are taken at most.
const PLACES_MIN: usize = 8;
const EIGHTHS_MAX: usize = 6;

/// What something can be found by.
pub trait Id: Copy + Eq {
    /// A number that others mostly do not have.
    fn number(self) -> u64;
}

impl Id for ConnId {
    fn number(self) -> u64 {
        self.0
    }
}

impl Id for UserId {
    fn number(self) -> u64 {
        UserId::number(self)
    }
}

#[derive(Debug)]
pub struct Table<K, V> {
    /// Each as near behind its own place as there was one free; their number is a power of two, or zero.
    places: Vec<Option<(K, V)>>,
    count: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table { places: Vec::new(), count: 0 }
    }
}

impl<K: Id, V> Table<K, V> {
    pub fn with_room_for(count: usize) -> Table<K, V> {
        Table { places: empty((count * 8 / EIGHTHS_MAX + 1).next_power_of_two().max(PLACES_MIN)), count: 0 }
    }

    pub fn get(&self, id: K) -> Option<&V> {
        if self.places.is_empty() {
            return None;
        }
        match &self.places[self.find(id)] {
            Some((_, value)) => Some(value),
            None => None,
        }
    }

    pub fn insert(&mut self, id: K, value: V) {
        *self.entry(id, || None) = Some((id, value));
    }

    /// What is there by this id, or this, if there is nothing.
    pub fn get_or_insert(&mut self, id: K, value: V) -> &mut V {
        let place = self.entry(id, || Some((id, value)));
        &mut place.as_mut().expect("it was just put there").1
    }

    /// The place of an id, which is filled like this where it is free.
    fn entry(&mut self, id: K, fill: impl FnOnce() -> Option<(K, V)>) -> &mut Option<(K, V)> {
        if (self.count + 1) * 8 > self.places.len() * EIGHTHS_MAX {
            self.resize((self.places.len() * 2).max(PLACES_MIN));
        }
        let found = self.find(id);
        let place = &mut self.places[found];
        if place.is_none() {
            self.count += 1;
            *place = fill();
        }
        place
    }

    pub fn remove(&mut self, id: K) -> Option<V> {
        let removed = self.take(id);
        // Not at once where it has just grown.
        if self.places.len() > PLACES_MIN && self.count * 8 < self.places.len() {
            self.resize(self.places.len() / 2);
        }
        removed
    }

    fn take(&mut self, id: K) -> Option<V> {
        if self.places.is_empty() {
            return None;
        }
        let mut hole = self.find(id);
        let (_, value) = self.places[hole].take()?;
        self.count -= 1;
        // Whoever stands behind it because it was taken moves up.
        let mask = self.places.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let Some((other, _)) = &self.places[place] else { return Some(value) };
            let own = self.own_place(*other);
            if place.wrapping_sub(own) & mask >= place.wrapping_sub(hole) & mask {
                self.places[hole] = self.places[place].take();
                hole = place;
            }
        }
    }

    /// Where an id is, or would be; there are places, and not all are taken.
    fn find(&self, id: K) -> usize {
        let mask = self.places.len() - 1;
        let mut place = self.own_place(id);
        while self.places[place].as_ref().is_some_and(|(other, _)| *other != id) {
            place = (place + 1) & mask;
        }
        place
    }

    fn own_place(&self, id: K) -> usize {
        // The upper bits are those that depend on all others.
        let spread = id.number().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (spread >> (u64::BITS - self.places.len().trailing_zeros())) as usize
    }

    fn resize(&mut self, places: usize) {
        for (id, value) in mem::replace(&mut self.places, empty(places)).into_iter().flatten() {
            let place = self.find(id);
            self.places[place] = Some((id, value));
        }
    }
}

fn empty<K, V>(places: usize) -> Vec<Option<(K, V)>> {
    (0..places).map(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_holds_what_a_map_would() {
        let (mut table, mut map) = (Table::default(), BTreeMap::new());
        assert_eq!(table.get(ConnId(1)), None);
        assert_eq!(table.remove(ConnId(1)), None);
        let mut dice = 1u64;
        for round in 0..20_000u64 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Few ids, so that they meet; some of them far away, as those of guests are.
            let id = ConnId((dice >> 33) % 200 + (dice >> 60 & 1) * (1 << 63));
            match dice >> 50 & 3 {
                0 => assert_eq!(table.remove(id), map.remove(&id)),
                1 => assert_eq!(*table.get_or_insert(id, round), *map.entry(id).or_insert(round)),
                _ => {
                    table.insert(id, round);
                    map.insert(id, round);
                }
            }
            assert_eq!(table.get(id), map.get(&id));
            assert_eq!(table.count, map.len());
        }
        for (id, value) in map {
            assert_eq!(table.remove(id), Some(value));
        }
        assert_eq!(table.places.len(), PLACES_MIN, "what there was takes no room");
    }
}
