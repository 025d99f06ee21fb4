//! SETHOST, SETIDENT, CHGHOST, CHGIDENT and CHGNAME: how operators have themselves and others shown.

use super::{Command, Who};
use crate::engine::effect::Topic;
use crate::engine::peer::{Act, Guise};
use crate::engine::pending::Reply;
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::wire::names::{HOST_BYTES_MAX, Word, is_shown_host, is_username};
use crate::wire::numeric;
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "SETHOST",
        params_min: 1,
        who: Who::Operator("guise"),
        run: sethost,
        usage: "<host>",
        help: "Has you shown under another host. MODE -x shows the real one again.",
    },
    Command {
        name: "SETIDENT",
        params_min: 1,
        who: Who::Operator("guise"),
        run: setident,
        usage: "<username>",
        help: "Has you shown under another user name.",
    },
    Command {
        name: "CHGHOST",
        params_min: 2,
        who: Who::Operator("guise"),
        run: chghost,
        usage: "<nick> <host>",
        help: "Has somebody shown under another host.",
    },
    Command {
        name: "CHGIDENT",
        params_min: 2,
        who: Who::Operator("guise"),
        run: chgident,
        usage: "<nick> <username>",
        help: "Has somebody shown under another user name.",
    },
    Command {
        name: "CHGNAME",
        params_min: 2,
        who: Who::Operator("guise"),
        run: chgname,
        usage: "<nick> :<real name>",
        help: "Has somebody shown under another real name.",
    },
];

fn sethost(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (nick, guise) = (turn.called(), host("SETHOST", params[0])?);
    put_on(turn, "SETHOST", &nick, guise)
}

fn setident(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (nick, guise) = (turn.called(), username(turn, params[0])?);
    put_on(turn, "SETIDENT", &nick, guise)
}

fn chghost(turn: &mut Turn, params: &[&str]) -> Outcome {
    let guise = host("CHGHOST", params[1])?;
    put_on(turn, "CHGHOST", params[0], guise)
}

fn chgident(turn: &mut Turn, params: &[&str]) -> Outcome {
    let guise = username(turn, params[1])?;
    put_on(turn, "CHGIDENT", params[0], guise)
}

fn chgname(turn: &mut Turn, params: &[&str]) -> Outcome {
    let most = turn.config().limits.realname_length;
    if params[1].trim().is_empty() || params[1].len() > most {
        let why = format!("A real name has 1 to {most} bytes");
        return Err(Standard::fail("CHGNAME", "INVALID_REALNAME", why).into());
    }
    put_on(turn, "CHGNAME", params[0], Guise::Realname(params[1].to_string()))
}

fn host(command: &'static str, host: &str) -> Result<Guise, Refusal> {
    match is_shown_host(host) {
        true => Ok(Guise::Host(host.to_string())),
        false => {
            let why = format!(
                "A host has 1 to {HOST_BYTES_MAX} letters, digits, dots, hyphens, underscores, slashes and colons"
            );
            Err(Standard::fail(command, "INVALID_HOST", why).into())
        }
    }
}

fn username(turn: &Turn, username: &str) -> Result<Guise, Refusal> {
    match is_username(username) && username.len() <= turn.config().limits.username_length {
        true => Ok(Guise::Username(username.to_string())),
        false => Err(numeric::invalid_username().into()),
    }
}

fn put_on(turn: &mut Turn, command: &'static str, called: &str, guise: Guise) -> Outcome {
    let user = turn.user_within_reach(called)?;
    let (id, nick, whom) = (user.id, user.nick.clone(), user.prefix());
    let by = turn.prefix();
    turn.note(log::Level::Info, Topic::Operator, format!("{by} wants {command} of {whom} to=\"{guise}\""));
    // Of oneself one hears anyway.
    let done = match id == turn.me() {
        true => Vec::new(),
        false => vec![Reply::Notice(format!("{nick} is shown with the {} {guise} now", guise.what()))],
    };
    turn.have_done(id.server(), Act::Guise { user: id, guise, by }, command, Word::echo(called), done)
}
