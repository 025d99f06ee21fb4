//! Whether the simulation would find anything: each planted defect must be caught by a schedule or by some seed.
//!
//! `cargo test --release --features defects --test defects`

#[path = "support/storm/mod.rs"]
mod storm;

use std::panic::{AssertUnwindSafe, catch_unwind};

use folkmoot::defect::{Defect, plant};

/// Within so many seeds.
const SEEDS: u64 = 1_000;

/// Defects of which chance gives no sign, or hardly any: these schedules were written to show them.
const SHOWN_BY: &[(Defect, &str)] = &[
    (Defect::LatestArrivalWins, "of two topics set apart the later shows everywhere"),
    (Defect::OverIgnored, "an old write that comes after its remover changes nothing"),
    (Defect::MergeKeepsTheDead, "what only the dead had seen go stays gone"),
    (Defect::TrimmedLogSuffices, "what only the dead had seen go stays gone"),
    (Defect::MergedInParts, "half a snapshot is none"),
    (Defect::ShownEarly, "half a snapshot is none"),
    (Defect::EarlyForgotten, "an old write that comes after its remover changes nothing"),
    (Defect::DeadReplacesNothing, "a write that is dead when it comes still replaces what it replaced"),
    (Defect::LaterRunIgnored, "a server whose disk was put back begins beyond what others remember"),
    (Defect::StatusForAnyJoin, "a status counts for the join that it was given to"),
    (Defect::EarlierRunIsMine, "what was said in a run that is over is not said again"),
    (Defect::ClockFallsBack, "a clock that was set back goes on from where it was"),
    (Defect::NickForBoth, "of two that trade nicks across a split nobody is called the same"),
    (Defect::EarlyOfAnyKey, "nobody ends what is to come by guessing its number"),
    (Defect::OwnedByAnyone, "nobody writes of another server's users"),
    (Defect::ForgeryStays, "what was forged on its way is put right by its writer"),
    (Defect::LiesOutliveLinks, "what a liar brought before its turn ends with its link"),
    (
        Defect::LiesOutliveLinks,
        "one false time keeps nobody from hearing an origin for longer than its link lasts",
    ),
];

fn outcome(play: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|_| Err("an engine met a bug".into()))
}

#[test]
fn every_planted_defect_is_caught_by_some_seed_or_by_the_schedule_that_was_written_for_it() {
    let mut missed = Vec::new();
    for defect in Defect::ALL {
        plant(Some(defect));
        let scheduled: Vec<&str> =
            SHOWN_BY.iter().filter(|(shown, _)| *shown == defect).map(|(_, what)| *what).collect();
        for (what, play) in storm::schedules::ALL.iter().filter(|(what, _)| scheduled.contains(what)) {
            match outcome(play) {
                Err(why) => println!("{defect:?} is caught by \"{what}\": {}", start(&why)),
                Ok(()) => missed.push((defect, *what)),
            }
        }
        if scheduled.is_empty() {
            match (1..=SEEDS)
                .find_map(|seed| outcome(|| storm::play(seed, false)).err().map(|why| (seed, why)))
            {
                Some((seed, why)) => println!("{defect:?} is caught by seed {seed}: {}", start(&why)),
                None => missed.push((defect, "any seed")),
            }
        }
    }
    plant(None);
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
}

fn start(why: &str) -> String {
    why.chars().take(160).collect()
}

#[test]
fn without_a_defect_the_same_seeds_and_schedules_pass() {
    plant(None);
    for seed in 1..=50 {
        assert_eq!(outcome(|| storm::play(seed, false)), Ok(()), "FOLKMOOT_SEED={seed}");
    }
    for (what, play) in storm::schedules::ALL {
        assert_eq!(outcome(play), Ok(()), "{what}");
    }
}
