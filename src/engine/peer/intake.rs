//! What comes in: each event is taken once, and in the order of its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Doubts, Fault, VainClaims};
use crate::defect::{Defect, is_planted};
use crate::engine::Engine;
use crate::engine::audit::Load;
use crate::engine::event::ConnId;
use crate::engine::links::Link;
use crate::engine::merge::{Answer, Dot, Early as Superseded, Origin, Stream, Vector};
use crate::engine::network::{Change, News};

/// How many early events of one origin and stream are kept; the rest is pulled again.
pub(super) const WAITING_MAX: usize = 4096;

/// How many bytes all early events may have together, and how many streams they may belong to.
const WAITING_BYTES_MAX: usize = 16 << 20;
const WAITING_STREAMS_MAX: usize = 512;

/// How many facts of one origin may count at a time: several for each user of the largest server, and as many as
/// memory bears.
const FACTS_PER_ORIGIN_MAX: usize = 500_000;

/// So often at most early events make this server look for what is missing; each tick does so, too.
const LOOK_EVERY_MS: u64 = 20;

/// How many passing messages of one origin are remembered, so that none is heard twice.
const PASSING_WINDOW: usize = 1024;

/// What has come and cannot be taken yet, and what has been asked for.
#[derive(Debug, Default)]
pub struct Intake {
    pub(super) waiting: BTreeMap<(Origin, Stream), BTreeMap<u64, Early>>,
    waiting_bytes: usize,
    /// Ranges of messages asked for, by origin and in the order of asking.
    pub(super) wanted: BTreeMap<Origin, Vec<Wanted>>,
    /// Messages that some neighbours do not have any more.
    pub(super) gaps: BTreeMap<Origin, Gap>,
    /// What neighbours said they have, and did not.
    pub(super) vain: VainClaims,
    /// Facts whose right wording was asked for.
    pub(super) doubts: Doubts,
    passed: BTreeMap<Origin, BTreeSet<u64>>,
    /// When an early event last made this server look for what is missing.
    looked_ms: Option<u64>,
}

/// An event that has come before its turn.
#[derive(Debug)]
pub(super) struct Early {
    change: Arc<Change>,
    bytes: usize,
    /// Who brought it.
    conn: ConnId,
}

/// A range of one origin's messages that a neighbour was asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub conn: ConnId,
    pub first: u64,
    pub last: u64,
    /// When it was asked for, or the latest of it came.
    pub since_ms: u64,
}

/// Messages of one origin, up to `last`, that nobody was found to have.
#[derive(Debug)]
pub(super) struct Gap {
    pub last: u64,
    pub since_ms: u64,
    pub without: BTreeSet<ConnId>,
}

impl Intake {
    /// How much waits, and how much may.
    pub fn loads(&self) -> Vec<Load> {
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        let waiting = longest(&mut self.waiting.values().map(BTreeMap::len));
        let passed = longest(&mut self.passed.values().map(BTreeSet::len));
        vec![
            Load { what: "early events of one origin", count: waiting, most: WAITING_MAX },
            Load { what: "bytes of early events", count: self.waiting_bytes, most: WAITING_BYTES_MAX },
            Load { what: "streams with early events", count: self.waiting.len(), most: WAITING_STREAMS_MAX },
            Load { what: "passing messages remembered of one origin", count: passed, most: PASSING_WINDOW },
        ]
    }

    #[cfg(test)]
    pub(super) fn passed_count(&self) -> usize {
        self.passed.values().map(BTreeSet::len).sum()
    }

    /// Keeps an event until its turn, if there is room or its turn is next.
    fn keep(&mut self, change: Change, bytes: usize, conn: ConnId, is_next: bool) {
        let (origin, stream) = (change.dot.origin, change.dot.stream);
        let has_room = match self.waiting.contains_key(&(origin, stream)) {
            true => true,
            false => self.waiting.len() < WAITING_STREAMS_MAX,
        };
        if !is_next && (!has_room || self.waiting_bytes + bytes > WAITING_BYTES_MAX) {
            return;
        }
        let early = Early { bytes, conn, change: Arc::new(change) };
        let waiting = self.waiting.entry((origin, stream)).or_default();
        let before = waiting.insert(early.change.dot.seq, early);
        // The last of them is the one that would have to wait longest.
        let last = if waiting.len() > WAITING_MAX { waiting.pop_last().map(|(_, last)| last) } else { None };
        self.waiting_bytes += bytes;
        self.waiting_bytes -= before.into_iter().chain(last).map(|early| early.bytes).sum::<usize>();
    }

    /// Drops what is no longer early, up to this number.
    fn drop_waiting(&mut self, origin: Origin, stream: Stream, tip: u64) {
        let Some(waiting) = self.waiting.get_mut(&(origin, stream)) else { return };
        let later = match tip.checked_add(1) {
            Some(next) => waiting.split_off(&next),
            None => BTreeMap::new(),
        };
        let dropped = std::mem::replace(waiting, later);
        self.waiting_bytes -= dropped.values().map(|early| early.bytes).sum::<usize>();
        if waiting.is_empty() {
            self.waiting.remove(&(origin, stream));
        }
    }

    /// Drops what a link brought early and nobody has borne out since: on another it comes again, if it is so.
    pub(super) fn drop_waiting_of(&mut self, conn: ConnId) {
        let mut dropped_bytes = 0;
        self.waiting.retain(|_, waiting| {
            waiting.retain(|_, early| {
                let stays = early.conn != conn;
                dropped_bytes += if stays { 0 } else { early.bytes };
                stays
            });
            !waiting.is_empty()
        });
        self.waiting_bytes -= dropped_bytes;
    }

    /// The first event of a stream that is neither behind `tip` nor waiting.
    pub(super) fn first_missing(&self, origin: Origin, stream: Stream, tip: u64) -> u64 {
        let waiting = self.waiting.get(&(origin, stream));
        let mut first = tip.saturating_add(1);
        while waiting.is_some_and(|waiting| waiting.contains_key(&first)) {
            first = first.saturating_add(1);
        }
        first
    }

    /// Whether a passing message is new; one that is older than the window counts as heard.
    pub fn is_new_passing(&mut self, origin: Origin, number: u64) -> bool {
        if !self.passed.contains_key(&origin) {
            // An earlier run of the same server says nothing any more.
            self.passed.retain(|known, _| known.server != origin.server);
        }
        let heard = self.passed.entry(origin).or_default();
        if heard.len() >= PASSING_WINDOW {
            if heard.first().is_some_and(|oldest| number < *oldest) {
                return false;
            }
            heard.pop_first();
        }
        heard.insert(number)
    }

    /// An answer that is under way is waited for.
    fn came(&mut self, conn: ConnId, origin: Origin, seq: u64, now_ms: u64) {
        let wanted = self.wanted.get_mut(&origin).into_iter().flatten();
        for wanted in
            wanted.filter(|wanted| wanted.conn == conn && (wanted.first..=wanted.last).contains(&seq))
        {
            wanted.since_ms = now_ms;
        }
    }

    pub(super) fn is_waiting(&self, origin: Origin, seq: u64) -> bool {
        self.waiting.get(&(origin, Stream::Message)).is_some_and(|waiting| waiting.contains_key(&seq))
    }

    /// How many ranges a neighbour has been asked for and has not given yet.
    pub(super) fn asked_of(&self, conn: ConnId) -> usize {
        self.wanted.values().flatten().filter(|wanted| wanted.conn == conn).count()
    }

    /// The first gap in an origin's messages that nobody has been asked for: from where, and up to where at most.
    pub(super) fn next_gap(&self, origin: Origin, mut first: u64) -> (u64, u64) {
        let wanted = self.wanted.get(&origin).map(Vec::as_slice).unwrap_or_default();
        let waiting = self.waiting.get(&(origin, Stream::Message));
        loop {
            if let Some(wanted) = wanted.iter().find(|wanted| (wanted.first..=wanted.last).contains(&first)) {
                first = wanted.last + 1;
            } else if waiting.is_some_and(|waiting| waiting.contains_key(&first)) {
                first += 1;
            } else {
                break;
            }
        }
        let asked = wanted.iter().map(|wanted| wanted.first).filter(|next| *next > first);
        let next = waiting.and_then(|waiting| waiting.range(first..).next()).map(|(seq, _)| *seq);
        (first, asked.chain(next).min().map_or(u64::MAX, |next| next - 1))
    }
}

impl Engine {
    /// Takes an event from a link: now if it is the next of its origin, later if it is early.
    pub(super) fn receive(&mut self, conn: ConnId, change: Change, bytes: usize) {
        let dot = change.dot;
        let now_ms = self.now.steady_ms;
        if self.is_outrun(conn, [(dot.origin, dot.seq)], dot.stream) {
            return;
        }
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        if let Some(pull) = link.pulls.get_mut(&dot.stream) {
            pull.came_ms = now_ms;
            if let Some(staged) = &mut pull.staged {
                super::stage(staged, &change);
                self.bound_staged(conn, dot.stream);
                return self.take_staged_early(&change);
            }
        }
        if dot.stream == Stream::Message {
            self.intake.came(conn, dot.origin, dot.seq, now_ms);
        }
        let is_own_word = link.sid() == Some(dot.origin.server);
        let is_believed =
            is_own_word || !self.links.by_conn.get(&conn).is_some_and(|link| self.is_false_relay(link));
        if self.is_in_my_name(dot) || !self.has_room_for(conn, dot.origin) {
            return;
        }
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        link.known.of_mut(dot.stream).raise(dot.origin, dot.seq);
        // Whoever has a message has what its writer had said before.
        link.known.session.raise(dot.origin, change.after);
        if !is_believed || self.is_left_for_later(conn, dot) {
            // It will not come by itself again; once they are believed, or there is room, it is asked for.
            return;
        }
        if dot.origin == self.origin_of(dot.stream) || self.network.seen(dot.stream).covers(dot) {
            if is_planted(Defect::ToldTwice) {
                self.tell(vec![News::Said(Arc::new(change))]);
            }
            return;
        }
        if !change.edit.is_rightful(dot.origin.server) {
            self.note_not_owner(conn, &change);
        }
        let is_next = self.network.seen(dot.stream).is_next(dot);
        self.intake.keep(change, bytes, conn, is_next);
        self.take_waiting(dot.origin, Some(conn));
        // With many early events one look for what is missing does for all of them.
        let is_asked = dot.stream == Stream::Message && self.intake.wanted.contains_key(&dot.origin);
        let is_due = self.intake.looked_ms.is_none_or(|ms| now_ms >= ms + LOOK_EVERY_MS);
        if is_due && !is_asked && self.intake.waiting.contains_key(&(dot.origin, dot.stream)) {
            self.intake.looked_ms = Some(now_ms);
            self.pull();
        }
    }

    /// A message for which the store has no room now; what was asked for is taken all the same, and is little.
    fn is_left_for_later(&self, conn: ConnId, dot: Dot) -> bool {
        let is_asked = || {
            let asked = self.intake.wanted.get(&dot.origin).into_iter().flatten();
            asked
                .into_iter()
                .any(|wanted| wanted.conn == conn && (wanted.first..=wanted.last).contains(&dot.seq))
        };
        dot.stream == Stream::Message && !self.takes_talk() && !is_asked()
    }

    /// Faults that can be planted: what is staged is not to be seen before all of it has come.
    fn take_staged_early(&mut self, change: &Change) {
        if !is_planted(Defect::ShownEarly) && !is_planted(Defect::MergedInParts) {
            return;
        }
        let alive = self.network.facts(change.dot.stream).iter().map(|(_, fact)| fact.dot).collect();
        let mut part = Answer { facts: vec![], alive, early: Superseded::default(), seen: Vector::default() };
        super::stage(&mut part, change);
        if is_planted(Defect::MergedInParts) {
            part.seen.raise(change.dot.origin, change.dot.seq);
        }
        let news = self.network.merge(change.dot.stream, part);
        self.tell(news);
    }

    /// Takes what has become the next of its origin. A message goes before the origin's next fact if
    /// it was said before it, so that everyone hears things in the order in which they happened.
    pub(super) fn take_waiting(&mut self, origin: Origin, from: Option<ConnId>) {
        loop {
            let message = self.next_waiting(origin, Stream::Message);
            let tip = self.network.seen(Stream::Session).tip(origin);
            let message = message.filter(|(change, _)| change.after <= tip);
            let next = message.or_else(|| self.next_waiting(origin, Stream::Session));
            let Some((change, by)) = next else { break };
            if self.must_wait(change.dot, change.stamp, by) || self.is_too_much(&change) {
                break;
            }
            self.take(&change, from);
            self.intake.drop_waiting(origin, change.dot.stream, change.dot.seq);
        }
        // Durable facts have an order of their own; the same number may be somebody's epoch or generation.
        while let Some((change, by)) = self.next_waiting(origin, Stream::Durable) {
            if self.must_wait(change.dot, change.stamp, by) || self.is_too_much(&change) {
                break;
            }
            self.take(&change, from);
            self.intake.drop_waiting(origin, Stream::Durable, change.dot.seq);
        }
        for stream in Stream::ALL {
            self.intake.drop_waiting(origin, stream, self.network.seen(stream).tip(origin));
        }
    }

    /// The next event of an origin, and who brought it.
    fn next_waiting(&self, origin: Origin, stream: Stream) -> Option<(Arc<Change>, ConnId)> {
        let next = self.network.seen(stream).tip(origin).checked_add(1)?;
        let early = self.intake.waiting.get(&(origin, stream))?.get(&next)?;
        Some((early.change.clone(), early.conn))
    }

    pub(super) fn take_all_waiting(&mut self) {
        let origins: BTreeSet<Origin> = self.intake.waiting.keys().map(|(origin, _)| *origin).collect();
        origins.into_iter().for_each(|origin| self.take_waiting(origin, None));
    }
}

impl Engine {
    /// What its writer had no right to write counts nowhere, and is passed on all the same: its number has
    /// to be taken, or nothing after it could be.
    fn note_not_owner(&mut self, conn: ConnId, change: &Change) {
        let origin = change.dot.origin;
        let label = self.links.by_conn.get(&conn).map_or(String::new(), Link::label);
        let user = change.edit.owned().map_or(String::new(), |user| user.to_string());
        let text = format!(
            "{} writes of a user of another server, which counts for nothing origin={origin} dot={} user={user} by={label}",
            self.network.server_name(origin.server),
            change.dot
        );
        self.suspect_origin(Fault::NotOwner, origin, &text);
    }

    /// Whether an origin has written more than any honest one does: then the rest of it is not taken.
    fn is_too_much(&mut self, change: &Change) -> bool {
        let (origin, facts) = (change.dot.origin, self.network.facts(change.dot.stream));
        let is_too_much =
            change.dot.stream != Stream::Message && facts.count_of(origin) >= FACTS_PER_ORIGIN_MAX;
        if is_too_much {
            let text = format!(
                "{} has written more than there may be, and the rest of it is not taken origin={origin}",
                self.network.server_name(origin.server)
            );
            self.suspect_origin(Fault::TooMany, origin, &text);
        }
        is_too_much
    }

    /// Whether a run is this one of this server, or one to come.
    pub(super) fn is_mine(&self, origin: Origin, stream: Stream) -> bool {
        let own = self.origin_of(stream);
        origin.server == own.server && origin.epoch >= own.epoch
    }

    /// Whether an event says that this server wrote it, though it never did.
    fn is_in_my_name(&self, dot: Dot) -> bool {
        self.is_mine(dot.origin, dot.stream) && !self.network.seen(dot.stream).covers(dot)
    }
}
