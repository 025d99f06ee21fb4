//! What people may ask of any server on the network: answered here, or there and carried back.

use super::Engine;
use super::peer::Request;
use super::pending::Pending;
use super::turn::{Outcome, Refusal, Turn};
use crate::wire::mask::glob_matches;
use crate::wire::names::{ServerId, Word};
use crate::wire::numeric::{self, Numeric};

/// One question and how any server answers it; `subject` is what it is about, where it needs one.
pub struct Query {
    pub name: &'static str,
    pub answer: fn(&Engine, subject: &str) -> Vec<Numeric>,
}

/// How long another server may take.
const ANSWER_WITHIN_MS: u64 = 10_000;

/// No answer is longer.
pub const ANSWER_LINES_MAX: usize = 1_000;

impl Turn<'_> {
    /// Has a query answered by the server that is named, or that the person named is on; by this one
    /// where nobody is.
    pub fn query(&mut self, query: &Query, subject: &str, at: Option<&str>) -> Outcome {
        let of = self.server_meant(at)?;
        if of == self.server_id() {
            let answer = (query.answer)(self.engine, subject);
            self.reply_all(answer);
            return Ok(());
        }
        let until_ms = self.now.steady_ms + ANSWER_WITHIN_MS;
        let reply = self.defer();
        let ask = self.ask(Pending::Query { reply, of, answer: Vec::new(), until_ms });
        self.request(of, Request::Query { ask, name: query.name.to_string(), subject: subject.to_string() });
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
    pub fn query_answered(&mut self, of: ServerId, answer: Vec<Numeric>) {
        let server = self.network().server_name(of).to_string();
        let nick = self.user().nick.to_string();
        for numeric in answer {
            self.say(numeric.line(&server, &nick));
        }
    }
}
