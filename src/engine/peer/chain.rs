//! CHAIN: a running hash over the events of each origin, so that nobody changes them on their way unseen.
//!
//! Everyone computes it from the events as they come, and neighbours tell each other where they stand. Of two
//! that differ the writer itself is right; then whoever brought the events here is believed no more, for a
//! while, but in its own name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ring::digest::{Context, SHA256};

use super::{Fault, PeerMessage, RULES, When, read_stream, written};
use crate::engine::Engine;
use crate::engine::event::ConnId;
use crate::engine::links::Link;
use crate::engine::merge::{Origin, Stream};
use crate::engine::network::{Change, Edit, What};
use crate::wire::base36;
use crate::wire::message::{Draft, Message};
use crate::wire::names::ServerId;

pub const MESSAGES: &[PeerMessage] = &[PeerMessage {
    name: "CHAIN",
    params_min: 3,
    when: When::Accepted,
    run: chain,
    shape: "S|D|M <rules> :<sid.epoch>=<seq>/<hash> …",
}];

/// How far back two servers can compare that have not heard equally much.
const WINDOW: usize = 256;

/// How many origins stand on one line.
const ORIGINS_PER_LINE: usize = 80;

/// How long whoever changed events is believed in its own name only.
const FALSE_FOR_MS: u64 = 600_000;

/// The running hashes of all origins, and who was found to have changed events.
#[derive(Debug, Default)]
pub struct Chains {
    by_origin: BTreeMap<(Origin, Stream), Chain>,
    false_relays: BTreeMap<ServerId, u64>,
}

#[derive(Debug)]
struct Chain {
    tip: u64,
    /// The hash at the tip, and at each event before it; and who brought the event.
    links: VecDeque<(u64, Option<ServerId>)>,
    /// Up to here a neighbour had the same.
    agreed: u64,
}

/// By which rules events are hashed: of messages without what has to be heard before them, as that is nothing to
/// those who hear of them after a run has ended.
fn rules_of(stream: Stream) -> &'static str {
    if stream == Stream::Message { MESSAGE_RULES } else { RULES }
}

const MESSAGE_RULES: &str = "3";

/// The hash after one more event, which may be in pieces.
pub fn next_hash<'l>(before: u64, line: impl IntoIterator<Item = &'l str>) -> u64 {
    let mut context = Context::new(&SHA256);
    context.update(&before.to_be_bytes());
    line.into_iter().for_each(|piece| context.update(piece.as_bytes()));
    u64::from_be_bytes(context.finish().as_ref()[..8].try_into().expect("8 of 32 bytes"))
}

impl Chain {
    fn at(&self, seq: u64) -> Option<u64> {
        let back = usize::try_from(self.tip.checked_sub(seq)?).ok()?;
        let place = self.links.len().checked_sub(back + 1)?;
        self.links.get(place).map(|(hash, _)| *hash)
    }

    /// Who brought what came after the last event that was agreed on, up to this one.
    fn brought_by(&self, last: u64) -> BTreeSet<ServerId> {
        let first = self.tip + 1 - self.links.len() as u64;
        let numbered = (first..).zip(&self.links);
        let doubtful = numbered.filter(|(seq, _)| *seq > self.agreed && *seq <= last);
        doubtful.filter_map(|(_, (_, from))| *from).collect()
    }
}

impl Chains {
    fn adopt(&mut self, origin: Origin, stream: Stream, tip: u64, hash: u64) {
        let links = VecDeque::from([(hash, None)]);
        self.by_origin.insert((origin, stream), Chain { tip, links, agreed: tip });
    }

    /// Who is believed in its own name only, and until when.
    pub fn false_relays(&self) -> impl Iterator<Item = (ServerId, u64)> {
        self.false_relays.iter().map(|(server, until_ms)| (*server, *until_ms))
    }
}

impl Engine {
    /// Takes an event into the running hash of its origin. Returns the line that carries it, if it had to be written.
    pub(in crate::engine) fn chain(&mut self, change: &Change, from: Option<ConnId>) -> Option<Arc<str>> {
        let dot = change.dot;
        let by = from.and_then(|conn| self.links.by_conn.get(&conn)).and_then(Link::sid);
        let key = (dot.origin, dot.stream);
        // What it said is nowhere to be had any more, so nobody can tell whether it was changed.
        let is_blank = match &change.edit {
            Edit::Message(message) => message.is_blank,
            Edit::Happening(happening) => happening.what == What::Forgotten,
            _ => false,
        };
        let before = match self.chains.by_origin.get(&key) {
            _ if is_blank => None,
            Some(chain) if chain.tip + 1 == dot.seq => chain.at(chain.tip),
            None if dot.seq == 1 => Some(0),
            _ => None,
        };
        let Some(before) = before else {
            // Something in between came without its events; a neighbour will tell where the origin stands.
            self.chains.by_origin.remove(&key);
            return None;
        };
        let written = written(change, change.after);
        let hash = match dot.stream {
            Stream::Message => next_hash(before, written.regardless()),
            Stream::Session | Stream::Durable => next_hash(before, [written.line.as_str()]),
        };
        let new = || Chain { tip: 0, links: VecDeque::new(), agreed: 0 };
        let chain = self.chains.by_origin.entry(key).or_insert_with(new);
        chain.tip = dot.seq;
        chain.links.push_back((hash, by));
        if chain.links.len() > WINDOW {
            chain.links.pop_front();
        }
        Some(written.line.into())
    }

    /// Tells neighbours where each origin stands.
    pub(in crate::engine) fn tell_chains(&mut self) {
        let links: Vec<ConnId> = self.links.up().map(|link| link.conn).collect();
        links.into_iter().for_each(|conn| self.tell_chains_to(conn));
    }

    fn tell_chains_to(&mut self, conn: ConnId) {
        for stream in Stream::ALL {
            let known = self.chains.by_origin.iter().filter(|((_, of), _)| *of == stream);
            let words = known.filter_map(|((origin, _), chain)| {
                // Durable facts are not spoken of before they are on disk.
                let seq = chain.tip.min(self.network.said(stream).tip(*origin));
                Some(format!("{origin}={}/{}", base36::encode(seq), base36::encode(chain.at(seq)?)))
            });
            let words: Vec<String> = words.collect();
            for words in words.chunks(ORIGINS_PER_LINE) {
                let draft = Draft::new("CHAIN").param(stream.letter()).param(rules_of(stream));
                self.send_peer(conn, draft.trailing(words.join(" ")));
            }
        }
    }

    /// Whether a neighbour is believed in its own name only.
    pub(super) fn is_false_relay(&self, link: &Link) -> bool {
        link.sid().is_some_and(|sid| self.chains.false_relays.contains_key(&sid))
    }

    /// Whoever was believed in its own name only may have been put in order since.
    pub(super) fn end_disbelief(&mut self) {
        let now_ms = self.now.steady_ms;
        self.chains.false_relays.retain(|_, until_ms| now_ms < *until_ms);
    }

    fn compare_chain(&mut self, conn: ConnId, origin: Origin, stream: Stream, seq: u64, hash: u64) {
        let tip = self.network.seen(stream).tip(origin);
        let key = (origin, stream);
        let Some(chain) = self.chains.by_origin.get_mut(&key).filter(|chain| chain.tip == tip) else {
            if seq == tip && tip > 0 {
                self.chains.adopt(origin, stream, tip, hash);
            }
            return;
        };
        match chain.at(seq) {
            Some(here) if here == hash => chain.agreed = chain.agreed.max(seq),
            Some(_) => self.chains_differ(conn, origin, stream, seq, hash),
            None => {}
        }
    }

    fn chains_differ(&mut self, conn: ConnId, origin: Origin, stream: Stream, seq: u64, hash: u64) {
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        let (label, sid) = (link.label(), link.sid());
        let Some(chain) = self.chains.by_origin.get(&(origin, stream)) else { return };
        let (tip, brought_by) = (chain.tip, chain.brought_by(seq));
        let names: Vec<&str> = brought_by.iter().map(|by| self.network.server_name(*by)).collect();
        let at = format!("origin={origin} stream={} seq={seq}", stream.letter());
        let text = if origin.server == self.identity.sid {
            format!("{label} holds events of this server that were not written here {at}")
        } else if sid == Some(origin.server) {
            format!("events of {label} came here changed, by way of {} {at}", names.join(" or "))
        } else {
            format!(
                "{label} holds other events of an origin than came here by way of {} {at}",
                names.join(" or ")
            )
        };
        self.suspect_origin(Fault::Forged, origin, &text);
        if sid != Some(origin.server) {
            return;
        }
        // The writer's own word. What it wrote of facts comes back when states are compared.
        if seq == tip {
            self.chains.adopt(origin, stream, seq, hash);
        } else {
            self.chains.by_origin.remove(&(origin, stream));
        }
        // Where several had a hand in it, nobody is punished for another.
        if let [by] = brought_by.into_iter().filter(|by| *by != origin.server).collect::<Vec<_>>()[..] {
            self.chains.false_relays.insert(by, self.now.steady_ms + FALSE_FOR_MS);
        }
    }
}

fn chain(engine: &mut Engine, conn: ConnId, message: &Message) {
    let told = message.params[2].split_ascii_whitespace().map(|entry| {
        let (origin, place) = entry.split_once('=')?;
        let (seq, hash) = place.split_once('/')?;
        Some((Origin::parse(origin)?, base36::parse(seq)?, base36::parse(hash)?))
    });
    let (Some(stream), Some(told)) = (read_stream(message.params[0]), told.collect::<Option<Vec<_>>>())
    else {
        return engine.note_senseless(conn, "CHAIN");
    };
    if message.params[1] == rules_of(stream) {
        for (origin, seq, hash) in told {
            engine.compare_chain(conn, origin, stream, seq, hash);
        }
    }
}
