//! ETRACE: TRACE for programs, one line for each person of a server, with all that a ban may be set on.

use std::net::IpAddr;

use super::{Command, Who};
use crate::engine::Engine;
use crate::engine::network::User;
use crate::engine::query::{ANSWER_LINES_MAX, Query};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::names::Word;
use crate::wire::numeric::{self, Numeric};

pub const COMMANDS: &[Command] = &[Command {
    name: "ETRACE",
    params_min: 0,
    who: Who::Operator("stats"),
    run: etrace,
    usage: "[-v4 | -v6 | <server> | <nick>]",
    help: "Shows the people of a server one by one, with host, address and real name: all of this one, those who come by one version of IP, those of another server, or one of them.",
}];

pub const QUERIES: &[&Query] = &[&ETRACE];

/// The subject is a nick where one person only is asked for, or one of the options.
const ETRACE: Query = Query { name: "ETRACE", answer: |engine, subject| etrace_of(engine, subject).into() };

const ONLY_V4: &str = "-v4";
const ONLY_V6: &str = "-v6";

fn etrace(turn: &mut Turn, params: &[&str]) -> Outcome {
    let named = params.first().copied().filter(|named| !named.is_empty());
    if let Some(option) = named.filter(|named| [ONLY_V4, ONLY_V6].contains(named)) {
        return turn.query(&ETRACE, option, None);
    }
    let nick = named.filter(|named| turn.network().user_called(named).is_some()).unwrap_or_default();
    turn.query(&ETRACE, nick, named)
}

fn etrace_of(engine: &Engine, subject: &str) -> Vec<Numeric> {
    let here = engine.network.users_of(engine.identity.sid);
    let is_asked = |user: &User| {
        let is_v4 = user.fact.address.parse::<IpAddr>().map(|address| address.is_ipv4());
        match subject {
            "" => true,
            ONLY_V4 => is_v4 == Ok(true),
            ONLY_V6 => is_v4 == Ok(false),
            nick => engine.network.user_called(nick).is_some_and(|called| called.id == user.id),
        }
    };
    let mut lines: Vec<Numeric> = here.filter(|user| is_asked(user)).map(person).collect();
    lines.truncate(ANSWER_LINES_MAX - 1);
    let name = &engine.identity.name;
    lines.push(numeric::trace_end(name, Word::echo(&engine.identity.version)));
    lines
}

fn person(user: &User) -> Numeric {
    let kind = Word::echo(if user.is_operator() { "Oper" } else { "User" });
    let fact = &user.fact;
    let [username, host, address] = [&fact.username, &fact.host, &fact.address].map(|text| Word::echo(text));
    numeric::etrace(kind, &user.nick, username, host, address, &fact.realname)
}
