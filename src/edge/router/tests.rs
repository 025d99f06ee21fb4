//! The router with nobody but itself: what it lets out, to whom, when and in which order.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use crossbeam_channel::Receiver;

use super::*;
use crate::config::Limits;
use crate::edge::conn::Kind;
use crate::edge::end::ends;
use crate::edge::shared::tests;
use crate::edge::threads::STACK_BYTES;
use crate::edge::tls::tests::certificate;
use crate::edge::tls::{LINK_PROTOCOL, mesh_client};
use crate::edge::{keeper, store, verify};
use crate::engine::{AskId, Secret};

fn router() -> (Router, Receiver<Check>, Receiver<Task>) {
    let (shared, events) = tests::shared(Limits { connections_per_address: 0, ..Limits::default() });
    let (verifier, checks) = Verifier::new();
    let (keeper, tasks) = keeper::tasks();
    let mesh = Arc::new(mesh_client(&certificate(), LINK_PROTOCOL).unwrap());
    let (store, _) = store::desk(shared.room.clone());
    let helpers = Helpers { verifier, keeper, store, ends: ends().0 };
    let mut router = Router::new(shared, events, helpers, mesh, Clock::new(Instant::now()));
    // However slow the machine is.
    router.batch_within = Duration::MAX;
    router.slice_within = Duration::MAX;
    (router, checks, tasks)
}

fn guest(router: &Router) -> (ConnId, TcpStream) {
    let (conn, theirs) = tests::conn(&router.shared, Kind::Client);
    router.shared.admit(&conn).unwrap();
    (conn.id, theirs)
}

/// What one batch would do with these.
fn carry_out(router: &mut Router, effects: impl IntoIterator<Item = Effect>) {
    let shared = router.shared.clone();
    let connections = shared.connections.read();
    effects.into_iter().for_each(|effect| router.queue(effect, &connections, Due::AtOnce));
    drop(connections);
    router.carry_out();
}

#[test]
fn lines_reach_everyone_once_and_the_closed_after_their_last_words() {
    let (mut router, _checks, _tasks) = router();
    let ((alice, alice_hears), (bob, bob_hears)) = (guest(&router), guest(&router));
    let nobody = ConnId(99);
    carry_out(
        &mut router,
        [
            Effect::SendAll { to: vec![alice, nobody, bob], line: "hello".into() },
            Effect::Close { conn: bob, why: "enough".into() },
            Effect::Send { to: bob, line: "ERROR :enough".into() },
            Effect::Send { to: nobody, line: "hello".into() },
        ],
    );
    let mut bob_heard = String::new();
    BufReader::new(bob_hears).read_to_string(&mut bob_heard).unwrap();
    assert_eq!(bob_heard, "hello\r\nERROR :enough\r\n");
    let mut line = String::new();
    BufReader::new(alice_hears).read_line(&mut line).unwrap();
    assert_eq!(line, "hello\r\n");
}

#[test]
fn who_was_told_to_go_and_stays_is_cut_off() {
    let (mut router, _checks, _tasks) = router();
    let (alice, _still_here) = guest(&router);
    carry_out(&mut router, [Effect::Close { conn: alice, why: "enough".into() }]);
    let conn = router.shared.connections.read().get(alice).cloned().unwrap();
    router.end_the_late(Instant::now());
    conn.socket().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    conn.socket().peek(&mut [0]).expect_err("it may still come to its end by itself");
    router.end_the_late(Instant::now() + CLOSE_WITHIN);
    assert_eq!(conn.socket().peek(&mut [0]).unwrap(), 0);
    assert_eq!(conn.kill("Connection closed"), "enough");
}

#[test]
fn a_connection_is_forgotten_after_its_last_batch() {
    let (mut router, _checks, _tasks) = router();
    let (alice, mut hears) = guest(&router);
    router.shared.tell(Event::Closed { conn: alice, why: "gone".into() });
    router.batch();
    carry_out(&mut router, [Effect::Send { to: alice, line: "what you asked before you went".into() }]);
    assert!(router.shared.connections.read().get(alice).is_none());
    let mut heard = String::new();
    hears.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "what you asked before you went\r\n");
}

#[test]
fn what_goes_to_many_lets_others_by_and_keeps_its_order() {
    let (mut router, _checks, _tasks) = router();
    let crowd: Vec<(ConnId, TcpStream)> = (0..AUDIENCE_AT_ONCE_MAX + 1).map(|_| guest(&router)).collect();
    let to: Vec<ConnId> = crowd.iter().map(|(conn, _)| *conn).collect();
    let (last, mut last_hears) = (to[to.len() - 1], &crowd[to.len() - 1].1);
    carry_out(&mut router, [Effect::SendAll { to: to.clone(), line: "to all".into() }]);
    router.flush_slice(Instant::now(), SLICE_SENDS);
    assert_eq!(router.in_turn.len(), to.len() - SLICE_SENDS);
    // A word to one of those who wait goes out now, behind what that one has waited for.
    carry_out(&mut router, [Effect::Send { to: last, line: "to one".into() }]);
    last_hears.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut heard = [0; 16];
    last_hears.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"to all\r\nto one\r\n");
    // Whoever had all of it is no send any more.
    router.flush_slice(Instant::now(), to.len() - SLICE_SENDS - 1);
    router.flush_slice(Instant::now(), 1);
    assert!(router.in_turn.is_empty());
    drop(router);
    for (_, mut hears) in crowd.into_iter().filter(|(conn, _)| *conn != last) {
        let mut line = [0; 8];
        hears.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"to all\r\n");
    }
}

#[test]
fn what_goes_to_thousands_is_queued_for_some_at_a_time_and_never_after_what_was_said_later() {
    let (mut router, _checks, _tasks) = router();
    (router.fanout_min, router.fanout_slice) = (3, 2);
    let crowd: Vec<(ConnId, TcpStream)> = (0..6).map(|_| guest(&router)).collect();
    let to: Vec<ConnId> = crowd.iter().rev().map(|(conn, _)| *conn).collect();
    let to_all = |line: &str| Effect::SendAll { to: to.clone(), line: line.into() };
    let bundle = Arc::new(crate::engine::Bundle::new(["third", "fourth"]));
    carry_out(
        &mut router,
        [to_all("first"), to_all("second"), Effect::SendBundle { to: to.clone(), bundle }],
    );
    assert_eq!((router.fanouts.left(), router.in_turn.len()), (18, 0));
    router.fan_out_slice();
    assert_eq!((router.fanouts.left(), router.in_turn.len()), (16, 2));
    let hears = |place: usize| {
        let mut stream = &crowd[place].1;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        move |words: &str| {
            let mut heard = vec![0; words.len()];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(String::from_utf8(heard).unwrap(), words);
        }
    };
    // Of the six the last has its turn last, and is spoken to; another is told to go, and a third is one of a few.
    carry_out(
        &mut router,
        [
            Effect::Send { to: crowd[5].0, line: "to one".into() },
            Effect::Close { conn: crowd[4].0, why: "enough".into() },
            Effect::SendAll { to: vec![crowd[3].0, crowd[0].0], line: "to two".into() },
        ],
    );
    hears(5)("first\r\nsecond\r\nthird\r\nfourth\r\nto one\r\n");
    hears(4)("first\r\nsecond\r\nthird\r\nfourth\r\n");
    hears(3)("first\r\nsecond\r\nthird\r\nfourth\r\nto two\r\n");
    hears(0)("first\r\nsecond\r\nthird\r\nfourth\r\nto two\r\n");
    while !router.has_said_all() {
        router.fan_out_slice();
        router.flush_slice(Instant::now(), 1);
    }
    hears(1)("first\r\nsecond\r\nthird\r\nfourth\r\n");
    hears(2)("first\r\nsecond\r\nthird\r\nfourth\r\n");
    drop(router);
    for (_, mut stream) in crowd {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and nothing else");
    }
}

#[test]
fn a_slice_ends_when_it_has_had_its_time_whatever_is_left() {
    let (mut router, _checks, _tasks) = router();
    let crowd: Vec<(ConnId, TcpStream)> = (0..3).map(|_| guest(&router)).collect();
    let to: Vec<ConnId> = crowd.iter().map(|(conn, _)| *conn).collect();
    let bundle = Arc::new(crate::engine::Bundle::new(["first", "second"]));
    carry_out(&mut router, [Effect::SendBundle { to, bundle }]);
    assert_eq!(router.in_turn.len(), crowd.len(), "it goes out in turn, however few they are");
    router.slice_within = Duration::ZERO;
    router.flush_slice(Instant::now(), SLICE_SENDS);
    assert_eq!(router.in_turn.len(), 2, "one goes out in any case");
    router.slice_within = Duration::MAX;
    router.flush_slice(Instant::now(), SLICE_SENDS);
    drop(router);
    for (_, mut hears) in crowd {
        let mut lines = [0; 15];
        hears.read_exact(&mut lines).unwrap();
        assert_eq!(&lines, b"first\r\nsecond\r\n");
    }
}

#[test]
fn what_was_said_goes_out_once_the_batch_has_had_its_time() {
    let (mut router, _checks, _tasks) = router();
    router.batch_within = Duration::ZERO;
    router.next_tick += Duration::from_secs(3600);
    let guests = [guest(&router), guest(&router)];
    let conns: Vec<Arc<Conn>> =
        guests.iter().map(|(id, _)| router.shared.connections.read().get(*id).cloned().unwrap()).collect();
    for conn in &conns {
        let from = crate::engine::Origin::Client {
            address: conn.address,
            name: None,
            secure: None,
            certificate: None,
        };
        router.shared.tell_of(conn, Event::Opened { conn: conn.id, from });
        router.shared.tell_of(conn, Event::Lines { conn: conn.id, lines: "CAP LS".into() });
    }
    let events = |router: &Router| router.shared.counters.events.load(Ordering::Relaxed);
    for (round, (_, hears)) in (1..).zip(&guests) {
        router.round();
        router.round();
        assert_eq!(events(&router), 2 * round);
        let mut line = String::new();
        BufReader::new(hears).read_line(&mut line).unwrap();
        assert!(line.contains(" CAP * LS "), "{line}");
    }
}

#[test]
fn who_is_demanding_goes_after_the_others_one_event_a_round() {
    let (mut router, _checks, _tasks) = router();
    let ((loud, _), (calm, calm_hears)) = (guest(&router), guest(&router));
    let conn = |id: ConnId| router.shared.connections.read().get(id).cloned().unwrap();
    let (loud, calm) = (conn(loud), conn(calm));
    let said = |conn: &Conn, text: &str| Event::Lines { conn: conn.id, lines: text.into() };
    let opened = |conn: &Conn| Event::Opened {
        conn: conn.id,
        from: crate::engine::Origin::Client {
            address: conn.address,
            name: None,
            secure: None,
            certificate: None,
        },
    };
    for conn in [&loud, &calm] {
        router.shared.tell_of(conn, opened(conn));
    }
    router.round();
    loud.set_demanding(true);
    for number in 0..3 {
        router.shared.tell_of(&loud, said(&loud, &format!("PING {number}")));
        // Even where it is calm again, its own order is kept.
        loud.set_demanding(false);
    }
    router.shared.tell_of(&calm, said(&calm, "NICK calm\r\nCAP LS"));
    router.round();
    let mut line = String::new();
    BufReader::new(calm_hears).read_line(&mut line).unwrap();
    assert!(line.contains(" CAP * LS "), "{line}");
    let taken = |router: &Router| router.shared.counters.patient_events.load(Ordering::Relaxed);
    assert_eq!(taken(&router), 1);
    router.round();
    router.round();
    assert_eq!(taken(&router), 3);
    // Whoever is exempt from all bounds waits for nobody, whatever they demanded before.
    loud.set_demanding(true);
    loud.set_unhurried(true);
    router.shared.tell_of(&loud, said(&loud, "PING 3"));
    router.round();
    assert_eq!(
        (taken(&router), router.inbox.is_empty()),
        (3, true),
        "nothing waits: it is as everybody else"
    );
}

#[test]
fn what_a_peer_brings_at_once_goes_after_people_a_piece_a_round_and_faster_where_they_say_much() {
    let (mut router, _checks, _tasks) = router();
    let events = |router: &Router| router.shared.counters.events.load(Ordering::Relaxed);
    router.next_tick = Instant::now() + Duration::from_secs(3600);
    let (peer, _theirs) = tests::conn(&router.shared, Kind::Called);
    router.shared.admit(&peer).unwrap();
    let piece = |number: u64| Event::Lines {
        conn: peer.id,
        lines: format!("A {number}\nB {number}").as_str().into(),
    };
    peer.set_demanding(true);
    (0..6).for_each(|number| router.shared.tell_of(&peer, piece(number)));
    // What comes in small follows what waits.
    peer.set_demanding(false);
    router.shared.tell_of(&peer, piece(6));
    router.round();
    router.round();
    assert_eq!(events(&router), 2);
    // Four lines of somebody else: two pieces.
    router.shared.tell(Event::Lines { conn: ConnId(99), lines: "1\n2\n3\n4".into() });
    router.round();
    assert_eq!(events(&router), 5);
    (0..3).for_each(|_| router.round());
    assert_eq!((events(&router), router.inbox.is_empty()), (8, true));
}

#[test]
fn what_a_peer_brings_at_once_waits_until_most_of_what_goes_to_thousands_is_queued_and_not_for_ever() {
    let (mut router, _checks, _tasks) = router();
    (router.fanout_min, router.fanout_slice) = (3, 2);
    router.next_tick = Instant::now() + Duration::from_secs(3600);
    let crowd: Vec<(ConnId, TcpStream)> = (0..6).map(|_| guest(&router)).collect();
    let to: Vec<ConnId> = crowd.iter().map(|(conn, _)| *conn).collect();
    let (peer, _theirs) = tests::conn(&router.shared, Kind::Called);
    router.shared.admit(&peer).unwrap();
    let is_taken = |router: &Router| router.inbox.is_empty();
    let bring = |router: &Router| {
        peer.set_demanding(true);
        router.shared.tell_of(&peer, Event::Lines { conn: peer.id, lines: "A".into() });
    };
    let say = |router: &mut Router| {
        carry_out(router, [Effect::SendAll { to: to.clone(), line: "to all".into() }]);
    };
    bring(&router);
    say(&mut router);
    for left in [4, 2] {
        router.round();
        assert_eq!((router.fanouts.left(), is_taken(&router)), (left, false));
    }
    router.round();
    assert!(is_taken(&router), "no more is left than one slice");
    // Where more and more is said to them, it goes on as well.
    bring(&router);
    for _ in 0..PUT_OFF_MAX {
        say(&mut router);
        router.round();
        assert!(!is_taken(&router));
    }
    router.round();
    assert!(is_taken(&router));
}

#[test]
fn slow_things_are_done_elsewhere_and_answered_by_events() {
    let (mut router, checks, tasks) = router();
    router.shared.serve("verify", STACK_BYTES, move |shared| verify::run(shared, &checks)).unwrap();
    let verify = |ask, given: &str| Effect::Verify {
        ask: AskId(ask),
        given: Secret(given.into()),
        known: "hay".into(),
    };
    carry_out(&mut router, [verify(1, "hay"), verify(2, "straw"), Effect::KeepClock { ms: 7 }]);
    for (expected, is_right) in [(1, true), (2, false)] {
        match router.inbox.recv_timeout(Duration::from_secs(10)) {
            Ok(Event::Verified { ask, right }) => assert_eq!((ask.0, right), (expected, is_right)),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(tasks.try_recv(), Ok(Task::KeepClock { ms: 7 })));
}

#[test]
fn time_passes_however_much_there_is_to_do() {
    let (mut router, _checks, _tasks) = router();
    router.shared.tell(Event::Closed { conn: ConnId(1), why: String::new() });
    router.next_tick = Instant::now();
    assert!(matches!(router.next_event(), Some(Event::Tick)));
    router.next_tick = Instant::now() + Duration::from_secs(3600);
    assert!(matches!(router.next_event(), Some(Event::Closed { .. })));
}
