//! Bans that stand, as STATS lists them, and TESTLINE and TESTMASK: whom they mean, and whom a mask would.

use std::net::IpAddr;

use super::{Command, Who};
use crate::engine::Engine;
use crate::engine::banish::until;
use crate::engine::network::{Ban, BanKind, Suspect, User};
use crate::engine::query::ANSWER_LINES_MAX;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::mask::glob_matches;
use crate::wire::message::{BODY_BYTES_MAX, cut};
use crate::wire::names::Word;
use crate::wire::numeric::{self, Numeric};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "TESTLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: testline,
        usage: "<nick> | [<username>@]<host or address> [:<real name>]",
        help: "Shows the bans that mean somebody, whether they are here or not.",
    },
    Command {
        name: "TESTMASK",
        params_min: 1,
        who: Who::Operator("ban"),
        run: testmask,
        usage: "[<nick>!]<username>@<host> [:<real name>]",
        help: "Counts the people, on this server and elsewhere, whom a mask with * and ? means: how many a ban would.",
    },
];

/// What a line has for mask, reason and what is said of both, beside the longest names of server and nick.
const REASON_ROOM: usize = BODY_BYTES_MAX - 160;

/// Bans in force of one kind: by the small letter those that expire, else those for good.
pub fn bans(engine: &Engine, letter: char) -> Vec<Numeric> {
    let kind = BanKind::from_letter(&letter.to_ascii_uppercase().to_string());
    let bans = in_force(engine)
        .filter(|(of, _, ban)| Some(*of) == kind && ban.fact.until.is_some() == letter.is_ascii_lowercase());
    let lines = bans.map(|(kind, mask, ban)| {
        let fact = &ban.fact;
        let about = format!(" [{}, set {}, {}]", fact.by, fact.set, until(fact.until));
        // Rather less of the reason than none of what stands behind it.
        let room = REASON_ROOM.saturating_sub(about.len() + mask.len());
        let reason = format!("{}{about}", cut(&fact.reason, room));
        match kind {
            BanKind::UserHost => {
                let (user, host) = mask.split_once('@').unwrap_or(("*", mask));
                numeric::stats_kline(letter, Word::echo(host), Word::echo(user), &reason)
            }
            BanKind::Address => numeric::stats_dline(letter, Word::echo(mask), &reason),
            BanKind::Realname => numeric::stats_xline(letter, Word::echo(mask), &reason),
        }
    });
    lines.take(ANSWER_LINES_MAX - 1).collect()
}

/// Bans in force of every kind, and how many there were.
pub fn all_bans(engine: &Engine) -> Vec<Numeric> {
    let lines = in_force(engine).map(|(kind, mask, ban)| {
        let (fact, now) = (&ban.fact, engine.now.wall);
        let left_s = fact.until.map_or(0, |until| until.0.saturating_sub(now.0).div_ceil(1000));
        let since_s = now.0.saturating_sub(fact.set.0) / 1000;
        let (mask, by) = (Word::echo(mask), Word::echo(&fact.by));
        numeric::stats_gline(kind.letter(), mask, left_s, since_s, by, &fact.reason)
    });
    let mut lines: Vec<Numeric> = lines.take(ANSWER_LINES_MAX - 2).collect();
    let (active, tally) = (in_force(engine).count(), &engine.tally.bans);
    let counts = format!(
        "{active} in force; since the start {} set, {} changed, {} lifted, {} expired, {} people turned away",
        tally.set, tally.changed, tally.lifted, tally.expired, tally.turned_away
    );
    lines.push(numeric::stats_text(Word::from('g'), &counts));
    lines
}

fn in_force(engine: &Engine) -> impl Iterator<Item = (BanKind, &str, &Ban)> {
    engine.network.bans().iter().filter(|(_, _, ban)| ban.fact.is_in_force(engine.now.wall))
}

fn testline(turn: &mut Turn, params: &[&str]) -> Outcome {
    let asked = params[0];
    let known = turn.network().user_called(asked);
    let lines: Vec<Numeric> = match known {
        Some(user) => met(turn, &suspect_of(user, &user.fact.hosts())),
        None => {
            let text = asked.split_once('!').map_or(asked, |(_, rest)| rest);
            // A name that nobody gave is met by bans on everyone from there.
            let (username, host) = text.split_once('@').unwrap_or(("*", text));
            let nowhere = IpAddr::from([0, 0, 0, 0]);
            let suspect = Suspect {
                username: Some(username),
                hosts: &[host],
                address: host.parse().unwrap_or(nowhere),
                realname: params.get(1).copied(),
            };
            met(turn, &suspect)
        }
    };
    if lines.is_empty() {
        return Err(numeric::no_test_line(Word::echo(asked)).into());
    }
    turn.reply_all(lines);
    Ok(())
}

/// Every ban in force that means somebody.
fn met(turn: &Turn, suspect: &Suspect) -> Vec<Numeric> {
    let (engine, now) = (&turn.engine, turn.now.wall);
    let met = in_force(engine).filter(|(_, _, ban)| ban.matches(suspect));
    let lines = met.map(|(kind, mask, ban)| {
        let left_min = ban.fact.until.map_or(0, |until| until.0.saturating_sub(now.0).div_ceil(60_000));
        let letter =
            if ban.fact.until.is_some() { kind.letter().to_ascii_lowercase() } else { kind.letter() };
        numeric::test_line(letter, left_min, Word::echo(mask), &ban.fact.reason)
    });
    lines.take(ANSWER_LINES_MAX).collect()
}

fn suspect_of<'a>(user: &'a User, hosts: &'a [&'a str]) -> Suspect<'a> {
    let fact = &user.fact;
    Suspect {
        username: Some(&fact.username),
        hosts,
        address: fact.address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])),
        realname: Some(&fact.realname),
    }
}

fn testmask(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (nick, rest) = params[0].split_once('!').unwrap_or(("*", params[0]));
    let (username, host) = rest.split_once('@').unwrap_or(("*", rest));
    let realname = params.get(1).copied().filter(|realname| !realname.is_empty()).unwrap_or("*");
    let is_meant = |user: &&User| {
        let fact = &user.fact;
        glob_matches(nick, user.nick.as_str())
            && glob_matches(username, &fact.username)
            && fact.hosts().into_iter().any(|known_as| glob_matches(host, known_as))
            && glob_matches(realname, &fact.realname)
    };
    let meant: Vec<&User> = turn.network().users().filter(is_meant).collect();
    let here = meant.iter().filter(|user| user.server() == turn.server_id()).count();
    let mask = Word::echo(&format!("{nick}!{username}@{host}"));
    let line = numeric::test_mask(here, meant.len() - here, mask, Word::echo(&realname.replace(' ', "\\s")));
    turn.reply(line);
    Ok(())
}
