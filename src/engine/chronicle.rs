//! Keeps what is said: hands each message to the store once, and asks the store for those of long ago.
//!
//! The engine waits for no disk. Where one is slower than what is said, the edge has those wait who talk here
//! (`edge/store/room.rs`), and what others say is had from neighbours later. What the store has no room for all the same, as
//! when the disk is full, is handed to it again out of memory, for as long as it is there.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Engine;
use super::effect::{Effect, Topic};
use super::event::{AskId, ConnId};
use super::history::{Entry, Query, Record};
use super::merge::{Origin, Stream, Vector};
use super::network::{Change, Edit};
use super::outgoing::{Outgoing, Spoken};
use super::pending::Pending;
use super::said::LATE_AFTER_MS;
use super::turn::{Deferred, Outcome, Turn};
use crate::config::Ack;
use crate::wire::names::ServerId;

/// How many messages may wait to be written: some seconds of all that a server can take, and some 60 MB; of what a test
/// writes, which is slower, as many seconds.
pub const UNWRITTEN_MAX: usize = if cfg!(test) { 5_000 } else { 50_000 };

/// Up to here whoever talks is read, and neighbours are asked for what was missed.
pub const UNWRITTEN_AT_EASE_MAX: usize = UNWRITTEN_MAX / 2;

/// Up to here what comes over links is taken as it comes; the rest is for what cannot wait.
const UNWRITTEN_LIVE_MAX: usize = UNWRITTEN_MAX / 4 * 3;

/// A disk that has taken nothing for so long is no reason to wait any more.
pub const UNWRITTEN_STUCK_AFTER_MS: u64 = 10_000;

/// How many messages are handed to the store again at once; it is asked every tick whether it has room.
const AGAIN_AT_ONCE: usize = 2_000;

/// What is handed to the store.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// How much was handed over so far, and up to where that is on disk.
    number: u64,
    written: u64,
    /// When something was last on its way to the disk, and the disk was there for it.
    progress_ms: u64,
    is_failing: bool,
    /// What comes of the present step.
    entries: Vec<Entry>,
    /// The first message of each origin that the store did not take.
    left_out: BTreeMap<Origin, u64>,
    /// When each server was there first; from before this start where there is no telling.
    heard_since: BTreeMap<ServerId, u64>,
    /// Where clients are told only what is on disk: the message that the line at hand has written.
    awaited: Option<u64>,
    /// This server's messages in what was handed over and is not on disk yet.
    under_way: VecDeque<(u64, Vec<u64>)>,
    /// What is to be said once a message is on disk.
    held: BTreeMap<u64, Held>,
    /// Whether the answer that is being dealt with is not all that there may be.
    is_cut: bool,
}

/// Replies to a line, and its label.
#[derive(Debug)]
struct Held {
    reply: Deferred,
    replies: Vec<Spoken>,
}

/// What is done with an answer of the store's, for the client who asked.
pub struct Then(Box<GoOn>);

type GoOn = dyn FnOnce(&mut Turn, Answer) -> Outcome + Send + Sync;

/// What the store has found, oldest first; or why it could not look.
pub type Answer = Result<Vec<Record>, String>;

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then(…)")
    }
}

impl Chronicle {
    /// Goes on where a server has heard so much.
    pub fn after(seen: &Vector) -> Chronicle {
        let heard_since = seen.iter().map(|(origin, _)| (origin.server, 0)).collect();
        Chronicle { heard_since, ..Chronicle::default() }
    }
}

impl Engine {
    pub(super) fn keeps_history(&self) -> bool {
        self.config.history.enabled
    }

    /// Has a message kept that was just taken, with the line that carries it where that was written already. That something
    /// was taken back is written also where nothing else is: what is still on disk from before must not keep its words.
    pub(super) fn chronicle(&mut self, change: &Arc<Change>, line: Option<&Arc<str>>) {
        let is_kept = self.keeps_history() || matches!(change.edit, Edit::Redact(_));
        if !is_kept || change.dot.stream != Stream::Message {
            return;
        }
        let is_awaited = !matches!(change.edit, Edit::Happening(_));
        if is_awaited && change.dot.origin == self.origin() && self.config.history.ack == Ack::Disk {
            self.chronicle.awaited = Some(change.dot.seq);
        }
        // What comes after something that was left out goes with it, so that each origin's are written in order.
        if !self.chronicle.left_out.contains_key(&change.dot.origin) {
            let is_late = self.is_late(change);
            self.chronicle.entries.push(Entry::Said { change: change.clone(), line: line.cloned(), is_late });
        }
    }

    /// Notes which servers are on the network now that were not there before.
    pub(super) fn note_heard(&mut self) {
        for server in self.network.servers() {
            self.chronicle.heard_since.entry(server.id).or_insert(self.now.wall.0);
        }
    }

    /// Whether people here may have read on since this was said. What a server said before this one heard of it is its
    /// past, and late for nobody.
    fn is_late(&mut self, change: &Change) -> bool {
        let now_ms = self.now.wall.0;
        let since = *self.chronicle.heard_since.entry(change.dot.origin.server).or_insert(now_ms);
        change.stamp.ms > since && change.stamp.ms + LATE_AFTER_MS < now_ms
    }

    /// Has it kept that messages of an origin are nowhere to be had.
    pub(super) fn chronicle_gap(&mut self, origin: Origin, tip: u64) {
        if self.keeps_history() {
            self.chronicle.entries.push(Entry::Skipped { origin, tip });
        }
    }

    /// Has everything forgotten that an origin said.
    pub(super) fn chronicle_end(&mut self, origin: Origin) {
        self.chronicle.left_out.remove(&origin);
        self.chronicle.entries.push(Entry::Forgotten { origin });
    }

    /// Hands over all that came of this step.
    pub(super) fn hand_over(&mut self) {
        if self.chronicle.entries.is_empty() {
            return;
        }
        if self.chronicle.written >= self.chronicle.number {
            self.chronicle.progress_ms = self.now.steady_ms;
        }
        let entries = std::mem::take(&mut self.chronicle.entries);
        self.chronicle.number += entries.len() as u64;
        let number = self.chronicle.number;
        if self.config.history.ack == Ack::Disk {
            let own = self.origin();
            let said = entries.iter().filter_map(|entry| match entry {
                Entry::Said { change, .. } => {
                    Some(change.dot).filter(|dot| dot.origin == own).map(|dot| dot.seq)
                }
                _ => None,
            });
            self.chronicle.under_way.push_back((number, said.collect()));
        }
        self.effects.push(Effect::Record { number, entries });
    }

    /// The store had no room for these.
    pub(super) fn not_recorded(&mut self, number: u64, entries: Vec<Entry>) {
        self.chronicle.under_way.retain(|(refused, _)| *refused != number);
        if self.chronicle.left_out.is_empty() {
            let text = "the store cannot keep up: what is said now is written when it can";
            self.note(log::Level::Error, Topic::Server, text.to_string());
        }
        for entry in entries {
            match entry {
                Entry::Said { change, .. } => {
                    let first = self.chronicle.left_out.entry(change.dot.origin).or_insert(change.dot.seq);
                    *first = change.dot.seq.min(*first);
                }
                // Few, and small.
                entry => self.chronicle.entries.push(entry),
            }
        }
    }

    /// Hands over again what was left out, as far as it is still in memory. What is not comes back from neighbours at
    /// the next start: the store says no more than it has.
    pub(super) fn hand_over_again(&mut self) {
        let mut room = AGAIN_AT_ONCE;
        while room > 0
            && let Some((origin, first)) = self.chronicle.left_out.pop_first()
        {
            let tip = self.network.seen(Stream::Message).tip(origin);
            let floor = self.network.talk().floor(origin);
            if first < floor && origin == self.origin() {
                // Nobody is to wait for what is nowhere any more.
                self.say_held(first..floor);
            }
            let first = first.max(floor);
            let last = tip.min(first.saturating_add(room as u64 - 1));
            let found = self.network.talk().range(origin, first, last).cloned();
            let entries: Vec<Entry> =
                found.map(|change| Entry::Said { change, line: None, is_late: false }).collect();
            room -= entries.len().min(room);
            self.chronicle.entries.extend(entries);
            if last < tip {
                self.chronicle.left_out.insert(origin, last + 1);
                return;
            }
        }
    }

    /// Whether neighbours are asked for what was missed.
    pub(super) fn may_catch_up(&self) -> bool {
        !self.has_unwritten(UNWRITTEN_AT_EASE_MAX)
    }

    /// Whether what others say is taken as it comes. What is not is had from neighbours like all that was missed; so nothing
    /// is lost, and whatever else links bring goes on.
    pub(super) fn takes_talk(&self) -> bool {
        !self.has_unwritten(UNWRITTEN_LIVE_MAX)
    }

    /// Whether so much waits for a disk that takes it, if slowly.
    fn has_unwritten(&self, least: usize) -> bool {
        let Chronicle { number, written, progress_ms, is_failing, .. } = self.chronicle;
        let is_stuck = self.now.steady_ms >= progress_ms + UNWRITTEN_STUCK_AFTER_MS;
        number.saturating_sub(written) >= least as u64 && !is_failing && !is_stuck
    }

    pub(super) fn store_fault(&mut self, why: Option<&str>) {
        self.chronicle.is_failing = why.is_some();
        let (level, text) = match why {
            Some(why) => {
                let text = format!("{why}; people go on talking, what is to be kept is tried again");
                (log::Level::Error, text)
            }
            None => (log::Level::Info, "the store can be written again".to_string()),
        };
        self.note(level, Topic::Server, text);
    }

    // Being told only what is on disk.

    /// What was written before concerns another line.
    pub(super) fn begin_line(&mut self) {
        self.chronicle.awaited = None;
    }

    /// Keeps the replies to a line that has written something until that is on disk; others have heard it.
    pub(super) fn hold_replies(&mut self, conn: ConnId, label: Option<String>) -> Option<String> {
        let Some(seq) = self.chronicle.awaited.take() else { return label };
        let replies = self.take_replies(conn, false);
        if label.is_some() || !replies.is_empty() {
            self.chronicle.held.insert(seq, Held { reply: Deferred { conn, label }, replies });
        }
        None
    }

    /// All up to this is on disk: says what waited for it.
    pub(super) fn recorded(&mut self, number: u64) {
        self.chronicle.written = number.max(self.chronicle.written);
        self.chronicle.progress_ms = self.now.steady_ms;
        while self.chronicle.under_way.front().is_some_and(|(first, _)| *first <= number) {
            let (_, said) = self.chronicle.under_way.pop_front().expect("it was just seen");
            said.into_iter().for_each(|seq| self.say_held(seq..seq + 1));
        }
    }

    /// Nobody waits for the disk any more.
    pub(super) fn release_held(&mut self) {
        self.chronicle.under_way.clear();
        self.say_held(0..u64::MAX);
    }

    /// Says what waited for these messages.
    fn say_held(&mut self, messages: Range<u64>) {
        while let Some((&seq, _)) = self.chronicle.held.range(messages.clone()).next()
            && let Some(Held { reply, replies }) = self.chronicle.held.remove(&seq)
        {
            let to = reply.conn;
            let replies = replies.into_iter().map(|spoken| Outgoing { to: to.into(), spoken });
            self.flush_outgoing();
            self.outgoing.extend(replies);
            self.finish_turn(reply.conn, reply.label);
        }
    }

    // Asking.

    /// Asks the store.
    pub(super) fn recall(&mut self, query: Query, pending: Pending) -> AskId {
        // What was just said is to be found as well.
        self.hand_over();
        let ask = self.ask(pending);
        self.effects.push(Effect::Recall { ask, query });
        ask
    }

    pub(super) fn recalled(&mut self, ask: AskId, outcome: Answer, is_cut: bool) {
        self.chronicle.is_cut = is_cut;
        match self.asks.take(ask) {
            Some(Pending::Recall { reply, holds, then }) => {
                let conn = reply.conn;
                if let Some(session) = self.sessions.get_mut(conn).filter(|_| holds) {
                    session.held.close(ask);
                }
                self.go_on(reply, |turn| (then.0)(turn, outcome));
                self.release_lines(conn);
            }
            Some(Pending::Retell { conn, floor }) => self.retold_from_store(conn, floor, outcome),
            _ => {}
        }
    }
}

impl Turn<'_> {
    /// Whether the store could not look at everything for its last answer.
    pub fn is_answer_cut(&self) -> bool {
        self.engine.chronicle.is_cut
    }

    /// Asks the store, and goes on with its answer as the same line, with its label; in `then` it may be asked again.
    /// Whoever has gone by then is not answered.
    pub fn recall(
        &mut self,
        query: Query,
        then: impl FnOnce(&mut Turn, Answer) -> Outcome + Send + Sync + 'static,
    ) {
        self.recall_holding(true, query, then);
    }

    /// The same; where it does not hold them, what the client says meanwhile is not kept waiting.
    pub fn recall_holding(
        &mut self,
        holds: bool,
        query: Query,
        then: impl FnOnce(&mut Turn, Answer) -> Outcome + Send + Sync + 'static,
    ) {
        let reply: Deferred = self.defer();
        let ask = self.engine.recall(query, Pending::Recall { reply, holds, then: Then(Box::new(then)) });
        if holds {
            self.hold_what_follows(ask);
        }
    }
}
