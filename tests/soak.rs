//! Two linked servers with people in rooms and others who come and go: after a while they hold what they held before, and
//! no line was lost, doubled or out of order.
//!
//! `FOLKMOOT_SOAK_FOR=30m cargo test --release --test soak -- --nocapture` is the long run, with 2,000 people.

#[path = "support/duration.rs"]
mod duration;
#[path = "support/process/mod.rs"]
mod process;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use process::log::Mark;
use process::{PROGRAM, Server, figures, until};
use serde_json::Value;

/// How long it takes when nobody says.
const FOR: Duration = Duration::from_secs(15);
/// From here on it is the long run.
const LONG: Duration = Duration::from_secs(120);
/// How often somebody looks, and how often others come and go for a while.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const COME_EVERY: Duration = Duration::from_secs(60);

/// What a server holds of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    threads: usize,
    descriptors: usize,
    memory_kib: usize,
}

impl Held {
    fn by(server: &Server) -> Held {
        Held {
            threads: figures::threads(server.pid()),
            descriptors: figures::descriptors(server.pid()),
            memory_kib: figures::memory_bytes(server.pid()) >> 10,
        }
    }

    fn is_let_go(self, base: Held) -> bool {
        self.threads == base.threads && self.descriptors == base.descriptors
    }
}

/// A load that runs beside the test.
struct Load {
    child: Child,
    words: String,
}

impl Load {
    fn begin(words: String) -> Load {
        let child = Command::new(PROGRAM)
            .arg("load")
            .args(words.split(' '))
            .args(["--rounds", "1", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("{PROGRAM} cannot be started: {why}"));
        Load { child, words }
    }

    fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// How much was heard, or how often somebody came; nothing of it at fault.
    fn count(self) -> u64 {
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.words);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON was asked for");
        report["runs"][0]["count"].as_u64().expect("it counts")
    }
}

/// So that what is opened once and kept is open: somebody asks the store.
fn ask_for_history(server: &Server, nick: &str) {
    let mut client = server.client(nick);
    client.join("#green");
    client.say("CHATHISTORY LATEST #green * 10");
    client.sync();
}

#[test]
fn servers_hold_no_more_after_a_long_day_than_before() {
    let length = duration::from_environment("FOLKMOOT_SOAK_FOR", FOR);
    let is_long = length >= LONG;
    // 2,000 people; those who only listen are on the other server.
    let (rooms, members, rate) = if is_long { (100, 20, 200) } else { (10, 10, 100) };
    let people = rooms * members;
    let (mut barn, mut hall) = (Server::new("barn"), Server::new("hall"));
    // What is logged of every line would be most of what is done, and of what this process holds.
    barn.log_usually();
    barn.start();
    hall.log_usually();
    hall.call(&barn.name(), barn.places().link[0]);
    hall.start();
    hall.logs(Mark::START, "barn.lan is part of the network");
    let servers = [&hall, &barn];
    let place = |server: &Server| server.places().irc[0];

    // As they are once everybody was there.
    let fan = |lines: u64| {
        format!(
            "latency --rate {rate} --rooms {rooms} --members {members} --lines {lines} --server {} --to {}",
            place(&hall),
            place(&barn)
        )
    };
    let come_and_go =
        || format!("churn --clients {} --channels 20 --seconds 5 --server {}", people / 20, place(&barn));
    Load::begin(fan(100)).count();
    Load::begin(come_and_go()).count();
    for (number, server) in servers.iter().enumerate() {
        for reader in 0..4 {
            ask_for_history(server, &format!("early{number}{reader}"));
        }
    }
    let settled = |server: &Server| {
        let mut before = Held::by(server);
        until(|| {
            std::thread::sleep(Duration::from_millis(500));
            let now = Held::by(server);
            std::mem::replace(&mut before, now).is_let_go(now)
        })
        .expect("a server without people comes to rest");
        before
    };
    let base = servers.map(settled);

    let mut talk = Load::begin(fan(rate * length.as_secs()));
    let started = Instant::now();
    let (mut turns, mut churn) = (Vec::new(), Load::begin(come_and_go()));
    let mut seen: Vec<[Held; 2]> = Vec::new();
    while !talk.is_over() {
        std::thread::sleep(LOOK_EVERY);
        seen.push(servers.map(Held::by));
        if started.elapsed() > COME_EVERY * (turns.len() as u32 + 1) {
            println!("{:>5} s {:?}", started.elapsed().as_secs(), servers.map(Held::by));
            turns.push(std::mem::replace(&mut churn, Load::begin(come_and_go())).count());
        }
    }
    turns.push(churn.count());
    let heard = talk.count();
    assert_eq!(heard, rate * length.as_secs() * (members - 1), "every line, once, by all who are there");
    assert!(turns.iter().all(|turns| *turns > 0), "people came and went: {turns:?}");

    for (number, server) in servers.iter().enumerate() {
        until(|| Held::by(server).is_let_go(base[number])).unwrap_or_else(|_| {
            panic!("{}: {:?} before, now {:?}", server.word, base[number], Held::by(server))
        });
        // While a server meets its first people it fills what it has room for: only then is its memory level.
        let most = |of: &[[Held; 2]]| of.iter().map(|held| held[number].memory_kib).max().unwrap_or_default();
        let (first, second) = seen.split_at(seen.len() / 2);
        let (first, second) = (most(first), most(second));
        println!(
            "{}: {:?} before, {:?} after; at most {first} KiB in the first half, {second} in the second",
            server.word,
            base[number],
            Held::by(server)
        );
        assert!(!is_long || second <= first + first / 20, "{}: {first} KiB, then {second}", server.word);
    }
    println!(
        "{heard} lines heard, none lost, doubled or out of order; people came and went {} times in {} crowds; {:?}",
        turns.iter().sum::<u64>(),
        turns.len(),
        started.elapsed()
    );
}
