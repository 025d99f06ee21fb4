//! Two hundred connections that mean harm, beside people who mean none: nobody is starved, and nobody waits long.

#[path = "support/process/mod.rs"]
mod process;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use process::client::Client;
use process::hostile::{Attack, CHANNEL};
use process::log::Mark;
use process::{Server, figures, until};

const HOSTILE: usize = 200;

/// A server with its limits, but that all of the world sits behind one address.
fn server() -> Server {
    let settings = r#"
        limits = { flood = true, connections_per_address = 0, send_queue = 131072 }
        [[operator]]
        name = "quick"
        password = "quick"
        class = "quick"
        [operator_class.quick]
        rights = ["flood-exempt"]
    "#;
    Server::measured("hall", settings)
}

/// Somebody who may ask as often as it takes to measure.
fn quick(server: &Server, nick: &str) -> Client {
    let mut client = server.client(nick);
    client.say("OPER quick quick");
    client.hear_until(" 381 ");
    client
}

/// Proves: SAFERATE
#[test]
fn two_hundred_who_mean_harm_starve_nobody() {
    const ROUNDS: usize = 40;
    let server = server();
    let nobody = figures::threads(server.pid());
    let (mut alice, mut bob) = (server.client("alice"), server.client("bob"));
    let mut watcher = quick(&server, "watcher");
    watcher.join(CHANNEL);

    let started = Instant::now();
    let attack = Attack::begin(server.places().irc[0], HOSTILE);
    watcher.hear_until("JOIN #noise");
    // People's own pace holds here too: what they say above it is slower to come, and comes.
    for round in 0..ROUNDS {
        alice.say(&format!("PRIVMSG bob :{round}\r\nPING {round}"));
        assert!(bob.hear().ends_with(&format!("PRIVMSG bob :{round}")), "each line once, in order");
        assert!(alice.hear().ends_with(&format!(":{round}")), "nothing but the answer");
    }
    // Newcomers get in.
    let mut carol = server.client("carol");
    assert_eq!(carol.sync(), [""; 0]);

    // Nobody was heard more often than anybody may be: what was heard by now was said since then.
    let heard = watcher.sync();
    let lines_max = 30.0 + 3.0 * started.elapsed().as_secs_f64() + 1.0;
    let mut by_source: BTreeMap<&str, usize> = BTreeMap::new();
    for line in heard.iter().filter(|line| line.contains(" PRIVMSG #noise ")) {
        *by_source.entry(line.split('!').next().unwrap_or_default()).or_default() += 1;
    }
    assert!(by_source.len() >= HOSTILE / 10, "the attack is one: {by_source:?}");
    for (source, count) in by_source {
        assert!(count as f64 <= lines_max, "{source} was heard {count} times, of {lines_max}");
    }

    drop((attack, alice, bob, carol, watcher));
    until(|| figures::threads(server.pid()) == nobody).expect("nothing is left of anybody");
}

#[test]
fn operators_hear_who_is_read_more_slowly() {
    let server = server();
    let (mut alice, mut bob) = (quick(&server, "alice"), server.client("bob"));
    alice.say("MODE alice +s +f");
    alice.hear_until(" 008 alice +f ");
    bob.say(&"PING :again\r\n".repeat(60));
    let notice = alice.hear_until(" NOTICE alice :*** bob (bob@127.0.0.1) [127.0.0.1] ");
    assert!(notice.ends_with(" says too much and is read more slowly"), "{notice}");
}

#[test]
fn who_is_exempt_is_read_as_fast_as_they_speak() {
    let server = server();
    let mut alice = quick(&server, "alice");
    alice.say(&"PING :again\r\n".repeat(100));
    for _ in 0..100 {
        assert!(alice.hear().ends_with(":again"));
    }
    assert_eq!(server.log().count(Mark::START, "says too much"), 0, "anybody else would be made to wait");
}

/// How long the rounds took: the one in the middle, and the one that a hundredth took longer than.
fn round_trips(rounds: usize, mut round: impl FnMut(usize)) -> [Duration; 2] {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|number| {
            let started = Instant::now();
            round(number);
            let time = started.elapsed();
            // As people do: one thing, a moment, the next.
            std::thread::sleep(Duration::from_millis(2));
            time
        })
        .collect();
    times.sort();
    [times[rounds / 2], times[rounds - 1 - rounds / 100]]
}

/// What a PING takes, and what a message to a friend takes; each with the median and the 99th percentile.
fn measure(alice: &mut Client, bob: &mut Client) -> [[Duration; 2]; 2] {
    const ROUNDS: usize = 2_000;
    let ping = round_trips(ROUNDS, |number| {
        alice.say(&format!("PING {number}"));
        alice.hear_until(&format!(":{number}"));
    });
    let message = round_trips(ROUNDS, |number| {
        alice.say(&format!("PRIVMSG bob :{number}"));
        bob.hear_until(&format!(":{number}"));
    });
    [ping, message]
}

#[test]
#[ignore = "a measurement: cargo test --release --test floods -- --ignored --nocapture"]
fn how_much_longer_a_round_trip_takes_under_attack() {
    let server = server();
    let (mut alice, mut bob) = (quick(&server, "alice"), quick(&server, "bob"));
    measure(&mut alice, &mut bob);
    let idle = measure(&mut alice, &mut bob);
    let attack = Attack::begin_from_elsewhere(server.places().irc[0], HOSTILE);
    // Past the bursts; what follows is what they keep up.
    std::thread::sleep(Duration::from_secs(15));
    let (started, busy) = (Instant::now(), figures::busy(server.pid()));
    let attacked = measure(&mut alice, &mut bob);
    let share =
        (figures::busy(server.pid()).saturating_sub(busy)).as_secs_f64() / started.elapsed().as_secs_f64();
    drop(attack);
    for (what, (idle, attacked)) in ["PING", "PRIVMSG"].iter().zip(idle.into_iter().zip(attacked)) {
        for (figure, (idle, attacked)) in ["median", "p99"].iter().zip(idle.into_iter().zip(attacked)) {
            let ratio = attacked.as_secs_f64() / idle.as_secs_f64();
            println!("{what:<8} {figure:<7} idle={idle:>9.1?} attacked={attacked:>9.1?} ratio={ratio:.2}");
        }
    }
    println!("cores that the server used under attack: {share:.2}");
}
