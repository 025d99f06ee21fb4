//! SUSPEND, UNSUSPEND and LIST: what operators do with accounts.

use super::{say, write};
use crate::engine::banish::until;
use crate::engine::command::duration;
use crate::engine::network::{AccountFact, Field, Suspension};
use crate::engine::services::{For, ServiceWord};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::mask::glob_matches;
use crate::wire::message::cut;
use crate::wire::time::Timestamp;

pub const WORDS: &[ServiceWord] = &[
    ServiceWord {
        word: "SUSPEND",
        aliases: &[],
        params_min: 1,
        who: For::Staff,
        run: suspend,
        usage: "SUSPEND <account> [<duration>] [<reason>]",
        help: "Logs out all who use an account, and lets nobody log in; for so long (30m, 2h, 7d), or until it is lifted.",
    },
    ServiceWord {
        word: "UNSUSPEND",
        aliases: &[],
        params_min: 1,
        who: For::Staff,
        run: unsuspend,
        usage: "UNSUSPEND <account>",
        help: "Lets people log in to an account again.",
    },
    ServiceWord {
        word: "LIST",
        aliases: &[],
        params_min: 0,
        who: For::Staff,
        run: list,
        usage: "LIST [<pattern>]",
        help: "Lists accounts, by names with * and ?.",
    },
];

/// Nobody reads more.
const LISTED_MAX: usize = 200;

fn suspend(turn: &mut Turn, params: &[&str]) -> Outcome {
    let Some(account) = turn.network().account_named(params[0]).map(|account| account.id) else {
        return say(turn, "There is no such account.");
    };
    let (seconds, reason) = match params[1..] {
        [first, ref rest @ ..] => match duration(first) {
            Some(Ok(seconds)) => (seconds, rest.join(" ")),
            Some(Err(why)) => return say(turn, why),
            None => (0, params[1..].join(" ")),
        },
        [] => (0, String::new()),
    };
    let reason = if reason.is_empty() { "No reason".to_string() } else { reason };
    let reason = cut(&reason, turn.config().limits.kick_length).to_string();
    let (set, by) = (turn.now.wall, turn.prefix());
    let until_time = (seconds > 0).then(|| Timestamp(set.0 + 1000 * seconds));
    let text = format!("{} is suspended {}", params[0], until(until_time));
    let suspension = Suspension { until: until_time, set, by: by.clone(), reason: reason.clone() };
    write(turn, account, Field::Suspension, Some(AccountFact::Suspension(suspension)));
    turn.record('x', &format!("{by} suspended the account {}", params[0]), Some(&reason));
    say(turn, text)
}

fn unsuspend(turn: &mut Turn, params: &[&str]) -> Outcome {
    let known = turn.network().account_named(params[0]).filter(|account| account.suspension.is_some());
    let Some(account) = known.map(|account| account.id) else {
        return say(turn, "There is no such account, or it is not suspended.");
    };
    write(turn, account, Field::Suspension, None);
    let text = format!("{} lifted the suspension of the account {}", turn.prefix(), params[0]);
    turn.record('x', &text, None);
    say(turn, format!("{} is suspended no more.", params[0]))
}

fn list(turn: &mut Turn, params: &[&str]) -> Outcome {
    let pattern = params.first().copied().unwrap_or("*");
    let fit = turn.network().accounts().iter().filter(|account| glob_matches(pattern, &account.name));
    let mut lines: Vec<String> = fit
        .map(|account| {
            let suspended = if account.suspension.is_some() { ", suspended" } else { "" };
            format!("{} since {}{suspended}", account.name, account.registered)
        })
        .collect();
    let count = lines.len();
    lines.truncate(LISTED_MAX);
    lines.push(format!("{count} accounts."));
    lines.iter().try_for_each(|line| say(turn, line))
}
