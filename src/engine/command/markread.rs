//! MARKREAD: how far the speaker has read, so that their other clients need not say so again.

use super::{Command, Who};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::names::{ChannelName, Word};
use crate::wire::standard::Standard;
use crate::wire::time::Timestamp;

pub const COMMANDS: &[Command] = &[Command {
    name: "MARKREAD",
    params_min: 0,
    who: Who::Registered,
    run: markread,
    usage: "<target> [timestamp=<time>]",
    help: "Notes how far you have read on a channel or of what somebody said to you, or shows it.",
}];

fn markread(turn: &mut Turn, params: &[&str]) -> Outcome {
    if let Err(why) = mark(turn, params) {
        turn.fail(why);
    }
    Ok(())
}

fn mark(turn: &mut Turn, params: &[&str]) -> Result<(), Standard> {
    let Some(target) = params.first().filter(|target| !target.is_empty()) else {
        return Err(Standard::fail("MARKREAD", "NEED_MORE_PARAMS", "Of which channel or person?"));
    };
    let invalid =
        |given: &str, why: &str| Standard::fail("MARKREAD", "INVALID_PARAMS", why).about(Word::echo(given));
    let place = place_called(turn, target)
        .ok_or_else(|| invalid(target, "That is neither a channel nor somebody's name"))?;
    if let Some(given) = params.get(1) {
        let time = given.strip_prefix("timestamp=").and_then(Timestamp::parse);
        let time = time.ok_or_else(|| invalid(given, "That is no timestamp=<time>"))?;
        if !turn.mark_read(&place, time) {
            let fail = Standard::fail("MARKREAD", "INTERNAL_ERROR", "You have read in too many places");
            return Err(fail.about(Word::echo(&place)));
        }
        return Ok(());
    }
    turn.tell_marker(&place);
    Ok(())
}

/// A channel or a person as they are called, whether or not there is such.
fn place_called(turn: &Turn, target: &str) -> Option<String> {
    if ChannelName::looks_like(target) {
        let name = turn.parse_channel_name(target).ok()?;
        let known = turn.network().channel_called(target);
        let known = known.filter(|channel| channel.has(turn.me()));
        return Some(known.map_or(name.to_string(), |channel| channel.name.to_string()));
    }
    match turn.network().user_called(target) {
        Some(user) => Some(user.nick.to_string()),
        None => turn.parse_nick(target).ok().map(|nick| nick.to_string()),
    }
}
