//! Modes: what members of a channel can be, and what users can be set to; those of channels are in `mode/channel.rs`.

mod channel;
mod entry;
mod lock;
mod speech;
mod value;

pub use channel::{
    Attempt, CHANNEL_MODES, CHANNEL_MODES_AT_BIRTH, Case, Kind, channel_letters, channel_mode,
};
pub use lock::Lock;
pub use speech::{is_moderation, without_colours};
pub use value::Flood;

use crate::wire::letters::Letters;

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

/// A channel as the target of what is said to those on it with a status.
pub fn shown_target(name: &str, least: Option<char>) -> String {
    let sign = least.and_then(|letter| prefix(Letters::NONE.with(letter)));
    format!("{}{name}", sign.map_or(String::new(), String::from))
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
    UserMode { letter: 'D', is_free: true, help: "Deaf: hears nothing that is said on channels." },
    UserMode {
        letter: 'H',
        is_free: false,
        help: "Hides from people who are no operators that you are one.",
    },
    UserMode {
        letter: 'I',
        is_free: true,
        help: "Hidden: MONITOR and ISON say to those who share no channel with you that you are not here.",
    },
    UserMode {
        letter: 'R',
        is_free: true,
        help: "Only those who are logged in, or accepted, may write to them.",
    },
    UserMode {
        letter: 'T',
        is_free: true,
        help: "Nobody may send them CTCP, but for what people do (ACTION).",
    },
    UserMode { letter: 'g', is_free: true, help: "Only those who are accepted (ACCEPT) may write to them." },
    UserMode { letter: 'i', is_free: true, help: "Invisible: not in WHO and NAMES for strangers." },
    UserMode { letter: 'o', is_free: false, help: "An operator of the network, by OPER." },
    UserMode {
        letter: 's',
        is_free: false,
        help: "An operator who is told what happens: MODE <nick> +s +kc-l, by the letters of HELP topics.",
    },
    UserMode { letter: 'w', is_free: true, help: "Hears WALLOPS." },
    UserMode { letter: 'x', is_free: true, help: "Cloaked: others do not see where they really come from." },
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
