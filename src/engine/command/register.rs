//! CAP, PASS, NICK, USER, PING, PONG and QUIT: how a connection becomes a user, and stops being one.

use super::{Command, Who};
use crate::engine::cap::{Cap, Caps};
use crate::engine::effect::Topic;
use crate::engine::event::ConnId;
use crate::engine::network::{Edit, UserFact};
use crate::engine::pending::Pending;
use crate::engine::policy;
use crate::engine::session::PasswordState;
use crate::engine::turn::{Outcome, Turn};
use crate::engine::{Engine, turn};
use crate::wire::letters::Letters;
use crate::wire::message::cut;
use crate::wire::names::{Nick, UserId, Word};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "CAP",
        params_min: 1,
        who: Who::Anyone,
        run: cap,
        usage: "LS [302] | LIST | REQ :<capabilities> | END",
        help: "Agrees with the server on what this client understands.",
    },
    Command {
        name: "PASS",
        params_min: 1,
        who: Who::Unregistered,
        run: pass,
        usage: "<password>",
        help: "Gives the server's password, before NICK and USER.",
    },
    Command {
        name: "NICK",
        params_min: 0,
        who: Who::Anyone,
        run: nick,
        usage: "<nick>",
        help: "Takes a nick, or another one.",
    },
    Command {
        name: "USER",
        params_min: 4,
        who: Who::Unregistered,
        run: user,
        usage: "<username> 0 * :<real name>",
        help: "Says who you are, once, as you connect.",
    },
    Command {
        name: "PING",
        params_min: 0,
        who: Who::Anyone,
        run: ping,
        usage: "<token>",
        help: "Asks the server for a sign of life: it answers PONG with the same token.",
    },
    Command {
        name: "PONG",
        params_min: 0,
        who: Who::Anyone,
        run: pong,
        usage: "<token>",
        help: "Answers the server's PING.",
    },
    Command {
        name: "QUIT",
        params_min: 0,
        who: Who::Anyone,
        run: quit,
        usage: "[:<reason>]",
        help: "Leaves the network.",
    },
];

// Capabilities.

fn cap(turn: &mut Turn, params: &[&str]) -> Outcome {
    let subcommand = params[0].to_ascii_uppercase();
    match subcommand.as_str() {
        "LS" => {
            let version = params.get(1).and_then(|version| version.parse().ok()).unwrap_or(301);
            let session = turn.session_mut();
            session.cap_version = session.cap_version.max(version);
            if session.cap_version >= 302 {
                // Who knows of 302 is told of changes without asking.
                session.caps.set(Cap::CapNotify, true);
            }
            begin_negotiating(turn);
            let is_302 = turn.session().cap_version >= 302;
            list(turn, "LS", Cap::ALL.iter().map(|cap| cap.name()), is_302);
        }
        "LIST" => {
            let (caps, is_302) = (turn.session().caps, turn.session().cap_version >= 302);
            list(turn, "LIST", caps.iter().map(Cap::name), is_302);
        }
        "REQ" => {
            begin_negotiating(turn);
            request(turn, params.get(1).copied().unwrap_or_default());
        }
        "END" => {
            if let Some(registration) = turn.registration() {
                registration.negotiating = false;
                return complete(turn);
            }
        }
        _ => return Err(numeric::invalid_cap_command(&Word::echo(params[0])).into()),
    }
    Ok(())
}

fn begin_negotiating(turn: &mut Turn) {
    if let Some(registration) = turn.registration() {
        registration.negotiating = true;
    }
}

/// All in one line, or in several of which all but the last carry a star, for those who know of it.
fn list(turn: &mut Turn, subcommand: &str, names: impl Iterator<Item = &'static str>, is_302: bool) {
    let start = format!(":{} CAP {} {subcommand}", turn.server_name(), cap_target(turn));
    let room = 500 - start.len();
    let mut lines = vec![String::new()];
    for name in names {
        let line = lines.last_mut().expect("there is always one");
        if is_302 && line.len() + name.len() > room {
            lines.push(name.to_string());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(name);
        }
    }
    let last = lines.len() - 1;
    for (place, line) in lines.into_iter().enumerate() {
        let more = if place == last { "" } else { " *" };
        turn.say(format!("{start}{more} :{line}"));
    }
}

/// All that is asked for, or nothing.
fn request(turn: &mut Turn, names: &str) {
    let mut caps: Caps = turn.session().caps;
    let is_302 = turn.session().cap_version >= 302;
    let is_fit = names.split_ascii_whitespace().all(|name| {
        let (name, on) = name.strip_prefix('-').map_or((name, true), |name| (name, false));
        match Cap::find(name) {
            // Not to be had without the other, say those who agreed on 302.
            Some(Cap::CapNotify) if !on && is_302 => false,
            Some(cap) => {
                caps.set(cap, on);
                true
            }
            None => false,
        }
    });
    if is_fit {
        turn.session_mut().caps = caps;
    }
    let verdict = if is_fit { "ACK" } else { "NAK" };
    let names = cut(names, 400);
    turn.say(format!(":{} CAP {} {verdict} :{names}", turn.server_name(), cap_target(turn)));
}

fn cap_target(turn: &Turn) -> String {
    match turn.session().user() {
        Some(_) => turn.user().nick.to_string(),
        None => "*".to_string(),
    }
}

// Registration.

fn pass(turn: &mut Turn, params: &[&str]) -> Outcome {
    let password = params[0].to_string();
    if let Some(registration) = turn.registration() {
        registration.password = Some(password);
    }
    Ok(())
}

fn nick(turn: &mut Turn, params: &[&str]) -> Outcome {
    let wanted =
        params.first().copied().filter(|nick| !nick.is_empty()).ok_or_else(numeric::no_nick_given)?;
    let nick = turn.parse_nick(wanted)?;
    let me = turn.session().user();
    if let Some(holder) = turn.network().holder(&nick.folded())
        && Some(holder) != me
    {
        return Err(numeric::nick_in_use(&nick).into());
    }
    if me.is_none() {
        if let Some(registration) = turn.registration() {
            registration.nick = Some(nick);
        }
        return complete(turn);
    }
    if turn.user().nick == nick {
        return Ok(());
    }
    policy::may_rename(turn.network(), turn.user())?;
    let is_same_name = turn.user().nick.folded() == nick.folded();
    let claimed = if is_same_name { turn.user().fact.claimed } else { turn.stamp() };
    turn.change_me(|fact| {
        fact.nick = nick;
        fact.claimed = claimed;
    });
    Ok(())
}

fn user(turn: &mut Turn, params: &[&str]) -> Outcome {
    let limits = &turn.config().limits;
    let fit: String =
        params[0].chars().filter(|c| c.is_ascii_alphanumeric() || "-_.[]\\`^{|}".contains(*c)).collect();
    if fit.is_empty() {
        return Err(numeric::invalid_username().into());
    }
    let username = cut(&fit, limits.username_length).to_string();
    let realname = cut(params[3], limits.realname_length).to_string();
    if let Some(registration) = turn.registration() {
        registration.username = Some(username);
        registration.realname = realname;
    }
    complete(turn)
}

/// Registers a connection that has said all it needs to.
fn complete(turn: &mut Turn) -> Outcome {
    let known_password = turn.config().server.password.clone();
    let Some(registration) = turn.registration() else { return Ok(()) };
    if registration.negotiating {
        return Ok(());
    }
    let (Some(nick), Some(username)) = (registration.nick.clone(), registration.username.clone()) else {
        return Ok(());
    };
    if !known_password.is_empty() {
        match registration.password_state {
            PasswordState::Right => {}
            PasswordState::Checking => return Ok(()),
            PasswordState::Unchecked => {
                let Some(given) = registration.password.clone() else {
                    turn.reply(numeric::password_mismatch());
                    turn.close("This server needs a password");
                    return Ok(());
                };
                registration.password_state = PasswordState::Checking;
                let pending = Pending::Password { conn: turn.conn };
                turn.verify(given, known_password, pending);
                return Ok(());
            }
        }
    }
    if turn.network().holder(&nick.folded()).is_some() {
        // Taken by somebody who was quicker; the client is asked for another.
        if let Some(registration) = turn.registration() {
            registration.nick = None;
        }
        return Err(numeric::nick_in_use(&nick).into());
    }
    let realname = turn.registration().map(|registration| registration.realname.clone()).unwrap_or_default();
    register(turn, nick, username, realname);
    Ok(())
}

fn register(turn: &mut Turn, nick: Nick, username: String, realname: String) {
    let engine = &mut *turn.engine;
    engine.users_made += 1;
    let user = UserId::numbered(engine.identity.sid, engine.users_made);
    engine.sessions.register(turn.conn, user);
    let session = turn.session();
    let (host, is_secure) = (turn.engine.shown_host(session), session.secure.is_some());
    let claimed = turn.stamp();
    let fact = UserFact {
        nick: nick.clone(),
        claimed,
        username,
        address: host.clone(),
        host,
        realname,
        account: None,
        away: None,
        modes: Letters::NONE,
        class: None,
        secure: is_secure,
        signed_on: turn.now.wall,
    };
    let text = format!(
        "conn={} registered nick={nick} uid={user} username={} host={}",
        turn.conn.0, fact.username, fact.host
    );
    turn.note(log::Level::Info, Topic::Client, text);
    turn.change(Edit::User { user, fact });
    turn.welcome();
}

impl Engine {
    /// The server's password was checked.
    pub(in crate::engine) fn password_checked(&mut self, conn: ConnId, is_right: bool) {
        if self.sessions.get(conn).is_none() {
            return;
        }
        let mut turn = turn::Turn::new(self, conn);
        if !is_right {
            turn.reply(numeric::password_mismatch());
            return turn.close("Password incorrect");
        }
        if let Some(registration) = turn.registration() {
            registration.password_state = PasswordState::Right;
            if let Err(refusal) = complete(&mut turn) {
                turn.refuse(refusal);
            }
        }
    }
}

// Signs of life, and the end.

fn ping(turn: &mut Turn, params: &[&str]) -> Outcome {
    let token = params.first().ok_or_else(numeric::no_origin)?;
    turn.say(format!(":{0} PONG {0} :{token}", turn.server_name()));
    Ok(())
}

fn pong(_: &mut Turn, _: &[&str]) -> Outcome {
    // That it came was what counted, and the session has noted it.
    Ok(())
}

fn quit(turn: &mut Turn, params: &[&str]) -> Outcome {
    let why = match params.first().copied().filter(|why| !why.is_empty()) {
        Some(why) => format!("Quit: {}", cut(why, turn.config().limits.kick_length)),
        None => "Client quit".to_string(),
    };
    turn.close(&why);
    Ok(())
}
