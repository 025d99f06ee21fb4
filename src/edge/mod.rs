//! Threads, sockets and files: no rules.

mod allowance;
pub mod beacon;
mod capacity;
pub mod cli;
mod conn;
pub mod data;
pub mod discover;
pub mod discovery;
mod flusher;
pub mod identity;
pub mod invite;
pub mod join;
pub mod joincode;
pub mod lan;
mod outbox;
pub mod pairing;
pub mod password;
pub mod running;
pub mod serve;
pub mod settings;
mod shared;
mod socket;
mod suspect;
mod threads;
mod tls;

use crate::config::Config;
use crate::engine::{Event, Report};

/// Stands in for the threads until they are here: takes nothing, says nothing.
pub struct Running {
    services: running::Services,
}

pub fn start(config: Config, _node: identity::Node, _source: settings::Source) -> Result<Running, String> {
    let read = |texts: &[String]| texts.iter().filter_map(|text| text.parse().ok()).collect();
    let listen = &config.listen;
    Ok(Running {
        services: running::Services {
            irc: read(&listen.irc),
            ircs: read(&listen.ircs),
            link: read(&listen.link),
        },
    })
}

impl Running {
    pub fn addresses(&self) -> running::Services {
        self.services.clone()
    }

    pub fn report(&self) -> Report {
        Report::default()
    }

    pub fn inject(&self, event: Event) {
        log::info!(target: "folkmoot::server", "{event:?}");
    }

    pub fn stop(&self, why: &str) {
        log::info!(target: "folkmoot::server", "stopped why={why}");
    }
}
