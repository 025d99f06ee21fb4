//! STATS: figures of a server, one row a letter.

use super::{Command, Who, all_bans, bans};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::event::Traffic;
use crate::engine::links::Link;
use crate::engine::merge::Stream;
use crate::engine::query::{Answer, Query};
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
    help: "Shows figures of a server, by letter:",
}];

pub const QUERIES: &[&Query] = &[&STATS];

const STATS: Query = Query { name: "STATS", answer };

/// One letter, in both its forms where there are two.
pub struct Figures {
    pub letters: &'static [char],
    /// The rights of which one is needed; none at all where everyone may see it.
    pub rights: &'static [&'static str],
    pub help: &'static str,
    read: fn(&Engine, char) -> Vec<Numeric>,
}

const STATS_RIGHT: &[&str] = &["stats"];
const BAN_RIGHTS: &[&str] = &["stats", "ban"];

pub const FIGURES: &[Figures] = &[
    Figures {
        letters: &['c'],
        rights: STATS_RIGHT,
        help: "the links of the config, and of pairing: whom this server calls, or waits for",
        read: |engine, _| configured_links(&engine.config),
    },
    Figures {
        letters: &['d', 'D'],
        rights: BAN_RIGHTS,
        help: "bans by address that expire, and those for good",
        read: bans,
    },
    Figures {
        letters: &['g', 'G'],
        rights: BAN_RIGHTS,
        help: "bans of every kind: seconds left (0: for good), seconds since they were set, by whom and why; and how many were set, lifted and expired since the start",
        read: |engine, _| all_bans(engine),
    },
    Figures {
        letters: &['h'],
        rights: STATS_RIGHT,
        help: "what is held against peers, by reason, and digests of what this server holds",
        read: |engine, _| held_against_peers(engine),
    },
    Figures {
        letters: &['i'],
        rights: STATS_RIGHT,
        help: "who may connect: how many, how many from one address, and whether it takes a password",
        read: |engine, _| admission(engine),
    },
    Figures {
        letters: &['k', 'K'],
        rights: BAN_RIGHTS,
        help: "bans by user@host that expire, and those for good",
        read: bans,
    },
    Figures {
        letters: &['l', 'L'],
        rights: STATS_RIGHT,
        help: "connections and their traffic, and the state of each link",
        // Only the edge knows how much waits in each queue.
        read: |_, _| Vec::new(),
    },
    Figures {
        letters: &['m', 'M'],
        rights: STATS_RIGHT,
        help: "how often each command was given, and how long all of them were",
        read: |engine, _| commands(engine),
    },
    Figures {
        letters: &['o', 'O'],
        rights: STATS_RIGHT,
        help: "who may become an operator, and of which class; and what each class may do",
        read: |engine, _| operators_of_config(&engine.config),
    },
    Figures {
        letters: &['p'],
        rights: &[],
        help: "operators who are here, but for those who hide it; operators see these too",
        read: |engine, _| operators_here(engine, false),
    },
    Figures {
        letters: &['P'],
        rights: STATS_RIGHT,
        help: "where this server listens",
        read: |engine, _| ports(&engine.config),
    },
    Figures {
        letters: &['t', 'T'],
        rights: STATS_RIGHT,
        help: "counts since the start: connections, the most people at once, what was said to the network",
        read: |engine, _| totals(engine),
    },
    Figures {
        letters: &['u'],
        rights: &[],
        help: "for how long the server is up, and the most people it has had at once",
        read: |engine, _| up_time(engine),
    },
    Figures {
        letters: &['v', 'V'],
        rights: STATS_RIGHT,
        help: "servers that this one is linked with",
        read: |engine, _| engine.links.up().map(|link| text('v', &route(engine, link))).collect(),
    },
    Figures {
        letters: &['x', 'X'],
        rights: BAN_RIGHTS,
        help: "bans by real name that expire, and those for good",
        read: bans,
    },
    Figures {
        letters: &['y', 'Y'],
        rights: STATS_RIGHT,
        help: "what connections are held to: seconds of silence before a PING, connections in all, bytes that may wait for one",
        read: |engine, _| connection_class(&engine.config),
    },
    Figures {
        letters: &['z', 'Z'],
        rights: STATS_RIGHT,
        help: "how much of everything there is in memory, and how much there may be",
        read: |engine, _| held(engine),
    },
];

/// The letters as HELP shows them.
pub fn letters() -> impl Iterator<Item = String> {
    FIGURES.iter().map(|row| {
        let letters: Vec<String> = row.letters.iter().map(char::to_string).collect();
        let rights = match row.rights {
            [] => String::new(),
            rights => format!(" (needs {})", rights.join(" or ")),
        };
        format!("{}: {}{rights}", letters.join(" and "), row.help)
    })
}

/// How a server is asked for the operators there by one of them.
const OPERATORS_TO_OPERATORS: &str = "p+";

fn row_of(letter: &str) -> Option<(&'static Figures, char)> {
    let mut letters = letter.chars();
    let (letter, None) = (letters.next()?, letters.next()) else { return None };
    FIGURES.iter().find(|row| row.letters.contains(&letter)).map(|row| (row, letter))
}

fn stats(turn: &mut Turn, params: &[&str]) -> Outcome {
    // Of a word the first letter counts, as on other servers; nobody else may ask what servers ask each other.
    let letter = params[0].chars().next().map_or("", |first| &params[0][..first.len_utf8()]);
    let rights = row_of(letter).map_or(&[][..], |(row, _)| row.rights);
    if let [first, ..] = rights
        && !rights.iter().any(|right| turn.has_right(right))
    {
        let refusal = match turn.is_operator() {
            true => numeric::no_operator_right(Word::echo(first)),
            false => numeric::no_privileges(),
        };
        turn.reply(refusal);
        turn.reply(numeric::end_of_stats(Word::echo(letter)));
        return Ok(());
    }
    // Who hides being an operator does not hide it from others.
    let subject = if letter == "p" && turn.is_operator() { OPERATORS_TO_OPERATORS } else { letter };
    turn.query(&STATS, subject, params.get(1).copied())
}

fn answer(engine: &Engine, subject: &str) -> Answer {
    let mut answer = match row_of(subject) {
        Some((_, 'l')) => return Answer::Measured(|engine, measured| connections(engine, measured, 'l')),
        Some((_, 'L')) => return Answer::Measured(|engine, measured| connections(engine, measured, 'L')),
        Some((row, letter)) => (row.read)(engine, letter),
        None if subject == OPERATORS_TO_OPERATORS => operators_here(engine, true),
        None => Vec::new(),
    };
    let asked = if subject == OPERATORS_TO_OPERATORS { "p" } else { subject };
    answer.push(numeric::end_of_stats(Word::echo(asked)));
    answer.into()
}

fn text(letter: char, text: &str) -> Numeric {
    numeric::stats_text(Word::from(letter), text)
}

fn configured_links(config: &Config) -> Vec<Numeric> {
    let links = config.link.iter().map(|link| {
        let (host, port) = link.address.rsplit_once(':').unwrap_or((&link.address, "0"));
        let class = if link.connect { "calls" } else { "waits" };
        let [host, name, port, class] = [host, &link.name, port, class].map(Word::echo);
        numeric::stats_link_line(host, name, port, class)
    });
    links.collect()
}

fn admission(engine: &Engine) -> Vec<Numeric> {
    let (limits, server) = (&engine.config.limits, &engine.config.server);
    let password = if server.password.is_empty() { "no" } else { "yes" };
    let line = format!(
        "clients={} clients_max={} connections_per_address={} password={password} register_within={}s",
        engine.sessions.registered(),
        engine.clients_max(),
        limits.connections_per_address,
        limits.register_within.as_secs(),
    );
    vec![text('i', &line)]
}

fn commands(engine: &Engine) -> Vec<Numeric> {
    let counted = engine.tally.commands.iter();
    let lines =
        counted.map(|(name, tally)| numeric::stats_commands(Word::echo(name), tally.count, tally.bytes, 0));
    lines.collect()
}

fn operators_of_config(config: &Config) -> Vec<Numeric> {
    let operators = config.operator.iter().map(|operator| {
        let (name, class) = (Word::echo(&operator.name), Word::echo(&operator.class));
        numeric::stats_operator_line(Word::echo("*@*"), name, class)
    });
    let classes = config.operator_class.iter().map(|(name, class)| {
        let hidden = if class.visible { "" } else { ", hidden" };
        text('o', &format!("class {name}: {}{hidden}; rights: {}", class.title, class.rights.join(" ")))
    });
    operators.chain(classes).collect()
}

fn ports(config: &Config) -> Vec<Numeric> {
    let listen = &config.listen;
    let lists = [("irc", &listen.irc), ("ircs", &listen.ircs), ("link", &listen.link)];
    let addresses = lists.into_iter().flat_map(|(kind, list)| list.iter().map(move |at| (kind, at)));
    let lines = addresses.map(|(kind, at)| {
        let (host, port) = at.rsplit_once(':').unwrap_or((at, "0"));
        numeric::stats_port(Word::echo(port), Word::echo(host), kind)
    });
    lines.collect()
}

fn totals(engine: &Engine) -> Vec<Numeric> {
    let tally = &engine.tally;
    let commands: u64 = tally.commands.values().map(|tally| tally.count).sum();
    let bytes: u64 = tally.commands.values().map(|tally| tally.bytes).sum();
    let lines = [
        format!("connections={} unregistered={}", tally.connections, engine.sessions.unknown()),
        format!("users_here_max={} users_network_max={}", tally.users_local_max, tally.users_network_max),
        format!("commands={commands} command_bytes={bytes}"),
        format!("said_in_passing={} batches={}", engine.passed, engine.batches_made),
    ];
    lines.iter().map(|line| text('t', line)).collect()
}

fn connection_class(config: &Config) -> Vec<Numeric> {
    let limits = &config.limits;
    vec![numeric::stats_class(
        Word::echo("everyone"),
        limits.ping_after.as_secs(),
        0,
        limits.clients_max,
        limits.send_queue,
    )]
}

fn held(engine: &Engine) -> Vec<Numeric> {
    let network = &engine.network;
    let counts = [
        ("users", network.census().people),
        ("channels", network.census().channels),
        ("servers", network.servers().count()),
        ("bans", network.bans().iter().count()),
        ("session facts", network.facts_that_count(Stream::Session).count()),
        ("durable facts", network.facts_that_count(Stream::Durable).count()),
        ("connections", engine.sessions.iter().count() - engine.guests_elsewhere()),
        ("guests on other servers", engine.guests_elsewhere()),
        ("links", engine.links.by_conn.len()),
        ("questions under way", engine.asks.iter().count()),
    ];
    let counts = counts.into_iter().map(|(what, count)| text('z', &format!("{what}: {count}")));
    let loads = engine.loads().into_iter().filter(|load| load.most > 0);
    let loads = loads.map(|load| text('z', &format!("{}: {} of {}", load.what, load.count, load.most)));
    counts.chain(loads).collect()
}

fn up_time(engine: &Engine) -> Vec<Numeric> {
    let seconds = (engine.now.steady_ms - engine.started.steady_ms) / 1000;
    let most = engine.tally.users_local_max.max(engine.sessions.registered());
    vec![
        numeric::stats_uptime(seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60),
        numeric::stats_connections(most, engine.tally.connections),
    ]
}

fn operators_here(engine: &Engine, to_operators: bool) -> Vec<Numeric> {
    let users = engine
        .network
        .users_of(engine.identity.sid)
        .filter(|user| user.is_shown_operator() || user.is_operator() && to_operators);
    let lines = users.map(|user| {
        let idle_s = engine.sessions.person(user.id).map_or(0, |person| person.idle_s(engine.now));
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
fn connections(engine: &Engine, measured: &[Traffic], letter: char) -> Vec<Numeric> {
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
    lines.push(numeric::end_of_stats(Word::from(letter)));
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
