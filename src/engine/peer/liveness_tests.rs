//! Links that fail by and by, on three servers: traffic leaves them before anybody notices.

use std::collections::BTreeMap;

use crate::config::{Config, Link};
use crate::engine::effect::Effect;
use crate::engine::event::{ConnId, Event, Origin, Pin};
use crate::engine::{Engine, Identity};
use crate::wire::line::Lines;
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::{Now, Timestamp};

const SIDS: [&str; 3] = ["1AA", "2BB", "3CC"];

/// What happens to lines between two servers.
#[derive(Clone, Copy)]
struct Cable {
    delay_ms: u64,
    /// Whether what the lower one says arrives, and what the higher one says.
    carries: [bool; 2],
}

/// Servers that call each other wherever there is a cable.
struct Mesh {
    engines: Vec<Engine>,
    now_ms: u64,
    /// How far each wall clock is ahead.
    ahead_ms: [u64; 3],
    cables: BTreeMap<(usize, usize), Cable>,
    wires: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    agenda: BTreeMap<(u64, u64), (usize, Event)>,
    planned: u64,
    /// What clients heard, and when.
    heard: Vec<(ConnId, u64, String)>,
    /// What went from server to server.
    lines: Vec<(usize, usize, String)>,
    notes: Vec<(usize, u64, String)>,
    /// Lines from one server to another that get lost, by how they begin.
    lost: Vec<(usize, usize, &'static str)>,
    /// How many directions of links are compressed.
    compressed: usize,
}

impl Mesh {
    fn new(pairs: &[(usize, usize)]) -> Mesh {
        let engine = |at_place: usize| {
            let called = pairs.iter().filter(|(near, _)| *near == at_place).map(|(_, far)| *far);
            let link = |far| Link { name: name(far), address: address(far), pin: None, connect: true };
            let identity = Identity {
                sid: id(at_place),
                name: ServerName::parse(&name(at_place)).unwrap(),
                epoch: 1,
                secret: b"the same".to_vec(),
                pin: Pin([at_place as u8; 32]),
                clock_floor_ms: 0,
                seed: [at_place as u8; 32],
                version: "folkmoot-test".to_string(),
            };
            Engine::new(Config { link: called.map(link).collect(), ..Config::default() }, identity, at(0, 0))
        };
        let whole = Cable { delay_ms: 1, carries: [true, true] };
        let mut mesh = Mesh {
            engines: (0..SIDS.len()).map(engine).collect(),
            now_ms: 0,
            ahead_ms: [0; 3],
            cables: pairs.iter().map(|pair| (*pair, whole)).collect(),
            wires: BTreeMap::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            heard: Vec::new(),
            lines: Vec::new(),
            notes: Vec::new(),
            lost: Vec::new(),
            compressed: 0,
        };
        (0..SIDS.len()).for_each(|server| mesh.plan(250, server, Event::Tick));
        mesh
    }

    fn plan(&mut self, after_ms: u64, server: usize, event: Event) {
        self.planned += 1;
        self.agenda.insert((self.now_ms + after_ms, self.planned), (server, event));
    }

    fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some((&(at_ms, number), _)) = self.agenda.first_key_value()
            && at_ms <= end_ms
        {
            let (server, event) = self.agenda.remove(&(at_ms, number)).unwrap();
            self.now_ms = at_ms;
            if matches!(event, Event::Tick) {
                self.plan(250, server, Event::Tick);
            }
            self.step(server, event);
        }
        self.now_ms = end_ms;
    }

    fn step(&mut self, server: usize, event: Event) {
        for effect in self.engines[server].step(at(self.now_ms, self.ahead_ms[server]), event) {
            self.see_to(server, effect);
        }
    }

    fn see_to(&mut self, server: usize, effect: Effect) {
        match effect {
            Effect::Send { to, line } | Effect::SendApart { to, line } => self.send((server, to), &line),
            Effect::SendAll { to, line } => to.into_iter().for_each(|to| self.send((server, to), &line)),
            Effect::Dial { ask, address, .. } => {
                let far = (0..SIDS.len()).find(|far| self::address(*far) == address).unwrap();
                if self.cables[&(server.min(far), server.max(far))].carries == [false, false] {
                    return self.plan(1, server, Event::DialFailed { ask, why: "no way there".to_string() });
                }
                let ends = [(server, ConnId(self.planned + 1_000)), (far, ConnId(self.planned + 1_001))];
                self.wires.extend([(ends[0], ends[1]), (ends[1], ends[0])]);
                for (end, other, dialled) in [(ends[0], far, Some(ask)), (ends[1], server, None)] {
                    let address = self::address(other).parse().unwrap();
                    let pin = Pin([other as u8; 32]);
                    let from = Origin::Peer { address, dialled, pin, exporter: [ends[0].1.0 as u8; 32] };
                    self.plan(1, end.0, Event::Opened { conn: end.1, from });
                }
            }
            Effect::Close { conn, why } => self.cut((server, conn), &why),
            Effect::GoOn { ask } => self.plan(1, server, Event::GoOn { ask }),
            Effect::Compress { conn } => {
                let said = self.lines.last().map(|(from, _, line)| (*from, line.as_str()));
                assert_eq!(
                    said,
                    Some((server, "COMPRESS zstd")),
                    "{conn:?}: right behind the line that says so"
                );
                self.compressed += 1;
            }
            Effect::Record { number, .. } => self.plan(5, server, Event::Recorded { number }),
            Effect::Note { text, .. } => self.notes.push((server, self.now_ms, text)),
            _ => {}
        }
    }

    fn send(&mut self, near: (usize, ConnId), line: &str) {
        let Some(far) = self.wires.get(&near).copied() else {
            return self.heard.push((near.1, self.now_ms, line.to_string()));
        };
        self.lines.push((near.0, far.0, line.to_string()));
        let cable = self.cables[&(near.0.min(far.0), near.0.max(far.0))];
        let mut lost = self.lost.iter();
        let is_lost = lost.any(|(from, to, what)| (*from, *to) == (near.0, far.0) && line.starts_with(what));
        if cable.carries[usize::from(near.0 > far.0)] && !is_lost {
            self.plan(cable.delay_ms, far.0, Event::Lines { conn: far.1, lines: Lines::from(line) });
        }
    }

    /// Both ends hear of it, or just the one that does it where nothing arrives at the other.
    fn cut(&mut self, near: (usize, ConnId), why: &str) {
        let Some(far) = self.wires.remove(&near) else { return };
        self.plan(1, near.0, Event::Closed { conn: near.1, why: why.to_string() });
        if self.cables[&(near.0.min(far.0), near.0.max(far.0))].carries[usize::from(near.0 > far.0)] {
            self.wires.remove(&far);
            self.plan(1, far.0, Event::Closed { conn: far.1, why: why.to_string() });
        }
    }

    /// A client registers, on a connection of this number.
    fn client(&mut self, server: usize, conn: u64, nick: &str) {
        let from = Origin::Client {
            address: "10.9.0.1:5000".parse().unwrap(),
            name: None,
            secure: None,
            certificate: None,
        };
        self.step(server, Event::Opened { conn: ConnId(conn), from });
        self.say(server, conn, &format!("NICK {nick}\nUSER {nick} 0 * :{nick}"));
    }

    fn say(&mut self, server: usize, conn: u64, line: &str) {
        self.step(server, Event::Lines { conn: ConnId(conn), lines: Lines::from(line) });
    }

    /// When a client heard something of that sort.
    fn heard_ms(&self, conn: u64, text: &str) -> Option<u64> {
        let heard = self.heard.iter().find(|(to, _, line)| *to == ConnId(conn) && line.contains(text));
        heard.map(|(_, at_ms, _)| *at_ms)
    }

    /// When a server wrote that into its log; the last time.
    fn noted_ms(&self, server: usize, text: &str) -> Option<u64> {
        let note = self.notes.iter().rev().find(|(at, _, note)| *at == server && note.contains(text));
        note.map(|(_, at_ms, _)| *at_ms)
    }

    fn next_hop(&self, from: usize, to: usize) -> Option<ServerId> {
        self.engines[from].routes.next_hop(id(to))
    }
}

fn id(server: usize) -> ServerId {
    ServerId::parse(SIDS[server]).unwrap()
}

fn name(server: usize) -> String {
    format!("s{server}.lan")
}

fn address(server: usize) -> String {
    format!("10.0.0.{}:6900", server + 1)
}

fn at(ms: u64, ahead_ms: u64) -> Now {
    Now { wall: Timestamp(1_000_000_000_000 + ms + ahead_ms), steady_ms: ms }
}

const TRIANGLE: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

#[test]
fn traffic_leaves_a_failing_link_before_it_is_closed_and_nobody_notices() {
    let mut mesh = Mesh::new(&TRIANGLE);
    mesh.wait(2_000);
    mesh.client(0, 1, "alice");
    mesh.client(1, 2, "bob");
    mesh.say(0, 1, "JOIN #green");
    mesh.say(1, 2, "JOIN #green");
    mesh.wait(60_000);
    assert_eq!(mesh.next_hop(0, 1), Some(id(1)));
    mesh.heard.clear();

    let (failed_ms, cable) = (mesh.now_ms, mesh.cables.get_mut(&(0, 1)).unwrap());
    cable.carries = [false, false];
    mesh.say(0, 1, "PRIVMSG #green :said before anyone knows");
    mesh.wait(11_000);
    mesh.say(1, 2, "PRIVMSG #green :and the other way");
    mesh.wait(100);
    for (conn, text) in [(2, "said before anyone knows"), (1, "and the other way")] {
        let after_ms = mesh.heard_ms(conn, text).map(|at_ms| at_ms - failed_ms);
        assert!(after_ms.is_some_and(|ms| ms <= 11_100), "{text}: {after_ms:?}");
    }
    assert_eq!((mesh.next_hop(0, 1), mesh.next_hop(1, 0)), (Some(id(2)), Some(id(2))));
    assert_eq!(mesh.noted_ms(0, "no sign of life"), None);

    mesh.wait(60_000);
    let closed_ms = mesh.noted_ms(0, "s1.lan closed").map(|at_ms| at_ms - failed_ms);
    assert!(closed_ms.is_some_and(|ms| ms >= 15_000), "{closed_ms:?}");
    assert!(mesh.noted_ms(0, "no sign of life").is_some());
    let noticed =
        |(_, _, line): &&(ConnId, u64, String)| !line.contains("PRIVMSG") && !line.starts_with("PING");
    assert_eq!(mesh.heard.iter().find(noticed), None);
}

#[test]
fn a_link_that_comes_back_in_time_is_used_again_after_a_while_and_only_once() {
    let mut mesh = Mesh::new(&TRIANGLE);
    mesh.wait(60_000);
    mesh.lines.clear();
    mesh.cables.get_mut(&(0, 1)).unwrap().carries = [false, false];
    mesh.wait(12_000);
    assert_eq!(mesh.next_hop(0, 1), Some(id(2)));
    mesh.cables.get_mut(&(0, 1)).unwrap().carries = [true, true];
    mesh.wait(6_000);
    assert_eq!(mesh.next_hop(0, 1), Some(id(2)), "that it was heard once proves little");
    mesh.wait(12_000);
    assert_eq!(mesh.next_hop(0, 1), Some(id(1)));
    assert_eq!(mesh.noted_ms(0, "closed"), None);
    let mut told: Vec<&str> = Vec::new();
    for (_, _, line) in
        mesh.lines.iter().filter(|(from, to, line)| (*from, *to) == (0, 2) && line.starts_with("ROUTES 1AA"))
    {
        let costs = line.rsplit(':').next().unwrap();
        if told.last() != Some(&costs) {
            told.push(costs);
        }
    }
    assert_eq!(told, ["2BB=1001 3CC=1", "2BB=1 3CC=1"]);
}

#[test]
fn a_link_on_which_only_one_direction_works_is_closed_by_both() {
    for deaf in [0, 1] {
        let mut mesh = Mesh::new(&TRIANGLE);
        mesh.wait(60_000);
        // The one says what the other does not hear; and that the other hears nothing makes it close.
        let mut carries = [true, true];
        carries[deaf] = false;
        mesh.cables.get_mut(&(0, 1)).unwrap().carries = carries;
        mesh.wait(30_000);
        assert!(mesh.noted_ms(1 - deaf, "no sign of life").is_some(), "{:?}", mesh.notes);
        assert!(mesh.noted_ms(deaf, "closed").is_some(), "{:?}", mesh.notes);
        assert_eq!(mesh.next_hop(0, 1), Some(id(2)));
    }
}

#[test]
fn who_is_not_answered_gives_up_though_it_hears() {
    let mut mesh = Mesh::new(&TRIANGLE);
    mesh.wait(60_000);
    let broken_ms = mesh.now_ms;
    let conn = mesh.engines[0].links.to(id(1)).unwrap().conn;
    mesh.cables.get_mut(&(0, 1)).unwrap().carries = [false, true];
    // The other end never gives up, as where something in between answers for it.
    for _ in 0..40 {
        mesh.wait(1_000);
        let peer = mesh.engines[1].links.to(id(0)).map(|link| link.conn);
        let now_ms = mesh.now_ms;
        if let Some(link) = peer.and_then(|conn| mesh.engines[1].links.by_conn.get_mut(&conn)) {
            link.suspicion.heard(now_ms - 5_000);
        }
    }
    let closed_ms = mesh.noted_ms(0, "no PING was answered").map(|at_ms| at_ms - broken_ms);
    assert!(closed_ms.is_some_and(|ms| (20_000..30_000).contains(&ms)), "{closed_ms:?}");
    assert!(!mesh.engines[0].links.by_conn.contains_key(&conn));
}

#[test]
fn traffic_prefers_two_fast_links_to_a_slow_one() {
    let mut mesh = Mesh::new(&TRIANGLE);
    mesh.wait(60_000);
    mesh.cables.get_mut(&(0, 1)).unwrap().delay_ms = 200;
    mesh.wait(60_000);
    assert_eq!((mesh.next_hop(0, 1), mesh.next_hop(1, 0)), (Some(id(2)), Some(id(2))));
    mesh.cables.get_mut(&(0, 1)).unwrap().delay_ms = 1;
    mesh.wait(60_000);
    assert_eq!((mesh.next_hop(0, 1), mesh.next_hop(1, 0)), (Some(id(1)), Some(id(0))));
}

#[test]
fn a_slow_and_uneven_link_is_never_suspected_nor_closed() {
    let mut mesh = Mesh::new(&[(0, 1)]);
    for second in 0..600 {
        mesh.cables.get_mut(&(0, 1)).unwrap().delay_ms = 1_500 + second * 37 % 11 * 100;
        mesh.wait(1_000);
    }
    for server in [0, 1] {
        assert_eq!(mesh.noted_ms(server, "closed"), None);
        assert_eq!(mesh.noted_ms(server, "silent for longer"), None);
    }
    assert_eq!(mesh.next_hop(0, 1), Some(id(1)));
}

#[test]
fn a_clock_that_is_off_is_warned_of_once_an_hour_and_too_far_off_ends_the_link() {
    let mut mesh = Mesh::new(&[(0, 1)]);
    mesh.wait(10_000);
    mesh.ahead_ms[1] = 700;
    mesh.wait(3_500_000);
    let warnings = |mesh: &Mesh| {
        let of_clocks = mesh
            .notes
            .iter()
            .filter(|(server, _, text)| *server == 0 && text.contains("set them by the same time source"));
        of_clocks.count()
    };
    assert_eq!(warnings(&mesh), 1);
    mesh.wait(200_000);
    assert_eq!(warnings(&mesh), 2);
    mesh.ahead_ms[1] = 12_000;
    mesh.wait(6_000);
    // A millisecond of it may be the way.
    assert!(
        mesh.noted_ms(0, "s1.lan is given up: the clocks are 11999 ms apart").is_some(),
        "{:?}",
        mesh.notes
    );
    assert_eq!(mesh.next_hop(0, 1), None);
    // Not called at once again, and not let in until it was set right.
    mesh.wait(120_000);
    assert_eq!(mesh.next_hop(0, 1), None);
    mesh.ahead_ms[1] = 0;
    mesh.wait(120_000);
    assert_eq!(mesh.next_hop(0, 1), Some(id(1)));
}

#[test]
fn a_slow_way_alone_is_no_difference_between_clocks() {
    let mut mesh = Mesh::new(&[(0, 1)]);
    mesh.wait(10_000);
    mesh.cables.get_mut(&(0, 1)).unwrap().delay_ms = 9_000;
    mesh.wait(300_000);
    assert_eq!((mesh.noted_ms(0, "clock"), mesh.noted_ms(1, "clock")), (None, None));
    assert_eq!(mesh.next_hop(0, 1), Some(id(1)));
}

/// What two servers told each other to become one again: what each has, what it misses, and the facts.
fn repair_bytes(mesh: &Mesh) -> usize {
    let is_repair = |line: &str| {
        let verbs = ["HAVE ", "WANT ", "DONE ", "SNAPSHOT ", "ALIVE ", "DEAD ", "GAP ", "@"];
        verbs.iter().any(|verb| line.starts_with(verb))
    };
    mesh.lines.iter().filter(|(_, _, line)| is_repair(line)).map(|(_, _, line)| line.len() + 2).sum()
}

#[test]
fn a_link_that_is_back_soon_moves_little_more_than_what_changed() {
    let mut mesh = Mesh::new(&[(0, 1)]);
    mesh.wait(2_000);
    for number in 0..200 {
        let (server, conn) = (number % 2, 100 + number as u64);
        mesh.client(server, conn, &format!("nick{number}"));
        mesh.say(server, conn, &format!("JOIN #room{},#hall", number % 20));
        mesh.wait(10);
    }
    mesh.wait(60_000);
    assert_eq!(mesh.engines[0].report().state_hash, mesh.engines[1].report().state_hash);
    mesh.cables.get_mut(&(0, 1)).unwrap().carries = [false, false];
    let ends: Vec<_> = mesh.wires.keys().copied().collect();
    ends.into_iter().for_each(|end| mesh.cut(end, "Connection reset"));
    mesh.wait(5_000);
    mesh.say(1, 101, "AWAY :milling");
    mesh.lines.clear();
    mesh.cables.get_mut(&(0, 1)).unwrap().carries = [true, true];
    while mesh.engines[0].links.up().next().is_none() {
        mesh.wait(250);
    }
    mesh.wait(2_000);
    let is_told = |(_, _, line): &(usize, usize, String)| line.contains("milling");
    assert_eq!(mesh.lines.iter().filter(|line| is_told(line)).count(), 1);
    assert_eq!(mesh.engines[0].report().seen_hash, mesh.engines[1].report().seen_hash);
    assert_eq!(mesh.engines[0].report().state_hash, mesh.engines[1].report().state_hash);
    let bytes = repair_bytes(&mesh);
    assert!(bytes < 1_024, "{bytes}");
}

/// What alice, on server 0, says.
const MESSAGE: &str = "@dot=1AA.1.M";

/// Server 1 has heard it all, and server 2 none of it.
fn behind_by(messages: u64) -> Mesh {
    let mut mesh = Mesh::new(&TRIANGLE);
    mesh.wait(2_000);
    mesh.client(0, 1, "alice");
    mesh.say(0, 1, "JOIN #green");
    mesh.wait(1_000);
    mesh.lost = vec![(0, 2, MESSAGE), (1, 2, MESSAGE), (1, 2, "HAVE M")];
    for number in 0..messages {
        mesh.say(0, 1, &format!("PRIVMSG #green :number {number}"));
        if number % 100 == 0 {
            mesh.wait(10);
        }
    }
    mesh.wait(1_000);
    assert_eq!(mesh.engines[1].report().seen_hash, mesh.engines[0].report().seen_hash);
    assert_ne!(mesh.engines[2].report().seen_hash, mesh.engines[0].report().seen_hash);
    mesh.lines.clear();
    mesh
}

/// Ranges of messages that server 2 asked for: of whom, from where.
fn asked(mesh: &Mesh) -> Vec<(usize, String)> {
    let wants = mesh.lines.iter().filter(|(from, _, line)| *from == 2 && line.starts_with("WANT M "));
    wants.map(|(_, to, line)| (*to, line.split(' ').nth(3).unwrap().to_string())).collect()
}

#[test]
fn a_long_range_is_pulled_from_all_who_have_it_and_each_message_once() {
    let mut mesh = behind_by(6_000);
    mesh.lost.clear();
    mesh.cables.get_mut(&(1, 2)).unwrap().delay_ms = 2_000;
    while asked(&mesh).is_empty() {
        mesh.wait(250);
    }
    // So server 2 learns that server 0 has it all as well.
    mesh.say(0, 1, "PRIVMSG #green :and one more");
    mesh.wait(60_000);
    assert_eq!(mesh.engines[2].report().seen_hash, mesh.engines[0].report().seen_hash);
    let messages = mesh.lines.iter().filter(|(_, to, line)| *to == 2 && line.contains("PRIVMSG"));
    assert_eq!(messages.count(), 6_001);
    let asked = asked(&mesh);
    for of in [0, 1] {
        assert!(asked.iter().filter(|(to, _)| *to == of).count() >= 4, "{asked:?}");
    }
    let mut ranges: Vec<&String> = asked.iter().map(|(_, from)| from).collect();
    ranges.sort();
    ranges.dedup();
    assert_eq!(ranges.len(), asked.len(), "no range is asked for twice: {asked:?}");
}

#[test]
fn what_one_neighbour_does_not_give_is_asked_of_another() {
    for silence in [MESSAGE, "DONE M"] {
        let mut mesh = behind_by(80);
        // The one says what it has, and then does not give it, or never comes to an end.
        mesh.lost = vec![(1, 2, MESSAGE), (1, 2, silence)];
        while asked(&mesh).is_empty() {
            mesh.wait(250);
        }
        mesh.say(0, 1, "PRIVMSG #green :and one more");
        mesh.wait(12_000);
        assert_eq!(mesh.engines[2].report().seen_hash, mesh.engines[0].report().seen_hash);
        let asked: Vec<usize> = asked(&mesh).into_iter().map(|(of, _)| of).collect();
        assert_eq!(asked, [1, 0], "{silence}");
    }
}

#[test]
fn a_neighbour_that_promises_what_it_does_not_give_is_not_asked_all_the_time() {
    let mut mesh = behind_by(300);
    mesh.lost = vec![(0, 2, "@"), (1, 2, "@")];
    mesh.say(0, 1, "AWAY :over the hills");
    mesh.wait(60_000);
    let wants =
        mesh.lines.iter().filter(|(from, to, line)| (*from, *to) == (2, 1) && line.starts_with("WANT"));
    let wants: Vec<_> = wants.collect();
    assert!(wants.iter().any(|(_, _, line)| line.starts_with("WANT S")), "{wants:?}");
    assert!(wants.iter().any(|(_, _, line)| line.starts_with("WANT M")), "{wants:?}");
    assert!(wants.len() < 30, "{wants:?}");
}

#[test]
fn each_direction_is_compressed_where_the_other_end_can_read_it() {
    for (offers, said) in [([true, true], 2), ([true, false], 0), ([false, true], 0)] {
        let mut mesh = Mesh::new(&[(0, 1)]);
        for (server, offer) in offers.into_iter().enumerate() {
            mesh.engines[server].config.network.compression = offer;
        }
        mesh.wait(2_000);
        assert_eq!(mesh.next_hop(0, 1), Some(id(1)));
        let places: Vec<usize> =
            (0..mesh.lines.len()).filter(|at| mesh.lines[*at].2 == "COMPRESS zstd").collect();
        assert_eq!((places.len(), mesh.compressed), (said, said), "{offers:?}");
    }
}
