//! ROUTES, PING and PONG: who is linked to whom, and which links still live.

use std::collections::BTreeMap;

use super::{PeerMessage, When};
use crate::engine::Engine;
use crate::engine::effect::Topic;
use crate::engine::event::ConnId;
use crate::engine::links::Link;
use crate::engine::network::Route;
use crate::wire::base36;
use crate::wire::message::{Draft, Message};
use crate::wire::names::ServerId;

/// From here on the difference between two clocks is told in the log; from `greet::CLOCK_APART_MS` on they do not link.
const CLOCK_WARN_MS: u64 = 500;

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "ROUTES",
        params_min: 4,
        when: When::Accepted,
        run: routes,
        shape: "<sid> <epoch> <number> :<peer=cost> …",
    },
    PeerMessage { name: "PING", params_min: 1, when: When::Accepted, run: ping, shape: "<sent, ms>" },
    PeerMessage {
        name: "PONG",
        params_min: 2,
        when: When::Accepted,
        run: pong,
        shape: "<sent, ms> <wall clock of the answerer, ms>",
    },
];

fn write_route(server: ServerId, route: &Route) -> Draft {
    let peers: Vec<String> = route.peers.iter().map(|(peer, cost)| format!("{peer}={cost}")).collect();
    Draft::new("ROUTES")
        .param(server)
        .param(base36::encode(u64::from(route.epoch)))
        .param(base36::encode(route.number))
        .trailing(peers.join(" "))
}

fn read_route(message: &Message) -> Option<(ServerId, Route)> {
    let [server, epoch, number, peers, ..] = message.params[..] else { return None };
    let peers = peers.split_ascii_whitespace().map(|peer| {
        let (peer, cost) = peer.split_once('=')?;
        Some((ServerId::parse(peer)?, cost.parse().ok()?))
    });
    let route = Route {
        epoch: u32::try_from(base36::parse(epoch)?).ok()?,
        number: base36::parse(number)?,
        peers: peers.collect::<Option<BTreeMap<ServerId, u32>>>()?,
    };
    Some((ServerId::parse(server)?, route))
}

fn routes(engine: &mut Engine, conn: ConnId, message: &Message) {
    let Some((server, route)) = read_route(message) else { return engine.note_senseless(conn, "ROUTES") };
    if server == engine.identity.sid {
        // What we said of ourselves before a restart, or what another says in our name: ours is newer.
        if route.epoch > engine.identity.epoch && route.epoch < u32::MAX {
            return engine.renew_epoch(route.epoch);
        }
        if route.epoch == engine.identity.epoch && route.number > engine.route_number {
            engine.route_number = route.number;
            engine.publish_route();
        }
        return;
    }
    let draft = write_route(server, &route);
    if engine.routes.learn(server, route) {
        let others: Vec<ConnId> =
            engine.links.accepted().map(|link| link.conn).filter(|to| *to != conn).collect();
        others.into_iter().for_each(|to| engine.send_peer(to, draft.clone()));
        engine.map_changed();
    }
}

fn ping(engine: &mut Engine, conn: ConnId, message: &Message) {
    let answer = Draft::new("PONG").param(message.params[0]).param(engine.now.wall.0);
    engine.send_peer(conn, answer);
}

fn pong(engine: &mut Engine, conn: ConnId, message: &Message) {
    let now = engine.now;
    let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
    let (Ok(sent), Ok(theirs)) = (message.params[0].parse::<u64>(), message.params[1].parse::<i64>()) else {
        return;
    };
    let round_trip = now.steady_ms.saturating_sub(sent);
    link.round_trip_ms = Some(round_trip);
    // Their clock was read about half a round trip ago.
    let before_ms = std::mem::replace(
        &mut link.clock_ahead_ms,
        theirs.saturating_add((round_trip / 2) as i64).saturating_sub(now.wall.0 as i64),
    );
    let (label, ahead_ms) = (link.label(), link.clock_ahead_ms);
    if is_noticeable(ahead_ms) && !is_noticeable(before_ms) {
        let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
        let apart_ms = ahead_ms.unsigned_abs();
        let text =
            format!("the clock of {label} is {apart_ms} ms {way} ours: set them by the same time source");
        engine.note(log::Level::Warn, Topic::Link, text);
    }
}

/// Whether two clocks are so far apart that an admin should know, though what is said still has its right order.
fn is_noticeable(ahead_ms: i64) -> bool {
    ahead_ms.unsigned_abs() >= CLOCK_WARN_MS
}

impl Engine {
    /// Tells everyone which links this server has.
    pub(in crate::engine) fn publish_route(&mut self) {
        self.route_number += 1;
        let peers = self.links.up().filter_map(Link::sid).map(|sid| (sid, 1)).collect();
        let route = Route { epoch: self.identity.epoch, number: self.route_number, peers };
        let draft = write_route(self.identity.sid, &route);
        let has_changed = self.routes.edges_said_by(self.identity.sid) != Some(&route.peers);
        self.routes.learn(self.identity.sid, route);
        let links: Vec<ConnId> = self.links.accepted().map(|link| link.conn).collect();
        links.into_iter().for_each(|to| self.send_peer(to, draft.clone()));
        if has_changed {
            self.map_changed();
        }
    }

    /// Tells a new peer all that is known of the map.
    pub(super) fn send_routes(&mut self, conn: ConnId) {
        let drafts: Vec<Draft> =
            self.routes.known().map(|(server, route)| write_route(server, route)).collect();
        drafts.into_iter().for_each(|draft| self.send_peer(conn, draft));
    }

    /// Another map has other trees: who now depends on whom says what it has, so that nothing falls
    /// between the old tree and the new.
    pub(in crate::engine) fn map_changed(&mut self) {
        self.settle_reach();
        self.tell_all_have();
    }

    pub(in crate::engine) fn send_ping(&mut self, conn: ConnId) {
        let draft = Draft::new("PING").param(self.now.steady_ms);
        self.send_peer(conn, draft);
    }
}
