//! When something was written, so that any two writings have an order: hybrid logical time.

use std::fmt;

use crate::wire::base36;
use crate::wire::names::ServerId;
use crate::wire::time::Timestamp;

/// A reading of a hybrid logical clock; any two differ, and one server's only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    pub ms: u64,
    pub count: u16,
    pub server: ServerId,
}

impl Stamp {
    /// Below and above every stamp that is ever given out.
    pub const LOWEST: Stamp = Stamp { ms: 0, count: 0, server: ServerId::LOWEST };
    pub const HIGHEST: Stamp = Stamp { ms: u64::MAX, count: u16::MAX, server: ServerId::LOWEST };

    pub fn time(self) -> Timestamp {
        Timestamp(self.ms)
    }

    /// The time and count as one number, as it goes over the wire.
    pub fn number(self) -> u64 {
        self.ms << 16 | u64::from(self.count)
    }

    pub fn from_number(number: u64, server: ServerId) -> Stamp {
        Stamp { ms: number >> 16, count: (number & 0xffff) as u16, server }
    }

    /// The latest stamp of a server that lies before this one, though it was never given out by its clock.
    pub fn just_before(self, server: ServerId) -> Stamp {
        Stamp::from_number(self.number().saturating_sub(1), server)
    }

    pub fn parse(text: &str) -> Option<Stamp> {
        let (number, server) = text.split_once('.')?;
        Some(Stamp::from_number(base36::parse(number)?, ServerId::parse(server)?))
    }
}

/// `2s1k0ftdg0.7FA`
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", base36::encode(self.number()), self.server)
    }
}

/// Gives out stamps: never behind the wall clock, never behind anything it has seen.
#[derive(Clone, Debug)]
pub struct Clock {
    server: ServerId,
    ms: u64,
    count: u16,
}

impl Clock {
    /// A clock whose first stamp lies above `floor_ms`, where an earlier run of this server left off.
    pub fn new(server: ServerId, floor_ms: u64) -> Clock {
        Clock { server, ms: floor_ms, count: u16::MAX }
    }

    pub fn tick(&mut self, wall: Timestamp) -> Stamp {
        if wall.0 > self.ms {
            self.ms = wall.0;
            self.count = 0;
        } else if self.count == u16::MAX {
            self.ms += 1;
            self.count = 0;
        } else {
            self.count += 1;
        }
        Stamp { ms: self.ms, count: self.count, server: self.server }
    }

    /// From here on all stamps lie above this one, which somebody else gave out.
    pub fn observe(&mut self, stamp: Stamp) {
        if (stamp.ms, stamp.count) > (self.ms, self.count) {
            self.ms = stamp.ms;
            self.count = stamp.count;
        }
    }

    /// The highest time given out or seen.
    pub fn ms(&self) -> u64 {
        self.ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerId {
        ServerId::parse(text).unwrap()
    }

    #[test]
    fn stamps_of_one_server_only_rise_even_when_the_wall_clock_steps_back() {
        let mut clock = Clock::new(server("1AA"), 0);
        let walls = [5, 5, 5, 9, 2, 2, 9, 10];
        let stamps: Vec<_> = walls.map(|ms| clock.tick(Timestamp(ms))).to_vec();
        assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
    }

    #[test]
    fn a_stamp_lies_above_all_that_its_writer_had_seen() {
        let mut clock = Clock::new(server("1AA"), 0);
        let seen = Stamp { ms: 500, count: 7, server: server("2BB") };
        clock.observe(seen);
        assert!(clock.tick(Timestamp(3)) > seen);
    }

    #[test]
    fn a_restarted_clock_begins_above_its_floor() {
        let mut clock = Clock::new(server("1AA"), 800);
        assert_eq!(clock.tick(Timestamp(3)).ms, 801);
    }

    #[test]
    fn stamps_survive_the_wire() {
        let stamp = Stamp { ms: 1_795_244_165_123, count: 65_535, server: server("7FA") };
        assert_eq!(Stamp::parse(&stamp.to_string()), Some(stamp));
        for text in ["", ".", "zz", "-1.7FA", "+1.7FA", "1.7fa"] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }
}
