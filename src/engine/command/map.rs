//! LINKS and MAP: how the network hangs together, as this server sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, Who};
use crate::engine::network::Server;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::mask::glob_matches;
use crate::wire::names::{ServerId, Word};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "LINKS",
        params_min: 0,
        who: Who::Registered,
        run: links,
        usage: "[[<server>] <mask>]",
        help: "Lists the servers of the network, and through which one each is reached from here. Operators with the right `link` see more of each.",
    },
    Command {
        name: "MAP",
        params_min: 0,
        who: Who::Registered,
        run: map,
        usage: "",
        help: "Draws the network: the tree by which messages go out from this server, with what each link costs, and below it with `=` the links that are there in reserve.",
    },
];

fn links(turn: &mut Turn, params: &[&str]) -> Outcome {
    // The mask is the last one: before it a server may be named, and the view is the same everywhere.
    let mask = params.last().copied().filter(|mask| !mask.is_empty()).unwrap_or("*");
    let is_meant = |server: &&Server| glob_matches(mask, &server.fact.name);
    let shows_more = turn.has_right("link");
    let lines = turn.network().servers().filter(is_meant).map(|server| {
        let uplink = turn.engine.routes.uplink(server.id).unwrap_or(server.id);
        let (name, uplink) = (Word::echo(&server.fact.name), Word::echo(turn.network().server_name(uplink)));
        let mut text = server.fact.description.clone();
        if shows_more {
            text = format!("{text} [{}]", details(turn, server));
        }
        numeric::links(name, uplink, turn.engine.routes.hops(server.id), &text)
    });
    let lines: Vec<_> = lines.collect();
    turn.reply_all(lines);
    turn.reply(numeric::end_of_links(Word::echo(mask)));
    Ok(())
}

/// What operators see of a server beyond what it says of itself.
fn details(turn: &Turn, server: &Server) -> String {
    let distance = match turn.engine.routes.distance(server.id) {
        Some(cost) => format!("cost={cost}"),
        None => "out of reach".to_string(),
    };
    let up_s = (turn.now.wall.0.saturating_sub(server.fact.started.0)) / 1000;
    format!("sid={} {distance} version={} up_s={up_s}", server.id, server.fact.version)
}

fn map(turn: &mut Turn, _: &[&str]) -> Outcome {
    let mut below: BTreeMap<ServerId, Vec<ServerId>> = BTreeMap::new();
    let mut used: BTreeSet<(ServerId, ServerId)> = BTreeSet::new();
    for server in turn.network().servers().filter(|server| server.id != turn.server_id()) {
        let uplink = turn.engine.routes.uplink(server.id);
        used.extend(uplink.map(|uplink| pair(uplink, server.id)));
        // Held for a moment after its last path went: shown where it will come back.
        below.entry(uplink.unwrap_or(turn.server_id())).or_default().push(server.id);
    }
    let mut lines = Vec::new();
    draw(turn, turn.server_id(), "", "", &below, &mut lines);
    lines.extend(in_reserve(turn, &used));
    turn.reply_all(lines.iter().map(|line| numeric::map(line)).collect::<Vec<_>>());
    turn.reply(numeric::end_of_map());
    Ok(())
}

fn pair(one: ServerId, other: ServerId) -> (ServerId, ServerId) {
    (one.min(other), one.max(other))
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
    let routes = &turn.engine.routes;
    let link = routes.uplink(server).and_then(|uplink| routes.cost(uplink, server));
    let link = match link {
        Some(cost) => format!(" cost: {cost}"),
        None if server == turn.server_id() => String::new(),
        None => " out of reach".to_string(),
    };
    lines.push(format!("{branch}{} [{server}] users: {users}{link}", turn.network().server_name(server)));
    let children = below.get(&server).map_or(&[][..], Vec::as_slice);
    for (place, child) in children.iter().enumerate() {
        let (branch, under) = if place + 1 == children.len() { ("`- ", "   ") } else { ("|- ", "|  ") };
        draw(turn, *child, &format!("{indent}{branch}"), &format!("{indent}{under}"), below, lines);
    }
}

/// The links that nothing goes over now, as there is a shorter way; each is taken when that is cut.
fn in_reserve(turn: &Turn, used: &BTreeSet<(ServerId, ServerId)>) -> Vec<String> {
    let routes = &turn.engine.routes;
    let mut lines = Vec::new();
    for one in routes.reachable() {
        for (other, cost) in routes.edges(one).filter(|(other, _)| one < *other) {
            if !used.contains(&(one, other)) {
                let (one, other) = (turn.network().server_name(one), turn.network().server_name(other));
                lines.push(format!("= {one} -- {other} cost: {cost}"));
            }
        }
    }
    lines
}
