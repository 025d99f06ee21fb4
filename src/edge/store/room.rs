//! Room for what is said: where the disk falls behind, whoever talks waits for it, and nothing else does.
//!
//! Clients say more in a second than a slow disk can write. What waits for it is bounded, so half of that bound is for what
//! clients say: once it is full, a thread that reads from a client who talks stands still, and TCP slows the client. The
//! other half is for what nobody can be made to wait with: people who quit, and what links bring (`engine/chronicle.rs`).
//!
//! A disk that takes nothing at all keeps nobody waiting.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::engine::{UNWRITTEN_AT_EASE_MAX, UNWRITTEN_STUCK_AFTER_MS};

/// Whoever waits looks so often whether it still makes sense.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What begins so is written to the store, or may be. Who quits or changes a nick does not wait.
const RECORDED: [&str; 10] =
    ["PRIVMSG", "NOTICE", "TAGMSG", "REDACT", "JOIN", "PART", "KICK", "TOPIC", "MODE", "RENAME"];

#[derive(Debug)]
pub struct Room {
    /// Messages that wait to be written.
    waiting: AtomicUsize,
    /// What clients have said that becomes messages, as many as it can at most, while the router has yet to hand them over.
    coming: AtomicUsize,
    is_failing: AtomicBool,
    /// Since when the writer has been at what it writes, in milliseconds of `begun`; nothing is 0.
    busy_since_ms: AtomicU64,
    begun: Instant,
    /// How many wait for room.
    crowd: AtomicUsize,
    door: Mutex<()>,
    freed: Condvar,
}

impl Default for Room {
    fn default() -> Room {
        Room {
            waiting: AtomicUsize::new(0),
            coming: AtomicUsize::new(0),
            is_failing: AtomicBool::new(false),
            busy_since_ms: AtomicU64::new(0),
            begun: Instant::now(),
            crowd: AtomicUsize::new(0),
            door: Mutex::new(()),
            freed: Condvar::new(),
        }
    }
}

/// How many messages come of a line of a client's at most.
pub fn weight(line: &str) -> usize {
    let mut rest = line;
    while rest.starts_with(['@', ':']) {
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest.trim_start_matches(' '));
    }
    let (command, params) = rest.split_once(' ').unwrap_or((rest, ""));
    if !RECORDED.iter().any(|name| command.eq_ignore_ascii_case(name)) {
        return 0;
    }
    let targets = params.split_once(" :").map_or(params, |(targets, _)| targets);
    1 + targets.bytes().filter(|byte| *byte == b',').count()
}

impl Room {
    /// For whoever reads from a client, before so many messages go to the router: waits until there is room for them. False
    /// where it came to make no sense meanwhile.
    pub fn enter(&self, messages: usize, is_over: impl Fn() -> bool) -> bool {
        while !self.has_entered(messages) {
            if is_over() {
                return false;
            }
            self.wait();
        }
        true
    }

    fn has_entered(&self, messages: usize) -> bool {
        let before = self.coming.fetch_add(messages, Ordering::SeqCst);
        let may = before + self.waiting() < UNWRITTEN_AT_EASE_MAX || self.takes_nothing();
        if !may {
            self.coming.fetch_sub(messages, Ordering::SeqCst);
        }
        may
    }

    /// For the router: what came of so many has been handed over, or is nothing.
    pub fn taken(&self, messages: usize) {
        if messages > 0 {
            self.coming.fetch_sub(messages, Ordering::SeqCst);
            self.wake();
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub fn add(&self, messages: usize) {
        self.waiting.fetch_add(messages, Ordering::SeqCst);
    }

    // For the writer.

    pub fn begin(&self) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        self.busy_since_ms.store(now_ms.max(1), Ordering::SeqCst);
    }

    /// So many messages are on disk.
    pub fn written(&self, messages: usize) {
        self.busy_since_ms.store(0, Ordering::SeqCst);
        self.is_failing.store(false, Ordering::SeqCst);
        self.waiting.fetch_sub(messages, Ordering::SeqCst);
        self.wake();
    }

    pub fn fail(&self) {
        self.busy_since_ms.store(0, Ordering::SeqCst);
        self.is_failing.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub fn is_crowded(&self) -> bool {
        self.crowd.load(Ordering::SeqCst) > 0
    }

    /// The disk is at fault, or has not answered for so long that it may be.
    fn takes_nothing(&self) -> bool {
        let since_ms = self.busy_since_ms.load(Ordering::SeqCst);
        let now_ms = self.begun.elapsed().as_millis() as u64;
        self.is_failing.load(Ordering::SeqCst) || since_ms > 0 && now_ms > since_ms + UNWRITTEN_STUCK_AFTER_MS
    }

    fn free(&self) -> usize {
        let used = self.waiting() + self.coming.load(Ordering::SeqCst);
        if self.takes_nothing() { usize::MAX } else { UNWRITTEN_AT_EASE_MAX.saturating_sub(used) }
    }

    fn wait(&self) {
        let mut door = self.door.lock();
        self.crowd.fetch_add(1, Ordering::SeqCst);
        if self.free() == 0 {
            self.freed.wait_for(&mut door, LOOK_EVERY);
        }
        self.crowd.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes as many as there may be room for.
    fn wake(&self) {
        let crowd = self.crowd.load(Ordering::SeqCst);
        if crowd > 0 {
            let _door = self.door.lock();
            for _ in 0..self.free().min(crowd) {
                self.freed.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn what_is_recorded_weighs_as_many_messages_as_it_has_targets() {
        for (line, expected) in [
            ("PRIVMSG bob :a, b, c", 1),
            ("privmsg bob,#green :a", 2),
            ("@+typing=active;label=x :ann  TAGMSG #green", 1),
            ("KICK #green ann,bob,cleo :out, all", 3),
            ("JOIN #a,#b", 2),
            ("PRIVMSG", 1),
            ("PING 1,2,3", 0),
            ("QUIT :a,b", 0),
            ("WHO #green", 0),
            ("@", 0),
            (":", 0),
        ] {
            assert_eq!(weight(line), expected, "{line}");
        }
    }

    #[test]
    fn who_talks_waits_while_half_the_room_is_taken_and_is_woken_when_some_is_written() {
        let room = Arc::new(Room::default());
        assert!(room.enter(10, || false));
        room.add(UNWRITTEN_AT_EASE_MAX - 11);
        // What has yet to be handed over counts as well.
        assert!(room.enter(1, || false));
        assert!(!room.enter(1, || true));
        let waits = [1, 2, 3].map(|messages| {
            let room = room.clone();
            thread::spawn(move || room.enter(messages, || false))
        });
        while room.crowd.load(Ordering::SeqCst) < 3 {
            thread::yield_now();
        }
        room.taken(11);
        room.add(11);
        assert!(!room.enter(1, || true), "to be handed over is not to be written");
        room.written(100);
        assert_eq!(waits.map(|wait| wait.join().unwrap()), [true; 3]);
        assert_eq!((room.waiting(), room.coming.load(Ordering::SeqCst)), (UNWRITTEN_AT_EASE_MAX - 100, 6));
    }

    #[test]
    fn a_disk_that_takes_nothing_keeps_nobody_waiting() {
        let room = Room::default();
        room.add(UNWRITTEN_AT_EASE_MAX);
        assert!(!room.enter(1, || true));
        room.fail();
        assert!(room.enter(1, || true));
        room.begin();
        room.written(0);
        assert!(!room.enter(1, || true), "it takes something again");
        room.begin();
        assert!(!room.enter(1, || true));
        let long_ago = Duration::from_millis(UNWRITTEN_STUCK_AFTER_MS + 5);
        let room = Room { begun: Instant::now() - long_ago, ..room };
        room.busy_since_ms.store(1, Ordering::SeqCst);
        assert!(room.enter(1, || true), "it has not answered for long");
    }
}
