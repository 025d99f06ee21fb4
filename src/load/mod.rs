//! The load generator: many clients on any IRC server, and what that costs the server.
//!
//! One thread and epoll, so that the server is what is measured. Every line that is sent is numbered, and whoever should
//! hear it checks that it came once and in order; a figure without that is worth nothing.

mod come;
mod crowd;
mod enter;
mod ledger;
mod process;
mod progress;
mod report;
mod says;
mod talk;
mod unit;

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use rustix::rand::{GetRandomFlags, getrandom};

use self::come::Churn;
use self::crowd::Crowd;
use self::enter::Way;
use self::process::{Process, Usage};
use self::progress::Progress;
use self::report::{Delay, Run};
use self::talk::{Pace, Rooms, Talk};

/// What a load is made of, as the command line has it.
#[derive(Clone, Subcommand)]
pub enum Load {
    /// Clients that come in and stay: registrations a second, processor and memory for each
    Connect {
        /// How many there are in the end
        #[arg(long, default_value_t = 1000)]
        clients: usize,
        /// How many register at the same time
        #[arg(long, default_value_t = 100)]
        at_once: usize,
        #[command(flatten)]
        how: How,
    },
    /// One channel in which some talk and all listen
    Fanout {
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
        members: u32,
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        senders: u32,
        /// How many lines are on their way at a time
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
        in_flight: u32,
        #[command(flatten)]
        lines: Lines,
        #[command(flatten)]
        how: How,
    },
    /// Many channels in each of which all talk in turn
    Rooms {
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
        rooms: u32,
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..))]
        members: u32,
        /// How many lines are on their way at a time, in all rooms together
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
        in_flight: u32,
        #[command(flatten)]
        lines: Lines,
        #[command(flatten)]
        how: How,
    },
    /// Private messages, from one of each pair to the other
    Pairs {
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
        pairs: u32,
        /// How many lines of each pair are on their way at a time
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        in_flight: u32,
        #[command(flatten)]
        lines: Lines,
        #[command(flatten)]
        how: How,
    },
    /// So many lines a second, whether or not the server keeps up: how long they take
    Latency {
        /// Lines a second, in all rooms together
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
        rate: u64,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        rooms: u32,
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..))]
        members: u32,
        #[command(flatten)]
        lines: Lines,
        #[command(flatten)]
        how: How,
    },
    /// People who join, talk, part, quit and come back
    Churn {
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
        clients: u32,
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        channels: u64,
        /// For how long
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Clone, Args)]
pub struct Lines {
    /// How many lines are said while it is measured; a tenth as many go before
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..))]
    lines: u64,
    /// How long the text of a line is, in bytes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(16..=350))]
    bytes: u16,
}

#[derive(Clone, Args)]
pub struct How {
    /// The server, on its plain port, and what the table calls it
    #[arg(long, value_name = "[NAME=]HOST:PORT", default_value = "127.0.0.1:6667")]
    server: String,
    /// A second server of the same network: those who only listen are there
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// Another server to compare with; its second server behind a comma
    #[arg(long, value_name = "NAME=HOST:PORT[,HOST:PORT]")]
    compare: Vec<String>,
    /// How often each server is measured, in turn with the others
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The server's process, where it cannot be found by its port; one for each server and second server, in order
    #[arg(long, value_name = "ID")]
    pid: Vec<u32>,
    /// Capabilities that every client asks for, with spaces between them
    #[arg(long, default_value = "")]
    caps: String,
    /// What the server wants to hear before it lets anyone in
    #[arg(long)]
    password: Option<String>,
    /// For how many seconds nothing may happen, before what is missing counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// A server under load, and perhaps a second one behind it.
struct Subject {
    name: String,
    servers: Vec<SocketAddr>,
    processes: Vec<Process>,
}

/// Puts the load on every server, round after round, and says what was measured.
pub fn run(load: Load) -> Result<String, String> {
    let (name, how) = (load.name(), load.how().clone());
    let subjects = subjects(&how)?;
    let (mut runs, mut failed) = (Vec::new(), BTreeMap::new());
    for round in 0..how.rounds {
        for (number, subject) in subjects.iter().enumerate() {
            // What one of them cannot take is no reason to know nothing of the others.
            if failed.contains_key(&number) {
                continue;
            }
            let progress =
                Progress::new(format!("{name} on {}, round {} of {}", subject.name, round + 1, how.rounds));
            match measure(&load, subject, &how, &progress) {
                Ok(run) => runs.push(run),
                Err(why) => {
                    failed.insert(number, format!("{} on {}: {why}", name, subject.name));
                }
            }
        }
    }
    let mut faults: Vec<String> = failed.into_values().collect();
    if runs.is_empty() {
        return Err(faults.join("\n"));
    }
    if !runs.iter().all(|run| run.faults.is_none()) {
        faults.push("Lines were lost, doubled or out of order.".to_string());
    }
    let text = if how.json { report::json(name, &runs) } else { report::table(&load.title(), &runs) };
    if faults.is_empty() { Ok(text) } else { Err(format!("{text}\n{}", faults.join("\n"))) }
}

fn subjects(how: &How) -> Result<Vec<Subject>, String> {
    let (name, server) = how.server.split_once('=').unwrap_or((&how.server, &how.server));
    let own = how.to.iter().fold(server.to_string(), |servers, to| format!("{servers},{to}"));
    let named = how.compare.iter().map(|text| {
        let (name, servers) = text.split_once('=').ok_or_else(|| {
            format!("--compare {text}: write a name, \"=\" and an address, as in other=127.0.0.1:6668")
        })?;
        Ok((name.to_string(), servers.to_string()))
    });
    let all: Result<Vec<_>, String> = std::iter::once(Ok((name.to_string(), own))).chain(named).collect();
    let mut ids = how.pid.iter();
    all?.into_iter()
        .map(|(name, servers)| {
            let servers: Vec<SocketAddr> = servers.split(',').map(address).collect::<Result<_, _>>()?;
            let processes = servers.iter().filter_map(|server| match ids.next() {
                Some(id) => Some(Process::of_id(*id)),
                None => Process::behind(*server).map(Ok),
            });
            let processes: Vec<Process> = processes.collect::<Result<_, _>>()?;
            // Half a sum would look like a good result.
            let processes = if processes.len() == servers.len() { processes } else { Vec::new() };
            Ok(Subject { name, servers, processes })
        })
        .collect()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().map_err(|why| format!("{text} is no address with a port: {why}"))?;
    found.into_iter().next().ok_or_else(|| format!("{text} has no address"))
}

/// Tells the nicks and channels of this run from those of others: of earlier ones, on servers that remember some, and of
/// those beside it, which may have begun at the same moment.
fn run_number() -> Result<u64, String> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|why| format!("no random number: {why}"))?;
    Ok(u64::from_le_bytes(bytes) % enter::RUNS)
}

fn measure(load: &Load, subject: &Subject, how: &How, progress: &Progress) -> Result<Run, String> {
    let bare_send = unit::bare_send()?;
    let mut crowd = Crowd::new()?;
    let at_once = load.at_once();
    let way = Way {
        password: how.password.clone(),
        caps: how.caps.clone(),
        at_once,
        patience: Duration::from_secs(how.patience),
        run: run_number()?,
    };
    let mut run = Run { server: subject.name.clone(), bare_send_us: micros(bare_send), ..Run::default() };
    let (before, took);
    match load {
        Load::Connect { clients, .. } => {
            before = subject.usage()?;
            let started = Instant::now();
            let place = |client: usize| subject.servers[client % subject.servers.len()];
            enter::register(&mut crowd, *clients, &way, place, progress)?;
            took = started.elapsed();
            (run.what, run.count) = ("registrations", *clients as u64);
        }
        Load::Churn { clients, channels, seconds, .. } => {
            before = subject.usage()?;
            let mut churn = Churn::new(*clients as usize, *channels, subject.servers[0], way);
            took = churn.run(&mut crowd, Duration::from_secs(*seconds), progress)?;
            (run.what, run.count) = ("turns", churn.turns);
        }
        _ => {
            let talk = load.talk();
            let lines = talk.lines;
            let mut rooms = Rooms::open(&mut crowd, talk, &subject.servers, &way, progress)?;
            rooms.run(&mut crowd, lines / 10, progress)?;
            before = subject.usage()?;
            let outcome = rooms.run(&mut crowd, lines, progress)?;
            took = outcome.took;
            (run.what, run.count, run.faults) = ("lines heard", outcome.deliveries, outcome.faults);
            run.delay_us = Delay::of(outcome.delays_us);
        }
    }
    let after = subject.usage()?;
    run.seconds = took.as_secs_f64();
    run.per_second = run.count as f64 / run.seconds;
    if let (Some(before), Some(after)) = (before, after) {
        let each = micros(after.cpu.saturating_sub(before.cpu)) / run.count.max(1) as f64;
        (run.cpu_us_each, run.sends_each) = (Some(each), Some(each / run.bare_send_us));
        run.resident_bytes = Some(after.resident_bytes);
        if let Load::Connect { clients, .. } = load {
            let more = after.resident_bytes.saturating_sub(before.resident_bytes);
            run.resident_bytes_each = Some(more as f64 / *clients as f64);
        }
    }
    Ok(run)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl Subject {
    /// Of all its servers together; `None` where they are not on this machine.
    fn usage(&self) -> Result<Option<Usage>, String> {
        if self.processes.is_empty() {
            return Ok(None);
        }
        let mut sum = Usage::default();
        for process in &self.processes {
            let usage = process.usage()?;
            sum.cpu += usage.cpu;
            sum.resident_bytes += usage.resident_bytes;
            sum.threads += usage.threads;
        }
        Ok(Some(sum))
    }
}

impl Load {
    fn name(&self) -> &'static str {
        match self {
            Load::Connect { .. } => "connect",
            Load::Fanout { .. } => "fanout",
            Load::Rooms { .. } => "rooms",
            Load::Pairs { .. } => "pairs",
            Load::Latency { .. } => "latency",
            Load::Churn { .. } => "churn",
        }
    }

    fn how(&self) -> &How {
        match self {
            Load::Connect { how, .. }
            | Load::Fanout { how, .. }
            | Load::Rooms { how, .. }
            | Load::Pairs { how, .. }
            | Load::Latency { how, .. }
            | Load::Churn { how, .. } => how,
        }
    }

    fn title(&self) -> String {
        match self {
            Load::Connect { clients, at_once, .. } => {
                format!("connect: {clients} clients, {at_once} at once")
            }
            Load::Fanout { members, senders, in_flight, .. } => {
                format!("fanout: {members} members, {senders} of them talk, {in_flight} lines in flight")
            }
            Load::Rooms { rooms, members, in_flight, .. } => {
                format!("rooms: {rooms} of {members} members, {in_flight} lines in flight")
            }
            Load::Pairs { pairs, in_flight, .. } => {
                format!("pairs: {pairs}, {in_flight} lines of each in flight")
            }
            Load::Latency { rate, rooms, members, .. } => {
                format!("latency: {rate} lines/s in {rooms} rooms of {members}")
            }
            Load::Churn { clients, channels, seconds, .. } => {
                format!("churn: {clients} clients, {channels} channels, {seconds} s")
            }
        }
    }

    /// How many may be registering at a time. More would be quicker where a server lets all who are there in once a second;
    /// ngIRCd ends connections where a thousand come at once.
    fn at_once(&self) -> usize {
        const USUALLY: usize = 100;
        match self {
            Load::Connect { at_once, .. } => (*at_once).max(1),
            _ => USUALLY,
        }
    }

    /// Who talks; only for the loads in which people do.
    fn talk(&self) -> Talk {
        let of = |rooms: u32, members: u32, senders: u32, is_private, pace, lines: &Lines| Talk {
            rooms: rooms as usize,
            members: members as usize,
            senders: senders.min(members) as usize,
            is_private,
            text_bytes: usize::from(lines.bytes),
            pace,
            lines: lines.lines,
        };
        match self {
            Load::Fanout { members, senders, in_flight, lines, .. } => {
                of(1, *members, *senders, false, Pace::InFlight(*in_flight as usize), lines)
            }
            Load::Rooms { rooms, members, in_flight, lines, .. } => {
                of(*rooms, *members, *members, false, Pace::InFlight(*in_flight as usize), lines)
            }
            Load::Pairs { pairs, in_flight, lines, .. } => {
                of(*pairs, 2, 1, true, Pace::InFlight((*pairs * *in_flight) as usize), lines)
            }
            Load::Latency { rate, rooms, members, lines, .. } => {
                of(*rooms, *members, 1, false, Pace::Rate(*rate), lines)
            }
            Load::Connect { .. } | Load::Churn { .. } => unreachable!("nobody talks in these"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_begin_at_the_same_moment_are_told_apart() {
        let runs: std::collections::BTreeSet<u64> = (0..4).map(|_| run_number().unwrap()).collect();
        assert!(runs.len() > 1, "{runs:?}");
        assert!(runs.iter().all(|run| *run < enter::RUNS));
    }
}
