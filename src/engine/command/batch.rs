//! BATCH: messages of several lines, from clients that can send them.

use super::{Command, Who, say_lines};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[Command {
    name: "BATCH",
    params_min: 1,
    who: Who::Registered,
    run: batch,
    usage: "+<reference> draft/multiline <target> | -<reference>",
    help: "Begins or ends a message of several lines: PRIVMSGs tagged with batch=<reference>.",
}];

fn batch(turn: &mut Turn, params: &[&str]) -> Outcome {
    let outcome = take_batch(turn, params);
    // Clients that asked for such messages know of FAIL, whether or not they asked for it elsewhere.
    if let Err(why) = outcome {
        turn.fail(why);
    }
    Ok(())
}

fn take_batch(turn: &mut Turn, params: &[&str]) -> Result<(), Standard> {
    let invalid = |why: &str| Standard::fail("BATCH", "MULTILINE_INVALID", why);
    if !turn.session().wants_multiline() {
        return Err(invalid("This takes the capabilities draft/multiline and batch"));
    }
    if let Some(reference) = params[0].strip_prefix('-') {
        if let Some(whole) = turn.close_batch(reference)? {
            turn.client_tags = whole.client_tags;
            say_lines(turn, &whole.target, &whole.text);
        }
        return Ok(());
    }
    match (params[0].strip_prefix('+'), &params[1..]) {
        (Some(reference), ["draft/multiline", target, ..]) => turn.open_batch(reference, target),
        (reference, _) => {
            turn.ignore_batch(reference.unwrap_or_default());
            Err(invalid("A batch begins with BATCH +<reference> draft/multiline <target>"))
        }
    }
}
