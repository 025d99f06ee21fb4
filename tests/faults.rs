//! Faults of a server or a link that need no network of their own: a pause, a slow line, a wrong clock.

#[allow(dead_code)]
#[path = "support/dice.rs"]
mod dice;
#[path = "support/mesh/mod.rs"]
mod mesh;
#[path = "support/process/mod.rs"]
mod process;

use std::time::{Duration, Instant};

use mesh::{Mesh, OPERATOR};
use process::log::Mark;
use process::relay::Relay;
use process::{Server, linked};
use rustix::process::Signal;

/// How often each talker says something.
const SAYS_EVERY: Duration = Duration::from_millis(100);

fn server(word: &str) -> Server {
    let mut server = Server::new(word);
    server.set(OPERATOR);
    server
}

fn mesh_of(servers: Vec<Server>) -> Mesh {
    let doors: Vec<_> = servers.iter().map(|server| server.places().irc[0]).collect();
    Mesh::of(servers, &doors, SAYS_EVERY)
}

/// Waits until two servers are linked, whichever of them called.
fn are_linked(one: &Server, other: &Server) {
    one.is_linked_with(Mark::START, other);
    other.is_linked_with(Mark::START, one);
}

#[test]
fn a_server_that_stood_still_is_missed_and_found_again() {
    let [mut hall, mut barn, mut mill] = ["hall", "barn", "mill"].map(server);
    hall.start();
    let at_hall = hall.places().link[0];
    barn.call("hall.lan", at_hall);
    barn.start();
    mill.call("hall.lan", at_hall);
    mill.call("barn.lan", barn.places().link[0]);
    mill.start();
    for (one, other) in [(&hall, &barn), (&barn, &mill), (&hall, &mill)] {
        are_linked(one, other);
    }
    let mut mesh = mesh_of(vec![hall, barn, mill]);

    let [hall, barn, mill] = &mesh.servers[..] else { unreachable!("there are three") };
    let marks = [hall.mark(), barn.mark(), mill.mark()];
    let stopped = Instant::now();
    mill.signal(Signal::STOP);
    hall.logs(marks[0], "mill.lan is out of reach");
    barn.logs(marks[1], "mill.lan is out of reach");
    std::thread::sleep(Duration::from_secs(30).saturating_sub(stopped.elapsed()));
    mill.signal(Signal::CONT);
    hall.logs(marks[0], "mill.lan is part of the network");
    barn.logs(marks[1], "mill.lan is part of the network");

    mesh.agrees();
    mesh.hears_the_latest();
    mesh.hears_in_order();
    mesh.hears_who_comes_and_goes();
    // The two who ran all the time have heard all of each other.
    let lost = mesh.lost().into_iter().filter(|(hearer, speaker, _)| hearer.max(speaker) < &2);
    assert_eq!(lost.count(), 0);
}

#[test]
fn over_a_slow_line_everything_comes_in_its_order() {
    let (mut hall, mut barn) = (server("hall"), server("barn"));
    // Linking takes several seconds on such a line, and longer than users are held unless told otherwise.
    for server in [&mut hall, &mut barn] {
        server.set("network.hold = \"20s\"");
    }
    let line = linked(&mut hall, &mut barn);
    // Narrow enough that some waits most of the time.
    line.slow_down(Duration::from_millis(400), 8 << 10);
    let mut mesh = mesh_of(vec![hall, barn]);
    std::thread::sleep(Duration::from_secs(10));
    mesh.hears_everything();
    line.interrupt();
    std::thread::sleep(Duration::from_secs(2));
    mesh.hears_everything();
    mesh.agrees();
    mesh.notices_nothing();
}

/// Two servers, the first of which has its clock this much ahead, and calls the other.
fn with_clocks_apart(seconds: i32) -> ([Server; 2], Relay) {
    let (mut hall, mut barn) = (server("hall"), server("barn"));
    let faked = format!("FAKETIME={seconds:+}s");
    let preload = concat!("LD_PRELOAD=", env!("FAKETIME_LIBRARY"));
    let words = ["env", preload, &faked, "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"];
    hall.start_by(words.map(str::to_string).to_vec());
    barn.start();
    let relay = Relay::to(barn.places().link[0]);
    hall.call("barn.lan", relay.address());
    hall.start();
    ([hall, barn], relay)
}

#[test]
#[cfg_attr(not(has_faketime), ignore = "needs libfaketime, and a program that is not linked statically")]
fn a_clock_that_is_somewhat_wrong_is_told_of_and_spoils_nothing() {
    let ([hall, barn], _line) = with_clocks_apart(3);
    are_linked(&hall, &barn);
    for (server, words) in [(&hall, " ms behind ours"), (&barn, " ms ahead of ours")] {
        let line = server.logs(Mark::START, words);
        let apart_ms = line.split(' ').filter_map(|word| word.parse::<u64>().ok()).next();
        assert!(line.contains("WARN") && apart_ms.is_some_and(|ms| ms.abs_diff(3000) < 500), "{line}");
    }
    let (mut alice, mut bob) = (hall.client("alice"), barn.client("bob"));
    alice.join("#green");
    alice.say("MODE #green -t");
    alice.reach("barn.lan");
    bob.join("#green");
    alice.say("TOPIC #green :harvest");
    bob.hear_until(" TOPIC #green :harvest");
    // Later, though by bob's clock it is earlier: it was said with the other in sight.
    bob.say("TOPIC #green :sowing");
    alice.hear_until(" TOPIC #green :sowing");
    bob.sync();
    bob.say("TOPIC #green");
    bob.hear_until(" 332 bob #green :sowing");

    let mut mesh = mesh_of(vec![hall, barn]);
    std::thread::sleep(Duration::from_secs(3));
    mesh.hears_everything();
    mesh.agrees();
    mesh.notices_nothing();
}

#[test]
#[cfg_attr(not(has_faketime), ignore = "needs libfaketime, and a program that is not linked statically")]
fn a_clock_that_is_far_off_is_refused_with_the_reason() {
    let (servers, _line) = with_clocks_apart(30);
    for server in &servers {
        let line = server.logs(Mark::START, " reason=clock ");
        assert!(line.contains("WARN") && line.contains("set them by the same time source"), "{line}");
        assert_eq!(server.log().count(Mark::START, " linked conn="), 0);
    }
}
