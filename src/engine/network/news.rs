//! What a change turned out to mean here: the difference between what users saw and what they see now.

use std::sync::Arc;

use super::account::{AccountId, Field};
use super::ban::{BanFact, BanKind};
use super::change::Change;
use super::channel::{Role, Topic};
use crate::engine::merge::Stamp;
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::{ChannelName, MetadataKey, Nick, ServerId, UserId};

/// One difference, in the order in which users have to hear of them.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Somebody is gone, or out of reach.
    Quit(Quit),
    /// Somebody can be seen who could not be.
    Arrived {
        user: UserId,
        nick: Nick,
    },
    /// Somebody is shown from now on as whom they are on another server, and nobody is to notice: on these channels they
    /// were shown as this.
    Succeeds {
        from: UserId,
        to: UserId,
        on: Vec<(Folded, Letters)>,
    },
    /// So they are by their nick: what differs on these channels can be told.
    Succeeded {
        to: UserId,
        on: Vec<Folded>,
    },
    /// Somebody is called something else.
    Renamed {
        who: Neighbour,
        from: String,
        old: Nick,
        new: Nick,
    },
    HostChanged {
        who: Neighbour,
        from: String,
    },
    RealnameChanged {
        who: Neighbour,
    },
    AwayChanged {
        who: Neighbour,
    },
    AccountChanged {
        who: Neighbour,
        before: Option<String>,
    },
    /// Something else is said of somebody, or nothing any more.
    SaidOfUser {
        who: Neighbour,
        key: MetadataKey,
        value: Option<String>,
    },
    ModesChanged {
        user: UserId,
        before: Letters,
    },
    Left {
        channel: Folded,
        /// How the name was written: the last to leave takes the channel along.
        shown: ChannelName,
        user: UserId,
        /// `nick!user@host` and nick as they were last seen there.
        source: String,
        nick: Nick,
        was: Role,
        how: Leaving,
    },
    /// A channel is called something else.
    ChannelRenamed {
        channel: Folded,
        from: ChannelName,
        by: String,
        reason: String,
    },
    Joined {
        channel: Folded,
        user: UserId,
        status: Letters,
        split: Option<Split>,
    },
    /// Whoever is on a channel where others hear of nobody before they speak has spoken, or has yet to.
    Silence {
        channel: Folded,
        user: UserId,
        is_silent: bool,
    },
    Modes {
        channel: Folded,
        by: String,
        deltas: Vec<ModeDelta>,
        more: bool,
    },
    Topic {
        channel: Folded,
        by: String,
        topic: Option<Topic>,
    },
    /// A channel turned out to have been registered by somebody else before, in a split.
    RegistrationLost {
        channel: ChannelName,
        account: AccountId,
    },
    /// Something else is said of a channel, or nothing any more.
    SaidOfChannel {
        channel: Folded,
        key: MetadataKey,
        value: Option<String>,
    },
    Said(Arc<Change>),
    /// Something is on record that clients were told, or could not be told, as it happened.
    Happened(Arc<Change>),
    /// A message was taken back.
    Redacted(Arc<Change>),
    /// Somebody has written of an account.
    Account {
        account: AccountId,
        field: Field,
        by: String,
        /// What it is called, or was.
        name: String,
        /// Whether it is there now, and whether it was before.
        is_there: bool,
        was_there: bool,
    },
    /// Somebody has set, changed or lifted a ban.
    Ban {
        kind: BanKind,
        mask: String,
        by: String,
        before: Option<BanFact>,
        after: Option<BanFact>,
    },
    /// So many bans came to be, or to be others, and so many went, while this server heard of nothing.
    Bans {
        set: usize,
        lifted: usize,
    },
    /// Somebody has told operators of somebody, or one of them has closed that.
    Complaint {
        id: Stamp,
        by: String,
    },
    /// Somebody has read further in this place.
    Read {
        account: AccountId,
        place: Folded,
    },
    /// A server is, or is no longer, part of what users see.
    ServerCame {
        server: ServerId,
    },
    ServerWent {
        server: ServerId,
        name: String,
    },
}

/// Somebody of whom others hear by being on the same channels; of a merge, only those count that they
/// were on before and still are, since on the others they are yet to come or have gone already.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    pub user: UserId,
    pub on: Vec<Folded>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Quit {
    pub user: UserId,
    /// `nick!user@host` as they were last seen.
    pub source: String,
    pub nick: Nick,
    pub username: String,
    pub host: String,
    pub address: String,
    pub realname: String,
    pub account: Option<String>,
    pub is_bot: bool,
    pub is_operator: bool,
    /// Where they were, and what.
    pub channels: Vec<(Folded, Role)>,
    pub reason: String,
    pub split: Option<Split>,
}

/// The two ends between which a network came apart, or together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub near: String,
    pub far: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Leaving {
    Parted { reason: Option<String> },
    Kicked { by: String, reason: String },
}

/// One letter of a MODE line, with its parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModeDelta {
    pub on: bool,
    pub letter: char,
    pub value: Option<ModeValue>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModeValue {
    Text(String),
    /// A member, whose nick is looked up when the line is written.
    Member(UserId),
}
