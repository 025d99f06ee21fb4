//! All that the engine can ask for.

use std::net::IpAddr;
use std::sync::Arc;

use super::bundle::Bundle;
use super::event::{AskId, ConnId, Pin};
use super::history::{Entry, Query};
use super::keep::Row;
use super::secret::Secrets;
use crate::config::Tokens;
use crate::wire::time::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// One line, without its line end.
    Send { to: ConnId, line: Arc<str> },
    /// A channel's fan-out: one effect per form of the line.
    SendAll { to: Vec<ConnId>, line: Arc<str> },
    /// Many lines at once, to all who hear just these.
    SendBundle { to: Vec<ConnId>, bundle: Arc<Bundle> },
    /// A line to a peer that holds a secret. On a compressed link it shares a window with no other line, so that nobody
    /// learns of it from how well their own text compresses beside it.
    SendApart { to: ConnId, line: Arc<str> },
    /// A peer has proved that it holds the network's secret: from now on it is one of us. Comes before the line that
    /// tells it so.
    Proven { conn: ConnId },
    /// A client has registered: it is no newcomer any more.
    Registered { conn: ConnId },
    /// Whether limits on speed are for a client.
    Unhurried { conn: ConnId, on: bool },
    /// What a client asked for has cost so many lines more than the line that asked.
    Charge { conn: ConnId, lines: u32 },
    /// What is sent after this is compressed; comes right behind the line that says so.
    Compress { conn: ConnId },
    /// No more will be sent: what is queued goes out, then the connection is shut down.
    Close { conn: ConnId, why: String },
    /// Call a peer; answered by `Event::Opened` or `Event::DialFailed`.
    Dial { ask: AskId, name: String, address: String, pin: Option<Pin> },
    /// Check a password, which may be slow; answered by `Event::Verified`.
    Verify { ask: AskId, given: Secret, known: String },
    /// Find out whether a password makes this hash, which may be slow; answered by `Event::Matched`.
    Match { ask: AskId, given: Secret, known: String },
    /// Find out whether a token is in order now, and whom it is about; answered by `Event::TokenChecked`.
    CheckToken { ask: AskId, token: Secret, tokens: Tokens, now: Timestamp },
    /// Make what a new password is to be checked against; answered by `Event::Hashed`.
    Hash { ask: AskId, password: Secret },
    /// Count a client as one that comes from there; answered by `Event::Counted`.
    Count { ask: AskId, conn: ConnId, from: IpAddr },
    /// There is more to say than one step is for; answered by `Event::GoOn` once others have been served.
    GoOn { ask: AskId },
    /// Measure what went over each connection; answered by `Event::Measured`.
    Measure { ask: AskId },
    /// Read the config again; answered by `Event::Configured`.
    ReadConfig { ask: AskId },
    /// No stamp above this is given out before the next of these; to be kept on disk, so that the next
    /// run's stamps all lie above this one's.
    KeepClock { ms: u64 },
    /// This server's epoch from now on; to be kept on disk.
    KeepEpoch { epoch: u32 },
    /// The network's secret from now on, and those that are still taken; to be kept on disk.
    KeepSecrets { secrets: Secrets },
    /// Write these to the store, all at once or not at all, after all that was to be written before; answered
    /// by `Event::Kept` when they are on disk, or those of a later one.
    Keep { number: u64, rows: Vec<Row> },
    /// Write these to the store, in this order and when it suits the disk. Where there is no room for so much, they
    /// come back as `Event::NotRecorded`.
    Record { number: u64, entries: Vec<Entry> },
    /// Look into the store, where everything is that was to be recorded before; answered by `Event::Recalled`.
    Recall { ask: AskId, query: Query },
    /// Stop this server, by the way of `Event::Stop`, and where it is to come again, start it anew.
    End { why: String, again: bool },
    /// For the log.
    Note { level: log::Level, topic: Topic, text: String },
}

/// What an entry of the log is about; `folkmoot::client` and so on in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Account,
    Client,
    Link,
    Operator,
    Server,
}

impl Topic {
    pub fn target(self) -> &'static str {
        match self {
            Topic::Account => "folkmoot::account",
            Topic::Client => "folkmoot::client",
            Topic::Link => "folkmoot::link",
            Topic::Operator => "folkmoot::operator",
            Topic::Server => "folkmoot::server",
        }
    }
}

/// A password on its way to be checked, or what a network is proven by; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
