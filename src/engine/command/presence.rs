//! AWAY and SETNAME: what people say of themselves.

use super::{Command, Who};
use crate::engine::attendance::UNATTENDED;
use crate::engine::cap::Cap;
use crate::engine::throttle::Deed;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::cut;
use crate::wire::names::Word;
use crate::wire::numeric;
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "AWAY",
        params_min: 0,
        who: Who::Anyone,
        run: away,
        usage: "[:<why>]",
        help: "Says that you are not at hand, to everyone who writes to you; without a text, that you are back.",
    },
    Command {
        name: "SETNAME",
        params_min: 1,
        who: Who::Registered,
        run: setname,
        usage: ":<real name>",
        help: "Changes your real name.",
    },
];

fn away(turn: &mut Turn, params: &[&str]) -> Outcome {
    let why = params.first().filter(|why| !why.is_empty());
    let why = why.map(|why| cut(why, turn.config().limits.away_length).to_string());
    let reply = if why.is_some() { numeric::now_away() } else { numeric::unaway() };
    let is_unattended = why.as_deref() == Some(UNATTENDED);
    if turn.session().user().is_none() {
        if !turn.wants(Cap::PreAway) {
            return Err(numeric::not_registered().into());
        }
        if let Some(registration) = turn.registration() {
            registration.away = why;
        }
        turn.session_mut().is_unattended = is_unattended;
        turn.reply(reply);
        return Ok(());
    }
    let others = turn.person().conns().len() - 1;
    if is_unattended && others > 0 {
        return leave_to_others(turn);
    }
    turn.session_mut().is_unattended = is_unattended;
    if turn.user().fact.away != why {
        if why.is_some() {
            turn.may(Deed::GoAway).map_err(|_| numeric::try_again(Word::echo("AWAY")))?;
            turn.did(Deed::GoAway);
        }
        turn.change_me(|fact| fact.away = why);
    }
    turn.reply(reply);
    Ok(())
}

/// Says that nobody sits before this client, where somebody may before another.
fn leave_to_others(turn: &mut Turn) -> Outcome {
    let me = turn.me();
    let is_new = !turn.session().is_unattended && turn.user().fact.away.is_none();
    if is_new && turn.engine.is_last_attended(me) {
        turn.may(Deed::GoAway).map_err(|_| numeric::try_again(Word::echo("AWAY")))?;
        turn.did(Deed::GoAway);
    }
    turn.session_mut().is_unattended = true;
    turn.by_voice(|engine| engine.settle_attendance(me));
    turn.reply(numeric::now_away());
    Ok(())
}

fn setname(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (name, most) = (params[0], turn.config().limits.realname_length);
    let is_banned = turn.engine.is_banned_realname(turn.user(), name);
    if name.trim().is_empty() || name.len() > most || is_banned {
        let why = match is_banned {
            true => "That real name is banned from this network".to_string(),
            false => format!("A real name has 1 to {most} bytes"),
        };
        let refusal = Standard::fail("SETNAME", "INVALID_REALNAME", why);
        if !turn.wants(Cap::Setname) {
            return Err(refusal.into());
        }
        // FAIL is part of what a client agrees on with this capability, whatever else it knows.
        let line = refusal.line(turn.server_name());
        turn.say(line);
        return Ok(());
    }
    if turn.user().fact.realname != name {
        turn.change_me(|fact| fact.realname = name.to_string());
    } else if turn.wants(Cap::Setname) {
        // It is so, and whoever asked for it waits to hear that.
        turn.say(format!(":{} SETNAME :{name}", turn.prefix()));
    }
    Ok(())
}
