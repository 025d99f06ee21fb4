//! Lines of a client's that wait until what it asked for before has been looked up, so that answers come in the order
//! of the questions.

use std::collections::{BTreeSet, VecDeque};

use super::Engine;
use super::event::{AskId, ConnId};
use crate::wire::line::LineFault;

/// How much of one client may wait. Beyond that nothing waits any more: then answers may cross, but nothing is lost.
const HELD_LINES_MAX: usize = 512;
const HELD_BYTES_MAX: usize = 64 * 1024;

/// How long anything waits at most, whatever became of what it waits for.
pub const HELD_FOR_MS: u64 = 15_000;

/// What waits of one client.
#[derive(Debug, Default)]
pub struct Held {
    /// Questions that are being looked up. An answer that nobody waits for any more ends no wait for another one.
    open: BTreeSet<AskId>,
    /// Since when there is something that is.
    since_ms: u64,
    lines: VecDeque<Result<String, Fault>>,
    bytes: usize,
}

/// As `LineFault`, of a line that is kept.
#[derive(Debug)]
enum Fault {
    TooLong,
    NotUtf8(String),
}

impl Held {
    /// Something is being looked up.
    fn open(&mut self, ask: AskId, now_ms: u64) {
        if self.open.is_empty() {
            self.since_ms = now_ms;
        }
        self.open.insert(ask);
    }

    /// It has been.
    pub fn close(&mut self, ask: AskId) {
        self.open.remove(&ask);
    }

    pub fn must_wait(&self) -> bool {
        !self.open.is_empty()
    }

    /// When it goes on without an answer.
    pub fn late_ms(&self) -> Option<u64> {
        self.must_wait().then_some(self.since_ms + HELD_FOR_MS)
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= HELD_LINES_MAX || self.bytes >= HELD_BYTES_MAX
    }

    fn push(&mut self, line: Result<&str, LineFault>) {
        let line = match line {
            Ok(text) => Ok(text.to_string()),
            Err(LineFault::TooLong) => Err(Fault::TooLong),
            Err(LineFault::NotUtf8(readable)) => Err(Fault::NotUtf8(readable.to_string())),
        };
        self.bytes += bytes_of(&line);
        self.lines.push_back(line);
    }

    fn pop(&mut self) -> Option<Result<String, Fault>> {
        let line = self.lines.pop_front()?;
        self.bytes -= bytes_of(&line);
        Some(line)
    }
}

fn bytes_of(line: &Result<String, Fault>) -> usize {
    match line {
        Ok(text) | Err(Fault::NotUtf8(text)) => text.len(),
        Err(Fault::TooLong) => 0,
    }
}

impl Engine {
    /// Keeps a line for later, if something is being looked up for its client; or else gives it back.
    pub(super) fn hold_line<'l>(
        &mut self,
        conn: ConnId,
        line: Result<&'l str, LineFault<'l>>,
    ) -> Option<Result<&'l str, LineFault<'l>>> {
        let held = self.sessions.get_mut(conn).map(|session| &mut session.held)?;
        if !held.must_wait() && held.lines.is_empty() {
            return Some(line);
        }
        if held.is_full() {
            held.open.clear();
            self.release_lines(conn);
            return self.hold_line(conn, line);
        }
        held.push(line);
        None
    }

    /// From here on what a client says waits for an answer.
    pub(super) fn hold_lines(&mut self, conn: ConnId, ask: AskId) {
        let now_ms = self.now.steady_ms;
        if let Some(session) = self.sessions.get_mut(conn) {
            session.held.open(ask, now_ms);
            // It may not come.
            self.sessions.looks.soon(conn);
        }
    }

    /// Goes on where an answer does not come.
    pub(super) fn release_late_lines(&mut self, due: &[ConnId]) {
        let now_ms = self.now.steady_ms;
        let is_late = |held: &Held| held.late_ms().is_some_and(|late_ms| now_ms >= late_ms);
        let due = due.iter().filter_map(|conn| self.sessions.get(*conn));
        let late = due.filter(|session| is_late(&session.held)).map(|session| session.conn);
        for conn in late.collect::<Vec<ConnId>>() {
            if let Some(session) = self.sessions.get_mut(conn) {
                session.held.open.clear();
            }
            self.release_lines(conn);
        }
    }

    /// Goes on with everything that waits, answered or not: nothing more will come, and what was said was said.
    pub(super) fn release_all_lines(&mut self, conn: ConnId) {
        while let Some(session) = self.sessions.get_mut(conn)
            && !session.held.lines.is_empty()
        {
            session.held.open.clear();
            self.release_lines(conn);
        }
    }

    /// Goes on with the lines that waited, as far as none of them has to wait again.
    pub(super) fn release_lines(&mut self, conn: ConnId) {
        while let Some(session) = self.sessions.get_mut(conn)
            && !session.held.must_wait()
            && let Some(line) = session.held.pop()
        {
            match &line {
                Ok(text) => self.hear_line(conn, Ok(text)),
                Err(Fault::TooLong) => self.hear_line(conn, Err(LineFault::TooLong)),
                Err(Fault::NotUtf8(readable)) => self.hear_line(conn, Err(LineFault::NotUtf8(readable))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_by_lines_and_by_bytes() {
        let mut held = Held::default();
        (0..HELD_LINES_MAX).for_each(|_| held.push(Err(LineFault::TooLong)));
        assert!(held.is_full());
        let mut held = Held::default();
        held.push(Ok(&"x".repeat(HELD_BYTES_MAX)));
        assert!(held.is_full());
        assert!(matches!(held.pop(), Some(Ok(text)) if text.len() == HELD_BYTES_MAX));
        assert_eq!((held.bytes, held.pop().is_none()), (0, true));
    }
}
