//! Origins whose clock runs ahead: what they write waits until the wall clock here has caught up.
//!
//! A stamp is never changed to one that fits: servers would then hold different facts. And the clock here
//! never observes one from the far future, or it would carry the whole network there.

use std::collections::{BTreeMap, BTreeSet};

use super::Fault;
use crate::engine::Engine;
use crate::engine::effect::Topic;
use crate::engine::event::ConnId;
use crate::engine::merge::{Answer, Dot, Origin, Stamp, Stream};
use crate::engine::network::{Key, Value};

/// A stamp may be so far ahead of the wall clock here.
const AHEAD_MS: u64 = 60_000;

/// How often an administrator is told that this server's own clock is ahead.
const OWN_CLOCK_TOLD_EVERY_MS: u64 = 3_600_000;

/// Origins in quarantine.
#[derive(Debug, Default)]
pub struct Quarantine {
    /// By origin and whether it is as a generation of its store: that may have the number of another run.
    held: BTreeMap<(Origin, bool), Held>,
    own_clock_told_ms: Option<u64>,
}

/// The first event of an origin that is ahead, as far as that is known.
#[derive(Debug)]
struct Held {
    dot: Dot,
    until_ms: u64,
    /// Who says so.
    by: ConnId,
}

impl Quarantine {
    pub fn holds(&self, origin: Origin, stream: Stream) -> bool {
        self.held.contains_key(&(origin, stream == Stream::Durable))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Origin, u64)> {
        self.held.iter().map(|((origin, _), held)| (*origin, held.until_ms))
    }
}

impl Engine {
    /// Whether a stamp lies too far ahead for its event to be taken now.
    fn is_ahead(&self, stamp: Stamp) -> bool {
        stamp.ms > self.now.wall.0.saturating_add(AHEAD_MS)
    }

    /// Whether an event's origin has to wait, from now on if this very event is the first one ahead.
    pub(super) fn must_wait(&mut self, dot: Dot, stamp: Stamp, by: ConnId) -> bool {
        let (origin, key) = (dot.origin, (dot.origin, dot.stream == Stream::Durable));
        if !self.is_ahead(stamp) {
            // An origin's stamps only rise: what is said to be ahead was not, where the same or a later one is not.
            let Some(held) = self.quarantine.held.get(&key) else { return false };
            let is_behind = held.dot.stream != dot.stream || held.dot.seq < dot.seq;
            if held.dot == dot {
                self.quarantine.held.remove(&key);
            }
            return is_behind;
        }
        let held = self.quarantine.held.entry(key).or_insert(Held { dot, until_ms: stamp.ms, by });
        if stamp.ms < held.until_ms {
            *held = Held { dot, until_ms: stamp.ms, by };
        }
        let ahead_ms = stamp.ms - self.now.wall.0;
        let text = format!(
            "{} is in quarantine: its clock is ahead of the one here origin={origin} ahead_ms={ahead_ms}",
            self.network.server_name(origin.server)
        );
        self.suspect_origin(Fault::ClockAhead, origin, &text);
        true
    }

    /// Cuts out of an answer what comes from origins ahead of the time here, as if whoever gave it had not
    /// heard more of them than this server has. What is held of them stays.
    fn cut_ahead(&mut self, conn: ConnId, stream: Stream, answer: &mut Answer<Key, Value>) {
        let facts = answer.facts.iter().map(|(_, fact)| (fact.dot, fact.stamp));
        let ahead: Vec<(Dot, Stamp)> = facts.filter(|(_, stamp)| self.is_ahead(*stamp)).collect();
        for (dot, stamp) in ahead {
            self.must_wait(dot, stamp, conn);
        }
        let held = self.quarantine.held.keys().filter(|(_, durable)| *durable == (stream == Stream::Durable));
        let origins: Vec<Origin> = held.map(|(origin, _)| *origin).collect();
        origins.into_iter().for_each(|origin| self.cut_out(stream, answer, origin));
    }

    /// Leaves an answer as if it came from somebody who knows of one origin just what this server does.
    fn cut_out(&self, stream: Stream, answer: &mut Answer<Key, Value>, origin: Origin) {
        let held = self.network.facts(stream);
        answer.facts.retain(|(_, fact)| fact.dot.origin != origin);
        answer.seen.set(origin, self.network.seen(stream).tip(origin));
        answer.alive.extend(held.iter().map(|(_, fact)| fact.dot).filter(|dot| dot.origin == origin));
    }

    /// Takes out of an answer what nobody can have to say: of this server's own users, of its runs to come, of
    /// the far future, twice, or beyond what the answer says it covers.
    pub(super) fn make_harmless(&mut self, conn: ConnId, stream: Stream, answer: &mut Answer<Key, Value>) {
        let mut dots = BTreeSet::new();
        answer.facts.retain(|(_, fact)| answer.seen.covers(fact.dot) && dots.insert(fact.dot));
        let mine = |origin: &Origin| self.is_mine(*origin, stream);
        let in_my_name: BTreeSet<Origin> =
            answer.seen.iter().map(|(origin, _)| origin).filter(mine).collect();
        for origin in in_my_name {
            let (said, tip) = (answer.seen.tip(origin), self.network.seen(stream).tip(origin));
            if said > tip {
                answer.facts.retain(|(_, fact)| fact.dot.origin != origin);
                answer.seen.set(origin, tip);
            }
        }
        // Nobody has seen what this server has yet to write.
        answer.early = answer.early.iter().filter(|named| !mine(&named.dot.origin)).collect();
        // What is owned ends by its owner's word, which has been heard here before anywhere else.
        if stream == Stream::Session {
            answer.alive.extend(self.network.own_dots(self.origin()));
        }
        self.cut_ahead(conn, stream, answer);
        // Whoever changed what others wrote is believed in its own name only.
        let Some(link) = self.links.by_conn.get(&conn).filter(|link| self.is_false_relay(link)) else {
            return;
        };
        let (sid, origins) = (link.sid(), answer.seen.iter().map(|(origin, _)| origin));
        let others: Vec<Origin> = origins.filter(|origin| Some(origin.server) != sid).collect();
        others.into_iter().for_each(|origin| self.cut_out(stream, answer, origin));
    }

    /// Lets go of origins that the wall clock has caught up with, and takes what waited of them.
    pub(in crate::engine) fn end_quarantines(&mut self) {
        let over_ms = self.now.wall.0.saturating_add(AHEAD_MS);
        self.let_go(|held| held.until_ms <= over_ms);
        self.warn_of_own_clock();
        self.end_disbelief();
    }

    /// Lets go of origins that are in quarantine by the word of one link, which has ended. If it was so, others say so.
    pub(super) fn end_quarantines_by(&mut self, conn: ConnId) {
        self.let_go(|held| held.by == conn);
    }

    fn let_go(&mut self, which: impl Fn(&Held) -> bool) {
        let over = self.quarantine.held.iter().filter(|(_, held)| which(held));
        let over: Vec<(Origin, bool)> = over.map(|(key, _)| *key).collect();
        for (origin, durable) in over {
            self.quarantine.held.remove(&(origin, durable));
            let text =
                format!("{} is out of quarantine origin={origin}", self.network.server_name(origin.server));
            self.note(log::Level::Info, Topic::Link, text);
            self.take_waiting(origin, None);
        }
    }

    /// Others will not take what a server writes whose own stamps are ahead, as they are after its wall clock
    /// was far in the future for a while.
    fn warn_of_own_clock(&mut self) {
        let ahead_ms = self.clock.ms().saturating_sub(self.now.wall.0);
        let told_ms = self.quarantine.own_clock_told_ms;
        let is_due = told_ms.is_none_or(|ms| self.now.steady_ms >= ms + OWN_CLOCK_TOLD_EVERY_MS);
        if ahead_ms > AHEAD_MS && is_due {
            self.quarantine.own_clock_told_ms = Some(self.now.steady_ms);
            let text = format!(
                "the stamps given out here are ahead of the wall clock, and other servers will not take them \
                 ahead_ms={ahead_ms}: was the clock wrong before, or is it now?"
            );
            self.note(log::Level::Error, Topic::Server, text);
        }
    }
}
