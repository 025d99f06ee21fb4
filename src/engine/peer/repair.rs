//! HAVE, WANT, SNAPSHOT, ALIVE, DEAD, GAP and DONE: whoever misses something pulls it from a
//! neighbour that has it.
//!
//! Live events are taken only in the order of their origin; what comes too early waits. Session
//! facts that were missed come as the events themselves where the neighbour still has them all, and
//! else as a snapshot, merged in one step. Messages come as ranges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{PeerMessage, When, write_change};
use crate::engine::Engine;
use crate::engine::effect::Topic;
use crate::engine::event::ConnId;
use crate::engine::links::{LinkStage, Pull};
use crate::engine::merge::{Answer, Dot, Fact, Origin, Stream, Vector};
use crate::engine::network::{Change, Key, Value, edit_of};
use crate::wire::base36;
use crate::wire::message::{Draft, Message};

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "HAVE",
        params_min: 2,
        when: When::Accepted,
        run: have,
        help: "S :<sid.epoch=tip> … | M :<sid.epoch=tip> …",
    },
    PeerMessage {
        name: "WANT",
        params_min: 2,
        when: When::Accepted,
        run: want,
        help: "S :<sid.epoch=tip> … | M <sid.epoch> <from> <to>",
    },
    PeerMessage { name: "SNAPSHOT", params_min: 1, when: When::Accepted, run: snapshot, help: "S" },
    PeerMessage {
        name: "ALIVE",
        params_min: 3,
        when: When::Accepted,
        run: alive,
        help: "S <sid.epoch> :<seq|seq-seq> …",
    },
    PeerMessage { name: "DEAD", params_min: 2, when: When::Accepted, run: dead, help: "S :<dot> …" },
    PeerMessage {
        name: "GAP",
        params_min: 3,
        when: When::Accepted,
        run: gap,
        help: "M <sid.epoch> <last that is lost>",
    },
    PeerMessage {
        name: "DONE",
        params_min: 2,
        when: When::Accepted,
        run: done,
        help: "S :<sid.epoch=tip> … | M <sid.epoch>",
    },
];

/// How many early events of one origin and stream are kept; the rest is pulled again.
const WAITING_MAX: usize = 4096;

/// How long a neighbour may take to answer before another is asked.
const PULL_WITHIN_MS: u64 = 10_000;

/// How many passing messages of one origin are remembered, so that none is heard twice.
const PASSING_WINDOW: usize = 1024;

/// How many words stand on one line of a long list, well below the limit of a peer's line.
const WORDS_PER_LINE: usize = 100;

/// What has come and cannot be taken yet, and what has been asked for.
#[derive(Debug, Default)]
pub struct Intake {
    waiting: BTreeMap<(Origin, Stream), BTreeMap<u64, Arc<Change>>>,
    /// Ranges of messages asked for, by origin: from whom and since when.
    wanted: BTreeMap<Origin, (ConnId, u64)>,
    passed: BTreeMap<Origin, BTreeSet<u64>>,
}

impl Intake {
    /// Whether a passing message is new; one that is older than the window counts as heard.
    pub fn is_new_passing(&mut self, origin: Origin, number: u64) -> bool {
        let heard = self.passed.entry(origin).or_default();
        if heard.len() >= PASSING_WINDOW {
            if heard.first().is_some_and(|oldest| number < *oldest) {
                return false;
            }
            heard.pop_first();
        }
        heard.insert(number)
    }
}

impl Engine {
    /// Takes an event from a link: now if it is the next of its origin, later if it is early.
    pub(super) fn receive(&mut self, conn: ConnId, change: Change) {
        let dot = change.dot;
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        if let Some(staged) = link.pull.as_mut().and_then(|pull| pull.staged.as_mut())
            && dot.stream == Stream::Session
        {
            return stage(staged, &change);
        }
        link.known.of(dot.stream).raise(dot.origin, dot.seq);
        // Whoever has a message has what its writer had said before.
        link.known.session.raise(dot.origin, change.after);
        if dot.origin == self.origin() || self.network.seen(dot.stream).covers(dot) {
            return;
        }
        let waiting = self.intake.waiting.entry((dot.origin, dot.stream)).or_default();
        if waiting.len() < WAITING_MAX || self.network.seen(dot.stream).is_next(dot) {
            waiting.insert(dot.seq, Arc::new(change));
        }
        self.take_waiting(dot.origin, Some(conn));
        if self.intake.waiting.contains_key(&(dot.origin, dot.stream)) {
            self.pull();
        }
    }

    /// Takes what has become the next of its origin. A message goes before the origin's next fact if
    /// it was said before it, so that everyone hears things in the order in which they happened.
    fn take_waiting(&mut self, origin: Origin, from: Option<ConnId>) {
        loop {
            let message = self.next_waiting(origin, Stream::Message);
            let ready = |change: &Arc<Change>| change.after <= self.network.seen(Stream::Session).tip(origin);
            let next = message.filter(ready).or_else(|| self.next_waiting(origin, Stream::Session));
            let Some(change) = next else { break };
            if let Some(waiting) = self.intake.waiting.get_mut(&(origin, change.dot.stream)) {
                waiting.remove(&change.dot.seq);
            }
            self.take(&change, from);
        }
        for stream in [Stream::Session, Stream::Message] {
            let tip = self.network.seen(stream).tip(origin);
            if let Some(waiting) = self.intake.waiting.get_mut(&(origin, stream)) {
                *waiting = waiting.split_off(&(tip + 1));
                if waiting.is_empty() {
                    self.intake.waiting.remove(&(origin, stream));
                }
            }
        }
    }

    fn next_waiting(&self, origin: Origin, stream: Stream) -> Option<Arc<Change>> {
        let next = self.network.seen(stream).tip(origin) + 1;
        self.intake.waiting.get(&(origin, stream))?.get(&next).cloned()
    }

    fn take_all_waiting(&mut self) {
        let origins: BTreeSet<Origin> = self.intake.waiting.keys().map(|(origin, _)| *origin).collect();
        origins.into_iter().for_each(|origin| self.take_waiting(origin, None));
    }

    // Asking.

    /// Asks neighbours for what they are known to have and this server has not. Messages first:
    /// those that were said before a fact can then be heard before it.
    pub(in crate::engine) fn pull(&mut self) {
        self.pull_messages();
        self.pull_facts();
        self.raise_links();
    }

    fn pull_messages(&mut self) {
        let own = self.origin();
        let mut wants = Vec::new();
        for link in self.links.by_conn.values().filter(|link| link.is_accepted()) {
            let seen = self.network.seen(Stream::Message);
            for (origin, tip) in link.known.message.beyond(seen).iter() {
                if origin != own && !self.intake.wanted.contains_key(&origin) {
                    wants.push((link.conn, origin, seen.tip(origin) + 1, tip));
                }
            }
        }
        for (conn, origin, first, last) in wants {
            if self.intake.wanted.contains_key(&origin) {
                continue;
            }
            self.intake.wanted.insert(origin, (conn, self.now.steady_ms));
            let draft = Draft::new("WANT").param("M").param(origin);
            self.send_peer(conn, draft.param(base36::encode(first)).param(base36::encode(last)));
        }
    }

    fn pull_facts(&mut self) {
        if self.links.accepted().any(|link| link.pull.is_some()) {
            return;
        }
        let missing = self.links.accepted().find(|link| self.lacks_facts_of(&link.known.session));
        if let Some(conn) = missing.map(|link| link.conn) {
            let since_ms = self.now.steady_ms;
            self.links.by_conn.get_mut(&conn).expect("found above").pull =
                Some(Pull { since_ms, staged: None });
            let draft =
                Draft::new("WANT").param("S").trailing(write_vector(self.network.seen(Stream::Session)));
            self.send_peer(conn, draft);
        }
    }

    fn lacks_facts_of(&self, known: &Vector) -> bool {
        let own = self.origin();
        known.beyond(self.network.seen(Stream::Session)).iter().any(|(origin, _)| origin != own)
    }

    /// A link whose other end has nothing that is missing here becomes part of the map.
    fn raise_links(&mut self) {
        let ready: Vec<ConnId> = self
            .links
            .by_conn
            .values()
            .filter(|link| link.stage == LinkStage::Syncing && link.known.told && link.pull.is_none())
            .filter(|link| !self.lacks_facts_of(&link.known.session))
            .map(|link| link.conn)
            .collect();
        for conn in ready {
            let now_ms = self.now.steady_ms;
            let link = self.links.by_conn.get_mut(&conn).expect("found above");
            link.stage = LinkStage::Up;
            link.up_ms = Some(now_ms);
            let (label, sid) = (link.label(), link.sid());
            let (address, pin, opened_ms) = (link.address, link.pin, link.opened_ms);
            self.publish_route();
            let users = sid.map_or(0, |sid| self.network.users_of(sid).count());
            let took_ms = now_ms.saturating_sub(opened_ms);
            let text = format!("{label} linked conn={} address={address} pin={pin} users={users} took_ms={took_ms}", conn.0);
            self.note(log::Level::Info, Topic::Link, text);
        }
    }

    /// A neighbour that did not answer in time is asked no longer.
    pub(in crate::engine) fn expire_pulls(&mut self) {
        let now_ms = self.now.steady_ms;
        let is_late = |since_ms: u64| now_ms.saturating_sub(since_ms) > PULL_WITHIN_MS;
        self.intake.wanted.retain(|_, (_, since_ms)| !is_late(*since_ms));
        let late: Vec<ConnId> = self
            .links
            .by_conn
            .values()
            .filter(|link| link.pull.as_ref().is_some_and(|pull| is_late(pull.since_ms)))
            .map(|link| link.conn)
            .collect();
        for conn in late {
            // Half an answer may still come; on a new connection it cannot be taken for a whole one.
            self.close_link(conn, "did not answer a WANT in time");
        }
        self.pull();
    }

    /// What was asked of a link that is gone is asked of others.
    pub(in crate::engine) fn forget_pulls_of(&mut self, conn: ConnId) {
        self.intake.wanted.retain(|_, (asked, _)| *asked != conn);
    }

    // Telling.

    /// Says what is here, as far as the other end may lack it.
    pub(super) fn tell_have(&mut self, conn: ConnId, in_full: bool) {
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        // Facts last: whoever hears of both asks for messages first.
        let mut drafts = Vec::new();
        for (stream, known) in
            [(Stream::Message, &link.known.message), (Stream::Session, &link.known.session)]
        {
            let seen = self.network.seen(stream);
            let news = if in_full { seen.clone() } else { seen.beyond(known) };
            if in_full || !news.is_empty() {
                drafts.push(Draft::new("HAVE").param(stream.letter()).trailing(write_vector(&news)));
            }
        }
        drafts.into_iter().for_each(|draft| self.send_peer(conn, draft));
    }

    pub(in crate::engine) fn tell_all_have(&mut self) {
        let links: Vec<ConnId> = self.links.accepted().map(|link| link.conn).collect();
        links.into_iter().for_each(|conn| self.tell_have(conn, false));
    }

    // Answering.

    fn answer_facts(&mut self, conn: ConnId, asked: &Vector) {
        let seen = self.network.seen(Stream::Session).clone();
        match self.network.missed_since(asked) {
            Some(missed) => {
                for change in missed {
                    self.send_line(conn, write_change(&change));
                }
            }
            None => self.send_snapshot(conn, asked),
        }
        self.send_peer(conn, Draft::new("DONE").param("S").trailing(write_vector(&seen)));
        if let Some(link) = self.links.by_conn.get_mut(&conn) {
            link.known.session.join(&seen);
            link.known.session.join(asked);
        }
    }

    fn send_snapshot(&mut self, conn: ConnId, asked: &Vector) {
        let answer = self.network.facts().answer(asked);
        self.send_peer(conn, Draft::new("SNAPSHOT").param("S"));
        for (key, fact) in answer.facts {
            let Some(edit) = edit_of(&key, &fact.value) else { continue };
            let change =
                Change { dot: fact.dot, stamp: fact.stamp, over: vec![], after: 0, more: false, edit };
            self.send_line(conn, write_change(&change));
        }
        let mut alive: BTreeMap<Origin, Vec<u64>> = BTreeMap::new();
        for dot in answer.alive {
            alive.entry(dot.origin).or_default().push(dot.seq);
        }
        for (origin, seqs) in alive {
            for ranges in ranges(&seqs).chunks(WORDS_PER_LINE) {
                self.send_peer(conn, Draft::new("ALIVE").param("S").param(origin).trailing(ranges.join(" ")));
            }
        }
        let early: Vec<String> = answer.early.iter().map(Dot::to_string).collect();
        for dots in early.chunks(WORDS_PER_LINE) {
            self.send_peer(conn, Draft::new("DEAD").param("S").trailing(dots.join(" ")));
        }
    }

    fn answer_messages(&mut self, conn: ConnId, origin: Origin, first: u64, last: u64) {
        let floor = self.network.talk().floor(origin);
        if first < floor {
            let lost = (floor - 1).min(last);
            self.send_peer(conn, Draft::new("GAP").param("M").param(origin).param(base36::encode(lost)));
        }
        let lines: Vec<String> = self
            .network
            .talk()
            .range(origin, first.max(floor), last)
            .map(|change| write_change(change))
            .collect();
        lines.into_iter().for_each(|line| self.send_line(conn, line));
        self.send_peer(conn, Draft::new("DONE").param("M").param(origin));
    }

    fn send_line(&mut self, conn: ConnId, line: String) {
        self.effects.push(crate::engine::effect::Effect::Send { to: conn, line: line.into() });
    }
}

fn have(engine: &mut Engine, conn: ConnId, message: &Message) {
    let vector = read_vector(message.params[1]);
    let (Some(stream), Some(vector)) = (read_stream(message.params[0]), vector) else {
        return engine.note_senseless(conn, "HAVE");
    };
    let own = engine.origin();
    if vector.tip(own) > engine.network.seen(stream).tip(own) {
        // More than this run has ever said: it was another run of the same number.
        return engine.renew_epoch(own.epoch);
    }
    let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
    link.known.of(stream).join(&vector);
    link.known.told |= stream == Stream::Session;
    engine.pull();
}

fn want(engine: &mut Engine, conn: ConnId, message: &Message) {
    match (message.params[0], &message.params[1..]) {
        ("S", [vector, ..]) => match read_vector(vector) {
            Some(asked) => engine.answer_facts(conn, &asked),
            None => engine.note_senseless(conn, "WANT"),
        },
        ("M", [origin, first, last, ..]) => {
            match (Origin::parse(origin), base36::parse(first), base36::parse(last)) {
                (Some(origin), Some(first), Some(last)) => engine.answer_messages(conn, origin, first, last),
                _ => engine.note_senseless(conn, "WANT"),
            }
        }
        _ => engine.note_senseless(conn, "WANT"),
    }
}

fn staged(engine: &mut Engine, conn: ConnId) -> Option<&mut Answer<Key, Value>> {
    engine.links.by_conn.get_mut(&conn)?.pull.as_mut()?.staged.as_mut()
}

fn snapshot(engine: &mut Engine, conn: ConnId, _: &Message) {
    match engine.links.by_conn.get_mut(&conn).and_then(|link| link.pull.as_mut()) {
        Some(pull) => {
            let (facts, seen) = (Vec::new(), Vector::default());
            pull.staged = Some(Answer { facts, alive: BTreeSet::new(), early: BTreeSet::new(), seen });
        }
        None => engine.note_senseless(conn, "SNAPSHOT"),
    }
}

/// A fact of a snapshot. What this version cannot read, or nobody may write, is no fact here.
fn stage(staged: &mut Answer<Key, Value>, change: &Change) {
    let writer = change.dot.origin.server;
    if change.edit.is_rightful(writer)
        && let Some((key, Some(value))) = change.edit.fact(writer)
    {
        staged.facts.push((key, Fact { dot: change.dot, stamp: change.stamp, value }));
    }
}

fn alive(engine: &mut Engine, conn: ConnId, message: &Message) {
    let (origin, seqs) = (Origin::parse(message.params[1]), read_ranges(message.params[2]));
    match (staged(engine, conn), origin, seqs) {
        (Some(staged), Some(origin), Some(seqs)) => {
            staged.alive.extend(seqs.into_iter().map(|seq| Dot { origin, stream: Stream::Session, seq }));
        }
        _ => engine.note_senseless(conn, "ALIVE"),
    }
}

fn dead(engine: &mut Engine, conn: ConnId, message: &Message) {
    let dots = message.params[1].split_ascii_whitespace().map(Dot::parse).collect::<Option<Vec<Dot>>>();
    match (staged(engine, conn), dots) {
        (Some(staged), Some(dots)) => staged.early.extend(dots),
        _ => engine.note_senseless(conn, "DEAD"),
    }
}

fn gap(engine: &mut Engine, conn: ConnId, message: &Message) {
    let (Some(origin), Some(last)) = (Origin::parse(message.params[1]), base36::parse(message.params[2]))
    else {
        return engine.note_senseless(conn, "GAP");
    };
    let was_asked = engine.intake.wanted.get(&origin).is_some_and(|(asked, _)| *asked == conn);
    if was_asked && origin != engine.origin() {
        engine.network.skip_messages(origin, last);
        engine.take_waiting(origin, Some(conn));
    }
}

fn done(engine: &mut Engine, conn: ConnId, message: &Message) {
    match message.params[0] {
        "M" => {
            if let Some(origin) = Origin::parse(message.params[1])
                && engine.intake.wanted.get(&origin).is_some_and(|(asked, _)| *asked == conn)
            {
                engine.intake.wanted.remove(&origin);
            }
        }
        "S" => {
            let Some(seen) = read_vector(message.params[1]) else {
                return engine.note_senseless(conn, "DONE");
            };
            let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
            link.known.session.join(&seen);
            let Some(pull) = link.pull.take() else { return engine.note_senseless(conn, "DONE") };
            if let Some(mut answer) = pull.staged {
                answer.seen = seen;
                answer.facts.iter().for_each(|(_, fact)| engine.clock.observe(fact.stamp));
                let news = engine.network.merge(answer);
                engine.tell(news);
                engine.react();
                engine.take_all_waiting();
                engine.tell_all_have();
            }
        }
        _ => return engine.note_senseless(conn, "DONE"),
    }
    engine.pull();
}

fn read_stream(text: &str) -> Option<Stream> {
    let mut chars = text.chars();
    let stream = Stream::from_letter(chars.next()?)?;
    chars.next().is_none().then_some(stream)
}

/// `7FA.2=5k 9BC.1=3`
fn write_vector(vector: &Vector) -> String {
    let entries: Vec<String> =
        vector.iter().map(|(origin, tip)| format!("{origin}={}", base36::encode(tip))).collect();
    entries.join(" ")
}

fn read_vector(text: &str) -> Option<Vector> {
    let entries = text.split_ascii_whitespace().map(|entry| {
        let (origin, tip) = entry.split_once('=')?;
        Some((Origin::parse(origin)?, base36::parse(tip)?))
    });
    entries.collect()
}

/// `1-5k 7 9-a`
fn ranges(seqs: &[u64]) -> Vec<String> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &seq in seqs {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => ranges.push((seq, seq)),
        }
    }
    let text = |(first, last): (u64, u64)| match first == last {
        true => base36::encode(first),
        false => format!("{}-{}", base36::encode(first), base36::encode(last)),
    };
    ranges.into_iter().map(text).collect()
}

/// No more numbers than a peer could really hold, so that one short line cannot fill the memory.
const RANGE_MAX: u64 = 10_000_000;

fn read_ranges(text: &str) -> Option<Vec<u64>> {
    let mut seqs = Vec::new();
    for range in text.split_ascii_whitespace() {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (base36::parse(first)?, base36::parse(last)?);
        if last < first || last - first > RANGE_MAX {
            return None;
        }
        seqs.extend(first..=last);
    }
    Some(seqs)
}
