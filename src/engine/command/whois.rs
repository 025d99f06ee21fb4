//! WHOIS: all there is to know of one person, asked from their own server where that takes it.

use super::{Command, Who};
use crate::config::OperatorClass;
use crate::engine::network::User;
use crate::engine::peer::Request;
use crate::engine::pending::Then;
use crate::engine::sight;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::fold::fold;
use crate::wire::message::fill;
use crate::wire::names::{UserId, Word};
use crate::wire::numeric::{self, Numeric};

pub const COMMANDS: &[Command] = &[Command {
    name: "WHOIS",
    params_min: 0,
    who: Who::Registered,
    run: whois,
    usage: "[<server>] <nick>",
    help: "Shows all that is known of somebody: channels, server, since when, and for how long they have said nothing.",
}];

/// How long somebody's own server may take to say how long they have been idle.
const ANSWER_WITHIN_MS: u64 = 3_000;

fn whois(turn: &mut Turn, params: &[&str]) -> Outcome {
    // A server named first only says where to ask, and what takes asking is asked from the right one anyway. Many
    // clients name the nick twice, and then it is the nick that nobody may have.
    let nicks = params.last().copied().unwrap_or_default();
    let nick = nicks.split(',').find(|nick| !nick.is_empty()).ok_or_else(numeric::no_nick_given)?;
    if let [server, nick, ..] = params
        && fold(server) != fold(nick)
        && turn.network().server_called(server).is_none()
        && turn.network().user_called(server).is_none()
    {
        return Err(numeric::no_such_server(Word::echo(server)).into());
    }
    let Some(user) = turn.network().user_called(nick) else {
        turn.reply(turn.nobody_called(nick));
        turn.reply(numeric::end_of_whois(Word::echo(nicks)));
        return Ok(());
    };
    let (user, of) = (user.id, user.server());
    if of == turn.server_id() {
        let idle_s = turn.person_of(user).map_or(0, |person| person.idle_s(turn.now));
        let signed_on_s = turn.network().user(user).map_or(0, |user| user.fact.signed_on.seconds());
        return whois_answered(turn, nicks, user, Some((idle_s, signed_on_s)));
    }
    let reply = turn.defer();
    let then = Then::Whois { reply, asked: nicks.to_string(), user };
    turn.engine.ask_server(of, ANSWER_WITHIN_MS, Request::Idle { user }, then);
    Ok(())
}

/// How long a user has been idle, in seconds, and when they signed on, is known; or it will not be. The end names who
/// was asked for, letter by letter, so that clients know which of their questions it ends.
pub fn whois_answered(turn: &mut Turn, asked: &str, user: UserId, idle: Option<(u64, u64)>) -> Outcome {
    let Some(user) = turn.network().user(user).cloned() else {
        // Gone while we asked.
        turn.reply(turn.nobody_called(asked));
        turn.reply(numeric::end_of_whois(Word::echo(asked)));
        return Ok(());
    };
    let mut lines = describe(turn, &user);
    if let Some((idle_s, signed_on_s)) = idle {
        lines.push(numeric::whois_idle(&user.nick, idle_s, signed_on_s));
    }
    lines.push(numeric::end_of_whois(Word::echo(asked)));
    turn.reply_all(lines);
    Ok(())
}

fn describe(turn: &Turn, user: &User) -> Vec<Numeric> {
    let (nick, fact) = (&user.nick, &user.fact);
    let server = turn.network().server(user.server());
    let (server, description) =
        server.map_or(("*", ""), |server| (server.fact.name.as_str(), server.fact.description.as_str()));
    let (username, host) = (Word::echo(&fact.username), Word::echo(&fact.host));
    let mut lines = vec![numeric::whois_user(nick, username, host, &fact.realname)];
    lines.extend(channels(turn, user).iter().map(|names| numeric::whois_channels(nick, names)));
    lines.push(numeric::whois_server(nick, Word::echo(server), description));
    if sight::sees_operator(turn, user) {
        let usual = OperatorClass::default().title;
        lines.push(numeric::whois_operator(nick, fact.title.as_ref().unwrap_or(&usual)));
    }
    if user.has_mode('B') {
        lines.push(numeric::whois_bot(nick, &turn.config().network.name));
    }
    if let Some(gateway) = &fact.gateway {
        lines.push(numeric::whois_special(nick, &format!("is connected by the gateway {gateway}")));
    }
    if let Some(account) = &user.account {
        lines.push(numeric::whois_account(nick, Word::echo(account)));
        let owner = turn.network().accounts().owner_of(&nick.folded());
        let is_owner = owner.is_some_and(|owner| user.account_id() == Some(owner.id));
        lines.extend(is_owner.then(|| numeric::whois_owns_nick(nick)));
    }
    if user.id == turn.me() || turn.has_right("see-all") {
        lines.extend(fact.class.as_ref().map(|class| {
            numeric::whois_special(nick, &format!("has what operators of the class {class} may do"))
        }));
        let (username, host) = (Word::echo(&fact.username), Word::echo(fact.real_host()));
        lines.push(numeric::whois_actually(nick, Word::echo(&fact.address)));
        lines.push(numeric::whois_host(nick, username, host, Word::echo(&fact.address)));
        lines.push(numeric::whois_modes(nick, &format!("+{}", fact.modes)));
        lines.extend(fact.certificate.as_ref().map(|pin| numeric::whois_certificate(nick, &pin.hex())));
    }
    lines.extend(turn.metadata_in_whois(user));
    if fact.secure {
        lines.push(numeric::whois_secure(nick, "TLS"));
    }
    if let Some(away) = &fact.away {
        lines.push(numeric::away(nick, away));
    }
    lines
}

/// Where somebody is, as far as the asker may know, on as many lines as it takes.
fn channels(turn: &Turn, user: &User) -> Vec<String> {
    let channels = user.channels.iter().filter_map(|name| turn.network().channel(name));
    let shown = channels.filter(|channel| {
        user.id == turn.me()
            || sight::is_shown_channel(turn, channel) && sight::sees_member(turn, channel, user)
    });
    let names = shown.map(|channel| format!("{}{}", turn.signs(channel.status(user.id)), channel.name));
    fill(names, turn.room_in(&numeric::whois_channels(&user.nick, "")))
}
