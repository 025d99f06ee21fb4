//! The modes of channels, one row each.

use super::{entry, speech, value};
use crate::engine::network::{Channel, Network, User, Verb};
use crate::wire::names::Nick;
use crate::wire::numeric::Numeric;

/// One mode of a channel.
pub struct ChannelMode {
    pub letter: char,
    pub kind: Kind,
    /// What members do without, and are told, while the mode is set.
    pub bars: fn(&Case) -> Option<Numeric>,
    /// Reads the value that the mode is set to. The fault is a sentence for whoever wrote it.
    pub value: fn(&str) -> Result<String, &'static str>,
    pub help: &'static str,
}

/// What a mode's parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Masks of people, any number of them.
    List,
    /// A word, needed to set it and given back to unset it.
    Key,
    /// A value, needed to set it only.
    Limit,
    Flag,
}

/// What somebody would like to do on a channel.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    Join { user: &'a User, key: Option<&'a str>, is_invited: bool },
    Speak { user: &'a User, verb: Verb, text: &'a str },
    SetTopic { user: &'a User },
    Invite { user: &'a User },
    Knock { user: &'a User },
    Rename { user: &'a User, to: &'a Nick },
}

/// An attempt where it is made.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub network: &'a Network,
    pub channel: &'a Channel,
    pub attempt: Attempt<'a>,
}

impl Case<'_> {
    /// Whether somebody has no status, so that what holds for plain members holds for them.
    pub fn is_plain(&self, user: &User) -> bool {
        self.channel.status(user.id).is_empty()
    }
}

/// Of several that bar somebody, the first one says so.
pub const CHANNEL_MODES: &[ChannelMode] = &[
    list('b', entry::bars_banned, "Bans: who matches cannot join, speak or change nick."),
    list('e', nobody, "Exceptions: who matches is not banned."),
    list('I', nobody, "Invite exceptions: who matches needs no invitation."),
    ChannelMode {
        letter: 'k',
        kind: Kind::Key,
        bars: entry::bars_keyless,
        value: value::none,
        help: "Key: to be given when joining.",
    },
    ChannelMode {
        letter: 'l',
        kind: Kind::Limit,
        bars: entry::bars_when_full,
        value: value::members,
        help: "Limit: how many members there may be.",
    },
    ChannelMode {
        letter: 'f',
        kind: Kind::Limit,
        bars: nobody,
        value: value::flood,
        help: "Flood: <lines>:<seconds>, who says more is kicked, and with * in front banned too; not those with a status. With ,<joins>:<seconds> behind it, no more people than that are let in at once.",
    },
    ChannelMode {
        letter: 'W',
        kind: Kind::Limit,
        bars: nobody,
        value: value::seconds_apart,
        help: "Slow mode: so many seconds between lines of one person, save for those with a status.",
    },
    ChannelMode {
        letter: 'L',
        kind: Kind::Limit,
        bars: nobody,
        value: value::channel,
        help: "Forward: who may not join, save for the lack of a key, is brought to this channel; set by operators of both.",
    },
    flag('i', entry::bars_uninvited, "Invite-only: who joins needs an invitation."),
    flag('g', nobody, "Free invitations: every member may invite, also to an invite-only channel."),
    flag('R', entry::bars_strangers, "Registered: who joins has to be logged in."),
    flag('z', entry::bars_unencrypted, "TLS only: who joins has to be connected by TLS."),
    flag('O', entry::bars_all_but_operators, "Operators: only operators of the network join, and set this."),
    flag('K', entry::bars_knocks, "No KNOCK: nobody can ask to be let in."),
    flag('m', speech::bars_voiceless, "Moderated: to speak needs voice."),
    flag(
        'M',
        speech::bars_strangers,
        "Registered speech: to speak one has to be logged in, or have a status.",
    ),
    flag('U', nobody, "Operators hear what b, m and M keep from everyone else."),
    flag('n', speech::bars_outsiders, "Only members may speak here."),
    flag('C', speech::bars_ctcp, "No CTCP, save for ACTION."),
    flag('T', speech::bars_notices, "No NOTICE."),
    flag('c', speech::bars_colours, "No colours: messages with colours and other formatting are refused."),
    flag('S', nobody, "Strip colours: colours and other formatting are taken out of messages."),
    flag('N', entry::bars_renames, "No nick changes, save for those with a status."),
    flag(
        'u',
        nobody,
        "Auditorium: plain members see only themselves and those with a status. With m, a channel for announcements, where it costs next to nothing that somebody comes.",
    ),
    flag('D', nobody, "Delayed join: plain members see those without a status once they have spoken."),
    flag('p', nobody, "Private: outsiders do not see it in WHOIS and LIST."),
    flag('s', nobody, "Secret: outsiders do not see it at all."),
    flag('t', speech::bars_topic, "Only half-operators and higher set the topic."),
];

/// What a channel starts with.
pub const CHANNEL_MODES_AT_BIRTH: &[char] = &['n', 't'];

const fn list(letter: char, bars: fn(&Case) -> Option<Numeric>, help: &'static str) -> ChannelMode {
    ChannelMode { letter, kind: Kind::List, bars, value: value::none, help }
}

const fn flag(letter: char, bars: fn(&Case) -> Option<Numeric>, help: &'static str) -> ChannelMode {
    ChannelMode { letter, kind: Kind::Flag, bars, value: value::none, help }
}

pub fn channel_mode(letter: char) -> Option<&'static ChannelMode> {
    CHANNEL_MODES.iter().find(|mode| mode.letter == letter)
}

/// The letters of all channel modes of one kind.
pub fn channel_letters(kind: Kind) -> String {
    CHANNEL_MODES.iter().filter(|mode| mode.kind == kind).map(|mode| mode.letter).collect()
}

fn nobody(_: &Case) -> Option<Numeric> {
    None
}
