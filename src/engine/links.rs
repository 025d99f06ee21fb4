//! What the engine knows of its links: connections to peers, and the places where peers may be called.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::cost::Cost;
use super::effect::Secret;
use super::event::{AskId, ConnId, Pin};
use super::merge::{Answer, Stream, Vector};
use super::network::{Key, Value};
use super::peer::{Asked, Comparison};
use super::suspicion::Suspicion;
use crate::config;
use crate::wire::names::{ServerId, UserId};

/// One connection to a peer.
#[derive(Debug)]
pub struct Link {
    pub conn: ConnId,
    pub address: SocketAddr,
    pub pin: Pin,
    /// Keying material of this TLS session, which ties the proof to it.
    pub exporter: [u8; 32],
    /// Where we called, if it was us.
    pub place: Option<String>,
    pub stage: LinkStage,
    /// What makes our proof fresh.
    pub nonce: String,
    pub peer: Option<PeerGreeting>,
    /// The secret that the peer takes for the network's current one, once it has proved it and if we know it.
    pub holds: Option<Secret>,
    /// What the peer surely has, or will have once it has read what we sent.
    pub known: Known,
    /// Facts that the peer is sending us because we asked for them, by their stream.
    pub pulls: BTreeMap<Stream, Pull>,
    /// Messages that it has asked for.
    pub asked: Asked,
    /// Vectors that the peer has begun to say, and that do not fit on one line.
    pub vector_parts: BTreeMap<Stream, Vector>,
    /// What the peer holds otherwise, while that is found out.
    pub comparison: Option<Comparison>,
    pub opened_ms: u64,
    pub up_ms: Option<u64>,
    /// When we heard of it, and whether its silence is longer than usual.
    pub suspicion: Suspicion,
    pub cost: Cost,
    pub pinged_ms: u64,
    pub hearing: Hearing,
    pub round_trip_ms: Option<u64>,
    /// How far the peer's wall clock is ahead of ours.
    pub clock_ahead_ms: i64,
}

/// Whether the peer hears us: a link on which only one direction works carries lines all the same.
#[derive(Clone, Debug, Default)]
pub struct Hearing {
    /// Since when nothing has shown that it does, though it was asked.
    doubted_ms: Option<u64>,
    /// What has come meanwhile. The answer may stand behind it in the queue.
    bytes: usize,
}

/// So much within the time that an answer may take, and the link is at work: slow, not deaf.
const BULK_BYTES: usize = 16 << 10;

impl Hearing {
    pub fn asked(&mut self, now_ms: u64) {
        self.doubted_ms.get_or_insert(now_ms);
    }

    pub fn is_shown(&mut self) {
        *self = Hearing::default();
    }

    pub fn came(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether there was neither an answer for so long nor anything that it could stand behind.
    pub fn is_missing(&mut self, now_ms: u64, within_ms: u64) -> bool {
        let is_late = self.doubted_ms.is_some_and(|since_ms| now_ms >= since_ms + within_ms);
        if is_late && self.bytes >= BULK_BYTES {
            *self = Hearing { doubted_ms: Some(now_ms), bytes: 0 };
            return false;
        }
        is_late
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkStage {
    /// Names are exchanged.
    Greeting,
    /// We have sent our proof and wait for theirs.
    Proving,
    /// We have accepted them and wait to be accepted.
    Accepting,
    /// Both have accepted; what either missed is sent.
    Syncing,
    /// Part of the map.
    Up,
    Closing,
}

/// What a peer says of itself before it has proved anything.
#[derive(Clone, Debug)]
pub struct PeerGreeting {
    pub sid: ServerId,
    pub name: String,
    pub nonce: String,
    /// What it can do beyond the protocol's version.
    pub features: BTreeSet<String>,
}

/// How far a peer has come, by stream.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub session: Vector,
    pub durable: Vector,
    pub message: Vector,
    /// The streams of which the peer has said it at least once.
    pub told: BTreeSet<Stream>,
}

impl Known {
    pub fn of(&self, stream: Stream) -> &Vector {
        match stream {
            Stream::Session => &self.session,
            Stream::Durable => &self.durable,
            Stream::Message => &self.message,
        }
    }

    pub fn of_mut(&mut self, stream: Stream) -> &mut Vector {
        match stream {
            Stream::Session => &mut self.session,
            Stream::Durable => &mut self.durable,
            Stream::Message => &mut self.message,
        }
    }
}

/// A pull of facts under way.
#[derive(Debug)]
pub struct Pull {
    pub asked_ms: u64,
    /// When the latest of it came.
    pub came_ms: u64,
    /// Facts that will be merged in one step when the peer says it is done, or not at all.
    pub staged: Option<Answer<Key, Value>>,
}

impl Link {
    pub fn sid(&self) -> Option<ServerId> {
        self.peer.as_ref().map(|peer| peer.sid)
    }

    /// Whether both ends have accepted each other.
    pub fn is_accepted(&self) -> bool {
        matches!(self.stage, LinkStage::Syncing | LinkStage::Up)
    }

    /// How log lines call it: by the peer's name once that is known.
    pub fn label(&self) -> String {
        match &self.peer {
            Some(peer) => peer.name.clone(),
            None => self.address.to_string(),
        }
    }
}

/// Somewhere a peer may be called.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    pub address: String,
    pub pin: Option<Pin>,
    /// Who answers there, once known.
    pub sid: Option<ServerId>,
    /// From the config, so never given up.
    pub is_fixed: bool,
    /// Failures since it last went well.
    pub failures: u32,
    pub next_ms: u64,
    pub dialling: Option<AskId>,
    /// The operator who wants to know what comes of the next call.
    pub wanted_by: Option<UserId>,
    /// When a found server last announced itself.
    pub announced_ms: Option<u64>,
}

impl Place {
    /// As the config has it.
    pub fn of_link(link: &config::Link, next_ms: u64, is_fixed: bool) -> Place {
        Place {
            name: link.name.clone(),
            address: link.address.clone(),
            pin: link.pin.as_deref().and_then(Pin::parse),
            sid: None,
            is_fixed,
            failures: 0,
            next_ms,
            dialling: None,
            wanted_by: None,
            announced_ms: None,
        }
    }
}

/// A server that an operator cut the link to, and until when it is not called again.
#[derive(Clone, Debug)]
pub struct Apart {
    pub sid: ServerId,
    pub name: String,
    pub until_ms: u64,
}

impl Apart {
    /// Whether this is who would answer at a place.
    pub fn is_at(&self, place: &Place) -> bool {
        place.sid == Some(self.sid) || place.name.eq_ignore_ascii_case(&self.name)
    }
}

/// All links and places.
#[derive(Debug, Default)]
pub struct Links {
    pub by_conn: BTreeMap<ConnId, Link>,
    /// By address.
    pub places: BTreeMap<String, Place>,
    pub apart: BTreeMap<ServerId, Apart>,
    /// Servers of other networks that have been named in the log.
    pub strangers: BTreeSet<Pin>,
    /// When the log last warned of a neighbour's clock.
    pub clock_warned_ms: BTreeMap<ServerId, u64>,
}

impl Links {
    /// The connection through which a neighbour is reached, once it is part of the map.
    pub fn to(&self, sid: ServerId) -> Option<&Link> {
        self.by_conn.values().find(|link| link.sid() == Some(sid) && link.is_accepted())
    }

    pub fn accepted(&self) -> impl Iterator<Item = &Link> {
        self.by_conn.values().filter(|link| link.is_accepted())
    }

    pub fn up(&self) -> impl Iterator<Item = &Link> {
        self.by_conn.values().filter(|link| link.stage == LinkStage::Up)
    }
}
