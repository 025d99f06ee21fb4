//! LUSERS, LINKS, MAP, CONNECT and SQUIT: the network, and how it hangs together.

use std::collections::BTreeMap;

use super::{Command, Who};
use crate::engine::effect::Topic;
use crate::engine::network::Server;
use crate::engine::places::CallFault;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::mask::glob_matches;
use crate::wire::message::cut;
use crate::wire::names::{ServerId, Word};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "LUSERS",
        params_min: 0,
        who: Who::Registered,
        run: |turn, _| {
            turn.lusers();
            Ok(())
        },
        usage: "",
        help: "Counts the people, channels and servers of the network.",
    },
    Command {
        name: "LINKS",
        params_min: 0,
        who: Who::Registered,
        run: links,
        usage: "[<mask>]",
        help: "Lists the servers of the network, and through which one each is reached from here.",
    },
    Command {
        name: "MAP",
        params_min: 0,
        who: Who::Registered,
        run: map,
        usage: "",
        help: "Draws the network as this server sees it.",
    },
    Command {
        name: "CONNECT",
        params_min: 1,
        who: Who::Operator("link"),
        run: connect,
        usage: "<server>",
        help: "Calls a server of the config, or one found on the LAN, now. One that is only waited for is called this once.",
    },
    Command {
        name: "SQUIT",
        params_min: 1,
        who: Who::Operator("link"),
        run: squit,
        usage: "<server> [:<reason>]",
        help: "Cuts the link to a neighbour. This server waits half a minute before it calls there again; the other one may call sooner.",
    },
];

fn links(turn: &mut Turn, params: &[&str]) -> Outcome {
    // The mask is the last one: before it a server may be named, and the view is the same everywhere.
    let mask = params.last().copied().filter(|mask| !mask.is_empty()).unwrap_or("*");
    let is_meant = |server: &&Server| glob_matches(mask, &server.fact.name);
    let lines = turn.network().servers().filter(is_meant).map(|server| {
        let uplink = turn.engine.routes.uplink(server.id).unwrap_or(server.id);
        let (name, uplink) = (Word::echo(&server.fact.name), Word::echo(turn.network().server_name(uplink)));
        numeric::links(name, uplink, turn.engine.routes.hops(server.id), &server.fact.description)
    });
    let lines: Vec<_> = lines.collect();
    turn.reply_all(lines);
    turn.reply(numeric::end_of_links(Word::echo(mask)));
    Ok(())
}

fn map(turn: &mut Turn, _: &[&str]) -> Outcome {
    let mut below: BTreeMap<ServerId, Vec<ServerId>> = BTreeMap::new();
    for server in turn.network().servers().filter(|server| server.id != turn.server_id()) {
        // Held for a moment after its last path went: shown where it will come back.
        let uplink = turn.engine.routes.uplink(server.id).unwrap_or(turn.server_id());
        below.entry(uplink).or_default().push(server.id);
    }
    let mut lines = Vec::new();
    draw(turn, turn.server_id(), "", "", &below, &mut lines);
    turn.reply_all(lines.iter().map(|line| numeric::map(line)).collect::<Vec<_>>());
    turn.reply(numeric::end_of_map());
    Ok(())
}

/// A server and, indented below it, those reached through it.
fn draw(
    turn: &Turn,
    server: ServerId,
    branch: &str,
    indent: &str,
    below: &BTreeMap<ServerId, Vec<ServerId>>,
    lines: &mut Vec<String>,
) {
    let users = turn.network().users_of(server).count();
    lines.push(format!("{branch}{} [{server}] users: {users}", turn.network().server_name(server)));
    let children = below.get(&server).map_or(&[][..], Vec::as_slice);
    for (place, child) in children.iter().enumerate() {
        let (branch, under) = if place + 1 == children.len() { ("`- ", "   ") } else { ("|- ", "|  ") };
        draw(turn, *child, &format!("{indent}{branch}"), &format!("{indent}{under}"), below, lines);
    }
}

fn connect(turn: &mut Turn, params: &[&str]) -> Outcome {
    let name = Word::echo(params[0]);
    match turn.engine.call_now(params[0]) {
        Ok(()) => {
            let text = format!("{} has {name} called", turn.prefix());
            turn.note(log::Level::Info, Topic::Operator, text);
            turn.notice(&format!("Calling {name}"));
        }
        Err(CallFault::Unknown) => return Err(numeric::no_such_server(&name).into()),
        Err(CallFault::Linked) => {
            let why = format!("There is a link to {name} already");
            return Err(numeric::unknown_error(Word::echo("CONNECT"), &why).into());
        }
        Err(CallFault::NoAddress) => {
            let why = format!("The config has no address for {name}, which is to call this server");
            return Err(numeric::unknown_error(Word::echo("CONNECT"), &why).into());
        }
    }
    Ok(())
}

fn squit(turn: &mut Turn, params: &[&str]) -> Outcome {
    let name = Word::echo(params[0]);
    let reason = params.get(1).filter(|reason| !reason.is_empty()).copied().unwrap_or("no reason given");
    let why = format!("SQUIT by {}: {}", turn.user().nick, cut(reason, turn.config().limits.kick_length));
    if turn.engine.drop_link(params[0], &why) {
        let text = format!("{} cut the link to {name} why=\"{why}\"", turn.prefix());
        turn.note(log::Level::Info, Topic::Operator, text);
        turn.notice(&format!("The link to {name} is cut"));
        return Ok(());
    }
    if turn.network().server_called(params[0]).is_some() {
        let why = format!("{name} has no link to this server: SQUIT works between neighbours, see MAP");
        return Err(numeric::unknown_error(Word::echo("SQUIT"), &why).into());
    }
    Err(numeric::no_such_server(name).into())
}
