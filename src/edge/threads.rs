//! Threads with names: who runs, what becomes of a panic, and who is still there at the end.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// For threads that do one small thing; with debug assertions frames are larger.
pub const STACK_BYTES: usize = if cfg!(debug_assertions) { 256 << 10 } else { 128 << 10 };
/// For threads of which there are few: the router goes through the whole engine, the keeper through the settings.
pub const ROOMY_STACK_BYTES: usize = 4 << 20;

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

    fn enter(&self, name: String) -> Entry {
        let mut roster = self.0.roster.lock();
        roster.started += 1;
        let number = roster.started;
        roster.names.insert(number, name);
        drop(roster);
        Entry(self.0.clone(), number)
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
    use std::time::Duration;

    use super::*;

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
