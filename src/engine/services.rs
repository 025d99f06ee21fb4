//! Services: the names that people know from other networks, under which the server itself answers in words.

use super::turn::{Outcome, Refusal, Turn};
use crate::wire::fold::fold;

/// Names that nobody is called: people would take them for the network's own.
const RESERVED: &[&str] = &[
    "authserv", "botserv", "chanserv", "histserv", "hostserv", "memoserv", "nickserv", "operserv",
    "saslserv", "services",
];

/// Who answers on accounts.
pub const NICKSERV: &str = "NickServ";

/// Who answers on channels.
pub const CHANSERV: &str = "ChanServ";

/// One name, and what can be said to it.
pub struct Service {
    pub name: &'static str,
    pub words: &'static [&'static [ServiceWord]],
}

/// One thing that can be said to a service.
pub struct ServiceWord {
    pub word: &'static str,
    /// What other services call it.
    pub aliases: &'static [&'static str],
    pub params_min: usize,
    pub who: For,
    pub run: fn(&mut Turn, &[&str]) -> Outcome,
    pub usage: &'static str,
    pub help: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum For {
    Anyone,
    LoggedIn,
    /// Operators with the right `accounts`.
    Staff,
}

impl Service {
    /// All that the speaker may say to it.
    pub fn words_for<'t>(&self, turn: &'t Turn) -> impl Iterator<Item = &'static ServiceWord> + use<'t, '_> {
        let is_for = |word: &&ServiceWord| word.who != For::Staff || turn.has_right("accounts");
        self.words.iter().copied().flatten().filter(is_for)
    }
}

pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&fold(name).as_str())
}

impl Turn<'_> {
    /// Takes what somebody says to a service, and answers in words whatever comes of it.
    pub fn tell_service(&mut self, service: &Service, text: &str) {
        let mut params = text.split_ascii_whitespace();
        let name = params.next().unwrap_or("HELP");
        let params: Vec<&str> = params.collect();
        let is_called = |word: &&ServiceWord| {
            let mut names = word.aliases.iter().chain([&word.word]);
            names.any(|known| known.eq_ignore_ascii_case(name))
        };
        let Some(word) = service.words_for(self).find(is_called) else {
            // What was said is not said again: it may hold a password in the wrong place.
            let text = "That is nothing that can be said here. HELP tells what can.";
            return self.notice_by(service.name, text);
        };
        if word.who == For::LoggedIn && self.account().is_none() {
            return self.notice_by(service.name, "You are not logged in.");
        }
        if params.len() < word.params_min {
            return self.notice_by(service.name, &format!("It is written {}", word.usage));
        }
        if let Err(refusal) = (word.run)(self, &params) {
            self.refuse_by(service.name, refusal);
        }
    }

    /// Says no in the words of a service, whatever it would be to those who know more.
    pub fn refuse_by(&mut self, service: &str, refusal: Refusal) {
        match refusal {
            Refusal::Standard(standard) => self.notice_by(service, &format!("{}.", standard.text)),
            Refusal::Numeric(numeric) => self.reply(numeric),
        }
    }

    /// What a service says to the speaker.
    pub fn notice_by(&mut self, service: &str, text: &str) {
        let server = self.server_name();
        self.say(format!(":{service}!{service}@{server} NOTICE {} :{text}", self.called()));
    }
}
