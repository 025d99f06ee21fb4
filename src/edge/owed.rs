//! What goes to many and has yet to be queued for some of them, so that nobody else waits until it has been for all.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::ConnId;

/// Lines, each with those who have yet to get it. Whoever is sent anything else gets what they are owed first
/// (`take_of`), so that everyone hears everything in the order in which it was said.
#[derive(Default)]
pub struct Owed {
    /// The oldest first, and none that nobody waits for.
    fanouts: VecDeque<Fanout>,
    /// How many of all of them have yet to get theirs.
    waiting: usize,
    /// Somebody who is owed nothing: of a long answer all lines are for one.
    is_even: Option<ConnId>,
}

struct Fanout {
    to: Vec<ConnId>,
    line: Arc<str>,
}

impl Owed {
    pub fn is_empty(&self) -> bool {
        self.fanouts.is_empty()
    }

    /// How many lines are yet to be queued, each for one connection.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    pub fn push(&mut self, to: Vec<ConnId>, line: Arc<str>) {
        if !to.is_empty() {
            self.is_even = None;
            self.waiting += to.len();
            self.fanouts.push_back(Fanout { to, line });
        }
    }

    /// The next of those who are owed the oldest line, and the line.
    pub fn next(&mut self) -> Option<(ConnId, Arc<str>)> {
        let oldest = self.fanouts.front_mut()?;
        let conn = oldest.to.pop().expect("one that nobody waits for is not kept");
        self.waiting -= 1;
        let line = oldest.line.clone();
        if oldest.to.is_empty() {
            self.fanouts.pop_front();
        }
        Some((conn, line))
    }

    /// All that one of them is owed, the oldest first.
    pub fn take_of(&mut self, conn: ConnId) -> Vec<Arc<str>> {
        if self.fanouts.is_empty() || self.is_even == Some(conn) {
            return Vec::new();
        }
        self.is_even = Some(conn);
        let mut lines = Vec::new();
        for fanout in &mut self.fanouts {
            if let Some(place) = fanout.to.iter().position(|other| *other == conn) {
                // In which order others get one line is nobody's to see.
                fanout.to.swap_remove(place);
                lines.push(fanout.line.clone());
            }
        }
        self.waiting -= lines.len();
        if !lines.is_empty() {
            self.fanouts.retain(|fanout| !fanout.to.is_empty());
        }
        lines
    }
}
