//! Plays the files of `tests/transcripts` on a simulated network where what is on its way arrives in any order that a
//! real one could deliver it in: what people hear must not depend on who was quicker.

#[path = "support/dice.rs"]
#[allow(dead_code)]
mod dice;
#[path = "support/disk.rs"]
// Each test takes what it needs of it.
#[allow(dead_code)]
mod disk;
#[path = "support/simulated.rs"]
#[allow(dead_code)]
mod simulated;
// New output is written down where every run is the same, and so not from here.
#[allow(dead_code)]
mod support;

use dice::Dice;
use simulated::Simulated;

/// In how many orders each story is played; `FOLKMOOT_ORDERS` says it otherwise.
const ORDERS: u64 = 4;

fn play(name: &str) {
    let orders = std::env::var("FOLKMOOT_ORDERS").ok();
    let orders = orders.map_or(ORDERS, |orders| orders.parse().expect("FOLKMOOT_ORDERS is a number"));
    for order in 1..=orders {
        println!("order {order}");
        let mut stage = Simulated::default();
        stage.disorder = Some(Dice::new(order));
        support::play::play(name, &mut stage);
    }
}

include!(concat!(env!("OUT_DIR"), "/processes.rs"));
