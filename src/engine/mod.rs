//! The rules: events in, effects out. Pure: the same events at the same times have the same effects.

mod effect;
mod event;
mod merge;
mod network;
mod report;

pub use effect::{Effect, Secret, Topic};
pub use event::{AskId, Beacon, ConnId, Event, Origin, Pin};
pub use report::Report;

use crate::config::Config;
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::Now;

/// Who this server is, beyond its settings: made or found at start, and fixed from then on.
#[derive(Clone, Debug)]
pub struct Identity {
    pub sid: ServerId,
    pub name: ServerName,
    /// Rises by one at each start.
    pub epoch: u32,
    /// The network's shared secret.
    pub secret: Vec<u8>,
    pub pin: Pin,
    /// No stamp given out before this start is above this.
    pub clock_floor_ms: u64,
    /// All the randomness that the engine ever gets.
    pub seed: [u8; 32],
    /// Shown by VERSION: the program's version and revision.
    pub version: String,
}

/// One server's mind.
pub struct Engine {
    config: Config,
    identity: Identity,
}

impl Engine {
    pub fn new(config: Config, identity: Identity, _now: Now) -> Engine {
        Engine { config, identity }
    }

    /// Takes one event to its end.
    pub fn step(&mut self, _now: Now, _event: Event) -> Vec<Effect> {
        let _ = (&self.config, &self.identity);
        Vec::new()
    }

    /// What may be known of it from outside.
    pub fn report(&self) -> Report {
        Report::default()
    }
}
