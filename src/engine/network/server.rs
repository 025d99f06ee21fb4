//! Servers: what each says of itself, and whether it can be reached.

use crate::wire::names::ServerId;
use crate::wire::time::Timestamp;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFact {
    pub name: String,
    pub description: String,
    pub version: String,
    /// The digest of its certificate, so that nobody else can pass for it.
    pub pin: String,
    /// How many clients it takes.
    pub clients_max: u64,
    pub started: Timestamp,
    /// Where clients can connect to it.
    pub doors: Vec<ClientDoor>,
}

/// One way for clients into a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientDoor {
    /// An address, or a name that resolves to one.
    pub host: String,
    pub port: u16,
    /// Whether TLS is spoken there.
    pub secure: bool,
}

/// A server as everyone sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub id: ServerId,
    pub epoch: u32,
    pub fact: ServerFact,
}

/// Whether there is a path to a server, and for how long there has been none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    Reachable,
    /// Lost a moment ago: users are not told, since most losses are short.
    Held {
        since_ms: u64,
    },
    /// Lost, and its users are shown as gone; they keep their nicks and their channels' births.
    Suspended {
        since_ms: u64,
    },
    /// Lost for so long that its users no longer count at all, unless it comes back.
    Forgotten,
}

impl Reach {
    pub fn standing(self) -> Standing {
        match self {
            Reach::Reachable | Reach::Held { .. } => Standing::Present,
            Reach::Suspended { .. } => Standing::Suspended,
            Reach::Forgotten => Standing::Forgotten,
        }
    }
}

impl Standing {
    pub fn holds_nick(self) -> bool {
        matches!(self, Standing::Present | Standing::Suspended)
    }
}

/// How much a user counts, which is how much their server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Shown to everyone.
    Present,
    /// Not shown, since they are shown as somebody else already; keeps channels alive.
    Doubled,
    /// Not shown, but holds a nick and keeps channels alive.
    Suspended,
    /// Neither.
    Forgotten,
}
