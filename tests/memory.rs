//! What a server remembers depends on what there is, and not on what there ever was; nothing piles up in it.
//!
//! `FOLKMOOT_ACTS=1000000 cargo test --release --test memory -- --nocapture` is the long run.

#[path = "support/dice.rs"]
mod dice;
#[path = "support/pair.rs"]
#[allow(dead_code)]
mod pair;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use dice::Dice;
use folkmoot::engine::ConnId;
use pair::Pair;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many joins, parts, quits and nick changes are made when nobody says.
const ACTS: u64 = 20_000;
const PEOPLE: usize = 1_000;
const CHANNELS: u64 = 3_000;
/// So that the settings of channels that died can be forgotten in between, as on any real day.
const BETWEEN_ACTS_MS: u64 = 100;

/// What one of these tests holds would be counted by the others.
static ALONE: Mutex<()> = Mutex::new(());

/// Somebody as the test knows them.
struct Person {
    conn: (usize, ConnId),
    nick: String,
    channels: BTreeSet<u64>,
}

struct Town {
    pair: Pair,
    people: Vec<Person>,
    names: u64,
}

impl Town {
    fn new() -> Town {
        let mut pair = Pair::new();
        pair.link();
        Town { pair, people: Vec::new(), names: 0 }
    }

    fn arrive(&mut self, server: usize) {
        self.names += 1;
        let nick = format!("n{}", self.names);
        let conn = self.pair.arrive(server, &nick);
        self.people.push(Person { conn, nick, channels: BTreeSet::new() });
    }

    fn join(&mut self, person: usize, channel: u64) {
        let person = &mut self.people[person];
        self.pair.say(person.conn, &format!("JOIN #c{channel}\nTOPIC #c{channel} :what we talk about here"));
        person.channels.insert(channel);
    }

    fn part(&mut self, person: usize, channel: u64) {
        let person = &mut self.people[person];
        self.pair.say(person.conn, &format!("PART #c{channel}"));
        person.channels.remove(&channel);
    }

    fn act(&mut self, dice: &mut Dice) {
        let who = dice.below(self.people.len() as u64) as usize;
        match dice.below(10) {
            0..5 => self.join(who, dice.below(CHANNELS)),
            5..8 => {
                let there: Vec<u64> = self.people[who].channels.iter().copied().collect();
                if let Some(&channel) = dice.pick(&there) {
                    self.part(who, channel);
                }
            }
            8 => {
                self.names += 1;
                let nick = format!("n{}", self.names);
                self.pair.say(self.people[who].conn, &format!("NICK {nick}"));
                self.people[who].nick = nick;
            }
            _ => {
                let gone = self.people.swap_remove(who);
                self.pair.hang_up(gone.conn);
                self.arrive(gone.conn.0);
            }
        }
        if dice.one_in(2)
            && let Some(&channel) = self.people[who].channels.first()
        {
            // Statuses that end with the joins they were given to.
            let other = dice.pick(&self.people).map(|other| other.nick.clone()).unwrap_or_default();
            self.pair.say(self.people[who].conn, &format!("MODE #c{channel} +v {other}"));
        }
        self.pair.pass(BETWEEN_ACTS_MS);
    }

    /// Whatever is bounded stays below its bound.
    fn holds_its_bounds(&self) {
        for load in [0, 1].into_iter().flat_map(|server| self.pair.engine(server).loads()) {
            assert!(load.count <= load.most, "{load:?}");
        }
    }

    /// What both servers hold. What nobody has borne for long enough is forgotten first, on either side of
    /// the comparison.
    fn bytes(&mut self) -> usize {
        self.pair.pass(30 * 60_000);
        MEMORY.current_usage()
    }
}

#[test]
fn a_server_that_saw_many_come_and_go_holds_no_more_than_one_that_did_not() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let acts = std::env::var("FOLKMOOT_ACTS").map_or(ACTS, |acts| acts.parse().expect("a number of acts"));
    let before = MEMORY.current_usage();
    let mut dice = Dice::new(1);
    let mut old = Town::new();
    for person in 0..PEOPLE {
        old.arrive(person % 2);
    }
    for act in 0..acts {
        old.act(&mut dice);
        if act % 1_000 == 0 {
            old.holds_its_bounds();
        }
    }
    let used = old.bytes() - before;
    let facts = old.pair.engine(0).report();

    let before = MEMORY.current_usage();
    let mut fresh = Town::new();
    for person in &old.people {
        fresh.arrive(person.conn.0);
        for &channel in &person.channels {
            fresh.join(fresh.people.len() - 1, channel);
        }
    }
    let fresh_used = fresh.bytes() - before;
    let same = fresh.pair.engine(0).report();
    assert_eq!((facts.users_network, facts.channels), (same.users_network, same.channels));
    println!(
        "after {acts} acts: {} users, {} channels, {used} bytes on both servers; fresh: {fresh_used} bytes",
        facts.users_network, facts.channels
    );
    assert!(used <= 2 * fresh_used, "{used} bytes after {acts} acts, {fresh_used} when fresh");
}

#[test]
fn channels_that_die_faster_than_they_are_forgotten_are_forgotten_in_the_end() {
    const DEATHS: usize = 1_500;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut town = Town::new();
    let alice = town.pair.arrive(0, "alice");
    let live_and_die = |pair: &mut Pair| {
        for death in 0..DEATHS {
            let channel = death % 20;
            pair.say(alice, &format!("JOIN #c{channel}\nMODE #c{channel} +s\nPART #c{channel}"));
        }
        // Ten minutes after the last one, but for what is looked at once a minute.
        pair.pass(13 * 60_000);
        MEMORY.current_usage()
    };
    // What is kept of the latest events is full then.
    live_and_die(&mut town.pair);
    let before = live_and_die(&mut town.pair);
    let after = [(); 3].map(|()| live_and_die(&mut town.pair))[2];
    let left = after.saturating_sub(before) / (3 * DEATHS);
    assert!(left < 10, "{left} bytes of each are left: {before}, then {after}");
}
