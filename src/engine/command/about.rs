//! MOTD, VERSION, TIME, ADMIN, INFO and ISUPPORT: what this server says of itself.

use super::{Command, Who};
use crate::engine::cap::Cap;
use crate::engine::greeting::readable;
use crate::engine::query::Query;
use crate::engine::turn::{Outcome, Turn};
use crate::engine::{Engine, greeting};
use crate::wire::names::Word;
use crate::wire::numeric::{self, Numeric};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "MOTD",
        params_min: 0,
        who: Who::Registered,
        run: |turn, params| turn.query(&MOTD, "", params.first().copied()),
        usage: "[<server>]",
        help: "Shows the message of the day.",
    },
    Command {
        name: "VERSION",
        params_min: 0,
        who: Who::Registered,
        run: |turn, params| turn.query(&VERSION, "", params.first().copied()),
        usage: "[<server>]",
        help: "Shows which program a server runs, and what it can do.",
    },
    Command {
        name: "TIME",
        params_min: 0,
        who: Who::Registered,
        run: |turn, params| turn.query(&TIME, "", params.first().copied()),
        usage: "[<server>]",
        help: "Shows a server's clock.",
    },
    Command {
        name: "ADMIN",
        params_min: 0,
        who: Who::Registered,
        run: |turn, params| turn.query(&ADMIN, "", params.first().copied()),
        usage: "[<server>]",
        help: "Shows who runs a server.",
    },
    Command {
        name: "INFO",
        params_min: 0,
        who: Who::Registered,
        run: |turn, params| turn.query(&INFO, "", params.first().copied()),
        usage: "[<server>]",
        help: "Shows what this program is, and since when it runs.",
    },
    Command {
        name: "RULES",
        params_min: 0,
        who: Who::Registered,
        run: |turn, params| turn.query(&RULES, "", params.first().copied()),
        usage: "[<server>]",
        help: "Shows what those who run a server ask of people on it.",
    },
    Command {
        name: "CREDITS",
        params_min: 0,
        who: Who::Registered,
        run: |turn, params| turn.query(&INFO, "", params.first().copied()),
        usage: "[<server>]",
        help: "Another name for INFO.",
    },
    Command {
        name: "USERS",
        params_min: 0,
        who: Who::Registered,
        run: |_, _| Err(numeric::users_disabled().into()),
        usage: "",
        help: "Would list who is logged in on the machine that a server runs on; nobody is told that.",
    },
    Command {
        name: "SUMMON",
        params_min: 0,
        who: Who::Registered,
        run: |_, _| Err(numeric::summon_disabled().into()),
        usage: "",
        help: "Would call somebody who is logged in on the machine that a server runs on; nobody is.",
    },
    Command {
        name: "ISUPPORT",
        params_min: 0,
        who: Who::Anyone,
        run: isupport,
        usage: "",
        help: "Shows what this server can do, as programs read it.",
    },
];

pub const QUERIES: &[&Query] = &[&MOTD, &VERSION, &TIME, &ADMIN, &INFO, &RULES];

const MOTD: Query = Query { name: "MOTD", answer: |engine, _| greeting::motd(engine).into() };
const VERSION: Query = Query { name: "VERSION", answer: |engine, _| version(engine).into() };
const TIME: Query = Query { name: "TIME", answer: |engine, _| time(engine).into() };
const ADMIN: Query = Query { name: "ADMIN", answer: |engine, _| admin(engine).into() };
const RULES: Query = Query { name: "RULES", answer: |engine, _| greeting::rules(engine).into() };
const INFO: Query = Query { name: "INFO", answer: |engine, _| info(engine).into() };

fn version(engine: &Engine) -> Vec<Numeric> {
    let identity = &engine.identity;
    let (version, server) = (Word::echo(&identity.version), &identity.name);
    let mut answer = vec![numeric::version(version, server, &engine.config.server.description)];
    answer.extend(engine.isupport.iter().cloned());
    answer
}

fn time(engine: &Engine) -> Vec<Numeric> {
    let now = engine.now.wall;
    vec![numeric::time(&engine.identity.name, now.seconds(), &readable(now))]
}

fn admin(engine: &Engine) -> Vec<Numeric> {
    let (server, lines) = (&engine.identity.name, &engine.config.server.admin);
    if lines.is_empty() {
        return vec![numeric::no_admin_info(server)];
    }
    let kinds = [numeric::admin_location, numeric::admin_details, numeric::admin_email];
    let lines = kinds.iter().zip(lines).map(|(kind, line)| kind(line));
    std::iter::once(numeric::admin_me(server)).chain(lines).collect()
}

fn info(engine: &Engine) -> Vec<Numeric> {
    let lines = [
        format!("Folkmoot, a federated chat server: {}", engine.identity.version),
        "Free software under the MIT licence".to_string(),
        format!("Running since {}", readable(engine.started.wall)),
    ];
    lines.iter().map(|line| numeric::info(line)).chain([numeric::end_of_info()]).collect()
}

fn isupport(turn: &mut Turn, _: &[&str]) -> Outcome {
    if turn.session().user().is_none() && !turn.wants(Cap::ExtendedIsupport) {
        return Err(numeric::not_registered().into());
    }
    turn.say_isupport();
    Ok(())
}
