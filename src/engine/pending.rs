//! What was asked of the edge or of another server, and what is to be done with the answer.

use std::collections::BTreeMap;

use super::event::{AskId, ConnId};
use super::turn::Deferred;
use crate::wire::names::{ServerId, UserId};

/// A question under way.
#[derive(Debug)]
pub enum Pending {
    /// The server's password, from a client that registers.
    Password { conn: ConnId },
    /// An operator's password.
    Oper { reply: Deferred, name: String, class: String },
    /// A reread of the config by command.
    Rehash { reply: Deferred },
    /// How long a user has been idle, asked from their own server for a WHOIS.
    Idle { reply: Deferred, user: UserId, of: ServerId, until_ms: u64 },
    /// A call to a peer.
    Dial { place: String },
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

    pub fn iter(&self) -> impl Iterator<Item = (AskId, &Pending)> {
        self.open.iter().map(|(ask, pending)| (*ask, pending))
    }
}
