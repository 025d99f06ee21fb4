//! DIE, RESTART and CLOSE: what ends, by an operator's word.

use super::{Command, Who};
use crate::engine::effect::Effect;
use crate::engine::event::ConnId;
use crate::engine::session::Stage;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::cut;
use crate::wire::names::Word;
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "DIE",
        params_min: 1,
        who: Who::Operator("die"),
        run: |turn, params| end(turn, params, false),
        usage: "<this server's name> [:<reason>]",
        help: "Stops this server. It has to be named, so that nobody stops another one than was meant.",
    },
    Command {
        name: "RESTART",
        params_min: 1,
        who: Who::Operator("die"),
        run: |turn, params| end(turn, params, true),
        usage: "<this server's name> [:<reason>]",
        help: "Stops this server and starts it again, with its settings and its program as they are on disk then.",
    },
    Command {
        name: "CLOSE",
        params_min: 0,
        who: Who::Operator("kill"),
        run: close,
        usage: "",
        help: "Closes all connections to this server that have not said who they are yet.",
    },
];

fn end(turn: &mut Turn, params: &[&str], again: bool) -> Outcome {
    let named = params[0];
    if !named.eq_ignore_ascii_case(turn.server_name()) {
        return Err(match turn.network().server_called(named) {
            Some(_) => {
                let why =
                    format!("You are on {}, and only that can be stopped from here", turn.server_name());
                numeric::unknown_error(Word::echo(if again { "RESTART" } else { "DIE" }), &why)
            }
            None => numeric::no_such_server(Word::echo(named)),
        }
        .into());
    }
    let reason = params.get(1).copied().filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| cut(reason, turn.config().limits.kick_length).to_string());
    let verb = if again { "restarts" } else { "stops" };
    turn.record('s', &format!("{} {verb} {}", turn.prefix(), turn.server_name()), reason.as_deref());
    let by = turn.user().nick.to_string();
    let why = format!("{} by {by}", if again { "Restarted" } else { "Stopped" });
    let why = reason.map_or(why.clone(), |reason| format!("{why}: {reason}"));
    turn.effect(Effect::End { why, again });
    Ok(())
}

fn close(turn: &mut Turn, _: &[&str]) -> Outcome {
    let unregistered = turn.engine.sessions.iter();
    let unregistered = unregistered.filter(|session| matches!(session.stage, Stage::Registering(_)));
    let conns: Vec<(ConnId, String)> =
        unregistered.map(|session| (session.conn, session.address.to_string())).collect();
    for (conn, address) in &conns {
        turn.reply(numeric::closing(Word::echo(address)));
        turn.engine.close_client(*conn, "Closed by an operator");
    }
    turn.record('r', &format!("{} closes connections without a name: {}", turn.prefix(), conns.len()), None);
    turn.reply(numeric::close_end(conns.len()));
    Ok(())
}
