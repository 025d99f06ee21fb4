//! How two servers come to have one link, and how they find out that it is dead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::config::{Config, Link};
use crate::engine::effect::{Effect, Secret};
use crate::engine::event::{ConnId, Event, Origin, Pin};
use crate::engine::links::LinkStage;
use crate::engine::merge::{Dot, Origin as Run, Stamp, Stream};
use crate::engine::network::{Change, Edit};
use crate::engine::{Engine, Identity};
use crate::wire::line::{Framer, Limits};
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::{Now, Timestamp};

const NAMES: [(&str, &str); 2] = [("1AA", "hall.lan"), ("2BB", "barn.lan")];

/// Two servers, and the wires between them.
pub(super) struct Pair {
    pub(super) engines: [Engine; 2],
    now_ms: u64,
    wires: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    events: VecDeque<(usize, Event)>,
    /// Nothing that is said arrives any more, and nobody is told.
    is_silent: bool,
    /// Nothing reaches the disk of that side.
    pub(super) disks_fail: [bool; 2],
    /// Who said what in their logs.
    notes: Vec<(usize, String)>,
    /// Who called, and when.
    calls: Vec<(usize, u64)>,
    last_conn: u64,
    /// How far the wall clock of each side is ahead.
    ahead_ms: [u64; 2],
}

impl Pair {
    /// `expected` says whom each calls, and by what name it expects the other to answer.
    pub(super) fn new(expected: [Option<&str>; 2]) -> Pair {
        Pair {
            engines: [0, 1].map(|side| engine(side, 1, expected[side], 0)),
            now_ms: 0,
            wires: BTreeMap::new(),
            events: VecDeque::new(),
            is_silent: false,
            disks_fail: [false; 2],
            notes: Vec::new(),
            calls: Vec::new(),
            last_conn: 0,
            ahead_ms: [0; 2],
        }
    }

    /// Ends a server without a word, and starts it as if nothing had ever been on its disk but its epoch.
    pub(super) fn begin_with_an_empty_disk(&mut self, side: usize, epoch: u32) {
        self.lose_links();
        self.events.retain(|(to, _)| *to != side);
        let calls = if side == 0 { Some(NAMES[1].1) } else { None };
        self.engines[side] = engine(side, epoch, calls, self.now_ms);
    }

    /// Every connection breaks, and both ends notice.
    pub(super) fn lose_links(&mut self) {
        for (near, _) in std::mem::take(&mut self.wires) {
            self.events.push_back((near.0, Event::Closed { conn: near.1, why: "Connection reset".into() }));
        }
    }

    /// Lets time pass, in ticks.
    pub(super) fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms += 250;
            self.events.extend([(0, Event::Tick), (1, Event::Tick)]);
            while let Some((side, event)) = self.events.pop_front() {
                let mut now = at(self.now_ms);
                now.wall.0 += self.ahead_ms[side];
                for effect in self.engines[side].step(now, event) {
                    self.see_to(side, effect);
                }
            }
        }
    }

    fn see_to(&mut self, side: usize, effect: Effect) {
        match effect {
            Effect::Send { to, line } | Effect::SendApart { to, line } => self.send((side, to), &line),
            Effect::SendAll { to, line } => to.into_iter().for_each(|to| self.send((side, to), &line)),
            Effect::Dial { ask, .. } if self.is_silent => {
                self.calls.push((side, self.now_ms));
                self.events.push_back((side, Event::DialFailed { ask, why: "no way there".into() }));
            }
            Effect::Dial { ask, .. } => {
                self.calls.push((side, self.now_ms));
                let (near, far) = (ConnId(self.last_conn + 1), ConnId(self.last_conn + 2));
                self.last_conn += 2;
                let ends = [(side, near, Some(ask)), (1 - side, far, None)];
                self.wires.insert((side, near), (1 - side, far));
                self.wires.insert((1 - side, far), (side, near));
                for (at, conn, dialled) in ends {
                    let address = "10.0.0.9:6900".parse().unwrap();
                    let pin = Pin([2 - at as u8; 32]);
                    let from = Origin::Peer { address, dialled, pin, exporter: [near.0 as u8; 32] };
                    self.events.push_back((at, Event::Opened { conn, from }));
                }
            }
            Effect::Close { conn, why } => {
                if let Some(far) = self.wires.remove(&(side, conn)) {
                    self.events.push_back((side, Event::Closed { conn, why: why.clone() }));
                    if !self.is_silent {
                        self.events.push_back((far.0, Event::Closed { conn: far.1, why }));
                        self.wires.remove(&far);
                    }
                }
            }
            Effect::Keep { number, .. } if !self.disks_fail[side] => {
                self.events.push_back((side, Event::Kept { number }));
            }
            Effect::GoOn { ask } => self.events.push_back((side, Event::GoOn { ask })),
            Effect::Note { text, .. } => self.notes.push((side, text)),
            _ => {}
        }
    }

    fn send(&mut self, near: (usize, ConnId), line: &str) {
        if let Some(far) = self.wires.get(&near).filter(|_| !self.is_silent) {
            // As it would arrive: what is too long is not heard.
            let lines = Framer::new(Limits::PEER).push(format!("{line}\r\n").as_bytes());
            self.events.push_back((far.0, Event::Lines { conn: far.1, lines }));
        }
    }

    /// The links that one side has, and whether it was itself that called.
    pub(super) fn links(&self, side: usize) -> Vec<(LinkStage, bool)> {
        let links = self.engines[side].links.by_conn.values();
        links.map(|link| (link.stage, link.place.is_some())).collect()
    }

    fn noted(&self, side: usize, text: &str) -> bool {
        self.notes.iter().any(|(at, note)| *at == side && note.contains(text))
    }
}

fn engine(side: usize, epoch: u32, calls: Option<&str>, now_ms: u64) -> Engine {
    let link = calls.map(|name| Link {
        name: name.to_string(),
        address: "10.0.0.9:6900".to_string(),
        pin: None,
        connect: true,
    });
    let identity = Identity {
        sid: ServerId::parse(NAMES[side].0).unwrap(),
        name: ServerName::parse(NAMES[side].1).unwrap(),
        epoch,
        secret: b"the same".to_vec(),
        pin: Pin([side as u8 + 1; 32]),
        clock_floor_ms: 0,
        seed: [side as u8; 32],
        version: "folkmoot-test".to_string(),
    };
    let config = Config { link: link.into_iter().collect(), ..Config::default() };
    Engine::new(config, identity, at(now_ms))
}

fn at(ms: u64) -> Now {
    Now { wall: Timestamp(1_000_000_000_000 + ms), steady_ms: ms }
}

#[test]
fn of_two_that_call_each_other_at_once_the_lower_id_has_called() {
    let mut pair = Pair::new([Some("barn.lan"), Some("hall.lan")]);
    pair.wait(250);
    assert_eq!(pair.calls, [(0, 250), (1, 250)]);
    assert_eq!(pair.links(0), [(LinkStage::Up, true)]);
    assert_eq!(pair.links(1), [(LinkStage::Up, false)]);
    pair.wait(300_000);
    assert_eq!(pair.calls.len(), 2, "nobody calls whom they are linked with");
}

#[test]
fn a_server_that_answers_by_another_name_is_refused_and_not_called_for_a_while() {
    let mut pair = Pair::new([Some("mill.lan"), None]);
    pair.wait(29_000);
    assert!(pair.noted(0, "reason=unknown-name"), "{:?}", pair.notes);
    assert!(pair.noted(1, "reason=unknown-name"), "{:?}", pair.notes);
    assert_eq!(pair.calls.len(), 1);
    pair.wait(40_000);
    assert!(pair.calls.len() > 1, "somebody may have put it right");
}

#[test]
fn a_silent_link_is_closed_after_twenty_seconds_and_one_that_answers_never() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(120_000);
    assert_eq!(pair.links(0), [(LinkStage::Up, true)]);
    let round_trips = pair.engines[1].links.by_conn.values().map(|link| link.round_trip_ms);
    assert_eq!(round_trips.collect::<Vec<_>>(), [Some(0)], "it was asked for a sign of life");
    pair.is_silent = true;
    pair.wait(14_000);
    assert_eq!((pair.links(0).len(), pair.links(1).len()), (1, 1));
    pair.wait(7_000);
    assert_eq!((pair.links(0).len(), pair.links(1).len()), (0, 0));
    assert!(pair.noted(0, "no sign of life") && pair.noted(1, "no sign of life"));
}

#[test]
fn a_greeting_that_never_comes_ends_the_connection() {
    let mut pair = Pair::new([None, None]);
    let from = Origin::Peer {
        address: "10.0.0.9:6900".parse().unwrap(),
        dialled: None,
        pin: Pin([9; 32]),
        exporter: [0; 32],
    };
    pair.wires.insert((0, ConnId(99)), (1, ConnId(98)));
    pair.events.push_back((0, Event::Opened { conn: ConnId(99), from }));
    pair.wait(9_000);
    assert_eq!(pair.links(0), [(LinkStage::Greeting, false)]);
    pair.wait(2_000);
    assert_eq!(pair.links(0), []);
}

#[test]
fn after_a_loss_calls_come_at_random_times_and_ever_more_rarely() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(70_000);
    pair.is_silent = true;
    pair.calls.clear();
    pair.wait(900_000);
    let waits: Vec<u64> = pair.calls.windows(2).map(|two| two[1].1 - two[0].1).collect();
    for (failures, wait_ms) in waits.iter().enumerate() {
        // One failure lies before the first wait; a tick more may pass until it is over.
        let bound_ms = 60_000.min(1_000 << (failures + 1).min(16));
        assert!(*wait_ms <= bound_ms + 250, "{wait_ms} ms after {failures} failures");
    }
    assert!((15..80).contains(&waits.len()), "{waits:?}");
    assert!(waits[6..].iter().max() > Some(&30_000) && waits[6..].iter().min() < Some(&30_000), "{waits:?}");
}

#[test]
fn clocks_that_are_apart_are_told_of_once_a_link_and_far_apart_refused() {
    for (ahead_ms, words) in [(400, None), (3_000, Some("is 3000 ms ahead of ours")), (12_000, None)] {
        let mut pair = Pair::new([Some("barn.lan"), None]);
        pair.ahead_ms[0] = ahead_ms;
        pair.wait(60_000);
        let told: Vec<&String> = pair
            .notes
            .iter()
            .filter(|(side, note)| *side == 1 && note.contains("the clock of"))
            .map(|(_, note)| note)
            .collect();
        assert_eq!(told.len(), usize::from(words.is_some()), "{told:?}");
        assert!(told.iter().all(|note| note.contains(words.unwrap_or_default())), "{told:?}");
        assert_eq!(pair.noted(1, "reason=clock"), ahead_ms > 10_000);
        assert_eq!(pair.links(1).is_empty(), ahead_ms > 10_000);
    }
}

// The network's secret is changed.

const NEW: &str = "a new secret for everybody";

fn rotation(secret: &str) -> Event {
    Event::Rotate { secret: Secret(secret.to_string()) }
}

impl Pair {
    fn secrets(&self) -> [&str; 2] {
        self.engines.each_ref().map(|engine| engine.secrets.current.0.as_str())
    }

    /// Has one side's secret changed while neither hears of the other, and lets time pass.
    fn rotate_apart(&mut self, side: usize, secret: &str, ms: u64) {
        self.is_silent = true;
        self.events.push_back((side, rotation(secret)));
        self.wait(ms);
        assert!(self.links(0).is_empty() && self.links(1).is_empty());
    }

    fn meet(&mut self) {
        self.is_silent = false;
        self.wait(120_000);
    }
}

#[test]
fn a_new_secret_reaches_the_other_end_of_a_link_that_stays() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(1_000);
    pair.events.push_back((1, rotation(NEW)));
    pair.wait(1_000);
    assert_eq!(pair.secrets(), [NEW; 2]);
    assert_eq!((pair.links(0), pair.calls.len()), (vec![(LinkStage::Up, true)], 1));
    assert!(pair.noted(0, "barn.lan brought the network's new secret"));
}

#[test]
fn who_was_away_links_by_a_former_secret_and_is_given_the_new_one() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(1_000);
    // Twice, so that the one that it still holds is not the last one before.
    pair.rotate_apart(0, "one in between, for a short while", 30_000);
    pair.rotate_apart(0, NEW, 30_000);
    assert_eq!(pair.secrets(), [NEW, "the same"]);
    pair.meet();
    assert_eq!(pair.secrets(), [NEW; 2]);
    assert_eq!(pair.links(0), [(LinkStage::Up, true)]);
    assert!(pair.noted(0, "barn.lan proves itself by a former secret"), "{:?}", pair.notes);
}

#[test]
fn when_its_time_is_over_a_former_secret_lets_nobody_in() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(1_000);
    pair.engines[0].config.network.old_secret_for = std::time::Duration::from_secs(40);
    pair.rotate_apart(0, NEW, 39_000);
    assert!(!pair.noted(0, "not taken any more"));
    pair.wait(2_000);
    assert!(pair.noted(0, "a former secret of the network is not taken any more"));
    pair.meet();
    assert_eq!(pair.secrets(), [NEW, "the same"]);
    assert!(pair.links(0).is_empty() && pair.noted(0, "reason=proof"), "{:?}", pair.notes);
}

#[test]
fn of_two_new_secrets_made_apart_the_later_counts_on_both_sides() {
    for later in [0, 1] {
        let mut pair = Pair::new([Some("barn.lan"), None]);
        pair.wait(1_000);
        pair.rotate_apart(1 - later, "the earlier of the two new ones", 30_000);
        pair.rotate_apart(later, NEW, 30_000);
        pair.meet();
        assert_eq!(pair.secrets(), [NEW; 2]);
        assert_eq!(pair.links(0), [(LinkStage::Up, true)]);
    }
}

#[test]
fn what_can_be_no_secret_changes_nothing_and_ends_no_link() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(1_000);
    let now_ms = at(pair.now_ms).wall.0;
    let near = *pair.wires.keys().next().expect("they are linked");
    for (made_ms, secret) in [
        (now_ms + 120_000, "YSBzZWNyZXQgZnJvbSB0b21vcnJvdw=="),
        (now_ms, "not base64"),
        (now_ms, "c2hvcnQ="),
        // Two lines.
        (now_ms, "dHdvIGxpbmVzIG9mCmEgc2VjcmV0IHRoYXQgaXM="),
        (0, "ZWFybGllciB0aGFuIGFueXRoaW5nIGVsc2U="),
    ] {
        pair.send(near, &format!("SECRET {made_ms} :{secret}"));
    }
    pair.send(near, "SECRET");
    pair.wait(1_000);
    assert_eq!(pair.secrets(), ["the same"; 2]);
    assert_eq!(pair.links(0), [(LinkStage::Up, true)]);
}

// Somebody knows a server in a later run than its own.

#[test]
fn a_server_that_others_know_in_a_later_run_begins_a_run_beyond_it() {
    for line in [
        "HAVE S :2BB.5=3",
        "HAVE M :2BB.5=3",
        // The same run, but further than it has come.
        "HAVE S :2BB.1=zz",
        "ROUTES 2BB 5 1 :",
        "@dot=2BB.5.S1.2s1k0ftdg0 GOODBYE :until then",
        "@dot=2BB.5.M1.2s1k0ftdg0 :ann!a@b PRIVMSG 2BBAAAAAA #green :said by nobody who is here",
    ] {
        let mut pair = Pair::new([Some("barn.lan"), None]);
        pair.wait(1_000);
        let (near, _) = pair.wires.iter().find(|(near, _)| near.0 == 0).expect("they are linked");
        let near = *near;
        pair.send(near, line);
        pair.wait(1_000);
        let epoch = pair.engines[1].identity.epoch;
        let known = if line.contains("2BB.1=") { 1 } else { 5 };
        assert_eq!(epoch, known + 1, "{line}");
        assert!(pair.noted(1, "later than its own"), "{line}");
        pair.wait(120_000);
        assert_eq!(pair.links(1), [(LinkStage::Up, false)], "{line}");
        let barn = ServerId::parse("2BB").unwrap();
        let seen = pair.engines[0].network.server(barn).map(|server| server.epoch);
        assert_eq!(seen, Some(epoch), "{line}");
    }
}

#[test]
fn what_a_server_has_said_itself_begins_no_new_run() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(1_000);
    let (near, _) = pair.wires.iter().find(|(near, _)| near.0 == 0).expect("they are linked");
    let near = *near;
    for line in [
        "HAVE S :2BB.1=1",
        "ROUTES 2BB 1 1 :",
        "@dot=2BB.1.S1.2s1k0ftdg0 GOODBYE :said before",
        "@dot=1AA.1.S9.2s1k0ftdg0;over=2BB.5.S1,2BB.1.Szz GOODBYE :over what nobody can have seen",
    ] {
        pair.send(near, line);
        pair.wait(1_000);
        assert_eq!(pair.engines[1].identity.epoch, 1, "{line}");
    }
    assert_eq!(pair.links(1), [(LinkStage::Up, false)]);
}

/// Each run of each server is an origin of its own, and all of them are remembered.
#[test]
fn after_a_thousand_runs_a_vector_still_arrives() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    let mill = ServerId::parse("9ZZ").unwrap();
    for run in 1..=1_000 {
        let origin = Run { server: mill, epoch: run };
        let dot = Dot { origin, stream: Stream::Session, seq: 1 };
        let stamp = Stamp { ms: u64::from(run), count: 0, server: mill };
        let edit = Edit::Unknown { line: format!("@dot={dot}.{run} WHATEVER") };
        let change = Change { dot, stamp, over: vec![], after: 0, more: false, edit };
        pair.engines[0].take(&Arc::new(change), None);
    }
    pair.wait(2_000);
    assert_eq!(pair.links(0), [(LinkStage::Up, true)], "{:?}", pair.notes);
    let seen = pair.engines.each_ref().map(|engine| engine.network.seen(Stream::Session).clone());
    assert_eq!(seen[0], seen[1]);
    assert!(seen[1].iter().count() > 1_000);
}
