//! AUTHENTICATE: logging in by SASL, as a client connects or at any time.

use super::{Command, Who};
use crate::engine::turn::{Outcome, Turn};

pub const COMMANDS: &[Command] = &[Command {
    name: "AUTHENTICATE",
    params_min: 1,
    who: Who::Anyone,
    run: authenticate,
    usage: "<mechanism> | <answer> | *",
    help: "Logs in to an account by SASL: first how, then what that asks for, in base64; * gives it up.",
}];

fn authenticate(turn: &mut Turn, params: &[&str]) -> Outcome {
    turn.authenticate(params[0]);
    Ok(())
}
