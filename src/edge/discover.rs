//! Asking a LAN for its servers, as one who is no server.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::beacon::{self, About, Datagram, Door, Kind};
use super::identity::random;
use super::lan::{self, Sockets};
use crate::engine::Pin;
use crate::wire::names::ServerId;

/// How long to wait for answers.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Questions get lost too.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(600);

/// A server that answered, and each address that it answered from, with the doors that are open there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub about: About,
    pub addresses: Vec<(SocketAddr, Vec<(Door, u16)>)>,
}

impl Found {
    /// The least loaded first, and last those that do not say how full they are.
    fn by_load(&self, other: &Found) -> Ordering {
        match (self.about.load, other.about.load) {
            (Some((users, limit)), Some((other_users, other_limit))) => {
                let share = |users: u32, of: u32| u64::from(users) * u64::from(of);
                share(users, other_limit).cmp(&share(other_users, limit))
            }
            (own, others) => others.is_some().cmp(&own.is_some()),
        }
    }
}

/// Asks everyone near, and waits for answers; less long if `enough` says so. The longer the question, the more an
/// answer may say.
pub fn ask(port: u16, question_bytes: usize, enough: impl Fn(&Found) -> bool) -> Result<Vec<Found>, String> {
    let sockets = Sockets::for_asking().map_err(|why| format!("cannot ask on this network: {why}"))?;
    let interfaces = lan::interfaces();
    let nonce = random();
    let start = Instant::now();
    let mut ask_at = start;
    let mut found: BTreeMap<(Option<ServerId>, String), Found> = BTreeMap::new();
    loop {
        let now = Instant::now();
        if now >= start + WAIT_MAX || found.values().any(&enough) {
            let mut found: Vec<Found> = found.into_values().collect();
            found.sort_by(Found::by_load);
            return Ok(found);
        }
        if now >= ask_at {
            ask_at = now + ASK_AGAIN_AFTER;
            let question = question(nonce).encode_client_question(question_bytes);
            for (_, place) in lan::everyone(&interfaces, port) {
                sockets.say(place, &question);
            }
        }
        sockets.wait(ask_at.min(start + WAIT_MAX).saturating_duration_since(now), None);
        sockets.hear(|from, bytes| {
            if let Some((answer, _)) = Datagram::decode(bytes, None)
                && answer.kind == Kind::Announce
                && answer.nonce == nonce
            {
                take(&mut found, from, answer.about);
            }
        });
    }
}

fn take(found: &mut BTreeMap<(Option<ServerId>, String), Found>, from: SocketAddr, about: About) {
    let entry = found
        .entry((about.sid, about.name.clone()))
        .or_insert_with(|| Found { about: about.clone(), addresses: Vec::new() });
    if !entry.addresses.iter().any(|(known, _)| known.ip() == from.ip()) {
        entry.addresses.push((from, about.ports));
        // The nearest to what a person would type comes first.
        entry.addresses.sort_by_key(|(from, _)| (from.ip().is_loopback(), from.is_ipv6(), from.ip()));
    }
}

fn question(nonce: [u8; 16]) -> Datagram {
    Datagram {
        kind: Kind::Discover,
        from_client: true,
        time_ms: 0,
        nonce,
        network_id: [0; 8],
        about: About::default(),
    }
}

/// Servers as a table for people.
pub fn table(found: &[Found]) -> String {
    if found.is_empty() {
        return "No server answered on this LAN.\n".to_string();
    }
    let mut rows = vec![["NAME", "NETWORK", "USERS", "ADDRESSES"].map(str::to_string)];
    for server in found {
        let load = server.about.load.map_or("?".to_string(), |(users, limit)| format!("{users}/{limit}"));
        let network = if server.about.network.is_empty() { "?" } else { &server.about.network };
        rows.push([server.about.name.clone(), network.to_string(), load, addresses(server).join(" ")]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [name, network, load] = [width(0), width(1), width(2)];
    rows.iter()
        .map(|row| format!("{:name$}  {:network$}  {:load$}  {}\n", row[0], row[1], row[2], row[3]))
        .collect()
}

/// Servers as JSON for programs: a list, one object each.
pub fn json(found: &[Found]) -> String {
    let servers: Vec<serde_json::Value> = found
        .iter()
        .map(|server| {
            serde_json::json!({
                "sid": server.about.sid.map(|sid| sid.to_string()),
                "name": server.about.name,
                "network": server.about.network,
                "addresses": addresses(server),
                "users": server.about.load.map(|(users, _)| users),
                "users_max": server.about.load.map(|(_, limit)| limit),
            })
        })
        .collect();
    serde_json::to_string_pretty(&servers).expect("text and numbers only") + "\n"
}

fn addresses(server: &Found) -> Vec<String> {
    let mut addresses = Vec::new();
    for (from, ports) in &server.addresses {
        for (door, port) in ports {
            let scheme = match door {
                Door::Irc => "irc",
                Door::Ircs => "ircs",
                Door::Web => "http",
                Door::Link => continue,
            };
            addresses.push(format!("{scheme}://{}", at_port(*from, *port)));
        }
    }
    addresses
}

/// Another port at the same address; an IPv6 address keeps the interface that it is valid on.
fn at_port(mut from: SocketAddr, port: u16) -> SocketAddr {
    from.set_port(port);
    from
}

/// Where the server with that certificate takes links, if it is near.
pub fn find_link(port: u16, pin: Pin) -> Option<SocketAddr> {
    let is_it = |server: &Found| server.about.pin == Some(pin);
    let found = ask(port, beacon::FULL_QUESTION_BYTES, is_it).ok()?;
    let server = found.into_iter().find(is_it)?;
    server.addresses.into_iter().find_map(|(from, ports)| {
        let (_, port) = ports.into_iter().find(|(door, _)| *door == Door::Link)?;
        Some(at_port(from, port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_server_comes_first() {
        let server = |name: &str, load| Found {
            about: About { name: name.into(), load, ..About::default() },
            addresses: Vec::new(),
        };
        let mut found = [
            server("silent.lan", None),
            server("half.lan", Some((50, 100))),
            server("full.lan", Some((3, 3))),
            server("large.lan", Some((400, 1000))),
        ];
        found.sort_by(Found::by_load);
        assert_eq!(
            found.each_ref().map(|server| server.about.name.as_str()),
            ["large.lan", "half.lan", "full.lan", "silent.lan"]
        );
        assert!(table(&found).contains("400/1000"));
    }

    #[test]
    fn a_server_that_answers_from_two_addresses_is_one_server() {
        let about = About {
            name: "hall.lan".into(),
            network: "Folkmoot".into(),
            ports: vec![(Door::Irc, 6667), (Door::Link, 6900)],
            load: Some((41, 10_000)),
            ..About::default()
        };
        let mut found = BTreeMap::new();
        for from in ["127.0.0.1:6900", "10.0.0.5:6900", "10.0.0.5:6900"] {
            take(&mut found, from.parse().unwrap(), about.clone());
        }
        let found: Vec<Found> = found.into_values().collect();
        assert_eq!(
            table(&found),
            "NAME      NETWORK   USERS     ADDRESSES\n\
             hall.lan  Folkmoot  41/10000  irc://10.0.0.5:6667 irc://127.0.0.1:6667\n"
        );
        let read: serde_json::Value = serde_json::from_str(&json(&found)).unwrap();
        assert_eq!(read[0]["addresses"][0], "irc://10.0.0.5:6667");
        assert_eq!(read[0]["users"], 41);
        assert!(table(&[]).contains("No server"));
    }
}
