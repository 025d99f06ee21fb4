//! What a network costs by its size: `cargo bench --bench large` has a server meet one with ever more people on ever more
//! channels, and prints what each of them takes in memory there, and how long a step takes for what people do.
//! `cargo bench --bench large -- 30000` does so for this many people.

#[path = "../support/pair.rs"]
#[allow(dead_code)]
mod pair;

use std::time::{Duration, Instant};

use folkmoot::engine::ConnId;
use pair::Pair;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many people there are on the other server, with a fifth as many channels, each of them on two.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// How often each act is done; what is printed is the median of so many.
const TIMES: usize = 201;

type Person = (usize, ConnId);

/// The other server's people, and two on this one, each on a channel with ten of them.
struct Town {
    pair: Pair,
    here: [Person; 2],
    there: Person,
    turn: usize,
}

type Act = fn(&mut Town);

const ACTS: &[(&str, Act)] = &[
    ("a line", |town| {
        let line = format!("PRIVMSG #c0 :number {}", town.turn);
        town.here(0, &line);
    }),
    ("a private line", |town| {
        let line = format!("PRIVMSG n7 :number {}", town.turn);
        town.here(0, &line);
    }),
    ("a line from there", |town| {
        let line = format!("PRIVMSG #c0 :number {}", town.turn);
        town.pair.say(town.there, &line);
    }),
    ("JOIN, PART", |town| town.here(0, "JOIN #c7\nPART #c7")),
    ("NICK", |town| {
        let nick = format!("here{}", town.turn);
        town.here(0, &format!("NICK {nick}"));
    }),
    ("come and go", |town| {
        let guest = town.pair.arrive(0, "guest");
        town.pair.hang_up(guest);
    }),
    ("WHOIS", |town| town.here(0, "WHOIS n9")),
    ("a tick here", |town| town.pair.tick(0)),
    ("a tick there", |town| town.pair.tick(1)),
];

impl Town {
    fn here(&mut self, who: usize, line: &str) {
        self.pair.say(self.here[who], line);
    }
}

fn main() {
    let mut columns = String::new();
    for (name, _) in ACTS {
        columns.push_str(&format!("{name:>19}"));
    }
    println!("{:>8} {:>9} {:>9} {:>11}{columns}", "people", "channels", "link, s", "bytes each");
    for people in sizes() {
        let channels = people / 5;
        let (mut town, met, bytes) = settle(people, channels);
        let mut row = format!("{people:>8} {channels:>9} {:>9.2} {bytes:>11}", met.as_secs_f64());
        for (_, act) in ACTS {
            let mut took: Vec<Duration> = (0..TIMES)
                .map(|_| {
                    town.turn += 1;
                    town.pair.pass(10);
                    let began = Instant::now();
                    act(&mut town);
                    began.elapsed()
                })
                .collect();
            took.sort_unstable();
            let micros = |took: Duration| took.as_secs_f64() * 1e6;
            row.push_str(&format!("{:>8.1} (to{:>5.0})", micros(took[TIMES / 2]), micros(took[TIMES - 1])));
        }
        println!("{row}");
    }
    println!(
        "Times are in microseconds: the median of {TIMES}, and the slowest; of both servers where both work."
    );
}

/// As many people as are asked for, else few, more and many.
fn sizes() -> Vec<usize> {
    let asked: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if asked.is_empty() { SIZES.to_vec() } else { asked }
}

/// A server that has just met one with so many; how long that took, and what each of them takes there.
fn settle(people: usize, channels: usize) -> (Town, Duration, usize) {
    let mut pair = Pair::new();
    let there: Vec<Person> = (0..people)
        .map(|number| {
            let person = pair.arrive(1, &format!("n{number}"));
            pair.say(person, &format!("JOIN #c{},#c{}", number % channels, (number * 7 + 1) % channels));
            person
        })
        .collect();
    let here = ["here", "also"].map(|nick| pair.arrive(0, nick));
    // What the first ticks let go is nobody's.
    pair.pass(60_000);
    let before = MEMORY.current_usage();
    let began = Instant::now();
    pair.link();
    let met = began.elapsed();
    assert_eq!(pair.engine(0).report().users_network, people + 2, "all of them were met");
    pair.pass(60_000);
    let bytes = MEMORY.current_usage().saturating_sub(before) / people;
    for person in here {
        pair.say(person, "JOIN #c0");
    }
    (Town { pair, here, there: there[0], turn: 0 }, met, bytes)
}
