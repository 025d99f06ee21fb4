//! What people may ask of any server on the network: answered here, or there and carried back.

use super::Engine;
use super::effect::Effect;
use super::elsewhere::ANSWER_WITHIN_MS;
use super::event::Traffic;
use super::peer::Request;
use super::pending::{Asker, Pending, Then};
use super::turn::{Outcome, Refusal, Turn};
use crate::wire::mask::glob_matches;
use crate::wire::names::{ServerId, Word};
use crate::wire::numeric::{self, Numeric};

/// One question and how any server answers it; `subject` is what it is about, where it needs one.
pub struct Query {
    pub name: &'static str,
    pub answer: fn(&Engine, subject: &str) -> Answer,
}

/// What a server knows, or how it puts what it has to measure first.
pub enum Answer {
    Known(Vec<Numeric>),
    Measured(fn(&Engine, &[Traffic]) -> Vec<Numeric>),
}

impl From<Vec<Numeric>> for Answer {
    fn from(lines: Vec<Numeric>) -> Answer {
        Answer::Known(lines)
    }
}

/// No answer is longer.
pub const ANSWER_LINES_MAX: usize = 1_000;

impl Turn<'_> {
    /// Has a query answered by the server that is named, or that the person named is on; by this one
    /// where nobody is.
    pub fn query(&mut self, query: &Query, subject: &str, at: Option<&str>) -> Outcome {
        let of = self.server_meant(at)?;
        if of == self.server_id() {
            match (query.answer)(self.engine, subject) {
                Answer::Known(answer) => {
                    let is_isupport = |numeric: &Numeric| numeric.code == 5;
                    let (isupport, answer): (Vec<_>, Vec<_>) = answer.into_iter().partition(is_isupport);
                    self.reply_all(answer);
                    self.engine.say_isupport(self.conn, &isupport);
                }
                Answer::Measured(read) => {
                    let reply = self.defer();
                    self.engine.measure(Asker::Here(reply), read);
                }
            }
            return Ok(());
        }
        let reply = self.defer();
        let request = Request::Query { name: query.name.to_string(), subject: subject.to_string() };
        let then = Then::Query { reply, command: query.name, answer: Vec::new() };
        self.engine.ask_server(of, ANSWER_WITHIN_MS, request, then);
        Ok(())
    }

    /// The server that is named, or that a mask fits, or that the person named is on. Where several fit,
    /// this one comes first.
    pub fn server_meant(&self, at: Option<&str>) -> Result<ServerId, Refusal> {
        let Some(name) = at.filter(|name| !name.is_empty()) else { return Ok(self.server_id()) };
        let by_name = self.network().server_called(name).map(|server| server.id);
        let by_mask = || {
            let fitting = self.network().servers().filter(|server| glob_matches(name, &server.fact.name));
            fitting.map(|server| server.id).min_by_key(|id| (*id != self.server_id(), *id))
        };
        let by_nick = || self.network().user_called(name).map(|user| user.server());
        by_name
            .or_else(by_mask)
            .or_else(by_nick)
            .ok_or_else(|| numeric::no_such_server(Word::echo(name)).into())
    }

    /// What another server answered, in its name.
    pub fn answered_by(&mut self, of: ServerId, answer: Vec<Numeric>) {
        let server = self.network().server_name(of).to_string();
        let nick = self.user().nick.to_string();
        for numeric in answer {
            self.say_numeric(numeric.line(&server, &nick));
        }
    }
}

impl Engine {
    /// Answers what another server asks for one of its users.
    pub(super) fn answer_query(&mut self, query: &Query, subject: &str, asker: Asker) {
        match (query.answer)(self, subject) {
            Answer::Known(lines) => self.give_answer(asker, lines),
            Answer::Measured(read) => self.measure(asker, read),
        }
    }

    fn measure(&mut self, asker: Asker, read: fn(&Engine, &[Traffic]) -> Vec<Numeric>) {
        let ask = self.ask(Pending::Traffic { asker, read });
        self.effects.push(Effect::Measure { ask });
    }

    /// Says what was asked for to whom it was that asked.
    pub(super) fn give_answer(&mut self, asker: Asker, lines: Vec<Numeric>) {
        match asker {
            Asker::Here(reply) => self.resume(reply, |turn| {
                turn.reply_all(lines);
                Ok(())
            }),
            Asker::There { origin, ask } => self.send_answer(origin, ask, &lines),
        }
    }
}
