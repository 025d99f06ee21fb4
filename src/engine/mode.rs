//! Channel and user modes, one row each, and what each bars.

use super::network::{Channel, User};
use super::policy;
use crate::wire::letters::Letters;
use crate::wire::names::Nick;
use crate::wire::numeric::{self, Numeric};

/// One mode of a channel.
pub struct ChannelMode {
    pub letter: char,
    pub kind: Kind,
    /// What members do without, and are told, while the mode is set.
    pub bars: fn(&Channel, &Attempt) -> Option<Numeric>,
    pub help: &'static str,
}

/// What a mode's parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Masks of people, any number of them.
    List,
    /// A word, needed to set it and given back to unset it.
    Key,
    /// A number, needed to set it only.
    Limit,
    Flag,
}

/// What somebody would like to do on a channel.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    Join { user: &'a User, key: Option<&'a str>, is_invited: bool },
    Speak { user: &'a User },
    SetTopic { user: &'a User },
    Invite { user: &'a User },
    Rename { user: &'a User, to: &'a Nick },
}

pub const CHANNEL_MODES: &[ChannelMode] = &[
    ChannelMode {
        letter: 'b',
        kind: Kind::List,
        bars: bars_banned,
        help: "Bans: who matches cannot join, speak or change nick.",
    },
    ChannelMode {
        letter: 'e',
        kind: Kind::List,
        bars: nobody,
        help: "Exceptions: who matches is not banned.",
    },
    ChannelMode {
        letter: 'I',
        kind: Kind::List,
        bars: nobody,
        help: "Invite exceptions: who matches needs no invitation.",
    },
    ChannelMode { letter: 'k', kind: Kind::Key, bars: bars_keyless, help: "Key: to be given when joining." },
    ChannelMode {
        letter: 'l',
        kind: Kind::Limit,
        bars: bars_when_full,
        help: "Limit: how many members there may be.",
    },
    ChannelMode {
        letter: 'i',
        kind: Kind::Flag,
        bars: bars_uninvited,
        help: "Invite-only: who joins needs an invitation.",
    },
    ChannelMode {
        letter: 'm',
        kind: Kind::Flag,
        bars: bars_voiceless,
        help: "Moderated: to speak needs voice.",
    },
    ChannelMode { letter: 'n', kind: Kind::Flag, bars: bars_outsiders, help: "Only members may speak here." },
    ChannelMode {
        letter: 'p',
        kind: Kind::Flag,
        bars: nobody,
        help: "Private: outsiders do not see it in WHOIS and LIST.",
    },
    ChannelMode {
        letter: 's',
        kind: Kind::Flag,
        bars: nobody,
        help: "Secret: outsiders do not see it at all.",
    },
    ChannelMode {
        letter: 't',
        kind: Kind::Flag,
        bars: bars_topic,
        help: "Only half-operators and higher set the topic.",
    },
];

/// What a channel starts with.
pub const CHANNEL_MODES_AT_BIRTH: &[char] = &['n', 't'];

pub fn channel_mode(letter: char) -> Option<&'static ChannelMode> {
    CHANNEL_MODES.iter().find(|mode| mode.letter == letter)
}

/// The letters of all channel modes of one kind.
pub fn channel_letters(kind: Kind) -> String {
    CHANNEL_MODES.iter().filter(|mode| mode.kind == kind).map(|mode| mode.letter).collect()
}

fn nobody(_: &Channel, _: &Attempt) -> Option<Numeric> {
    None
}

fn bars_banned(channel: &Channel, attempt: &Attempt) -> Option<Numeric> {
    // Who was given a status is not silenced by a ban that happens to match.
    let is_barred = |user: &User| channel.status(user.id).is_empty() && policy::is_banned(channel, user);
    match attempt {
        Attempt::Join { user, .. } if policy::is_banned(channel, user) => {
            Some(numeric::banned_from_channel(&channel.name))
        }
        Attempt::Speak { user } if is_barred(user) => Some(numeric::cannot_send_to_channel(&channel.name)),
        Attempt::Rename { user, to } if is_barred(user) => {
            Some(numeric::banned_nick_change(to, &channel.name))
        }
        _ => None,
    }
}

fn bars_keyless(channel: &Channel, attempt: &Attempt) -> Option<Numeric> {
    match attempt {
        Attempt::Join { key, is_invited: false, .. } if *key != channel.mode_value('k') => {
            Some(numeric::bad_channel_key(&channel.name))
        }
        _ => None,
    }
}

fn bars_when_full(channel: &Channel, attempt: &Attempt) -> Option<Numeric> {
    let limit = channel.mode_value('l').and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    match attempt {
        Attempt::Join { is_invited: false, .. } if channel.members_count() >= limit => {
            Some(numeric::channel_is_full(&channel.name))
        }
        _ => None,
    }
}

fn bars_uninvited(channel: &Channel, attempt: &Attempt) -> Option<Numeric> {
    match attempt {
        Attempt::Join { user, is_invited: false, .. } if !policy::is_listed(channel, 'I', user) => {
            Some(numeric::invite_only_channel(&channel.name))
        }
        Attempt::Invite { user } if !is_at_least(channel.status(user.id), 'h') => {
            Some(numeric::channel_operator_needed(&channel.name))
        }
        _ => None,
    }
}

fn bars_voiceless(channel: &Channel, attempt: &Attempt) -> Option<Numeric> {
    match attempt {
        Attempt::Speak { user } if channel.status(user.id).is_empty() => {
            Some(numeric::cannot_send_to_channel(&channel.name))
        }
        _ => None,
    }
}

fn bars_outsiders(channel: &Channel, attempt: &Attempt) -> Option<Numeric> {
    match attempt {
        Attempt::Speak { user } if !channel.has(user.id) => {
            Some(numeric::cannot_send_to_channel(&channel.name))
        }
        _ => None,
    }
}

fn bars_topic(channel: &Channel, attempt: &Attempt) -> Option<Numeric> {
    match attempt {
        Attempt::SetTopic { user } if !is_at_least(channel.status(user.id), 'h') => {
            Some(numeric::channel_operator_needed(&channel.name))
        }
        _ => None,
    }
}

/// What a member can be.
pub struct Status {
    pub letter: char,
    /// The sign before a nick.
    pub sign: char,
    /// What one has to be at least, to give it or to take it.
    pub given_by: char,
    pub help: &'static str,
}

/// The highest first. Whoever makes a channel is its operator; see `policy::may_give` for how the first
/// owner comes to be.
pub const STATUSES: &[Status] = &[
    Status { letter: 'q', sign: '~', given_by: 'q', help: "Owner: above everyone else." },
    Status { letter: 'a', sign: '&', given_by: 'q', help: "Admin: operators cannot kick them." },
    Status { letter: 'o', sign: '@', given_by: 'o', help: "Operator: runs the channel." },
    Status { letter: 'h', sign: '%', given_by: 'o', help: "Half-operator: kicks, bans and sets modes." },
    Status { letter: 'v', sign: '+', given_by: 'h', help: "Voice: may speak where it is moderated." },
];

pub fn status(letter: char) -> Option<&'static Status> {
    STATUSES.iter().find(|status| status.letter == letter)
}

/// The sign of a member's highest status; nothing for a plain member.
pub fn prefix(status: Letters) -> Option<char> {
    STATUSES.iter().find(|row| status.has(row.letter)).map(|row| row.sign)
}

/// The signs of all that a member is, the highest first.
pub fn prefixes(status: Letters) -> String {
    STATUSES.iter().filter(|row| status.has(row.letter)).map(|row| row.sign).collect()
}

/// The status whose sign this is.
pub fn status_of_sign(sign: char) -> Option<char> {
    STATUSES.iter().find(|row| row.sign == sign).map(|row| row.letter)
}

/// How high a status is: 0 for a plain member.
pub fn rank(status: Letters) -> usize {
    let highest = STATUSES.iter().position(|row| status.has(row.letter));
    highest.map_or(0, |place| STATUSES.len() - place)
}

/// Whether somebody is at least what one letter says.
pub fn is_at_least(status: Letters, letter: char) -> bool {
    rank(status) >= rank(Letters::NONE.with(letter))
}

/// One mode of a user.
pub struct UserMode {
    pub letter: char,
    /// Not so for what only OPER gives; anyone may take it off themselves.
    pub is_free: bool,
    pub help: &'static str,
}

pub const USER_MODES: &[UserMode] = &[
    UserMode { letter: 'B', is_free: true, help: "A bot, for all to see." },
    UserMode { letter: 'i', is_free: true, help: "Invisible: not in WHO and NAMES for strangers." },
    UserMode { letter: 'o', is_free: false, help: "An operator of the network, by OPER." },
    UserMode { letter: 'w', is_free: true, help: "Hears WALLOPS." },
];

/// Letters with their values as the parameters of MODE lines: at most so many letters and bytes each.
pub fn lines(
    words: impl Iterator<Item = (bool, char, String)>,
    letters_max: usize,
    bytes_max: usize,
) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut letters, mut values, mut count, mut sign) = (String::new(), String::new(), 0, None);
    for (on, letter, value) in words {
        let bytes = letters.len() + values.len() + value.len() + 3;
        if count == letters_max.max(1) || (count > 0 && bytes > bytes_max) {
            lines.push(std::mem::take(&mut letters) + &std::mem::take(&mut values));
            (count, sign) = (0, None);
        }
        if sign != Some(on) {
            letters.push(if on { '+' } else { '-' });
            sign = Some(on);
        }
        letters.push(letter);
        if !value.is_empty() {
            values.push(' ');
            values.push_str(&value);
        }
        count += 1;
    }
    if count > 0 {
        lines.push(letters + &values);
    }
    lines
}
