//! Threads with names: who runs, what becomes of a panic, and who is still there at the end.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// For threads that do one small thing; with debug assertions frames are larger.
pub const STACK_BYTES: usize = if cfg!(debug_assertions) { 256 << 10 } else { 128 << 10 };
/// For threads of which there are few: the router goes through the whole engine, the keeper through the settings.
pub const ROOMY_STACK_BYTES: usize = 4 << 20;

/// How nice threads are whose work others need not wait for: beside one that is not, they get a tenth of a processor.
const NICE: i32 = 10;

/// Lets others that want the processor have it before the thread that calls this, from now on: for work that takes long,
/// and that people hardly wait for.
pub fn give_way() {
    // Of the calling thread alone, on Linux.
    if let Err(why) = rustix::process::setpriority_process(None, NICE) {
        log::debug!(target: "folkmoot::server", "a thread cannot be made nicer: {why}");
    }
}

/// A group of threads that can be waited for together.
#[derive(Clone, Default)]
pub struct Threads(Arc<Inner>);

#[derive(Default)]
struct Inner {
    roster: Mutex<Roster>,
    someone_left: Condvar,
}

#[derive(Default)]
struct Roster {
    started: u64,
    names: BTreeMap<u64, String>,
}

/// Takes a thread's name off the roster, however the thread ends.
struct Entry(Arc<Inner>, u64);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.roster.lock().names.remove(&self.1);
        self.0.someone_left.notify_all();
    }
}

impl Threads {
    /// Starts a thread that bears this name in stack dumps. A panic ends it, and nothing else.
    pub fn spawn(
        &self,
        name: String,
        stack_bytes: usize,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let entry = self.enter(name.clone());
        thread::Builder::new().name(name).stack_size(stack_bytes).spawn(move || {
            let _entry = entry;
            work();
        })?;
        Ok(())
    }

    /// Starts a thread without which the server is none: a panic in it ends the process.
    pub fn spawn_vital(
        &self,
        name: &str,
        stack_bytes: usize,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        let told = name.to_string();
        self.spawn(name.to_string(), stack_bytes, move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                give_up(&format!("{told} failed: {}", panic_text(&*panic)));
            }
        })
        .map_err(|why| format!("cannot start the thread \"{name}\": {why}"))
    }

    /// Waits until all have ended, or until the deadline; returns the names of those that have not.
    pub fn wait(&self, deadline: Instant) -> Vec<String> {
        let mut roster = self.0.roster.lock();
        while !roster.names.is_empty() {
            if self.0.someone_left.wait_until(&mut roster, deadline).timed_out() {
                break;
            }
        }
        roster.names.values().cloned().collect()
    }

    /// The same for many, of whom each may take so long after the one before: a busy machine needs its time for
    /// thousands of them. Returns the names of those that have not ended by then.
    pub fn wait_as_they_leave(&self, each: Duration, all: Duration) -> Vec<String> {
        let mut roster = self.0.roster.lock();
        let mut patience = Patience::new(Instant::now(), each, all, roster.names.len());
        while !roster.names.is_empty() {
            if self.0.someone_left.wait_until(&mut roster, patience.deadline).timed_out() {
                break;
            }
            patience.see(Instant::now(), roster.names.len());
        }
        roster.names.values().cloned().collect()
    }

    fn enter(&self, name: String) -> Entry {
        let mut roster = self.0.roster.lock();
        roster.started += 1;
        let number = roster.started;
        roster.names.insert(number, name);
        drop(roster);
        Entry(self.0.clone(), number)
    }
}

/// Until when somebody is waited for: longer with each who leaves, but not for ever.
struct Patience {
    each: Duration,
    end: Instant,
    deadline: Instant,
    left: usize,
}

impl Patience {
    fn new(now: Instant, each: Duration, all: Duration, left: usize) -> Patience {
        Patience { each, end: now + all, deadline: now + each.min(all), left }
    }

    fn see(&mut self, now: Instant, left: usize) {
        if left < self.left {
            self.left = left;
            self.deadline = self.end.min(now + self.each);
        }
    }
}

/// A bug that leaves nothing to go on with: the process ends, so that whoever watches over it starts it anew.
pub fn give_up(text: &str) -> ! {
    log::error!(target: "folkmoot::server", "{text}");
    std::process::exit(1);
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_long_as_some_leave_the_others_are_waited_for_but_not_for_ever() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut patience = Patience::new(start, Duration::from_secs(2), Duration::from_secs(5), 100);
        for (seconds, left, deadline) in
            [(0, 100, 2), (1, 99, 3), (2, 99, 3), (3, 40, 5), (4, 39, 5), (5, 38, 5), (6, 1, 5)]
        {
            patience.see(after(seconds), left);
            assert_eq!(patience.deadline, after(deadline), "{left} left after {seconds} s");
        }
    }

    #[test]
    fn who_is_waited_for_as_they_leave_is_gone_or_named() {
        let threads = Threads::default();
        let (hold, held) = crossbeam_channel::bounded::<()>(0);
        (1..=100).for_each(|number| threads.spawn(format!("client {number}"), STACK_BYTES, || {}).unwrap());
        threads
            .spawn("client 101".into(), STACK_BYTES, move || {
                let _ = held.recv();
            })
            .unwrap();
        assert!(
            threads.wait_as_they_leave(Duration::ZERO, Duration::ZERO).contains(&"client 101".to_string())
        );
        drop(hold);
        let minute = Duration::from_secs(60);
        assert_eq!(threads.wait_as_they_leave(minute, minute), [""; 0]);
    }

    #[test]
    fn those_who_stay_are_named_and_those_who_panic_are_gone() {
        let threads = Threads::default();
        let (hold, held) = crossbeam_channel::bounded::<()>(0);
        threads.spawn("client 1".into(), STACK_BYTES, || panic!("for the test")).unwrap();
        threads
            .spawn("client 2".into(), STACK_BYTES, move || {
                let _ = held.recv();
            })
            .unwrap();
        let soon = || Instant::now() + Duration::from_millis(200);
        assert_eq!(threads.wait(soon()), ["client 2"]);
        drop(hold);
        assert!(threads.wait(Instant::now() + Duration::from_secs(10)).is_empty());
    }
}
