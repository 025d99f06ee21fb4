//! What is said to everyone near: questions, answers and goodbyes, with the doors that stand open from there.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Talk;
use crate::edge::beacon::{self, About, Datagram, Door, Kind};
use crate::edge::identity::random;
use crate::edge::lan;
use crate::edge::running::Services;

/// How long an answer to one of our questions is believed.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl Talk {
    /// What to say to everyone near; each place with a nonce of its own, as the open ports differ by where one calls.
    pub(super) fn call(&mut self, kind: Kind, now: Instant, wall_ms: u64) -> Vec<(SocketAddr, Vec<u8>)> {
        self.asked.retain(|(at, _)| now < *at + ANSWER_WITHIN);
        let places = lan::everyone(&self.interfaces, self.announcement.port);
        let mut calls = Vec::new();
        // By former secrets first: whoever was away is to know us before it hears what it cannot read.
        for key in self.announcement.keys(wall_ms).iter().rev() {
            for (from, to) in &places {
                let nonce = random();
                self.asked.push((now, nonce));
                let datagram = self.datagram(kind, nonce, wall_ms, *from, to.is_ipv6());
                calls.push((*to, datagram.encode(Some(key), beacon::BYTES_MAX)));
            }
        }
        calls
    }

    pub(super) fn datagram(
        &self,
        kind: Kind,
        nonce: [u8; 16],
        time_ms: u64,
        from: Option<IpAddr>,
        v6: bool,
    ) -> Datagram {
        let figures = (self.figures)();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Datagram {
            kind,
            from_client: false,
            time_ms,
            nonce,
            network_id: beacon::network_id(&self.announcement.about.network),
            about: About {
                ports: open_doors(&self.announcement.services, from, v6),
                description: figures.description,
                epoch: Some(figures.epoch),
                load: Some((count(figures.users), count(figures.clients_max))),
                ..self.announcement.about.clone()
            },
        }
    }
}

/// The listeners that can be reached by whoever hears us speak from that address.
pub(super) fn open_doors(services: &Services, from: Option<IpAddr>, v6: bool) -> Vec<(Door, u16)> {
    let reachable = |listener: &&SocketAddr| match listener.ip() {
        // Listening on all of IPv6 takes IPv4 in as well.
        any if any.is_unspecified() => any.is_ipv6() || !v6,
        one => from.is_some_and(|from| one == from || one.is_loopback() && from.is_loopback()),
    };
    [(Door::Irc, &services.irc), (Door::Ircs, &services.ircs), (Door::Link, &services.link)]
        .into_iter()
        .filter_map(|(door, listeners)| Some((door, listeners.iter().find(reachable)?.port())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::discovery::tests::announcement;

    #[test]
    fn only_doors_that_can_be_reached_from_there_are_named() {
        let services = announcement("7FA", "s", 1).services;
        let doors = |from: &str, v6| open_doors(&services, from.parse().ok(), v6);
        assert_eq!(doors("127.0.0.1", false), [(Door::Irc, 6667), (Door::Link, 6900)]);
        assert_eq!(doors("10.0.0.5", false), [(Door::Link, 6900)]);
        assert_eq!(doors("", false), [(Door::Link, 6900)]);
        assert_eq!(doors("", true), []);
    }
}
