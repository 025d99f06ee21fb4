//! BLOCK: whom the owner of an account does not want to hear from, wherever they log in.

use super::{own, say, write};
use crate::engine::network::{Account, AccountFact, Blocked, Field};
use crate::engine::services::{For, ServiceWord};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::mask::Mask;

pub const WORDS: &[ServiceWord] = &[ServiceWord {
    word: "BLOCK",
    aliases: &["IGNORE"],
    params_min: 1,
    who: For::LoggedIn,
    run: block,
    usage: "BLOCK ADD <nick, account or mask> | BLOCK DEL <the same> | BLOCK LIST",
    help: "Keeps somebody's private messages and invitations from you, wherever you log in; they are not told. A mask is for those who have no account.",
}];

/// One account blocks at most so many.
const BLOCKS_MAX: usize = 100;

/// The longest mask that fits on a line beside everything else.
const MASK_BYTES_MAX: usize = 160;

fn block(turn: &mut Turn, params: &[&str]) -> Outcome {
    let account = own(turn)?;
    match (params[0].to_ascii_uppercase().as_str(), params.get(1)) {
        ("LIST", _) => list(turn, &account),
        ("ADD", Some(whom)) => add(turn, &account, whom),
        ("DEL", Some(whom)) => remove(turn, &account, whom),
        ("ADD" | "DEL", None) => say(turn, "Whom? A nick, the name of an account, or a mask."),
        _ => say(turn, "ADD, DEL or LIST?"),
    }
}

fn list(turn: &mut Turn, account: &Account) -> Outcome {
    if account.blocks.is_empty() {
        return say(turn, "You block nobody.");
    }
    for (blocked, since) in &account.blocks {
        let line = format!("{} since {since}", shown(turn, blocked));
        say(turn, line)?;
    }
    Ok(())
}

fn shown(turn: &Turn, blocked: &Blocked) -> String {
    match blocked {
        Blocked::Account(id) => match turn.network().accounts().get(*id) {
            Some(account) => format!("The account {}", account.name),
            None => format!("An account that is no more, {id},"),
        },
        Blocked::Mask(mask) => format!("Whoever has no account and is {mask}"),
    }
}

/// Who is meant: whoever is called so now, or the account of that name, or a mask; and a mask as well where they have no
/// account.
fn named(turn: &Turn, whom: &str) -> Option<Blocked> {
    if whom.contains(['!', '@', '*', '?']) {
        return Mask::complete(whom).filter(|mask| mask.as_str().len() <= MASK_BYTES_MAX).map(Blocked::Mask);
    }
    let Some(user) = turn.network().user_called(whom) else {
        return turn.network().account_named(whom).map(|account| Blocked::Account(account.id));
    };
    match user.account_id() {
        Some(account) => Some(Blocked::Account(account)),
        None => Mask::complete(&format!("*!*@{}", user.fact.host)).map(Blocked::Mask),
    }
}

fn add(turn: &mut Turn, account: &Account, whom: &str) -> Outcome {
    let Some(blocked) = named(turn, whom) else {
        return say(turn, "There is nobody of that name, and no account.");
    };
    let shown = shown(turn, &blocked);
    if blocked == Blocked::Account(account.id) {
        return say(turn, "That is you.");
    }
    if account.blocks.keys().any(|known| known.is_same(&blocked)) {
        return say(turn, format!("{shown} is blocked already."));
    }
    if account.blocks.len() >= BLOCKS_MAX {
        return say(turn, format!("You block {BLOCKS_MAX}: let somebody go first."));
    }
    let added = turn.now.wall;
    write(turn, account.id, Field::Block(blocked), Some(AccountFact::Block { added }));
    say(turn, format!("{shown} does not reach you any more."))
}

fn remove(turn: &mut Turn, account: &Account, whom: &str) -> Outcome {
    // Also somebody who is not logged in to the account of that name, and one whose account, or who themselves, cannot be
    // found by name any more: by what LIST shows.
    let of_name = turn.network().account_named(whom).map(|account| Blocked::Account(account.id));
    let meant = [named(turn, whom), of_name, Blocked::parse(whom)];
    let is_meant = |known: &&Blocked| meant.iter().flatten().any(|one| one.is_same(known));
    let Some(blocked) = account.blocks.keys().find(is_meant).cloned() else {
        return say(turn, "You do not block them.");
    };
    let shown = shown(turn, &blocked);
    write(turn, account.id, Field::Block(blocked), None);
    say(turn, format!("{shown} reaches you again."))
}
