//! The thread that touches the disk for the router: settings are read again, clock, epoch and secrets are kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::data::DataDirectory;
use super::reload::Reload;
use super::rotation;
use super::secrets::SecretBook;
use super::shared::Shared;
use crate::engine::{AskId, Secrets};

/// What the router asks for.
#[derive(Debug)]
pub enum Task {
    ReadConfig { ask: AskId },
    KeepClock { ms: u64 },
    KeepEpoch { epoch: u32 },
    KeepSecrets { secrets: Secrets },
}

/// Unbounded: these come seconds apart, and none may be lost.
pub fn tasks() -> (Sender<Task>, Receiver<Task>) {
    crossbeam_channel::unbounded()
}

/// Where settings come from, and where state is kept.
pub struct Keeper {
    pub reload: Arc<Reload>,
    pub secrets: Arc<SecretBook>,
    pub data: Arc<DataDirectory>,
}

impl Keeper {
    /// Works until the router is gone and everything is done.
    pub fn run(&self, shared: &Shared, tasks: &Receiver<Task>) {
        // A disk that is full stays so for a while, and a server on which nothing happens does not keep it awake.
        let mut failing = BTreeSet::new();
        let mut clock_kept_ms = None;
        for task in tasks {
            let (what, outcome) = match task {
                Task::ReadConfig { ask } => {
                    shared.tell(self.reload.read(Some(ask)));
                    continue;
                }
                Task::KeepClock { ms } if clock_kept_ms == Some(ms) => continue,
                Task::KeepClock { ms } => {
                    let outcome = self.data.keep_clock(ms);
                    clock_kept_ms = outcome.is_ok().then_some(ms);
                    ("clock", outcome)
                }
                Task::KeepSecrets { secrets } => {
                    let outcome = self.secrets.keep(&self.data, secrets);
                    rotation::answer(&self.data, &outcome);
                    ("secret", outcome)
                }
                Task::KeepEpoch { epoch } => ("epoch", self.data.keep_epoch(epoch)),
            };
            match outcome {
                Err(why) if failing.insert(what) => {
                    log::error!(target: "folkmoot::server", "the {what} cannot be kept: {why}");
                }
                Ok(()) if failing.remove(what) => {
                    log::info!(target: "folkmoot::server", "the {what} can be kept again");
                }
                _ => {}
            }
        }
    }
}
