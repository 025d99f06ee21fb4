//! What somebody has used of a rate: one point in time, up to which all that they did has been earned.

use std::time::Duration;

use crate::config::Rate;

/// Times count from any point, as long as it is the same one for one meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    earned_until: Duration,
}

impl Meter {
    /// Once more, if that is not too often; or how long to wait for it.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let wait = self.wait(rate, now);
        if wait.is_zero() {
            self.charge(rate, 1, now);
            return Ok(());
        }
        Err(wait)
    }

    /// How long until once more is not too often.
    pub fn wait(&self, rate: Rate, now: Duration) -> Duration {
        (self.earned_until.saturating_sub(now) + rate.each()).saturating_sub(rate.within)
    }

    /// So many more, also where that is more than there was: it has to be earned before the next.
    pub fn charge(&mut self, rate: Rate, count: u32, now: Duration) {
        self.earned_until = self.earned_until.max(now) + rate.each() * count;
    }

    /// How long it takes to earn all that was used.
    pub fn used(&self, now: Duration) -> Duration {
        self.earned_until.saturating_sub(now)
    }

    /// Whether all has been earned again: as good as new.
    pub fn is_full(&self, now: Duration) -> bool {
        self.earned_until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_at_once_as_the_rate_says_and_then_evenly() {
        let rate = Rate::new(3, 30);
        let mut meter = Meter::default();
        let at = Duration::from_secs;
        for _ in 0..3 {
            assert_eq!(meter.take(rate, at(100)), Ok(()));
        }
        assert_eq!(meter.take(rate, at(100)), Err(at(10)));
        assert_eq!(meter.take(rate, at(105)), Err(at(5)), "to be refused costs nothing");
        assert_eq!(meter.take(rate, at(110)), Ok(()));
        assert!(meter.take(rate, at(110)).is_err());
        // A long silence is no more than all of it.
        assert!(meter.is_full(at(1000)));
        assert_eq!((0..9).filter(|_| meter.take(rate, at(1000)).is_ok()).count(), 3);
    }

    #[test]
    fn what_costs_more_than_there_is_has_to_be_earned_afterwards() {
        let rate = Rate::new(2, 2);
        let mut meter = Meter::default();
        meter.charge(rate, 5, Duration::ZERO);
        assert_eq!(meter.wait(rate, Duration::ZERO), Duration::from_secs(4));
    }
}
