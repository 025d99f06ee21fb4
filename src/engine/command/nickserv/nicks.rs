//! GHOST, REGAIN, GROUP and UNGROUP: the nicks that are an account's own.

use super::{own, say, write};
use crate::engine::network::{AccountFact, Field};
use crate::engine::peer::Act;
use crate::engine::pending::Reply;
use crate::engine::services::{For, ServiceWord};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::fold::fold;
use crate::wire::names::Word;

pub const WORDS: &[ServiceWord] = &[
    ServiceWord {
        word: "GHOST",
        aliases: &[],
        params_min: 1,
        who: For::LoggedIn,
        run: |turn, params| ghost(turn, params[0]),
        usage: "GHOST <nick>",
        help: "Ends a connection that is logged in as you are, or that uses a nick of yours.",
    },
    ServiceWord {
        word: "REGAIN",
        aliases: &["RECOVER", "RELEASE"],
        params_min: 1,
        who: For::LoggedIn,
        run: regain,
        usage: "REGAIN <nick>",
        help: "Gives you a nick of yours that somebody else uses; they go by another from then on.",
    },
    ServiceWord {
        word: "GROUP",
        aliases: &[],
        params_min: 0,
        who: For::LoggedIn,
        run: group,
        usage: "GROUP",
        help: "Makes the nick that you go by your account's own, beside its name.",
    },
    ServiceWord {
        word: "UNGROUP",
        aliases: &[],
        params_min: 1,
        who: For::LoggedIn,
        run: ungroup,
        usage: "UNGROUP <nick>",
        help: "Gives up a nick that is your account's own.",
    },
];

/// One account has at most so many nicks beside its name.
const NICKS_MAX: usize = 10;

fn ghost(turn: &mut Turn, nick: &str) -> Outcome {
    let account = own(turn)?;
    let Ok(user) = turn.user_within_reach(nick) else {
        return say(turn, "Nobody who can be reached goes by that nick.");
    };
    let is_owned =
        turn.network().accounts().owner_of(&fold(nick)).is_some_and(|owner| owner.id == account.id);
    if user.account_id() != Some(account.id) && !is_owned {
        return say(turn, "That nick is not yours.");
    }
    if user.id == turn.me() {
        return say(turn, "That is you.");
    }
    let act = Act::Ghost { user: user.id, claimed: user.fact.claimed, by: turn.prefix() };
    let (of, shown) = (user.server(), user.nick.to_string());
    let done = vec![Reply::Notice(format!("{shown} is gone"))];
    turn.have_done(of, act, "GHOST", Word::echo(nick), done)
}

fn regain(turn: &mut Turn, params: &[&str]) -> Outcome {
    let account = own(turn)?;
    let owner = turn.network().accounts().owner_of(&fold(params[0]));
    if owner.is_none_or(|owner| owner.id != account.id) {
        return say(turn, "That nick is not yours.");
    }
    let holder = turn.network().user_called(params[0]);
    match holder.map(|user| (user.id, user.account_id())) {
        Some((user, _)) if user == turn.me() => say(turn, "You go by it."),
        // One's own ghost has as good a right to it, and so has to go first.
        Some((_, Some(id))) if id == account.id => {
            ghost(turn, params[0])?;
            crate::engine::command::take_nick_from_ghost(turn, params[0])
        }
        _ => crate::engine::command::go_by(turn, params[0]),
    }
}

fn group(turn: &mut Turn, _: &[&str]) -> Outcome {
    let account = own(turn)?;
    let nick = turn.user().fact.nick.clone();
    if turn.user().nick != nick || crate::wire::names::UserId::parse(nick.as_str()).is_some() {
        return say(turn, "You go by no nick of your own.");
    }
    if let Some(owner) = turn.network().accounts().owner_of(&nick.folded()) {
        let text = if owner.id == account.id { "It is yours already." } else { "It is somebody else's." };
        return say(turn, text);
    }
    if account.nicks.len() >= NICKS_MAX {
        return say(turn, format!("You have {NICKS_MAX} further nicks: give one up first."));
    }
    let claimed = turn.stamp();
    let fact = AccountFact::Nick { nick: nick.to_string(), claimed };
    write(turn, account.id, Field::Nick(nick.folded()), Some(fact));
    say(turn, format!("{nick} is yours."))
}

fn ungroup(turn: &mut Turn, params: &[&str]) -> Outcome {
    let account = own(turn)?;
    let nick = fold(params[0]);
    if !account.nicks.contains_key(&nick) {
        return say(turn, "That is none of your further nicks.");
    }
    write(turn, account.id, Field::Nick(nick), None);
    say(turn, "It is yours no more.")
}
