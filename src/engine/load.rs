//! How full servers are, and where those are sent for whom there is no room here.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::Engine;
use super::event::Situation;
use super::network::{ClientDoor, Server};
use crate::wire::names::Word;
use crate::wire::numeric;

/// Nobody needs more ways in, and all of them are told to every server.
const DOORS_MAX: usize = 16;

/// How full a server is: the less, the better to go there.
#[derive(Clone, Copy, Debug)]
struct Load {
    users: u64,
    limit: u64,
}

impl Load {
    fn is_full(self) -> bool {
        self.users >= self.limit
    }

    /// By the share of the limit that is used, without rounding.
    fn cmp(self, other: Load) -> Ordering {
        let share = |load: Load, of: Load| u128::from(load.users) * u128::from(of.limit);
        share(self, other).cmp(&share(other, self))
    }
}

impl Engine {
    /// For how many clients there is room, by the settings and by what the machine can hold.
    pub(super) fn clients_max(&self) -> usize {
        self.config.limits.clients_max.min(self.situation.clients_possible)
    }

    pub(super) fn situated(&mut self, situation: Situation) {
        self.situation = situation;
        self.reintroduce();
    }

    /// Where others are told that clients can connect to this server.
    pub(super) fn doors(&self) -> Vec<ClientDoor> {
        let mut doors: Vec<ClientDoor> = Vec::new();
        for door in &self.situation.doors {
            let host = self.config.server.host.as_ref().unwrap_or(&door.host);
            let door = ClientDoor { host: host.clone(), ..door.clone() };
            if doors.len() < DOORS_MAX && !doors.contains(&door) {
                doors.push(door);
            }
        }
        doors
    }

    /// What somebody hears for whom there is no room here: where there is some, if anywhere, and goodbye.
    pub fn send_elsewhere(&self, from: IpAddr, secure: bool) -> Vec<String> {
        let from = from.to_canonical();
        let goodbye = "ERROR :This server is full, try another one or come back later".to_string();
        let Some((server, door)) = self.least_loaded(from, secure) else { return vec![goodbye] };
        // A leading colon would end the line's middle parameters.
        let host = if door.host.starts_with(':') { format!("0{}", door.host) } else { door.host.clone() };
        let why = format!("This server is full; there is room on {}", server.fact.name);
        let bounce = numeric::bounce(Word::echo(&host), door.port, &why);
        vec![bounce.line(self.identity.name.as_str(), "*"), goodbye]
    }

    /// The server of the network with most room for its size, and the way into it for somebody from there.
    fn least_loaded(&self, from: IpAddr, secure: bool) -> Option<(&Server, &ClientDoor)> {
        let candidates = self.network.servers().filter_map(|server| {
            let is_other = server.id != self.identity.sid && self.routes.is_reachable(server.id);
            let door = best_door(&server.fact.doors, from, secure).filter(|_| is_other)?;
            let users = self.network.users_of(server.id).count() as u64;
            let load = Load { users, limit: server.fact.clients_max };
            (!load.is_full()).then_some((load, server, door))
        });
        let least = candidates.min_by(|(a, ..), (b, ..)| Load::cmp(*a, *b));
        least.map(|(_, server, door)| (server, door))
    }
}

/// Of the ways into a server the one that is nearest to that address. Whoever speaks TLS is not sent where everybody
/// can read along, and whoever does not would be understood nowhere else.
fn best_door(doors: &[ClientDoor], from: IpAddr, secure: bool) -> Option<&ClientDoor> {
    let fit = doors.iter().filter(|door| door.secure == secure);
    let near = fit.filter_map(|door| Some((nearness(&door.host, from)?, door)));
    // The first of those that are equally near, as the server itself put them in order.
    near.rev().max_by_key(|(bits, _)| *bits).map(|(_, door)| door)
}

/// How many bits two addresses begin with alike; `None` where one is of no use to the other.
fn nearness(host: &str, from: IpAddr) -> Option<u32> {
    match (host.parse::<IpAddr>(), from) {
        // A name is for everybody.
        (Err(_), _) => Some(0),
        // On that very machine only, or on its own networks.
        (Ok(host), from) if host.is_loopback() && !from.is_loopback() => None,
        (Ok(host), from) if is_local(host) && !is_local(from) => None,
        (Ok(IpAddr::V4(host)), IpAddr::V4(from)) => Some((host.to_bits() ^ from.to_bits()).leading_zeros()),
        (Ok(IpAddr::V6(host)), IpAddr::V6(from)) => Some((host.to_bits() ^ from.to_bits()).leading_zeros()),
        _ => None,
    }
}

/// Whether an address means something only on the networks that it is on.
pub(super) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::{Event, Identity};
    use crate::wire::names::ServerId;
    use crate::wire::time::Now;

    #[test]
    fn what_the_machine_can_hold_counts_where_it_is_less_than_what_the_settings_say() {
        let identity = Identity { sid: ServerId::parse("7FA").unwrap(), ..Identity::of_hall() };
        let mut config = Config::default();
        config.limits.clients_max = 100;
        let mut engine = Engine::new(config, identity, Now::default());
        for (clients_possible, told) in [(1_000, 100), (72, 72)] {
            engine.step(Now::default(), Event::Situated(Situation { doors: Vec::new(), clients_possible }));
            assert_eq!((engine.figures().clients_max, engine.report().clients_max), (told, told));
            let own = engine.network.server(engine.identity.sid).expect("it knows itself");
            assert_eq!(own.fact.clients_max, told as u64);
        }
    }

    #[test]
    fn the_share_that_is_used_counts_and_not_the_number() {
        for ((users, limit), (other_users, other_limit), order) in [
            ((10, 100), (5, 10), Ordering::Less),
            ((0, 1), (0, 1_000), Ordering::Equal),
            ((1, 3), (333_333, 1_000_000), Ordering::Greater),
            ((u64::MAX, u64::MAX), (1, 1), Ordering::Equal),
        ] {
            let one = Load { users, limit };
            let other = Load { users: other_users, limit: other_limit };
            assert_eq!(Load::cmp(one, other), order, "{one:?} {other:?}");
        }
        assert!(Load { users: 0, limit: 0 }.is_full());
    }

    #[test]
    fn the_way_in_is_one_that_the_client_can_take() {
        let door = |host: &str, port, secure| ClientDoor { host: host.to_string(), port, secure };
        let doors = [
            door("172.17.0.1", 6667, false),
            door("10.0.0.5", 6667, false),
            door("10.0.0.5", 6697, true),
            door("fd00::5", 6667, false),
            door("127.0.0.1", 6668, false),
        ];
        let way = |from: &str, secure| {
            best_door(&doors, from.parse().unwrap(), secure)
                .map(|door| format!("{} {}", door.host, door.port))
        };
        assert_eq!(way("10.0.0.77", false).as_deref(), Some("10.0.0.5 6667"));
        assert_eq!(way("172.17.0.9", false).as_deref(), Some("172.17.0.1 6667"));
        assert_eq!(way("10.0.0.77", true).as_deref(), Some("10.0.0.5 6697"));
        assert_eq!(way("fd00::9", false).as_deref(), Some("fd00::5 6667"));
        assert_eq!(way("fd00::9", true), None);
        assert_eq!(way("203.0.113.9", false), None, "from there nobody gets to an address of ours");
        assert_eq!(way("127.0.0.1", false).as_deref(), Some("127.0.0.1 6668"));
        assert_eq!(best_door(&doors[4..], "10.0.0.7".parse().unwrap(), false), None);
        let named = [door("chat.example.org", 6697, true)];
        assert!(best_door(&named, "203.0.113.9".parse().unwrap(), true).is_some());
    }
}
