//! METADATA: what is said of users and channels under keys.

use super::{EventMessage, or_star, unless_star};
use crate::engine::merge::Stamp;
use crate::engine::network::{Edit, Subject};
use crate::wire::message::{Draft, Message};
use crate::wire::names::{ChannelName, MetadataKey, UserId};

pub const MESSAGES: &[EventMessage] = &[EventMessage {
    name: "METADATA",
    params_min: 4,
    read: read_metadata,
    shape: "<uid>|<channel> *|<birth> <by> <key> [:<value>]",
}];

/// Versions that know nothing of metadata keep it as a fact of a key that they cannot read.
pub fn write_metadata(of: &Subject, key: &MetadataKey, value: Option<&str>, by: &str) -> Draft {
    let draft = Draft::new("METADATA").tag("key", &name_of(of, key));
    let draft = if value.is_none() { draft.tag("gone", "") } else { draft };
    let draft = match of {
        Subject::User(user) => draft.param(user).param("*"),
        Subject::Channel(channel, birth) => draft.param(channel).param(birth),
    };
    let draft = draft.param(or_star(by)).param(key);
    match value {
        Some(value) => draft.trailing(value),
        None => draft,
    }
}

/// What a fact is about, in one word.
pub fn name_of(of: &Subject, key: &MetadataKey) -> String {
    match of {
        Subject::User(user) => format!("metadata,{user},{key}"),
        Subject::Channel(channel, birth) => format!("metadata,{channel},{birth},{key}"),
    }
}

fn read_metadata(message: &Message) -> Option<Edit> {
    let [of, birth, by, key, ..] = message.params[..] else { return None };
    let of = match ChannelName::looks_like(of) {
        true => Subject::Channel(ChannelName::from_peer(of)?.folded(), Stamp::parse(birth)?),
        false => Subject::User(UserId::parse(of)?),
    };
    let value = message.params.get(4).filter(|value| !value.is_empty()).map(|value| value.to_string());
    Some(Edit::Metadata { of, key: MetadataKey::parse(key)?, value, by: unless_star(by).to_string() })
}
