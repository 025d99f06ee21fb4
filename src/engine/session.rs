//! What the engine knows of a client's connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::batch::Batches;
use super::cap::{Cap, Caps};
use super::event::{AskId, ConnId};
use super::held::Held;
use super::marker::Markers;
use super::network::{AccountId, Metadata};
use super::replay::Asked;
use super::sasl::Exchange;
use super::throttle::Throttle;
use super::typing::Typing;
use crate::wire::letters::Letters;
use crate::wire::names::{MetadataKey, Nick, UserId};
use crate::wire::pin::Pin;

/// One client's connection.
#[derive(Debug)]
pub struct Session {
    pub conn: ConnId,
    pub address: SocketAddr,
    /// What the address is called in the DNS, where that is known.
    pub name: Option<String>,
    /// What TLS agreed on; `None` on a plain connection.
    pub secure: Option<String>,
    /// The certificate that the client showed.
    pub certificate: Option<Pin>,
    /// Where the client has logged in before it has registered.
    pub account: Option<AccountId>,
    /// An AUTHENTICATE that has not come to its end.
    pub exchange: Option<Exchange>,
    /// What has to be said to drop the account, once that was asked for.
    pub drop_code: Option<(AccountId, String)>,
    /// How often a login has failed here.
    pub failed_logins: u32,
    pub stage: Stage,
    pub caps: Caps,
    /// What the client said to CAP LS; 302 and more also means cap-notify.
    pub cap_version: u64,
    pub opened_ms: u64,
    /// When anything at all came, by the steady clock.
    pub heard_ms: u64,
    /// When a PING went out that has not been answered.
    pub pinged_ms: Option<u64>,
    /// A message of several lines that is still coming in.
    pub batches: Batches,
    pub typing: Typing,
    /// The keys of metadata that the client is told of.
    pub subscriptions: BTreeSet<MetadataKey>,
    pub throttle: Throttle,
    /// Lines that came while something was being looked up.
    pub held: Held,
    /// How far the client was shown what came late, place by place.
    pub late_shown: BTreeMap<String, u64>,
    /// How far the person has read.
    pub markers: Markers,
    /// What is to be shown of the channels that the client comes to.
    pub asked: Option<Asked>,
    /// What an operator is told of.
    pub(super) topics: Letters,
    /// Whether the person became an operator on this very connection: whoever has no more than their account's password is
    /// none by it.
    pub is_operator: bool,
    /// Whether the client has said that nobody sits before it (`AWAY *`).
    pub is_unattended: bool,
}

/// How far a connection has come.
#[derive(Debug)]
pub enum Stage {
    Registering(Registration),
    Registered(UserId),
    /// Somebody's whose home is another server, where all that is said here is heard.
    Guest,
    /// Told to go; nothing more is heard from it.
    Closing,
}

/// What a client has said of itself so far.
#[derive(Debug, Default)]
pub struct Registration {
    pub nick: Option<Nick>,
    pub username: Option<String>,
    pub realname: String,
    pub password: Option<String>,
    /// Why they are not at hand, said before they are anybody.
    pub away: Option<String>,
    /// What they say of themselves for programs to read, likewise.
    pub metadata: Metadata,
    /// Between CAP LS or REQ, and CAP END.
    pub negotiating: bool,
    pub password_state: PasswordState,
    pub gated: Gated,
    /// What was asked of the home of whoever the client wants to be, while that has not answered.
    pub home: Option<AskId>,
}

/// Whether a gateway has said that the connection is somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gated {
    #[default]
    No,
    /// It has, and its password is being checked.
    Checking,
    /// It has, and is called this.
    By(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordState {
    #[default]
    Unchecked,
    Checking,
    Right,
}

impl Session {
    pub fn new(
        conn: ConnId,
        address: SocketAddr,
        name: Option<String>,
        secure: Option<String>,
        now_ms: u64,
    ) -> Session {
        Session {
            conn,
            address,
            name,
            secure,
            certificate: None,
            account: None,
            exchange: None,
            drop_code: None,
            failed_logins: 0,
            stage: Stage::Registering(Registration::default()),
            caps: Caps::default(),
            cap_version: 0,
            opened_ms: now_ms,
            heard_ms: now_ms,
            pinged_ms: None,
            batches: Batches::default(),
            typing: Typing::default(),
            subscriptions: BTreeSet::new(),
            throttle: Throttle::default(),
            held: Held::default(),
            late_shown: BTreeMap::new(),
            markers: Markers::default(),
            asked: None,
            topics: Letters::NONE,
            is_operator: false,
            is_unattended: false,
        }
    }

    pub fn user(&self) -> Option<UserId> {
        match self.stage {
            Stage::Registered(user) => Some(user),
            _ => None,
        }
    }

    /// Whether the client has not come to be anybody, here or elsewhere.
    pub fn is_nobodys(&self) -> bool {
        matches!(self.stage, Stage::Registering(_) | Stage::Closing)
    }

    /// The address as it can stand in a line: a leading colon would end its middle parameters.
    pub fn address_text(&self) -> String {
        let address = self.address.ip().to_canonical().to_string();
        if address.starts_with(':') { format!("0{address}") } else { address }
    }

    /// Where the client really comes from: by name where that is known.
    pub fn real_host(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address_text())
    }

    pub fn registration(&mut self) -> Option<&mut Registration> {
        match &mut self.stage {
            Stage::Registering(registration) => Some(registration),
            _ => None,
        }
    }

    pub fn wants(&self, cap: Cap) -> bool {
        self.caps.has(cap)
    }

    /// Whether the client can take messages of several lines as such, and send them.
    pub fn wants_multiline(&self) -> bool {
        self.wants(Cap::DraftMultiline) && self.wants(Cap::Batch)
    }

    /// Whether replies carry labels: they need batches, for commands with several.
    pub fn wants_labels(&self) -> bool {
        self.wants(Cap::LabeledResponse) && self.wants(Cap::Batch)
    }
}
