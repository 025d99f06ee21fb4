//! The thread that touches the disk for the router: settings are read again, clock and epoch are kept.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::data::DataDirectory;
use super::settings::Source;
use super::shared::Shared;
use crate::engine::{AskId, Event};

/// What the router asks for.
#[derive(Debug)]
pub enum Task {
    ReadConfig { ask: AskId },
    KeepClock { ms: u64 },
    KeepEpoch { epoch: u32 },
}

/// Unbounded: these come seconds apart, and none may be lost.
pub fn tasks() -> (Sender<Task>, Receiver<Task>) {
    crossbeam_channel::unbounded()
}

/// Where settings come from, and where state is kept.
pub struct Keeper {
    pub source: Source,
    pub data: Arc<DataDirectory>,
}

impl Keeper {
    /// Works until the router is gone and everything is done.
    pub fn run(&self, shared: &Shared, tasks: &Receiver<Task>) {
        for task in tasks {
            let (what, outcome) = match task {
                Task::ReadConfig { ask } => {
                    let outcome = self.source.read_again();
                    shared.tell(Event::Configured { ask: Some(ask), outcome });
                    continue;
                }
                Task::KeepClock { ms } => ("clock", self.data.keep_clock(ms)),
                Task::KeepEpoch { epoch } => ("epoch", self.data.keep_epoch(epoch)),
            };
            if let Err(why) = outcome {
                log::error!(target: "folkmoot::server", "the {what} could not be kept: {why}");
            }
        }
    }
}
