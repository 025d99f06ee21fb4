//! Plays the files of `tests/transcripts` on real processes, linked over loopback.

#[path = "support/process/mod.rs"]
mod process;
#[path = "support/process/stage.rs"]
mod stage;
// New output is written down where every run is the same, and so not from here.
#[allow(dead_code)]
mod support;

use stage::Processes;

fn play(name: &str) {
    support::play::play(name, &mut Processes::default());
}

include!(concat!(env!("OUT_DIR"), "/processes.rs"));
