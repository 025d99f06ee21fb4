//! JOIN, PART, KICK, MODE, STATUS, MASK, RENAME and TOPIC: what is so of channels, each under its birth.

use super::{EventMessage, or_star, unless_star};
use crate::engine::merge::Stamp;
use crate::engine::network::{Edit, Item, MaskFact, MemberFact, Renaming, Setting, StatusFact, Topic};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::message::{Draft, Message};
use crate::wire::names::{ChannelName, UserId};
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[
    EventMessage {
        name: "JOIN",
        params_min: 5,
        read: read_join,
        shape: "<uid> <channel> <birth> <joined> <+statuses>",
    },
    EventMessage { name: "PART", params_min: 2, read: read_part, shape: "<uid> <channel> [:<reason>]" },
    EventMessage { name: "KICK", params_min: 4, read: read_kick, shape: "<uid> <channel> <by> :<reason>" },
    EventMessage {
        name: "MODE",
        params_min: 4,
        read: read_mode,
        shape: "<channel> <birth> <by> <+letter|-letter> [<value>]",
    },
    EventMessage {
        name: "STATUS",
        params_min: 6,
        read: read_status,
        shape: "<channel> <birth> <by> <uid> <joined> <+letter|-letter>",
    },
    EventMessage {
        name: "MASK",
        params_min: 5,
        read: read_mask,
        shape: "<channel> <birth> <by> <+letter|-letter> <mask> [<set by> <set at, ms>]",
    },
    EventMessage {
        name: "RENAME",
        params_min: 3,
        read: read_rename,
        shape: "<channel> <birth> <by> [<name> :<reason>]",
    },
    EventMessage {
        name: "TOPIC",
        params_min: 3,
        read: read_topic,
        shape: "<channel> <birth> <by> [<set by> <set at, ms> :<text>]",
    },
];

pub fn write_join(user: UserId, fact: &MemberFact) -> Draft {
    let draft = Draft::new("JOIN");
    let draft = if fact.is_silent { draft.tag("silent", "") } else { draft };
    draft
        .param(user)
        .param(&fact.name)
        .param(fact.birth)
        .param(fact.joined)
        .param(format_args!("+{}", fact.status))
}

fn read_join(message: &Message) -> Option<Edit> {
    let [user, name, birth, joined, status, ..] = message.params[..] else { return None };
    let name = ChannelName::from_peer(name)?;
    let fact = MemberFact {
        name: name.clone(),
        birth: Stamp::parse(birth)?,
        joined: Stamp::parse(joined)?,
        status: Letters::parse(status.strip_prefix('+')?)?,
        is_silent: message.tags.get("silent").is_some(),
    };
    Some(Edit::Join { user: UserId::parse(user)?, channel: name.folded(), fact })
}

pub fn write_part(user: UserId, channel: &Folded, reason: Option<&str>) -> Draft {
    let draft = Draft::new("PART").param(user).param(channel);
    match reason {
        Some(reason) => draft.trailing(reason),
        None => draft,
    }
}

fn read_part(message: &Message) -> Option<Edit> {
    let (user, channel) = (UserId::parse(message.params[0])?, folded(message.params[1])?);
    Some(Edit::Part { user, channel, reason: message.params.get(2).map(|reason| reason.to_string()) })
}

fn read_kick(message: &Message) -> Option<Edit> {
    let [user, channel, by, reason, ..] = message.params[..] else { return None };
    let (user, channel) = (UserId::parse(user)?, folded(channel)?);
    Some(Edit::Kick { user, channel, by: by.to_string(), reason: reason.to_string() })
}

fn about(verb: &str, channel: &Folded, birth: Stamp, by: &str) -> Draft {
    Draft::new(verb).param(channel).param(birth).param(or_star(by))
}

pub fn write_setting(channel: &Folded, birth: Stamp, item: Item, value: Option<&Setting>, by: &str) -> Draft {
    match (item, value) {
        (Item::Mode(letter), None) => about("MODE", channel, birth, by).param(format_args!("-{letter}")),
        (Item::Mode(letter), Some(Setting::Value(value))) => {
            about("MODE", channel, birth, by).param(format_args!("+{letter}")).param(value)
        }
        (Item::Mode(letter), Some(_)) => about("MODE", channel, birth, by).param(format_args!("+{letter}")),
        (Item::Name, Some(Setting::Name(renaming))) => {
            about("RENAME", channel, birth, by).param(&renaming.name).trailing(&renaming.reason)
        }
        (Item::Name, _) => about("RENAME", channel, birth, by),
        (Item::Topic, Some(Setting::Topic(topic))) => {
            about("TOPIC", channel, birth, by).param(&topic.by).param(topic.at.0).trailing(&topic.text)
        }
        (Item::Topic, _) => about("TOPIC", channel, birth, by),
    }
}

fn read_mode(message: &Message) -> Option<Edit> {
    let (on, letter) = signed(message.params[3])?;
    let value = match message.params.get(4) {
        Some(value) if on => Some(Setting::Value(value.to_string())),
        _ if on => Some(Setting::On),
        _ => None,
    };
    let (channel, birth, by) = scope(message)?;
    Some(Edit::Setting { channel, birth, item: Item::Mode(letter), value, by })
}

fn read_rename(message: &Message) -> Option<Edit> {
    let value = match message.params[3..] {
        [name, reason, ..] => {
            let name = ChannelName::from_peer(name)?;
            Some(Setting::Name(Renaming { name, reason: reason.to_string() }))
        }
        [] => None,
        _ => return None,
    };
    let (channel, birth, by) = scope(message)?;
    Some(Edit::Setting { channel, birth, item: Item::Name, value, by })
}

fn read_topic(message: &Message) -> Option<Edit> {
    let value = match message.params[3..] {
        [set_by, at, text, ..] => {
            let at = Timestamp(at.parse().ok()?);
            Some(Setting::Topic(Topic { text: text.to_string(), by: set_by.to_string(), at }))
        }
        [] => None,
        _ => return None,
    };
    let (channel, birth, by) = scope(message)?;
    Some(Edit::Setting { channel, birth, item: Item::Topic, value, by })
}

pub fn write_status(
    channel: &Folded,
    birth: Stamp,
    user: UserId,
    letter: char,
    fact: &StatusFact,
    by: &str,
) -> Draft {
    let sign = if fact.on { '+' } else { '-' };
    about("STATUS", channel, birth, by).param(user).param(fact.joined).param(format_args!("{sign}{letter}"))
}

fn read_status(message: &Message) -> Option<Edit> {
    let [_, _, _, user, joined, letter, ..] = message.params[..] else { return None };
    let (on, letter) = signed(letter)?;
    let (channel, birth, by) = scope(message)?;
    let fact = StatusFact { on, joined: Stamp::parse(joined)? };
    Some(Edit::Status { channel, birth, user: UserId::parse(user)?, letter, fact, by })
}

pub fn write_mask(
    channel: &Folded,
    birth: Stamp,
    list: char,
    mask: &str,
    fact: Option<&MaskFact>,
    by: &str,
) -> Draft {
    let until = fact.and_then(|fact| fact.until).map(|until| until.0.to_string());
    let about = match until {
        Some(until) => Draft::new("MASK").tag("until", &until),
        None => Draft::new("MASK"),
    };
    let about = about.param(channel).param(birth).param(or_star(by));
    match fact {
        Some(fact) => about.param(format_args!("+{list}")).param(mask).param(&fact.by).param(fact.at.0),
        None => about.param(format_args!("-{list}")).param(mask),
    }
}

fn read_mask(message: &Message) -> Option<Edit> {
    let (on, list) = signed(message.params[3])?;
    let mask = message.params[4].to_string();
    let fact = match message.params[5..] {
        [set_by, at, ..] if on => {
            let until = message.tags.get("until").and_then(|until| until.parse().ok()).map(Timestamp);
            Some(MaskFact { by: set_by.to_string(), at: Timestamp(at.parse().ok()?), until })
        }
        _ if on => return None,
        _ => None,
    };
    let (channel, birth, by) = scope(message)?;
    Some(Edit::Mask { channel, birth, list, mask, fact, by })
}

/// The channel, birth and author with which most of these begin.
fn scope(message: &Message) -> Option<(Folded, Stamp, String)> {
    let [channel, birth, by, ..] = message.params[..] else { return None };
    Some((folded(channel)?, Stamp::parse(birth)?, unless_star(by).to_string()))
}

fn folded(channel: &str) -> Option<Folded> {
    Some(ChannelName::from_peer(channel)?.folded())
}

fn signed(text: &str) -> Option<(bool, char)> {
    let mut chars = text.chars();
    let on = match chars.next()? {
        '+' => true,
        '-' => false,
        _ => return None,
    };
    let letter = chars.next().filter(char::is_ascii_alphabetic)?;
    chars.next().is_none().then_some((on, letter))
}
