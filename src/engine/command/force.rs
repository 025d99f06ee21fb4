//! SANICK, SAJOIN and SAPART: what operators have other people do.

use super::{Command, Who};
use crate::engine::effect::Topic;
use crate::engine::peer::Act;
use crate::engine::pending::Reply;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::cut;
use crate::wire::names::{UserId, Word};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "SANICK",
        params_min: 2,
        who: Who::Operator("force"),
        run: sanick,
        usage: "<nick> <new nick>",
        help: "Renames somebody, whatever bans there are.",
    },
    Command {
        name: "SAJOIN",
        params_min: 1,
        who: Who::Operator("force"),
        run: sajoin,
        usage: "[<nick>] <channel>{,<channel>}",
        help: "Brings somebody, yourself if nobody is named, to channels, past bans, keys, limits and invite-only modes.",
    },
    Command {
        name: "SAPART",
        params_min: 2,
        who: Who::Operator("force"),
        run: sapart,
        usage: "<nick> <channel>{,<channel>} [:<reason>]",
        help: "Has somebody leave channels.",
    },
];

fn sanick(turn: &mut Turn, params: &[&str]) -> Outcome {
    let user = turn.user_within_reach(params[0])?;
    let (id, claimed, old) = (user.id, user.fact.claimed, user.nick.clone());
    let nick = turn.parse_nick(params[1])?;
    if old == nick {
        turn.notice(&format!("{old} is called that already"));
        return Ok(());
    }
    note(turn, "SANICK", id, nick.as_str());
    let done = vec![Reply::Notice(format!("{old} is now {nick}"))];
    let act = Act::Nick { user: id, claimed, nick, by: turn.prefix() };
    turn.have_done(id.server(), act, "SANICK", Word::echo(params[0]), done)
}

fn sajoin(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (called, channels) = match params {
        [called, channels, ..] => (called.to_string(), *channels),
        _ => (turn.called(), params[0]),
    };
    let user = turn.user_within_reach(&called)?.id;
    for_each(turn, channels, |turn, channel| {
        let channel = turn.parse_channel_name(channel)?;
        let nick = &turn.user_within_reach(&called)?.nick;
        let done = vec![Reply::Notice(format!("{nick} is on {channel} now"))];
        note(turn, "SAJOIN", user, channel.as_str());
        let act = Act::Join { user, channel, by: turn.prefix() };
        turn.have_done(user.server(), act, "SAJOIN", Word::echo(&called), done)
    })
}

fn sapart(turn: &mut Turn, params: &[&str]) -> Outcome {
    let user = turn.user_within_reach(params[0])?.id;
    let reason = params.get(2).filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| cut(reason, turn.config().limits.kick_length).to_string());
    for_each(turn, params[1], |turn, channel| {
        let nick = &turn.user_within_reach(params[0])?.nick;
        let channel = turn.channel(channel)?;
        let Some(member) = channel.member(user) else {
            return Err(numeric::user_not_in_channel(nick, &channel.name).into());
        };
        let done = vec![Reply::Notice(format!("{nick} is off {} now", channel.name))];
        let (joined, name, id) = (member.fact.joined, channel.name.clone(), channel.id());
        note(turn, "SAPART", user, name.as_str());
        let act = Act::Part { user, channel: id, joined, by: turn.prefix(), reason: reason.clone() };
        turn.have_done(user.server(), act, "SAPART", Word::echo(params[0]), done)
    })
}

/// Each channel of a list by itself, up to as many as a line may name.
fn for_each(turn: &mut Turn, channels: &str, act: impl Fn(&mut Turn, &str) -> Outcome) -> Outcome {
    let most = turn.config().limits.targets_per_message;
    for (place, channel) in channels.split(',').filter(|name| !name.is_empty()).enumerate() {
        if place == most {
            return Err(numeric::too_many_targets(Word::echo(channel)).into());
        }
        if let Err(refusal) = act(turn, channel) {
            turn.refuse(refusal);
        }
    }
    Ok(())
}

/// What was wanted is on record where it was, and where it is done too.
fn note(turn: &mut Turn, command: &str, whom: UserId, what: &str) {
    let whom = turn.network().user(whom).map_or(whom.to_string(), |user| user.prefix());
    let text = format!("{} wants {command} of {whom} to={what}", turn.prefix());
    turn.note(log::Level::Info, Topic::Operator, text);
}
