//! HAVE, WANT, SNAPSHOT, ALIVE, DEAD, GAP and DONE: whoever misses something pulls it from a
//! neighbour that has it.
//!
//! Live events are taken only in the order of their origin; what comes too early waits. Facts, of the
//! session or durable, that were missed come as the events themselves where the neighbour still has them
//! all, and else as a snapshot, merged in one step. Messages come as ranges.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Gap, PeerMessage, WAITING_MAX, Wanted, When, read_ranges, read_vector, write_change, write_ranges,
    write_vector_in_parts,
};
use crate::defect::{Defect, is_planted};
use crate::engine::Engine;
use crate::engine::effect::Topic;
use crate::engine::event::ConnId;
use crate::engine::links::{Link, LinkStage, Pull};
use crate::engine::merge::{Answer, Dot, Dots, Fact, Origin, Stream, Vector};
use crate::engine::network::{Change, Key, Value, edit_of};
use crate::wire::base36;
use crate::wire::message::{Draft, Message};

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "HAVE",
        params_min: 2,
        when: When::Accepted,
        run: have,
        shape: "S|D|M :<sid.epoch=tip> …",
    },
    PeerMessage {
        name: "WANT",
        params_min: 2,
        when: When::Accepted,
        run: want,
        shape: "S|D :<sid.epoch=tip> … | M <sid.epoch> <from> <to>",
    },
    PeerMessage {
        name: "VECTOR",
        params_min: 2,
        when: When::Accepted,
        run: vector,
        shape: "S|D|M :<sid.epoch=tip> …, more of which comes with the next HAVE, WANT or DONE",
    },
    PeerMessage { name: "SNAPSHOT", params_min: 1, when: When::Accepted, run: snapshot, shape: "S|D" },
    PeerMessage {
        name: "ALIVE",
        params_min: 3,
        when: When::Accepted,
        run: alive,
        shape: "S|D <sid.epoch> :<seq|seq-seq> …",
    },
    PeerMessage { name: "DEAD", params_min: 2, when: When::Accepted, run: dead, shape: "S|D :<dot> …" },
    PeerMessage {
        name: "GAP",
        params_min: 3,
        when: When::Accepted,
        run: gap,
        shape: "M <sid.epoch> <last that is lost>",
    },
    PeerMessage {
        name: "DONE",
        params_min: 2,
        when: When::Accepted,
        run: done,
        shape: "S|D :<sid.epoch=tip> … | M <sid.epoch>",
    },
];

/// How long messages that one neighbour has lost are waited for from elsewhere.
const GAP_OPEN_MS: u64 = 5_000;

/// How long a neighbour may take to answer before another is asked.
const PULL_WITHIN_MS: u64 = 10_000;

/// How long an answer may take in all, though it goes on coming: a slow link needs its time, and nobody may keep others
/// from being asked for ever.
const PULL_WHOLLY_WITHIN_MS: u64 = 300_000;

/// How many messages a neighbour is asked for at once, and how often before it has answered.
const MESSAGES_PER_RANGE: u64 = 500;
const RANGES_PER_LINK: usize = 4;

/// No honest answer holds more facts, runs of dots or dead dots than this: several times the largest network that this is
/// made for. Whoever sends more is not listened to any longer.
const STAGED_MAX: usize = 1_000_000;

/// How many words stand on one line of a long list, well below the limit of a peer's line.
const WORDS_PER_LINE: usize = 100;

impl Engine {
    // Asking.

    /// Asks neighbours for what they are known to have and this server has not. Messages first:
    /// those that were said before a fact can then be heard before it.
    pub(in crate::engine) fn pull(&mut self) {
        if is_planted(Defect::GapsStay) {
            return;
        }
        self.pull_messages();
        Stream::OF_FACTS.into_iter().for_each(|stream| self.pull_facts(stream));
        self.raise_links();
    }

    /// What one neighbour does not give is asked of another. A long range is split, so that all who have it send a part.
    fn pull_messages(&mut self) {
        let seen = self.network.seen(Stream::Message).clone();
        let mut holders: BTreeMap<Origin, Vec<(ConnId, u64)>> = BTreeMap::new();
        let gaps = &self.intake.gaps;
        let lacks = |conn, origin| gaps.get(&origin).is_some_and(|gap: &Gap| gap.without.contains(&conn));
        for link in self.links.by_conn.values().filter(|link| link.is_accepted()) {
            for (origin, _, tip) in self.lacking(link, Stream::Message) {
                if !lacks(link.conn, origin) {
                    holders.entry(origin).or_default().push((link.conn, tip));
                }
            }
        }
        for (origin, holders) in holders {
            self.pull_messages_of(origin, seen.tip(origin), &holders);
        }
    }

    fn pull_messages_of(&mut self, origin: Origin, tip: u64, holders: &[(ConnId, u64)]) {
        // No more than can wait for what comes before it.
        let end = tip + WAITING_MAX as u64;
        let mut from = tip + 1;
        loop {
            let (first, last) = self.intake.next_gap(origin, from);
            let able = holders.iter().filter(|(_, tip)| *tip >= first);
            let asked = able.map(|(conn, tip)| (self.intake.asked_of(*conn), *conn, *tip));
            let Some((_, conn, tip)) = asked.filter(|(count, ..)| *count < RANGES_PER_LINK).min() else {
                return;
            };
            if first > end {
                return;
            }
            let last = last.min(end).min(tip).min(first + MESSAGES_PER_RANGE - 1);
            let wanted = Wanted { conn, first, last, since_ms: self.now.steady_ms };
            self.intake.wanted.entry(origin).or_default().push(wanted);
            let draft = Draft::new("WANT").param("M").param(origin);
            self.send_peer(conn, draft.param(base36::encode(first)).param(base36::encode(last)));
            from = last + 1;
        }
    }

    /// A neighbour has given all that it gives of the range that it was asked for first.
    fn messages_done(&mut self, conn: ConnId, origin: Origin) {
        let Some(ranges) = self.intake.wanted.get_mut(&origin) else { return };
        let Some(place) = ranges.iter().position(|wanted| wanted.conn == conn) else { return };
        let done = ranges.remove(place);
        if ranges.is_empty() {
            self.intake.wanted.remove(&origin);
        }
        let seen = self.network.seen(Stream::Message).tip(origin);
        let is_missing = |seq: &u64| *seq > seen && !self.intake.is_waiting(origin, *seq);
        if (done.first..=done.last).any(|seq| is_missing(&seq)) {
            self.judge_claims(conn, Stream::Message, Some(origin));
        }
    }

    fn pull_facts(&mut self, stream: Stream) {
        if self.links.accepted().any(|link| link.pulls.contains_key(&stream)) {
            return;
        }
        let missing = self.links.accepted().find(|link| self.lacks_facts_of(stream, link));
        if let Some(conn) = missing.map(|link| link.conn) {
            let now_ms = self.now.steady_ms;
            let pull = Pull { asked_ms: now_ms, came_ms: now_ms, staged: None };
            self.links.by_conn.get_mut(&conn).expect("found above").pulls.insert(stream, pull);
            // What is not on disk yet is asked for once more, lest it be taken for what can be had from here.
            let said = self.network.said(stream).clone();
            self.send_vector(conn, "WANT", stream, &said);
        }
    }

    /// Whether the other end of a link has facts that are not here.
    fn lacks_facts_of(&self, stream: Stream, link: &Link) -> bool {
        !self.lacking(link, stream).is_empty()
    }

    fn lacks_any_facts_of(&self, link: &Link) -> bool {
        Stream::OF_FACTS.into_iter().any(|stream| self.lacks_facts_of(stream, link))
    }

    /// A link whose other end has nothing that is missing here becomes part of the map.
    fn raise_links(&mut self) {
        let ready: Vec<ConnId> = self
            .links
            .by_conn
            .values()
            .filter(|link| link.stage == LinkStage::Syncing && link.pulls.is_empty())
            .filter(|link| Stream::OF_FACTS.iter().all(|stream| link.known.told.contains(stream)))
            .filter(|link| !self.lacks_any_facts_of(link))
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
            let text = format!(
                "{label} linked conn={} address={address} pin={pin} users={users} took_ms={took_ms}",
                conn.0
            );
            self.note(log::Level::Info, Topic::Link, text);
        }
    }

    /// A neighbour that did not answer in time is asked no longer.
    pub(in crate::engine) fn expire_pulls(&mut self) {
        let now_ms = self.now.steady_ms;
        let is_late = |since_ms: u64| now_ms.saturating_sub(since_ms) > PULL_WITHIN_MS;
        let mut in_vain = Vec::new();
        for (origin, ranges) in &mut self.intake.wanted {
            let late = ranges.extract_if(.., |wanted| is_late(wanted.since_ms));
            in_vain.extend(late.map(|wanted| (wanted.conn, *origin)));
        }
        self.intake.wanted.retain(|_, ranges| !ranges.is_empty());
        for (conn, origin) in in_vain {
            self.judge_claims(conn, Stream::Message, Some(origin));
        }
        let late: Vec<ConnId> = self
            .links
            .by_conn
            .values()
            .filter(|link| {
                let is_too_late = |pull: &Pull| now_ms > pull.asked_ms + PULL_WHOLLY_WITHIN_MS;
                link.pulls.values().any(|pull| is_late(pull.came_ms) || is_too_late(pull))
            })
            .map(|link| link.conn)
            .collect();
        for conn in late {
            // Half an answer may still come; on a new connection it cannot be taken for a whole one.
            self.close_link(conn, "did not answer a WANT in time");
        }
        self.close_gaps();
        self.pull();
    }

    /// What was asked of a link that is gone is asked of others.
    pub(in crate::engine) fn forget_pulls_of(&mut self, conn: ConnId) {
        for ranges in self.intake.wanted.values_mut() {
            ranges.retain(|wanted| wanted.conn != conn);
        }
        self.intake.wanted.retain(|_, ranges| !ranges.is_empty());
        self.intake.vain.forget(conn);
    }

    // Telling.

    /// Says what is here, as far as the other end may lack it.
    pub(super) fn tell_have(&mut self, conn: ConnId, in_full: bool) {
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        // Facts last: whoever hears of both asks for messages first.
        let news = [Stream::Message, Stream::Durable, Stream::Session].map(|stream| {
            let said = self.network.said(stream);
            (stream, if in_full { said.clone() } else { said.beyond(link.known.of(stream)) })
        });
        for (stream, news) in news.into_iter().filter(|(_, news)| in_full || !news.is_empty()) {
            self.send_vector(conn, "HAVE", stream, &news);
        }
    }

    /// Says a verb with a vector, and before it as many VECTORs as the parts that do not fit.
    fn send_vector(&mut self, conn: ConnId, verb: &str, stream: Stream, vector: &Vector) {
        let mut parts = write_vector_in_parts(vector, WORDS_PER_LINE).into_iter().peekable();
        while let Some(part) = parts.next() {
            let verb = if parts.peek().is_some() { "VECTOR" } else { verb };
            self.send_peer(conn, Draft::new(verb).param(stream.letter()).trailing(part));
        }
    }

    /// The vector of which a verb brings the last part.
    fn whole_vector(&mut self, conn: ConnId, stream: Stream, last: &str) -> Option<Vector> {
        let link = self.links.by_conn.get_mut(&conn)?;
        let mut whole = link.vector_parts.remove(&stream).unwrap_or_default();
        whole.join(&read_vector(last)?);
        Some(whole)
    }

    pub(in crate::engine) fn tell_all_have(&mut self) {
        let links: Vec<ConnId> = self.links.accepted().map(|link| link.conn).collect();
        links.into_iter().for_each(|conn| self.tell_have(conn, false));
    }

    // Answering.

    fn answer_facts(&mut self, conn: ConnId, stream: Stream, asked: &Vector) {
        let said = self.network.said(stream).clone();
        if stream == Stream::Durable {
            self.network.tell_durable(said.tip(self.origin_of(stream)));
        }
        match self.network.missed_since(stream, asked) {
            Some(missed) => {
                for change in missed {
                    self.send_line(conn, write_change(&change));
                }
            }
            None => self.send_snapshot(conn, stream, asked),
        }
        self.send_vector(conn, "DONE", stream, &said);
        if let Some(link) = self.links.by_conn.get_mut(&conn) {
            let known = link.known.of_mut(stream);
            known.join(&said);
            known.join(asked);
        }
    }

    fn send_snapshot(&mut self, conn: ConnId, stream: Stream, asked: &Vector) {
        let answer = self.network.facts(stream).answer(asked);
        let letter = stream.letter();
        self.send_peer(conn, Draft::new("SNAPSHOT").param(letter));
        for (key, fact) in answer.facts {
            let Some(edit) = edit_of(&key, &fact.value) else { continue };
            let change =
                Change { dot: fact.dot, stamp: fact.stamp, over: vec![], after: 0, more: false, edit };
            self.send_line(conn, write_change(&change));
        }
        for (origin, _, runs) in answer.alive.runs() {
            for ranges in write_ranges(runs).chunks(WORDS_PER_LINE) {
                self.send_peer(
                    conn,
                    Draft::new("ALIVE").param(letter).param(origin).trailing(ranges.join(" ")),
                );
            }
        }
        let early: Vec<String> = answer.early.iter().map(Dot::to_string).collect();
        for dots in early.chunks(WORDS_PER_LINE) {
            self.send_peer(conn, Draft::new("DEAD").param(letter).trailing(dots.join(" ")));
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

fn vector(engine: &mut Engine, conn: ConnId, message: &Message) {
    let stream = read_stream(message.params[0]);
    let Some((stream, whole)) = stream.and_then(|stream| {
        let whole = engine.whole_vector(conn, stream, message.params[1])?;
        Some((stream, whole))
    }) else {
        return engine.note_senseless(conn, "VECTOR");
    };
    let whole = engine.bounded(conn, whole);
    if let Some(link) = engine.links.by_conn.get_mut(&conn) {
        link.vector_parts.insert(stream, whole);
    }
}

fn have(engine: &mut Engine, conn: ConnId, message: &Message) {
    let stream = read_stream(message.params[0]);
    let vector = stream.and_then(|stream| engine.whole_vector(conn, stream, message.params[1]));
    let (Some(stream), Some(vector)) = (stream, vector) else {
        return engine.note_senseless(conn, "HAVE");
    };
    if engine.is_outrun(conn, vector.iter(), stream) {
        return;
    }
    let vector = engine.bounded(conn, vector);
    let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
    link.known.of_mut(stream).join(&vector);
    link.known.told.insert(stream);
    engine.pull();
}

fn want(engine: &mut Engine, conn: ConnId, message: &Message) {
    match (read_stream(message.params[0]), &message.params[1..]) {
        (Some(stream @ (Stream::Session | Stream::Durable)), [vector, ..]) => {
            match engine.whole_vector(conn, stream, vector) {
                Some(asked) => engine.answer_facts(conn, stream, &asked),
                None => engine.note_senseless(conn, "WANT"),
            }
        }
        (Some(Stream::Message), [origin, first, last, ..]) => {
            match (Origin::parse(origin), base36::parse(first), base36::parse(last)) {
                (Some(origin), Some(first), Some(last)) => engine.answer_messages(conn, origin, first, last),
                _ => engine.note_senseless(conn, "WANT"),
            }
        }
        _ => engine.note_senseless(conn, "WANT"),
    }
}

impl Engine {
    /// Ends a link whose answer to a WANT grows beyond all measure.
    pub(super) fn bound_staged(&mut self, conn: ConnId, stream: Stream) {
        let pull = self.links.by_conn.get(&conn).and_then(|link| link.pulls.get(&stream));
        let Some(staged) = pull.and_then(|pull| pull.staged.as_ref()) else { return };
        if staged.facts.len().max(staged.early.len()).max(staged.alive.runs_count()) > STAGED_MAX {
            self.note_too_many(conn, "facts");
            self.close_link(conn, "its answer to a WANT is too large");
        }
    }
}

/// What is under way of the stream that a line names first; it goes on coming.
fn pull_of<'e>(engine: &'e mut Engine, conn: ConnId, message: &Message) -> Option<(Stream, &'e mut Pull)> {
    let stream = read_stream(message.params[0])?;
    let pull = engine.links.by_conn.get_mut(&conn)?.pulls.get_mut(&stream)?;
    pull.came_ms = engine.now.steady_ms;
    Some((stream, pull))
}

fn snapshot(engine: &mut Engine, conn: ConnId, message: &Message) {
    match pull_of(engine, conn, message) {
        Some((_, pull)) => {
            let (facts, seen) = (Vec::new(), Vector::default());
            pull.staged = Some(Answer { facts, alive: Dots::default(), early: BTreeSet::new(), seen });
        }
        None => engine.note_senseless(conn, "SNAPSHOT"),
    }
}

/// A fact of a snapshot. What this version cannot read, or nobody may write, is no fact here.
pub(super) fn stage(staged: &mut Answer<Key, Value>, change: &Change) {
    let writer = change.dot.origin.server;
    if change.edit.is_rightful(writer)
        && let Some((key, Some(value))) = change.edit.fact(writer)
    {
        staged.facts.push((key, Fact { dot: change.dot, stamp: change.stamp, value }));
    }
}

fn alive(engine: &mut Engine, conn: ConnId, message: &Message) {
    let (origin, ranges) = (Origin::parse(message.params[1]), read_ranges(message.params[2]));
    match (pull_of(engine, conn, message), origin, ranges) {
        (Some((stream, Pull { staged: Some(staged), .. })), Some(origin), Some(ranges)) => {
            for (first, last) in ranges {
                staged.alive.insert_run(origin, stream, first, last);
            }
            engine.bound_staged(conn, stream);
        }
        _ => engine.note_senseless(conn, "ALIVE"),
    }
}

fn dead(engine: &mut Engine, conn: ConnId, message: &Message) {
    let dots = message.params[1].split_ascii_whitespace().map(Dot::parse).collect::<Option<Vec<Dot>>>();
    match (pull_of(engine, conn, message), dots) {
        (Some((stream, Pull { staged: Some(staged), .. })), Some(dots)) => {
            staged.early.extend(dots);
            engine.bound_staged(conn, stream);
        }
        _ => engine.note_senseless(conn, "DEAD"),
    }
}

fn gap(engine: &mut Engine, conn: ConnId, message: &Message) {
    let (Some(origin), Some(last)) = (Origin::parse(message.params[1]), base36::parse(message.params[2]))
    else {
        return engine.note_senseless(conn, "GAP");
    };
    let asked = engine.intake.wanted.get(&origin).into_iter().flatten();
    let was_asked = asked.into_iter().any(|wanted| wanted.conn == conn);
    if was_asked && origin != engine.origin() {
        let since_ms = engine.now.steady_ms;
        let gap =
            engine.intake.gaps.entry(origin).or_insert(Gap { last, since_ms, without: BTreeSet::new() });
        gap.last = gap.last.min(last);
        gap.without.insert(conn);
    }
}

impl Engine {
    /// Goes on behind messages that nobody has any more. Not at once: another neighbour may have kept
    /// them, or they are still on their way over a slower link.
    fn close_gaps(&mut self) {
        let now_ms = self.now.steady_ms;
        let seen = self.network.seen(Stream::Message);
        self.intake.gaps.retain(|origin, gap| seen.tip(*origin) < gap.last);
        let late = self.intake.gaps.iter().filter(|(_, gap)| now_ms >= gap.since_ms + GAP_OPEN_MS);
        for (origin, last) in late.map(|(origin, gap)| (*origin, gap.last)).collect::<Vec<_>>() {
            self.intake.gaps.remove(&origin);
            self.network.skip_messages(origin, last);
            self.take_waiting(origin, None);
        }
    }
}

fn done(engine: &mut Engine, conn: ConnId, message: &Message) {
    match read_stream(message.params[0]) {
        Some(Stream::Message) => {
            if let Some(origin) = Origin::parse(message.params[1]) {
                engine.messages_done(conn, origin);
            }
        }
        Some(stream @ (Stream::Session | Stream::Durable)) => {
            let Some(seen) = engine.whole_vector(conn, stream, message.params[1]) else {
                return engine.note_senseless(conn, "DONE");
            };
            let seen = engine.bounded(conn, seen);
            let Some(link) = engine.links.by_conn.get_mut(&conn) else { return };
            let Some(pull) = link.pulls.remove(&stream) else { return engine.note_senseless(conn, "DONE") };
            // What it said it had and did not give it has not, or it would be asked again and again.
            let known = link.known.of_mut(stream);
            *known = known.within(engine.network.seen(stream));
            known.join(&seen);
            if let Some(mut answer) = pull.staged {
                let superseded = answer.early.iter().map(|dot| (dot.origin, dot.seq));
                let heard: Vec<_> = seen.iter().chain(superseded).collect();
                if engine.is_outrun(conn, heard, stream) {
                    return;
                }
                answer.seen = seen;
                engine.make_harmless(conn, stream, &mut answer);
                answer.facts.iter().for_each(|(_, fact)| engine.clock.observe(fact.stamp));
                if stream == Stream::Session {
                    engine.prepare_for_merge(conn);
                }
                let news = engine.network.merge(stream, answer);
                engine.tell(news);
                engine.react();
                engine.take_all_waiting();
                engine.tell_all_have();
            }
            engine.judge_claims(conn, stream, None);
        }
        None => return engine.note_senseless(conn, "DONE"),
    }
    engine.pull();
}

pub(super) fn read_stream(text: &str) -> Option<Stream> {
    let mut chars = text.chars();
    let stream = Stream::from_letter(chars.next()?)?;
    chars.next().is_none().then_some(stream)
}
