//! The thread that writes the store, and the router's way to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::Store;
use super::read::{Progress, Question, Questions};
use crate::edge::shared::Shared;
use crate::engine::{AskId, Entry, Event, Query, Row};

/// How long after a fault the disk is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long messages wait for others to be written along with them, and how many are written at once.
const TOGETHER_WITHIN: Duration = Duration::from_millis(50);
const TOGETHER_MAX: usize = 1_000;

/// How many messages may wait to be written: some seconds of all that a server can take, and some 50 MB.
const WAITING_MAX: usize = 50_000;

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
    /// Messages that wait to be written.
    waiting: Arc<AtomicUsize>,
    /// The number under which messages were last taken.
    recorded: u64,
    is_full: bool,
}

/// What waits for the store's threads.
pub struct InTray {
    work: Receiver<Work>,
    waiting: Arc<AtomicUsize>,
    pub questions: Receiver<Question>,
    pub progress: Progress,
}

/// Work is unbounded, since what is in force must reach the disk, and it comes as fast as people give orders; of messages
/// no more is taken than there is room for.
pub fn desk() -> (Desk, InTray) {
    let (sender, work) = crossbeam_channel::unbounded();
    let (questions, asked) = Questions::new();
    let (progress, waiting) = (Progress::default(), Arc::new(AtomicUsize::new(0)));
    let tray = InTray { work, waiting: waiting.clone(), questions: asked, progress: progress.clone() };
    (Desk { work: sender, questions, progress, waiting, recorded: 0, is_full: false }, tray)
}

impl Desk {
    pub fn keep(&self, batch: Batch) {
        self.send(Work::Keep(batch));
    }

    /// Gives back what there is no room for.
    pub fn record(&mut self, number: u64, entries: Vec<Entry>) -> Result<(), Vec<Entry>> {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting + entries.len() > WAITING_MAX {
            if !self.is_full {
                log::error!(
                    target: "folkmoot::server",
                    "the store cannot keep up: waiting={waiting}; what is said now is written when it can"
                );
            }
            self.is_full = true;
            return Err(entries);
        }
        self.is_full = false;
        self.waiting.fetch_add(entries.len(), Ordering::Relaxed);
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
    Writer { store, shared, tray, batches: Vec::new(), entries: VecDeque::new(), is_failing: false }.run();
}

struct Writer<'w> {
    store: Store,
    shared: &'w Shared,
    tray: &'w InTray,
    batches: Vec<Batch>,
    entries: VecDeque<(u64, Vec<Entry>)>,
    is_failing: bool,
}

impl Writer<'_> {
    fn run(mut self) {
        // When what waits is written at the latest.
        let mut due: Option<Instant> = None;
        loop {
            let next = match due {
                Some(due) => self.tray.work.recv_deadline(due),
                None => self.tray.work.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let is_last = matches!(next, Err(RecvTimeoutError::Disconnected));
            let mut is_due = next.is_err();
            for work in next.into_iter().chain(self.tray.work.try_iter()) {
                is_due |= !matches!(work, Work::Record { .. });
                match work {
                    Work::Keep(batch) => self.batches.push(batch),
                    Work::Record { number, entries } => self.entries.push_back((number, entries)),
                    Work::Hurry => {}
                }
            }
            let retries = self.is_failing && due.is_some_and(|due| Instant::now() < due);
            let is_many =
                self.entries.iter().map(|(_, entries)| entries.len()).sum::<usize>() >= TOGETHER_MAX;
            if (is_due || is_many) && !retries || is_last {
                self.write();
            }
            due = match (self.batches.is_empty() && self.entries.is_empty(), self.is_failing) {
                (true, _) => None,
                (false, true) => Some(due.filter(|_| retries).unwrap_or(Instant::now() + RETRY_AFTER)),
                (false, false) => Some(due.filter(|_| !is_due).unwrap_or(Instant::now() + TOGETHER_WITHIN)),
            };
            if is_last {
                break;
            }
        }
        let closed = match self.batches.is_empty() && self.entries.is_empty() {
            true => self.store.close(),
            false => Err(format!(
                "{} changes and {} messages could not be kept",
                self.batches.len(),
                self.entries.iter().map(|(_, entries)| entries.len()).sum::<usize>()
            )),
        };
        if let Err(why) = closed {
            log::error!(target: "folkmoot::server", "the store was not closed: {why}");
        }
    }

    /// Writes all that waits, some messages at a time, as far as the disk takes it.
    fn write(&mut self) {
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
            if let Err(why) = self.store.write(rows, entries, !self.batches.is_empty()) {
                return self.fail(&why);
            }
            if self.is_failing {
                log::info!(target: "folkmoot::server", "the store can be written again");
            }
            self.is_failing = false;
            if let Some(batch) = self.batches.drain(..).next_back() {
                self.shared.tell(Event::Kept { number: batch.number });
            }
            if let Some((number, _)) = self.entries.drain(..taken).next_back() {
                self.tray.waiting.fetch_sub(count, Ordering::Relaxed);
                self.tray.progress.reach(number);
            }
        }
    }

    fn fail(&mut self, why: &str) {
        if !self.is_failing {
            log::error!(
                target: "folkmoot::server",
                "{why}; what is to be kept is told to no other server, and tried again"
            );
        }
        self.is_failing = true;
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::config::Limits;
    use crate::edge::data::tests::Scratch;
    use crate::edge::shared::tests::shared;
    use crate::edge::store::FILE;
    use crate::edge::store::tests::{facts, open, row};
    use crate::edge::threads::STACK_BYTES;

    #[test]
    fn while_the_disk_is_at_fault_nothing_is_said_to_be_kept_and_nothing_is_lost() {
        let scratch = Scratch::new("store-fault");
        let (store, _) = open(&scratch).unwrap();
        let other = Connection::open(scratch.0.join(FILE)).unwrap();
        let (shared, events) = shared(Limits::default());
        let (desk, tray) = desk();
        shared.serve("store", STACK_BYTES, move |shared| run(store, shared, &tray)).unwrap();
        let send = |number, key| desk.keep(Batch { number, rows: vec![row(key, Some("1"))] });
        let kept = |within: Duration| match events.recv_timeout(within) {
            Ok(Event::Kept { number }) => Some(number),
            Err(_) => None,
            Ok(event) => panic!("{event:?}"),
        };
        send(1, "a");
        assert_eq!(kept(Duration::from_secs(10)), Some(1));
        other.execute_batch("ALTER TABLE fact RENAME TO away").unwrap();
        send(2, "b");
        send(3, "c");
        assert_eq!(kept(RETRY_AFTER * 2), None);
        other.execute_batch("ALTER TABLE away RENAME TO fact").unwrap();
        assert_eq!(kept(Duration::from_secs(10)), Some(3));
        drop(desk);
        assert_eq!(shared.services.wait(std::time::Instant::now() + Duration::from_secs(10)), [""; 0]);
        assert_eq!(facts(&open(&scratch).unwrap().1).len(), 3);
    }
}
