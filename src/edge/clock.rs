//! Time as the engine gets it: the clock on the wall, and one that stands still with the server.

use std::time::{Duration, Instant};

use super::identity::wall_clock;
use crate::wire::time::Now;

/// Ticks come much more often; time beyond this between two batches is time in which nobody could be heard.
const STEP_MAX: Duration = Duration::from_secs(1);
/// From here on that is worth a word.
const STILL_MAX: Duration = Duration::from_secs(2);

/// Time as the engine gets it: the clock on the wall, and one that only runs while the router does.
///
/// While this server stood still it heard nobody, so nobody was silent for that long: neither clients nor links are to
/// be given up for it.
pub struct Clock {
    steady: Duration,
    looked: Instant,
}

impl Clock {
    pub fn new(started: Instant) -> Clock {
        Clock { steady: Duration::ZERO, looked: started }
    }

    /// When it was last looked at.
    pub fn looked(&self) -> Instant {
        self.looked
    }

    pub fn now(&mut self, now: Instant) -> Now {
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        self.steady += passed.min(STEP_MAX);
        if passed > STILL_MAX {
            log::warn!(
                target: "folkmoot::server",
                "this server stood still, as the machine was paused or has too much to do: seconds={}", passed.as_secs()
            );
        }
        Now { wall: wall_clock(), steady_ms: u64::try_from(self.steady.as_millis()).unwrap_or(u64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_server_stands_still_nobody_is_silent() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let mut steady_ms = |after_ms| clock.now(start + Duration::from_millis(after_ms)).steady_ms;
        assert_eq!(steady_ms(250), 250);
        assert_eq!(steady_ms(60_250), 1_250);
        assert_eq!(steady_ms(60_500), 1_500);
        // Two looks at one clock may come in any order.
        assert_eq!(steady_ms(60_400), 1_500);
    }
}
