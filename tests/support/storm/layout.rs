//! What a network is made of before anything happens to it: how many servers, which cables, which settings.

use std::collections::BTreeSet;

use super::dice::Dice;

pub struct Layout {
    pub servers: usize,
    /// Which servers have a cable between them, the lower number first.
    pub cables: BTreeSet<(usize, usize)>,
    pub hold_s: u64,
    pub forget_after_s: u64,
    pub events_kept: usize,
    pub messages_kept: usize,
    /// Clocks are up to this far from the true time.
    pub clocks_apart_ms: u64,
    /// Links take up to so long; unless this is set for them all they differ, and some are slow.
    pub delay_ms: Option<u64>,
    /// How much of what takes long servers do at once.
    pub slice: usize,
}

impl Layout {
    /// A network for a test that says itself what happens: every server has a cable to every other,
    /// and everything takes the same time.
    pub fn plain(servers: usize) -> Layout {
        let all = (0..servers).flat_map(|a| (a + 1..servers).map(move |b| (a, b)));
        Layout {
            servers,
            cables: all.collect(),
            hold_s: 5,
            forget_after_s: 60,
            events_kept: 2_000,
            messages_kept: 10_000,
            clocks_apart_ms: 0,
            delay_ms: Some(1),
            slice: 256,
        }
    }

    pub fn rolled(dice: &mut Dice) -> Layout {
        let servers = 3 + dice.below(7) as usize;
        let mut cables: BTreeSet<(usize, usize)> = BTreeSet::new();
        match dice.below(4) {
            // A ring, a star, a chain; or a chain with some ways around.
            0 => cables.extend((0..servers).map(|a| sorted(a, (a + 1) % servers))),
            1 => cables.extend((1..servers).map(|b| (0, b))),
            2 => cables.extend((1..servers).map(|b| (b - 1, b))),
            _ => {
                cables.extend((1..servers).map(|b| (b - 1, b)));
                let all = (0..servers).flat_map(|a| (a + 1..servers).map(move |b| (a, b)));
                cables.extend(all.filter(|_| dice.one_in(3)));
            }
        }
        // With few, whoever missed more has to compare all that both know.
        let (events_kept, messages_kept) = match dice.below(3) {
            0 => (0, 2),
            1 => (dice.below(8) as usize, 10_000),
            _ => (2_000, 10_000),
        };
        Layout {
            servers,
            cables,
            hold_s: 1 + dice.below(12),
            forget_after_s: 30 + dice.below(120),
            events_kept,
            messages_kept,
            clocks_apart_ms: 3_000,
            delay_ms: None,
            // People come and go by an eighth of it.
            slice: *dice.pick(&[256, 8, 16]).expect("there are some"),
        }
    }
}

/// The two ends of a cable, the lower number first.
pub fn sorted(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}
