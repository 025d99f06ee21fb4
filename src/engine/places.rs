//! Where peers may be called, and when they are called again.

use super::Engine;
use super::effect::{Effect, Topic};
use super::event::{AskId, Beacon, ConnId};
use super::links::{Apart, LinkStage, PeerGreeting, Place};
use super::pending::Pending;
use crate::wire::names::{ServerId, ServerName, UserId, Word};
use crate::wire::numeric::{self, Numeric};

/// The longest wait before a place is called again.
const WAIT_MAX_MS: u64 = 60_000;

/// The first wait after a refusal: it takes a human act to change anything.
const WAIT_REFUSED_MS: u64 = 30_000;

/// What the other end of a link is told when an operator cuts it.
pub const OPERATOR_CUT: &str = "squit";

/// A link that was up for so long wipes out the failures before it.
const STEADY_AFTER_MS: u64 = 60_000;

/// A found server that has not announced itself for so long is not called any more.
const SILENT_AFTER_MS: u64 = 300_000;

/// Anybody on a LAN can make servers up; so many are named.
const STRANGERS_MAX: usize = 1_000;

/// Why a server is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// There is no server of that name.
    Unknown,
    /// It is part of the network, but neither a `[[link]]` here nor found on the LAN.
    NoPlace,
    /// There is a link already.
    Linked,
    /// The config only waits for it to call, and does not say where it is.
    NoAddress,
}

impl CallFault {
    /// As the operator is told who wanted it called.
    pub fn refusal(self, name: &ServerName) -> Numeric {
        let why = match self {
            CallFault::Unknown => return numeric::no_such_server(name),
            CallFault::NoPlace => {
                format!("There is no [[link]] for {name} here, nor was it found on the LAN")
            }
            CallFault::Linked => format!("There is a link to {name} already"),
            CallFault::NoAddress => {
                format!("The config has no address for {name}, which is to call this server")
            }
        };
        numeric::unknown_error(Word::echo("CONNECT"), &why)
    }
}

impl Engine {
    /// Takes the places from the config.
    pub(super) fn know_fixed_places(&mut self) {
        let mut before = std::mem::take(&mut self.links.places);
        for link in self.config.link.iter().filter(|link| link.connect) {
            let mut place = Place::of_link(link, self.now.steady_ms, true);
            // Whoever is being called already is not called a second time.
            if let Some(known) = before.remove(&link.address) {
                (place.dialling, place.wanted_by) = (known.dialling, known.wanted_by);
            }
            self.links.places.insert(link.address.clone(), place);
        }
        before.retain(|_, place| !place.is_fixed);
        self.links.places.append(&mut before);
    }

    pub(super) fn discovered(&mut self, beacon: Beacon) {
        if beacon.sid == self.identity.sid && beacon.pin == self.identity.pin {
            return;
        }
        if !beacon.ours {
            // One that we know by its proof may say by another secret, too new or too old for us, that it is there.
            let is_ours = self.links.accepted().any(|link| link.pin == beacon.pin)
                || self.links.places.values().any(|place| place.pin == Some(beacon.pin));
            if !is_ours {
                self.note_stranger(&beacon);
            }
            return;
        }
        let address = beacon.link.to_string();
        let now_ms = self.now.steady_ms;
        if let Some(place) = self.links.places.get_mut(&address) {
            place.announced_ms = Some(now_ms);
            return;
        }
        if !self.config.discovery.link {
            return;
        }
        self.note(
            log::Level::Info,
            Topic::Link,
            format!("{} found at={address} sid={}", beacon.name, beacon.sid),
        );
        // Both find each other at the same time; one of them goes first.
        let head_start_ms = if self.identity.sid < beacon.sid { 0 } else { 1_000 };
        let place = Place {
            name: beacon.name,
            address: address.clone(),
            pin: Some(beacon.pin),
            sid: Some(beacon.sid),
            is_fixed: false,
            failures: 0,
            next_ms: now_ms + head_start_ms,
            dialling: None,
            wanted_by: None,
            announced_ms: Some(now_ms),
        };
        self.links.places.insert(address, place);
    }

    /// A server that is none of ours is named once, and how to join it.
    fn note_stranger(&mut self, beacon: &Beacon) {
        if self.links.strangers.len() < STRANGERS_MAX && self.links.strangers.insert(beacon.pin) {
            let text = format!(
                "{} seen on this LAN at={} network={} with another network.secret; to join it: `folkmoot invite` there; \
                 here stop the server, remove network.secret, then `folkmoot serve --join CODE`",
                beacon.name, beacon.link, beacon.network
            );
            self.note(log::Level::Info, Topic::Link, text);
        }
    }

    /// A server said goodbye: it need not be called.
    pub(super) fn vanished(&mut self, server: ServerId) {
        self.links.places.retain(|_, place| place.is_fixed || place.sid != Some(server));
    }

    /// Calls whoever is due.
    pub(super) fn call_places(&mut self) {
        if self.is_stopping {
            return;
        }
        let now_ms = self.now.steady_ms;
        self.links.places.retain(|_, place| {
            let is_silent = place.announced_ms.is_none_or(|ms| now_ms.saturating_sub(ms) > SILENT_AFTER_MS);
            place.is_fixed || place.dialling.is_some() || !(is_silent && place.failures > 0)
        });
        self.links.apart.retain(|_, apart| now_ms < apart.until_ms);
        let is_apart = |place: &Place| self.links.apart.values().any(|apart| apart.is_at(place));
        let is_due = |place: &&Place| place.dialling.is_none() && place.next_ms <= now_ms && !is_apart(place);
        let due: Vec<String> = self
            .links
            .places
            .values()
            .filter(is_due)
            .filter(|place| !self.is_linked(place))
            .map(|place| place.address.clone())
            .collect();
        for address in due {
            let ask = self.asks.open(Pending::Dial { place: address.clone() });
            let Some(place) = self.links.places.get_mut(&address) else { continue };
            place.dialling = Some(ask);
            let (name, pin) = (place.name.clone(), place.pin);
            self.effects.push(Effect::Dial { ask, name, address, pin });
        }
    }

    fn is_linked(&self, place: &Place) -> bool {
        let mut links = self.links.by_conn.values().filter(|link| link.stage != LinkStage::Closing);
        links.any(|link| {
            let is_same_place = link.place.as_ref() == Some(&place.address);
            let is_same_server = link.peer.as_ref().is_some_and(|peer| {
                place.sid == Some(peer.sid) || peer.name.eq_ignore_ascii_case(&place.name)
            });
            is_same_place || is_same_server
        })
    }

    pub(super) fn dial_failed(&mut self, ask: AskId, why: &str) {
        let Some(Pending::Dial { place }) = self.asks.take(ask) else { return };
        if let Some(known) = self.links.places.get_mut(&place) {
            known.dialling = None;
            let name = known.name.clone();
            // Said once, then only to whoever wants to know: a peer may be off for days.
            let level = if known.failures == 0 { log::Level::Warn } else { log::Level::Debug };
            self.note(level, Topic::Link, format!("{name} cannot be reached at={place} why=\"{why}\""));
            self.wait_before_next(&place);
            self.tell_who_wanted(&place, &format!("cannot be reached: {why}"));
        }
    }

    /// What closed the link has counted as a failure already.
    pub(super) fn place_refused(&mut self, place: &str) {
        let next_ms = self.now.steady_ms + WAIT_REFUSED_MS + self.dice.below(WAIT_REFUSED_MS);
        if let Some(place) = self.links.places.get_mut(place) {
            place.next_ms = next_ms;
        }
    }

    /// A link that began at this place is no more, whichever end gave it up.
    fn place_ended(&mut self, place: &str, up_ms: Option<u64>) {
        let was_steady = up_ms.is_some_and(|up_ms| self.now.steady_ms >= up_ms + STEADY_AFTER_MS);
        if was_steady && let Some(place) = self.links.places.get_mut(place) {
            place.failures = 0;
        }
        self.wait_before_next(place);
    }

    /// Waits a random time up to a bound that doubles with each failure, so that many servers that
    /// lost the same peer do not all call it at once.
    fn wait_before_next(&mut self, place: &str) {
        let Some(failures) = self.links.places.get(place).map(|place| place.failures) else { return };
        let bound_ms = WAIT_MAX_MS.min(1_000 << failures.min(16));
        let next_ms = self.now.steady_ms + self.dice.below(bound_ms);
        if let Some(place) = self.links.places.get_mut(place) {
            place.failures += 1;
            place.next_ms = next_ms;
        }
    }

    /// The place led back here: a server's own address in its config, or its own announcement.
    pub(super) fn found_myself(&mut self, conn: ConnId) {
        let place = self.links.by_conn.get(&conn).and_then(|link| link.place.clone());
        if let Some(place) = place {
            self.links.places.remove(&place);
        }
    }

    pub(super) fn link_closed(&mut self, conn: ConnId, why: &str) {
        let Some(link) = self.links.by_conn.remove(&conn) else { return };
        let label = link.label();
        let was_refused = link.stage == LinkStage::Closing;
        if let Some(place) = &link.place {
            self.tell_who_wanted(place, &format!("is not linked: {why}"));
        }
        let level = if link.up_ms.is_some() { log::Level::Warn } else { log::Level::Debug };
        self.note(level, Topic::Link, format!("{label} closed conn={} why=\"{why}\"", conn.0));
        self.forget_pulls_of(conn);
        if let Some(place) = link.place.filter(|_| !was_refused) {
            self.place_ended(&place, link.up_ms);
        }
        if link.up_ms.is_some() && !self.is_stopping {
            self.publish_route();
        }
        self.pull();
    }

    /// Ends a link. It counts as gone at once, whatever the socket does.
    pub(super) fn close_link(&mut self, conn: ConnId, why: &str) {
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        if link.stage == LinkStage::Closing {
            return;
        }
        let was_up = link.stage == LinkStage::Up;
        link.stage = LinkStage::Closing;
        link.pulls.clear();
        let (place, up_ms) = (link.place.clone(), link.up_ms);
        self.effects.push(Effect::Close { conn, why: why.to_string() });
        self.forget_pulls_of(conn);
        if let Some(place) = place {
            self.place_ended(&place, up_ms);
        }
        if was_up {
            self.publish_route();
        }
    }

    /// Calls a server that an operator names, now, and says where.
    pub(super) fn call_now(&mut self, name: &str, by: UserId) -> Result<String, CallFault> {
        let now_ms = self.now.steady_ms;
        let is_named = |peer: &PeerGreeting| peer.name.eq_ignore_ascii_case(name);
        if self.links.accepted().any(|link| link.peer.as_ref().is_some_and(is_named)) {
            return Err(CallFault::Linked);
        }
        let known = self.links.places.values().find(|place| place.name.eq_ignore_ascii_case(name));
        let mut place = match known {
            Some(place) => place.clone(),
            None => self.awaited_place(name)?,
        };
        if self.is_linked(&place) {
            return Err(CallFault::Linked);
        }
        if place.address.is_empty() {
            return Err(CallFault::NoAddress);
        }
        place.next_ms = now_ms;
        place.wanted_by = Some(by);
        let address = place.address.clone();
        self.links.apart.retain(|_, apart| !apart.is_at(&place));
        self.links.places.insert(address.clone(), place);
        self.call_places();
        Ok(address)
    }

    /// Where a server is that the config only waits for. It is given up as soon as a call to it fails or
    /// the link ends: to be called again is not what the config asks for.
    fn awaited_place(&self, name: &str) -> Result<Place, CallFault> {
        let link = self.config.link.iter().find(|link| link.name.eq_ignore_ascii_case(name));
        let is_known = self.network.server_called(name).is_some();
        let link = link.ok_or(if is_known { CallFault::NoPlace } else { CallFault::Unknown })?;
        Ok(Place::of_link(link, self.now.steady_ms, false))
    }

    /// Ends the link to a neighbour, as an operator wants it; `false` where there is none.
    pub(super) fn drop_link(&mut self, peer: ServerId, why: &str) -> bool {
        let Some(conn) = self.links.to(peer).map(|link| link.conn) else { return false };
        self.refuse_peer(conn, OPERATOR_CUT, why);
        true
    }

    /// An operator cut a link: neither end calls the other at once again, or that would have been for nothing.
    pub(super) fn keep_apart(&mut self, conn: ConnId) {
        let Some(peer) = self.links.by_conn.get(&conn).and_then(|link| link.peer.as_ref()) else { return };
        let until_ms = self.now.steady_ms + WAIT_REFUSED_MS;
        self.links.apart.insert(peer.sid, Apart { sid: peer.sid, name: peer.name.clone(), until_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Link};
    use crate::engine::{Event, Identity};
    use crate::wire::names::ServerName;
    use crate::wire::time::{Now, Timestamp};

    fn engine(links: Vec<Link>) -> Engine {
        let identity = Identity {
            sid: ServerId::parse("7FA").unwrap(),
            name: ServerName::parse("hall.lan").unwrap(),
            epoch: 1,
            secret: Vec::new(),
            pin: crate::engine::Pin([1; 32]),
            clock_floor_ms: 0,
            seed: [1; 32],
            version: String::new(),
        };
        Engine::new(Config { link: links, ..Config::default() }, identity, at(0))
    }

    fn at(steady_ms: u64) -> Now {
        Now { wall: Timestamp(1_000_000_000_000 + steady_ms), steady_ms }
    }

    /// Lets time pass, has every call fail, and counts the calls.
    fn calls_until(engine: &mut Engine, from_ms: u64, until_ms: u64) -> usize {
        let mut calls = 0;
        for ms in (from_ms..until_ms).step_by(250) {
            for effect in engine.step(at(ms), Event::Tick) {
                if let Effect::Dial { ask, .. } = effect {
                    calls += 1;
                    engine.step(at(ms), Event::DialFailed { ask, why: "nobody there".to_string() });
                }
            }
        }
        calls
    }

    fn link(connect: bool) -> Link {
        Link { name: "barn.lan".into(), address: "10.0.0.2:6900".into(), pin: None, connect }
    }

    #[test]
    fn a_server_to_be_called_is_called_until_it_answers() {
        assert!(calls_until(&mut engine(vec![link(true)]), 0, 120_000) > 3);
    }

    #[test]
    fn a_server_that_we_know_is_no_stranger_for_having_another_secret_for_a_while() {
        let mut engine = engine(vec![]);
        let beacon = |pin, ours| {
            let (sid, link) = (ServerId::parse("8BB").unwrap(), "10.0.0.2:6900".parse().unwrap());
            let (name, network) = ("barn.lan".to_string(), "Folkmoot".to_string());
            Event::Discovered(Beacon { sid, name, network, link, pin: crate::engine::Pin([pin; 32]), ours })
        };
        let mut seen = |event| {
            let effects = engine.step(at(0), event);
            let is_seen = |effect: &Effect| matches!(effect, Effect::Note { text, .. } if text.contains("seen on this LAN"));
            effects.iter().any(is_seen)
        };
        assert!(!seen(beacon(2, true)));
        assert!(!seen(beacon(2, false)));
        assert!(seen(beacon(3, false)), "another server with its id");
    }

    #[test]
    fn a_call_under_way_is_not_made_twice_when_the_settings_are_read_again() {
        let mut engine = engine(vec![link(true)]);
        let mut dials = |ms, event| {
            let effects = engine.step(at(ms), event);
            effects.into_iter().find_map(|effect| match effect {
                Effect::Dial { ask, .. } => Some(ask),
                _ => None,
            })
        };
        let ask = dials(250, Event::Tick).expect("it is called at once");
        let config = Config { link: vec![link(true)], ..Config::default() };
        let (file, outcome) = ("folkmoot.toml".to_string(), Ok(Box::new(config)));
        dials(300, Event::Configured { ask: None, file, outcome });
        assert_eq!(dials(500, Event::Tick), None);
        dials(600, Event::DialFailed { ask, why: "nobody there".to_string() });
        assert!((3..40).any(|tick| dials(250 * tick, Event::Tick).is_some()));
    }

    #[test]
    fn a_server_that_is_only_awaited_is_called_when_asked_to_and_once() {
        let mut engine = engine(vec![link(false)]);
        assert_eq!(calls_until(&mut engine, 0, 120_000), 0);
        let nobody = UserId::numbered(ServerId::LOWEST, 1);
        assert_eq!(engine.call_now("BARN.lan", nobody), Ok("10.0.0.2:6900".to_string()));
        let called = engine.effects.drain(..).find_map(|effect| match effect {
            Effect::Dial { ask, address, .. } => Some((ask, address)),
            _ => None,
        });
        let (ask, address) = called.expect("it is called at once");
        assert_eq!(address, "10.0.0.2:6900");
        engine.step(at(120_000), Event::DialFailed { ask, why: "nobody there".to_string() });
        assert_eq!(calls_until(&mut engine, 120_250, 600_000), 0);
        assert_eq!(engine.call_now("mill.lan", nobody), Err(CallFault::Unknown));
    }
}
