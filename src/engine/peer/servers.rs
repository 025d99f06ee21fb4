//! SERVER and GOODBYE: what servers say of themselves.

use super::EventMessage;
use crate::engine::network::{Edit, ServerFact};
use crate::wire::message::{Draft, Message};
use crate::wire::names::ServerName;
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[
    EventMessage {
        name: "SERVER",
        params_min: 6,
        read: read_server,
        shape: "<name> <version> <pin> <clients at most> <started, ms> :<description>",
    },
    EventMessage { name: "GOODBYE", params_min: 1, read: read_goodbye, shape: ":<reason>" },
];

pub fn write_server(fact: &ServerFact) -> Draft {
    Draft::new("SERVER")
        .param(&fact.name)
        .param(&fact.version)
        .param(&fact.pin)
        .param(fact.clients_max)
        .param(fact.started.0)
        .trailing(&fact.description)
}

fn read_server(message: &Message) -> Option<Edit> {
    let [name, version, pin, clients_max, started, description, ..] = message.params[..] else { return None };
    Some(Edit::Server(ServerFact {
        name: ServerName::parse(name)?.to_string(),
        version: version.to_string(),
        pin: pin.to_string(),
        clients_max: clients_max.parse().ok()?,
        started: Timestamp(started.parse().ok()?),
        description: description.to_string(),
    }))
}

fn read_goodbye(message: &Message) -> Option<Edit> {
    Some(Edit::Goodbye { reason: message.params.first()?.to_string() })
}
