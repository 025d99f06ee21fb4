//! The one thread that steps the engine: events are drained in batches, and each recipient gets one send per batch.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustls::ClientConfig;

use super::clock::Clock;
use super::conn::Conn;
use super::end::End;
use super::fanout::{FANOUT_MIN, Fanouts, Said};
use super::inbox::{InboxReader, Lane};
use super::keeper::Task;
use super::link::{self, Call};
use super::outbox::Due;
use super::shared::{Connections, Counters, Shared};
use super::store::{Batch, Desk};
use super::suspect::Suspect;
use super::threads::{give_up, panic_text};
use super::verify::{Check, Verifier, What};
use crate::engine::{ConnId, Effect, Engine, Event};
use crate::wire::time::Now;

const TICK: Duration = Duration::from_millis(250);
/// How many lines one batch takes in: enough for sends to be shared, few enough for the first of them to go out soon.
const LINES_PER_BATCH: usize = 256;
/// How long one batch takes, save for the last of its events: a line can take a hundred times as long as another, and
/// what the first of them said is to go out.
const BATCH_WITHIN: Duration = Duration::from_millis(2);
/// A line that more than so many hear goes out to them in slices, and between two of those everyone else is served.
const AUDIENCE_AT_ONCE_MAX: usize = 64;
/// How many sends a slice is: a twentieth of a millisecond or so ...
const SLICE_SENDS: usize = 8;
/// ... and how many more for each line that came in since the last one, so that what goes out keeps up with it.
const SLICE_SENDS_PER_LINE: usize = 8;
/// How long it takes with all that is done in a round beside its batch, save for the last of those sends: some send a
/// line, and some all that is told of a netsplit ...
const SLICE_WITHIN: Duration = Duration::from_millis(1);
/// ... and this part of that it may take in any case.
const SLICE_PART_MIN: u32 = 4;
/// What goes to thousands is queued for so many of them in one round ...
const FANOUT_SLICE: usize = 2048;
/// ... and so much may have to wait for its turn, save for what was said last.
const FANOUT_LEFT_MAX: usize = 65_536;
/// For so many rounds, what takes long and what peers bring at once make room for that: they may bring more of it.
const PUT_OFF_MAX: usize = 16;
/// So often the router sleeps where it always has something left to do ...
const REST_EVERY: Duration = Duration::from_millis(2);
/// ... for as short as the system can: a twentieth of a millisecond or so.
const REST: Duration = Duration::from_nanos(1);
/// How long the other side may take to close after our last words.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Those who do for the router what takes its time, or is for the whole process.
pub struct Helpers {
    pub verifier: Verifier,
    pub keeper: Sender<Task>,
    pub store: Desk,
    pub ends: Sender<End>,
}

pub struct Router {
    shared: Arc<Shared>,
    inbox: InboxReader,
    verifier: Verifier,
    keeper: Sender<Task>,
    store: Desk,
    mesh: Arc<ClientConfig>,
    ends: Sender<End>,
    clock: Clock,
    next_tick: Instant,
    batch_within: Duration,
    slice_within: Duration,
    fanout_min: usize,
    fanout_slice: usize,
    /// Events of our own making: the inbox is bounded, and we are the one who empties it.
    own: VecDeque<Event>,
    /// What the engine left for later, so that others are served first.
    later: VecDeque<Event>,
    /// For how many rounds that has been put off, and what peers bring at once.
    put_off: usize,
    /// When it slept last.
    rested: Instant,
    /// Taken from the inbox, and next.
    prompt: VecDeque<Event>,
    /// What has yet to be queued for some who hear it.
    fanouts: Fanouts,
    /// Connections with something to send at once, and those whose turn comes.
    at_once: Vec<Arc<Conn>>,
    in_turn: VecDeque<Arc<Conn>>,
    /// Effects that must wait until no lock is held.
    chores: Vec<Effect>,
    /// How much room for messages is taken by the lines that were stepped through.
    taken: usize,
    /// Connections whose own threads are done.
    closed: Vec<ConnId>,
    /// Connections that we ended, and when they have to be gone.
    ending: VecDeque<(Instant, Weak<Conn>)>,
}

impl Router {
    pub fn new(
        shared: Arc<Shared>,
        inbox: InboxReader,
        helpers: Helpers,
        mesh: Arc<ClientConfig>,
        clock: Clock,
    ) -> Router {
        let Helpers { verifier, keeper, store, ends } = helpers;
        Router {
            shared,
            inbox,
            verifier,
            keeper,
            store,
            mesh,
            ends,
            next_tick: clock.looked() + TICK,
            batch_within: BATCH_WITHIN,
            slice_within: SLICE_WITHIN,
            fanout_min: FANOUT_MIN,
            fanout_slice: FANOUT_SLICE,
            clock,
            own: VecDeque::new(),
            later: VecDeque::new(),
            put_off: 0,
            rested: Instant::now(),
            prompt: VecDeque::new(),
            fanouts: Fanouts::default(),
            at_once: Vec::new(),
            in_turn: VecDeque::new(),
            chores: Vec::new(),
            taken: 0,
            closed: Vec::new(),
            ending: VecDeque::new(),
        }
    }

    /// Works until all connections are gone and the server has said that it is finished.
    pub fn run(mut self) {
        loop {
            self.wait();
            self.round();
            self.end_the_late(Instant::now());
            if self.shared.finished.load(Ordering::Acquire) && self.has_said_all() && self.inbox.is_empty() {
                return;
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) {
        if self.own.is_empty() && self.later.is_empty() && self.has_said_all() {
            self.inbox.wait(self.next_tick);
            self.rested = Instant::now();
        }
    }

    /// Whether nothing waits that came from the inbox, or that came of it.
    fn has_said_all(&self) -> bool {
        self.prompt.is_empty() && self.fanouts.is_empty() && self.in_turn.is_empty()
    }

    /// All who keep within their bounds; some of what peers bring at once; one event of somebody who does not keep within
    /// them; one slice of what takes long, and one of what goes to many. Each of the five goes on in every round, whatever
    /// there is of the others, save that what takes long and what peers bring let what goes to thousands be queued first.
    fn round(&mut self) {
        let batch_began = Instant::now();
        let lines = self.batch();
        // One event can take long by itself, as when a server of thousands comes into sight.
        let was_long = batch_began.elapsed() > self.batch_within.saturating_add(self.slice_within);
        self.carry_out();
        let began = Instant::now();
        let may_wait = self.put_off < PUT_OFF_MAX;
        let burst_waits = may_wait && self.fanouts.left() > self.fanout_slice;
        let later_waits = burst_waits || may_wait && was_long;
        self.put_off = if later_waits { self.put_off + 1 } else { 0 };
        let was_burst = !burst_waits && self.burst(lines);
        if let Some(event) = self.inbox.take(Lane::Patient) {
            self.step_patient(event);
            self.carry_out();
        }
        if !later_waits && let Some(event) = self.later.pop_front() {
            self.step_through(event, 0, |_| None);
            self.carry_out();
        }
        self.fan_out_slice();
        self.flush_slice(began, SLICE_SENDS + lines * SLICE_SENDS_PER_LINE);
        if was_burst || !self.later.is_empty() || !self.has_said_all() {
            self.let_others_work();
        }
    }

    /// A thread that has just been woken by what somebody says, where this one works, would otherwise wait for as long as
    /// the system lets one work that has much to do: some milliseconds. To yield is not enough always: the system may
    /// find that it is this one's turn still.
    fn let_others_work(&mut self) {
        if self.rested.elapsed() < REST_EVERY {
            thread::yield_now();
        } else {
            thread::sleep(REST);
            self.rested = Instant::now();
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        // However much there is to do, time passes.
        if Instant::now() >= self.next_tick {
            return Some(Event::Tick);
        }
        self.own.pop_front().or_else(|| {
            self.inbox.take_prompt(&mut self.prompt);
            self.prompt.pop_front()
        })
    }

    /// All who keep within their bounds. Returns how many lines that were.
    fn batch(&mut self) -> usize {
        let Some(first) = self.next_event() else { return 0 };
        Counters::count(&self.shared.counters.batches, 1);
        self.step_through(first, LINES_PER_BATCH, |router| {
            router.inbox.take_prompt(&mut router.prompt);
            router.prompt.pop_front()
        })
    }

    /// Some of what peers bring at once: as many lines as came of others, and at least one piece of it. So a server that
    /// gets what it has missed answers its people in between, and one whose people are loud still gets it.
    /// Returns whether there was any of it.
    fn burst(&mut self, lines_max: usize) -> bool {
        let Some(first) = self.inbox.take(Lane::Burst) else { return false };
        self.step_through(first, lines_max, |router| router.inbox.take(Lane::Burst));
        self.carry_out();
        true
    }

    /// Steps the engine through what waits, up to so many lines, and queues what it says. Returns how many lines that were.
    fn step_through(
        &mut self,
        first: Event,
        lines_max: usize,
        next: impl Fn(&mut Router) -> Option<Event>,
    ) -> usize {
        let shared = self.shared.clone();
        let mut engine = shared.engine.write();
        let connections = shared.connections.read();
        let began = Instant::now();
        let now = self.clock.now(began);
        let (mut events, mut lines) = (0, 0);
        let mut event = Some(first);
        while let Some(one) = event {
            events += 1;
            lines += weight(&one);
            self.step(&mut engine, now, one, &connections, Due::AtOnce);
            if lines >= lines_max || began.elapsed() >= self.batch_within {
                break;
            }
            event = next(self);
        }
        Counters::count(&shared.counters.events, events);
        lines
    }

    fn step_patient(&mut self, event: Event) {
        let shared = self.shared.clone();
        let mut engine = shared.engine.write();
        let connections = shared.connections.read();
        let now = self.clock.now(Instant::now());
        self.step(&mut engine, now, event, &connections, Due::InTurn);
        Counters::count(&shared.counters.events, 1);
        Counters::count(&shared.counters.patient_events, 1);
    }

    fn step(&mut self, engine: &mut Engine, now: Now, event: Event, connections: &Connections, due: Due) {
        self.note(&event, connections);
        for effect in step(engine, now, event) {
            self.queue(effect, connections, due);
        }
    }

    /// Does what was asked for, now that no lock is held.
    fn carry_out(&mut self) {
        for conn in self.at_once.drain(..) {
            conn.flush(&self.shared);
        }
        for effect in std::mem::take(&mut self.chores) {
            self.see_to(effect);
        }
        // Only now: what has come of it was handed over.
        self.shared.room.taken(std::mem::take(&mut self.taken));
        for conn in self.closed.drain(..) {
            self.shared.forget(conn);
        }
    }

    /// Lets out what goes to many, for so many of them, or for fewer where this began long ago.
    fn flush_slice(&mut self, began: Instant, sends_max: usize) {
        let within =
            self.slice_within.saturating_sub(began.elapsed()).max(self.slice_within / SLICE_PART_MIN);
        let (mut sends, began) = (0, Instant::now());
        while sends < sends_max
            && (sends == 0 || began.elapsed() < within)
            && let Some(conn) = self.in_turn.pop_front()
        {
            // Some were in a hurry meanwhile, and had all of it.
            sends += usize::from(conn.flush(&self.shared));
        }
    }

    /// Queues what goes to thousands, for so many of them.
    fn fan_out_slice(&mut self) {
        if !self.fanouts.is_empty() {
            let shared = self.shared.clone();
            self.fan_out_to(self.fanout_slice, &shared.connections.read());
        }
    }

    fn fan_out_to(&mut self, most: usize, connections: &Connections) {
        let mut rest = most;
        while rest > 0
            && let Some((to, said)) = self.fanouts.next(rest)
        {
            rest = rest.saturating_sub(to.len().max(1));
            to.into_iter().for_each(|to| self.append_said(to, &said, connections, Due::InTurn));
        }
    }

    /// What an event means to the edge itself.
    fn note(&mut self, event: &Event, connections: &Connections) {
        if let Event::Opened { conn, .. }
        | Event::Lines { conn, .. }
        | Event::Slowed { conn }
        | Event::Closed { conn, .. } = event
            && let Some(conn) = connections.get(*conn)
        {
            conn.leave_lane();
        }
        match event {
            Event::Lines { lines, .. } => self.taken += lines.weight(),
            Event::Tick => self.next_tick = Instant::now() + TICK,
            Event::Closed { conn, .. } => {
                self.settle(*conn, connections);
                self.closed.push(*conn);
            }
            Event::Configured { outcome: Ok(config), .. } => {
                *self.shared.limits.write() = Arc::new(config.limits.clone());
                *self.shared.gateways.write() = config.gateway.as_slice().into();
                *self.shared.dns.write() = Arc::new(config.dns.clone());
                *self.shared.history.write() = Arc::new(config.history.clone());
            }
            _ => {}
        }
    }

    fn queue(&mut self, effect: Effect, connections: &Connections, due: Due) {
        match effect {
            Effect::Send { to, line } => {
                self.settle(to, connections);
                self.append(to, connections, due, |conn, shared| conn.append(&line, due, shared));
            }
            Effect::SendAll { to, line } => {
                let due = if to.len() > AUDIENCE_AT_ONCE_MAX { Due::InTurn } else { due };
                self.fan_out(to, Said::Line(line), connections, due);
            }
            // Much for each of them, or else it would be lines.
            Effect::SendBundle { to, bundle } => {
                self.fan_out(to, Said::Bundle(bundle), connections, Due::InTurn);
            }
            Effect::SendApart { to, line } => {
                self.settle(to, connections);
                self.append(to, connections, due, |conn, shared| conn.append_apart(&line, due, shared));
            }
            Effect::Compress { conn } => {
                self.settle(conn, connections);
                if let Some(conn) = connections.get(conn) {
                    conn.compress();
                }
            }
            Effect::Unhurried { conn, on } => {
                if let Some(conn) = connections.get(conn) {
                    conn.set_unhurried(on);
                }
            }
            Effect::Charge { conn, lines } => {
                if let Some(conn) = connections.get(conn) {
                    conn.charge(lines);
                }
            }
            Effect::Proven { conn } => {
                // Now, before the line that tells it goes out; its place in the table can wait.
                if let Some(conn) = connections.get(conn) {
                    conn.set_proven();
                }
                self.chores.push(effect);
            }
            effect => self.chores.push(effect),
        }
    }

    /// Queues something for many, or has it queued for them in the rounds to come where they are thousands.
    fn fan_out(&mut self, to: Vec<ConnId>, said: Said, connections: &Connections, due: Due) {
        if to.len() < self.fanout_min {
            for to in to {
                self.settle(to, connections);
                self.append_said(to, &said, connections, due);
            }
            return;
        }
        let too_much = self.fanouts.left().saturating_sub(FANOUT_LEFT_MAX);
        self.fan_out_to(too_much, connections);
        self.fanouts.put(to, said);
    }

    /// Queues what somebody has yet to get, before something else is: it was said earlier.
    fn settle(&mut self, conn: ConnId, connections: &Connections) {
        if !self.fanouts.is_empty() {
            let earlier: Vec<Said> = self.fanouts.take_of(conn).collect();
            earlier.iter().for_each(|said| self.append_said(conn, said, connections, Due::InTurn));
        }
    }

    fn append_said(&mut self, to: ConnId, said: &Said, connections: &Connections, due: Due) {
        self.append(to, connections, due, |conn, shared| match said {
            Said::Line(line) => conn.append(line, due, shared),
            Said::Bundle(bundle) => conn.append_bundle(bundle, due, shared),
        });
    }

    fn append(
        &mut self,
        to: ConnId,
        connections: &Connections,
        due: Due,
        append: impl Fn(&Conn, &Shared) -> bool,
    ) {
        // Who is not in the table any more has a `Closed` on its way.
        if let Some(conn) = connections.get(to)
            && append(conn, &self.shared)
        {
            match due {
                Due::AtOnce => self.at_once.push(conn.clone()),
                Due::InTurn => self.in_turn.push_back(conn.clone()),
            }
        }
    }

    /// Effects that reach beyond the queues. None of them may block for long: everyone waits.
    fn see_to(&mut self, effect: Effect) {
        match effect {
            Effect::Send { .. }
            | Effect::SendAll { .. }
            | Effect::SendBundle { .. }
            | Effect::SendApart { .. }
            | Effect::Unhurried { .. }
            | Effect::Charge { .. }
            | Effect::Compress { .. } => unreachable!("queued in the batch"),
            Effect::Registered { conn } => self.shared.settle(conn),
            Effect::Proven { conn } => {
                if let Err(why) = self.shared.prove(conn) {
                    self.see_to(Effect::Close { conn, why: why.to_string() });
                }
            }
            Effect::Close { conn, why } => {
                let shared = self.shared.clone();
                let connections = shared.connections.read();
                self.settle(conn, &connections);
                let conn = connections.get(conn).cloned();
                drop(connections);
                if let Some(conn) = conn {
                    conn.end(&why, &self.shared);
                    self.ending.push_back((Instant::now() + CLOSE_WITHIN, Arc::downgrade(&conn)));
                }
            }
            Effect::Dial { ask, name, address, pin } => {
                let call = Call { ask, name, address, pin };
                if let Err(why) = link::dial(&self.shared, &self.mesh, call) {
                    self.own.push_back(Event::DialFailed { ask, why });
                }
            }
            Effect::Verify { ask, given, known } => self.check(Check { ask, given, what: What::Is(known) }),
            Effect::Match { ask, given, known } => self.check(Check { ask, given, what: What::Makes(known) }),
            Effect::CheckToken { ask, token, tokens, now } => {
                self.check(Check { ask, given: token, what: What::Token(tokens, now) });
            }
            Effect::Hash { ask, password } => self.check(Check { ask, given: password, what: What::Hash }),
            Effect::Count { ask, conn, from } => {
                let limits = self.shared.limits();
                let counted = self.shared.arrivals.lock().correct(conn, from, &limits, Instant::now());
                let refused = counted.err().map(|no_room| no_room.to_string());
                self.own.push_back(Event::Counted { ask, refused });
            }
            Effect::GoOn { ask } => self.later.push_back(Event::GoOn { ask }),
            Effect::Measure { ask } => {
                let connections = self.shared.connections.read();
                let mut traffic: Vec<_> = connections.iter().map(|conn| conn.traffic()).collect();
                traffic.sort_unstable_by_key(|traffic| traffic.conn);
                self.own.push_back(Event::Measured { ask, traffic });
            }
            Effect::ReadConfig { ask } => self.keep(Task::ReadConfig { ask }),
            Effect::KeepClock { ms } => self.keep(Task::KeepClock { ms }),
            Effect::KeepSecrets { secrets } => self.keep(Task::KeepSecrets { secrets }),
            Effect::KeepEpoch { epoch } => self.keep(Task::KeepEpoch { epoch }),
            Effect::Keep { number, rows } => {
                self.store.keep(Batch { number, rows });
            }
            Effect::Record { number, entries } => {
                if let Err(entries) = self.store.record(number, entries) {
                    self.own.push_back(Event::NotRecorded { number, entries });
                }
            }
            Effect::Recall { ask, query } => {
                if !self.store.recall(ask, query) {
                    let outcome = Err("too many look into the store".to_string());
                    self.own.push_back(Event::Recalled { ask, outcome, is_cut: false });
                }
            }
            // Whoever waits for it is gone only when the end has come already.
            Effect::End { why, again } => drop(self.ends.send(End { why, again })),
            Effect::Note { level, topic, text } => log::log!(target: topic.target(), level, "{text}"),
        }
    }

    fn check(&mut self, check: Check) {
        if let Some(no) = self.verifier.ask(check) {
            log::warn!(target: "folkmoot::server", "too many passwords wait to be checked: one was refused");
            self.own.push_back(no);
        }
    }

    fn keep(&self, task: Task) {
        self.keeper.send(task).expect("the keeper works until the router is gone");
    }

    /// Cuts off those who were told to go and stay.
    fn end_the_late(&mut self, now: Instant) {
        while self.ending.front().is_some_and(|(deadline, _)| *deadline <= now) {
            if let Some(conn) = self.ending.pop_front().and_then(|(_, conn)| conn.upgrade()) {
                conn.kill("Closed");
            }
        }
    }
}

/// One event through the engine. A bug in there ends the process, and the log says what led to it.
fn step(engine: &mut Engine, now: Now, event: Event) -> Vec<Effect> {
    let suspect = Suspect::of(&event);
    catch_unwind(AssertUnwindSafe(|| engine.step(now, event))).unwrap_or_else(|panic| {
        give_up(&format!("the engine met a bug: {} event={suspect:?}", panic_text(&*panic)));
    })
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Lines { lines, .. } => lines.iter().count(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
