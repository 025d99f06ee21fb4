//! What happened on channels beside what was said: who came and went, who was called otherwise, what was set.
//!
//! It is kept with the messages, between which it belongs. The server of whoever it is about writes it, or the one at
//! which something was set; that servers lose sight of each other is no event of a channel.

use crate::wire::names::{ChannelName, UserId};

/// One event of a channel; it explains itself when everybody is long gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Whoever came, went or is called otherwise; nobody where something was set.
    pub user: Option<UserId>,
    /// Who did it, as `nick!user@host`, or a server's name.
    pub source: String,
    pub account: Option<String>,
    /// As the channel was called when it was made.
    pub channel: ChannelName,
    /// With at least which status it was to be seen, where not everybody could.
    pub least: Option<char>,
    /// Where not everybody could have come.
    pub is_closed: bool,
    /// Whether those with a status knew it before.
    pub is_for_plain: bool,
    pub what: What,
}

/// What it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Joined {
        realname: String,
    },
    Parted {
        reason: Option<String>,
    },
    Quit {
        reason: String,
    },
    Kicked {
        nick: String,
        reason: String,
    },
    Renamed {
        nick: String,
    },
    /// A line of modes with their values.
    Modes {
        line: String,
    },
    Topic {
        text: String,
    },
    /// The channel is called something else.
    Recalled {
        from: String,
        name: String,
        reason: String,
    },
    /// Nobody knows any more: there was no room for it.
    Forgotten,
}

impl What {
    /// The command by which clients hear of it, and servers of what clients hear nothing of.
    pub fn verb(&self) -> &'static str {
        match self {
            What::Joined { .. } => "JOIN",
            What::Parted { .. } => "PART",
            What::Quit { .. } => "QUIT",
            What::Kicked { .. } => "KICK",
            What::Renamed { .. } => "NICK",
            What::Modes { .. } => "MODE",
            What::Topic { .. } => "TOPIC",
            What::Recalled { .. } => "RENAME",
            What::Forgotten => "FORGOTTEN",
        }
    }
}
