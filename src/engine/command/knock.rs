//! KNOCK: asking to be let in on a channel.

use super::{Command, Who};
use crate::engine::mode::Attempt;
use crate::engine::peer::Passing;
use crate::engine::turn::{Outcome, Turn};
use crate::engine::{policy, sight};
use crate::wire::message::cut;
use crate::wire::names::Word;
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[Command {
    name: "KNOCK",
    params_min: 1,
    who: Who::Registered,
    run: knock,
    usage: "<channel> [:<reason>]",
    help: "Asks those who run a channel to invite you, where an invitation or a key is needed or it is full.",
}];

/// How long somebody waits before they knock on the same channel again.
const AGAIN_AFTER_MS: u64 = 60_000;

fn knock(turn: &mut Turn, params: &[&str]) -> Outcome {
    let channel = turn.channel(params[0])?;
    if !sight::sees_channel(turn, channel) {
        return Err(numeric::no_such_channel(Word::echo(params[0])).into());
    }
    if channel.has(turn.me()) {
        return Err(numeric::knock_on_own_channel(&channel.name).into());
    }
    let is_closed = channel.has_mode('i') || channel.has_mode('k') || policy::is_full(channel);
    if !is_closed {
        return Err(numeric::channel_is_open(&channel.name).into());
    }
    policy::allows(turn.network(), channel, Attempt::Knock { user: turn.user() })?;
    let (name, made_as, now_ms) = (channel.name.clone(), channel.made_as.clone(), turn.now.steady_ms);
    let knocked = &mut turn.person_mut().knocked_ms;
    // Only what still counts is remembered.
    knocked.retain(|_, at_ms| now_ms < *at_ms + AGAIN_AFTER_MS);
    if let Some(at_ms) = knocked.get(&made_as.folded()) {
        let wait_s = (at_ms + AGAIN_AFTER_MS - now_ms).div_ceil(1000);
        return Err(numeric::too_many_knocks(&name, wait_s).into());
    }
    knocked.insert(made_as.folded(), now_ms);
    let reason = params.get(1).copied().unwrap_or_default();
    let why = match cut(reason, turn.config().limits.kick_length) {
        "" => "has asked for an invite".to_string(),
        reason => format!("has asked for an invite: {reason}"),
    };
    turn.pass(Passing::Knock { by: turn.prefix(), channel: made_as, why });
    turn.reply(numeric::knock_delivered(&name));
    Ok(())
}
