//! STATS: figures of a server, by letter.

use super::{Command, Who};
use crate::engine::Engine;
use crate::engine::banish::until;
use crate::engine::event::Traffic;
use crate::engine::links::Link;
use crate::engine::merge::Stream;
use crate::engine::network::BanKind;
use crate::engine::query::{ANSWER_LINES_MAX, Answer, Query};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::base36;
use crate::wire::names::{ServerId, Word};
use crate::wire::numeric::{self, Numeric};

pub const COMMANDS: &[Command] = &[Command {
    name: "STATS",
    params_min: 1,
    who: Who::Registered,
    run: stats,
    usage: "<letter> [<server>]",
    help: "Shows figures of a server. u: how long it is up. p: operators who are here. For operators with the right `stats` also l: connections and their traffic, and the state of each link, m: how often each command was given, o: operators of the config, h: what is held against peers, by reason, and digests of what this server holds; and with that or `ban`, bans that expire and those for good: k and K by user@host, d and D by address, x and X by real name.",
}];

pub const QUERIES: &[&Query] = &[&STATS];

const STATS: Query = Query { name: "STATS", answer };

/// What everyone may see.
const FOR_ALL: &[&str] = &["u", "p"];

/// What those who may set bans may see too.
const BANS: &[&str] = &["k", "K", "d", "D", "x", "X"];

fn stats(turn: &mut Turn, params: &[&str]) -> Outcome {
    let letter = params[0];
    let is_of_bans = BANS.contains(&letter) && turn.has_right("ban");
    if !FOR_ALL.contains(&letter) && !turn.has_right("stats") && !is_of_bans {
        let refusal = match turn.user().is_operator() {
            true => numeric::no_operator_right(Word::echo("stats")),
            false => numeric::no_privileges(),
        };
        turn.reply(refusal);
        turn.reply(numeric::end_of_stats(Word::echo(letter)));
        return Ok(());
    }
    turn.query(&STATS, letter, params.get(1).copied())
}

fn answer(engine: &Engine, letter: &str) -> Answer {
    let mut answer = match letter {
        // Only the edge knows how much waits in each queue.
        "l" => return Answer::Measured(connections),
        "u" => vec![up_time((engine.now.steady_ms - engine.started.steady_ms) / 1000)],
        "p" => operators_here(engine),
        "m" => {
            let counted = engine.tally.commands.iter();
            counted
                .map(|(name, tally)| numeric::stats_commands(Word::echo(name), tally.count, tally.bytes, 0))
                .collect()
        }
        "h" => held_against_peers(engine),
        "o" => {
            let operators = engine.config.operator.iter();
            operators
                .map(|operator| {
                    let (name, class) = (Word::echo(&operator.name), Word::echo(&operator.class));
                    numeric::stats_operator_line(Word::echo("*@*"), name, class)
                })
                .collect()
        }
        "k" | "K" | "d" | "D" | "x" | "X" => bans(engine, letter),
        _ => Vec::new(),
    };
    answer.push(numeric::end_of_stats(Word::echo(letter)));
    answer.into()
}

/// Bans of one kind that are in force: by the small letter those that expire, else those for good.
fn bans(engine: &Engine, letter: &str) -> Vec<Numeric> {
    let is_temporary = letter.chars().all(char::is_lowercase);
    let kind = BanKind::from_letter(&letter.to_ascii_uppercase());
    let bans = engine.network.bans().iter().filter(|(of, _, ban)| {
        let fact = &ban.fact;
        Some(*of) == kind && fact.until.is_some() == is_temporary && fact.is_in_force(engine.now.wall)
    });
    let lines = bans.map(|(kind, mask, ban)| {
        let fact = &ban.fact;
        let reason = format!("{} [{}, {}]", fact.reason, fact.by, until(fact.until));
        let letter = letter.chars().next().unwrap_or_default();
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

fn up_time(seconds: u64) -> Numeric {
    numeric::stats_uptime(seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

fn operators_here(engine: &Engine) -> Vec<Numeric> {
    let users = engine.network.users_of(engine.identity.sid).filter(|user| user.is_operator());
    let lines = users.map(|user| {
        let idle_s = engine.sessions.of_user(user.id).map_or(0, |session| session.idle_s(engine.now));
        numeric::stats_text(Word::from('p'), &format!("{} idle {idle_s} s", user.prefix()))
    });
    let mut lines: Vec<Numeric> = lines.collect();
    lines.push(numeric::stats_text(Word::from('p'), &format!("{} operator(s)", lines.len())));
    lines
}

fn held_against_peers(engine: &Engine) -> Vec<Numeric> {
    let line = |text: String| numeric::stats_text(Word::from('h'), &text);
    let mut lines = Vec::new();
    lines.extend(engine.trust.refused().map(|(reason, count)| line(format!("refused {reason} {count}"))));
    lines.extend(engine.trust.faults().map(|(fault, count)| line(format!("fault {} {count}", fault.word()))));
    for stream in Stream::OF_FACTS {
        let seen = base36::encode(engine.seen_digest(stream));
        let facts = base36::encode(engine.network.facts_hash(stream));
        lines.push(line(format!("state {} heard {seen} holds {facts}", stream.letter())));
    }
    lines.extend(engine.chains.false_relays().map(|(server, until_ms)| {
        let left_s = until_ms.saturating_sub(engine.now.steady_ms) / 1000;
        line(format!("relay {} not believed for {left_s} s", engine.network.server_name(server)))
    }));
    lines.extend(engine.quarantine.iter().map(|(origin, until)| {
        let ahead_s = until.saturating_sub(engine.now.wall.0) / 1000;
        line(format!("quarantine {origin} ahead {ahead_s} s"))
    }));
    lines
}

/// Each connection and what went over it, and below each link how it is.
fn connections(engine: &Engine, measured: &[Traffic]) -> Vec<Numeric> {
    let mut lines = Vec::new();
    for traffic in measured {
        let link = engine.links.by_conn.get(&traffic.conn);
        let (name, opened_ms) = match link {
            Some(link) => (link.label(), link.opened_ms),
            None => {
                let Some(session) = engine.sessions.get(traffic.conn) else { continue };
                let user = session.user().and_then(|user| engine.network.user(user));
                (user.map_or_else(|| session.address.to_string(), |user| user.prefix()), session.opened_ms)
            }
        };
        let open_s = engine.now.steady_ms.saturating_sub(opened_ms) / 1000;
        lines.push(numeric::stats_link_info(
            Word::echo(&name),
            traffic.queued_bytes,
            traffic.sent_lines,
            traffic.sent_bytes / 1024,
            traffic.received_lines,
            traffic.received_bytes / 1024,
            &open_s.to_string(),
        ));
        let states = link.map_or(Vec::new(), |link| vec![route(engine, link), transport(link, traffic)]);
        lines.extend(states.iter().map(|state| numeric::stats_text(Word::from('l'), state)));
    }
    lines.push(numeric::end_of_stats(Word::from('l')));
    lines
}

/// How a link serves the network. Both these lines are for people, and can be read by programs.
fn route(engine: &Engine, link: &Link) -> String {
    let known = |number: Option<String>| number.unwrap_or("?".to_string());
    let cost = link.sid().and_then(|sid| engine.routes.cost(engine.identity.sid, sid));
    let is_behind = |server: &ServerId| engine.routes.next_hop(*server) == link.sid();
    let servers = engine.routes.reachable().filter(is_behind).count();
    let up_s = link.up_ms.map(|up_ms| engine.now.steady_ms.saturating_sub(up_ms) / 1000);
    format!(
        "{} sid={} up_s={} called_by={} at={} cost={} servers={servers} round_trip_ms={} clock_ahead_ms={}",
        link.label(),
        known(link.sid().map(|sid| sid.to_string())),
        known(up_s.map(|up_s| up_s.to_string())),
        if link.place.is_some() { "us" } else { "them" },
        link.address,
        known(cost.map(|cost| cost.to_string())),
        known(link.round_trip_ms.map(|ms| ms.to_string())),
        known(link.round_trip_ms.map(|_| link.clock_ahead_ms.to_string())),
    )
}

/// What carries a link. Peers talk in TLS 1.3 only.
fn transport(link: &Link, traffic: &Traffic) -> String {
    format!(
        "{} queued_bytes={} sent_bytes={} sent_wire_bytes={} received_bytes={} received_wire_bytes={} tls=1.3 \
         compression={} pin={}",
        link.label(),
        traffic.queued_bytes,
        traffic.sent_bytes,
        traffic.sent_wire_bytes,
        traffic.received_bytes,
        traffic.received_wire_bytes,
        traffic.compression.unwrap_or("none"),
        link.pin,
    )
}
