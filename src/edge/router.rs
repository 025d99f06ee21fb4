//! The one thread that steps the engine: events are drained in batches, and each recipient gets one send per batch.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustls::ClientConfig;

use super::conn::Conn;
use super::end::End;
use super::identity::wall_clock;
use super::inbox::InboxReader;
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
/// Ticks come much more often; time beyond this between two batches is time in which nobody could be heard.
const STEP_MAX: Duration = Duration::from_secs(1);
/// From here on that is worth a word.
const STILL_MAX: Duration = Duration::from_secs(2);
/// How many lines one batch takes in: enough for sends to be shared, few enough for the first of them to go out soon.
const LINES_PER_BATCH: usize = 256;
/// A line that more than so many hear goes out to them in slices, and between two of those everyone else is served.
const AUDIENCE_AT_ONCE_MAX: usize = 64;
/// How many sends a slice is: a twentieth of a millisecond or so ...
const SLICE_SENDS: usize = 8;
/// ... and how many more for each line that came in since the last one, so that what goes out keeps up with it.
const SLICE_SENDS_PER_LINE: usize = 8;
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
    /// Events of our own making: the inbox is bounded, and we are the one who empties it.
    own: VecDeque<Event>,
    /// Taken from the inbox, and next.
    prompt: VecDeque<Event>,
    /// Connections with something to send at once, and those whose turn comes.
    at_once: Vec<Arc<Conn>>,
    in_turn: VecDeque<Arc<Conn>>,
    /// Effects that must wait until no lock is held.
    chores: Vec<Effect>,
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
            next_tick: clock.looked + TICK,
            clock,
            own: VecDeque::new(),
            prompt: VecDeque::new(),
            at_once: Vec::new(),
            in_turn: VecDeque::new(),
            chores: Vec::new(),
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
            let is_idle = self.in_turn.is_empty() && self.prompt.is_empty() && self.inbox.is_empty();
            if self.shared.finished.load(Ordering::Acquire) && is_idle {
                return;
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) {
        if self.own.is_empty() && self.prompt.is_empty() && self.in_turn.is_empty() {
            self.inbox.wait(self.next_tick);
        }
    }

    /// All who keep within their bounds; one event of somebody who does not; one slice of what goes to many. Each of
    /// the three goes on in every round, whatever there is of the others.
    fn round(&mut self) {
        let lines = self.batch();
        self.carry_out();
        if let Some(event) = self.inbox.take_patient() {
            self.step_patient(event);
            self.carry_out();
        }
        self.flush_slice(SLICE_SENDS + lines * SLICE_SENDS_PER_LINE);
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

    /// Steps the engine through what waits, and queues what it says. Returns how many lines that were.
    fn batch(&mut self) -> usize {
        let Some(first) = self.next_event() else { return 0 };
        let shared = self.shared.clone();
        let mut engine = shared.engine.write();
        let connections = shared.connections.read();
        let now = self.clock.now(Instant::now());
        let (mut events, mut lines) = (0, 0);
        let mut next = Some(first);
        while let Some(event) = next {
            events += 1;
            lines += weight(&event);
            self.step(&mut engine, now, event, &connections, Due::AtOnce);
            if lines >= LINES_PER_BATCH {
                break;
            }
            self.inbox.take_prompt(&mut self.prompt);
            next = self.prompt.pop_front();
        }
        Counters::count(&shared.counters.batches, 1);
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
        for conn in self.closed.drain(..) {
            self.shared.forget(conn);
        }
    }

    /// Lets out what goes to many, for so many of them.
    fn flush_slice(&mut self, sends_max: usize) {
        let mut sends = 0;
        while sends < sends_max
            && let Some(conn) = self.in_turn.pop_front()
        {
            // Some were in a hurry meanwhile, and had all of it.
            sends += usize::from(conn.flush(&self.shared));
        }
    }

    /// What an event means to the edge itself.
    fn note(&mut self, event: &Event, connections: &Connections) {
        if let Event::Opened { conn, .. } | Event::Lines { conn, .. } | Event::Closed { conn, .. } = event
            && let Some(conn) = connections.get(*conn)
        {
            conn.leave_lane();
        }
        match event {
            Event::Tick => self.next_tick = Instant::now() + TICK,
            Event::Closed { conn, .. } => self.closed.push(*conn),
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
                self.append(to, connections, due, |conn, shared| conn.append(&line, due, shared))
            }
            Effect::SendAll { to, line } => {
                let due = if to.len() > AUDIENCE_AT_ONCE_MAX { Due::InTurn } else { due };
                for to in to {
                    self.append(to, connections, due, |conn, shared| conn.append(&line, due, shared));
                }
            }
            Effect::SendApart { to, line } => {
                self.append(to, connections, due, |conn, shared| conn.append_apart(&line, due, shared));
            }
            Effect::Compress { conn } => {
                if let Some(conn) = connections.get(conn) {
                    conn.compress();
                }
            }
            Effect::Unhurried { conn, on } => {
                if let Some(conn) = connections.get(conn) {
                    conn.set_unhurried(on);
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
            | Effect::SendApart { .. }
            | Effect::Unhurried { .. }
            | Effect::Compress { .. } => unreachable!("queued in the batch"),
            Effect::Registered { conn } => self.shared.settle(conn),
            Effect::Proven { conn } => {
                if let Err(why) = self.shared.prove(conn) {
                    self.see_to(Effect::Close { conn, why: why.to_string() });
                }
            }
            Effect::Close { conn, why } => {
                let conn = self.shared.connections.read().get(conn).cloned();
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
            Effect::Hash { ask, password } => self.check(Check { ask, given: password, what: What::Hash }),
            Effect::Count { ask, conn, from } => {
                let limits = self.shared.limits();
                let counted = self.shared.arrivals.lock().correct(conn, from, &limits, Instant::now());
                let refused = counted.err().map(|no_room| no_room.to_string());
                self.own.push_back(Event::Counted { ask, refused });
            }
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
                    self.own.push_back(Event::Recalled { ask, outcome });
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

/// Time as the engine gets it: the clock on the wall, and one that only runs while the router does.
///
/// While this server stood still it heard nobody, so nobody was silent for that long: neither clients nor links are to
/// be given up for it.
pub struct Clock {
    steady: Duration,
    looked: Instant,
}

impl Clock {
    pub fn new(started: Instant) -> Clock {
        Clock { steady: Duration::ZERO, looked: started }
    }

    pub fn now(&mut self, now: Instant) -> Now {
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        self.steady += passed.min(STEP_MAX);
        if passed > STILL_MAX {
            log::warn!(
                target: "folkmoot::server",
                "this server stood still, as the machine was paused or has too much to do: seconds={}", passed.as_secs()
            );
        }
        Now { wall: wall_clock(), steady_ms: u64::try_from(self.steady.as_millis()).unwrap_or(u64::MAX) }
    }
}

#[cfg(test)]
mod tests {
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
        let (store, _) = store::desk();
        let helpers = Helpers { verifier, keeper, store, ends: ends().0 };
        (Router::new(shared, events, helpers, mesh, Clock::new(Instant::now())), checks, tasks)
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
        router.flush_slice(SLICE_SENDS);
        assert_eq!(router.in_turn.len(), to.len() - SLICE_SENDS);
        // A word to one of those who wait goes out now, behind what that one has waited for.
        carry_out(&mut router, [Effect::Send { to: last, line: "to one".into() }]);
        last_hears.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut heard = [0; 16];
        last_hears.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"to all\r\nto one\r\n");
        // Whoever had all of it is no send any more.
        router.flush_slice(to.len() - SLICE_SENDS - 1);
        router.flush_slice(1);
        assert!(router.in_turn.is_empty());
        drop(router);
        for (_, mut hears) in crowd.into_iter().filter(|(conn, _)| *conn != last) {
            let mut line = [0; 8];
            hears.read_exact(&mut line).unwrap();
            assert_eq!(&line, b"to all\r\n");
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
        router.shared.tell_of(&loud, said(&loud, "PING 3"));
        router.round();
        assert_eq!(
            (taken(&router), router.inbox.is_empty()),
            (3, true),
            "nothing waits: it is as everybody else"
        );
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
    fn while_the_server_stands_still_nobody_is_silent() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let mut steady_ms = |after_ms| clock.now(start + Duration::from_millis(after_ms)).steady_ms;
        assert_eq!(steady_ms(250), 250);
        assert_eq!(steady_ms(60_250), 1_250);
        assert_eq!(steady_ms(60_500), 1_500);
        // Two looks at one clock may come in any order.
        assert_eq!(steady_ms(60_400), 1_500);
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
}
