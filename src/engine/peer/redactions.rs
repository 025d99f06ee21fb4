//! REDACT: what people take back, as every server hears of it.

use super::{EventMessage, read_target, write_target};
use crate::engine::merge::{Dot, Stamp};
use crate::engine::network::{Edit, Redaction};
use crate::wire::message::{Draft, Message};
use crate::wire::names::UserId;

pub const MESSAGES: &[EventMessage] = &[EventMessage {
    name: "REDACT",
    params_min: 4,
    read: read_redaction,
    shape: ":<source> REDACT <uid> <target> <dot of the message> <when it was said> [:<reason>]",
}];

pub fn write_redaction(redaction: &Redaction) -> Draft {
    let mut draft = Draft::new("REDACT").source(&redaction.source);
    if let Some(account) = &redaction.account {
        draft = draft.tag("account", account);
    }
    draft = write_target(draft.param(redaction.sender), &redaction.target);
    draft = draft.param(redaction.message).param(redaction.said);
    match &redaction.reason {
        Some(reason) => draft.trailing(reason),
        None => draft,
    }
}

fn read_redaction(message: &Message) -> Option<Edit> {
    let [sender, target, dot, said, ref reason @ ..] = message.params[..] else { return None };
    Some(Edit::Redact(Redaction {
        sender: UserId::parse(sender)?,
        source: message.source?.to_string(),
        account: message.tags.get("account").map(|account| account.into_owned()),
        target: read_target(target)?,
        message: Dot::parse(dot)?,
        said: Stamp::parse(said)?,
        reason: reason.first().map(|reason| reason.to_string()),
    }))
}
