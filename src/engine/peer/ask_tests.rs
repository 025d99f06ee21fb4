//! What becomes of requests where lines are lost, come late or twice, or never come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::{Config, Limits, Link, Operator};
use crate::engine::dice::Dice;
use crate::engine::effect::Effect;
use crate::engine::event::{ConnId, Event, Origin, Pin};
use crate::engine::{Engine, Identity};
use crate::wire::line::Lines;
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::{Now, Timestamp};

const NAMES: [(&str, &str, &str); 4] = [
    ("1AA", "hall.lan", "alice"),
    ("2BB", "barn.lan", "bob"),
    ("3CC", "mill.lan", "cyd"),
    ("4DD", "shed.lan", "dan"),
];

/// One end of a connection: the server by its place among them, and what it calls the connection.
type End = (usize, ConnId);

/// Some servers in a ring, each calling the next, with one person on each; the first is an operator.
struct Ring {
    engines: Vec<Engine>,
    now_ms: u64,
    /// From either end of a link to the other.
    wires: BTreeMap<End, End>,
    /// What is on its way, by when it arrives and when it was sent.
    events: BTreeMap<(u64, u64), (usize, Event)>,
    /// When the last that was sent to somebody arrives: nothing overtakes it.
    arrives_ms: BTreeMap<End, u64>,
    sent: u64,
    last_conn: u64,
    /// How long a line between servers may take.
    delay_max_ms: u64,
    dice: Dice,
    /// Those who are cut off from the server that they call.
    cut: BTreeSet<usize>,
    /// What people heard since it was last asked, and on which server.
    heard: Vec<(usize, String)>,
    /// Which lines between the servers are lost.
    is_lost: fn(&str) -> bool,
    /// Lines between the servers that carry requests and answers.
    asked: Vec<String>,
}

const ALICE: End = (0, ConnId(1));
const BOB: End = (1, ConnId(2));

impl Ring {
    fn new(count: usize, seed: u8) -> Ring {
        let engine = |place: usize| {
            let names = NAMES[place];
            let identity = Identity {
                sid: ServerId::parse(names.0).unwrap(),
                name: ServerName::parse(names.1).unwrap(),
                epoch: 1,
                secret: b"the same".to_vec(),
                pin: Pin([place as u8; 32]),
                clock_floor_ms: 0,
                seed: [place as u8 + 4 * seed; 32],
                version: String::new(),
            };
            let next = (place + 1) % count;
            let link =
                Link { name: NAMES[next].1.to_string(), address: next.to_string(), pin: None, connect: true };
            let operator = Operator {
                name: "alice".into(),
                password: "w".into(),
                class: "administrator".into(),
                vhost: None,
            };
            // Nobody here answers a PING.
            let limits = Limits { ping_after: Duration::from_secs(86_400), ..Limits::default() };
            let (link, operator) = (vec![link], vec![operator]);
            Engine::new(Config { link, operator, limits, ..Config::default() }, identity, at(0))
        };
        let mut ring = Ring {
            engines: (0..count).map(engine).collect(),
            now_ms: 0,
            wires: BTreeMap::new(),
            events: BTreeMap::new(),
            arrives_ms: BTreeMap::new(),
            sent: 0,
            last_conn: count as u64,
            delay_max_ms: 0,
            dice: Dice::new([seed; 32]),
            cut: BTreeSet::new(),
            heard: Vec::new(),
            is_lost: |_| false,
            asked: Vec::new(),
        };
        ring.wait(1_000);
        for (place, (_, _, nick)) in NAMES.iter().enumerate().take(count) {
            let end = (place, ConnId(place as u64 + 1));
            let address = "127.0.0.1:40000".parse().unwrap();
            let from = Origin::Client { address, name: None, secure: None, certificate: None };
            ring.come(place, Event::Opened { conn: end.1, from });
            ring.say(end, &format!("NICK {nick}"));
            ring.say(end, "USER x 0 * :x");
        }
        ring.say(ALICE, "OPER alice w");
        ring.hear();
        ring
    }

    /// Two servers, and lines that arrive at once.
    fn of_two() -> Ring {
        Ring::new(2, 0)
    }

    /// An event takes place now.
    fn come(&mut self, place: usize, event: Event) {
        self.sent += 1;
        self.events.insert((self.now_ms, self.sent), (place, event));
    }

    /// An event comes over a wire, and takes its time.
    fn arrive(&mut self, end: End, event: Event) {
        let delay_ms = if self.delay_max_ms > 0 { self.dice.below(self.delay_max_ms) } else { 0 };
        let after_ms = self.arrives_ms.get(&end).copied().unwrap_or(0);
        let arrives_ms = after_ms.max(self.now_ms + delay_ms);
        self.arrives_ms.insert(end, arrives_ms);
        self.sent += 1;
        self.events.insert((arrives_ms, self.sent), (end.0, event));
    }

    fn say(&mut self, (place, conn): End, line: &str) {
        self.come(place, Event::Lines { conn, lines: Lines::from(line) });
        self.settle();
    }

    /// Lets time pass, in ticks.
    fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms += 10;
            if self.now_ms.is_multiple_of(250) {
                (0..self.engines.len()).for_each(|place| self.come(place, Event::Tick));
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        while let Some(first) = self.events.first_entry().filter(|first| first.key().0 <= self.now_ms) {
            let (place, event) = first.remove();
            for effect in self.engines[place].step(at(self.now_ms), event) {
                self.see_to(place, effect);
            }
        }
    }

    fn see_to(&mut self, place: usize, effect: Effect) {
        match effect {
            Effect::Send { to, line } => self.send((place, to), &line),
            Effect::SendAll { to, line } => to.into_iter().for_each(|to| self.send((place, to), &line)),
            Effect::Verify { ask, .. } => self.come(place, Event::Verified { ask, right: true }),
            Effect::Dial { ask, .. } if self.cut.contains(&place) => {
                self.come(place, Event::DialFailed { ask, why: "no way there".into() });
            }
            Effect::Dial { ask, address, .. } => {
                let (near, far) = (ConnId(self.last_conn + 1), ConnId(self.last_conn + 2));
                self.last_conn += 2;
                let (near, far) = ((place, near), (address.parse().unwrap(), far));
                self.wires.extend([(near, far), (far, near)]);
                for (end, peer, dialled) in [(near, far.0, Some(ask)), (far, place, None)] {
                    let (address, pin) = ("10.0.0.9:6900".parse().unwrap(), Pin([peer as u8; 32]));
                    let from = Origin::Peer { address, dialled, pin, exporter: [7; 32] };
                    self.come(end.0, Event::Opened { conn: end.1, from });
                }
            }
            Effect::Close { conn, .. } => self.break_wire((place, conn)),
            _ => {}
        }
    }

    fn send(&mut self, near: End, line: &str) {
        let Some(far) = self.wires.get(&near).copied() else {
            if near.1.0 <= self.engines.len() as u64 {
                self.heard.push((near.0, line.to_string()));
            }
            return;
        };
        if line.contains("ASK ") || line.contains("ANSWER ") {
            self.asked.push(line.to_string());
        }
        if !(self.is_lost)(line) {
            self.arrive(far, Event::Lines { conn: far.1, lines: Lines::from(line) });
        }
    }

    /// What was on its way is lost, and both ends learn of it.
    fn break_wire(&mut self, near: End) {
        let Some(far) = self.wires.remove(&near) else { return };
        self.wires.remove(&far);
        for end in [near, far] {
            let is_lost = |event: &Event| matches!(event, Event::Lines { conn, .. } if *conn == end.1);
            self.events.retain(|_, (place, event)| *place != end.0 || !is_lost(event));
            self.arrive(end, Event::Closed { conn: end.1, why: "cut".into() });
        }
    }

    /// Cuts a server off from the one that it calls.
    fn cut_off(&mut self, place: usize) {
        self.cut.insert(place);
        let next = (place + 1) % self.engines.len();
        let between = |(near, far): &(&End, &End)| (near.0, far.0) == (place, next);
        let ends: Vec<End> = self.wires.iter().filter(between).map(|(near, _)| *near).collect();
        ends.into_iter().for_each(|end| self.break_wire(end));
    }

    /// Lets one of those that were cut off call again, and waits until all know of the link.
    fn mend(&mut self) {
        let Some(place) = self.cut.pop_first() else { return };
        let next = (place + 1) % self.engines.len();
        while !self.wires.iter().any(|(near, far)| (near.0, far.0) == (place, next)) {
            self.wait(1_000);
        }
        self.wait(5_000);
    }

    fn hear(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard).into_iter().map(|(_, line)| line).collect()
    }
}

fn at(ms: u64) -> Now {
    Now { wall: Timestamp(1_000_000_000_000 + ms), steady_ms: ms }
}

fn is_asked(line: &str) -> bool {
    line.contains("ASK ")
}

fn is_answered(line: &str) -> bool {
    line.contains("ANSWER ")
}

#[test]
fn a_request_that_was_lost_is_said_again() {
    let mut ring = Ring::of_two();
    ring.is_lost = is_asked;
    ring.say(ALICE, "SAJOIN bob #green");
    assert_eq!(ring.hear(), [""; 0]);
    ring.is_lost = |_| false;
    ring.wait(1_000);
    let heard = ring.hear();
    assert!(heard.contains(&":bob!x@127.0.0.1 JOIN #green".to_string()), "{heard:?}");
    assert!(heard.contains(&":hall.lan NOTICE alice :bob is on #green now".to_string()), "{heard:?}");
}

#[test]
fn what_was_done_and_not_answered_is_answered_again_and_not_done_again() {
    let mut ring = Ring::of_two();
    ring.is_lost = is_answered;
    ring.say(ALICE, "SAJOIN bob #green");
    ring.hear();
    ring.say(BOB, "PART #green");
    ring.hear();
    ring.is_lost = |_| false;
    ring.wait(1_000);
    assert_eq!(ring.hear(), [":hall.lan NOTICE alice :bob is on #green now"]);
    // A no is the same no, whatever has changed since.
    ring.is_lost = is_answered;
    ring.say(ALICE, "SANICK bob alice");
    ring.say(ALICE, "NICK ann");
    ring.hear();
    ring.is_lost = |_| false;
    ring.wait(1_000);
    assert_eq!(ring.hear(), [":barn.lan 433 ann alice :Nickname is already in use"]);
}

#[test]
fn a_server_that_never_answers_is_waited_for_ten_seconds() {
    let mut ring = Ring::of_two();
    ring.is_lost = is_answered;
    ring.asked.clear();
    ring.say(ALICE, "KILL bob :enough");
    ring.say(ALICE, "VERSION barn.lan");
    ring.say(ALICE, "PING x barn.lan");
    ring.hear();
    ring.wait(9_500);
    assert_eq!(ring.hear(), [""; 0]);
    ring.wait(500);
    assert_eq!(
        ring.hear(),
        [
            ":hall.lan 400 alice KILL bob :No answer from barn.lan, so perhaps it was not done",
            ":hall.lan 400 alice VERSION :No answer from barn.lan",
            ":hall.lan 402 alice barn.lan :No such server",
        ]
    );
    // Ever more rarely, and not for ever.
    let kills = |ring: &Ring| ring.asked.iter().filter(|line| line.contains(" KILL ")).count();
    assert_eq!(kills(&ring), 4);
    ring.wait(60_000);
    assert_eq!(kills(&ring), 4);
}

#[test]
fn lines_of_an_answer_that_were_lost_are_asked_for_again_and_each_is_heard_once() {
    let mut ring = Ring::of_two();
    ring.is_lost = |line| is_answered(line) && line.contains(" REPLY 1 ");
    ring.say(ALICE, "INFO barn.lan");
    assert_eq!(ring.hear(), [""; 0]);
    ring.is_lost = |_| false;
    ring.wait(1_000);
    let heard = ring.hear();
    let codes: Vec<&str> = heard.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(codes, ["371", "371", "371", "374"], "{heard:?}");
}

#[test]
fn a_rename_is_of_who_went_by_the_nick_when_it_was_asked_for() {
    let mut ring = Ring::of_two();
    ring.is_lost = is_asked;
    ring.say(ALICE, "SANICK bob rob");
    ring.say(BOB, "NICK bobby");
    ring.hear();
    ring.is_lost = |_| false;
    ring.wait(1_000);
    assert_eq!(ring.hear(), [":barn.lan 401 alice bob :No such nick/channel"]);
}

#[test]
fn a_kick_is_of_one_join_and_who_left_meanwhile_is_gone() {
    let mut ring = Ring::of_two();
    ring.say(ALICE, "JOIN #green");
    ring.say(BOB, "JOIN #green");
    ring.is_lost = is_asked;
    ring.say(ALICE, "KICK #green bob :out");
    ring.say(ALICE, "SAPART bob #green :out");
    ring.say(BOB, "PART #green");
    ring.say(BOB, "JOIN #green");
    ring.hear();
    ring.is_lost = |_| false;
    ring.wait(1_000);
    assert_eq!(ring.hear(), [":hall.lan NOTICE alice :bob is off #green now"]);
    ring.wait(60_000);
    assert!(!ring.hear().iter().any(|line| line.contains("KICK")));
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    let mut ring = Ring::of_two();
    let conn = *ring.wires.keys().find(|(side, _)| *side == 1).map(|(_, conn)| conn).unwrap();
    ring.asked.clear();
    for line in ["ASK 2BB 1AA.1 zz FROBNICATE x", "ASK 2BB 1AA.1 zz KILL", "ASK 2BB 1AA.1 zz QUERY FROB :x"] {
        ring.say((1, conn), line);
    }
    assert_eq!(
        ring.asked,
        [
            "ANSWER 1AA.1 2BB zz REFUSED 421 :FROBNICATE :Unknown command",
            "ANSWER 1AA.1 2BB zz REFUSED 421 :KILL :Unknown command",
            "ANSWER 1AA.1 2BB zz REFUSED 421 :FROB :Unknown command",
        ]
    );
    // Answers to what nobody asked, or somebody else, or an earlier run, are nothing.
    let conn = *ring.wires.keys().find(|(side, _)| *side == 0).map(|(_, conn)| conn).unwrap();
    ring.is_lost = is_answered;
    ring.say(ALICE, "VERSION barn.lan");
    let id =
        ring.asked.iter().find_map(|line| line.strip_prefix("ASK 2BB 1AA.1 ")).unwrap().split(' ').next();
    let id = id.unwrap().to_string();
    for line in ["1AA.1 3CC {} DONE", "1AA.2 2BB {} DONE", "1AA.1 2BB zz DONE", "1AA.1 2BB {} REFUSED x :y"] {
        ring.say((0, conn), &format!("ANSWER {}", line.replace("{}", &id)));
    }
    assert_eq!(ring.hear(), [""; 0]);
}

/// What became of many requests while links came and went.
#[derive(Default)]
struct Tally {
    done: usize,
    unanswered: usize,
    unseen: usize,
}

impl Ring {
    /// Has the operator bring somebody to a channel of its own, again and again, while at most so many links are cut at
    /// a time; and holds the answers against what was done.
    fn many_requests(seed: u8, cuts_max: usize) -> Tally {
        let mut ring = Ring::new(4, seed);
        ring.say(ALICE, "CAP REQ :labeled-response batch");
        ring.delay_max_ms = 300;
        let requests = 60;
        for number in 0..requests {
            let whom = NAMES[1 + ring.dice.below(3) as usize].2;
            ring.say(ALICE, &format!("@label=x{number} SAJOIN {whom} #{number}"));
            let wait_ms = ring.dice.below(400);
            ring.wait(wait_ms);
            if ring.cut.len() >= cuts_max {
                ring.mend();
            } else if ring.dice.below(2) == 0 {
                let place = ring.dice.below(4) as usize;
                ring.cut_off(place);
            }
        }
        ring.wait(12_000);
        let mut tally = Tally::default();
        for number in 0..requests {
            let label = format!("@label=x{number} ");
            let at_alice = ring.heard.iter().filter(|(place, _)| *place == ALICE.0);
            let answers: Vec<&str> = at_alice.filter_map(|(_, line)| line.strip_prefix(&label)).collect();
            let [answer] = answers[..] else { panic!("seed {seed}, request {number}: {answers:?}") };
            let is_joined = |(place, line): &&(usize, String)| {
                line.ends_with(&format!(" JOIN #{number}"))
                    && line.starts_with(&format!(":{}!", NAMES[*place].2))
            };
            let joined = ring.heard.iter().filter(is_joined).count();
            if answer.contains(" is on #") {
                assert_eq!(joined, 1, "seed {seed}: {answer}");
                tally.done += 1;
            } else if answer.contains(" 400 alice SAJOIN ") {
                assert!(joined < 2, "seed {seed}: {answer}");
                tally.unanswered += 1;
            } else {
                assert!(answer.contains(" 401 alice ") && joined == 0, "seed {seed}: {answer}");
                tally.unseen += 1;
            }
        }
        tally
    }
}

#[test]
fn while_there_is_a_way_each_request_is_done_once_and_answered_once() {
    for seed in 1..=4 {
        let tally = Ring::many_requests(seed, 1);
        assert_eq!((tally.unanswered, tally.unseen), (0, 0), "seed {seed}");
    }
}

#[test]
fn whatever_becomes_of_the_links_each_request_is_answered_once_and_done_at_most_once() {
    let tallies: Vec<Tally> = (1..=4).map(|seed| Ring::many_requests(seed, 3)).collect();
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    let (done, unanswered, unseen) =
        (sum(|tally| tally.done), sum(|tally| tally.unanswered), sum(|tally| tally.unseen));
    assert!(done > 60 && unanswered > 20, "done={done} unanswered={unanswered} unseen={unseen}");
}
