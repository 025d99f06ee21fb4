//! TRACE: who and what is connected to a server.

use super::{Command, Who};
use crate::engine::Engine;
use crate::engine::network::User;
use crate::engine::query::{ANSWER_LINES_MAX, Query};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::names::Word;
use crate::wire::numeric::{self, Numeric};

pub const COMMANDS: &[Command] = &[Command {
    name: "TRACE",
    params_min: 0,
    who: Who::Operator("stats"),
    run: trace,
    usage: "[<server> | <nick>]",
    help: "Shows what is connected to a server: people, operators, links, and connections without a name; or the one connection of somebody.",
}];

pub const QUERIES: &[&Query] = &[&TRACE];

/// The subject is a nick, where one connection only is asked for.
const TRACE: Query = Query { name: "TRACE", answer: |engine, subject| trace_of(engine, subject).into() };

fn trace(turn: &mut Turn, params: &[&str]) -> Outcome {
    let named = params.first().copied().filter(|named| !named.is_empty());
    let nick = named.filter(|named| turn.network().user_called(named).is_some()).unwrap_or_default();
    turn.query(&TRACE, nick, named)
}

fn trace_of(engine: &Engine, nick: &str) -> Vec<Numeric> {
    let name = &engine.identity.name;
    let mut lines: Vec<Numeric> = match engine.network.user_called(nick).filter(|_| !nick.is_empty()) {
        Some(user) => vec![connection(user)],
        None => {
            let users = engine.network.users_of(engine.identity.sid).map(connection);
            let strangers = engine.sessions.iter().filter(|session| session.is_nobodys());
            let guests = engine.guests().filter_map(|user| engine.network.user(user)).map(connection);
            let strangers = strangers
                .map(|session| numeric::trace_unknown(Word::echo(&session.address.ip().to_string())));
            let links = engine.links.by_conn.values().map(|link| match link.is_accepted() {
                true => numeric::trace_server(Word::echo(&link.label()), name),
                false => numeric::trace_handshake(Word::echo(&link.label())),
            });
            links.chain(strangers).chain(users).chain(guests).collect()
        }
    };
    lines.truncate(ANSWER_LINES_MAX - 1);
    lines.push(numeric::trace_end(name, Word::echo(&engine.identity.version)));
    lines
}

fn connection(user: &User) -> Numeric {
    let (nick, shown) = (&user.nick, Word::echo(&format!("[{}@{}]", user.fact.username, user.fact.host)));
    let address = Word::echo(&user.fact.address);
    match user.is_operator() {
        true => numeric::trace_operator(nick, shown, address),
        false => numeric::trace_user(nick, shown, address),
    }
}
