//! What a link costs in the map: little where it is fast, more where it is slow, much where it may be dead.
//!
//! Costs are coarse, change by one step at a time, and go back only after a while of calm: every change makes new
//! trees everywhere.

use std::collections::VecDeque;

/// Round trips up to so long, and what a link with such costs. The direct way over a slow link is left for two
/// fast ones, never for two of the same kind.
const STEPS: [(u64, u32); 5] = [(20, 1), (80, 2), (250, 4), (1_000, 8), (u64::MAX, 16)];

/// What a link costs more while it is suspected: more than any way around, less than having none.
const SUSPECTED_COST: u32 = 1_000;

/// So many of the latest round trips are looked at; the best of them counts, since a queue makes any of them long.
const ROUND_TRIPS_KEPT: usize = 4;

/// How long a link must have been calm before it costs less again, and how often it may get slower or faster.
const CALM_MS: u64 = 10_000;

/// One link's cost, and what it is drawn from.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    round_trips_ms: VecDeque<u64>,
    step: usize,
    /// When the step was last changed.
    stepped_ms: u64,
    /// When it was last suspected; `None` once that is over.
    suspected_ms: Option<u64>,
}

impl Cost {
    pub fn value(&self) -> u32 {
        STEPS[self.step].1 + if self.suspected_ms.is_some() { SUSPECTED_COST } else { 0 }
    }

    pub fn is_suspected(&self) -> bool {
        self.suspected_ms.is_some()
    }

    pub fn measured(&mut self, round_trip_ms: u64, now_ms: u64) {
        if self.round_trips_ms.is_empty() {
            // Nothing else is known: no reason to go there step by step.
            self.step = STEPS.iter().position(|(most_ms, _)| round_trip_ms <= *most_ms).unwrap_or(0);
            self.stepped_ms = now_ms;
        }
        if self.round_trips_ms.len() == ROUND_TRIPS_KEPT {
            self.round_trips_ms.pop_front();
        }
        self.round_trips_ms.push_back(round_trip_ms);
    }

    /// Draws it anew, at every tick.
    pub fn settle(&mut self, is_suspected: bool, now_ms: u64) {
        if is_suspected {
            self.suspected_ms = Some(now_ms);
        } else if self.suspected_ms.is_some_and(|last_ms| now_ms >= last_ms + CALM_MS) {
            self.suspected_ms = None;
        }
        let Some(best_ms) = self.round_trips_ms.iter().min().copied() else { return };
        if now_ms < self.stepped_ms + CALM_MS {
            return;
        }
        // A quarter beyond the bound, so that a link at the bound does not go to and fro.
        let is_slower = best_ms > STEPS[self.step].0.saturating_mul(5) / 4;
        let is_faster = self.step > 0 && best_ms < STEPS[self.step - 1].0 * 3 / 4;
        let is_full = self.round_trips_ms.len() == ROUND_TRIPS_KEPT;
        if is_slower && is_full {
            self.step += 1;
        } else if is_faster {
            self.step -= 1;
        } else {
            return;
        }
        self.stepped_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four ticks a second for so long, with a round trip measured every 5 s; what it cost whenever that changed.
    fn costs(cost: &mut Cost, from_ms: u64, seconds: u64, round_trip_ms: impl Fn(u64) -> u64) -> Vec<u32> {
        let mut costs = vec![cost.value()];
        for now_ms in (from_ms..from_ms + seconds * 1_000).step_by(250) {
            if now_ms % 5_000 == 0 {
                cost.measured(round_trip_ms(now_ms / 5_000), now_ms);
            }
            cost.settle(false, now_ms);
            costs.push(cost.value());
        }
        costs.dedup();
        costs
    }

    #[test]
    fn the_first_round_trip_says_what_a_link_costs() {
        for (round_trip_ms, value) in [(0, 1), (20, 1), (21, 2), (200, 4), (900, 8), (30_000, 16)] {
            let mut cost = Cost::default();
            cost.measured(round_trip_ms, 0);
            assert_eq!(cost.value(), value, "{round_trip_ms} ms");
        }
    }

    #[test]
    fn a_link_that_gets_slower_costs_more_by_steps_and_back() {
        let mut cost = Cost::default();
        assert_eq!(costs(&mut cost, 0, 60, |_| 5), [1]);
        assert_eq!(costs(&mut cost, 60_000, 60, |_| 300), [1, 2, 4]);
        assert_eq!(costs(&mut cost, 120_000, 60, |_| 5), [4, 2, 1]);
    }

    #[test]
    fn single_slow_answers_and_those_about_a_bound_change_nothing() {
        let mut cost = Cost::default();
        assert_eq!(costs(&mut cost, 0, 600, |number| if number % 4 == 0 { 10 } else { 5_000 }), [1]);
        assert_eq!(costs(&mut cost, 600_000, 600, |number| 17 + number % 2 * 7), [1]);
    }

    #[test]
    fn suspicion_shows_at_once_and_goes_only_after_some_calm() {
        let mut cost = Cost::default();
        cost.settle(false, 0);
        cost.settle(true, 250);
        assert_eq!(cost.value(), 1 + SUSPECTED_COST);
        // It comes and goes: one change there, one back.
        for now_ms in (500..60_000).step_by(250) {
            cost.settle(now_ms / 3_000 % 2 == 0, now_ms);
            assert!(cost.is_suspected(), "{now_ms}");
        }
        let back_ms = (60_000..).step_by(250).find(|now_ms| {
            cost.settle(false, *now_ms);
            !cost.is_suspected()
        });
        assert!(back_ms.is_some_and(|ms| (66_000..=70_000).contains(&ms)), "{back_ms:?}");
        assert_eq!(cost.value(), 1);
    }
}
