//! CAP, PASS, NICK, USER, PING, PONG and QUIT: how a connection becomes a user, and stops being one.

use super::{Command, Who};
use crate::defect::{Defect, is_planted};
use crate::engine::cap::{Cap, Caps};
use crate::engine::effect::{Effect, Topic};
use crate::engine::elsewhere::ANSWER_WITHIN_MS;
use crate::engine::merge::Stamp;
use crate::engine::network::{Edit, Subject, UserFact};
use crate::engine::offer::{self, Offer};
use crate::engine::peer::Request;
use crate::engine::pending::{Pending, Then};
use crate::engine::policy;
use crate::engine::session::{Gated, PasswordState, Registration};
use crate::engine::throttle::Deed;
use crate::engine::turn::{Deferred, Outcome, Refusal, Turn};
use crate::engine::{Engine, turn};
use crate::wire::letters::Letters;
use crate::wire::message::{BODY_BYTES_MAX, cut, fill};
use crate::wire::names::{Nick, ServerId, UserId, Word, is_username_char};
use crate::wire::numeric;
use crate::wire::standard::Standard;

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
        usage: "<token> [<server>]",
        help: "Asks this server, or through it another one, for a sign of life: PONG with the same token.",
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
                let mut caps = session.caps;
                caps.set(Cap::CapNotify, true);
                let conn = turn.conn;
                turn.engine.sessions.set_caps(conn, caps);
            }
            begin_negotiating(turn);
            // Answered as it was asked, whatever was said before.
            let offers = offer::offers(turn.config(), offer::Way::of(turn.session()));
            match version >= 302 {
                true => list(turn, "LS", offers.iter().map(Offer::shown)),
                false => {
                    let room = BODY_BYTES_MAX.saturating_sub(start_of(turn, "LS").len() + " :".len());
                    let names = offer::names_on_one_line(&offers, room);
                    turn.say(format!("{} :{names}", start_of(turn, "LS")));
                }
            }
        }
        "LIST" => {
            let caps = turn.session().caps;
            list(turn, "LIST", caps.iter().map(|cap| cap.name().to_string()));
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
        _ => return Err(numeric::invalid_cap_command(Word::echo(params[0])).into()),
    }
    Ok(())
}

fn begin_negotiating(turn: &mut Turn) {
    if let Some(registration) = turn.registration() {
        registration.negotiating = true;
    }
}

fn start_of(turn: &Turn, subcommand: &str) -> String {
    format!(":{} CAP {} {subcommand}", turn.server_name(), turn.called())
}

/// In one line where it fits, or in several of which all but the last carry a star. Only who knows of 302 can have agreed
/// on so much that it does not.
fn list(turn: &mut Turn, subcommand: &str, names: impl Iterator<Item = String>) {
    let start = start_of(turn, subcommand);
    let lines = in_lines(names, BODY_BYTES_MAX - start.len() - " * :".len());
    let last = lines.len() - 1;
    for (place, line) in lines.into_iter().enumerate() {
        let more = if place == last { "" } else { " *" };
        turn.say(format!("{start}{more} :{line}"));
    }
}

/// At least one line, if only an empty one.
fn in_lines(names: impl IntoIterator<Item = String>, room: usize) -> Vec<String> {
    let lines = fill(names, room);
    if lines.is_empty() { vec![String::new()] } else { lines }
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
            // Never agreed upon, so never given up.
            Some(Cap::Sts) => false,
            Some(cap) if on && !offer::may_request(turn.config(), turn.session(), cap) => false,
            Some(cap) => {
                caps.set(cap, on);
                true
            }
            None => false,
        }
    });
    let start = format!(":{} CAP {}", turn.server_name(), turn.called());
    // What does not fit on the answer could not be agreed on.
    let is_fit = is_fit && start.len() + " ACK :".len() + names.len() <= BODY_BYTES_MAX;
    if is_fit {
        turn.set_caps(caps);
        let session = turn.session_mut();
        if !session.wants_metadata() {
            session.subscriptions.clear();
        }
    }
    let verdict = if is_fit { "ACK" } else { "NAK" };
    turn.say(format!("{start} {verdict} :{names}"));
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
    if turn.session().user().is_none() {
        // With a ghost of the same person's it depends on the username, which may be yet to come.
        let holder = turn.network().holder(&nick.folded());
        let is_reachable = holder.is_some_and(|holder| turn.engine.routes.is_reachable(holder.server()));
        // Who is about to log in may be that very person, which is known as they have.
        let may_log_in = turn.registration().is_some_and(|said| said.negotiating);
        let is_own = turn.own_person(&nick).or_else(|| turn.person_elsewhere(&nick)).is_some();
        let may_be_own = is_own || may_log_in && turn.may_be_own(&nick);
        if is_reachable && !may_be_own && !turn.comes_before_holder(&nick.folded()) {
            return Err(numeric::nick_in_use(&nick).into());
        }
        if let Some(registration) = turn.registration() {
            registration.nick = Some(nick);
        }
        return complete(turn);
    }
    if turn.user().nick == nick {
        return Ok(());
    }
    policy::may_rename(turn.network(), turn.user(), &nick)?;
    turn.may(Deed::ChangeNick)
        .map_err(|seconds| numeric::nick_too_fast(&turn.user().nick, &nick, seconds))?;
    take_nick(turn, nick)?;
    turn.did(Deed::ChangeNick);
    Ok(())
}

/// Renames somebody, by an operator's wish and whatever bans there are.
pub fn rename(turn: &mut Turn, nick: &str) -> Outcome {
    let nick = turn.parse_nick(nick)?;
    take_nick(turn, nick)
}

/// Takes a nick from one's own ghost, whose server was asked to end it: its claim is the later one from now on.
pub fn take_nick_from_ghost(turn: &mut Turn, nick: &str) -> Outcome {
    let nick = turn.parse_nick(nick)?;
    let now = turn.stamp();
    let holder = turn.network().holder(&nick.folded());
    let ghost = holder.and_then(|holder| turn.network().user_even_unseen(holder));
    let claimed = ghost.map_or(now, |ghost| ghost.fact.claimed.just_before(now.server));
    turn.change_me(|fact| {
        fact.nick = nick;
        fact.claimed = claimed;
    });
    Ok(())
}

fn take_nick(turn: &mut Turn, nick: Nick) -> Outcome {
    let is_same_name = turn.user().nick.folded() == nick.folded();
    let claimed = match is_same_name {
        true => turn.user().fact.claimed,
        false => {
            let fact = &turn.user().fact;
            let (username, address) = (fact.username.clone(), fact.address.clone());
            claim(turn, &nick, &username, &address)?
        }
    };
    turn.change_me(|fact| {
        fact.nick = nick;
        fact.claimed = claimed;
    });
    Ok(())
}

fn user(turn: &mut Turn, params: &[&str]) -> Outcome {
    // Every line that shows a person has a place for it.
    if params[3].is_empty() {
        return Err(numeric::need_more_params(Word::echo("USER")).into());
    }
    let limits = &turn.config().limits;
    let fit: String = params[0].chars().filter(|c| is_username_char(*c)).collect();
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
pub fn complete(turn: &mut Turn) -> Outcome {
    let known_password = turn.config().server.password.clone();
    let Some(registration) = turn.registration() else { return Ok(()) };
    let waits = registration.negotiating || registration.home.is_some();
    if waits || registration.gated == Gated::Checking {
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
                let pending = Pending::Password { reply: turn.defer() };
                turn.verify(given, known_password, pending);
                return Ok(());
            }
        }
    }
    turn.abort_exchange();
    if turn.config().accounts.required && turn.account().is_none() {
        let why = "You need an account to come in: log in by SASL";
        turn.fail(Standard::fail("*", "ACCOUNT_REQUIRED", why));
        turn.close(why);
        return Ok(());
    }
    let realname = turn.registration().map(|registration| registration.realname.clone()).unwrap_or_default();
    if let Some(user) = turn.own_person(&nick) {
        if !turn.engine.turn_away_user(turn.conn, &username, &realname) {
            turn.attach(user);
        }
        return Ok(());
    }
    if let Some(user) = turn.person_elsewhere(&nick) {
        turn.ask_to_be_guest(user, &nick, &username, &realname);
        return Ok(());
    }
    let address = turn.session().address_text();
    let claimed = claim(turn, &nick, &username, &address).inspect_err(|_| {
        // Taken by somebody who was quicker; the client is asked for another.
        if let Some(registration) = turn.registration() {
            registration.nick = None;
        }
    })?;
    if turn.engine.turn_away_user(turn.conn, &username, &realname) {
        return Ok(());
    }
    register(turn, nick, claimed, username, realname);
    Ok(())
}

/// When a nick counts as taken by the speaker: now, if it is free. Whoever lost their connection along with
/// their server finds their own ghost on it, and takes its claim over: so they have the nick back everywhere,
/// the ghost gives way even if its server returns, and nobody else's claim comes between.
fn claim(turn: &mut Turn, nick: &Nick, username: &str, address: &str) -> Result<Stamp, Refusal> {
    let now = turn.stamp();
    turn.may_use_nick(nick)?;
    if turn.comes_before_holder(&nick.folded()) {
        return Ok(now);
    }
    let Some(holder) = turn.network().holder(&nick.folded()) else { return Ok(now) };
    let ghost = turn.network().user_even_unseen(holder).map(|user| &user.fact);
    let own = turn.account().map(|account| account.id);
    let is_same_person = |ghost: &&UserFact| match ghost.account {
        Some(account) => own == Some(account),
        None => ghost.username == username && ghost.address == address,
    };
    let is_out_of_reach = !turn.engine.routes.is_reachable(holder.server());
    match ghost.filter(is_same_person) {
        Some(ghost) if is_out_of_reach => Ok(ghost.claimed.just_before(now.server)),
        _ => Err(numeric::nick_in_use(nick).into()),
    }
}

fn register(turn: &mut Turn, nick: Nick, claimed: Stamp, username: String, realname: String) {
    let Registration { away, metadata, gated, .. } =
        turn.registration().map(std::mem::take).unwrap_or_default();
    if let Some(account) = turn.session().account {
        turn.bring_to_profile(account, &metadata);
    }
    let engine = &mut *turn.engine;
    engine.users_made += 1;
    if is_planted(Defect::UserIdReused) {
        let is_taken =
            |number: &u64| engine.sessions.person(UserId::numbered(engine.identity.sid, *number)).is_some();
        engine.users_made = (1..).find(|number| !is_taken(number)).expect("there are more ids than sessions");
    }
    let user = UserId::numbered(engine.identity.sid, engine.users_made);
    engine.sessions.register(turn.conn, user, engine.now.steady_ms);
    engine.effects.push(Effect::Registered { conn: turn.conn });
    let session = turn.session();
    let address = session.address.ip();
    let cloak = turn.engine.cloak(address, session.name.as_deref());
    let is_cloaked = turn.engine.is_cloaked_at_first(address);
    let fact = UserFact {
        nick: nick.clone(),
        claimed,
        username,
        host: if is_cloaked { cloak.clone() } else { session.real_host() },
        address: session.address_text(),
        name: session.name.clone(),
        cloak: Some(cloak),
        realname,
        account: session.account,
        away,
        modes: Letters::NONE.set('x', is_cloaked),
        class: None,
        title: None,
        secure: session.secure.is_some(),
        certificate: session.certificate.map(Box::new),
        stands_for: None,
        gateway: match gated {
            Gated::By(name) => Some(name),
            Gated::No | Gated::Checking => None,
        },
        signed_on: turn.now.wall,
    };
    let text = format!(
        "conn={} registered nick={nick} uid={user} username={} host={}",
        turn.conn.0,
        fact.username,
        fact.real_host()
    );
    turn.note(log::Level::Info, Topic::Client, text);
    turn.change(Edit::User { user, fact });
    let by = turn.prefix();
    for (key, value) in metadata {
        let (of, by) = (Subject::User(user), by.clone());
        turn.change(Edit::Metadata { of, key, value: Some(value), by });
    }
    turn.take_up_profile(false);
    turn.welcome();
    let conn = turn.conn;
    turn.engine.tell_first_modes(conn);
}

impl Engine {
    /// The server's password was checked.
    pub(in crate::engine) fn password_checked(&mut self, reply: Deferred, is_right: bool) {
        let conn = reply.conn;
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
        // The welcome answers whichever line came last.
        self.finish_turn(conn, reply.label);
    }
}

// Signs of life, and the end.

fn ping(turn: &mut Turn, params: &[&str]) -> Outcome {
    let token = params.first().filter(|token| !token.is_empty()).ok_or_else(numeric::no_origin)?;
    let there = params.get(1).filter(|name| !name.eq_ignore_ascii_case(turn.server_name()));
    // Who is still registering is answered at once, whatever stands behind the token.
    let Some(name) = there.filter(|_| turn.session().user().is_some()) else {
        turn.say(format!(":{0} PONG {0} :{token}", turn.server_name()));
        return Ok(());
    };
    // One that cannot be reached at the moment would not answer, and its users are shown only for a little longer.
    let known = turn.network().server_called(name);
    let server = known.filter(|server| turn.engine.routes.is_reachable(server.id));
    let server = server.ok_or_else(|| numeric::no_such_server(Word::echo(name)))?;
    let (of, token) = (server.id, token.to_string());
    let then = Then::Pong { reply: turn.defer(), token };
    turn.engine.ask_server(of, ANSWER_WITHIN_MS, Request::Ping, then);
    Ok(())
}

/// Another server has answered a PING, or was not there to.
pub fn pong_answered(turn: &mut Turn, of: ServerId, token: &str, has_come: bool) -> Outcome {
    let name = turn.network().server_name(of).to_string();
    if !has_come {
        return Err(numeric::no_such_server(Word::echo(&name)).into());
    }
    turn.say(format!(":{name} PONG {name} :{token}"));
    Ok(())
}

fn pong(_: &mut Turn, _: &[&str]) -> Outcome {
    // That it came was what counted, and the session has noted it.
    Ok(())
}

fn quit(turn: &mut Turn, params: &[&str]) -> Outcome {
    // Said even before an empty reason, so that nobody can pass for a netsplit or a timeout.
    let reason = params.first().copied().unwrap_or_default();
    let why = format!("Quit: {}", cut(reason, turn.config().limits.kick_length));
    turn.close(&why);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_take_as_many_lines_as_they_need() {
        let names = || ["batch", "setname", "chghost"].map(str::to_string).into_iter();
        assert_eq!(in_lines(names(), 500), ["batch setname chghost"]);
        assert_eq!(in_lines(names(), 15), ["batch setname", "chghost"]);
        assert_eq!(in_lines([], 15), [""]);
    }
}
