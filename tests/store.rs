//! What is on disk: after a server was killed, while the disk is at fault, and for another one that was away for long.
//!
//! ```text
//! FOLKMOOT_KILLS=200 cargo test --release --test store killed -- --nocapture
//! cargo test --release --test store -- --ignored --nocapture
//! ```

#[path = "support/dice.rs"]
#[allow(dead_code)]
mod dice;
#[path = "support/process/mod.rs"]
mod process;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::thread;
use std::time::{Duration, Instant};

use dice::Dice;
use process::Server;
use process::client::Client;
use process::lab::come_first;
use process::log::Mark;
use rusqlite::{Connection, OpenFlags};

/// How many times a server is killed when nobody says.
const KILLS: u64 = 8;

/// How much is said before it is known which of it is on disk.
const LINES_AT_ONCE: u64 = 300;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

fn look_into(server: &Server) -> Connection {
    let path = server.data().join("folkmoot.db");
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// How often each text is on a server's disk.
fn texts(server: &Server) -> BTreeMap<String, usize> {
    let store = look_into(server);
    let mut all = store.prepare("SELECT line FROM message").unwrap();
    let mut texts = BTreeMap::new();
    for line in all.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        let line = line.unwrap();
        // Who came and went is kept, too.
        if !line.contains(" PRIVMSG ") {
            continue;
        }
        *texts.entry(line.rsplit_once(" :").expect("a text").1.to_string()).or_default() += 1;
    }
    texts
}

/// How much was said, as far as it is on disk.
fn count(server: &Server) -> u64 {
    let sql = "SELECT count(*) FROM message WHERE line LIKE '% PRIVMSG %'";
    let count = look_into(server).query_row(sql, [], |row| row.get::<_, u32>(0));
    count.unwrap().into()
}

/// Somebody on #green.
fn on_green(server: &Server, nick: &str, caps: &str) -> Client {
    let mut client = server.client(nick);
    client.say(&format!("CAP REQ :{caps}"));
    client.hear_until(" ACK ");
    client.join("#green");
    client
}

fn talk(client: &mut Client, texts: impl Iterator<Item = String>) {
    let lines: String = texts.map(|text| format!("PRIVMSG #green :{text}\r\n")).collect();
    client.send(lines.as_bytes());
}

#[test]
fn a_killed_server_starts_again_with_all_that_it_had_said_to_be_on_disk() {
    let mut hall = Server::new("hall");
    hall.set("history.ack = \"disk\"");
    let mut dice = Dice::new(7);
    let mut told: Vec<String> = Vec::new();
    for kill in 1..=number("FOLKMOOT_KILLS", KILLS) {
        hall.start();
        let mut alice = on_green(&hall, "alice", "echo-message");
        talk(&mut alice, (0..LINES_AT_ONCE).map(|line| format!("{kill}-{line}")));
        for _ in 0..=dice.below(LINES_AT_ONCE) {
            let line = alice.hear_until(" PRIVMSG #green :");
            told.push(line.rsplit_once(':').expect("there is one").1.to_string());
        }
        hall.kill();
        // What was on its way to her had been told as well.
        let heard = alice.hear_to_the_end();
        let late = heard.iter().filter_map(|line| line.split_once(" PRIVMSG #green :"));
        told.extend(late.map(|(_, text)| text.to_string()));
        hall.start();
        let kept = texts(&hall);
        let lost: Vec<&String> = told.iter().filter(|text| kept.get(*text) != Some(&1)).collect();
        assert!(lost.is_empty(), "kill {kill}: {lost:?} of {} that were told to be on disk", told.len());
        assert!(kept.values().all(|times| *times == 1), "kill {kill}: something is there twice");
        hall.stop();
    }
}

/// Proves: echo-message
#[test]
fn people_go_on_talking_while_the_disk_is_at_fault_and_operators_hear_of_it() {
    let operator = "[[operator]]\nname = \"root\"\npassword = \"hay\"\nclass = \"administrator\"";
    let hall = Server::started("hall", operator);
    let mut root = hall.client("root");
    root.say("OPER root hay");
    root.hear_until(" 381 ");
    root.say("MODE root +s +s");
    root.hear_until(" 008 ");
    let (mut alice, mut bob) =
        (on_green(&hall, "alice", "echo-message"), on_green(&hall, "bob", "echo-message"));
    // Somebody else holds on to the file for longer than the server waits.
    let other = Connection::open(hall.data().join("folkmoot.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    talk(&mut alice, (0..50).map(|line| format!("meanwhile {line}")));
    alice.hear_until(":meanwhile 49");
    bob.hear_until(":meanwhile 49");
    root.hear_until("cannot write");
    talk(&mut bob, std::iter::once("and still".to_string()));
    alice.hear_until(":and still");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    root.hear_until("the store can be written again");
    process::until(|| count(&hall) == 51).unwrap();
}

/// What is 3 times slower for somebody while their server catches up is too slow.
const SLOWER_MAX: f64 = 3.0;

/// How many messages the other server was away for.
const MISSED: u64 = 100_000;

#[test]
#[ignore = "says a hundred thousand lines, and is about speed: in a release build, on a machine with nothing else to do"]
fn a_server_that_was_away_for_long_catches_up_and_its_people_hardly_notice() {
    let missed = number("FOLKMOOT_MISSED", MISSED);
    let mut hall = Server::new("hall");
    hall.start_elsewhere();
    hall.log_usually();
    hall.set("limits.messages_kept = 1000");
    hall.start();
    let mut alice = on_green(&hall, "alice", "echo-message");
    let begun = Instant::now();
    for first in (0..missed).step_by(1_000) {
        talk(
            &mut alice,
            (first..missed.min(first + 1_000)).map(|line| format!("line {line} of what barn missed")),
        );
        alice.sync();
    }
    process::until(|| count(&hall) == missed).unwrap();
    println!("said and stored: {missed} in {:?}", begun.elapsed());

    let mut barn = Server::measured("barn", "limits.messages_kept = 1000");
    let (quiet, _) = round_trips(&barn, || false, Duration::from_secs(5));
    let address = hall.places().link[0];
    barn.call(&hall.name(), address);
    let begun = Instant::now();
    barn.reload();
    barn.logs(Mark::START, "linked conn=");
    let watch = look_into(&barn);
    // Counting them would be work on its own.
    let has_all = move || {
        let last =
            watch.query_row("SELECT max(arrival) FROM message", [], |row| row.get::<_, Option<u32>>(0));
        u64::from(last.unwrap().unwrap_or_default()) >= missed
    };
    let (busy, is_done) = round_trips(&barn, has_all, Duration::from_secs(300));
    let took = begun.elapsed();
    assert!(is_done && count(&barn) == missed, "it has {} of {missed}", count(&barn));
    println!(
        "caught up: {missed} in {took:?}, {:.0} a second; p50, p95 and p99 of a round trip there {busy}, in quiet {quiet}",
        missed as f64 / took.as_secs_f64()
    );
    let limit = quiet.usual_p99.mul_f64(SLOWER_MAX).max(Duration::from_millis(1));
    assert!(busy.usual_p99 <= limit, "{busy} while it catches up, {quiet} else");
}

/// How many round trips are looked at together.
const ROUND_TRIPS: usize = 500;

/// How long a server takes to answer somebody on it who has a machine of their own, until something is so.
fn round_trips(server: &Server, mut is_so: impl FnMut() -> bool + Send, within: Duration) -> (Waits, bool) {
    let mut carol = server.client("carol");
    let pings = move || {
        come_first();
        let (mut times, deadline) = (Vec::new(), Instant::now() + within);
        let mut is_done = false;
        while !is_done && Instant::now() < deadline {
            for _ in 0..20 {
                let begun = Instant::now();
                carol.sync();
                times.push(begun.elapsed());
                thread::sleep(Duration::from_millis(2));
            }
            is_done = is_so();
        }
        (times, is_done)
    };
    let (mut times, is_done) = thread::scope(|scope| scope.spawn(pings).join().unwrap());
    let mut at_worst: Vec<Duration> =
        times.chunks_mut(ROUND_TRIPS).map(|some| percentile(some, 99)).collect();
    let usual_p99 = percentile(&mut at_worst, 50);
    let waits = Waits {
        p50: percentile(&mut times, 50),
        p95: percentile(&mut times, 95),
        p99: percentile(&mut times, 99),
        usual_p99,
    };
    (waits, is_done)
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent).div_ceil(100) - 1]
}

struct Waits {
    p50: Duration,
    p95: Duration,
    p99: Duration,
    /// The median of the 99th percentiles of every [`ROUND_TRIPS`]: where a virtual machine's host takes the processor for a
    /// moment, that is not the server's.
    usual_p99: Duration,
}

impl Display for Waits {
    fn fmt(&self, to: &mut Formatter) -> fmt::Result {
        let Waits { p50, p95, p99, usual_p99 } = self;
        write!(to, "{p50:.0?} / {p95:.0?} / {p99:.0?}, at most times {usual_p99:.0?}")
    }
}
