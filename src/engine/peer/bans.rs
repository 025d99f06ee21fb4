//! BAN: who may not be on the network.

use super::{EventMessage, or_star, unless_star};
use crate::engine::network::{BanFact, BanKind, Edit};
use crate::wire::message::{Draft, Message};
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[EventMessage {
    name: "BAN",
    params_min: 3,
    read: read_ban,
    shape: "<K|D|X> <mask> <by> [<until, ms, or 0> <set at, ms> <set by> :<reason>]",
}];

pub fn write_ban(kind: BanKind, mask: &str, fact: Option<&BanFact>, by: &str) -> Draft {
    let draft = Draft::new("BAN").param(kind.letter()).param(mask).param(or_star(by));
    let Some(fact) = fact else { return draft };
    let until_ms = fact.until.map_or(0, |until| until.0);
    draft.param(until_ms).param(fact.set.0).param(or_star(&fact.by)).trailing(&fact.reason)
}

fn read_ban(message: &Message) -> Option<Edit> {
    let (kind, mask) = (BanKind::from_letter(message.params[0])?, message.params[1].to_string());
    let fact = match message.params[3..] {
        [] => None,
        [until, set, by, reason, ..] => Some(BanFact {
            until: Some(Timestamp(until.parse().ok()?)).filter(|until| until.0 > 0),
            set: Timestamp(set.parse().ok()?),
            by: unless_star(by).to_string(),
            reason: reason.to_string(),
        }),
        _ => return None,
    };
    Some(Edit::Ban { kind, mask, fact, by: unless_star(message.params[2]).to_string() })
}
