//! Some engines, the wires between them with every fault that wires have, and clients who check what they hear.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot::config::{self, Config, Operator, OperatorClass};
use folkmoot::engine::{AskId, ConnId, Effect, Engine, Event, Identity, Origin, Pin};
use folkmoot::wire::line::Lines;
use folkmoot::wire::names::{ServerId, ServerName};
use folkmoot::wire::time::{Now, Timestamp};

use super::dice::Dice;
use super::disk::Disk;
use super::shadow::Shadow;

const TICK_MS: u64 = 250;

/// Who may be an operator, on every server and with any password.
pub const OPERATOR: &str = "warden";

/// The wall clock at the beginning.
const BEGINNING_MS: u64 = 1_000_000_000_000;

pub struct World {
    pub dice: Dice,
    pub now_ms: u64,
    pub servers: Vec<Machine>,
    /// Which servers have a cable between them; and whether it is whole.
    pub cables: BTreeMap<(usize, usize), Cable>,
    pub clients: BTreeMap<(usize, ConnId), Shadow>,
    /// What clients said back to the test: lines of the last questions.
    pub answers: BTreeMap<(usize, ConnId), Vec<String>>,
    /// Lines between servers that carried an event, and when the last of them was sent.
    pub events_sent: u64,
    pub last_event_ms: u64,
    pub fault: Option<String>,
    pub trace: bool,
    wires: BTreeMap<(usize, ConnId), Wire>,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    due: BTreeMap<u64, Due>,
    last_due: u64,
    last_conn: u64,
}

/// One server: its mind, and what a disk would keep.
pub struct Machine {
    pub engine: Option<Engine>,
    pub runs: u32,
    identity: Identity,
    config: Config,
    disk: Disk,
    wall_ahead_ms: i64,
    started_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cable {
    Whole,
    /// Both ends notice.
    Cut,
    /// Nothing arrives, and nobody is told.
    Silent,
    /// The same from the lower end to the upper one only.
    Half,
}

/// One direction of a connection between servers: what is under way arrives in order.
struct Wire {
    far: (usize, ConnId),
    delay_ms: u64,
    under_way: VecDeque<(u64, String)>,
}

enum Due {
    Tick(usize),
    Arrive((usize, ConnId)),
    Closed((usize, ConnId), String),
    Failed(usize, AskId),
    /// A batch of that run is on disk.
    Kept(usize, u32, u64),
    Opened(usize, Event),
}

impl World {
    pub fn new(seed: u64, trace: bool) -> World {
        let mut dice = Dice::new(seed);
        let count = 2 + dice.below(5) as usize;
        let mut cables = BTreeMap::new();
        for a in 0..count {
            for b in a + 1..count {
                // A line through all, so that all can meet, and some ways around.
                if b == a + 1 || dice.one_in(3) {
                    cables.insert((a, b), Cable::Whole);
                }
            }
        }
        let (hold, forget_after) = (1 + dice.below(12), 30 + dice.below(120));
        // With few, whoever missed more has to compare all that both know.
        let (events_kept, messages_kept) = match dice.below(3) {
            0 => (0, 2),
            1 => (dice.below(8) as usize, 10_000),
            _ => (2_000, 10_000),
        };
        let servers = (0..count).map(|number| {
            let mut config = Config::default();
            config.limits.flood = false;
            config.limits.events_kept = events_kept;
            config.limits.messages_kept = messages_kept;
            let (name, class) = (OPERATOR.to_string(), "everything".to_string());
            config.operator_class.insert(class.clone(), OperatorClass { rights: vec!["all".into()] });
            config.operator.push(Operator { name, password: "any".into(), class });
            config.network.hold = Duration::from_secs(hold);
            config.network.forget_after = Duration::from_secs(forget_after);
            for &(a, b) in cables.keys().filter(|(a, b)| *a == number || *b == number) {
                let other = if a == number { b } else { a };
                config.link.push(config::Link {
                    name: format!("s{other}.lan"),
                    address: address(other).to_string(),
                    pin: None,
                    connect: true,
                });
            }
            Machine {
                engine: None,
                runs: 0,
                identity: identity(number),
                config,
                disk: Disk::default(),
                wall_ahead_ms: dice.below(6_000) as i64 - 3_000,
                started_ms: 0,
            }
        });
        let servers = servers.collect();
        let mut world = World {
            dice,
            now_ms: 0,
            servers,
            cables,
            clients: BTreeMap::new(),
            answers: BTreeMap::new(),
            events_sent: 0,
            last_event_ms: 0,
            fault: None,
            trace,
            wires: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            due: BTreeMap::new(),
            last_due: 0,
            last_conn: 0,
        };
        (0..count).for_each(|server| world.start(server));
        world
    }

    // Servers.

    pub fn is_running(&self, server: usize) -> bool {
        self.servers[server].engine.is_some()
    }

    /// Starts a server, or starts it again with what it had on disk.
    pub fn start(&mut self, server: usize) {
        let seed = self.dice.number();
        let machine = &mut self.servers[server];
        machine.runs += 1;
        machine.started_ms = self.now_ms;
        machine.identity.epoch += 1;
        machine.identity.seed = std::array::from_fn(|place| (seed >> (place % 8 * 8)) as u8);
        let now = machine.now(self.now_ms);
        let stored = machine.disk.open();
        let engine = Engine::restored(machine.config.clone(), machine.identity.clone(), &stored, now);
        machine.engine = Some(engine.expect("a server reads what it wrote"));
        self.say(format_args!("s{server} starts"));
        self.plan(TICK_MS, Due::Tick(server));
    }

    /// Ends a server well: it says goodbye, and what it said still arrives where cables are whole.
    pub fn stop(&mut self, server: usize) {
        self.say(format_args!("s{server} stops"));
        self.step(server, Event::Stop { why: "Stopped".into() });
        self.servers[server].disk.close();
        self.servers[server].engine = None;
        self.clients.retain(|(at, _), _| *at != server);
    }

    /// Sets a server's wall clock anew, forward or back, by less than peers put up with.
    pub fn set_clock(&mut self, server: usize) {
        let ahead_ms = self.dice.below(6_000) as i64 - 3_000;
        self.say(format_args!("s{server} has its clock set to {ahead_ms} ms ahead"));
        self.servers[server].wall_ahead_ms = ahead_ms;
    }

    /// Ends a server without a word. Its peers notice, or have to find out.
    pub fn crash(&mut self, server: usize) {
        self.say(format_args!("s{server} crashes"));
        self.servers[server].engine = None;
        self.clients.retain(|(at, _), _| *at != server);
        let ends: Vec<_> = self.wires.keys().copied().filter(|(at, _)| *at == server).collect();
        for end in ends {
            let wire = self.wires.remove(&end).expect("it was found there");
            self.wires.remove(&wire.far);
            let after_ms = self.dice.below(2_000);
            self.plan(after_ms, Due::Closed(wire.far, "Connection reset".into()));
        }
    }

    // Cables.

    pub fn set_cable(&mut self, ends: (usize, usize), cable: Cable) {
        self.say(format_args!("s{} - s{} {cable:?}", ends.0, ends.1));
        self.cables.insert(ends, cable);
        if !matches!(cable, Cable::Silent | Cable::Half) {
            // A wire that was silent has lost something, so it never becomes whole again.
            let gone = self.wires.iter().filter(|((near, _), wire)| (*near, wire.far.0) == ends);
            let gone: Vec<_> = gone.map(|(near, wire)| (*near, wire.far)).collect();
            for (near, far) in gone {
                if cable == Cable::Cut {
                    self.wires.remove(&near);
                    self.wires.remove(&far);
                    for end in [near, far] {
                        let after_ms = self.dice.below(1_500);
                        self.plan(after_ms, Due::Closed(end, "Connection reset".into()));
                    }
                }
            }
        }
    }

    fn cable(&self, a: usize, b: usize) -> Cable {
        self.cables.get(&(a.min(b), a.max(b))).copied().unwrap_or(Cable::Cut)
    }

    /// Whether what one server says arrives at another.
    fn carries(&self, from: usize, to: usize) -> bool {
        match self.cable(from, to) {
            Cable::Silent => false,
            Cable::Half => from > to,
            Cable::Whole | Cable::Cut => true,
        }
    }

    // Clients.

    /// Somebody connects and registers.
    pub fn arrive(&mut self, server: usize, nick: &str, caps: &str) -> (usize, ConnId) {
        let client = (server, self.next_conn());
        self.clients.insert(client, Shadow::new(caps.contains("multi-prefix")));
        let from = Origin::Client { address: "10.9.0.1:5000".parse().expect("fixed"), secure: None };
        self.step(server, Event::Opened { conn: client.1, from });
        if !caps.is_empty() {
            self.speak(client, &format!("CAP REQ :{caps}"));
            self.speak(client, "CAP END");
        }
        self.speak(client, &format!("NICK {nick}"));
        // Some are the same person as another, as far as a server can tell.
        let username = self.dice.below(6);
        self.speak(client, &format!("USER u{username} 0 * :{nick}"));
        client
    }

    pub fn speak(&mut self, client: (usize, ConnId), line: &str) {
        if self.clients.contains_key(&client) {
            self.step(client.0, Event::Lines { conn: client.1, lines: Lines::from(line) });
        }
    }

    /// A question, and all lines that come back in the same step.
    pub fn ask(&mut self, client: (usize, ConnId), line: &str) -> Vec<String> {
        self.answers.insert(client, Vec::new());
        self.speak(client, line);
        self.answers.remove(&client).unwrap_or_default()
    }

    pub fn hang_up(&mut self, client: (usize, ConnId)) {
        if self.clients.remove(&client).is_some() {
            self.step(client.0, Event::Closed { conn: client.1, why: "Connection closed".into() });
        }
    }

    fn next_conn(&mut self) -> ConnId {
        self.last_conn += 1;
        ConnId(self.last_conn)
    }

    // Time.

    /// Lets everything happen that is due in this time.
    pub fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some(&Reverse((at_ms, _))) = self.agenda.peek()
            && at_ms <= end_ms
            && self.fault.is_none()
        {
            let Reverse((at_ms, number)) = self.agenda.pop().expect("it was just seen");
            self.now_ms = at_ms;
            if let Some(due) = self.due.remove(&number) {
                self.happen(due);
            }
        }
        self.now_ms = end_ms;
    }

    fn plan(&mut self, after_ms: u64, due: Due) {
        self.last_due += 1;
        self.agenda.push(Reverse((self.now_ms + after_ms, self.last_due)));
        self.due.insert(self.last_due, due);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Tick(server) => {
                if self.is_running(server) {
                    self.step(server, Event::Tick);
                    // One chain of ticks for each run.
                    self.plan(TICK_MS, Due::Tick(server));
                }
            }
            Due::Arrive(near) => {
                let Some(wire) = self.wires.get_mut(&near) else { return };
                let far = wire.far;
                let Some((_, line)) = wire.under_way.pop_front() else { return };
                if self.carries(near.0, far.0) {
                    self.step(far.0, Event::Lines { conn: far.1, lines: Lines::from(line.as_str()) });
                } else {
                    self.go_silent(near);
                }
            }
            Due::Closed((server, conn), why) => self.step(server, Event::Closed { conn, why }),
            Due::Failed(server, ask) => {
                self.step(server, Event::DialFailed { ask, why: "no way there".into() });
            }
            Due::Opened(server, event) => self.step(server, event),
            Due::Kept(server, run, number) => {
                let machine = &mut self.servers[server];
                if machine.runs == run && machine.engine.is_some() {
                    machine.disk.sync(number);
                    self.step(server, Event::Kept { number });
                }
            }
        }
    }

    /// What is lost on a silent wire is lost for good: nothing after it arrives either.
    fn go_silent(&mut self, near: (usize, ConnId)) {
        if let Some(wire) = self.wires.get_mut(&near) {
            wire.under_way.clear();
            wire.delay_ms = u64::MAX;
        }
    }

    // What engines do.

    fn step(&mut self, server: usize, event: Event) {
        if self.trace && !matches!(event, Event::Tick) {
            self.say(format_args!("s{server} <= {event:?}"));
        }
        let now = self.servers[server].now(self.now_ms);
        let Some(engine) = self.servers[server].engine.as_mut() else { return };
        let mut chores = Vec::new();
        for effect in engine.step(now, event) {
            match effect {
                Effect::Send { to, line } => self.send((server, to), &line),
                Effect::SendAll { to, line } => to.into_iter().for_each(|to| self.send((server, to), &line)),
                effect => chores.push(effect),
            }
        }
        chores.into_iter().for_each(|effect| self.see_to(server, effect));
    }

    fn see_to(&mut self, server: usize, effect: Effect) {
        match effect {
            Effect::Close { conn, why } => self.close((server, conn), why),
            Effect::Dial { ask, address, .. } => self.dial(server, ask, &address),
            Effect::KeepClock { ms } => self.servers[server].identity.clock_floor_ms = ms,
            Effect::KeepEpoch { epoch } => self.servers[server].identity.epoch = epoch,
            Effect::Verify { ask, .. } => self.step(server, Event::Verified { ask, right: true }),
            Effect::Keep { number, rows } => {
                self.servers[server].disk.write(number, rows);
                let run = self.servers[server].runs;
                // Mostly at once; some disks are slow at times.
                let within_ms = if self.dice.one_in(8) { 5_000 } else { 30 };
                let after_ms = 1 + self.dice.below(within_ms);
                self.plan(after_ms, Due::Kept(server, run, number));
            }
            Effect::Note { level, text, .. } => self.say(format_args!("s{server} {level} {text}")),
            _ => {}
        }
    }

    fn send(&mut self, from: (usize, ConnId), line: &str) {
        if let Some(wire) = self.wires.get_mut(&from) {
            if line.starts_with("@dot=") {
                self.events_sent += 1;
                self.last_event_ms = self.now_ms;
            }
            if wire.delay_ms == u64::MAX {
                return;
            }
            let at_ms = self.now_ms + 1 + self.dice.below(wire.delay_ms);
            let at_ms = wire.under_way.back().map_or(at_ms, |(last, _)| at_ms.max(*last));
            wire.under_way.push_back((at_ms, line.to_string()));
            self.plan(at_ms - self.now_ms, Due::Arrive(from));
            return;
        }
        if let Some(answers) = self.answers.get_mut(&from) {
            answers.push(line.to_string());
        }
        let Some(shadow) = self.clients.get_mut(&from) else { return };
        let outcome = shadow.hear(line);
        let strangers = std::mem::take(&mut shadow.strangers);
        if let Err(why) = outcome {
            self.object(from.0, &why);
        }
        // Who joined, spoke and left while two servers were apart may be heard of by what they said alone.
        for (author, channel) in strangers {
            let mut clients = self.clients.iter();
            let stayed = clients.find(|((server, conn), _)| format!("{server}:{}", conn.0) == author);
            // On the author's own server everything happens at once: there nobody speaks who is gone.
            let is_ghost = stayed.is_none() && author.starts_with(&format!("{}:", from.0));
            if is_ghost || stayed.is_some_and(|(_, shadow)| !shadow.left.contains(&channel)) {
                self.object(from.0, &format!("{author} was never on {channel}: {line}"));
            }
        }
        if self.trace {
            self.say(format_args!("   s{}:{} < {line}", from.0, from.1.0));
        }
        if line.starts_with("PING ") {
            // A client answers by itself.
            let event =
                Event::Lines { conn: from.1, lines: Lines::from(line.replace("PING", "PONG").as_str()) };
            self.plan(1, Due::Opened(from.0, event));
        }
    }

    fn close(&mut self, end: (usize, ConnId), why: String) {
        if self.clients.remove(&end).is_some() {
            return self.plan(1, Due::Closed(end, why));
        }
        if let Some(wire) = self.wires.remove(&end) {
            // What was sent before still arrives, and then the end; unless the cable is silent.
            let far = wire.far;
            let last_ms = wire.under_way.back().map_or(self.now_ms, |(at_ms, _)| *at_ms);
            let is_heard = wire.delay_ms != u64::MAX && self.carries(end.0, far.0);
            if is_heard {
                for (at_ms, line) in wire.under_way {
                    let lines = Lines::from(line.as_str());
                    self.plan(
                        at_ms - self.now_ms.min(at_ms),
                        Due::Opened(far.0, Event::Lines { conn: far.1, lines }),
                    );
                }
                self.plan(
                    last_ms.saturating_sub(self.now_ms) + 1,
                    Due::Closed(far, "Connection closed".into()),
                );
                self.wires.remove(&far);
            }
            self.plan(1, Due::Closed(end, why));
        }
    }

    fn dial(&mut self, server: usize, ask: AskId, place: &str) {
        let called = (0..self.servers.len()).find(|number| address(*number).to_string() == place);
        let called = called.filter(|called| self.is_running(*called));
        let called = called.filter(|called| self.cable(server, *called) == Cable::Whole);
        let after_ms = 1 + self.dice.below(100);
        let Some(called) = called else { return self.plan(after_ms, Due::Failed(server, ask)) };
        let (near, far) = ((server, self.next_conn()), (called, self.next_conn()));
        // Some links are slow, and stay so.
        let delay_ms = if self.dice.one_in(4) { 800 } else { 40 };
        for (end, other) in [(near, far), (far, near)] {
            self.wires.insert(end, Wire { far: other, delay_ms, under_way: VecDeque::new() });
        }
        let exporter = [near.1.0 as u8; 32];
        for (end, other, dialled) in [(far, near, None), (near, far, Some(ask))] {
            let from = Origin::Peer { address: address(other.0), dialled, pin: pin(other.0), exporter };
            self.plan(0, Due::Opened(end.0, Event::Opened { conn: end.1, from }));
        }
    }

    /// Something is not right; the first of it counts.
    fn object(&mut self, server: usize, why: &str) {
        let why = format!("at {} ms, s{server}: {why}", self.now_ms);
        self.say(format_args!("FAULT {why}"));
        self.fault.get_or_insert(why);
    }

    pub fn say(&self, what: std::fmt::Arguments) {
        if self.trace {
            println!("{:>7} {what}", self.now_ms);
        }
    }

    /// Nicks that some client sees twice, in any of its channels.
    pub fn doubled_nick(&self) -> Option<String> {
        self.clients.values().find_map(|shadow| {
            shadow.channels.values().find_map(|room| {
                let mut seen = BTreeSet::new();
                room.members.keys().find(|nick| !seen.insert(nick.to_ascii_lowercase())).cloned()
            })
        })
    }
}

impl Machine {
    fn now(&self, now_ms: u64) -> Now {
        let wall_ms = (BEGINNING_MS + now_ms).saturating_add_signed(self.wall_ahead_ms);
        Now { wall: Timestamp(wall_ms), steady_ms: now_ms - self.started_ms + 1_000 }
    }
}

fn identity(number: usize) -> Identity {
    Identity {
        sid: ServerId::parse(&format!("{number}AA")).expect("a digit and two letters"),
        name: ServerName::parse(&format!("s{number}.lan")).expect("letters and a dot"),
        epoch: 0,
        secret: b"the same on all of them".to_vec(),
        pin: pin(number),
        clock_floor_ms: 0,
        seed: [0; 32],
        version: "folkmoot-storm".into(),
    }
}

fn pin(number: usize) -> Pin {
    Pin([number as u8; 32])
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number as u8], 6900))
}
