//! Many look-ups in one map, of keys that are asked for in order: where most of what is there is wanted, to walk along
//! it takes a fraction of what a search for each would.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;

/// So many that nobody asks for are walked past before there is a search.
const STEPS_MAX: usize = 8;

pub struct InOrder<'m, K, V> {
    map: &'m BTreeMap<K, V>,
    /// What comes behind all that was asked for.
    rest: Peekable<Range<'m, K, V>>,
}

impl<'m, K: Ord, V> InOrder<'m, K, V> {
    pub fn new(map: &'m BTreeMap<K, V>) -> InOrder<'m, K, V> {
        InOrder { map, rest: map.range::<K, _>(..).peekable() }
    }

    /// What there is of a key that is greater than all that were asked for before.
    pub fn get(&mut self, key: &K) -> Option<&'m V> {
        for _ in 0..STEPS_MAX {
            match self.rest.peek()?.0.cmp(key) {
                Ordering::Less => drop(self.rest.next()),
                Ordering::Equal => return self.rest.next().map(|(_, value)| value),
                Ordering::Greater => return None,
            }
        }
        self.rest = self.map.range(key..).peekable();
        self.rest.next_if(|(found, _)| *found == key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_in_order_is_found_as_by_a_search_for_each() {
        let map: BTreeMap<u32, u32> =
            (0..1_000).filter(|key| key % 3 != 0).map(|key| (key, key * 2)).collect();
        // Next to each other, in reach of a few steps, beyond them, and behind all that is there.
        for apart in [1, 2, 7, 11, 12, 13, 14, 100, 2_000] {
            let mut in_order = InOrder::new(&map);
            for key in (0..1_100).step_by(apart) {
                assert_eq!(in_order.get(&key), map.get(&key), "{key}, {apart} apart");
            }
        }
    }
}
