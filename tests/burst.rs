//! What a new link carries: thousands of people and hundreds of channels, known on the other side once it is up.
//!
//! `cargo test --release --test burst -- --nocapture` prints how many bytes that took, and how long.

#[path = "support/pair.rs"]
#[allow(dead_code)]
mod pair;

use std::time::Instant;

use pair::Pair;

/// Fewer where nothing is measured, since nothing is optimized.
const PEOPLE: usize = if cfg!(debug_assertions) { 1_000 } else { 5_000 };
const CHANNELS: usize = 500;
/// How many channels each is on.
const EACH: usize = 4;

#[test]
fn a_new_link_carries_everybody_and_every_channel() {
    let mut pair = Pair::new();
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let person = pair.arrive(0, &format!("n{number}"));
        for place in 0..EACH {
            pair.say(person, &format!("JOIN #c{}", (number * EACH + place * 7) % CHANNELS));
        }
        people.push(person);
    }
    let since = Instant::now();
    pair.link();
    let (here, there) = (pair.engine(0).report(), pair.engine(1).report());
    assert_eq!((there.users_network, there.channels), (PEOPLE, CHANNELS));
    assert_eq!((there.seen_hash, there.state_hash), (here.seen_hash, here.state_hash));
    println!(
        "{PEOPLE} people and {CHANNELS} channels: {} lines, {} bytes, {} ms in both engines",
        pair.link_lines,
        pair.link_bytes,
        since.elapsed().as_millis()
    );
    people.into_iter().for_each(|person| pair.hang_up(person));
    let there = pair.engine(1).report();
    assert_eq!((there.users_network, there.channels), (0, 0));
}
