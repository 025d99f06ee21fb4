//! READ: how far somebody has read, for their own clients on any server.

use super::EventMessage;
use crate::engine::network::{AccountId, Edit};
use crate::wire::fold::{Folded, fold};
use crate::wire::message::{Draft, Message};
use crate::wire::names::CHANNEL_BYTES_MAX;
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[EventMessage {
    name: "READ",
    params_min: 3,
    read: read_marker,
    shape: "<account> <channel or nick, folded> <until when, ms>",
}];

pub fn write_marker(account: AccountId, place: &Folded, time: Timestamp) -> Draft {
    // By its key a server that knows no such fact holds it all the same.
    let draft = Draft::new("READ").tag("key", &format!("read/{account}/{place}"));
    draft.param(account).param(place).param(time.0)
}

fn read_marker(message: &Message) -> Option<Edit> {
    let [account, place, time, ..] = message.params[..] else { return None };
    let is_fit = (1..=CHANNEL_BYTES_MAX).contains(&place.len()) && !place.contains(char::is_control);
    Some(Edit::Read {
        account: AccountId::parse(account)?,
        place: is_fit.then(|| fold(place))?,
        time: Timestamp(time.parse().ok()?),
    })
}
