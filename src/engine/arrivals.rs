//! How many people have lately come to channels that take only so many at once.

use std::collections::{BTreeMap, VecDeque};

use super::Engine;
use super::mode::Flood;
use super::network::Channel;
use crate::wire::fold::Folded;

/// Of more channels, those are forgotten where nobody has come for longest.
const CHANNELS_MAX: usize = 256;

/// When people came, as this server saw it, wherever they came from.
#[derive(Debug, Default)]
pub struct Arrivals {
    came_ms: BTreeMap<Folded, VecDeque<u64>>,
}

impl Arrivals {
    fn note(&mut self, channel: &Folded, most: usize, now_ms: u64) {
        if !self.came_ms.contains_key(channel) && self.came_ms.len() >= CHANNELS_MAX {
            let stalest = self.came_ms.iter().min_by_key(|(_, came_ms)| came_ms.back().copied());
            if let Some(stalest) = stalest.map(|(name, _)| name.clone()) {
                self.came_ms.remove(&stalest);
            }
        }
        let came_ms = self.came_ms.entry(channel.clone()).or_default();
        came_ms.push_back(now_ms);
        while came_ms.len() > most {
            came_ms.pop_front();
        }
    }

    /// Whether as many have come within these milliseconds as may.
    fn are_many(&self, channel: &Folded, most: usize, within_ms: u64, now_ms: u64) -> bool {
        let Some(came_ms) = self.came_ms.get(channel) else { return false };
        came_ms.iter().filter(|came_ms| now_ms < **came_ms + within_ms).count() >= most
    }
}

fn joins_of(channel: &Channel) -> Option<(usize, u64)> {
    channel.mode_value('f').and_then(Flood::parse)?.joins
}

impl Engine {
    /// Somebody has come; who only comes back when a network heals has not.
    pub(super) fn note_arrival(&mut self, name: &Folded) {
        let joins = self.network.channel(name).and_then(joins_of);
        if let Some((most, _)) = joins.filter(|_| !self.mending.contains_key(name)) {
            self.arrivals.note(name, most, self.now.steady_ms);
        }
    }

    /// Whether so many have just come to a channel that nobody else may, for a while.
    pub(super) fn is_overrun(&self, channel: &Channel) -> bool {
        joins_of(channel).is_some_and(|(most, seconds)| {
            self.arrivals.are_many(&channel.id(), most, seconds * 1000, self.now.steady_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fold::fold;

    #[test]
    fn as_many_as_may_come_within_the_time_are_many() {
        let (mut arrivals, green) = (Arrivals::default(), fold("#green"));
        for now_ms in [0, 4_000, 5_000] {
            assert!(!arrivals.are_many(&green, 3, 10_000, now_ms), "{now_ms}");
            arrivals.note(&green, 3, now_ms);
        }
        assert!(arrivals.are_many(&green, 3, 10_000, 9_999));
        assert!(!arrivals.are_many(&green, 3, 10_000, 10_000), "the first is too long ago");
        assert!(!arrivals.are_many(&fold("#red"), 3, 10_000, 9_999), "each channel for itself");
        for number in 0..1_000 {
            arrivals.note(&fold(&format!("#{number}")), 3, 20_000 + number);
        }
        assert_eq!(arrivals.came_ms.len(), CHANNELS_MAX);
    }
}
