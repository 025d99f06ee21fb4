//! DNS-SD over mDNS: tells programs that know nothing of Folkmoot where IRC is spoken on this LAN.
//!
//! `_ircs._tcp` and, where a plain port is open, `_irc._tcp`, by the server's name, with `network` and `version` in TXT.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{ServiceDaemon, ServiceInfo};

use super::lan::{self, Interface};
use super::running::Services;
use crate::engine::Identity;

const PLAIN: &str = "_irc._tcp.local.";
const SECURE: &str = "_ircs._tcp.local.";

/// How long it may take to take back what was said.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

/// The responder, which has a thread of its own, and what it says.
pub struct Mdns {
    daemon: ServiceDaemon,
    name: String,
    /// Not the machine's own: that is for the responder that the machine may have.
    host: String,
    txt: [(&'static str, String); 2],
    published: BTreeMap<&'static str, Published>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Mdns {
    /// Begins, and says nothing yet.
    pub fn start(identity: &Identity, network: &str) -> Result<Mdns, String> {
        let [a, b, c, d, ..] = identity.pin.0;
        Ok(Mdns {
            daemon: ServiceDaemon::new().map_err(|why| why.to_string())?,
            name: identity.name.to_string(),
            host: format!("folkmoot-{a:02x}{b:02x}{c:02x}{d:02x}.local."),
            txt: [("network", network.to_string()), ("version", identity.version.clone())],
            published: BTreeMap::new(),
        })
    }

    /// Says where clients can connect as things are now, and takes back what is so no longer.
    pub fn publish(&mut self, services: &Services, interfaces: &[Interface]) {
        for (kind, listeners) in [(PLAIN, &services.irc), (SECURE, &services.ircs)] {
            let now = reachable(listeners, interfaces);
            if self.published.get(kind) == now.as_ref() {
                continue;
            }
            if let Err(why) = self.say(kind, now.as_ref()) {
                log::warn!(target: "folkmoot::server", "{kind} cannot be announced by mDNS: {why}");
            }
            match now {
                Some(now) => self.published.insert(kind, now),
                None => self.published.remove(kind),
            };
        }
    }

    fn say(&self, kind: &str, now: Option<&Published>) -> mdns_sd::Result<()> {
        let Some(now) = now else {
            return self.daemon.unregister(&self.full_name(kind)?).map(drop);
        };
        let service =
            ServiceInfo::new(kind, &self.name, &self.host, &now.addresses[..], now.port, &self.txt[..])?;
        // Whatever was said before under this name is thereby replaced.
        self.daemon.register(service)
    }

    fn full_name(&self, kind: &str) -> mdns_sd::Result<String> {
        let service = ServiceInfo::new(kind, &self.name, &self.host, (), 0, &self.txt[..])?;
        Ok(service.get_fullname().to_string())
    }

    /// Takes everything back, and ends.
    pub fn withdraw(self) {
        let kinds = self.published.keys();
        let taken_back: Vec<_> =
            kinds.filter_map(|kind| self.daemon.unregister(&self.full_name(kind).ok()?).ok()).collect();
        for taken_back in taken_back {
            let _ = taken_back.recv_timeout(GOODBYE_WITHIN);
        }
        if let Ok(ended) = self.daemon.shutdown() {
            let _ = ended.recv_timeout(GOODBYE_WITHIN);
        }
    }
}

/// The first port of these that others on the LAN can reach, and at which addresses.
fn reachable(listeners: &[SocketAddr], interfaces: &[Interface]) -> Option<Published> {
    let mut reachable = lan::reachable(listeners, interfaces);
    reachable.retain(|address| !address.ip().is_loopback());
    let port = reachable.first()?.port();
    let addresses = reachable.iter().filter(|address| address.port() == port).map(SocketAddr::ip);
    Some(Published { port, addresses: addresses.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_can_reach_is_announced() {
        let interfaces = lan::tests::interfaces(&[("127.0.0.1", 8), ("10.0.0.5", 24), ("10.1.0.5", 24)]);
        let at = |listeners: &[&str]| {
            let listeners: Vec<SocketAddr> = listeners.iter().map(|text| text.parse().unwrap()).collect();
            reachable(&listeners, &interfaces).map(|found| (found.port, found.addresses.len()))
        };
        assert_eq!(at(&["0.0.0.0:6697"]), Some((6697, 2)));
        assert_eq!(at(&["10.1.0.5:7000", "0.0.0.0:6697"]), Some((7000, 1)));
        assert_eq!(at(&["127.0.0.1:6667"]), None);
        assert_eq!(at(&[]), None);
    }
}
