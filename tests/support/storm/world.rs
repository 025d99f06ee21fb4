//! Some engines, their disks and their clocks, and the clients who check what they hear.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use folkmoot::config::{self, Config, Operator, OperatorClass};
use folkmoot::engine::{AskId, ConnId, Effect, Engine, Event, Identity, Origin, Pin, Record};
use folkmoot::wire::line::Lines;
use folkmoot::wire::names::{ServerId, ServerName};
use folkmoot::wire::time::{Now, Timestamp};

use super::credential;
use super::dice::Dice;
use super::disk::Disk;
use super::layout::Layout;
use super::ledger::Ledger;
use super::shadow::Shadow;
use super::wires::{Cable, Wires};

const TICK_MS: u64 = 250;

/// Who may be an operator, on every server and with any password.
pub const OPERATOR: &str = "warden";

/// The wall clock at the beginning.
const BEGINNING_MS: u64 = 1_000_000_000_000;

/// What a disk that was never used says of earlier runs: nobody has been before.
const FIRST_EPOCH: u32 = 30_000_000;

/// The longest that something takes to get onto a disk.
const KEEP_WITHIN_MS: u64 = 3_000;

/// How soon a guest has an answer of its home, where there is a way.
pub const GUESTS_ANSWER_MS: u64 = 2_000;

pub struct World {
    pub dice: Dice,
    pub now_ms: u64,
    pub servers: Vec<Machine>,
    pub wires: Wires,
    pub clients: BTreeMap<(usize, ConnId), Shadow>,
    /// What clients said back to the test: lines of the last questions.
    pub answers: BTreeMap<(usize, ConnId), Vec<String>>,
    /// Clients that are, or were, somebody of another server than the one that they are connected to.
    wanderers: BTreeSet<String>,
    pub ledger: Ledger,
    /// Somebody lies: nothing counts but that no engine ends, and that nothing piles up in it.
    pub anything_goes: bool,
    /// How long every disk takes to record what was said, where that is not left to chance.
    pub recorded_after_ms: Option<u64>,
    pub fault: Option<String>,
    pub trace: bool,
    /// How much of what takes long servers do at once.
    slice: usize,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    due: BTreeMap<u64, Due>,
    last_due: u64,
    last_conn: u64,
}

/// One server: its mind, and what a disk would keep.
pub struct Machine {
    pub engine: Option<Engine>,
    pub runs: u32,
    /// Epoch and clock floor are those of its disk.
    identity: Identity,
    config: Config,
    pub disk: Disk,
    wall_ahead_ms: i64,
    started_ms: u64,
    /// While it is stopped in its tracks: all that it finds when it goes on.
    backlog: Option<Vec<Event>>,
}

/// Something that will happen.
pub enum Due {
    Tick(usize, u32),
    Arrive((usize, ConnId)),
    Event(usize, Event),
    Kept(usize, u32, Kept),
    Resume(usize, u32),
    GoOn(usize, u32, AskId),
}

/// What gets onto a disk, if the server lives so long.
pub enum Kept {
    Clock(u64),
    Epoch(u32),
    /// All batches for the store up to this one.
    Batch(u64),
    /// All messages up to this number.
    Said(u64),
    /// An answer to a question.
    Recalled(AskId, Vec<Record>),
}

impl World {
    pub fn new(layout: Layout, seed: u64, trace: bool) -> World {
        let mut dice = Dice::new(seed);
        let servers = (0..layout.servers).map(|number| {
            let mut config = Config::default();
            // Who is shown a message again would have heard it twice.
            config.history.replay_on_join = 0;
            config.limits.flood = false;
            config.limits.events_kept = layout.events_kept;
            config.limits.messages_kept = layout.messages_kept;
            let (name, class) = (OPERATOR.to_string(), "everything".to_string());
            config.operator_class.insert(
                class.clone(),
                OperatorClass { rights: vec!["all".into()], ..OperatorClass::default() },
            );
            config.operator.push(Operator { name, password: "any".into(), class, vhost: None });
            config.network.hold = Duration::from_secs(layout.hold_s);
            config.network.forget_after = Duration::from_secs(layout.forget_after_s);
            for &(a, b) in layout.cables.iter().filter(|(a, b)| *a == number || *b == number) {
                let other = if a == number { b } else { a };
                config.link.push(config::Link {
                    name: format!("s{other}.lan"),
                    address: address(other).to_string(),
                    pin: None,
                    connect: true,
                });
            }
            let apart_ms = layout.clocks_apart_ms;
            Machine {
                engine: None,
                runs: 0,
                identity: identity(number),
                config,
                disk: Disk::new(FIRST_EPOCH),
                wall_ahead_ms: dice.below(2 * apart_ms + 1) as i64 - apart_ms as i64,
                started_ms: 0,
                backlog: None,
            }
        });
        let servers = servers.collect();
        World {
            dice,
            now_ms: 0,
            servers,
            wires: Wires::new(&layout),
            clients: BTreeMap::new(),
            answers: BTreeMap::new(),
            wanderers: BTreeSet::new(),
            ledger: Ledger::new(trace),
            anything_goes: false,
            recorded_after_ms: None,
            fault: None,
            trace,
            slice: layout.slice,
            agenda: BinaryHeap::new(),
            due: BTreeMap::new(),
            last_due: 0,
            last_conn: 0,
        }
    }

    // Servers.

    pub fn count(&self) -> usize {
        self.servers.len()
    }

    pub fn is_running(&self, server: usize) -> bool {
        self.servers[server].engine.is_some()
    }

    pub fn is_paused(&self, server: usize) -> bool {
        self.servers[server].backlog.is_some()
    }

    pub fn start_all(&mut self) {
        (0..self.count()).for_each(|server| self.start(server));
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
        let (run, identity) = (machine.runs, machine.identity.clone());
        let origin = format!("{}.{}", identity.sid, base36(u64::from(identity.epoch)));
        self.ledger.begin(server, origin, identity.clock_floor_ms);
        let stored = machine.disk.open(machine.config.limits.messages_kept);
        let engine = Engine::restored(machine.config.clone(), identity, &stored, now);
        let mut engine = engine.expect("a server reads what it wrote");
        engine.slice_by(self.slice);
        machine.engine = Some(engine);
        self.say(format_args!("s{server} starts"));
        self.plan(TICK_MS, Due::Tick(server, run));
    }

    /// Ends a server well: it says goodbye, what it said still arrives where cables are whole, and all
    /// that it wanted kept is kept.
    pub fn stop(&mut self, server: usize) {
        self.say(format_args!("s{server} stops"));
        self.resume(server);
        let run = self.servers[server].runs;
        self.step(server, Event::Stop { why: "Stopped".into() });
        let is_of_it = |due: &Due| matches!(due, Due::Kept(of, in_run, _) if (*of, *in_run) == (server, run));
        let kept = self.due.iter().filter(|(_, due)| is_of_it(due)).map(|(number, _)| *number);
        for number in kept.collect::<Vec<_>>() {
            let due = self.due.remove(&number).expect("it was just seen");
            self.happen(due);
        }
        self.servers[server].disk.close();
        self.end(server);
    }

    /// Ends a server without a word. Its peers notice, or have to find out; what was on its way to its
    /// disk never gets there.
    pub fn crash(&mut self, server: usize) {
        self.say(format_args!("s{server} crashes"));
        self.end(server);
        let is_noticed = !self.dice.one_in(4);
        self.unplug(server, is_noticed);
    }

    fn end(&mut self, server: usize) {
        let machine = &mut self.servers[server];
        (machine.engine, machine.backlog) = (None, None);
        self.clients.retain(|(at, _), _| *at != server);
    }

    /// A server that does not run gets a new disk, as when it is set up anew under its old name.
    pub fn lose_disk(&mut self, server: usize) {
        self.say(format_args!("s{server} has lost its disk"));
        let identity = &mut self.servers[server].identity;
        // As the program does it: nothing on the disk, so the time tells where to begin.
        let first = FIRST_EPOCH + (self.now_ms / 1_000) as u32;
        (identity.epoch, identity.clock_floor_ms) = (first, 0);
        // So it is with a store that is made anew.
        self.servers[server].disk = Disk::new(first);
    }

    /// A server that does not run gets back an old copy of its disk, from before so many runs. What it writes from
    /// now on it may have written otherwise before.
    pub fn put_back_disk(&mut self, server: usize, runs: u32) {
        self.say(format_args!("s{server} runs on from {runs} runs ago"));
        let identity = &mut self.servers[server].identity;
        (identity.epoch, identity.clock_floor_ms) = (identity.epoch - runs, 0);
        self.ledger = Ledger::new(self.trace);
    }

    /// A server that does not run gets back a copy of its store alone, from before it had written more.
    pub fn put_back_store(&mut self, server: usize, copy: Disk) {
        self.say(format_args!("s{server} runs on with a copy of its store"));
        self.servers[server].disk = copy;
        self.ledger = Ledger::new(self.trace);
    }

    /// Stops a server in its tracks: its sockets stay open, and nobody reads them.
    pub fn pause(&mut self, server: usize, ms: u64) {
        self.say(format_args!("s{server} is paused for {ms} ms"));
        self.servers[server].backlog = Some(Vec::new());
        let run = self.servers[server].runs;
        self.plan(ms, Due::Resume(server, run));
    }

    /// It finds everything at once; whether first what came or first what time it is, is chance.
    fn resume(&mut self, server: usize) {
        let Some(backlog) = self.servers[server].backlog.take() else { return };
        self.say(format_args!("s{server} goes on"));
        if self.dice.one_in(2) {
            self.step(server, Event::Tick);
        }
        backlog.into_iter().for_each(|event| self.step(server, event));
    }

    /// Sets a server's wall clock anew, forward or back, by less than peers put up with.
    pub fn set_clock(&mut self, server: usize, ahead_ms: i64) {
        self.say(format_args!("s{server} has its clock set to {ahead_ms} ms ahead"));
        self.servers[server].wall_ahead_ms = ahead_ms;
    }

    /// Has a server keep no more than so many of the latest events and messages of each server.
    pub fn trim(&mut self, server: usize, events_kept: usize, messages_kept: usize) {
        let limits = &mut self.servers[server].config.limits;
        (limits.events_kept, limits.messages_kept) = (events_kept, messages_kept);
        let outcome = Ok(Box::new(self.servers[server].config.clone()));
        self.step(server, Event::Configured { ask: None, file: "folkmoot.toml".into(), outcome });
    }

    // Clients.

    /// Somebody connects and registers.
    pub fn arrive(&mut self, server: usize, nick: &str, caps: &str) -> (usize, ConnId) {
        let client = (server, self.next_conn());
        self.clients.insert(client, Shadow::new(caps));
        let from = Origin::Client {
            address: "10.9.0.1:5000".parse().expect("fixed"),
            name: None,
            secure: None,
            // Some show who they are, and all servers are to know it.
            certificate: client.1.0.is_multiple_of(3).then_some(Pin([client.1.0 as u8; 32])),
        };
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

    /// Somebody comes who logs in first: they may be somebody who is here already.
    pub fn arrive_as(&mut self, server: usize, nick: &str, password: &str, caps: &str) -> (usize, ConnId) {
        let client = (server, self.next_conn());
        // Whoever has this asks for what was said before, and nobody here does.
        let caps = format!("{caps} sasl znc.in/playback");
        self.clients.insert(client, Shadow::new(&caps));
        let from = Origin::Client {
            address: "10.9.0.2:5000".parse().expect("fixed"),
            name: None,
            secure: None,
            certificate: None,
        };
        self.step(server, Event::Opened { conn: client.1, from });
        let login = BASE64.encode(format!("\0{nick}\0{password}"));
        for line in [
            format!("CAP REQ :{}", caps.trim_start()),
            format!("NICK {nick}"),
            format!("USER u 0 * :{nick}"),
            "AUTHENTICATE PLAIN".to_string(),
            format!("AUTHENTICATE {login}"),
            "CAP END".to_string(),
        ] {
            self.speak(client, &line);
        }
        client
    }

    pub fn speak(&mut self, client: (usize, ConnId), line: &str) {
        if self.clients.contains_key(&client) {
            self.step(client.0, Event::Lines { conn: client.1, lines: Lines::from(line) });
        }
    }

    /// Whether a client's home is another server than the one that it is connected to.
    pub fn is_guest(&self, client: (usize, ConnId)) -> bool {
        let home = self.clients.get(&client).map(|shadow| shadow.home.as_str());
        home.is_some_and(|home| !home.is_empty() && home != format!("s{}.lan", client.0))
    }

    /// A question, and all lines that come back in the same step; or, for a guest, soon.
    pub fn ask(&mut self, client: (usize, ConnId), line: &str) -> Vec<String> {
        self.answers.insert(client, Vec::new());
        self.speak(client, line);
        if self.is_guest(client) {
            self.wait(GUESTS_ANSWER_MS);
        }
        self.answers.remove(&client).unwrap_or_default()
    }

    pub fn hang_up(&mut self, client: (usize, ConnId)) {
        if self.clients.remove(&client).is_some() {
            self.step(client.0, Event::Closed { conn: client.1, why: "Connection closed".into() });
        }
    }

    pub fn next_conn(&mut self) -> ConnId {
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

    /// The wall clock, where it is right.
    pub fn wall_ms(&self) -> u64 {
        BEGINNING_MS + self.now_ms
    }

    pub fn plan(&mut self, after_ms: u64, due: Due) {
        self.last_due += 1;
        self.agenda.push(Reverse((self.now_ms + after_ms, self.last_due)));
        self.due.insert(self.last_due, due);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Tick(server, run) => {
                if self.is_running(server) && self.servers[server].runs == run {
                    if !self.is_paused(server) {
                        self.step(server, Event::Tick);
                    }
                    self.plan(TICK_MS, Due::Tick(server, run));
                }
            }
            Due::Arrive(near) => self.arrive_from(near),
            Due::Event(server, event) => self.step(server, event),
            Due::Kept(server, run, kept) => {
                let machine = &mut self.servers[server];
                if machine.engine.is_some() && machine.runs == run {
                    match kept {
                        Kept::Clock(ms) => machine.identity.clock_floor_ms = ms,
                        Kept::Epoch(epoch) => machine.identity.epoch = epoch,
                        Kept::Batch(number) => {
                            machine.disk.sync(number);
                            self.step(server, Event::Kept { number });
                        }
                        Kept::Said(number) => {
                            machine.disk.sync_said(number);
                            self.step(server, Event::Recorded { number });
                        }
                        Kept::Recalled(ask, found) => {
                            self.step(server, Event::Recalled { ask, outcome: Ok(found), is_cut: false });
                        }
                    }
                }
            }
            Due::GoOn(server, run, ask) => {
                if self.servers[server].runs == run {
                    self.step(server, Event::GoOn { ask });
                }
            }
            Due::Resume(server, run) => {
                if self.servers[server].runs == run {
                    self.resume(server);
                }
            }
        }
    }

    // What engines do.

    pub fn step(&mut self, server: usize, event: Event) {
        if let Some(backlog) = &mut self.servers[server].backlog {
            return backlog.push(event);
        }
        if self.trace && !matches!(event, Event::Tick) {
            self.say(format_args!("s{server} <= {event:?}"));
        }
        let now = self.servers[server].now(self.now_ms);
        let Some(engine) = self.servers[server].engine.as_mut() else { return };
        let effects = engine.step(now, event);
        let weighed = Ledger::weigh(engine);
        let inspected = match self.anything_goes {
            true => Ok(()),
            false => self.ledger.inspect(server, engine.figures().epoch, engine),
        };
        if let Err(why) = &weighed {
            self.fault.get_or_insert(format!("at {} ms, s{server}: {why}", self.now_ms));
        }
        if let Err(why) = inspected {
            self.object(server, &why);
        }
        let mut chores = Vec::new();
        for effect in effects {
            match effect {
                Effect::SendApart { to, line } => self.send((server, to), &line),
                Effect::Send { line, .. } | Effect::SendAll { line, .. } if credential::is_in(&line) => {
                    panic!("s{server} sends a secret among other lines: {line}");
                }
                Effect::Send { to, line } => self.send((server, to), &line),
                Effect::SendAll { to, line } => to.into_iter().for_each(|to| self.send((server, to), &line)),
                Effect::SendBundle { to, bundle } => {
                    for to in to {
                        bundle.lines().for_each(|line| self.send((server, to), line));
                    }
                }
                effect => chores.push(effect),
            }
        }
        chores.into_iter().for_each(|effect| self.see_to(server, effect));
    }

    fn see_to(&mut self, server: usize, effect: Effect) {
        match effect {
            Effect::Close { conn, why } => self.close((server, conn), why),
            Effect::Dial { ask, address, .. } => self.dial(server, ask, &address),
            Effect::KeepClock { ms } => self.keep(server, Kept::Clock(ms)),
            Effect::KeepEpoch { epoch } => self.keep(server, Kept::Epoch(epoch)),
            Effect::Verify { ask, .. } => self.step(server, Event::Verified { ask, right: true }),
            Effect::Match { ask, given, known } => {
                let right = known == credential::hash(&given);
                self.step(server, Event::Matched { ask, right, renewed: None });
            }
            Effect::Hash { ask, password } => {
                let credential = Some(credential::credential(&password));
                self.step(server, Event::Hashed { ask, credential });
            }
            Effect::GoOn { ask } => {
                let (run, after_ms) = (self.servers[server].runs, self.dice.below(4));
                self.plan(after_ms, Due::GoOn(server, run, ask));
            }
            Effect::Keep { number, rows } => {
                self.servers[server].disk.write(number, rows);
                // Mostly at once; some disks are slow at times.
                let within_ms = if self.dice.one_in(8) { 5_000 } else { 30 };
                let (run, after_ms) = (self.servers[server].runs, 1 + self.dice.below(within_ms));
                self.plan(after_ms, Due::Kept(server, run, Kept::Batch(number)));
            }
            // There is no room at times.
            Effect::Record { number, entries } if self.dice.one_in(50) => {
                self.step(server, Event::NotRecorded { number, entries });
            }
            Effect::Record { number, entries } => {
                self.servers[server].disk.record(number, entries);
                let within_ms = if self.dice.one_in(8) { 5_000 } else { 50 };
                let after_ms = self.recorded_after_ms.unwrap_or(1 + self.dice.below(within_ms));
                let run = self.servers[server].runs;
                self.plan(after_ms, Due::Kept(server, run, Kept::Said(number)));
            }
            Effect::Recall { ask, query } => {
                let found = self.servers[server].disk.recall(&query);
                let (run, after_ms) = (self.servers[server].runs, 1 + self.dice.below(30));
                self.plan(after_ms, Due::Kept(server, run, Kept::Recalled(ask, found)));
            }
            Effect::Note { level, text, .. } => {
                self.say(format_args!("s{server} {level} {text}"));
                self.know_home(server, &text);
            }
            _ => {}
        }
    }

    /// Where a client's home is from now on, which it may hear only long after its server has said so.
    fn know_home(&mut self, server: usize, text: &str) {
        let Some((conn, rest)) = text.strip_prefix("conn=").and_then(|text| text.split_once(" is a guest "))
        else {
            return;
        };
        let home = rest.split(' ').find_map(|word| word.strip_prefix("home="));
        let home = home.map_or_else(|| format!("s{server}.lan"), str::to_string);
        let conn = ConnId(conn.parse().expect("the number of a connection"));
        if let Some(shadow) = self.clients.get_mut(&(server, conn)) {
            shadow.answered_by(&home);
        }
    }

    /// Disks take their time, and do things in order.
    fn keep(&mut self, server: usize, kept: Kept) {
        let run = self.servers[server].runs;
        let after_ms = KEEP_WITHIN_MS - self.now_ms % KEEP_WITHIN_MS;
        self.plan(after_ms, Due::Kept(server, run, kept));
    }

    fn send(&mut self, from: (usize, ConnId), line: &str) {
        if self.wires.has(from) {
            if !self.anything_goes
                && let Err(why) = self.ledger.sent(line)
            {
                self.object(from.0, &why);
            }
            return self.send_to_peer(from, line);
        }
        if let Some(answers) = self.answers.get_mut(&from) {
            answers.push(line.to_string());
        }
        let Some(shadow) = self.clients.get_mut(&from) else { return };
        let outcome = shadow.hear(line);
        let (strangers, is_moved) = (std::mem::take(&mut shadow.strangers), shadow.is_moved);
        let is_guest = self.is_guest(from);
        if is_guest || is_moved {
            self.wanderers.insert(format!("{}:{}", from.0, from.1.0));
        }
        // What a guest believes in the end is looked at in the calm: where its home is lost, it hears what has become of that
        // before it can know that it was.
        if let Err(why) = outcome
            && !is_guest
            && !is_moved
        {
            self.object(from.0, &why);
        }
        // Who joined, spoke and left while two servers were apart may be heard of by what they said alone.
        let strangers = strangers.into_iter().filter(|_| !is_guest && !is_moved);
        for (author, channel) in strangers.collect::<Vec<_>>() {
            // Such a one's server is not where they speak.
            if self.wanderers.contains(&author) {
                continue;
            }
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
            let lines = Lines::from(line.replace("PING", "PONG").as_str());
            self.plan(1, Due::Event(from.0, Event::Lines { conn: from.1, lines }));
        }
    }

    fn close(&mut self, end: (usize, ConnId), why: String) {
        if self.clients.remove(&end).is_some() {
            return self.plan(1, Due::Event(end.0, Event::Closed { conn: end.1, why }));
        }
        self.close_wire(end, why);
    }

    fn dial(&mut self, server: usize, ask: AskId, place: &str) {
        let called = (0..self.count()).find(|number| address(*number).to_string() == place);
        let called = called.filter(|called| self.is_running(*called));
        let called = called.filter(|called| self.wires.cable(server, *called) == Cable::Whole);
        let after_ms = if self.wires.delay_ms.is_some() { 1 } else { 1 + self.dice.below(100) };
        let Some(called) = called else {
            let failed = Event::DialFailed { ask, why: "no way there".into() };
            return self.plan(after_ms, Due::Event(server, failed));
        };
        let (near, far) = ((server, self.next_conn()), (called, self.next_conn()));
        self.wires.join(near, far, &mut self.dice);
        let exporter = [near.1.0 as u8; 32];
        for (end, other, dialled) in [(far, near, None), (near, far, Some(ask))] {
            let from = Origin::Peer { address: address(other.0), dialled, pin: pin(other.0), exporter };
            self.plan(0, Due::Event(end.0, Event::Opened { conn: end.1, from }));
        }
    }

    /// Something is not right; the first of it counts.
    fn object(&mut self, server: usize, why: &str) {
        let why = format!("at {} ms, s{server}: {why}", self.now_ms);
        self.say(format_args!("FAULT {why}"));
        if !self.anything_goes {
            self.fault.get_or_insert(why);
        }
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
        epoch: FIRST_EPOCH,
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

pub fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((number % 36) as u32, 36).expect("below 36"));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}
