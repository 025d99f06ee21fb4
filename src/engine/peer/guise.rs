//! What else somebody may be shown as, by an operator's wish: how it travels, and how it is put on.

use std::fmt;

use crate::engine::Engine;
use crate::engine::network::UserFact;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::{Draft, cut};
use crate::wire::names::{ServerId, UserId, is_shown_host, is_username};
use crate::wire::numeric;

/// One part of what is shown of somebody.
#[derive(Clone, Debug, PartialEq)]
pub enum Guise {
    Host(String),
    Username(String),
    Realname(String),
}

impl Guise {
    /// As people call it.
    pub fn what(&self) -> &'static str {
        match self {
            Guise::Host(_) => "host",
            Guise::Username(_) => "user name",
            Guise::Realname(_) => "real name",
        }
    }

    pub fn write(&self, draft: Draft, user: UserId, by: &str) -> Draft {
        let (name, value) = match self {
            Guise::Host(host) => ("HOST", host),
            Guise::Username(username) => ("USERNAME", username),
            Guise::Realname(realname) => ("REALNAME", realname),
        };
        draft.param(name).param(user).param(by).trailing(value)
    }

    pub fn read(name: &str, value: &str) -> Option<Guise> {
        match name {
            "HOST" => is_shown_host(value).then(|| Guise::Host(value.to_string())),
            "USERNAME" => is_username(value).then(|| Guise::Username(value.to_string())),
            "REALNAME" => Some(Guise::Realname(value.to_string())),
            _ => None,
        }
    }

    fn put_on(self, fact: &mut UserFact) {
        match self {
            // Not theirs, so they are cloaked by it: -x takes it off again.
            Guise::Host(host) => {
                fact.host = host;
                fact.modes = fact.modes.with('x');
            }
            Guise::Username(username) => fact.username = username,
            Guise::Realname(realname) => fact.realname = realname,
        }
    }
}

impl fmt::Display for Guise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Guise::Host(text) | Guise::Username(text) | Guise::Realname(text)) = self;
        f.write_str(text)
    }
}

impl Engine {
    pub(super) fn put_on(&mut self, from: ServerId, user: UserId, guise: Guise, by: &str) -> Outcome {
        self.sessions.person(user).ok_or_else(|| numeric::no_such_nick(user))?;
        let limits = &self.config.limits;
        // The limits that count are those of the user's own server.
        let guise = match guise {
            Guise::Username(username) if username.len() > limits.username_length => {
                return Err(numeric::invalid_username().into());
            }
            Guise::Realname(realname) => Guise::Realname(cut(&realname, limits.realname_length).to_string()),
            guise => guise,
        };
        let whom = self.network.user(user).map_or(user.to_string(), |user| user.prefix());
        let what = format!("{by} has {whom} shown with the {} {guise}", guise.what());
        self.record_forced(from, 'v', &what, None);
        match self.conn_of(user) {
            Ok(conn) => Turn::new(self, conn).change_me(|fact| guise.put_on(fact)),
            Err(_) => self.rewrite_user(user, |fact| guise.put_on(fact)),
        }
        Ok(())
    }
}
