//! SUMMON and USERS: about people at the terminals of the machine that a server runs on; switched off, as RFC 2812 allows.

use super::{Command, Who};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "SUMMON",
        params_min: 0,
        who: Who::Registered,
        run: summon,
        usage: "<user> [<server> [<channel>]]",
        help: "Would call somebody who is logged in on the server's machine; it is switched off.",
    },
    Command {
        name: "USERS",
        params_min: 0,
        who: Who::Registered,
        run: users,
        usage: "[<server>]",
        help: "Would list who is logged in on the server's machine; it is switched off. WHO and NAMES list who is here.",
    },
];

fn summon(_: &mut Turn, _: &[&str]) -> Outcome {
    Err(numeric::summon_disabled().into())
}

fn users(_: &mut Turn, _: &[&str]) -> Outcome {
    Err(numeric::users_disabled().into())
}
