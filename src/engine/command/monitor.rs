//! MONITOR: being told when people come and go, wherever on the network they are.

use super::{Command, Who};
use crate::engine::monitor::in_lines;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::names::{Nick, Word};
use crate::wire::numeric::{self, Numeric};

pub const COMMANDS: &[Command] = &[Command {
    name: "MONITOR",
    params_min: 1,
    who: Who::Registered,
    run: monitor,
    usage: "+ <nick>{,<nick>} | - <nick>{,<nick>} | C | L | S",
    help: "Tells you when these people come and go. +: adds to your list, -: takes off it, C: clears it, L: lists it, S: says who is here.",
}];

fn monitor(turn: &mut Turn, params: &[&str]) -> Outcome {
    let conn = turn.conn;
    match (params[0], params.get(1)) {
        ("+" | "-", None) => return Err(numeric::need_more_params(Word::echo("MONITOR")).into()),
        ("+", Some(targets)) => add(turn, targets),
        ("-", Some(targets)) => {
            for nick in nicks(turn, targets) {
                turn.engine.monitors.remove(conn, &nick.folded());
            }
        }
        ("C" | "c", _) => turn.engine.monitors.clear(conn),
        ("L" | "l", _) => {
            let list: Vec<String> = turn.engine.monitors.of(conn).map(Nick::to_string).collect();
            reply(turn, list, numeric::monitor_list);
            turn.reply(numeric::end_of_monitor_list());
        }
        ("S" | "s", _) => {
            let list = turn.engine.monitors.of(conn).cloned().collect();
            tell_presence(turn, list);
        }
        (modifier, _) => {
            let why = format!("There is no MONITOR {}: it takes + - C L or S", Word::echo(modifier));
            return Err(numeric::unknown_error(Word::echo("MONITOR"), &why).into());
        }
    }
    Ok(())
}

/// Masks and whatever else is no nick are passed over, as they are everywhere: nobody can ever be called so.
fn nicks(turn: &Turn, targets: &str) -> Vec<Nick> {
    let most = turn.config().limits.nick_length;
    targets.split(',').filter_map(|target| Nick::parse(target, most)).collect()
}

fn add(turn: &mut Turn, targets: &str) {
    let (conn, most) = (turn.conn, turn.config().limits.monitored_nicks);
    let (mut added, mut beyond) = (Vec::new(), Vec::new());
    for nick in nicks(turn, targets) {
        if turn.engine.monitors.has(conn, &nick.folded()) {
            continue;
        }
        if turn.engine.monitors.count(conn) >= most {
            beyond.push(nick.to_string());
            continue;
        }
        let holder = turn.network().user_called(nick.as_str());
        let holder = holder.filter(|user| turn.engine.is_here_for(conn, user)).map(|user| user.id);
        turn.engine.monitors.add(conn, nick.clone(), holder);
        added.push(nick);
    }
    tell_presence(turn, added);
    reply(turn, beyond, |text| numeric::monitor_list_full(most, Word::echo(text)));
}

fn tell_presence(turn: &mut Turn, nicks: Vec<Nick>) {
    let (mut here, mut gone, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for nick in nicks {
        let holder = turn.network().user_called(nick.as_str());
        match holder.filter(|user| turn.engine.is_here_for(turn.conn, user)) {
            Some(user) => {
                here.push(user.prefix());
                users.push(user.id);
            }
            None => gone.push(nick.to_string()),
        }
    }
    reply(turn, here, numeric::monitored_online);
    reply(turn, gone, numeric::monitored_offline);
    if turn.session().wants_metadata() {
        users.into_iter().for_each(|user| turn.sync_user(user));
    }
}

fn reply(turn: &mut Turn, names: Vec<String>, numeric: impl Fn(&str) -> Numeric) {
    let lines = in_lines(names, numeric, turn.server_name(), &turn.called());
    turn.reply_all(lines);
}
