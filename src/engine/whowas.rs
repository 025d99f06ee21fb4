//! Who was here under which nick, for WHOWAS and for nobody else.

use std::collections::VecDeque;

use super::network::{Quit, User};
use crate::wire::fold::fold;
use crate::wire::time::Timestamp;

/// Those who were here under a nick, the latest first.
#[derive(Debug, Default)]
pub struct Whowas {
    known: VecDeque<Was>,
}

/// Somebody who was here under a nick.
#[derive(Clone, Debug)]
pub struct Was {
    pub nick: String,
    pub username: String,
    pub host: String,
    /// What the host may have hidden; for operators.
    pub address: String,
    pub realname: String,
    pub server: String,
    pub until: Timestamp,
}

/// How many are remembered.
const WHOWAS_MAX: usize = 2_000;

impl Whowas {
    pub fn add(&mut self, was: Was) {
        self.known.push_front(was);
        self.known.truncate(WHOWAS_MAX);
    }

    pub fn called(&self, nick: &str) -> impl Iterator<Item = &Was> {
        let nick = fold(nick);
        self.known.iter().filter(move |was| fold(&was.nick) == nick)
    }
}

impl Was {
    pub fn from_quit(quit: &Quit, server: &str, until: Timestamp) -> Was {
        Was {
            nick: quit.nick.to_string(),
            username: quit.username.clone(),
            host: quit.host.clone(),
            address: quit.address.clone(),
            realname: quit.realname.clone(),
            server: server.to_string(),
            until,
        }
    }

    pub fn from_user(user: &User, nick: &str, server: &str, until: Timestamp) -> Was {
        Was {
            nick: nick.to_string(),
            username: user.fact.username.clone(),
            host: user.fact.host.clone(),
            address: user.fact.address.clone(),
            realname: user.fact.realname.clone(),
            server: server.to_string(),
            until,
        }
    }
}
