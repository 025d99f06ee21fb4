//! How far a run has come, for those who watch it on a terminal.

use std::cell::RefCell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// One bar, reused for each step; nothing where stderr is no terminal.
pub struct Progress {
    run: String,
    bar: RefCell<ProgressBar>,
}

impl Progress {
    /// `run` stands in front of everything: what is measured, on which server.
    pub fn new(run: String) -> Progress {
        Progress { run, bar: RefCell::new(ProgressBar::hidden()) }
    }

    pub fn begin(&self, step: &str, total: u64) {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {human_pos}/{human_len} {elapsed}")
            .expect("a template without faults");
        let bar = ProgressBar::new(total).with_style(style).with_message(format!("{}: {step}", self.run));
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar.replace(bar).finish_and_clear();
    }

    pub fn at(&self, done: u64) {
        self.bar.borrow().set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.borrow().finish_and_clear();
    }
}
