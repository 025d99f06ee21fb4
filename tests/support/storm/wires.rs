//! The wires between servers, with every fault that wires have.

use std::collections::{BTreeMap, VecDeque};

use folkmoot::engine::{ConnId, Event};
use folkmoot::wire::line::Lines;

use super::dice::Dice;
use super::hostile::Mutator;
use super::layout::{Layout, sorted};
use super::ledger::dot_of;
use super::world::{Due, World};

/// One end of a connection.
pub type End = (usize, ConnId);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cable {
    Whole,
    /// Both ends notice, each in its time.
    Cut,
    /// Nothing arrives, and nobody is told.
    Silent,
    /// The same from the lower end to the upper one only.
    SilentUp,
    SilentDown,
}

/// All cables, and the connections that go over them.
pub struct Wires {
    pub cables: BTreeMap<(usize, usize), Cable>,
    /// Set where every link takes just so long.
    pub delay_ms: Option<u64>,
    /// Cables that take longer than that, from one end to the other.
    pub slow: BTreeMap<(usize, usize), u64>,
    /// Cables on which one line follows another only after so long, from one end to the other.
    pub paced: BTreeMap<(usize, usize), u64>,
    /// Lines that carried an event, and when the last of them was sent.
    pub events_sent: u64,
    pub last_event_ms: u64,
    /// Somebody sits on this cable.
    pub hostile: Option<((usize, usize), Mutator)>,
    wires: BTreeMap<End, Wire>,
}

/// One direction of a connection between servers: what is under way arrives in order.
struct Wire {
    far: End,
    delay_ms: u64,
    /// It has lost something, so nothing ever arrives any more.
    is_silent: bool,
    under_way: VecDeque<(u64, String)>,
}

impl Wires {
    pub fn new(layout: &Layout) -> Wires {
        Wires {
            cables: layout.cables.iter().map(|ends| (*ends, Cable::Whole)).collect(),
            delay_ms: layout.delay_ms,
            slow: BTreeMap::new(),
            paced: BTreeMap::new(),
            events_sent: 0,
            last_event_ms: 0,
            hostile: None,
            wires: BTreeMap::new(),
        }
    }

    pub fn has(&self, end: End) -> bool {
        self.wires.contains_key(&end)
    }

    /// Whether there is a connection between two servers, whatever they think of it.
    pub fn are_joined(&self, a: usize, b: usize) -> bool {
        self.wires.iter().any(|(near, wire)| near.0 == a && wire.far.0 == b)
    }

    pub fn cable(&self, a: usize, b: usize) -> Cable {
        self.cables.get(&sorted(a, b)).copied().unwrap_or(Cable::Cut)
    }

    /// Whether what one server says arrives at another.
    fn carries(&self, from: usize, to: usize) -> bool {
        match self.cable(from, to) {
            Cable::Silent => false,
            Cable::SilentUp => from > to,
            Cable::SilentDown => from < to,
            Cable::Whole | Cable::Cut => true,
        }
    }

    /// A new connection. Some are slow, and stay so.
    pub fn join(&mut self, near: End, far: End, dice: &mut Dice) {
        let rolled_ms = match dice.below(16) {
            0 => 2_000,
            1..5 => 800,
            _ => 40,
        };
        let delay_ms = self.delay_ms.unwrap_or(rolled_ms);
        for (end, far) in [(near, far), (far, near)] {
            self.wires.insert(end, Wire { far, delay_ms, is_silent: false, under_way: VecDeque::new() });
        }
    }

    /// What is lost on a silent wire is lost for good: nothing after it arrives either.
    fn go_silent(&mut self, near: End) {
        if let Some(wire) = self.wires.get_mut(&near) {
            wire.under_way.clear();
            wire.is_silent = true;
        }
    }

    fn ends_where(&self, which: impl Fn(End, End) -> bool) -> Vec<End> {
        self.wires.iter().filter(|(near, wire)| which(**near, wire.far)).map(|(near, _)| *near).collect()
    }
}

impl World {
    pub fn set_cable(&mut self, ends: (usize, usize), cable: Cable) {
        let ends = sorted(ends.0, ends.1);
        self.say(format_args!("s{} - s{} {cable:?}", ends.0, ends.1));
        self.wires.cables.insert(ends, cable);
        if cable == Cable::Cut {
            self.reset(ends, 1_500);
        }
    }

    /// Connections between two servers end; each learns of it within this time, and what was under way is lost.
    pub fn reset(&mut self, ends: (usize, usize), within_ms: u64) {
        self.say(format_args!("s{} - s{} reset", ends.0, ends.1));
        for near in self.wires.ends_where(|near, far| sorted(near.0, far.0) == ends) {
            self.wires.wires.remove(&near);
            let after_ms = self.dice.below(within_ms);
            self.plan_closed(after_ms, near, "Connection reset");
        }
    }

    /// All connections of a server that is no more. Where its host went down with it, nobody says so.
    pub fn unplug(&mut self, server: usize, is_noticed: bool) {
        for near in self.wires.ends_where(|near, far| near.0 == server || far.0 == server) {
            if near.0 == server {
                self.wires.wires.remove(&near);
            } else if is_noticed {
                // What it had sent before may have arrived, or not.
                self.wires.wires.remove(&near);
                let after_ms = self.dice.below(2_000);
                self.plan_closed(after_ms, near, "Connection reset");
            } else {
                self.wires.go_silent(near);
            }
        }
    }

    fn plan_closed(&mut self, after_ms: u64, end: End, why: &str) {
        let closed = Event::Closed { conn: end.1, why: why.into() };
        self.plan(after_ms, Due::Event(end.0, closed));
    }

    /// The next line of a wire arrives.
    pub fn arrive_from(&mut self, near: End) {
        let Some(wire) = self.wires.wires.get_mut(&near) else { return };
        let far = wire.far;
        let Some((_, line)) = wire.under_way.pop_front() else { return };
        if self.wires.carries(near.0, far.0) {
            self.step(far.0, Event::Lines { conn: far.1, lines: Lines::from(line.as_str()) });
        } else {
            self.wires.go_silent(near);
        }
    }

    pub fn send_to_peer(&mut self, from: End, line: &str) {
        if dot_of(line).is_some() {
            self.wires.events_sent += 1;
            self.wires.last_event_ms = self.now_ms;
        }
        let Some(far) = self.wires.wires.get(&from).map(|wire| wire.far) else { return };
        let ends = sorted(from.0, far.0);
        if let Some((cable, mutator)) = &mut self.wires.hostile
            && *cable == ends
        {
            let lines = mutator.mutate(&mut self.dice, from, line);
            let is_cut = lines.is_none();
            for line in lines.into_iter().flatten() {
                self.put_on_wire(from, &line);
            }
            if is_cut {
                self.reset(ends, 500);
            }
            return;
        }
        self.put_on_wire(from, line);
    }

    fn put_on_wire(&mut self, from: End, line: &str) {
        let Some(wire) = self.wires.wires.get_mut(&from) else { return };
        if wire.is_silent {
            return;
        }
        let slow_ms = self.wires.slow.get(&(from.0, wire.far.0)).copied().unwrap_or(0);
        let at_ms = match self.wires.delay_ms {
            Some(delay_ms) => self.now_ms + delay_ms + slow_ms,
            None => self.now_ms + 1 + self.dice.below(wire.delay_ms),
        };
        let pace_ms = self.wires.paced.get(&(from.0, wire.far.0)).copied().unwrap_or(0);
        let at_ms = wire.under_way.back().map_or(at_ms, |(last_ms, _)| at_ms.max(*last_ms + pace_ms));
        wire.under_way.push_back((at_ms, line.to_string()));
        self.plan(at_ms - self.now_ms, Due::Arrive(from));
    }

    /// Has a server say to another what it never said.
    pub fn forge(&mut self, from: usize, to: usize, line: &str) {
        self.say(format_args!("s{from} lies to s{to}: {line}"));
        for near in self.wires.ends_where(|near, far| (near.0, far.0) == (from, to)) {
            self.put_on_wire(near, line);
        }
    }

    /// One end closes. What was sent before still arrives, and then the end; unless the cable is silent.
    pub fn close_wire(&mut self, end: End, why: String) {
        let Some(wire) = self.wires.wires.remove(&end) else { return };
        let far = wire.far;
        if !wire.is_silent && self.wires.carries(end.0, far.0) {
            let last_ms = wire.under_way.back().map_or(self.now_ms, |(at_ms, _)| *at_ms);
            for (at_ms, line) in wire.under_way {
                let lines = Lines::from(line.as_str());
                let after_ms = at_ms.saturating_sub(self.now_ms);
                self.plan(after_ms, Due::Event(far.0, Event::Lines { conn: far.1, lines }));
            }
            self.plan_closed(last_ms.saturating_sub(self.now_ms) + 1, far, "Connection closed");
            self.wires.wires.remove(&far);
        }
        self.plan(1, Due::Event(end.0, Event::Closed { conn: end.1, why }));
    }
}
