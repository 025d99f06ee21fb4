//! What neighbours ask for of what was said: out of memory, and out of the store what is no longer there.
//!
//! Each gets its answers in the order in which it asked, one part at a time, so that nobody else waits for long.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{write_change, write_change_after};
use crate::engine::Engine;
use crate::engine::chronicle::Answer;
use crate::engine::effect::Effect;
use crate::engine::event::ConnId;
use crate::engine::history::{Query, Record};
use crate::engine::merge::{Origin, Stream};
use crate::engine::network::Change;
use crate::engine::pending::Pending;
use crate::wire::base36;
use crate::wire::message::Draft;

/// How much of the store is answered with at once; as much as servers ask for.
const AT_ONCE: usize = 500;

/// More ranges than any honest neighbour asks for before it has had an answer.
const ASKED_MAX: usize = 64;

/// How often the store is asked for the same before that is given up, a tick apart: by then the neighbour has asked
/// elsewhere.
const TRIES_MAX: u32 = 10;

/// What one neighbour has asked for and has not got.
#[derive(Debug, Default)]
pub struct Asked {
    ranges: VecDeque<Range>,
    /// The store is being asked for the first of it.
    is_recalling: bool,
    /// How often the store could not be read for it.
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    origin: Origin,
    first: u64,
    last: u64,
}

impl Engine {
    pub(super) fn asked_for(&mut self, conn: ConnId, origin: Origin, first: u64, last: u64) {
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        if link.asked.ranges.len() >= ASKED_MAX {
            return self.note_too_many(conn, "ranges of messages to be sent");
        }
        link.asked.ranges.push_back(Range { origin, first, last });
        self.retell(conn);
    }

    /// Answers what was asked for, up to where the store has to be asked.
    fn retell(&mut self, conn: ConnId) {
        loop {
            let Some(link) = self.links.by_conn.get(&conn).filter(|link| !link.asked.is_recalling) else {
                return;
            };
            let Some(&Range { origin, first, last }) = link.asked.ranges.front() else { return };
            let floor = self.network.talk().floor(origin);
            if first < floor && self.keeps_history() {
                return self.look_for(conn, origin, first..=last.min(floor - 1), floor);
            }
            if first < floor {
                self.send_gap(conn, origin, (floor - 1).min(last));
            }
            let found = self.network.talk().range(origin, first.max(floor), last);
            let lines: Vec<Arc<str>> = found.map(|change| self.retold(change, None)).collect();
            self.finish_range(conn, origin, lines);
        }
    }

    /// Asks the store for what is older than memory.
    fn look_for(&mut self, conn: ConnId, origin: Origin, range: RangeInclusive<u64>, floor: u64) {
        if let Some(link) = self.links.by_conn.get_mut(&conn) {
            link.asked.is_recalling = true;
        }
        let (first, last) = range.into_inner();
        let query = Query::Range { origin, first, last, most: AT_ONCE };
        self.recall(query, Pending::Retell { conn, floor });
    }

    /// Goes on with what the store has found.
    pub(in crate::engine) fn retold_from_store(&mut self, conn: ConnId, floor: u64, outcome: Answer) {
        let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
        link.asked.is_recalling = false;
        let Some(&Range { origin, first, last }) = link.asked.ranges.front() else { return };
        let Ok(records) = outcome else {
            // Were it told that this was all, it would take what it was promised for a lie.
            link.asked.failures += 1;
            if link.asked.failures >= TRIES_MAX {
                link.asked.failures = 0;
                link.asked.ranges.pop_front();
            }
            return;
        };
        link.asked.failures = 0;
        let seq = |record: &Record| record.change.dot.seq;
        let mut next = first;
        let in_sequence = records.iter().take_while(|record| {
            let is_next = seq(record) == next && next <= last;
            next += u64::from(is_next);
            is_next
        });
        let lines: Vec<Arc<str>> =
            in_sequence.map(|record| self.retold(&record.change, Some(&record.line))).collect();
        let count = lines.len();
        lines.into_iter().for_each(|line| self.effects.push(Effect::Send { to: conn, line }));
        let is_whole = count == AT_ONCE;
        if next <= last && !is_whole {
            // What follows is nowhere in the store; memory may go on behind it.
            let after = records.get(count).map_or(floor.min(last.saturating_add(1)), seq);
            if after > next {
                self.send_gap(conn, origin, after - 1);
                next = after;
            }
        }
        if next > last {
            self.finish_range(conn, origin, Vec::new());
        } else if let Some(range) =
            self.links.by_conn.get_mut(&conn).and_then(|link| link.asked.ranges.front_mut())
        {
            range.first = next;
        }
        self.retell(conn);
    }

    /// Goes on where the store could not be read.
    pub(in crate::engine) fn retell_again(&mut self) {
        let waiting = self.links.by_conn.values().filter(|link| !link.asked.ranges.is_empty());
        let waiting: Vec<ConnId> = waiting.map(|link| link.conn).collect();
        waiting.into_iter().for_each(|conn| self.retell(conn));
    }

    /// Says the last of what was asked for first.
    fn finish_range(&mut self, conn: ConnId, origin: Origin, lines: Vec<Arc<str>>) {
        lines.into_iter().for_each(|line| self.effects.push(Effect::Send { to: conn, line }));
        self.send_peer(conn, Draft::new("DONE").param("M").param(origin));
        if let Some(link) = self.links.by_conn.get_mut(&conn) {
            link.asked.ranges.pop_front();
        }
    }

    fn send_gap(&mut self, conn: ConnId, origin: Origin, lost: u64) {
        self.send_peer(conn, Draft::new("GAP").param("M").param(origin).param(base36::encode(lost)));
    }

    /// A message of long ago. What its writer had said before it, in a run that is over, may be nowhere to be heard
    /// any more; then nobody is to wait for that.
    fn retold(&self, change: &Change, line: Option<&Arc<str>>) -> Arc<str> {
        let heard = self.network.seen(Stream::Session).tip(change.dot.origin);
        match line {
            _ if change.after > heard => write_change_after(change, 0).into(),
            Some(line) => line.clone(),
            None => write_change(change).into(),
        }
    }
}
