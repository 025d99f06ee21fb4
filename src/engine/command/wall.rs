//! GLOBOPS, OPERWALL and LOCOPS: what operators say to each other.

use super::{Command, Who};
use crate::engine::effect::Topic;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::names::Word;
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "GLOBOPS",
        params_min: 1,
        who: Who::Operator("wallops"),
        run: |turn, params| say(turn, "GLOBOPS", params[0]),
        usage: ":<text>",
        help: "Says something to operators on every server who follow topic g.",
    },
    Command {
        name: "OPERWALL",
        params_min: 1,
        who: Who::Operator("wallops"),
        run: |turn, params| say(turn, "OPERWALL", params[0]),
        usage: ":<text>",
        help: "Another name for GLOBOPS.",
    },
    Command {
        name: "LOCOPS",
        params_min: 1,
        who: Who::Operator("wallops"),
        run: say_here,
        usage: ":<text>",
        help: "Says something to operators on this server who follow topic g.",
    },
];

fn say(turn: &mut Turn, command: &str, text: &str) -> Outcome {
    check(command, text)?;
    turn.record('g', &format!("{} to operators", turn.prefix()), Some(text));
    Ok(())
}

fn say_here(turn: &mut Turn, params: &[&str]) -> Outcome {
    check("LOCOPS", params[0])?;
    let (by, text) = (turn.prefix(), params[0]);
    turn.note(log::Level::Info, Topic::Operator, format!("{by} to operators here why=\"{text}\""));
    turn.engine.tell_followers_here('g', &format!("{by} to operators here: {text}"));
    Ok(())
}

fn check(command: &str, text: &str) -> Outcome {
    match text.is_empty() {
        true => Err(numeric::need_more_params(Word::echo(command)).into()),
        false => Ok(()),
    }
}
