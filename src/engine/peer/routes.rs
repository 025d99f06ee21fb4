//! ROUTES, PING and PONG: who is linked to whom, and which links still live.

use std::collections::BTreeMap;

use super::{PeerMessage, When};
use crate::engine::Engine;
use crate::engine::effect::Topic;
use crate::engine::event::ConnId;
use crate::engine::merge::Origin;
use crate::engine::network::Route;
use crate::wire::base36;
use crate::wire::message::{Draft, Message};
use crate::wire::names::ServerId;

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "ROUTES",
        params_min: 4,
        when: When::Accepted,
        run: routes,
        shape: "<sid> <epoch> <number> :<peer=cost> …",
    },
    PeerMessage {
        name: "PING",
        params_min: 2,
        when: When::Accepted,
        run: ping,
        shape: "<sent, ms> <since the last line from you, ms>",
    },
    PeerMessage {
        name: "PONG",
        params_min: 3,
        when: When::Accepted,
        run: pong,
        shape: "<sent, ms> <wall clock at the PING, ms> <wall clock at this PONG, ms>",
    },
];

/// So many servers stand on the map at most.
const SERVERS_MAX: usize = 256;

/// No server tells of its links so often; beyond it numbers would run over.
const NUMBER_MAX: u64 = 1 << 53;
/// A peer that heard us within this time hears us.
const HEARD_LATELY_MS: u64 = 4_000;

/// How often the log warns of one neighbour's clock.
const CLOCK_WARN_EVERY_MS: u64 = 3_600_000;

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
            if engine.may_renew(conn, route.epoch) {
                engine.renew_epoch(route.epoch);
            }
            return;
        }
        let is_later = route.epoch == engine.identity.epoch && route.number > engine.route_number;
        if is_later && route.number <= NUMBER_MAX {
            engine.route_number = route.number;
            engine.publish_route();
        }
        return;
    }
    let is_likely = engine.is_likely_run(Origin { server, epoch: route.epoch });
    if !is_likely || route.number > NUMBER_MAX || !engine.has_room_on_map(conn, server) {
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
    let wall_ms = engine.now.wall.0;
    engine.send_peer(conn, Draft::new("PONG").param(message.params[0]).param(wall_ms).param(wall_ms));
    // Our own PING may wait behind much that they are taking in; they say that they do.
    if let Some(link) = engine.links.by_conn.get_mut(&conn)
        && message.params[1].parse().is_ok_and(|since_ms: u64| since_ms <= HEARD_LATELY_MS)
    {
        link.hearing.is_shown();
    }
}

fn pong(engine: &mut Engine, conn: ConnId, message: &Message) {
    let now = engine.now;
    let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
    let [sent, arrived, answered, ..] = message.params[..] else { return };
    let (Ok(sent_ms), Ok(arrived_ms), Ok(answered_ms)) =
        (sent.parse::<u64>(), arrived.parse::<i64>(), answered.parse::<i64>())
    else {
        return engine.note_senseless(conn, "PONG");
    };
    if sent_ms > link.pinged_ms {
        return engine.note_senseless(conn, "PONG");
    }
    link.hearing.is_shown();
    let kept_ms = answered_ms.saturating_sub(arrived_ms).max(0) as u64;
    let round_trip_ms = now.steady_ms.saturating_sub(sent_ms).saturating_sub(kept_ms);
    link.round_trip_ms = Some(round_trip_ms);
    link.cost.measured(round_trip_ms, now.steady_ms);
    // Their clock was read about half a round trip ago, and certainly not longer ago than a whole one.
    let half_ms = (round_trip_ms / 2) as i64;
    link.clock_ahead_ms = answered_ms.saturating_add(half_ms).saturating_sub(now.wall.0 as i64);
    let apart_ms = link.clock_ahead_ms.unsigned_abs().saturating_sub(round_trip_ms / 2);
    engine.check_clock(conn, apart_ms);
}

impl Engine {
    fn has_room_on_map(&mut self, conn: ConnId, server: ServerId) -> bool {
        let has_room =
            self.routes.edges_said_by(server).is_some() || self.routes.known().count() < SERVERS_MAX;
        if !has_room {
            self.note_too_many(conn, "servers");
        }
        has_room
    }

    /// Tells everyone which links this server has.
    pub(in crate::engine) fn publish_route(&mut self) {
        self.route_number += 1;
        let peers = self.links.up().filter_map(|link| Some((link.sid()?, link.cost.value()))).collect();
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

    /// Asks for a sign of life, and shows that the other end is heard.
    pub(in crate::engine) fn send_ping(&mut self, conn: ConnId) {
        let now_ms = self.now.steady_ms;
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        link.pinged_ms = now_ms;
        link.hearing.asked(now_ms);
        let draft = Draft::new("PING").param(now_ms).param(link.suspicion.silent_ms(now_ms));
        self.send_peer(conn, draft);
    }

    /// What the clocks of neighbours say of each other: each reads times that the other wrote.
    fn check_clock(&mut self, conn: ConnId, apart_ms: u64) {
        let network = &self.config.network;
        let (warn_ms, refuse_ms) =
            (network.clock_warn.as_millis() as u64, network.clock_refuse.as_millis() as u64);
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        let (label, sid, place) = (link.label(), link.sid(), link.place.clone());
        let ahead_ms = link.clock_ahead_ms;
        if apart_ms > refuse_ms {
            let why = format!("the clocks are {apart_ms} ms apart: set them by the same time source");
            self.note(log::Level::Error, Topic::Link, format!("{label} is given up: {why}"));
            self.close_link(conn, &why);
            if let Some(place) = place {
                self.place_refused(&place);
            }
            return;
        }
        let Some(sid) = sid.filter(|_| apart_ms > warn_ms) else { return };
        let now_ms = self.now.steady_ms;
        let warned_ms = self.links.clock_warned_ms.get(&sid);
        if warned_ms.is_none_or(|warned_ms| now_ms >= warned_ms + CLOCK_WARN_EVERY_MS) {
            self.links.clock_warned_ms.insert(sid, now_ms);
            let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
            let text =
                format!("the clock of {label} is {apart_ms} ms {way} ours: set them by the same time source");
            self.note(log::Level::Warn, Topic::Link, text);
        }
    }
}
