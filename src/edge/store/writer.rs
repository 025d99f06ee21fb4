//! The thread that writes the store, and the router's way to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::Store;
use super::read::{Progress, Question, Questions, Waiting};
use super::room::Room;
use crate::config::Ack;
use crate::edge::identity::wall_clock;
use crate::edge::shared::Shared;
use crate::edge::threads::give_way;
use crate::engine::{AskId, Entry, Event, Query, Row, UNWRITTEN_MAX};

/// How long after a fault the disk is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long messages wait for others to be written along with them, and how many are written at once.
const TOGETHER_WITHIN: Duration = Duration::from_millis(50);
const TOGETHER_MAX: usize = 1_000;

/// How often it is looked for messages that are kept long enough, and how soon again where there are many.
const PRUNE_AFTER: Duration = Duration::from_secs(60);
const PRUNE_ON: Duration = Duration::from_millis(50);

/// How often the log says at most that people wait for the disk.
const CROWDED_TOLD_EVERY: Duration = Duration::from_secs(60);

/// What the writer is asked for.
#[derive(Debug)]
pub enum Work {
    Keep(Batch),
    Record {
        number: u64,
        entries: Vec<Entry>,
    },
    /// Somebody waits to read what is recorded.
    Hurry,
}

/// One `Effect::Keep`.
#[derive(Debug)]
pub struct Batch {
    pub number: u64,
    pub rows: Vec<Row>,
}

/// What the router knows of the store.
pub struct Desk {
    work: Sender<Work>,
    questions: Questions,
    progress: Progress,
    room: Arc<Room>,
    /// The number under which messages were last taken.
    recorded: u64,
}

/// What waits for the store's threads.
pub struct InTray {
    work: Receiver<Work>,
    pub questions: Waiting,
    pub progress: Progress,
}

/// Work is unbounded, since what is in force must reach the disk, and it comes as fast as people give orders; of messages
/// no more is taken than there is room for.
pub fn desk(room: Arc<Room>) -> (Desk, InTray) {
    let (sender, work) = crossbeam_channel::unbounded();
    let (questions, asked) = Questions::new();
    let progress = Progress::default();
    let tray = InTray { work, questions: asked, progress: progress.clone() };
    (Desk { work: sender, questions, progress, room, recorded: 0 }, tray)
}

impl Desk {
    pub fn keep(&self, batch: Batch) {
        log::trace!(target: "folkmoot::server", "changes={} go to disk", batch.number);
        self.send(Work::Keep(batch));
    }

    /// Gives back what there is no room for.
    pub fn record(&mut self, number: u64, entries: Vec<Entry>) -> Result<(), Vec<Entry>> {
        if self.room.waiting() + entries.len() > UNWRITTEN_MAX {
            return Err(entries);
        }
        self.room.add(entries.len());
        self.recorded = number;
        self.send(Work::Record { number, entries });
        Ok(())
    }

    /// False where too many questions wait already.
    pub fn recall(&self, ask: AskId, query: Query) -> bool {
        let after = self.recorded;
        if !self.progress.has_reached(after) {
            self.send(Work::Hurry);
        }
        self.questions.ask(Question { ask, query, after })
    }

    fn send(&self, work: Work) {
        self.work.send(work).expect("the store is written until the router is gone");
    }
}

/// Writes what comes until nothing more can come, and closes the store. While the disk is at fault, nothing
/// is lost, and the server goes on: what cannot be kept is merely told to nobody else.
pub fn run(store: Store, shared: &Shared, tray: &InTray) {
    give_way();
    let (batches, entries) = (Vec::new(), VecDeque::new());
    Writer { store, shared, tray, batches, entries, count: 0, is_failing: false, told_crowded: None }.run();
}

struct Writer<'w> {
    store: Store,
    shared: &'w Shared,
    tray: &'w InTray,
    batches: Vec<Batch>,
    entries: VecDeque<(u64, Vec<Entry>)>,
    /// How many entries there are in all.
    count: usize,
    is_failing: bool,
    /// When the log last said that people wait for the disk.
    told_crowded: Option<Instant>,
}

impl Writer<'_> {
    fn run(mut self) {
        // When what waits is written at the latest, and when it is looked again for what is too old.
        let mut due: Option<Instant> = None;
        let mut prune_at = Instant::now() + PRUNE_AFTER;
        loop {
            let next = self.tray.work.recv_deadline(due.map_or(prune_at, |due| due.min(prune_at)));
            let is_last = matches!(next, Err(RecvTimeoutError::Disconnected));
            let mut is_urgent = is_last || self.is_told();
            for work in next.into_iter().chain(self.tray.work.try_iter()) {
                is_urgent |= !matches!(work, Work::Record { .. });
                match work {
                    Work::Keep(batch) => self.batches.push(batch),
                    Work::Record { number, entries } => {
                        self.count += entries.len();
                        self.entries.push_back((number, entries));
                    }
                    Work::Hurry => {}
                }
            }
            let is_due = due.is_some_and(|due| due <= Instant::now());
            let is_time = match self.is_failing {
                true => is_due || is_last,
                false => is_due || is_urgent || self.count >= TOGETHER_MAX,
            };
            if is_time {
                self.write();
                due = None;
            }
            let within = if self.is_failing { RETRY_AFTER } else { TOGETHER_WITHIN };
            let waits = !self.batches.is_empty() || !self.entries.is_empty();
            due = waits.then(|| due.unwrap_or(Instant::now() + within));
            if is_last {
                break;
            }
            if prune_at <= Instant::now() {
                prune_at = Instant::now() + if self.prune() { PRUNE_ON } else { PRUNE_AFTER };
            }
        }
        let closed = match self.batches.is_empty() && self.entries.is_empty() {
            true => self.store.close(),
            false => {
                Err(format!("{} changes and {} messages could not be kept", self.batches.len(), self.count))
            }
        };
        if let Err(why) = closed {
            log::error!(target: "folkmoot::server", "the store was not closed: {why}");
        }
    }

    /// Whether people wait for what they said to be on disk.
    fn is_told(&self) -> bool {
        self.shared.history.read().ack == Ack::Disk
    }

    /// Writes all that waits, some messages at a time, as far as the disk takes it.
    fn write(&mut self) {
        let is_told = self.is_told();
        while !self.batches.is_empty() || !self.entries.is_empty() {
            let mut count = 0;
            let taken = self.entries.iter().take_while(|(_, entries)| {
                let has_room = count < TOGETHER_MAX;
                count += if has_room { entries.len() } else { 0 };
                has_room
            });
            let taken = taken.count();
            let rows = self.batches.iter().flat_map(|batch| &batch.rows);
            let entries = self.entries.iter().take(taken).flat_map(|(_, entries)| entries);
            let is_safe = is_told || !self.batches.is_empty();
            self.shared.room.begin();
            if let Err(why) = self.store.write(rows, entries, is_safe) {
                return self.fail(why);
            }
            if std::mem::take(&mut self.is_failing) {
                self.shared.tell(Event::StoreFault { why: None });
            }
            if let Some(batch) = self.batches.drain(..).next_back() {
                self.shared.tell(Event::Kept { number: batch.number });
                log::trace!(target: "folkmoot::server", "changes={} are on disk", batch.number);
            }
            self.tell_if_crowded();
            self.shared.room.written(count);
            if let Some((number, _)) = self.entries.drain(..taken).next_back() {
                self.count -= count;
                self.tray.progress.reach(number);
                self.shared.tell(Event::Recorded { number });
            }
        }
    }

    fn tell_if_crowded(&mut self) {
        let is_due = self.told_crowded.is_none_or(|told| told.elapsed() >= CROWDED_TOLD_EVERY);
        if is_due && self.shared.room.is_crowded() {
            self.told_crowded = Some(Instant::now());
            log::warn!(
                target: "folkmoot::server",
                "the store is slower than what is said: who talks is made to wait for it unwritten={}",
                self.shared.room.waiting()
            );
        }
    }

    fn fail(&mut self, why: String) {
        self.tray.progress.get_stuck();
        self.shared.room.fail();
        if !std::mem::replace(&mut self.is_failing, true) {
            self.shared.tell(Event::StoreFault { why: Some(why) });
        }
    }

    /// Lets go of some messages that are older, or more, than the settings want kept; true where there are more of them.
    fn prune(&mut self) -> bool {
        let limits = self.shared.history.read().clone();
        if self.is_failing {
            return false;
        }
        self.store.prune(&limits, wall_clock()).unwrap_or_else(|why| {
            self.fail(why);
            false
        })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::config::Limits;
    use crate::edge::data::tests::Scratch;
    use crate::edge::shared::tests::shared;
    use crate::edge::store::tests::{facts, open, row};
    use crate::edge::store::{FILE, READERS};
    use crate::edge::threads::STACK_BYTES;

    #[test]
    fn while_the_disk_is_at_fault_nothing_is_said_to_be_kept_and_nothing_is_lost() {
        let scratch = Scratch::new("store-fault");
        let (store, _) = open(&scratch).unwrap();
        let other = Connection::open(scratch.0.join(FILE)).unwrap();
        let (shared, events) = shared(Limits::default());
        let (desk, tray) = desk(shared.room.clone());
        shared.serve("store", STACK_BYTES, move |shared| run(store, shared, &tray)).unwrap();
        let send = |number, key| desk.keep(Batch { number, rows: vec![row(key, Some("1"))] });
        // A fault is told once, and so is its end.
        let (mut faults, mut ends) = (0, 0);
        let mut kept = |within: Duration| loop {
            match events.recv_timeout(within) {
                Ok(Event::Kept { number }) => break Some(number),
                Err(_) => break None,
                Ok(Event::StoreFault { why: Some(_) }) => faults += 1,
                Ok(Event::StoreFault { why: None }) => ends += 1,
                Ok(Event::Recorded { .. }) => {}
                Ok(event) => panic!("{event:?}"),
            }
        };
        send(1, "a");
        assert_eq!(kept(Duration::from_secs(10)), Some(1));
        other.execute_batch("ALTER TABLE fact RENAME TO away").unwrap();
        send(2, "b");
        send(3, "c");
        assert_eq!(kept(RETRY_AFTER * 2), None);
        other.execute_batch("ALTER TABLE away RENAME TO fact").unwrap();
        assert_eq!(kept(Duration::from_secs(10)), Some(3));
        assert_eq!((faults, ends), (1, 1));
        drop(desk);
        assert_eq!(shared.services.wait(std::time::Instant::now() + Duration::from_secs(10)), [""; 0]);
        assert_eq!(facts(&open(&scratch).unwrap().1).len(), 3);
    }

    #[test]
    fn what_was_just_recorded_is_found_and_what_is_too_much_comes_back() {
        let scratch = Scratch::new("store-desk");
        let (store, _) = open(&scratch).unwrap();
        let (shared, events) = shared(Limits::default());
        let (mut desk, tray) = desk(shared.room.clone());
        let tray = Arc::new(tray);
        let said = |seq: u64| {
            let dot = format!("1AA.2.M{}.{}", crate::wire::base36::encode(seq), "100000");
            Entry::read(&format!("@dot={dot} :ann!a@host PRIVMSG 1AAAAAAAA #green :{seq}")).unwrap()
        };
        let many: Vec<Entry> = (1..=UNWRITTEN_MAX as u64).map(said).collect();
        desk.record(1, many.clone()).unwrap();
        let one_more = vec![said(UNWRITTEN_MAX as u64 + 1)];
        assert_eq!(desk.record(2, one_more.clone()), Err(one_more.clone()));

        let (writers, readers, directory) = (tray.clone(), tray, scratch.0.clone());
        shared.serve("store", STACK_BYTES, move |shared| run(store, shared, &writers)).unwrap();
        shared
            .serve("recall 1", STACK_BYTES, move |shared| {
                crate::edge::store::recall(READERS, &directory, shared, &readers);
            })
            .unwrap();
        let origin = crate::engine::Run::parse("1AA.2").unwrap();
        let query = Query::Range { origin, first: 1, last: u64::MAX, most: usize::MAX };
        assert!(desk.recall(AskId(1), query.clone()));
        let found = || loop {
            match events.recv_timeout(Duration::from_secs(60)) {
                Ok(Event::Recalled { ask, outcome, .. }) => break (ask.0, outcome.unwrap().len()),
                Ok(Event::Recorded { .. }) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(found(), (1, UNWRITTEN_MAX));
        desk.record(3, one_more).unwrap();
        assert!(desk.recall(AskId(2), query));
        assert_eq!(found(), (2, UNWRITTEN_MAX + 1));
    }
}
