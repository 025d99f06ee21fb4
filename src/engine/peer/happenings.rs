//! HAPPENED: events of channels, as every server keeps them.

use super::{EventMessage, read_target, write_target};
use crate::engine::network::{Edit, Happening, Target, What};
use crate::wire::message::{Draft, Message};
use crate::wire::names::UserId;

pub const MESSAGES: &[EventMessage] = &[EventMessage {
    name: "HAPPENED",
    params_min: 3,
    read: read_happening,
    shape: ":<source> HAPPENED <uid, or *> <channel> <JOIN|PART|QUIT|KICK|NICK|MODE|TOPIC|RENAME|FORGOTTEN> [<of what>] [:<text>]",
}];

pub fn write_happening(happening: &Happening) -> Draft {
    let mut draft = Draft::new("HAPPENED").source(&happening.source);
    if let Some(account) = &happening.account {
        draft = draft.tag("account", account);
    }
    if happening.is_closed {
        draft = draft.tag("closed", "");
    }
    if happening.is_for_plain {
        draft = draft.tag("plain", "");
    }
    draft = match happening.user {
        Some(user) => draft.param(user),
        None => draft.param("*"),
    };
    let target = Target::Channel { name: happening.channel.clone(), least: happening.least };
    let draft = write_target(draft, &target).param(happening.what.verb());
    match &happening.what {
        What::Joined { realname } => draft.trailing(realname),
        What::Parted { reason: None } | What::Forgotten => draft,
        What::Parted { reason: Some(reason) } | What::Quit { reason } => draft.trailing(reason),
        What::Kicked { nick, reason } => draft.param(nick).trailing(reason),
        What::Renamed { nick } => draft.param(nick),
        What::Modes { line } => draft.trailing(line),
        What::Topic { text } => draft.trailing(text),
        What::Recalled { from, name, reason } => draft.param(from).param(name).trailing(reason),
    }
}

fn read_happening(message: &Message) -> Option<Edit> {
    let [user, target, verb, ref words @ ..] = message.params[..] else { return None };
    let user = match user {
        "*" => None,
        user => Some(UserId::parse(user)?),
    };
    let Target::Channel { name, least } = read_target(target)? else { return None };
    let what = match (verb, words) {
        ("JOIN", [realname, ..]) => What::Joined { realname: realname.to_string() },
        ("PART", words) => What::Parted { reason: words.first().map(|reason| reason.to_string()) },
        ("QUIT", [reason, ..]) => What::Quit { reason: reason.to_string() },
        ("KICK", [nick, reason, ..]) => What::Kicked { nick: nick.to_string(), reason: reason.to_string() },
        ("NICK", [nick, ..]) => What::Renamed { nick: nick.to_string() },
        ("MODE", [line, ..]) => What::Modes { line: line.to_string() },
        ("TOPIC", [text, ..]) => What::Topic { text: text.to_string() },
        ("RENAME", [from, name, reason, ..]) => {
            What::Recalled { from: from.to_string(), name: name.to_string(), reason: reason.to_string() }
        }
        ("FORGOTTEN", _) => What::Forgotten,
        _ => return None,
    };
    // Only where something is set nobody in particular need be there.
    let is_of_channel =
        matches!(what, What::Modes { .. } | What::Topic { .. } | What::Recalled { .. } | What::Forgotten);
    if is_of_channel == user.is_some() {
        return None;
    }
    Some(Edit::Happening(Happening {
        user,
        source: message.source?.to_string(),
        account: message.tags.get("account").map(|account| account.into_owned()),
        channel: name,
        least,
        is_closed: message.tags.get("closed").is_some(),
        is_for_plain: message.tags.get("plain").is_some(),
        what,
    }))
}
