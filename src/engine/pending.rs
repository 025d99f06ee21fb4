//! What was asked of the edge or of another server, and what is to be done with the answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Engine;
use super::chronicle;
use super::event::{AskId, ConnId, Traffic};
use super::logins::{Attempt, NewPassword};
use super::merge::Origin;
use super::network::{AccountId, Message};
use super::outgoing::Spoken;
use super::peer::Request;
use super::slices::Slices;
use super::turn::Deferred;
use crate::wire::names::{ServerId, UserId, Word};
use crate::wire::numeric::Numeric;

/// A question under way.
#[derive(Debug)]
pub enum Pending {
    /// The server's password, from a client that registers.
    Password { reply: Deferred },
    /// A gateway's password, and whom it brings.
    Webirc { conn: ConnId, arrival: Arrival },
    /// Whether there is room for somebody whom a gateway brings.
    Arriving { conn: ConnId, arrival: Arrival },
    /// An operator's password; without a class where the name is nobody's.
    Oper { reply: Deferred, name: String, class: Option<String> },
    /// A password for this account; nothing where the name is nobody's.
    Login { account: Option<AccountId>, attempt: Attempt },
    /// A token, and whom it is to be good for, if they said.
    Token { authorize: String, attempt: Attempt },
    /// A new password, and what for.
    NewPassword(NewPassword),
    /// A reread of the config by command.
    Rehash { reply: Deferred },
    /// Something that only another server knows, or may do.
    Elsewhere(Elsewhere),
    /// What went over each connection, asked of the edge, and how that reads.
    Traffic { asker: Asker, read: fn(&Engine, &[Traffic]) -> Vec<Numeric> },
    /// What was said, asked of the store for a client.
    Recall { reply: Deferred, holds: bool, then: chronicle::Then },
    /// The same for a neighbour that missed it, up to where memory began then.
    Retell { conn: ConnId, floor: u64 },
    /// More of a long answer.
    Slices(Slices),
    /// More people of servers that have come into sight, or gone out of it.
    Tide,
    /// A call to a peer.
    Dial { place: String },
}

/// Somebody whom a gateway brings.
#[derive(Debug)]
pub struct Arrival {
    pub address: SocketAddr,
    pub name: Option<String>,
    /// Whether their own connection to the gateway is encrypted.
    pub is_secure: bool,
    /// What the settings call it.
    pub gateway: String,
}

/// A request to another server, until that has answered or can no longer be expected to.
#[derive(Debug)]
pub struct Elsewhere {
    pub of: ServerId,
    /// Kept, so that it can be said again where it or its answer was lost on the way.
    pub request: Request,
    pub until_ms: u64,
    /// When it is said again, and how long that wait is.
    pub again_ms: u64,
    pub wait_ms: u64,
    pub then: Then,
}

/// What is done with another server's answer.
#[derive(Debug)]
pub enum Then {
    /// It was all the same to whoever asked.
    Nothing,
    /// A WHOIS goes on with how long a user has been idle; `asked` is the nick as it was asked for.
    Whois { reply: Deferred, asked: String, user: UserId },
    /// Somebody's home has said whether it takes a client in.
    Guest { conn: ConnId },
    /// A PING of a client's has come through.
    Pong { reply: Deferred, token: String },
    /// A query is answered, line by line.
    Query { reply: Deferred, command: &'static str, answer: Vec<Numeric> },
    /// An act is done; what is then said to the person who asked for it, and what they called whom it was about.
    Act { line: LineId, command: &'static str, named: Word, done: Vec<Reply> },
}

/// Whom an answer is for: somebody here, or another server for somebody there.
#[derive(Clone, Debug)]
pub enum Asker {
    Here(Deferred),
    There { origin: Origin, ask: AskId },
}

/// Something to be said to the person who gave a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Numeric(Numeric),
    Notice(String),
    /// What they said is heard now.
    Message(Message),
}

/// A line of a client's with acts that other servers have yet to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineId(u64);

/// One label has one response, so whatever answers a line waits until all of it is there.
#[derive(Debug)]
pub struct OpenLine {
    pub reply: Deferred,
    pub replies: Vec<Spoken>,
    /// How many acts are yet to be answered.
    pub acts: usize,
}

/// All questions under way.
#[derive(Debug, Default)]
pub struct Asks {
    last: u64,
    last_line: u64,
    open: BTreeMap<AskId, Pending>,
    lines: BTreeMap<LineId, OpenLine>,
}

impl Asks {
    pub fn open(&mut self, pending: Pending) -> AskId {
        self.last += 1;
        let ask = AskId(self.last);
        self.open.insert(ask, pending);
        ask
    }

    /// Where one answer was not all of it.
    pub fn put_back(&mut self, ask: AskId, pending: Pending) {
        self.open.insert(ask, pending);
    }

    pub fn take(&mut self, ask: AskId) -> Option<Pending> {
        self.open.remove(&ask)
    }

    /// A request to this server, and to no other.
    pub fn elsewhere(&mut self, ask: AskId, of: ServerId) -> Option<&mut Elsewhere> {
        match self.open.get_mut(&ask) {
            Some(Pending::Elsewhere(elsewhere)) if elsewhere.of == of => Some(elsewhere),
            _ => None,
        }
    }

    pub fn all_elsewhere(&mut self) -> impl Iterator<Item = (AskId, &mut Elsewhere)> {
        self.open.iter_mut().filter_map(|(ask, pending)| match pending {
            Pending::Elsewhere(elsewhere) => Some((*ask, elsewhere)),
            _ => None,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (AskId, &Pending)> {
        self.open.iter().map(|(ask, pending)| (*ask, pending))
    }

    pub fn open_line(&mut self, conn: ConnId) -> LineId {
        self.last_line += 1;
        let line = LineId(self.last_line);
        let reply = Deferred { conn, label: None };
        self.lines.insert(line, OpenLine { reply, replies: Vec::new(), acts: 0 });
        line
    }

    pub fn line(&mut self, line: LineId) -> Option<&mut OpenLine> {
        self.lines.get_mut(&line)
    }

    pub fn close_line(&mut self, line: LineId) -> Option<OpenLine> {
        self.lines.remove(&line)
    }
}
