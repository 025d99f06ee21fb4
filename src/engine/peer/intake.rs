//! What comes in: each event is taken once, and in the order of its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::defect::{Defect, is_planted};
use crate::engine::Engine;
use crate::engine::audit::Load;
use crate::engine::event::ConnId;
use crate::engine::merge::{Answer, Origin, Stream, Vector};
use crate::engine::network::{Change, News};

/// How many early events of one origin and stream are kept; the rest is pulled again.
pub(super) const WAITING_MAX: usize = 4096;

/// How many passing messages of one origin are remembered, so that none is heard twice.
const PASSING_WINDOW: usize = 1024;

/// What has come and cannot be taken yet, and what has been asked for.
#[derive(Debug, Default)]
pub struct Intake {
    pub(super) waiting: BTreeMap<(Origin, Stream), BTreeMap<u64, Arc<Change>>>,
    /// Ranges of messages asked for, by origin and in the order of asking.
    pub(super) wanted: BTreeMap<Origin, Vec<Wanted>>,
    /// Neighbours that did not give an origin's messages when they were asked, and until when others are preferred.
    pub(super) in_vain: BTreeMap<(Origin, ConnId), u64>,
    /// The same for the facts of a stream.
    pub(super) facts_in_vain: BTreeMap<(Stream, ConnId), u64>,
    /// Messages that some neighbours do not have any more.
    pub(super) gaps: BTreeMap<Origin, Gap>,
    passed: BTreeMap<Origin, BTreeSet<u64>>,
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
            Load { what: "passing messages remembered of one origin", count: passed, most: PASSING_WINDOW },
        ]
    }

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
    pub(super) fn receive(&mut self, conn: ConnId, change: Change) {
        let dot = change.dot;
        let named = change.over.iter().chain([&dot]).map(|dot| (dot.origin, dot.seq));
        if self.is_outrun(named.collect::<Vec<_>>(), dot.stream) {
            return;
        }
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        if let Some(pull) = link.pulls.get_mut(&dot.stream) {
            pull.came_ms = self.now.steady_ms;
            if let Some(staged) = &mut pull.staged {
                super::stage(staged, &change);
                return self.take_staged_early(&change);
            }
        }
        if dot.stream == Stream::Message {
            self.intake.came(conn, dot.origin, dot.seq, self.now.steady_ms);
        }
        link.known.of_mut(dot.stream).raise(dot.origin, dot.seq);
        // Whoever has a message has what its writer had said before.
        link.known.session.raise(dot.origin, change.after);
        if dot.origin == self.origin_of(dot.stream) || self.network.seen(dot.stream).covers(dot) {
            if is_planted(Defect::ToldTwice) {
                self.tell(vec![News::Said(Arc::new(change))]);
            }
            return;
        }
        let waiting = self.intake.waiting.entry((dot.origin, dot.stream)).or_default();
        waiting.insert(dot.seq, Arc::new(change));
        if waiting.len() > WAITING_MAX {
            // The last of them is the one that would have to wait longest.
            waiting.pop_last();
        }
        self.take_waiting(dot.origin, Some(conn));
        let is_asked = dot.stream == Stream::Message && self.intake.wanted.contains_key(&dot.origin);
        if self.intake.waiting.contains_key(&(dot.origin, dot.stream)) && !is_asked {
            self.pull();
        }
    }

    /// Faults that can be planted: what is staged is not to be seen before all of it has come.
    fn take_staged_early(&mut self, change: &Change) {
        if !is_planted(Defect::ShownEarly) && !is_planted(Defect::MergedInParts) {
            return;
        }
        let alive = self.network.facts(change.dot.stream).iter().map(|(_, fact)| fact.dot).collect();
        let mut part = Answer { facts: vec![], alive, early: BTreeSet::new(), seen: Vector::default() };
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
            let ready = |change: &Arc<Change>| change.after <= self.network.seen(Stream::Session).tip(origin);
            let next = message.filter(ready).or_else(|| self.next_waiting(origin, Stream::Session));
            let Some(change) = next else { break };
            if let Some(waiting) = self.intake.waiting.get_mut(&(origin, change.dot.stream)) {
                waiting.remove(&change.dot.seq);
            }
            self.take(&change, from);
        }
        // Durable facts have an order of their own; the same number may be somebody's epoch or generation.
        while let Some(change) = self.next_waiting(origin, Stream::Durable) {
            if let Some(waiting) = self.intake.waiting.get_mut(&(origin, Stream::Durable)) {
                waiting.remove(&change.dot.seq);
            }
            self.take(&change, from);
        }
        for stream in Stream::ALL {
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

    pub(super) fn take_all_waiting(&mut self) {
        let origins: BTreeSet<Origin> = self.intake.waiting.keys().map(|(origin, _)| *origin).collect();
        origins.into_iter().for_each(|origin| self.take_waiting(origin, None));
    }
}
