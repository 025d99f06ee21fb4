//! CONNECT_SERVER, PROOF, CONNECTED and COMPRESS: two servers tell each other who they are, prove that they
//! hold the network's secret, say whether they will have each other, and from where on they compress.
//!
//! Whoever was called speaks first, so that the caller can hang up without a word where it finds
//! itself, or a server that it has a link to already.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use super::{Asked, Fault, PeerMessage, When, or_star, unless_star};
use crate::defect::{Defect, is_planted};
use crate::engine::Engine;
use crate::engine::cost::Cost;
use crate::engine::effect::{Effect, Secret, Topic};
use crate::engine::event::{AskId, ConnId, Pin};
use crate::engine::links::{Hearing, Known, Link, LinkStage, PeerGreeting};
use crate::engine::merge::{Origin, Stream};
use crate::engine::pending::Pending;
use crate::engine::places::OPERATOR_CUT;
use crate::engine::suspicion::Suspicion;
use crate::wire::base36;
use crate::wire::message::{Draft, Message};
use crate::wire::names::{ServerId, ServerName};

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "CONNECT_SERVER",
        params_min: 8,
        when: When::Greeting,
        run: connect_server,
        shape: "1 <sid> <epoch> <name> <nonce> <wall clock, ms> <features, by comma, or *> :<network>",
    },
    PeerMessage {
        name: "PROOF",
        params_min: 2,
        when: When::Greeting,
        run: proof,
        shape: "<proof, base64> <highest epoch seen of you, 0 for none> [<proof by a former secret> …]",
    },
    PeerMessage {
        name: "CONNECTED",
        params_min: 1,
        // A link that both wanted may still be given up.
        when: When::Always,
        run: connected,
        shape: "ok | refused <reason> :<text>",
    },
    // Written exactly so, since whoever receives must know without understanding it that the next byte is compressed.
    PeerMessage { name: "COMPRESS", params_min: 1, when: When::Accepted, run: compress, shape: "zstd" },
];

/// The version of the mesh protocol.
const VERSION: &str = "1";

/// What this version can do beyond that; what both ends name may be used between them.
const FEATURES: &[&str] = &[COMPRESSION];

/// One stream of frames for each direction, with a window of 1 MiB.
const COMPRESSION: &str = "zstd";

/// A server is told of a later run of itself so often at most in such a time.
const RENEWALS_MAX: usize = 8;
const RENEWALS_WITHIN_MS: u64 = 600_000;

impl Engine {
    pub(in crate::engine) fn link_opened(
        &mut self,
        conn: ConnId,
        address: SocketAddr,
        dialled: Option<AskId>,
        pin: Pin,
        exporter: [u8; 32],
    ) {
        let place = match dialled.and_then(|ask| self.asks.take(ask)) {
            Some(Pending::Dial { place }) => Some(place),
            _ => None,
        };
        if let Some(known) = place.as_ref().and_then(|place| self.links.places.get_mut(place)) {
            known.dialling = None;
        }
        let now_ms = self.now.steady_ms;
        let nonce = BASE64.encode(self.dice.bytes());
        let is_ours = place.is_some();
        let link = Link {
            conn,
            address,
            pin,
            exporter,
            place,
            stage: LinkStage::Greeting,
            nonce,
            peer: None,
            holds: None,
            known: Known::default(),
            pulls: BTreeMap::new(),
            vector_parts: BTreeMap::new(),
            asked: Asked::default(),
            comparison: None,
            opened_ms: now_ms,
            up_ms: None,
            suspicion: Suspicion::new(now_ms),
            cost: Cost::default(),
            pinged_ms: now_ms,
            hearing: Hearing::default(),
            round_trip_ms: None,
            clock_ahead_ms: 0,
        };
        self.links.by_conn.insert(conn, link);
        let how = if is_ours { "called" } else { "calls" };
        self.note(log::Level::Debug, Topic::Link, format!("{address} {how} conn={} pin={pin}", conn.0));
        if !is_ours {
            self.send_greeting(conn);
        }
    }

    /// What is offered, as the settings have it.
    fn features(&self) -> Vec<&'static str> {
        let is_offered = |feature: &&str| self.config.network.compression || *feature != COMPRESSION;
        FEATURES.iter().copied().filter(is_offered).collect()
    }

    fn send_greeting(&mut self, conn: ConnId) {
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        let draft = Draft::new("CONNECT_SERVER")
            .param(VERSION)
            .param(self.identity.sid)
            .param(base36::encode(u64::from(self.identity.epoch)))
            .param(&self.identity.name)
            .param(&link.nonce)
            .param(self.now.wall.0)
            .param(or_star(&self.features().join(",")))
            .trailing(&self.config.network.name);
        self.send_peer(conn, draft);
    }

    /// The proof that one end gives: that it holds a secret, within this very TLS session.
    fn proof_of(&self, link: &Link, by_us: bool, secret: &Secret) -> Option<String> {
        let peer = link.peer.as_ref()?;
        let we = (self.identity.sid.as_str(), link.nonce.as_str());
        let they = (peer.sid.as_str(), peer.nonce.as_str());
        let (own, other) = if by_us { (we, they) } else { (they, we) };
        let is_caller = link.place.is_some() == by_us;
        let role = if is_caller { "caller" } else { "called" };
        let text = [VERSION_TAG, role, own.0, other.0, own.1, other.1].join("\0");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes());
        let tag = hmac::sign(&key, &[text.as_bytes(), b"\0", &link.exporter].concat());
        Some(BASE64.encode(tag))
    }

    /// The secret by which a peer has proven itself, of those that are still good.
    fn proven_by(&self, link: &Link, given: &str) -> Option<&Secret> {
        // Verifying an HMAC of both hides where they differ.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &link.exporter);
        let given = hmac::sign(&key, given.as_bytes());
        self.secrets.accepted(self.now.wall.0).find(|secret| {
            let expected = self.proof_of(link, false, secret).unwrap_or_default();
            hmac::verify(&key, expected.as_bytes(), given.as_ref()).is_ok()
        })
    }

    fn send_proof(&mut self, conn: ConnId) {
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        // By every secret that is still good: the peer may have been away, or we.
        let accepted = self.secrets.accepted(self.now.wall.0);
        let proofs: Option<Vec<String>> = accepted.map(|secret| self.proof_of(link, true, secret)).collect();
        let Some((proof, former)) = proofs.as_deref().and_then(|proofs| proofs.split_first()) else { return };
        let seen = link.sid().and_then(|sid| self.network.seen(Stream::Session).epoch(sid)).unwrap_or(0);
        let draft = Draft::new("PROOF").param(proof).param(base36::encode(u64::from(seen)));
        self.send_peer(conn, former.iter().fold(draft, |draft, proof| draft.param(proof)));
        if let Some(link) = self.links.by_conn.get_mut(&conn) {
            link.stage = LinkStage::Proving;
        }
    }

    /// Says no to a peer, and why; its own log will show it.
    pub(in crate::engine) fn refuse_peer(&mut self, conn: ConnId, reason: &'static str, text: &str) {
        self.trust.count_refusal(reason);
        self.send_peer(conn, Draft::new("CONNECTED").param("refused").param(reason).trailing(text));
        self.link_refused(conn, reason, text);
    }

    fn link_refused(&mut self, conn: ConnId, reason: &str, text: &str) {
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        let note = format!("{} refused conn={} reason={reason} why=\"{text}\"", link.label(), conn.0);
        let level = if reason == "duplicate" { log::Level::Debug } else { log::Level::Warn };
        let place = link.place.clone();
        self.note(level, Topic::Link, note);
        if reason == OPERATOR_CUT {
            self.keep_apart(conn);
        }
        if let Some(place) = &place {
            self.tell_who_wanted(place, &format!("is not linked: {text}"));
        }
        self.close_link(conn, reason);
        if let Some(place) = place.filter(|_| reason != "duplicate") {
            self.place_refused(&place);
        }
    }

    /// What speaks against a peer by what it says of itself: a reason word, and a sentence.
    fn objection(
        &self,
        link: &Link,
        peer: &PeerGreeting,
        network: &str,
        clock_ms: u64,
    ) -> Option<(&'static str, String)> {
        let name = self.identity.name.as_str();
        if peer.sid == self.identity.sid {
            return Some(if link.pin == self.identity.pin {
                ("own-sid", "that is this very server".to_string())
            } else {
                (
                    "own-sid",
                    format!("{name} has the server id {} too: set another sid on one of them", peer.sid),
                )
            });
        }
        if network != self.config.network.name {
            return Some((
                "network",
                format!("this is the network {}, not {network}", self.config.network.name),
            ));
        }
        let apart_ms = clock_ms.abs_diff(self.now.wall.0);
        if apart_ms > self.config.network.clock_refuse.as_millis() as u64 {
            return Some((
                "clock",
                format!("the clocks are {apart_ms} ms apart: set them by the same time source"),
            ));
        }
        let is_named_alike = |other: &&crate::engine::network::Server| {
            other.id != peer.sid && other.fact.name.eq_ignore_ascii_case(&peer.name)
        };
        if peer.name.eq_ignore_ascii_case(name) || self.network.servers().any(|other| is_named_alike(&other))
        {
            return Some((
                "duplicate-name",
                format!(
                    "two servers are called {0}: give one of them another name ([server] name = \"…\" in its settings) \
                     and restart it",
                    peer.name
                ),
            ));
        }
        let known = self.network.server(peer.sid).filter(|_| self.routes.is_reachable(peer.sid));
        if let Some(known) = known.filter(|known| known.fact.pin != link.pin.to_string()) {
            let text = format!(
                "{} has the server id {} too: set another sid on one of them",
                known.fact.name, peer.sid
            );
            return Some(("duplicate-sid", text));
        }
        // Whoever calls is held to it as well as whoever is called.
        let named = self.config.link.iter().find(|named| named.name.eq_ignore_ascii_case(&peer.name));
        let pinned = named.and_then(|named| Pin::parse(named.pin.as_deref()?));
        if pinned.is_some_and(|pin| pin != link.pin) {
            let text = format!(
                "{name} knows {0} by another certificate: set the pin in its [[link]] to {1}, if that is the new one of {0}",
                peer.name, link.pin
            );
            return Some(("pin", text));
        }
        let place = link.place.as_ref().and_then(|place| self.links.places.get(place));
        if let Some(place) =
            place.filter(|place| place.is_fixed && !place.name.eq_ignore_ascii_case(&peer.name))
        {
            return Some(("unknown-name", format!("{} was expected here, not {}", place.name, peer.name)));
        }
        None
    }

    /// Of two links to one server the one called by the lower id stays; of two called by the same
    /// server the newer, since a caller calls again only when it has lost the first.
    fn gives_way(&mut self, conn: ConnId, sid: ServerId) -> bool {
        let caller = |link: &Link| if link.place.is_some() { self.identity.sid } else { sid };
        let Some(link) = self.links.by_conn.get(&conn) else { return true };
        let is_other = |other: &&Link| {
            other.conn != conn && other.sid() == Some(sid) && other.stage != LinkStage::Closing
        };
        let Some(other) = self.links.by_conn.values().find(is_other) else { return false };
        let (mine, others) = (caller(link), caller(other));
        let other_conn = other.conn;
        let stays = others < mine || (others == mine && mine == self.identity.sid);
        if !stays {
            self.send_peer(
                other_conn,
                Draft::new("CONNECTED")
                    .param("refused")
                    .param("duplicate")
                    .trailing("another link took over"),
            );
            self.close_link(other_conn, "another link took over");
        }
        stays
    }

    fn accept(&mut self, conn: ConnId) {
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        link.stage = LinkStage::Syncing;
        // Whatever an operator cut, an operator has linked again.
        if let Some(sid) = link.sid() {
            self.links.apart.remove(&sid);
        }
        let (sid, place) = (link.sid(), link.place.clone());
        if let Some(place) = place {
            if let Some(place) = self.links.places.get_mut(&place) {
                place.sid = sid;
            }
            self.tell_who_wanted(&place, "is linked");
        }
        self.begin_compression(conn);
        // Before anything that it could have to wait behind: this is how we learn how long the way is, and how far the
        // clocks are apart.
        self.send_ping(conn);
        self.send_secret_if_missing(conn);
        self.send_routes(conn);
        self.tell_have(conn, true);
    }

    fn begin_compression(&mut self, conn: ConnId) {
        let Some(peer) = self.links.by_conn.get(&conn).and_then(|link| link.peer.as_ref()) else { return };
        if self.config.network.compression && peer.features.contains(COMPRESSION) {
            self.send_peer(conn, Draft::new("COMPRESS").param(COMPRESSION));
            self.effects.push(Effect::Compress { conn });
        }
    }

    /// Whether somebody has heard more of this server than it has said, in this run or a later one; then it goes
    /// on in a run that nobody has heard of. What they heard was said before its data was lost or put back. So it
    /// is with its store, which needs no new run.
    pub(super) fn is_outrun(
        &mut self,
        conn: ConnId,
        heard: impl IntoIterator<Item = (Origin, u64)>,
        stream: Stream,
    ) -> bool {
        let (heard, unlikely): (Vec<_>, Vec<_>) =
            heard.into_iter().partition(|(origin, _)| self.is_likely_run(*origin));
        let own = unlikely.iter().find(|(origin, _)| origin.server == self.identity.sid);
        if let Some((origin, _)) = own {
            self.disbelieve_run(conn, origin.epoch);
        }
        if stream == Stream::Durable {
            return self.is_of_another_past(&heard.into_iter().collect());
        }
        let own = self.origin_of(stream);
        let tip = self.network.seen(stream).tip(own);
        let is_beyond = |(origin, seq): &(Origin, u64)| {
            origin.server == own.server && (origin.epoch, *seq) > (own.epoch, tip)
        };
        let Some(epoch) = heard.into_iter().filter(is_beyond).map(|(origin, _)| origin.epoch).max() else {
            return false;
        };
        if !self.may_renew(conn, epoch) {
            return false;
        }
        self.renew_epoch(epoch);
        true
    }

    /// Whether to believe that this server was seen in a later run. It happens where its data was lost, so
    /// hardly ever, and never by many runs at once.
    pub(super) fn may_renew(&mut self, conn: ConnId, seen: u32) -> bool {
        let now_ms = self.now.steady_ms;
        self.renewals.retain(|at_ms| now_ms < at_ms + RENEWALS_WITHIN_MS);
        let is_likely = self.is_likely_run(Origin { server: self.identity.sid, epoch: seen });
        if is_likely && self.renewals.len() < RENEWALS_MAX {
            self.renewals.push(now_ms);
            return true;
        }
        self.disbelieve_run(conn, seen);
        false
    }

    fn disbelieve_run(&mut self, conn: ConnId, seen: u32) {
        let own = self.identity.epoch;
        let label = self.links.by_conn.get(&conn).map_or(String::new(), Link::label);
        let text = format!(
            "{label} tells of a later run of this server, which is not believed conn={} run={} seen={seen}",
            conn.0, own
        );
        self.suspect(Fault::OwnOrigin, &label, &text);
    }

    /// Somebody remembers this server in a later run than this one: its data was lost or put back.
    /// It goes on in a run that nobody has seen.
    pub(super) fn renew_epoch(&mut self, seen: u32) {
        if is_planted(Defect::LaterRunIgnored) {
            return;
        }
        let epoch = seen.saturating_add(1);
        let text = format!("this server was seen in run {seen}, later than its own: begins run {epoch}");
        self.note(log::Level::Error, Topic::Server, text);
        let seats = self.empty_seats();
        let why = "This server begins anew; please come back";
        self.end_everyone(why);
        self.end_guests(why);
        let peers: Vec<ConnId> = self.links.by_conn.keys().copied().collect();
        peers.into_iter().for_each(|conn| self.close_link(conn, "this server begins anew"));
        self.begin_epoch(epoch);
        self.effects.push(Effect::KeepEpoch { epoch });
        // Whoever stays is here in the new run, too.
        seats.into_iter().for_each(|seat| self.seat(seat));
    }
}

const VERSION_TAG: &str = "folkmoot/1";

fn connect_server(engine: &mut Engine, conn: ConnId, message: &Message) {
    let [version, sid, epoch, name, nonce, clock, features, network, ..] = message.params[..] else { return };
    let Some(link) = engine.links.by_conn.get(&conn) else { return };
    if link.peer.is_some() {
        return engine.refuse_peer(conn, "order", "CONNECT_SERVER came twice");
    }
    if version != VERSION {
        return engine.refuse_peer(
            conn,
            "rules",
            &format!("this server speaks version {VERSION} of the mesh"),
        );
    }
    let epoch = base36::parse(epoch).and_then(|epoch| u32::try_from(epoch).ok());
    let (Some(sid), Some(_), Some(_), Ok(clock_ms)) =
        (ServerId::parse(sid), epoch, ServerName::parse(name), clock.parse())
    else {
        return engine.refuse_peer(conn, "rules", "CONNECT_SERVER makes no sense");
    };
    let features = unless_star(features).split(',').map(str::to_string).collect();
    let peer = PeerGreeting { sid, name: name.to_string(), nonce: nonce.to_string(), features };
    let is_caller = link.place.is_some();
    if let Some((reason, text)) = engine.objection(link, &peer, network, clock_ms) {
        if reason == "own-sid" && is_caller && link.pin == engine.identity.pin {
            engine.found_myself(conn);
        }
        return engine.refuse_peer(conn, reason, &text);
    }
    if let Some(place) = link.place.clone().and_then(|place| engine.links.places.get_mut(&place)) {
        place.sid = Some(sid);
    }
    if let Some(link) = engine.links.by_conn.get_mut(&conn) {
        link.peer = Some(peer);
    }
    if engine.gives_way(conn, sid) {
        return engine.refuse_peer(conn, "duplicate", "there is a link already");
    }
    if is_caller {
        engine.send_greeting(conn);
    }
    engine.send_proof(conn);
}

fn proof(engine: &mut Engine, conn: ConnId, message: &Message) {
    let Some(link) = engine.links.by_conn.get(&conn) else { return };
    if link.stage != LinkStage::Proving {
        return engine.refuse_peer(conn, "order", "PROOF comes out of turn");
    }
    let (given, former) = (message.params[0], message.params.get(2..).unwrap_or_default());
    let holds = engine.proven_by(link, given).cloned();
    let by = holds.as_ref().or_else(|| former.iter().find_map(|given| engine.proven_by(link, given)));
    let Some(by) = by else {
        return engine.refuse_peer(conn, "proof", "the two servers do not hold the same network secret");
    };
    if *by != engine.secrets.current {
        let text = format!("{} proves itself by a former secret of the network", link.label());
        engine.note(log::Level::Info, Topic::Link, text);
    }
    let seen = base36::parse(message.params[1]).and_then(|seen| u32::try_from(seen).ok()).unwrap_or(0);
    if seen > engine.identity.epoch && seen < u32::MAX {
        if engine.may_renew(conn, seen) {
            return engine.renew_epoch(seen);
        }
        return engine.refuse_peer(conn, "epoch", "this server is not in a later run than it says");
    }
    engine.effects.push(Effect::Proven { conn });
    engine.send_peer(conn, Draft::new("CONNECTED").param("ok"));
    if let Some(link) = engine.links.by_conn.get_mut(&conn) {
        link.stage = LinkStage::Accepting;
        link.holds = holds;
    }
}

fn connected(engine: &mut Engine, conn: ConnId, message: &Message) {
    let Some(link) = engine.links.by_conn.get(&conn) else { return };
    match message.params[..] {
        ["ok", ..] if link.stage == LinkStage::Accepting => engine.accept(conn),
        ["refused", reason, text, ..] => {
            let (reason, text) = (reason.to_string(), text.to_string());
            engine.link_refused(conn, &reason, &text);
        }
        _ => engine.refuse_peer(conn, "order", "CONNECTED comes out of turn"),
    }
}

/// The other end compresses from here on; what reads from it knows already.
fn compress(engine: &mut Engine, conn: ConnId, message: &Message) {
    if message.params[0] != COMPRESSION {
        engine.refuse_peer(conn, "order", "it compresses as nobody here can read");
    }
}
