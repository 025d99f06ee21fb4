//! SERVER and GOODBYE: what servers say of themselves.

use super::{EventMessage, or_star, unless_star};
use crate::engine::network::{ClientDoor, Edit, ServerFact};
use crate::wire::message::{Draft, Message};
use crate::wire::names::ServerName;
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[
    EventMessage {
        name: "SERVER",
        params_min: 7,
        read: read_server,
        shape: "<name> <version> <pin> <clients at most> <started, ms> <host:port or host:+port for TLS, by comma, or *> :<description>",
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
        .param(or_star(&write_doors(&fact.doors)))
        .trailing(&fact.description)
}

fn read_server(message: &Message) -> Option<Edit> {
    let [name, version, pin, clients_max, started, doors, description, ..] = message.params[..] else {
        return None;
    };
    Some(Edit::Server(ServerFact {
        name: ServerName::parse(name)?.to_string(),
        version: version.to_string(),
        pin: pin.to_string(),
        clients_max: clients_max.parse().ok()?,
        started: Timestamp(started.parse().ok()?),
        doors: read_doors(unless_star(doors))?,
        description: description.to_string(),
    }))
}

/// As IRC has it: a plus before the port where TLS is spoken.
fn write_doors(doors: &[ClientDoor]) -> String {
    let doors = doors.iter().map(|door| {
        let plus = if door.secure { "+" } else { "" };
        // An address of IPv6 has colons of its own, and may begin with one.
        let is_v6 = door.host.contains(':');
        let host = if is_v6 { format!("[{}]", door.host) } else { door.host.clone() };
        format!("{host}:{plus}{}", door.port)
    });
    doors.collect::<Vec<String>>().join(",")
}

fn read_doors(text: &str) -> Option<Vec<ClientDoor>> {
    let doors = text.split(',').filter(|door| !door.is_empty()).map(|door| {
        let (host, port) = door.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let (port, secure) = port.strip_prefix('+').map_or((port, false), |port| (port, true));
        (!host.is_empty()).then_some(())?;
        Some(ClientDoor { host: host.to_string(), port: port.parse().ok()?, secure })
    });
    doors.collect()
}

fn read_goodbye(message: &Message) -> Option<Edit> {
    Some(Edit::Goodbye { reason: message.params.first()?.to_string() })
}
