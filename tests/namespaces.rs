//! Machines of their own, each a network namespace: on one LAN, where servers without settings find each other, and
//! joined by cables, which are spoiled in every way.

#[path = "support/dice.rs"]
// Each test takes what it needs of it.
#[allow(dead_code)]
mod dice;
#[path = "support/duration.rs"]
mod duration;
#[path = "support/machines/mod.rs"]
mod machines;
#[path = "support/mesh/mod.rs"]
mod mesh;
#[path = "support/process/mod.rs"]
mod process;

use std::time::{Duration, Instant};

use machines::cable::Fault;
use machines::havoc::Havoc;
use machines::network::Network;
use machines::{Lan, ip};

use mesh::restless::Restless;
use process::client::Client;
use process::figures;
use process::log::Mark;
use process::run::run_by;
use process::{SECRET, Server, until};

/// How long it may take until servers that start on one LAN are linked.
const LINKED_WITHIN: Duration = Duration::from_secs(5);
/// A link is given up after 20 seconds of silence, its users after 5 more, and a call that nobody takes lasts 10.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
const HEALED_WITHIN: Duration = Duration::from_secs(90);
/// How long users of a server out of reach are held where its settings do not say.
const HOLD: Duration = Duration::from_secs(5);

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn two_fresh_servers_find_each_other_and_heal_when_a_cable_was_pulled() {
    let mut lan = Lan::new();
    lan.add("hall");
    lan.add("barn");
    let (mut hall, mut barn) = (lan.server("hall", SECRET), lan.server("barn", SECRET));
    hall.start();
    barn.start();
    let started = Instant::now();
    hall.is_linked_with(Mark::START, &barn);
    barn.is_linked_with(Mark::START, &hall);
    assert!(started.elapsed() < LINKED_WITHIN, "linked after {:?}", started.elapsed());

    let found = run_by(&["ip", "netns", "exec", &lan.namespace("barn")], &["discover"]);
    assert!(found.stdout.contains("hall.lan") && found.stdout.contains("barn.lan"), "{found:?}");

    let (mut alice, mut bob) = (lan.client("hall", "alice"), lan.client("barn", "bob"));
    alice.join("#green");
    alice.reach("barn.lan");
    bob.join("#green");
    alice.hear_until(" JOIN #green");
    alice.say("PRIVMSG #green :hello barn");
    assert!(bob.hear().ends_with(" PRIVMSG #green :hello barn"));
    bob.say("PRIVMSG #green :hello hall");
    assert!(alice.hear().ends_with(" PRIVMSG #green :hello hall"));

    ip(&format!("link set {} down", lan.socket("barn")));
    let quit = alice.hear_until_within(NOTICED_WITHIN, " QUIT ");
    assert!(quit.starts_with(":bob!") && quit.ends_with(" :hall.lan barn.lan"), "{quit}");
    // Heard where it was said, though nobody else can.
    alice.say("TOPIC #green :harvest");
    barn.logs(Mark::START, "hall.lan is out of reach");

    ip(&format!("link set {} up", lan.socket("barn")));
    let join = alice.hear_until_within(HEALED_WITHIN, " JOIN #green");
    assert!(join.starts_with(":bob!"), "{join}");
    let quit = bob.hear_until_within(HEALED_WITHIN, " QUIT ");
    assert!(quit.starts_with(":alice!") && quit.ends_with(" :barn.lan hall.lan"), "{quit}");
    bob.hear_until_within(HEALED_WITHIN, ":alice!alice@");
    bob.hear_until(" MODE #green +o alice");
    bob.say("TOPIC #green");
    bob.hear_until(" 332 bob #green :harvest");
    bob.say("PRIVMSG #green :back again");
    alice.hear_until(" PRIVMSG #green :back again");
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn servers_with_different_secrets_see_each_other_and_do_not_link() {
    let mut lan = Lan::new();
    lan.add("hall");
    lan.add("shed");
    let (mut hall, mut shed) = (lan.server("hall", SECRET), lan.server("shed", "nobody else knows this one"));
    hall.start();
    shed.start();
    hall.logs(Mark::START, "shed.lan seen on this LAN");
    shed.logs(Mark::START, "hall.lan seen on this LAN");
    for (server, other) in [(&hall, "shed.lan"), (&shed, "hall.lan")] {
        assert_eq!(server.log().count(Mark::START, &format!("{other} linked")), 0);
    }
}

/// Three servers, each linked with both others, and somebody on each, all on one channel and all heard out.
fn triangle() -> (Lan, [Server; 3], [Client; 3]) {
    let mut lan = Lan::new();
    let words = ["hall", "barn", "shed"];
    words.into_iter().for_each(|word| lan.add(word));
    let mut servers = words.map(|word| lan.server(word, SECRET));
    servers.iter_mut().for_each(Server::start);
    for server in &servers {
        for other in servers.iter().filter(|other| other.word != server.word) {
            server.is_linked_with(Mark::START, other);
        }
    }
    let mut clients =
        [("hall", "alice"), ("barn", "bob"), ("shed", "carol")].map(|(word, nick)| lan.client(word, nick));
    clients.iter_mut().for_each(|client| drop(client.join("#green")));
    let [alice, bob, carol] = &mut clients;
    // Whoever came first may come to know only later who else was there.
    for client in [alice, bob, carol] {
        let is_there = |nick: &str, names: &str| names.split([' ', ':', '@']).any(|word| word == nick);
        let all = |names: &String| ["alice", "bob", "carol"].iter().all(|nick| is_there(nick, names));
        until(|| {
            client.say("NAMES #green");
            client.sync().iter().any(all)
        })
        .unwrap();
    }
    (lan, servers, clients)
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn a_server_that_is_killed_is_missed_after_the_hold_and_found_again() {
    let (lan, mut servers, [mut alice, mut bob, carol]) = triangle();
    let [hall, barn, shed] = &mut servers;
    let marks = (hall.mark(), barn.mark());
    let killed = Instant::now();
    shed.kill();
    drop(carol);
    for client in [&mut alice, &mut bob] {
        assert!(client.hear_until_within(NOTICED_WITHIN, " QUIT ").starts_with(":carol!"));
    }
    assert!(killed.elapsed() >= HOLD, "missed after {:?}", killed.elapsed());

    shed.start();
    hall.is_linked_with(marks.0, shed);
    barn.is_linked_with(marks.1, shed);
    let mut carol = lan.client("shed", "carol");
    carol.join("#green");
    for (client, server, mark) in [(&mut alice, hall, marks.0), (&mut bob, barn, marks.1)] {
        assert!(client.hear().starts_with(":carol!"));
        assert_eq!(server.log().count(mark, "shed.lan is out of reach"), 1);
        assert_eq!(server.log().count(mark, "shed.lan is part of the network"), 1);
    }
    alice.say("PRIVMSG #green :welcome back");
    for client in [&mut bob, &mut carol] {
        client.hear_until(" PRIVMSG #green :welcome back");
    }
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn in_a_triangle_nobody_notices_that_one_link_falls_silent() {
    const LINES: usize = 5;
    let (lan, _servers, mut clients) = triangle();
    let mut talk = |round: &str| {
        for client in &mut clients {
            (0..LINES).for_each(|number| client.say(&format!("PRIVMSG #green :{round} {number}")));
        }
        for (client, others) in
            clients.iter_mut().zip([["bob", "carol"], ["alice", "carol"], ["alice", "bob"]])
        {
            let mut heard: Vec<String> = (0..2 * LINES).map(|_| client.hear()).collect();
            for nick in others {
                let theirs = heard.extract_if(.., |line| line.starts_with(&format!(":{nick}!")));
                let theirs: Vec<String> =
                    theirs.map(|line| line.split_once(' ').unwrap().1.to_string()).collect();
                let said: Vec<String> =
                    (0..LINES).map(|number| format!("PRIVMSG #green :{round} {number}")).collect();
                assert_eq!(theirs, said, "of {nick}");
            }
            assert_eq!(heard, [""; 0]);
        }
    };
    talk("before");
    lan.silence("hall", "barn", true);
    // These go on their way before anybody knows, and are asked for again by the other way as soon as the link
    // is suspected, which is before it is given up.
    talk("lost");
    talk("round about");
    lan.silence("hall", "barn", false);
    talk("straight again");
    for client in &mut clients {
        assert_eq!(client.sync(), [""; 0]);
    }
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn a_server_that_stops_is_gone_for_all_others_at_once_and_found_again() {
    let (_lan, mut servers, [mut alice, mut bob, carol]) = triangle();
    let [hall, _barn, shed] = &mut servers;
    let mark = hall.mark();
    let told = Instant::now();
    shed.signal(rustix::process::Signal::TERM);
    for client in [&mut alice, &mut bob] {
        assert!(client.hear_until(" QUIT ").starts_with(":carol!"));
    }
    assert!(told.elapsed() < Duration::from_secs(2), "heard after {:?}", told.elapsed());
    hall.logs(mark, "shed.lan has stopped");
    drop(carol);
    assert_eq!(shed.ended().code(), Some(0));

    shed.start();
    hall.is_linked_with(mark, shed);
}

/// Spoils every cable in turn while everyone talks: nobody may notice anything.
fn nobody_notices_a_fault(mut network: Network, fault: Fault) {
    for cable in 0..network.cables.len() {
        network.spoil(cable, fault);
        network.mesh.hears_everything();
        network.mend(cable);
        network.mesh.hears_everything();
        network.mesh.agrees();
    }
    network.mesh.notices_nothing();
}

#[test]
#[cfg_attr(not(has_cables), ignore = "needs root, network namespaces and the programs `ip` and `nft`")]
fn while_there_is_a_way_left_nobody_notices_what_becomes_of_a_cable() {
    // Nearly all of this is waiting until a fault is noticed, so all of it is done at once.
    std::thread::scope(|scope| {
        for fault in Fault::ALL {
            scope.spawn(move || nobody_notices_a_fault(Network::triangle(), fault));
            scope.spawn(move || nobody_notices_a_fault(Network::ring_of_five(), fault));
        }
    });
}

#[test]
#[cfg_attr(not(has_cables), ignore = "needs root, network namespaces and the programs `ip` and `nft`")]
fn a_ring_that_came_apart_in_two_places_is_whole_again_with_what_both_sides_did() {
    let mut network = Network::ring_of_five();
    let mut people: Vec<Client> = (0..5)
        .map(|server| {
            let mut client = Client::connect(network.door(server));
            client.register(&format!("person{server}"));
            client.join("#green");
            client
        })
        .collect();
    network.mesh.agrees();
    let op = people.iter_mut().position(|client| {
        client.say("MODE #green +b nobody");
        client.sync().iter().any(|line| line.contains(" MODE #green +b "))
    });
    let op = op.expect("whoever came first made the channel");
    people[op].say("MODE #green -nt+ooo person0 person1 person3");
    people[op].sync();
    network.mesh.agrees();

    // Hall and barn on one side; mill, shed and inn on the other.
    network.spoil(1, Fault::Silent);
    network.spoil(4, Fault::Reset);
    network.mesh.server("hall").logs(Mark::START, "mill.lan is out of reach");
    network.mesh.server("mill").logs(Mark::START, "hall.lan is out of reach");
    people[0].say("MODE #green +bk one key\r\nTOPIC #green :of one side\r\nJOIN #one");
    // Said after that, by any clock of this machine.
    people[0].sync();
    people[3]
        .say("MODE #green +bl other 9\r\nTOPIC #green :of the other side\r\nJOIN #other\r\nNICK person3b");
    people[1].say("MODE #green -b nobody\r\nPART #green");
    people.iter_mut().for_each(|client| drop(client.sync()));

    network.mend(1);
    network.mend(4);
    network.mesh.agrees();
    network.mesh.hears_the_latest();
    network.mesh.hears_in_order();
    network.mesh.hears_who_comes_and_goes();
    let heard = |lines: &[String], words: &str| lines.iter().any(|line| line.ends_with(words));
    people[4].say("MODE #green\r\nMODE #green +b\r\nTOPIC #green\r\nNAMES #green");
    let lines = people[4].sync();
    assert!(lines.iter().any(|line| line.contains(" 324 person4 #green +kl key 9")), "{lines:#?}");
    assert!(heard(&lines, ":of the other side"), "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains(" 367 ")).count(), 2, "{lines:#?}");
}

/// For how long cables are cut at random where the environment does not say.
const CUTS_FOR: Duration = Duration::from_secs(60);

/// The memory of each process, in MiB.
fn memory_of(network: &Network) -> Vec<usize> {
    network.mesh.servers.iter().map(|server| figures::memory_bytes(server.pid()) >> 20).collect()
}

#[test]
#[ignore = "takes as long as FOLKMOOT_CUTS_FOR says; needs root, network namespaces and the programs `ip` and `nft`"]
fn random_cuts() {
    let time = duration::from_environment("FOLKMOOT_CUTS_FOR", CUTS_FOR);
    let seed = std::env::var("FOLKMOOT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut network = Network::ring_of_five_with_chords();
    let restless = (0..network.mesh.servers.len() as u64).map(|number| {
        Restless::begin(network.door(number as usize), seed + number, Duration::from_millis(100))
    });
    let restless: Vec<Restless> = restless.collect();
    let mut havoc = Havoc::new(&network, seed);
    let mut dice = dice::Dice::new(seed);
    let (started, mut memory) = (Instant::now(), vec![memory_of(&network)]);
    println!("memory at the start, MiB: {:?}", memory[0]);
    while started.elapsed() < time {
        std::thread::sleep(Duration::from_millis(500 + dice.below(20_000)));
        havoc.go_on(&network);
        network.mesh.hears_in_order();
        memory.push(memory_of(&network));
        println!("{:?}: {} faults, memory {:?}", started.elapsed(), havoc.faults, memory.last().unwrap());
    }
    havoc.end(&network);
    drop(restless);
    network.mesh.agrees_within(Duration::from_secs(240));
    network.mesh.hears_the_latest();
    network.mesh.hears_in_order();
    network.mesh.hears_who_comes_and_goes();
    let lost = network.mesh.lost();
    let unexcused: Vec<_> =
        lost.iter().filter(|(a, b, at)| havoc.were_joined(&network, *a, *b, *at)).collect();
    let (middle, end) = (&memory[memory.len() / 2], memory_of(&network));
    println!("memory at the start, in the middle, at the end, MiB: {:?} {middle:?} {end:?}", memory[0]);
    let due = network.mesh.said();
    let held_to = due.iter().filter(|(a, b, at)| havoc.were_joined(&network, *a, *b, *at)).count();
    println!(
        "{} faults, {} lines, {held_to} with a way all the time, {} lost",
        havoc.faults,
        due.len(),
        lost.len()
    );
    assert!(
        unexcused.is_empty(),
        "lost though there was a way, {}: {:?}",
        unexcused.len(),
        unexcused.first()
    );
    for (middle, end) in middle.iter().zip(&end) {
        assert!(*end <= middle + middle / 4 + 4, "{middle} MiB in the middle, {end} MiB at the end");
    }
}
