//! What becomes of requests where lines are lost, come twice, or never come.

use std::collections::{BTreeMap, VecDeque};

use crate::config::{Config, Link, Operator};
use crate::engine::effect::Effect;
use crate::engine::event::{ConnId, Event, Origin, Pin};
use crate::engine::{Engine, Identity};
use crate::wire::line::Lines;
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::{Now, Timestamp};

/// The operator alice at hall, and bob at barn; connections of theirs are the first.
struct Two {
    engines: [Engine; 2],
    now_ms: u64,
    wires: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    events: VecDeque<(usize, Event)>,
    last_conn: u64,
    /// What people heard since it was last asked.
    heard: Vec<String>,
    /// Which lines between the servers are lost.
    is_lost: fn(&str) -> bool,
    /// Lines between the servers that began with ASK or ANSWER.
    asked: Vec<String>,
}

const ALICE: (usize, ConnId) = (0, ConnId(1));
const BOB: (usize, ConnId) = (1, ConnId(2));

impl Two {
    fn new() -> Two {
        let engine = |side: usize| {
            let names = [("1AA", "hall.lan"), ("2BB", "barn.lan")][side];
            let identity = Identity {
                sid: ServerId::parse(names.0).unwrap(),
                name: ServerName::parse(names.1).unwrap(),
                epoch: 1,
                secret: b"the same".to_vec(),
                pin: Pin([side as u8 + 1; 32]),
                clock_floor_ms: 0,
                seed: [side as u8; 32],
                version: String::new(),
            };
            let link = Link {
                name: "barn.lan".to_string(),
                address: "10.0.0.9:6900".to_string(),
                pin: None,
                connect: true,
            };
            let operator =
                Operator { name: "alice".into(), password: "w".into(), class: "administrator".into() };
            let link = if side == 0 { vec![link] } else { Vec::new() };
            Engine::new(Config { link, operator: vec![operator], ..Config::default() }, identity, at(0))
        };
        let mut two = Two {
            engines: [engine(0), engine(1)],
            now_ms: 0,
            wires: BTreeMap::new(),
            events: VecDeque::new(),
            last_conn: 2,
            heard: Vec::new(),
            is_lost: |_| false,
            asked: Vec::new(),
        };
        two.wait(1_000);
        for ((side, conn), nick) in [(ALICE, "alice"), (BOB, "bob")] {
            let address = "127.0.0.1:40000".parse().unwrap();
            two.events
                .push_back((side, Event::Opened { conn, from: Origin::Client { address, secure: None } }));
            two.say((side, conn), &format!("NICK {nick}"));
            two.say((side, conn), &format!("USER {nick} 0 * :{nick}"));
        }
        two.say(ALICE, "OPER alice w");
        two.hear();
        two
    }

    fn say(&mut self, (side, conn): (usize, ConnId), line: &str) {
        self.events.push_back((side, Event::Lines { conn, lines: Lines::from(line) }));
        self.settle();
    }

    /// Lets time pass, in ticks.
    fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms += 250;
            self.events.extend([(0, Event::Tick), (1, Event::Tick)]);
            self.settle();
        }
    }

    fn settle(&mut self) {
        while let Some((side, event)) = self.events.pop_front() {
            for effect in self.engines[side].step(at(self.now_ms), event) {
                self.see_to(side, effect);
            }
        }
    }

    fn see_to(&mut self, side: usize, effect: Effect) {
        match effect {
            Effect::Send { to, line } => self.send((side, to), &line),
            Effect::SendAll { to, line } => to.into_iter().for_each(|to| self.send((side, to), &line)),
            Effect::Verify { ask, .. } => self.events.push_back((side, Event::Verified { ask, right: true })),
            Effect::Dial { ask, .. } => {
                let (near, far) = (ConnId(self.last_conn + 1), ConnId(self.last_conn + 2));
                self.last_conn += 2;
                self.wires.insert((0, near), (1, far));
                self.wires.insert((1, far), (0, near));
                for (side, conn, dialled) in [(0, near, Some(ask)), (1, far, None)] {
                    let address = "10.0.0.9:6900".parse().unwrap();
                    let from =
                        Origin::Peer { address, dialled, pin: Pin([2 - side as u8; 32]), exporter: [7; 32] };
                    self.events.push_back((side, Event::Opened { conn, from }));
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, near: (usize, ConnId), line: &str) {
        let Some((side, conn)) = self.wires.get(&near).copied() else {
            return self.heard.push(line.to_string());
        };
        if line.contains("ASK ") || line.contains("ANSWER ") {
            self.asked.push(line.to_string());
        }
        if !(self.is_lost)(line) {
            self.events.push_back((side, Event::Lines { conn, lines: Lines::from(line) }));
        }
    }

    fn hear(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
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
    let mut two = Two::new();
    two.is_lost = is_asked;
    two.say(ALICE, "SAJOIN bob #green");
    assert_eq!(two.hear(), [""; 0]);
    two.is_lost = |_| false;
    two.wait(1_000);
    let heard = two.hear();
    assert!(heard.contains(&":bob!bob@127.0.0.1 JOIN #green".to_string()), "{heard:?}");
    assert!(heard.contains(&":hall.lan NOTICE alice :bob is on #green now".to_string()), "{heard:?}");
}

#[test]
fn what_was_done_and_not_answered_is_answered_again_and_not_done_again() {
    let mut two = Two::new();
    two.is_lost = is_answered;
    two.say(ALICE, "SAJOIN bob #green");
    two.hear();
    two.say(BOB, "PART #green");
    two.hear();
    two.is_lost = |_| false;
    two.wait(1_000);
    assert_eq!(two.hear(), [":hall.lan NOTICE alice :bob is on #green now"]);
    // A no is the same no, whatever has changed since.
    two.is_lost = is_answered;
    two.say(ALICE, "SANICK bob alice");
    two.say(ALICE, "NICK ann");
    two.hear();
    two.is_lost = |_| false;
    two.wait(1_000);
    assert_eq!(two.hear(), [":barn.lan 433 ann alice :Nickname is already in use"]);
}

#[test]
fn a_server_that_never_answers_is_waited_for_ten_seconds() {
    let mut two = Two::new();
    two.is_lost = is_answered;
    two.asked.clear();
    two.say(ALICE, "KILL bob :enough");
    two.say(ALICE, "VERSION barn.lan");
    two.say(ALICE, "PING x barn.lan");
    two.hear();
    two.wait(9_500);
    assert_eq!(two.hear(), [""; 0]);
    two.wait(500);
    assert_eq!(
        two.hear(),
        [
            ":hall.lan 400 alice KILL bob :No answer from barn.lan, so perhaps it was not done",
            ":hall.lan 400 alice VERSION :No answer from barn.lan",
            ":hall.lan 402 alice barn.lan :No such server",
        ]
    );
    // Ever more rarely, and not for ever.
    let kills = |two: &Two| two.asked.iter().filter(|line| line.contains(" KILL ")).count();
    assert_eq!(kills(&two), 4);
    two.wait(60_000);
    assert_eq!(kills(&two), 4);
}

#[test]
fn lines_of_an_answer_that_were_lost_are_asked_for_again_and_each_is_heard_once() {
    let mut two = Two::new();
    two.is_lost = |line| is_answered(line) && line.contains(" REPLY 1 ");
    two.say(ALICE, "INFO barn.lan");
    assert_eq!(two.hear(), [""; 0]);
    two.is_lost = |_| false;
    two.wait(1_000);
    let heard = two.hear();
    let codes: Vec<&str> = heard.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(codes, ["371", "371", "371", "374"], "{heard:?}");
}

#[test]
fn a_rename_is_of_who_went_by_the_nick_when_it_was_asked_for() {
    let mut two = Two::new();
    two.is_lost = is_asked;
    two.say(ALICE, "SANICK bob rob");
    two.say(BOB, "NICK bobby");
    two.hear();
    two.is_lost = |_| false;
    two.wait(1_000);
    assert_eq!(two.hear(), [":barn.lan 401 alice bob :No such nick/channel"]);
}

#[test]
fn a_kick_is_of_one_join_and_who_left_meanwhile_is_gone() {
    let mut two = Two::new();
    two.say(ALICE, "JOIN #green");
    two.say(BOB, "JOIN #green");
    two.is_lost = is_asked;
    two.say(ALICE, "KICK #green bob :out");
    two.say(ALICE, "SAPART bob #green :out");
    two.say(BOB, "PART #green");
    two.say(BOB, "JOIN #green");
    two.hear();
    two.is_lost = |_| false;
    two.wait(1_000);
    assert_eq!(two.hear(), [":hall.lan NOTICE alice :bob is off #green now"]);
    two.wait(60_000);
    assert!(!two.hear().iter().any(|line| line.contains("KICK")));
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    let mut two = Two::new();
    let conn = *two.wires.keys().find(|(side, _)| *side == 1).map(|(_, conn)| conn).unwrap();
    two.asked.clear();
    for line in ["ASK 2BB 1AA.1 zz FROBNICATE x", "ASK 2BB 1AA.1 zz KILL", "ASK 2BB 1AA.1 zz QUERY FROB :x"] {
        two.say((1, conn), line);
    }
    assert_eq!(
        two.asked,
        [
            "ANSWER 1AA.1 2BB zz REFUSED 421 :FROBNICATE :Unknown command",
            "ANSWER 1AA.1 2BB zz REFUSED 421 :KILL :Unknown command",
            "ANSWER 1AA.1 2BB zz REFUSED 421 :FROB :Unknown command",
        ]
    );
    // Answers to what nobody asked, or somebody else, or an earlier run, are nothing.
    let conn = *two.wires.keys().find(|(side, _)| *side == 0).map(|(_, conn)| conn).unwrap();
    two.is_lost = is_answered;
    two.say(ALICE, "VERSION barn.lan");
    let id = two.asked.iter().find_map(|line| line.strip_prefix("ASK 2BB 1AA.1 ")).unwrap().split(' ').next();
    let id = id.unwrap().to_string();
    for line in ["1AA.1 3CC {} DONE", "1AA.2 2BB {} DONE", "1AA.1 2BB zz DONE", "1AA.1 2BB {} REFUSED x :y"] {
        two.say((0, conn), &format!("ANSWER {}", line.replace("{}", &id)));
    }
    assert_eq!(two.hear(), [""; 0]);
}
