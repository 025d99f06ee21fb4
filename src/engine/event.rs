//! All that can reach the engine.

use std::net::SocketAddr;

use crate::config::Config;
use crate::wire::line::Lines;
use crate::wire::names::ServerId;

/// One connection, client or peer; never used twice while a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One question to the edge, whose answer comes back as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// SHA-256 of a certificate: the identity of a server, and later of a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(pub [u8; 32]);

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
    /// The settings, read anew: by SIGHUP (no `ask`) or in answer to an `Effect::ReadConfig`.
    Configured {
        ask: Option<AskId>,
        outcome: Result<Box<Config>, String>,
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
        /// What TLS agreed on, as WHOIS shows it; `None` on a plain connection.
        secure: Option<String>,
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

impl Pin {
    /// Reads `sha256:` and 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Pin> {
        let hex = text.strip_prefix("sha256:")?;
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).expect("checked to be ASCII");
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Pin(bytes))
    }
}

impl std::fmt::Display for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
