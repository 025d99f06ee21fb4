//! Whether the simulation would find anything: each planted defect must be caught by some seed.
//!
//! `cargo test --release --features defects --test defects`

#[path = "support/storm/mod.rs"]
mod storm;

use std::panic::{AssertUnwindSafe, catch_unwind};

use folkmoot::defect::{Defect, plant};

/// Within so many seeds.
const SEEDS: u64 = 1_000;

fn outcome(seed: u64) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| storm::play(seed, false)));
    outcome.unwrap_or_else(|_| Err("an engine met a bug".into()))
}

#[test]
fn every_planted_defect_is_caught() {
    let mut missed = Vec::new();
    for defect in Defect::ALL {
        plant(Some(defect));
        match (1..=SEEDS).find_map(|seed| outcome(seed).err().map(|why| (seed, why))) {
            Some((seed, why)) => println!("{defect:?} is caught by seed {seed}: {why}"),
            None => missed.push(defect),
        }
    }
    plant(None);
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
}

#[test]
fn without_a_defect_the_same_seeds_pass() {
    plant(None);
    for seed in 1..=50 {
        assert_eq!(outcome(seed), Ok(()), "FOLKMOOT_SEED={seed}");
    }
}
