//! LUSERS, CONNECT and SQUIT: the network's size, and its links.

use super::{Command, Who};
use crate::engine::effect::Topic;
use crate::engine::greeting;
use crate::engine::peer::Act;
use crate::engine::pending::Reply;
use crate::engine::query::Query;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::cut;
use crate::wire::names::{ServerName, Word};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "LUSERS",
        params_min: 0,
        who: Who::Registered,
        run: lusers,
        usage: "[<mask> <server>]",
        help: "Counts the people, channels and servers of the network, as a server sees it; the mask is not looked at.",
    },
    Command {
        name: "CONNECT",
        params_min: 1,
        who: Who::Operator("link"),
        run: connect,
        usage: "<server> [[<port>] <caller>]",
        help: "Has a server called now that the caller, this one if none is named, knows by its config or found on the LAN. One that is only waited for is called this once. You are told what came of it. The port is the config's, whatever is said here.",
    },
    Command {
        name: "SQUIT",
        params_min: 1,
        who: Who::Operator("link"),
        run: squit,
        usage: "<server> [:<reason>]",
        help: "Cuts the link by which a server is reached, wherever that is; see MAP. Neither end calls the other for half a minute, unless an operator says CONNECT.",
    },
];

pub const QUERIES: &[&Query] = &[&LUSERS];

const LUSERS: Query = Query { name: "LUSERS", answer: |engine, _| greeting::lusers(engine).into() };

fn lusers(turn: &mut Turn, params: &[&str]) -> Outcome {
    turn.engine.count_users();
    turn.query(&LUSERS, "", params.get(1).copied())
}

fn connect(turn: &mut Turn, params: &[&str]) -> Outcome {
    let name = Word::echo(params[0]);
    let server = ServerName::parse(params[0]).ok_or_else(|| numeric::no_such_server(&name))?;
    // The last one names who shall call; a number is the port of old.
    let caller = params[1..].last().copied().filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()));
    let caller = turn.server_meant(caller)?;
    let text = format!("{} wants CONNECT of {name} by={}", turn.prefix(), turn.network().server_name(caller));
    turn.note(log::Level::Info, Topic::Operator, text);
    let done = match caller == turn.server_id() {
        true => format!("Calling {name}"),
        false => format!("{} calls {name}", turn.network().server_name(caller)),
    };
    let act = Act::Call { server, user: turn.me(), by: turn.prefix() };
    turn.have_done(caller, act, "CONNECT", name, vec![Reply::Notice(done)])
}

fn squit(turn: &mut Turn, params: &[&str]) -> Outcome {
    let name = Word::echo(params[0]);
    let reason = params.get(1).filter(|reason| !reason.is_empty()).copied().unwrap_or("no reason given");
    let reason = cut(reason, turn.config().limits.kick_length).to_string();
    let neighbour = turn.engine.links.accepted().find(|link| link.label().eq_ignore_ascii_case(params[0]));
    let neighbour = neighbour.and_then(|link| link.sid());
    let known = neighbour.or_else(|| turn.network().server_called(params[0]).map(|server| server.id));
    let peer = known.ok_or_else(|| numeric::no_such_server(&name))?;
    let near = match neighbour {
        Some(_) => turn.server_id(),
        None if peer == turn.server_id() => {
            let why = "That is this server: name the one at the other end of the link";
            return Err(numeric::unknown_error(Word::echo("SQUIT"), why).into());
        }
        None => turn.engine.routes.uplink(peer).ok_or_else(|| {
            let why = format!("{name} is out of reach: there is no link to cut");
            numeric::unknown_error(Word::echo("SQUIT"), &why)
        })?,
    };
    let by = turn.prefix();
    let near_name = turn.network().server_name(near).to_string();
    let text = format!("{by} wants SQUIT of {name} from={near_name} why=\"{reason}\"");
    turn.note(log::Level::Info, Topic::Operator, text);
    let done = match neighbour {
        Some(_) => format!("The link to {name} is cut"),
        None => format!("The link between {near_name} and {name} is cut"),
    };
    turn.have_done(near, Act::Cut { peer, by, reason }, "SQUIT", name, vec![Reply::Notice(done)])
}
