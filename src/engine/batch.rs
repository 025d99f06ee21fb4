//! Batches that clients send: the lines of one message, held back until all of it is there, or given up as a whole.

use std::collections::VecDeque;

use super::Engine;
use super::event::ConnId;
use super::network::Text;
use super::session::Stage;
use super::turn::Turn;
use crate::wire::fold::fold;
use crate::wire::message::Message;
use crate::wire::names::Word;
use crate::wire::standard::Standard;

/// How long nothing may come of a message whose end is missing. Longer than anybody is slowed down between two lines.
const BATCH_WITHIN_MS: u64 = 30_000;

/// How many batches that were given up are remembered, so that what still comes of them is passed over in silence.
const GIVEN_UP_MAX: usize = 8;

/// What may be said between the lines of a batch: clients say these by themselves.
const HARMLESS: &[&str] = &["PING", "PONG", "QUIT"];

/// What one client has sent of batches.
#[derive(Debug, Default)]
pub struct Batches {
    open: Option<OpenBatch>,
    given_up: VecDeque<String>,
}

/// A message of which more is to come.
#[derive(Debug)]
pub struct OpenBatch {
    pub reference: String,
    /// As it was written; lines may write it otherwise.
    pub target: String,
    pub label: Option<String>,
    pub client_tags: Vec<(String, String)>,
    pub text: Text,
    lines: usize,
    heard_ms: u64,
}

impl Batches {
    /// When its end is missed.
    pub fn late_ms(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.heard_ms + BATCH_WITHIN_MS)
    }

    fn give_up(&mut self, reference: String) {
        self.given_up.push_back(reference);
        if self.given_up.len() > GIVEN_UP_MAX {
            self.given_up.pop_front();
        }
    }

    fn is_open(&self, reference: &str) -> bool {
        self.open.as_ref().is_some_and(|open| open.reference == reference)
    }

    fn is_given_up(&self, reference: &str) -> bool {
        self.given_up.iter().any(|known| known == reference)
    }
}

/// Why there will be no message.
fn invalid(why: &str) -> Standard {
    Standard::fail("BATCH", "MULTILINE_INVALID", why)
}

impl Turn<'_> {
    /// Takes in a line that belongs to a batch. What does not, and comes all the same while one is open, ends it:
    /// nobody could say in which order they were meant.
    pub(super) fn take_batched(&mut self, message: &Message) -> bool {
        if !self.session().wants_multiline() || self.session().user().is_none() {
            return false;
        }
        let is_command = |name: &&str| message.command.eq_ignore_ascii_case(name);
        let Some(reference) = message.tags.get("batch") else {
            if !HARMLESS.iter().chain(&["BATCH"]).any(is_command) {
                self.give_up_batch(invalid("Something else was said before the end of it"));
            }
            return false;
        };
        let batches = &self.session().batches;
        if batches.is_open(&reference) {
            if let Err(why) = self.add_line(message) {
                self.give_up_batch(why);
            }
        } else if !batches.is_given_up(&reference) {
            self.fail(invalid("There is no such batch"));
        }
        true
    }

    fn add_line(&mut self, message: &Message) -> Result<(), Standard> {
        let (bytes_max, lines_max) = (self.config().talk.multiline_bytes, self.config().talk.multiline_lines);
        let now_ms = self.now.steady_ms;
        let is_joined = message.tags.get("draft/multiline-concat").is_some();
        let Some(open) = &mut self.session_mut().batches.open else { return Ok(()) };
        let [target, text, ..] = message.params[..] else {
            return Err(invalid("A line of it was without text"));
        };
        if !message.command.eq_ignore_ascii_case("PRIVMSG") {
            return Err(invalid("Only PRIVMSG can be part of it"));
        }
        if message.tags.iter().any(|(key, _)| key.starts_with('+')) {
            return Err(invalid("Its tags belong to the BATCH that begins it"));
        }
        if fold(target) != fold(&open.target) {
            let text = "All of it goes to one target";
            let fail = Standard::fail("BATCH", "MULTILINE_INVALID_TARGET", text);
            return Err(fail.about(Word::echo(&open.target)).about(Word::echo(target)));
        }
        if is_joined && text.is_empty() {
            return Err(invalid("A blank line continues nothing"));
        }
        open.text.add(text, is_joined, open.lines == 0);
        open.lines += 1;
        open.heard_ms = now_ms;
        if open.lines > lines_max {
            let fail = Standard::fail("BATCH", "MULTILINE_MAX_LINES", "The message has too many lines");
            return Err(fail.about(Word::echo(&lines_max.to_string())));
        }
        if open.text.text.len() > bytes_max {
            let fail = Standard::fail("BATCH", "MULTILINE_MAX_BYTES", "The message is too long");
            return Err(fail.about(Word::echo(&bytes_max.to_string())));
        }
        Ok(())
    }

    /// What comes of a batch that could not begin is passed over, along with what was open.
    pub fn ignore_batch(&mut self, reference: &str) {
        self.give_up_batch(invalid("Another one began before the end of it"));
        self.session_mut().batches.give_up(reference.to_string());
    }

    /// Begins a batch; its answer, and so its label, waits for the end of it.
    pub fn open_batch(&mut self, reference: &str, target: &str) -> Result<(), Standard> {
        if self.session().batches.open.is_some() {
            self.ignore_batch(reference);
            return Err(invalid("A batch begins when the one before it has ended"));
        }
        if target.is_empty() || target.contains(',') || target.starts_with('$') {
            self.ignore_batch(reference);
            return Err(invalid("Such a message goes to one channel or to one person"));
        }
        let open = OpenBatch {
            reference: reference.to_string(),
            target: target.to_string(),
            label: self.label.take(),
            client_tags: std::mem::take(&mut self.client_tags),
            text: Text::default(),
            lines: 0,
            heard_ms: self.now.steady_ms,
        };
        let batches = &mut self.session_mut().batches;
        batches.given_up.retain(|known| known != reference);
        batches.open = Some(open);
        let conn = self.conn;
        self.engine.sessions.looks.soon(conn);
        Ok(())
    }

    /// Ends a batch, and gives what came of it; `None` where it was given up before.
    pub fn close_batch(&mut self, reference: &str) -> Result<Option<OpenBatch>, Standard> {
        let batches = &mut self.session_mut().batches;
        if !batches.is_open(reference) {
            return if batches.is_given_up(reference) {
                Ok(None)
            } else {
                Err(invalid("There is no such batch"))
            };
        }
        let Some(open) = batches.open.take() else { return Ok(None) };
        // The answer has the label that the batch began with; another one on its end has an answer to itself.
        if open.label.is_some() {
            let own = self.label.take();
            self.engine.finish_turn(self.conn, own);
            self.label.clone_from(&open.label);
        }
        if open.text.text.chars().all(|c| c == '\n') {
            return Err(invalid("There is nothing in it"));
        }
        Ok(Some(open))
    }

    /// Nothing comes of the batch that is open, if one is: neither of what has come of it, nor of the rest.
    pub(super) fn give_up_batch(&mut self, why: Standard) {
        let conn = self.conn;
        let batches = &mut self.session_mut().batches;
        let Some(open) = batches.open.take() else { return };
        batches.give_up(open.reference);
        self.fail(why);
        self.engine.finish_turn(conn, open.label);
    }
}

impl Engine {
    /// Gives up messages whose end does not come.
    pub(super) fn check_batches(&mut self, due: &[ConnId]) {
        let now_ms = self.now.steady_ms;
        let late = due.iter().filter_map(|conn| self.sessions.get(*conn)).filter_map(|session| {
            let is_late = session.batches.late_ms().is_some_and(|late_ms| now_ms >= late_ms)
                && matches!(session.stage, Stage::Registered(_));
            let open = session.batches.open.as_ref().filter(|_| is_late)?;
            Some((session.conn, open.reference.clone()))
        });
        for (conn, reference) in late.collect::<Vec<(ConnId, String)>>() {
            let why = Standard::fail("BATCH", "TIMEOUT", "The end of the message did not come in time");
            self.flush_outgoing();
            Turn::new(self, conn).give_up_batch(why.about(Word::echo(&reference)));
        }
    }
}
