//! SESSIONS, and SET ALWAYS-ON: which clients speak for somebody, and whether they stay without one.

use super::{own, say};
use crate::engine::greeting::readable;
use crate::engine::persistence::is_wish;
use crate::engine::services::{For, ServiceWord};
use crate::engine::turn::{Outcome, Turn};

pub const WORDS: &[ServiceWord] = &[ServiceWord {
    word: "SESSIONS",
    aliases: &["CLIENTS"],
    params_min: 0,
    who: For::LoggedIn,
    run: sessions,
    usage: "SESSIONS",
    help: "Lists the connections that speak for you, from where each comes and since when.",
}];

/// SET ALWAYS-ON, in words.
pub fn set_always_on(turn: &mut Turn, wish: &str) -> Outcome {
    let account = own(turn)?;
    if !is_wish(wish) {
        return say(turn, "ALWAYS-ON is ON, OFF or DEFAULT.");
    }
    turn.wish_to_stay(account.id, wish);
    match turn.engine.is_always_on(turn.me()) {
        true => say(turn, "You stay while none of your clients is connected."),
        false => say(turn, "You go with the last of your clients."),
    }
}

fn sessions(turn: &mut Turn, _: &[&str]) -> Outcome {
    let lines = turn.engine.sessions.of(turn.me()).enumerate().map(|(place, session)| {
        let opened = turn.engine.wall_at(session.opened_ms);
        let how = if session.secure.is_some() { " by TLS" } else { "" };
        let this = if session.conn == turn.conn { ", this one" } else { "" };
        let host = turn.engine.host_of(session.conn).map(|host| turn.network().server_name(host));
        let by = host.map_or(String::new(), |host| format!(" on {host}"));
        format!("{}: from {}{how}{by} since {}{this}", place + 1, session.real_host(), readable(opened))
    });
    lines.collect::<Vec<_>>().into_iter().try_for_each(|line| say(turn, line))
}
