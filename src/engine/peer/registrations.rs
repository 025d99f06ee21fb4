//! CHANNEL: which channels are registered, whose they are, and what accounts are there.

use super::{EventMessage, or_star, unless_star};
use crate::engine::merge::Stamp;
use crate::engine::network::{AccountId, Clause, ClauseFact, Edit};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::message::{Draft, Message};
use crate::wire::names::ChannelName;
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[EventMessage {
    name: "CHANNEL",
    params_min: 4,
    read: read_clause,
    shape: "<channel> <claimed> <founded|access/…|successor|offer|description|lock> <by> [<what it says> …]",
}];

/// No text of a registration is longer.
const TEXT_BYTES_MAX: usize = 400;

/// Versions that know nothing of registrations keep each part of one as a fact of a key that they cannot read.
pub fn write_clause(
    channel: &Folded,
    claimed: Stamp,
    clause: Clause,
    fact: Option<&ClauseFact>,
    by: &str,
) -> Draft {
    let draft = Draft::new("CHANNEL").tag("key", &format!("registration,{channel},{claimed},{clause}"));
    let draft = if fact.is_none() { draft.tag("gone", "") } else { draft };
    let draft = match fact {
        // How it is written, too.
        Some(ClauseFact::Founded { name, .. }) => draft.param(name),
        _ => draft.param(channel),
    };
    let draft = draft.param(claimed).param(clause).param(or_star(by));
    match fact {
        None => draft,
        Some(ClauseFact::Founded { birth, founder, at, .. }) => draft.param(birth).param(founder).param(at.0),
        Some(ClauseFact::Access(letters)) => draft.param(format_args!("+{letters}")),
        Some(ClauseFact::Account(account)) => draft.param(account),
        Some(ClauseFact::Text(text)) => draft.trailing(text),
    }
}

fn read_clause(message: &Message) -> Option<Edit> {
    let [name, claimed, clause, by, ..] = message.params[..] else { return None };
    let (name, claimed) = (ChannelName::from_peer(name)?, Stamp::parse(claimed)?);
    let clause = match clause.split_once('/') {
        Some(("access", account)) => Clause::Access(AccountId::parse(account)?),
        Some(_) => return None,
        None => match clause {
            "founded" => Clause::Founded,
            "successor" => Clause::Successor,
            "offer" => Clause::Offer,
            "description" => Clause::Description,
            "lock" => Clause::Lock,
            _ => return None,
        },
    };
    let fact = match (clause, &message.params[4..]) {
        (_, []) => None,
        (Clause::Founded, [birth, founder, at, ..]) => Some(ClauseFact::Founded {
            name: name.clone(),
            birth: Stamp::parse(birth)?,
            founder: AccountId::parse(founder)?,
            at: Timestamp(at.parse().ok()?),
        }),
        (Clause::Access(_), [letters, ..]) => {
            Some(ClauseFact::Access(Letters::parse(letters.strip_prefix('+')?)?))
        }
        (Clause::Successor | Clause::Offer, [account, ..]) => {
            Some(ClauseFact::Account(AccountId::parse(account)?))
        }
        (Clause::Description | Clause::Lock, [text, ..]) if text.len() <= TEXT_BYTES_MAX => {
            Some(ClauseFact::Text(text.to_string()))
        }
        _ => return None,
    };
    Some(Edit::Registration {
        channel: name.folded(),
        claimed,
        clause,
        fact,
        by: unless_star(by).to_string(),
    })
}
