//! All that can reach the engine.

use std::net::SocketAddr;

use super::bearer::{Bearer, TokenFault};
use super::effect::Secret;
use super::history::{Entry, Record};
pub use super::network::ClientDoor;
use super::network::Credential;
use super::secret::Secrets;
use crate::config::Config;
use crate::wire::line::Lines;
use crate::wire::names::ServerId;
pub use crate::wire::pin::Pin;

/// One connection, client or peer; never used twice while a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One question to the edge, whose answer comes back as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

#[derive(Debug)]
pub enum Event {
    Opened {
        conn: ConnId,
        from: Origin,
    },
    /// All whole lines of one recv.
    Lines {
        conn: ConnId,
        lines: Lines,
    },
    /// The last that is ever heard of a connection.
    Closed {
        conn: ConnId,
        why: String,
    },
    /// Time passed; comes at least every 250 ms while anything runs.
    Tick,
    /// The password checker answers an `Effect::Verify`.
    Verified {
        ask: AskId,
        right: bool,
    },
    /// The password checker answers an `Effect::Match`; where the hash is another program's, with what the password is to
    /// be checked against from now on.
    Matched {
        ask: AskId,
        right: bool,
        renewed: Option<Credential>,
    },
    /// The checker answers an `Effect::CheckToken`.
    TokenChecked {
        ask: AskId,
        outcome: Result<Bearer, TokenFault>,
    },
    /// An `Effect::Match` or `Effect::CheckToken` was not looked at, since too much waits.
    NotChecked {
        ask: AskId,
    },
    /// The password checker answers an `Effect::Hash`; with nothing where too much waits.
    Hashed {
        ask: AskId,
        credential: Option<Credential>,
    },
    /// An `Effect::Dial` came to nothing.
    DialFailed {
        ask: AskId,
        why: String,
    },
    /// Someone on this LAN introduced themselves.
    Discovered(Beacon),
    /// Someone on this LAN said goodbye.
    Vanished {
        server: ServerId,
    },
    /// A client is counted where an `Effect::Count` said; or why it may not come from there.
    Counted {
        ask: AskId,
        refused: Option<String>,
    },
    /// Others have been served since an `Effect::GoOn`.
    GoOn {
        ask: AskId,
    },
    /// What went over each connection.
    Measured {
        ask: AskId,
        traffic: Vec<Traffic>,
    },
    /// Where this server stands, or stands by now.
    Situated(Situation),
    /// All that is known of the network's secret, where it was ever changed: before any link.
    SecretsFound(Secrets),
    /// The admin wants the network to have this secret from now on.
    Rotate {
        secret: Secret,
    },
    /// The settings, read anew: by SIGHUP (no `ask`) or in answer to an `Effect::ReadConfig`; or else
    /// what is wrong with them, one fault a line.
    Configured {
        ask: Option<AskId>,
        /// What the settings file is called.
        file: String,
        outcome: Result<Box<Config>, String>,
    },
    /// All that an `Effect::Keep` up to this number asked for is on disk.
    Kept {
        number: u64,
    },
    /// The store answers an `Effect::Recall`: what it has found, oldest first, or why it could not look; and whether there
    /// was more to look at than it could.
    Recalled {
        ask: AskId,
        outcome: Result<Vec<Record>, String>,
        is_cut: bool,
    },
    /// What an `Effect::Record` asked for, and the store has no room for just now.
    NotRecorded {
        number: u64,
        entries: Vec<Entry>,
    },
    /// All that was taken by `Effect::Record` up to this number is on disk.
    Recorded {
        number: u64,
    },
    /// Why the store cannot be written; nothing once it can be again.
    StoreFault {
        why: Option<String>,
    },
    /// A client says more than it may, and the edge makes it wait; not told each time.
    Slowed {
        conn: ConnId,
    },
    /// The admin wants an end: users and peers are told, then nothing more comes.
    Stop {
        why: String,
    },
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    Client {
        address: SocketAddr,
        /// The name that the address has, where it was asked for and the name has that address too.
        name: Option<String>,
        /// What TLS agreed on, as WHOIS shows it; `None` on a plain connection.
        secure: Option<String>,
        /// The certificate that the client showed, and holds the key of.
        certificate: Option<Pin>,
    },
    /// A mesh link whose TLS handshake is done.
    Peer {
        address: SocketAddr,
        /// The dial that led here; `None` where the peer called us.
        dialled: Option<AskId>,
        /// The peer's certificate.
        pin: Pin,
        /// Keying material that both ends of this TLS session share and nobody else has.
        exporter: [u8; 32],
    },
}

/// What the machine gives this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Where clients can connect, as others on the LAN see it.
    pub doors: Vec<ClientDoor>,
    /// For how many clients the machine has room, whatever the settings say.
    pub clients_possible: usize,
}

impl Default for Situation {
    fn default() -> Situation {
        Situation { doors: Vec::new(), clients_possible: usize::MAX }
    }
}

/// A server that announced itself on this LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    pub sid: ServerId,
    pub name: String,
    pub network: String,
    /// Where its link listener is.
    pub link: SocketAddr,
    pub pin: Pin,
    /// Whether the announcement proves that the sender holds our network's secret.
    pub ours: bool,
}

/// What went over one connection since it was opened, and what waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    pub conn: ConnId,
    pub queued_bytes: usize,
    pub sent_lines: u64,
    pub sent_bytes: u64,
    /// What went over the wire for that, before encryption; less where it was compressed.
    pub sent_wire_bytes: u64,
    pub received_lines: u64,
    pub received_bytes: u64,
    pub received_wire_bytes: u64,
    /// How what is sent is compressed, where it is.
    pub compression: Option<&'static str>,
}
