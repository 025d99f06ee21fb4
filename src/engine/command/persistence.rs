//! PERSISTENCE: whether the speaker stays while no client of theirs is connected.

use super::{Command, Who};
use crate::engine::cap::Cap;
use crate::engine::persistence::is_wish;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[Command {
    name: "PERSISTENCE",
    params_min: 1,
    who: Who::Registered,
    run: persistence,
    usage: "GET | SET ON|OFF|DEFAULT",
    help: "Whether you stay, with your nick and on your channels, while none of your clients is connected.",
}];

fn persistence(turn: &mut Turn, params: &[&str]) -> Outcome {
    if let Err(why) = get_or_set(turn, params) {
        turn.fail(why);
    }
    Ok(())
}

fn get_or_set(turn: &mut Turn, params: &[&str]) -> Result<(), Standard> {
    let fail = |code, why: &str| Standard::fail("PERSISTENCE", code, why);
    let Some(account) = turn.account().map(|account| account.id) else {
        return Err(fail("ACCOUNT_REQUIRED", "Who is not logged in cannot be known again"));
    };
    match (params[0].to_ascii_uppercase().as_str(), params.get(1)) {
        ("GET", _) => turn.tell_persistence(),
        ("SET", Some(wish)) if is_wish(wish) => {
            turn.wish_to_stay(account, wish);
            if !turn.wants(Cap::DraftPersistence) {
                turn.tell_persistence();
            }
        }
        ("SET", _) => return Err(fail("INVALID_PARAMETERS", "It is SET to ON, OFF or DEFAULT")),
        // What the specification has yet to think of is ignored.
        _ => {}
    }
    Ok(())
}
