//! ACCOUNT: who comes again, by which name, and what they show for it.
//!
//! Lines that hold what a password is checked against are secrets (`is_secret`): they go over each link apart from all
//! others, so that nobody learns of them by how well something else compresses beside them.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{EventMessage, or_star, unless_star};
use crate::engine::merge::Stamp;
use crate::engine::network::{
    AccountFact, AccountId, Blocked, Credential, Device, Edit, Field, ScramKeys, Suspension,
};
use crate::wire::fold::fold;
use crate::wire::message::{Draft, Message};
use crate::wire::names::{MetadataKey, NICK_BYTES_MAX};
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[
    EventMessage {
        name: "ACCOUNT",
        params_min: 3,
        read: read_account,
        shape: "<account> <registered|name|password|certificate/…|device/…|email|suspension|nick/…|setting/…> <by> [<what it says> …]",
    },
    EventMessage {
        name: "PROFILE",
        params_min: 3,
        read: read_profile,
        shape: "<account> <key> <by> [:<what its owner says of themselves under it>]",
    },
    EventMessage {
        name: "BLOCK",
        params_min: 3,
        read: read_block,
        shape: "<account> <account or mask that is blocked> <by> [<since, ms>]",
    },
];

/// Names of devices and settings are no longer than this, and values of settings than that.
pub const WORD_BYTES_MAX: usize = 32;
pub const TEXT_BYTES_MAX: usize = 400;

/// Rising costs of a login are for the server that checks it; nobody asks for more than this of a client.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

pub fn write_account(account: AccountId, field: &Field, fact: Option<&AccountFact>, by: &str) -> Draft {
    let draft = match field {
        Field::Metadata(key) => keyed("PROFILE", account, key, fact.is_none()).param(or_star(by)),
        Field::Block(blocked) => keyed("BLOCK", account, blocked, fact.is_none()).param(or_star(by)),
        _ => Draft::new("ACCOUNT").param(account).param(field).param(or_star(by)),
    };
    match fact {
        None => draft,
        Some(AccountFact::Registered(at)) => draft.param(at.0),
        Some(AccountFact::Name { name, claimed }) => draft.param(name).param(claimed),
        Some(AccountFact::Password(Credential { hash, scram })) => draft
            .param(hash)
            .param(scram.iterations)
            .param(BASE64.encode(&scram.salt))
            .param(BASE64.encode(scram.stored))
            .param(BASE64.encode(scram.server)),
        Some(AccountFact::Certificate { added }) => draft.param(added.0),
        Some(AccountFact::Device(device)) => {
            draft.param(device.added.0).param(BASE64.encode(device.digest)).param(&device.name)
        }
        Some(AccountFact::Email(address)) => draft.trailing(address),
        Some(AccountFact::Suspension(suspension)) => draft
            .param(suspension.until.map_or(0, |until| until.0))
            .param(suspension.set.0)
            .param(or_star(&suspension.by))
            .trailing(&suspension.reason),
        Some(AccountFact::Nick { nick, claimed }) => draft.param(nick).param(claimed),
        Some(AccountFact::Metadata(value)) => draft.trailing(value),
        Some(AccountFact::Block { added }) => draft.param(added.0),
        Some(AccountFact::Setting(value)) => draft.trailing(value),
    }
}

/// What not every version knows: by its key a server that does not holds it all the same.
fn keyed(verb: &'static str, account: AccountId, of: impl Display, is_gone: bool) -> Draft {
    let draft = Draft::new(verb).tag("key", &format!("{}/{account}/{of}", verb.to_ascii_lowercase()));
    let draft = if is_gone { draft.tag("gone", "") } else { draft };
    draft.param(account).param(of)
}

fn read_profile(message: &Message) -> Option<Edit> {
    let (account, key) = (AccountId::parse(message.params[0])?, MetadataKey::parse(message.params[1])?);
    let by = unless_star(message.params[2]).to_string();
    let fact = match message.params.get(3) {
        None => None,
        Some(value) => Some(AccountFact::Metadata(text(value).filter(|value| !value.is_empty())?)),
    };
    Some(Edit::Account { account, field: Field::Metadata(key), fact, by })
}

fn read_block(message: &Message) -> Option<Edit> {
    let (account, blocked) = (AccountId::parse(message.params[0])?, Blocked::parse(message.params[1])?);
    let by = unless_star(message.params[2]).to_string();
    let fact = match message.params.get(3) {
        None => None,
        Some(added) => Some(AccountFact::Block { added: Timestamp(added.parse().ok()?) }),
    };
    Some(Edit::Account { account, field: Field::Block(blocked), fact, by })
}

fn read_account(message: &Message) -> Option<Edit> {
    let account = AccountId::parse(message.params[0])?;
    let field = read_field(message.params[1])?;
    let by = unless_star(message.params[2]).to_string();
    let fact = match &message.params[3..] {
        [] => None,
        words => Some(read_fact(&field, words)?),
    };
    Some(Edit::Account { account, field, fact, by })
}

fn read_field(text: &str) -> Option<Field> {
    let (kind, of) = text.split_once('/').map_or((text, None), |(kind, of)| (kind, Some(of)));
    Some(match (kind, of) {
        ("registered", None) => Field::Registered,
        ("name", None) => Field::Name,
        ("password", None) => Field::Password,
        ("certificate", Some(pin)) => Field::Certificate(Pin::parse(pin)?),
        ("device", Some(name)) => Field::Device(fold(word(name, WORD_BYTES_MAX)?)),
        ("email", None) => Field::Email,
        ("suspension", None) => Field::Suspension,
        ("nick", Some(nick)) => Field::Nick(fold(word(nick, NICK_BYTES_MAX)?)),
        ("setting", Some(key)) => Field::Setting(word(key, WORD_BYTES_MAX)?.to_string()),
        _ => return None,
    })
}

fn read_fact(field: &Field, words: &[&str]) -> Option<AccountFact> {
    let time = |text: &str| text.parse().ok().map(Timestamp);
    Some(match (field, words) {
        (Field::Registered, [at, ..]) => AccountFact::Registered(time(at)?),
        (Field::Name, [name, claimed, ..]) => AccountFact::Name {
            name: word(name, NICK_BYTES_MAX)?.to_string(),
            claimed: Stamp::parse(claimed)?,
        },
        (Field::Password, [hash, iterations, salt, stored, server, ..]) => {
            AccountFact::Password(Credential {
                hash: word(hash, TEXT_BYTES_MAX)?.to_string(),
                scram: ScramKeys {
                    iterations: iterations.parse().ok().filter(|count| ITERATIONS.contains(count))?,
                    salt: BASE64.decode(salt).ok().filter(|salt| (8..=64).contains(&salt.len()))?,
                    stored: key(stored)?,
                    server: key(server)?,
                },
            })
        }
        (Field::Certificate(_), [added, ..]) => AccountFact::Certificate { added: time(added)? },
        (Field::Device(folded), [added, digest, name, ..]) if fold(name) == *folded => {
            AccountFact::Device(Device { name: name.to_string(), digest: key(digest)?, added: time(added)? })
        }
        (Field::Email, [address, ..]) => AccountFact::Email(text(address)?),
        (Field::Suspension, [until, set, by, reason, ..]) => AccountFact::Suspension(Suspension {
            until: Some(time(until)?).filter(|until| until.0 > 0),
            set: time(set)?,
            by: unless_star(by).to_string(),
            reason: reason.to_string(),
        }),
        (Field::Nick(folded), [nick, claimed, ..]) if fold(nick) == *folded => {
            AccountFact::Nick { nick: nick.to_string(), claimed: Stamp::parse(claimed)? }
        }
        (Field::Setting(_), [value, ..]) => AccountFact::Setting(text(value)?),
        _ => return None,
    })
}

fn key(text: &str) -> Option<[u8; 32]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// What stands between spaces, and cannot begin a trailing parameter.
fn word(text: &str, bytes_max: usize) -> Option<&str> {
    let is_fit = (1..=bytes_max).contains(&text.len())
        && !text.starts_with([':', '*'])
        && text.chars().all(|c| c.is_ascii_graphic());
    is_fit.then_some(text)
}

fn text(text: &str) -> Option<String> {
    (text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control)).then(|| text.to_string())
}
