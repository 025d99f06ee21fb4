//! Plays every file of `tests/transcripts` on a simulated network.

#[path = "support/dice.rs"]
#[allow(dead_code)]
mod dice;
#[path = "support/disk.rs"]
// Each test takes what it needs of it.
#[allow(dead_code)]
mod disk;
#[path = "support/player.rs"]
mod player;
#[path = "support/simulated.rs"]
#[allow(dead_code)]
mod simulated;
mod support;

use simulated::Simulated;

fn play(name: &str) {
    support::play::play(name, &mut Simulated::default());
}

include!(concat!(env!("OUT_DIR"), "/transcripts.rs"));
