//! What was asked of the edge or of another server, and what is to be done with the answer.

use std::collections::BTreeMap;

use super::event::{AskId, ConnId};
use super::turn::Deferred;
use crate::wire::names::{ServerId, UserId};
use crate::wire::numeric::Numeric;

/// A question under way.
#[derive(Debug)]
pub enum Pending {
    /// The server's password, from a client that registers.
    Password { conn: ConnId },
    /// An operator's password; without a class where the name is nobody's.
    Oper { reply: Deferred, name: String, class: Option<String> },
    /// A reread of the config by command.
    Rehash { reply: Deferred },
    /// How long a user has been idle, asked from their own server for a WHOIS; and the nick as it was asked for.
    Idle { reply: Deferred, asked: String, user: UserId, of: ServerId, until_ms: u64 },
    /// A PING of a client's through this server to another.
    Pong { reply: Deferred, token: String, of: ServerId, until_ms: u64 },
    /// A query of another server, and how much of its answer has come.
    Query { reply: Deferred, of: ServerId, answer: Vec<Numeric>, until_ms: u64 },
    /// What went over each connection, asked of the edge.
    Traffic { reply: Deferred },
    /// A call to a peer.
    Dial { place: String },
}

impl Pending {
    /// The server whose answer this waits for, and until when.
    pub fn waits_for(&self) -> Option<(ServerId, u64)> {
        match self {
            Pending::Idle { of, until_ms, .. }
            | Pending::Pong { of, until_ms, .. }
            | Pending::Query { of, until_ms, .. } => Some((*of, *until_ms)),
            _ => None,
        }
    }
}

/// All questions under way.
#[derive(Debug, Default)]
pub struct Asks {
    last: u64,
    open: BTreeMap<AskId, Pending>,
}

impl Asks {
    pub fn open(&mut self, pending: Pending) -> AskId {
        self.last += 1;
        let ask = AskId(self.last);
        self.open.insert(ask, pending);
        ask
    }

    pub fn take(&mut self, ask: AskId) -> Option<Pending> {
        self.open.remove(&ask)
    }

    pub fn get(&self, ask: AskId) -> Option<&Pending> {
        self.open.get(&ask)
    }

    pub fn get_mut(&mut self, ask: AskId) -> Option<&mut Pending> {
        self.open.get_mut(&ask)
    }

    pub fn iter(&self) -> impl Iterator<Item = (AskId, &Pending)> {
        self.open.iter().map(|(ask, pending)| (*ask, pending))
    }
}
