//! OPER, KILL, WALLOPS and REHASH: what operators do.

use super::{Command, Who};
use crate::config::{Operator, OperatorClass};
use crate::engine::effect::{Effect, Topic};
use crate::engine::follow::Deed;
use crate::engine::peer::{Act, Passing};
use crate::engine::pending::Pending;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::{BODY_BYTES_MAX, cut};
use crate::wire::names::{ServerName, Word};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "OPER",
        params_min: 2,
        who: Who::Registered,
        run: oper,
        usage: "<name> <password>",
        help: "Makes you an operator, with the rights of the class that the config gives the name.",
    },
    Command {
        name: "KILL",
        params_min: 1,
        who: Who::Operator("kill"),
        run: kill,
        usage: "<nick> [:<reason>]",
        help: "Ends somebody's connection, on whichever server it is.",
    },
    Command {
        name: "WALLOPS",
        params_min: 1,
        who: Who::Operator("wallops"),
        run: wallops,
        usage: ":<text>",
        help: "Says something to everyone with user mode w.",
    },
    Command {
        name: "REHASH",
        params_min: 0,
        who: Who::Operator("rehash"),
        run: rehash,
        usage: "[<this server's name>]",
        help: "Has this server read its settings again.",
    },
];

fn oper(turn: &mut Turn, params: &[&str]) -> Outcome {
    // To check a password is slow on purpose, and others wait for theirs.
    if turn.waits_for_oper() {
        return Err(numeric::try_again(Word::echo("OPER")).into());
    }
    let operators = &turn.config().operator;
    let known = operators.iter().find(|operator| operator.name == params[0]);
    let class = known.map(|known| known.class.clone());
    // Which names there are is nobody's business, so a wrong one takes as long as a wrong password: somebody else's is
    // checked, hashed if any is, and whatever comes of it is a no.
    let hashed_first = |operator: &&Operator| !operator.password.starts_with("$argon2");
    let Some(checked) = known.or_else(|| operators.iter().min_by_key(hashed_first)) else {
        note_failure(turn, None);
        return Err(numeric::password_mismatch().into());
    };
    let password = checked.password.clone();
    let pending = Pending::Oper { reply: turn.defer(), name: params[0].to_string(), class };
    turn.verify(params[1].to_string(), password, pending);
    Ok(())
}

/// The password was checked; there is no class for a name that nobody has.
pub fn oper_checked(turn: &mut Turn, name: &str, class: Option<&str>, is_right: bool) -> Outcome {
    let Some(class) = class.filter(|_| is_right) else {
        note_failure(turn, class.map(|_| name));
        return Err(numeric::password_mismatch().into());
    };
    let text = format!("{} is an operator now (name {name:?}, class {class})", turn.prefix());
    turn.record('o', &text, None);
    turn.follow_as(class);
    let (follows, row) = (!turn.session().topics.is_empty(), turn.config().operator_class.get(class));
    let (is_hidden, title) = (row.is_some_and(|row| !row.visible), row.map(|row| row.title.clone()));
    let mut operators = turn.config().operator.iter();
    let vhost = operators.find(|operator| operator.name == name).and_then(|operator| operator.vhost.clone());
    turn.change_me(|fact| {
        fact.modes = fact.modes.with('o').set('H', is_hidden).set('s', follows);
        if let Some(vhost) = vhost {
            fact.modes = fact.modes.with('x');
            fact.host = vhost;
        }
        fact.class = Some(class.to_string());
        fact.title = title.filter(|title| *title != OperatorClass::default().title);
    });
    turn.session_mut().is_operator = true;
    // Only now are its rights this connection's; and as another class than before, they are otherwise on all.
    for conn in turn.engine.sessions.conns_of(turn.me()).to_vec() {
        turn.engine.settle_hurry(conn);
    }
    turn.reply(numeric::you_are_operator());
    turn.show_topics();
    Ok(())
}

/// A name that nobody has is not written down: it may be a password in the wrong place.
fn note_failure(turn: &mut Turn, known: Option<&str>) {
    let name = known.map_or("unknown".to_string(), |name| format!("{name:?}"));
    let text = format!("{} failed to become an operator (name {name})", turn.prefix());
    let from = turn.server_id();
    turn.engine.record(log::Level::Warn, &Deed { topic: 'o', what: &text, why: None, from });
}

fn kill(turn: &mut Turn, params: &[&str]) -> Outcome {
    if turn.network().server_called(params[0]).is_some() || ServerName::parse(params[0]).is_some() {
        return Err(numeric::cannot_kill_server().into());
    }
    let user = turn.user_within_reach(params[0])?;
    let reason = params.get(1).filter(|reason| !reason.is_empty()).copied().unwrap_or("no reason given");
    let reason = cut(reason, turn.config().limits.kick_length).to_string();
    let (user, prefix, by) = (user.id, user.prefix(), turn.prefix());
    let text = format!("{by} wants {prefix} killed why=\"{reason}\"");
    turn.note(log::Level::Info, Topic::Operator, text);
    turn.have_done(user.server(), Act::Kill { user, by, reason }, "KILL", Word::echo(params[0]), Vec::new())
}

fn wallops(turn: &mut Turn, params: &[&str]) -> Outcome {
    if params[0].is_empty() {
        return Err(numeric::need_more_params(Word::echo("WALLOPS")).into());
    }
    let by = turn.prefix();
    let fixed = format!(":{by} WALLOPS :");
    let text = cut(params[0], BODY_BYTES_MAX.saturating_sub(fixed.len())).to_string();
    turn.note(log::Level::Info, Topic::Operator, format!("{by} says WALLOPS text=\"{text}\""));
    turn.pass(Passing::Wallops { by, text });
    Ok(())
}

fn rehash(turn: &mut Turn, params: &[&str]) -> Outcome {
    // Other servers take the name of a part of their settings; that of a server is none.
    if let Some(named) = params.first().filter(|named| !named.eq_ignore_ascii_case(turn.server_name())) {
        if turn.network().server_called(named).is_some() {
            let why =
                format!("You are on {}, and only its settings are read again from here", turn.server_name());
            return Err(numeric::unknown_error(Word::echo("REHASH"), &why).into());
        }
        if named.contains('.') {
            return Err(numeric::no_such_server(Word::echo(named)).into());
        }
    }
    let text = format!("{} has the settings read again", turn.prefix());
    turn.record('s', &text, None);
    let reply = turn.defer();
    let ask = turn.ask(Pending::Rehash { reply });
    turn.effect(Effect::ReadConfig { ask });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::config::Config;
    use crate::engine::{ConnId, Engine, Event, Identity, Origin};
    use crate::wire::line::Lines;

    use crate::wire::time::Now;

    #[test]
    fn a_name_that_nobody_has_costs_as_much_as_a_wrong_password() {
        let operator = |name: &str, password: &str| Operator {
            name: name.to_string(),
            password: password.to_string(),
            class: "administrator".to_string(),
            vhost: None,
        };
        let operators = vec![operator("plain", "hay"), operator("hashed", "$argon2id$")];
        let identity = Identity::of_hall();
        let config = Config { operator: operators, ..Config::default() };
        let mut engine = Engine::new(config, identity, Now::default());
        let conn = ConnId(1);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        engine.step(
            Now::default(),
            Event::Opened {
                conn,
                from: Origin::Client { address, name: None, secure: None, certificate: None },
            },
        );
        engine.step(Now::default(), Event::Lines { conn, lines: "NICK eve\nUSER eve 0 * :Eve".into() });
        for (name, checked) in [("hashed", "$argon2id$"), ("nobody", "$argon2id$"), ("plain", "hay")] {
            let lines = Lines::from(&format!("OPER {name} $argon2id$")[..]);
            let effects = engine.step(Now::default(), Event::Lines { conn, lines });
            let [Effect::Verify { ask, known, .. }] = &effects[..] else { panic!("{name}: {effects:?}") };
            assert_eq!(known, checked, "{name}");
            // Whoever guesses somebody else's password is still nobody.
            let effects = engine.step(Now::default(), Event::Verified { ask: *ask, right: name == "nobody" });
            let is_refused =
                |effect: &Effect| matches!(effect, Effect::Send { line, .. } if line.contains(" 464 "));
            assert!(effects.iter().any(is_refused), "{name}: {effects:?}");
        }
    }
}
