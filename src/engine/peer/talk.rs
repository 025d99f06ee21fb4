//! PRIVMSG, NOTICE and TAGMSG: what people say, as every server keeps it.

use super::EventMessage;
use crate::engine::mode;
use crate::engine::network::{Edit, Message as Said, Target, Verb};
use crate::wire::letters::Letters;
use crate::wire::message::{Draft, Message};
use crate::wire::names::{ChannelName, Nick, UserId};

pub const MESSAGES: &[EventMessage] = &[
    EventMessage { name: "PRIVMSG", params_min: 3, read, shape: ":<source> PRIVMSG <uid> <target> :<text>" },
    EventMessage { name: "NOTICE", params_min: 3, read, shape: ":<source> NOTICE <uid> <target> :<text>" },
    EventMessage { name: "TAGMSG", params_min: 2, read, shape: ":<source> TAGMSG <uid> <target>" },
];

/// For a user the target reads `uid/nick`, for a channel as clients write it.
pub fn write_message(said: &Said) -> Draft {
    write_message_onto(Draft::new(said.verb.name()), said)
}

/// The same behind a draft that has its verb already.
pub fn write_message_onto(draft: Draft, said: &Said) -> Draft {
    let mut draft = draft.source(&said.source);
    if let Some(account) = &said.account {
        draft = draft.tag("account", account);
    }
    for (key, value) in &said.tags {
        draft = draft.tag(key, value);
    }
    draft = draft.param(said.sender);
    draft = match &said.target {
        Target::Channel { name, least } => {
            let sign = least.and_then(|letter| mode::prefix(Letters::NONE.with(letter)));
            draft.param(format_args!("{}{name}", sign.map_or(String::new(), String::from)))
        }
        Target::User { user, nick } => draft.param(format_args!("{user}/{nick}")),
    };
    if said.verb == Verb::Tagmsg { draft } else { draft.trailing(&said.text) }
}

fn read(message: &Message) -> Option<Edit> {
    read_message(message).map(Edit::Message)
}

pub fn read_message(message: &Message) -> Option<Said> {
    let verb = Verb::ALL.into_iter().find(|verb| verb.name() == message.command)?;
    let target = message.params[1];
    let target = match target.split_once('/') {
        Some((user, nick)) if !target.contains('#') => {
            Target::User { user: UserId::parse(user)?, nick: Nick::from_peer(nick)? }
        }
        _ => {
            let sign = target.chars().next()?;
            let least = mode::status_of_sign(sign);
            let name = if least.is_some() { &target[sign.len_utf8()..] } else { target };
            Target::Channel { name: ChannelName::from_peer(name)?, least }
        }
    };
    let tags = message.tags.iter().filter(|(key, _)| key.starts_with('+'));
    Some(Said {
        verb,
        sender: UserId::parse(message.params[0])?,
        source: message.source?.to_string(),
        account: message.tags.get("account").map(|account| account.into_owned()),
        target,
        text: message.params.get(2).map_or(String::new(), |text| text.to_string()),
        tags: tags.map(|(key, value)| (key.to_string(), value.into_owned())).collect(),
    })
}
