//! HAVE, WANT, SNAPSHOT, ALIVE, DEAD, GAP and DONE: whoever misses something pulls it from a
//! neighbour that has it.
//!
//! Live events are taken only in the order of their origin; what comes too early waits. Facts, of the
//! session or durable, that were missed come as the events themselves where the neighbour still has them
//! all, and else as a snapshot, merged in one step. Messages come as ranges.

use std::collections::BTreeSet;

use super::{
    Gap, PeerMessage, When, read_named, read_ranges, read_vector, write_change, write_named, write_ranges,
    write_vector_in_parts,
};
use crate::engine::Engine;
use crate::engine::event::ConnId;
use crate::engine::links::Pull;
use crate::engine::merge::{Answer, Dots, EARLY_MAX, Early, Fact, Named, Origin, Stream, Vector};
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
    PeerMessage {
        name: "DEAD",
        params_min: 2,
        when: When::Accepted,
        run: dead,
        shape: "S|D :<dot>=<mark of its key> …",
    },
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

/// No honest answer holds more facts or runs of dots than this: several times the largest network that this is
/// made for. Whoever sends more is not listened to any longer.
const STAGED_MAX: usize = 1_000_000;

/// How many words stand on one line of a long list, well below the limit of a peer's line.
const WORDS_PER_LINE: usize = 100;

impl Engine {
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
    pub(super) fn send_vector(&mut self, conn: ConnId, verb: &str, stream: Stream, vector: &Vector) {
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
                    self.send_change(conn, &change);
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
            self.send_change(conn, &change);
        }
        for (origin, _, runs) in answer.alive.runs() {
            for ranges in write_ranges(runs).chunks(WORDS_PER_LINE) {
                self.send_peer(
                    conn,
                    Draft::new("ALIVE").param(letter).param(origin).trailing(ranges.join(" ")),
                );
            }
        }
        let early: Vec<String> = answer.early.iter().map(write_named).collect();
        for dots in early.chunks(WORDS_PER_LINE) {
            self.send_peer(conn, Draft::new("DEAD").param(letter).trailing(dots.join(" ")));
        }
    }

    fn send_change(&mut self, conn: ConnId, change: &Change) {
        let line = write_change(change);
        match change.edit.is_secret() {
            true => {
                self.effects.push(crate::engine::effect::Effect::SendApart { to: conn, line: line.into() })
            }
            false => self.send_line(conn, line),
        }
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
                (Some(origin), Some(first), Some(last)) => engine.asked_for(conn, origin, first, last),
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
        let is_too_large = staged.facts.len().max(staged.alive.runs_count()) > STAGED_MAX;
        if is_too_large || staged.early.len() > EARLY_MAX {
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
            pull.staged = Some(Answer { facts, alive: Dots::default(), early: Early::default(), seen });
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
    let dots = message.params[1].split_ascii_whitespace().map(read_named).collect::<Option<Vec<Named>>>();
    match (pull_of(engine, conn, message), dots) {
        (Some((stream, Pull { staged: Some(staged), .. })), Some(dots)) => {
            staged.early.extend(dots.into_iter().filter(|named| named.dot.stream == stream));
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
            if stream == Stream::Durable {
                engine.network.end_durable_anew();
            }
            if let Some(mut answer) = pull.staged {
                if engine.is_outrun(conn, seen.iter(), stream) {
                    return;
                }
                answer.seen = seen;
                engine.make_harmless(conn, stream, &mut answer);
                answer.facts.iter().for_each(|(_, fact)| engine.clock.observe(fact.stamp));
                if stream == Stream::Session || !engine.network.registrations().is_empty() {
                    engine.prepare_for_merge(conn);
                }
                engine.note_beliefs(|_| true);
                let news = engine.network.merge(stream, answer);
                engine.begin_moves();
                let happenings = engine.forced_happenings_of(&news);
                engine.tell(news);
                engine.write_happenings(happenings);
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
