//! STATE, BUCKETS, HELD, COMPARED, DOUBT and WORDING: servers that have heard the same hold the same, and where they do not, they
//! find the facts that differ and put them right.
//!
//! What counts of a fact that differs is the word of the server that wrote it; where that one is out of reach,
//! the word of the lowest id within reach. Everyone who can reach each other asks the same server, so it ends.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    EVENT_MESSAGES, Fault, PeerMessage, When, digest_of_vector, line_of, name_of_metadata, read_stream,
};
use crate::defect::{Defect, is_planted};
use crate::engine::Engine;
use crate::engine::event::ConnId;
use crate::engine::merge::{Digested, Dot, Fact, Stamp, Stream};
use crate::engine::network::{Key, Value};
use crate::wire::base36;
use crate::wire::message::{Draft, Message};
use crate::wire::names::ServerId;

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "STATE",
        params_min: 4,
        when: When::Accepted,
        run: state,
        shape: "S|D <rules> <digest of the vector> <digest of the facts>",
    },
    PeerMessage {
        name: "BUCKETS",
        params_min: 3,
        when: When::Accepted,
        run: buckets,
        shape: "S|D <digest of the vector> :<digest of each bucket> …",
    },
    PeerMessage {
        name: "HELD",
        params_min: 4,
        when: When::Accepted,
        run: held,
        shape: "S|D <digest of the vector> <bucket> :<dot>=<digest> …",
    },
    PeerMessage {
        name: "COMPARED",
        params_min: 2,
        when: When::Accepted,
        run: compared,
        shape: "S|D <digest of the vector>",
    },
    PeerMessage {
        name: "DOUBT",
        params_min: 4,
        when: When::Accepted,
        run: doubt,
        shape: "<to sid> <from sid> <digest of the vector> <dot>",
    },
    PeerMessage {
        name: "WORDING",
        params_min: 5,
        when: When::Accepted,
        run: wording,
        shape: "<to sid> <from sid> <digest of the vector> <dot> GONE | IS <the fact>",
    },
];

/// Which facts there are, and how they are written: only servers of the same rules compare them.
pub(super) const RULES: &str = "2";

/// Facts are compared by groups, so that few have to be told one by one.
const BUCKETS: usize = 256;

/// So many groups that differ, and facts that differ, are looked at in one round; the others in the next.
const BUCKETS_PER_ROUND: usize = 32;
const FACTS_PER_ROUND: usize = 200;

/// More is never kept of what a neighbour holds.
const HELD_MAX: usize = 100_000;

/// How many dots stand on one line.
const DOTS_PER_LINE: usize = 80;

/// What a neighbour holds, as far as it differs.
#[derive(Debug)]
pub struct Comparison {
    stream: Stream,
    seen: u64,
    buckets: BTreeSet<usize>,
    theirs: BTreeMap<Dot, u64>,
}

/// Facts whose right wording was asked for: of whom, and in which state.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<Dot, (ServerId, u64)>);

impl Engine {
    /// Tells neighbours what this server holds, in short.
    pub(in crate::engine) fn tell_state(&mut self) {
        let links: Vec<ConnId> = self.links.up().map(|link| link.conn).collect();
        for stream in Stream::OF_FACTS {
            let (seen, facts) = (self.seen_digest(stream), self.network.facts_hash(stream));
            for &conn in &links {
                let draft = Draft::new("STATE").param(stream.letter()).param(RULES);
                self.send_peer(conn, draft.param(base36::encode(seen)).param(base36::encode(facts)));
            }
        }
    }

    /// A digest of how far a stream of facts has been heard, and may be spoken of.
    pub(in crate::engine) fn seen_digest(&self, stream: Stream) -> u64 {
        digest_of_vector(self.network.said(stream))
    }

    fn bucket_sums(&self, stream: Stream) -> Vec<u64> {
        let mut sums = vec![0u64; BUCKETS];
        for (key, fact) in self.network.facts_that_count(stream) {
            let sum = &mut sums[bucket_of(key)];
            *sum = sum.wrapping_add(Value::digest(key, fact));
        }
        sums
    }

    /// Asks whose word counts for the right wording of a fact; of this server there is nothing to ask.
    fn ask_for_wording(&mut self, dot: Dot, seen: u64) {
        let of = self.whose_word_counts(dot);
        if of != self.identity.sid && self.intake.doubts.0.len() < HELD_MAX {
            self.intake.doubts.0.insert(dot, (of, seen));
            let draft = Draft::new("DOUBT").param(of).param(self.identity.sid);
            self.send_towards(of, draft.param(base36::encode(seen)).param(dot));
        }
    }

    fn whose_word_counts(&self, dot: Dot) -> ServerId {
        let writer = dot.origin.server;
        if self.routes.is_reachable(writer) {
            return writer;
        }
        self.routes.reachable().min().unwrap_or(self.identity.sid)
    }

    /// Answers with the wording of a fact here, or that there is none.
    fn answer_doubt(&mut self, to: ServerId, dot: Dot, seen: u64) {
        if seen != self.seen_digest(dot.stream) {
            // What is on its way may settle it; if not, it will be asked again.
            return;
        }
        let held = self.network.facts(dot.stream).iter().find(|(_, fact)| fact.dot == dot);
        let line = held.and_then(|(key, fact)| line_of(key, fact));
        let (base, about) = (Draft::new("WORDING"), (base36::encode(seen), dot.to_string()));
        let start = |draft: Draft| draft.param(to).param(self.identity.sid).param(&about.0).param(&about.1);
        let draft = match line.as_deref().and_then(Message::parse) {
            None => start(base).param("GONE"),
            Some(fact) => {
                // A tag `dot` would make this an event of its own.
                let tags = fact.tags.iter().filter(|(key, _)| *key != "dot");
                let draft = tags.fold(base, |draft, (key, value)| draft.tag(key, &value));
                let stamp = held.map_or(0, |(_, fact)| fact.stamp.number());
                let draft = start(draft.tag("stamp", &base36::encode(stamp))).param("IS").param(fact.command);
                fact.params.iter().fold(draft, |draft, param| draft.param(param))
            }
        };
        self.send_towards(to, draft);
    }

    /// Takes the wording of whoever's word counts.
    fn doubt_answered(&mut self, conn: ConnId, message: &Message) {
        let [_, from, seen, dot, what, ref wording @ ..] = message.params[..] else {
            return self.note_senseless(conn, "WORDING");
        };
        let (Some(from), Some(seen), Some(dot)) =
            (ServerId::parse(from), base36::parse(seen), Dot::parse(dot))
        else {
            return self.note_senseless(conn, "WORDING");
        };
        if self.intake.doubts.0.get(&dot) != Some(&(from, seen)) {
            return;
        }
        self.intake.doubts.0.remove(&dot);
        if seen != self.seen_digest(dot.stream) || !self.network.said(dot.stream).covers(dot) {
            return;
        }
        let right = match what {
            "GONE" => None,
            _ => match self.read_wording(message, wording, dot) {
                Some(fact) => Some(fact),
                None => return self.note_senseless(conn, "WORDING"),
            },
        };
        self.put_right(dot, right, from);
    }

    fn read_wording(&self, message: &Message, wording: &[&str], dot: Dot) -> Option<(Key, Fact<Value>)> {
        let (verb, params) = wording.split_first()?;
        let number = base36::parse(&message.tags.get("stamp")?)?;
        let fact =
            Message { tags: message.tags.clone(), source: None, command: verb, params: params.to_vec() };
        let row = EVENT_MESSAGES.iter().copied().flatten().find(|row| row.name == *verb)?;
        let edit = (row.params_min <= params.len()).then(|| (row.read)(&fact)).flatten()?;
        let writer = dot.origin.server;
        let (key, value) = edit.fact(writer).filter(|_| edit.is_rightful(writer))?;
        Some((key, Fact { dot, stamp: Stamp::from_number(number, writer), value: value? }))
    }

    fn put_right(&mut self, dot: Dot, right: Option<(Key, Fact<Value>)>, by: ServerId) {
        let held = self.network.facts(dot.stream).iter().find(|(_, fact)| fact.dot == dot);
        let held = held.map(|(key, fact)| (key.clone(), fact.clone()));
        if held == right || is_planted(Defect::ForgeryStays) {
            return;
        }
        let keys: BTreeSet<Key> = held.iter().chain(&right).map(|(key, _)| key.clone()).collect();
        let named = keys.iter().map(name_of).collect::<Vec<_>>().join(", ");
        let was = |fact: &Option<(Key, Fact<Value>)>| if fact.is_some() { "held" } else { "gone" };
        let text = format!(
            "{named} put right dot={dot} by={} was={} is={}",
            self.network.server_name(by),
            was(&held),
            was(&right)
        );
        self.note(log::Level::Warn, crate::engine::effect::Topic::Link, text);
        for channel in keys.iter().filter_map(Key::channel) {
            self.prepare_to_put_right(channel);
        }
        let news = self.network.put_right(dot, right);
        self.tell(news);
        self.react();
    }
}

/// In which group a fact is compared; the same on every server.
fn bucket_of(key: &Key) -> usize {
    (Value::mark(key) % BUCKETS as u64) as usize
}

/// A key in words: for the log, and no two keys alike, since it is also what they are told apart by.
pub(super) fn name_of(key: &Key) -> String {
    match key {
        Key::Server(server) => format!("server {server}"),
        Key::User(user) => format!("user {user}"),
        Key::Member(channel, user) => format!("member {channel} {user}"),
        Key::Setting(channel, birth, item) => format!("setting {channel} {birth} {}", item.letter()),
        Key::Status(channel, birth, user, letter) => format!("status {channel} {birth} {user} {letter}"),
        Key::Mask(channel, birth, list, mask) => format!("mask {channel} {birth} {list} {mask}"),
        Key::Metadata(of, key) => name_of_metadata(of, key),
        Key::Registration(channel, claimed, clause) => format!("registration {channel} {claimed} {clause}"),
        Key::Ban(kind, mask) => format!("ban {} {mask}", kind.letter()),
        Key::Complaint(id) => format!("complaint {id}"),
        Key::Foreign(key) => format!("unknown {key}"),
        Key::Account(account, field) => format!("account {account} {field}"),
        Key::Read(account, place) => format!("read {account} {place}"),
    }
}

fn state(engine: &mut Engine, conn: ConnId, message: &Message) {
    let [stream, rules, seen, facts, ..] = message.params[..] else { return };
    let (Some(stream), Some(seen), Some(facts)) =
        (stream_of_facts(stream), base36::parse(seen), base36::parse(facts))
    else {
        return engine.note_senseless(conn, "STATE");
    };
    let is_same_so_far = rules == RULES && seen == engine.seen_digest(stream);
    if !is_same_so_far || facts == engine.network.facts_hash(stream) {
        return;
    }
    let sums: Vec<String> = engine.bucket_sums(stream).into_iter().map(base36::encode).collect();
    let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
    link.comparison = Some(Comparison { stream, seen, buckets: BTreeSet::new(), theirs: BTreeMap::new() });
    let draft = Draft::new("BUCKETS").param(stream.letter()).param(base36::encode(seen));
    engine.send_peer(conn, draft.trailing(sums.join(" ")));
}

fn buckets(engine: &mut Engine, conn: ConnId, message: &Message) {
    let (stream, seen) = (stream_of_facts(message.params[0]), base36::parse(message.params[1]));
    let theirs = message.params[2].split_ascii_whitespace().map(base36::parse).collect::<Option<Vec<u64>>>();
    let (Some(stream), Some(seen), Some(theirs)) =
        (stream, seen, theirs.filter(|sums| sums.len() == BUCKETS))
    else {
        return engine.note_senseless(conn, "BUCKETS");
    };
    if seen != engine.seen_digest(stream) {
        return;
    }
    let sums = engine.bucket_sums(stream);
    let differing = (0..BUCKETS).filter(|bucket| sums[*bucket] != theirs[*bucket]).take(BUCKETS_PER_ROUND);
    let mut held: BTreeMap<usize, Vec<String>> = differing.map(|bucket| (bucket, Vec::new())).collect();
    for (key, fact) in engine.network.facts_that_count(stream) {
        if let Some(bucket) = held.get_mut(&bucket_of(key)) {
            bucket.push(format!("{}={}", fact.dot, base36::encode(Value::digest(key, fact))));
        }
    }
    let start = |verb| Draft::new(verb).param(stream.letter()).param(base36::encode(seen));
    for (bucket, dots) in held {
        // A group of which nothing is here is told, too.
        let lines = if dots.is_empty() { vec![&[][..]] } else { dots.chunks(DOTS_PER_LINE).collect() };
        for dots in lines {
            engine.send_peer(conn, start("HELD").param(bucket).trailing(dots.join(" ")));
        }
    }
    engine.send_peer(conn, start("COMPARED"));
}

fn held(engine: &mut Engine, conn: ConnId, message: &Message) {
    let (stream, seen) = (stream_of_facts(message.params[0]), base36::parse(message.params[1]));
    let dots = message.params[3].split_ascii_whitespace().map(|entry| {
        let (dot, digest) = entry.split_once('=')?;
        Some((Dot::parse(dot)?, base36::parse(digest)?))
    });
    let (Some(stream), Some(seen), Ok(bucket), Some(dots)) =
        (stream, seen, message.params[2].parse::<usize>(), dots.collect::<Option<Vec<_>>>())
    else {
        return engine.note_senseless(conn, "HELD");
    };
    let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
    let comparison = link.comparison.as_mut().filter(|now| (now.stream, now.seen) == (stream, seen));
    if let Some(comparison) = comparison
        && bucket < BUCKETS
        && comparison.theirs.len() + dots.len() <= HELD_MAX
    {
        comparison.buckets.insert(bucket);
        comparison.theirs.extend(dots.into_iter().filter(|(dot, _)| dot.stream == stream));
    }
}

fn compared(engine: &mut Engine, conn: ConnId, message: &Message) {
    let about = (stream_of_facts(message.params[0]), base36::parse(message.params[1]));
    let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
    let label = link.label();
    let Some(comparison) = link.comparison.take_if(|now| (Some(now.stream), Some(now.seen)) == about) else {
        return;
    };
    let stream = comparison.stream;
    if comparison.seen != engine.seen_digest(stream) {
        return;
    }
    let mut mine = BTreeMap::new();
    for (key, fact) in engine.network.facts_that_count(stream) {
        if comparison.buckets.contains(&bucket_of(key)) {
            mine.insert(fact.dot, (name_of(key), Value::digest(key, fact)));
        }
    }
    let mut differing: Vec<(Dot, String)> = Vec::new();
    for (dot, (name, digest)) in &mine {
        if comparison.theirs.get(dot) != Some(digest) {
            differing.push((*dot, name.clone()));
        }
    }
    let only_theirs = comparison.theirs.keys().filter(|dot| !mine.contains_key(*dot));
    differing.extend(only_theirs.map(|dot| (*dot, "a fact that is not here".to_string())));
    // What was never answered is asked anew as long as it differs.
    engine.intake.doubts.0.retain(|dot, (_, seen)| dot.stream != stream || *seen == comparison.seen);
    for (dot, name) in differing.into_iter().take(FACTS_PER_ROUND) {
        let text = format!("{label} holds otherwise what both have heard: {name} dot={dot}");
        engine.suspect(Fault::Diverged, &dot.to_string(), &text);
        engine.ask_for_wording(dot, comparison.seen);
    }
}

fn doubt(engine: &mut Engine, conn: ConnId, message: &Message) {
    let [to, from, seen, dot, ..] = message.params[..] else { return };
    let (Some(to), Some(from)) = (ServerId::parse(to), ServerId::parse(from)) else {
        return engine.note_senseless(conn, "DOUBT");
    };
    if to != engine.identity.sid {
        return engine.pass_on(conn, to, message);
    }
    match (base36::parse(seen), Dot::parse(dot)) {
        (Some(seen), Some(dot)) if dot.stream != Stream::Message => engine.answer_doubt(from, dot, seen),
        _ => engine.note_senseless(conn, "DOUBT"),
    }
}

fn wording(engine: &mut Engine, conn: ConnId, message: &Message) {
    match ServerId::parse(message.params[0]) {
        Some(to) if to == engine.identity.sid => engine.doubt_answered(conn, message),
        Some(to) => engine.pass_on(conn, to, message),
        None => engine.note_senseless(conn, "WORDING"),
    }
}

fn stream_of_facts(text: &str) -> Option<Stream> {
    read_stream(text).filter(|stream| *stream != Stream::Message)
}
