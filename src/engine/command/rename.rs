//! RENAME: another name for a channel.

use super::{Command, Who};
use crate::engine::mode;
use crate::engine::network::{Edit, Item, Renaming, Setting};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::{BODY_BYTES_MAX, cut};
use crate::wire::names::{ChannelName, Word};
use crate::wire::numeric;
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[Command {
    name: "RENAME",
    params_min: 2,
    who: Who::Registered,
    run: rename,
    usage: "<channel> <new name> [:<reason>]",
    help: "Gives a channel another name; who is on it, what is set and what was said stay as they are. A registered channel is named by its founder.",
}];

/// How long a channel keeps a name at least: to most clients another one means coming to it anew.
const AGAIN_AFTER_MS: u64 = 60_000;

fn rename(turn: &mut Turn, params: &[&str]) -> Outcome {
    let channel = turn.own_channel(params[0])?;
    // What is somebody's they alone call something else.
    let may = match channel.is_registered {
        true => turn.network().access(&channel.id(), turn.me()).has('q'),
        false => mode::is_at_least(channel.status(turn.me()), 'o'),
    };
    if !may {
        return Err(numeric::channel_operator_needed(&channel.name).into());
    }
    let name = match name_for(turn, params[0], params[1]) {
        Ok(name) => name,
        Err(why) => {
            turn.fail(why);
            return Ok(());
        }
    };
    let channel = turn.own_channel(params[0])?;
    let (by, reason) = (turn.prefix(), params.get(2).copied().unwrap_or_default());
    let fixed = format!(":{by} RENAME {} {name} :", channel.name);
    let room = BODY_BYTES_MAX.saturating_sub(fixed.len());
    let reason = cut(reason, turn.config().limits.kick_length.min(room)).to_string();
    let (id, birth) = (channel.id(), channel.birth);
    turn.break_silence(&id);
    let value = Some(Setting::Name(Renaming { name, reason }));
    let edit = Edit::Setting { channel: id, birth, item: Item::Name, value, by };
    let happening = turn.engine.renaming(&edit);
    turn.change(edit.clone());
    turn.by_voice(|engine| engine.write_happenings(happening.into_iter().collect()));
    turn.engine.keep_name(edit);
    Ok(())
}

/// The name that a channel can be given, or why it cannot.
fn name_for(turn: &Turn, old: &str, new: &str) -> Result<ChannelName, Standard> {
    let fail = |code: &'static str, text: &str| {
        Standard::fail("RENAME", code, text).about(Word::echo(old)).about(Word::echo(new))
    };
    let cannot = |text: &str| fail("CANNOT_RENAME", text);
    let limits = &turn.config().limits;
    let name = ChannelName::parse(new, limits.channel_length)
        .ok_or_else(|| cannot("That is no name for a channel"))?;
    let channel = turn.network().channel_called(old).ok_or_else(|| cannot("There is no such channel"))?;
    if name == channel.name {
        return Err(cannot("It is called that already"));
    }
    let is_same = name.folded() == channel.name.folded();
    let holder = turn.network().channel_or_kept(&turn.network().channel_id(&name.folded()));
    if !is_same && holder.is_some_and(|holder| holder.id() != channel.id()) {
        return Err(fail("CHANNEL_NAME_IN_USE", "The channel name is already taken"));
    }
    let again_ms = channel.renaming.as_ref().map_or(0, |(stamp, _)| stamp.ms + AGAIN_AFTER_MS);
    if again_ms > turn.now.wall.0 && limits.flood && !turn.has_right("flood-exempt") {
        return Err(cannot("This channel has been renamed recently"));
    }
    Ok(name)
}
