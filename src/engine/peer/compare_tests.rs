//! Servers that have heard the same and hold something else find out, and agree again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::config::{Config, Link};
use crate::engine::effect::Effect;
use crate::engine::event::{ConnId, Event, Origin, Pin};
use crate::engine::merge::{Dot, Fact, Stream};
use crate::engine::network::{Key, Setting, StatusFact, Topic, Value};
use crate::engine::peer::Fault;
use crate::engine::{Engine, Identity};
use crate::wire::line::Lines;
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::{Now, Timestamp};

/// Some servers, the wires between them, and a client on each.
pub(super) struct Mesh {
    engines: Vec<Engine>,
    now_ms: u64,
    wires: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    cut: BTreeSet<(usize, usize)>,
    events: VecDeque<(usize, Event)>,
    notes: Vec<(usize, String)>,
    heard: BTreeMap<usize, Vec<String>>,
    /// What servers said to each other.
    pub(super) between: Vec<String>,
    last_conn: u64,
}

fn client(server: usize) -> ConnId {
    ConnId(server as u64 + 1)
}

fn address(server: usize) -> String {
    format!("10.0.0.{}:6900", server + 1)
}

impl Mesh {
    /// `cables` says who calls whom.
    pub(super) fn new(count: usize, cables: &[(usize, usize)]) -> Mesh {
        let engines = (0..count).map(|side| {
            let called = cables.iter().filter(|(from, _)| *from == side);
            let link = called.map(|(_, to)| Link {
                name: format!("s{to}.lan"),
                address: address(*to),
                pin: None,
                connect: true,
            });
            let identity = Identity {
                sid: ServerId::parse(["1AA", "2BB", "3CC", "4DD"][side]).unwrap(),
                name: ServerName::parse(&format!("s{side}.lan")).unwrap(),
                epoch: 1,
                secret: b"the same".to_vec(),
                pin: Pin([side as u8 + 1; 32]),
                clock_floor_ms: 0,
                seed: [side as u8; 32],
                version: "folkmoot-0".to_string(),
            };
            Engine::new(Config { link: link.collect(), ..Config::default() }, identity, at(0))
        });
        let mut mesh = Mesh {
            engines: engines.collect(),
            now_ms: 0,
            wires: BTreeMap::new(),
            cut: BTreeSet::new(),
            events: VecDeque::new(),
            notes: Vec::new(),
            heard: BTreeMap::new(),
            between: Vec::new(),
            last_conn: 1_000,
        };
        mesh.wait(5_000);
        for side in 0..count {
            let address = "127.0.0.1:40000".parse().unwrap();
            let from = Origin::Client { address, name: None, secure: None, certificate: None };
            mesh.events.push_back((side, Event::Opened { conn: client(side), from }));
            mesh.say(side, &format!("NICK user{side}\nUSER u 0 * :u\nJOIN #green"));
        }
        mesh.say(0, "MODE #green +o user1\nTOPIC #green :harvest\nMODE #green +b *!*@bad.example");
        mesh.wait(1_000);
        mesh.heard.clear();
        mesh
    }

    pub(super) fn say(&mut self, side: usize, lines: &str) {
        self.events.push_back((side, Event::Lines { conn: client(side), lines: Lines::from(lines) }));
        self.settle();
    }

    pub(super) fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms += 250;
            self.events.extend((0..self.engines.len()).map(|side| (side, Event::Tick)));
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
            Effect::Send { to, line } | Effect::SendApart { to, line } => self.send((side, to), &line),
            Effect::SendAll { to, line } => to.into_iter().for_each(|to| self.send((side, to), &line)),
            Effect::Dial { ask, address: called, .. } => {
                let other = (0..self.engines.len()).find(|other| address(*other) == called).unwrap();
                if self.cut.contains(&(side.min(other), side.max(other))) {
                    let why = "no way there".to_string();
                    return self.events.push_back((side, Event::DialFailed { ask, why }));
                }
                let (near, far) = (ConnId(self.last_conn + 1), ConnId(self.last_conn + 2));
                self.last_conn += 2;
                self.wires.insert((side, near), (other, far));
                self.wires.insert((other, far), (side, near));
                for (at, of, conn, dialled) in [(side, other, near, Some(ask)), (other, side, far, None)] {
                    let address = address(of).parse().unwrap();
                    let pin = Pin([of as u8 + 1; 32]);
                    let from = Origin::Peer { address, dialled, pin, exporter: [near.0 as u8; 32] };
                    self.events.push_back((at, Event::Opened { conn, from }));
                }
            }
            Effect::Close { conn, why } => {
                if let Some(far) = self.wires.remove(&(side, conn)) {
                    self.wires.remove(&far);
                    self.events.push_back((side, Event::Closed { conn, why: why.clone() }));
                    self.events.push_back((far.0, Event::Closed { conn: far.1, why }));
                }
            }
            Effect::Note { text, .. } => self.notes.push((side, text)),
            _ => {}
        }
    }

    fn send(&mut self, near: (usize, ConnId), line: &str) {
        match self.wires.get(&near) {
            Some(far) => {
                self.between.push(line.to_string());
                self.events.push_back((far.0, Event::Lines { conn: far.1, lines: Lines::from(line) }));
            }
            None => self.heard.entry(near.0).or_default().push(line.to_string()),
        }
    }

    /// Puts the cables of a server back in.
    pub(super) fn plug_in(&mut self) {
        self.cut.clear();
        self.wait(70_000);
    }

    /// Takes one server off the network, as if its cables were pulled out.
    pub(super) fn pull_out(&mut self, server: usize) {
        for other in 0..self.engines.len() {
            self.cut.insert((server.min(other), server.max(other)));
        }
        let wires: Vec<_> = self.wires.keys().filter(|(side, _)| *side == server).copied().collect();
        for near in wires {
            let far = self.wires.remove(&near).unwrap();
            self.wires.remove(&far);
            for (side, conn) in [near, far] {
                self.events.push_back((side, Event::Closed { conn, why: "cut".to_string() }));
            }
        }
        self.wait(1_000);
    }

    fn held(&self, side: usize, which: impl Fn(&Key) -> bool) -> (Key, Fact<Value>) {
        let facts = self.engines[side].network.facts(Stream::Session);
        let (key, fact) = facts.iter().find(|(key, _)| which(key)).expect("there is one");
        (key.clone(), fact.clone())
    }

    /// Has one server hold something else, as if its memory had failed.
    fn corrupt(&mut self, side: usize, dot: Dot, fact: Option<(Key, Fact<Value>)>) {
        self.engines[side].network.put_right(dot, fact);
    }

    fn are_alike(&self, servers: &[usize]) -> bool {
        let state = |side: &usize| {
            let engine = &self.engines[*side];
            (
                engine.seen_digest(Stream::Session),
                engine.network.facts_hash(Stream::Session),
                engine.network.view_hash(),
            )
        };
        servers.iter().all(|side| state(side) == state(&servers[0]))
    }

    fn noted(&self, side: usize, words: &str) -> bool {
        self.notes.iter().any(|(at, note)| *at == side && note.contains(words))
    }

    fn diverged(&self) -> u64 {
        self.faults(Fault::Diverged)
    }

    pub(super) fn faults(&self, fault: Fault) -> u64 {
        let faults = |engine: &Engine| {
            engine.trust.faults().find(|(found, _)| *found == fault).map_or(0, |(_, count)| count)
        };
        self.engines.iter().map(faults).sum()
    }
}

fn at(ms: u64) -> Now {
    Now { wall: Timestamp(1_795_244_000_000 + ms), steady_ms: ms }
}

pub(super) const TRIANGLE: &[(usize, usize)] = &[(0, 1), (1, 2), (0, 2)];
const LINE: &[(usize, usize)] = &[(0, 1), (1, 2), (2, 3)];

fn is_topic(key: &Key) -> bool {
    matches!(key, Key::Setting(_, _, crate::engine::network::Item::Topic))
}

#[test]
fn those_who_hold_the_same_have_nothing_to_say_to_each_other() {
    let mut mesh = Mesh::new(3, TRIANGLE);
    mesh.wait(120_000);
    assert!(mesh.are_alike(&[0, 1, 2]));
    assert_eq!(mesh.diverged(), 0, "{:?}", mesh.notes);
}

#[test]
fn a_fact_that_reads_otherwise_somewhere_is_found_named_and_put_right_by_its_writer() {
    let mut mesh = Mesh::new(3, TRIANGLE);
    let (key, fact) = mesh.held(2, is_topic);
    let topic = Topic { text: "sowing".into(), by: "eve".into(), at: Timestamp(5) };
    let false_fact = Fact { value: Value::Setting(Setting::Topic(topic)), ..fact.clone() };
    mesh.corrupt(2, fact.dot, Some((key.clone(), false_fact)));
    assert!(!mesh.are_alike(&[0, 1, 2]));
    mesh.wait(62_000);
    assert!(mesh.are_alike(&[0, 1, 2]), "{:?}", mesh.notes);
    assert!(mesh.noted(2, "holds otherwise what both have heard: setting #green"), "{:?}", mesh.notes);
    assert!(mesh.noted(2, "put right"), "{:?}", mesh.notes);
    assert_eq!(mesh.held(2, is_topic), (key, fact));
    let told = mesh.heard[&2].iter().filter(|line| line.contains(" TOPIC #green :harvest")).count();
    assert_eq!(told, 1, "the client there hears it as after a repair: {:?}", mesh.heard);
    assert!(!mesh.heard.contains_key(&0), "nobody else hears anything: {:?}", mesh.heard);
    let found = mesh.diverged();
    mesh.wait(120_000);
    assert_eq!(mesh.diverged(), found, "and that was it");
}

#[test]
fn a_fact_that_is_missing_and_one_too_many_are_put_right() {
    let mut mesh = Mesh::new(4, LINE);
    let (_, lost) = mesh.held(3, |key| matches!(key, Key::Mask(..)));
    mesh.corrupt(3, lost.dot, None);
    let (_, member) = mesh.held(0, |key| matches!(key, Key::Member(..)));
    let (_, status) = mesh.held(1, |key| matches!(key, Key::Status(..)));
    let taken = Value::Status(StatusFact {
        on: false,
        joined: match &status.value {
            Value::Status(given) => given.joined,
            _ => unreachable!("a status fact holds a status"),
        },
    });
    let key = mesh.held(1, |key| matches!(key, Key::Status(..))).0;
    mesh.corrupt(1, status.dot, Some((key, Fact { value: taken, ..status })));
    // A membership that was never written: under a dot that was heard, and has been superseded since.
    let gone = Dot { seq: member.dot.seq - 1, ..member.dot };
    let extra = Fact { dot: gone, ..member.clone() };
    let (Key::Member(channel, user), _) = mesh.held(0, |key| matches!(key, Key::Member(..))) else {
        unreachable!("it was just found")
    };
    mesh.corrupt(2, gone, Some((Key::Member(channel, user), extra)));
    mesh.wait(125_000);
    assert!(mesh.are_alike(&[0, 1, 2, 3]), "{:#?}", mesh.notes);
    let found = mesh.diverged();
    mesh.wait(120_000);
    assert_eq!(mesh.diverged(), found, "it comes to an end: {:#?}", mesh.notes);
}

#[test]
fn where_the_writer_is_out_of_reach_the_lowest_within_reach_is_believed() {
    // The line is 1 - 2 - 3, and each of them holds something else of what 0 once wrote.
    let mut mesh = Mesh::new(4, LINE);
    mesh.pull_out(0);
    for side in 1..4 {
        let (key, fact) = mesh.held(side, is_topic);
        let topic = Topic { text: format!("topic {side}"), by: "eve".into(), at: Timestamp(5) };
        let false_fact = Fact { value: Value::Setting(Setting::Topic(topic)), ..fact.clone() };
        mesh.corrupt(side, fact.dot, Some((key, false_fact)));
    }
    mesh.wait(125_000);
    assert!(mesh.are_alike(&[1, 2, 3]), "{:#?}", mesh.notes);
    let Value::Setting(Setting::Topic(topic)) = mesh.held(3, is_topic).1.value else { panic!("a topic") };
    assert_eq!(topic.text, "topic 1");
    let found = mesh.diverged();
    mesh.wait(120_000);
    assert_eq!(mesh.diverged(), found, "it comes to an end: {:#?}", mesh.notes);
}
