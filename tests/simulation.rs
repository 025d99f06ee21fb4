//! Whole networks under one seed: delays, reordering between links, cuts that are noticed and cuts that are not,
//! crashes, servers that stand still, clocks that disagree, peers that say nonsense. After a calm every server must
//! show the same, and no client may ever have heard two things that cannot both be true.
//!
//! `FOLKMOOT_SEED=5` plays one seed (with `FOLKMOOT_TRACE=1` it says all that happens), `FOLKMOOT_SEEDS=1000` so many
//! (with `FOLKMOOT_FROM=500` from there on). Every fourth seed compares views after every step, not only facts.

#[path = "support/storm/mod.rs"]
mod storm;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many seeds are played when nobody says: so many that nobody is kept waiting.
const SEEDS: u64 = if cfg!(debug_assertions) { 10 } else { 40 };

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn networks_heal_from_whatever_happens() {
    let seeds = match setting("FOLKMOOT_SEED") {
        Some(seed) => seed..=seed,
        None => setting("FOLKMOOT_FROM").unwrap_or(1)..=setting("FOLKMOOT_SEEDS").unwrap_or(SEEDS),
    };
    let trace = setting("FOLKMOOT_TRACE").is_some();
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let outcome = catch_unwind(AssertUnwindSafe(|| storm::play(seed, trace)));
        match outcome.unwrap_or_else(|_| Err("an engine met a bug (see above)".into())) {
            Ok(()) => {}
            Err(why) => failed.push(format!("FOLKMOOT_SEED={seed} {why}")),
        }
    }
    let again =
        "one of them again: FOLKMOOT_SEED=… FOLKMOOT_TRACE=1 cargo test --release --test simulation networks";
    assert!(
        failed.is_empty(),
        "{} of {} seeds:\n{}\n{again}",
        failed.len(),
        seeds.count(),
        failed.join("\n")
    );
}

#[test]
fn schedules_that_chance_would_rarely_find_end_well() {
    for (what, play) in storm::schedules::ALL {
        println!("{what}");
        play().unwrap_or_else(|why| panic!("not so: {what}: {why}"));
    }
}
