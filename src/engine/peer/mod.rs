//! What mesh servers say.

mod ask;
mod passing;

use super::event::AskId;
use super::merge::Stamp;
use super::network::Message;
use crate::wire::fold::Folded;
use crate::wire::names::{ChannelName, UserId};

/// What only a user's own server may do, so that it is asked to.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Take somebody off a channel: the very join that is named, and no later one.
    Kick { channel: Folded, user: UserId, joined: Stamp, by: String, reason: String },
    /// End a user's connection.
    Kill { user: UserId, by: String, reason: String },
    /// Tell how long a user has been idle; the answer comes back under this id.
    Idle { ask: AskId, user: UserId },
}

/// What is said on every server at once and kept nowhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Passing {
    /// To everyone with user mode `w`.
    Wallops { by: String, text: String },
    /// To the person invited, whose server remembers it, and to members who asked to be told.
    Invite { by: String, user: UserId, channel: ChannelName },
    /// To everyone on servers whose name matches; `verb` is PRIVMSG or NOTICE.
    Broadcast { by: String, mask: String, verb: String, text: String },
    /// A TAGMSG that nobody needs later, such as typing.
    Tags(Message),
}
