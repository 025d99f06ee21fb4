//! Where this server stands: the addresses at which others reach it, and what the machine can hold.

use super::lan;
use super::running::Services;
use crate::engine::{ClientDoor, Situation};

/// A look at the machine as it is now.
pub fn look(services: &Services, clients_possible: usize) -> Situation {
    let interfaces = lan::interfaces();
    let lists = [(&services.irc, false), (&services.ircs, true)];
    let doors = lists.into_iter().flat_map(|(listeners, secure)| {
        let reachable = lan::reachable(listeners, &interfaces).into_iter();
        reachable.map(move |at| ClientDoor { host: at.ip().to_string(), port: at.port(), secure })
    });
    Situation { doors: doors.collect(), clients_possible }
}
