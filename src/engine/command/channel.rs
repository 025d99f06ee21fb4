//! JOIN, PART, TOPIC, SATOPIC, KICK, INVITE and NAMES: coming together, and keeping order there.

use super::{Command, Who, at_least_one};
use crate::engine::cap::Cap;
use crate::engine::mode::{self, Attempt};
use crate::engine::network::{Channel, Edit, Item, Setting, Topic, User};
use crate::engine::peer::Act;
use crate::engine::pending::Reply;
use crate::engine::throttle::Deed;
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::engine::{policy, sight};
use crate::wire::message::{BODY_BYTES_MAX, cut};
use crate::wire::names::{ChannelName, SERVER_NAME_BYTES_MAX, Word};
use crate::wire::numeric;
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "JOIN",
        params_min: 1,
        who: Who::Registered,
        run: join,
        usage: "<channel>{,<channel>} [<key>{,<key>}] | 0",
        help: "Goes to a channel, and makes it if it does not exist; whoever makes it is its operator. 0 leaves all channels.",
    },
    Command {
        name: "PART",
        params_min: 1,
        who: Who::Registered,
        run: part,
        usage: "<channel>{,<channel>} [:<reason>]",
        help: "Leaves a channel.",
    },
    Command {
        name: "TOPIC",
        params_min: 1,
        who: Who::Registered,
        run: topic,
        usage: "<channel> [:<topic>]",
        help: "Shows a channel's topic, or sets it; an empty one removes it.",
    },
    Command {
        name: "SATOPIC",
        params_min: 2,
        who: Who::Operator("force"),
        run: satopic,
        usage: "<channel> :<topic>",
        help: "Sets a channel's topic, on it or not.",
    },
    Command {
        name: "KICK",
        params_min: 2,
        who: Who::Registered,
        run: kick,
        usage: "<channel>{,<channel>} <nick>{,<nick>} [:<reason>]",
        help: "Takes people off a channel that you run, or each off a channel of their own.",
    },
    Command {
        name: "INVITE",
        params_min: 0,
        who: Who::Registered,
        run: invite,
        usage: "[<nick> <channel>]",
        help: "Asks somebody to a channel, past its key, limit and invite-only mode; alone, it lists where you are asked to.",
    },
    Command {
        name: "NAMES",
        params_min: 0,
        who: Who::Registered,
        run: names,
        usage: "<channel>{,<channel>}",
        help: "Lists who is on a channel.",
    },
];

fn join(turn: &mut Turn, params: &[&str]) -> Outcome {
    if params[0] == "0" {
        let channels: Vec<_> = turn.user().channels.iter().cloned().collect();
        for channel in channels {
            turn.change(Edit::Part { user: turn.me(), channel, reason: None });
        }
        return Ok(());
    }
    let mut keys = params.get(1).copied().unwrap_or_default().split(',');
    for name in at_least_one("JOIN", params[0])? {
        let key = keys.next().filter(|key| !key.is_empty());
        if let Err(refusal) = join_one(turn, name, key) {
            turn.refuse(refusal);
        }
    }
    Ok(())
}

fn join_one(turn: &mut Turn, name: &str, key: Option<&str>) -> Outcome {
    let name = turn.parse_channel_name(name)?;
    let id = turn.network().channel_id(&name.folded());
    if let Some(renamed) = turn.network().channel_called_before(&id).filter(|_| id == name.folded()) {
        let is_hidden = renamed.has_mode('s') || renamed.has_mode('p');
        if is_hidden && !turn.person().is_invited(&renamed) {
            // Nobody learns by the old name what it is called by now.
            return Err(numeric::unavailable_for_now(&name).into());
        }
        let to = renamed.name.clone();
        return redirect(turn, &name, to, key);
    }
    if turn.user().channels.contains(&id) {
        return Ok(());
    }
    if turn.user().channels.len() >= turn.config().limits.channels_per_user {
        return Err(numeric::too_many_channels(&name).into());
    }
    let barred = turn.network().channel_or_kept(&id).and_then(|channel| {
        let refusal = may_join(turn, &channel, key).err()?;
        Some((channel.name.clone(), channel.mode_value('L').map(str::to_string), refusal))
    });
    if let Some((from, to, refusal)) = barred {
        return forward(turn, from, to, refusal);
    }
    turn.may(Deed::Join).map_err(|_| numeric::unavailable_for_now(&name))?;
    enter(turn, name);
    turn.did(Deed::Join);
    Ok(())
}

/// Whoever comes by a name that a channel had before is told its new one, and brought there if their client would not
/// know what to do with that.
fn redirect(turn: &mut Turn, from: &ChannelName, to: ChannelName, key: Option<&str>) -> Outcome {
    if turn.wants(Cap::ChannelRename) {
        let text = "The channel has been renamed";
        let fail = Standard::fail("JOIN", "CHANNEL_RENAMED", text).about(Word::echo(from.as_str()));
        turn.fail(fail.about(Word::echo(to.as_str())));
        return Ok(());
    }
    turn.reply(numeric::forwarded(from, &to));
    join_one(turn, to.as_str(), key)
}

fn may_join(turn: &Turn, channel: &Channel, key: Option<&str>) -> Outcome {
    let access = turn.status_at_join(&channel.id());
    // Nobody is kept out of what is theirs, or has been entrusted to them.
    if mode::is_at_least(access, 'o') {
        return Ok(());
    }
    let is_invited = turn.person().is_invited(channel) || !access.is_empty();
    policy::allows(turn.network(), channel, Attempt::Join { user: turn.user(), key, is_invited })?;
    if turn.engine.is_overrun(channel) && !is_invited {
        return Err(numeric::too_many_come(&channel.name).into());
    }
    Ok(())
}

/// Brings somebody who may not join to where a channel sends such people. Nobody is sent any further from there, so
/// that there are no circles; nor to where nobody is, since who comes first runs the channel.
fn forward(turn: &mut Turn, from: ChannelName, to: Option<String>, refusal: Refusal) -> Outcome {
    let lacks_key = numeric::bad_channel_key(&from);
    let has_key = !matches!(&refusal, Refusal::Numeric(numeric) if *numeric == lacks_key);
    let other = to.filter(|_| has_key).and_then(|to| turn.network().channel_called(&to));
    let other = other.filter(|other| !other.has(turn.me()) && may_join(turn, other, None).is_ok());
    let Some(to) = other.map(|other| other.name.clone()) else { return Err(refusal) };
    turn.reply(numeric::forwarded(&from, &to));
    enter(turn, to);
    Ok(())
}

/// Brings the speaker to a channel, by an operator's wish and whatever bars them from it.
pub fn bring(turn: &mut Turn, channel: &str) -> Outcome {
    let name = turn.parse_channel_name(channel)?;
    if turn.user().channels.contains(&turn.network().channel_id(&name.folded())) {
        return Err(numeric::user_on_channel(&turn.user().nick, &name).into());
    }
    enter(turn, name);
    Ok(())
}

/// Takes the speaker in on a channel that nothing bars them from.
fn enter(turn: &mut Turn, name: ChannelName) {
    let (user, conn) = (turn.me(), turn.conn);
    let id = turn.by_voice(|engine| engine.take_in(user, &name));
    turn.person_mut().invited.remove(&id);
    turn.introduce_to(&id);
    turn.engine.introduce_others_to(&id, user, conn);
}

fn part(turn: &mut Turn, params: &[&str]) -> Outcome {
    let reason = params.get(1).filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| cut(reason, turn.config().limits.kick_length).to_string());
    for name in at_least_one("PART", params[0])? {
        match turn.own_channel(name).map(Channel::id) {
            Ok(channel) => turn.change(Edit::Part { user: turn.me(), channel, reason: reason.clone() }),
            Err(refusal) => turn.refuse(refusal),
        }
    }
    Ok(())
}

fn topic(turn: &mut Turn, params: &[&str]) -> Outcome {
    let Some(text) = params.get(1) else {
        let channel = turn.channel(params[0])?;
        if !sight::sees_channel(turn, channel) {
            return Err(numeric::not_on_channel(&channel.name).into());
        }
        let id = channel.id();
        turn.show_topic(&id);
        return Ok(());
    };
    let channel = turn.own_channel(params[0])?;
    policy::allows(turn.network(), channel, Attempt::SetTopic { user: turn.user() })?;
    let channel = channel.id();
    turn.break_silence(&channel);
    set_topic(turn, params[0], text)
}

/// Sets a topic for whoever may.
fn set_topic(turn: &mut Turn, channel: &str, text: &str) -> Outcome {
    let channel = turn.channel(channel)?;
    let (by, limits) = (turn.prefix(), &turn.config().limits);
    // What is kept is what everyone sees: those who hear it set, and those who come later, whatever they are called.
    let as_set = format!(":{by} TOPIC {} :", channel.name).len();
    let as_shown = format!(": 332  {} :", channel.name).len() + SERVER_NAME_BYTES_MAX + limits.nick_length;
    let room = BODY_BYTES_MAX.saturating_sub(as_set.max(as_shown));
    let text = cut(text, limits.topic_length.min(room)).to_string();
    let topic = Topic { text, by: by.clone(), at: turn.now.wall };
    let (birth, channel) = (channel.birth, channel.id());
    let value = (!topic.text.is_empty()).then_some(Setting::Topic(topic));
    turn.change(Edit::Setting { channel, birth, item: Item::Topic, value, by });
    Ok(())
}

fn satopic(turn: &mut Turn, params: &[&str]) -> Outcome {
    let name = turn.channel(params[0])?.name.clone();
    let why = Some(params[1]).filter(|text| !text.is_empty());
    turn.record('v', &format!("{} sets the topic of {name} by SATOPIC", turn.prefix()), why);
    set_topic(turn, params[0], params[1])?;
    // Whoever is on the channel hears what was set as everyone there does.
    let channel = turn.channel(params[0])?;
    if !channel.has(turn.me()) {
        let id = channel.id();
        turn.show_topic(&id);
    }
    Ok(())
}

fn kick(turn: &mut Turn, params: &[&str]) -> Outcome {
    let channels = at_least_one("KICK", params[0])?;
    let nicks = at_least_one("KICK", params[1])?;
    // Several people off one channel, or each off one of their own.
    let pairs: Vec<(&str, &str)> = match &channels[..] {
        [channel] => nicks.iter().map(|nick| (*channel, *nick)).collect(),
        channels if channels.len() == nicks.len() => channels.iter().copied().zip(nicks).collect(),
        _ => return Err(numeric::need_more_params(Word::echo("KICK")).into()),
    };
    let most = turn.config().limits.targets_per_message;
    if let Some((_, beyond)) = pairs.get(most) {
        turn.reply(numeric::too_many_targets(Word::echo(beyond)));
    }
    let reason = match params.get(2).filter(|reason| !reason.is_empty()) {
        Some(reason) => cut(reason, turn.config().limits.kick_length).to_string(),
        None => turn.user().nick.to_string(),
    };
    let mut refused = Vec::new();
    for (channel, nick) in pairs.into_iter().take(most) {
        // What bars from a channel is said once, however many people were to go.
        if refused.contains(&channel) {
            continue;
        }
        let outcome = may_kick_from(turn, channel);
        if outcome.is_err() {
            refused.push(channel);
        }
        if let Err(refusal) = outcome.and_then(|name| kick_one(turn, &name, nick, &reason)) {
            turn.refuse(refusal);
        }
    }
    Ok(())
}

/// The name of a channel, as it is written there, that the speaker runs.
fn may_kick_from(turn: &Turn, name: &str) -> Result<ChannelName, Refusal> {
    let channel = turn.own_channel(name)?;
    policy::may_run(channel, turn.user())?;
    Ok(channel.name.clone())
}

fn kick_one(turn: &mut Turn, name: &ChannelName, nick: &str, reason: &str) -> Outcome {
    let user = turn.user_within_reach(nick)?;
    let channel = turn.channel(name.as_str())?;
    let Some(member) = channel.member(user.id) else {
        return Err(numeric::user_not_in_channel(&user.nick, name).into());
    };
    policy::may_kick(channel, turn.user(), user)?;
    // Only their own server takes people off channels, and only from the join that was meant.
    let (user, joined) = (user.id, member.fact.joined);
    let (channel, by, reason) = (channel.id(), turn.prefix(), reason.to_string());
    let act = Act::Kick { channel, user, joined, by, reason };
    turn.have_done(user.server(), act, "KICK", Word::echo(nick), Vec::new())
}

fn invite(turn: &mut Turn, params: &[&str]) -> Outcome {
    if params.is_empty() {
        let invited = turn.person().invited.keys().filter_map(|id| turn.network().channel(id));
        let invited = invited.filter(|channel| turn.person().is_invited(channel));
        let invited: Vec<_> = invited.map(|channel| channel.name.clone()).collect();
        turn.reply_all(invited.iter().map(numeric::invite_list));
        turn.reply(numeric::end_of_invite_list());
        return Ok(());
    }
    let [nick, channel, ..] = params[..] else {
        return Err(numeric::need_more_params(Word::echo("INVITE")).into());
    };
    let user = turn.user_within_reach(nick)?.clone();
    let channel = turn.own_channel(channel)?.clone();
    if !channel.has(user.id) {
        policy::allows(turn.network(), &channel, Attempt::Invite { user: turn.user() })?;
    }
    invite_to(turn, &user, &channel)
}

/// Invites somebody to a channel of which it is known that the speaker may do so.
pub fn invite_to(turn: &mut Turn, user: &User, channel: &Channel) -> Outcome {
    if channel.has(user.id) {
        return Err(numeric::user_on_channel(&user.nick, &channel.name).into());
    }
    let (name, channel, birth) = (channel.name.clone(), channel.made_as.clone(), channel.birth);
    let mut done = vec![Reply::Numeric(numeric::inviting(&user.nick, &name))];
    if let Some(away) = &user.fact.away {
        done.push(Reply::Numeric(numeric::away(&user.nick, away)));
    }
    turn.may(Deed::Invite).map_err(|_| numeric::try_again(Word::echo("INVITE")))?;
    turn.address(user.id)?;
    turn.did(Deed::Invite);
    // Their own server knows the invitation when they come with it.
    let act = Act::Invite { user: user.id, channel, birth, by: turn.prefix() };
    turn.have_done(user.server(), act, "INVITE", Word::from(&user.nick), done)
}

fn names(turn: &mut Turn, params: &[&str]) -> Outcome {
    let Some(channels) = params.first().filter(|channels| !channels.is_empty()) else {
        // All of the network at once is what LIST and WHO are for.
        turn.no_names_of("*");
        return Ok(());
    };
    for name in channels.split(',').filter(|name| !name.is_empty()) {
        match turn.network().channel_called(name).map(|channel| (channel.has(turn.me()), channel)) {
            Some((is_member, channel)) if sight::sees_channel(turn, channel) => {
                let id = channel.id();
                if !is_member {
                    turn.search("NAMES")?;
                }
                turn.names_of(&id);
            }
            _ => turn.no_names_of(name),
        }
    }
    Ok(())
}
