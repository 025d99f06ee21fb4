//! Whether a link is silent for longer than it ever is: a phi-accrual estimate over its pauses.
//!
//! Each end says something every few seconds, so a pause has a usual length, which the latest of them tell: their mean
//! and their deviation. How far beyond those a silence has gone is how much it is to be suspected; where the link
//! is slow and uneven, more is usual. Whole numbers only, so that two runs suspect alike.

use std::collections::VecDeque;

/// How many pauses are remembered; one comes every few seconds.
const PAUSES_KEPT: usize = 64;

/// Lines of one burst say nothing of how long a silence may be.
const PAUSE_LEAST_MS: u64 = 1_000;

/// A mean below this shows only that there was much to say lately: how often a peer with nothing to say makes itself
/// heard.
const MEAN_LEAST_MS: u64 = 5_000;

/// However regular pauses were, one may be longer by a busy moment of either machine.
const DEVIATION_LEAST_MS: u64 = 600;

/// Until so many pauses are known, they may turn out to be uneven.
const PAUSES_TELLING: usize = 8;
const DEVIATION_UNKNOWN_MS: u64 = 1_250;

/// Phi 8: of pauses spread like a bell, one in 10^8 is longer than their mean and so many tenths of their deviation.
const DEVIATIONS_TENTHS: u64 = 56;

/// When a link was heard, and how it usually is.
#[derive(Clone, Debug)]
pub struct Suspicion {
    heard_ms: u64,
    pauses_ms: VecDeque<u64>,
}

impl Suspicion {
    pub fn new(now_ms: u64) -> Suspicion {
        Suspicion { heard_ms: now_ms, pauses_ms: VecDeque::new() }
    }

    pub fn heard(&mut self, now_ms: u64) {
        let pause_ms = self.silent_ms(now_ms);
        self.heard_ms = now_ms;
        if pause_ms >= PAUSE_LEAST_MS {
            if self.pauses_ms.len() == PAUSES_KEPT {
                self.pauses_ms.pop_front();
            }
            self.pauses_ms.push_back(pause_ms);
        }
    }

    pub fn silent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.heard_ms)
    }

    pub fn is_suspected(&self, now_ms: u64) -> bool {
        self.silent_ms(now_ms) > self.usual_ms_max()
    }

    /// The longest silence that need not mean anything.
    fn usual_ms_max(&self) -> u64 {
        let count = self.pauses_ms.len() as u64;
        let mean_ms = self.pauses_ms.iter().sum::<u64>().checked_div(count).unwrap_or(0);
        let squares = self.pauses_ms.iter().map(|pause_ms| pause_ms.abs_diff(mean_ms).pow(2));
        let deviation_ms = squares.sum::<u64>().checked_div(count).unwrap_or(0).isqrt();
        let least_ms =
            if self.pauses_ms.len() < PAUSES_TELLING { DEVIATION_UNKNOWN_MS } else { DEVIATION_LEAST_MS };
        mean_ms.max(MEAN_LEAST_MS) + deviation_ms.max(least_ms) * DEVIATIONS_TENTHS / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets lines arrive after these pauses, and says whether any of them was suspected; then the silence after
    /// which suspicion comes.
    fn after(pauses_ms: impl IntoIterator<Item = u64>) -> (bool, u64) {
        let mut suspicion = Suspicion::new(0);
        let (mut now_ms, mut was_suspected) = (0, false);
        for pause_ms in pauses_ms {
            now_ms += pause_ms;
            was_suspected |= suspicion.is_suspected(now_ms);
            suspicion.heard(now_ms);
        }
        let silence_ms = (0..).step_by(250).find(|silent_ms| suspicion.is_suspected(now_ms + silent_ms));
        (was_suspected, silence_ms.expect("every silence is suspected in the end"))
    }

    #[test]
    fn who_is_heard_as_usual_is_never_suspected_and_who_stops_is_soon() {
        let regular = || std::iter::repeat_n(5_000, 500);
        // The PONG to our PING comes between two of theirs.
        let both = || (0..500).map(|number| if number % 2 == 0 { 1_700 } else { 3_300 });
        let busy = || (0..5_000).map(|number| if number % 100 == 0 { 5_250 } else { 3 });
        // Wherever the ticks of both ends fall.
        let ticks = || (0..500).map(|number| 4_750 + number * 7 % 3 * 250);
        for (name, outcome) in [
            ("regular", after(regular())),
            ("both", after(both())),
            ("busy", after(busy())),
            ("ticks", after(ticks())),
        ] {
            let (was_suspected, silence_ms) = outcome;
            assert!(!was_suspected, "{name}");
            assert!((8_000..10_000).contains(&silence_ms), "{name}: {silence_ms}");
        }
    }

    #[test]
    fn a_slow_and_uneven_link_is_never_suspected_for_being_so() {
        for (spread_ms, silence_ms_max) in [(2_000, 16_000), (4_000, 20_000), (6_000, 28_000)] {
            // 3 to 9 s and the like, with no pattern to them.
            let mut number = 7u64;
            let uneven = (0..2_000).map(|_| {
                number = number.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                3_000 + (number >> 33) % (spread_ms + 1)
            });
            let (was_suspected, silence_ms) = after(uneven);
            assert!(!was_suspected, "{spread_ms}");
            assert!((8_000..silence_ms_max).contains(&silence_ms), "{spread_ms}: {silence_ms}");
        }
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let uneven_once = [9_000, 2_000, 9_000, 2_000].into_iter();
        assert_eq!(after(uneven_once.chain(std::iter::repeat_n(5_000, PAUSES_KEPT))), (false, 8_500));
    }

    #[test]
    fn a_new_link_is_given_more_time() {
        assert_eq!(after([]), (false, 12_250));
        assert!(!after([11_000, 1_100, 11_500]).0);
    }
}
