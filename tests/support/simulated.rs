//! A stage inside this process: one engine a server, and a network that delivers everything in the order it was sent.
//! Time passes only when a transcript says so, and every run is the same.

#[path = "credential.rs"]
mod credential;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use folkmoot::config::{self, Config};
use folkmoot::edge::bearer;
use folkmoot::engine::{AskId, ConnId, Effect, Engine, Event, Identity, Origin, Pin, Traffic};
use folkmoot::wire::line::{Framer, Limits, Lines};
use folkmoot::wire::names::{ServerId, ServerName};
use folkmoot::wire::time::{Now, Timestamp};

use crate::dice::Dice;
use crate::disk::Disk;
use crate::support::stage::{Door, Heard, Outcome, Stage};

/// As often as the router gives one.
const TICK_MS: u64 = 250;
/// When every simulation begins: noon on 1 January 2026.
const BEGINNING_MS: u64 = 1_767_268_800_000;
/// How far each server's wall clock is ahead of the one started before it, so that no two agree by chance.
const SKEW_MS: u64 = 3;
/// Whatever is said is said later than what was said before it, by any server's clock.
const BETWEEN_LINES_MS: u64 = 50;
/// A network that has not come to rest after so many events never will.
const EVENTS_MAX: usize = 100_000;

/// One end of a connection: the server, and what it calls the connection.
type End = (String, ConnId);

#[derive(Default)]
pub struct Simulated {
    servers: BTreeMap<String, Server>,
    people: BTreeMap<String, Person>,
    heard: Vec<(String, Heard)>,
    /// Which servers can reach each other, both ways round.
    cables: BTreeSet<(String, String)>,
    /// From either end of a link to the other.
    links: BTreeMap<End, End>,
    on_the_way: VecDeque<(String, Event)>,
    /// Where what is on the way comes in another order than it was sent in, as far as it may.
    pub disorder: Option<Dice>,
    /// Servers that are to stop by an operator's word: why, and whether they start again.
    on_the_way_out: Vec<(String, String, bool)>,
    elapsed_ms: u64,
    conns: u64,
    /// Whether nobody wants to read what servers note.
    pub is_quiet: bool,
}

/// For those who play what no transcript could hold.
impl Simulated {
    /// What has been heard by now, tick or no tick.
    pub fn listen(&mut self) -> Vec<(String, Heard)> {
        self.settle();
        std::mem::take(&mut self.heard)
    }

    /// Lets everything come to rest, with as many ticks as there are in a second, and holds linked servers to the
    /// same network.
    pub fn rest(&mut self) -> Outcome {
        self.wait(Duration::from_secs(1))?;
        self.agree()
    }

    pub fn engine(&self, server: &str) -> Result<&Engine, String> {
        self.running(server)
    }
}

/// What comes to a server in the order in which it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Conn(ConnId),
    /// What it asked to be kept, and told of.
    Disk,
    Talk,
    /// Threads and disks answer whenever they are done.
    Alone,
}

impl Lane {
    fn of(event: &Event) -> Lane {
        match event {
            Event::Opened { conn, .. } | Event::Lines { conn, .. } | Event::Closed { conn, .. } => {
                Lane::Conn(*conn)
            }
            Event::Kept { .. } => Lane::Disk,
            Event::Recorded { .. } => Lane::Talk,
            _ => Lane::Alone,
        }
    }
}

/// A server, whether it runs or not.
struct Server {
    number: u64,
    engine: Option<Engine>,
    started_ms: u64,
    settings: toml::Table,
    /// The other servers that it has been told to call.
    calls: BTreeSet<String>,
    /// What the server has put on disk.
    epoch: u32,
    clock_floor_ms: u64,
    disk: Disk,
}

struct Person {
    end: End,
    framer: Framer,
}

impl Stage for Simulated {
    fn configure(&mut self, server: &str, settings: &toml::Table) -> Outcome {
        self.server(server).settings = settings.clone();
        Ok(())
    }

    fn start(&mut self, name: &str) -> Outcome {
        let elapsed_ms = self.elapsed_ms;
        let server = self.server(name);
        if server.engine.is_some() {
            return Err(format!("{name} runs already"));
        }
        server.epoch += 1;
        server.started_ms = elapsed_ms;
        let (number, epoch, clock_floor_ms) = (server.number, server.epoch, server.clock_floor_ms);
        let config = self.config(name)?;
        let identity = Identity {
            sid: sid(&config)?,
            name: ServerName::parse(&format!("{name}.lan")).ok_or("that is no name for a server")?,
            epoch,
            secret: b"the secret of this network".to_vec(),
            pin: pin(number),
            clock_floor_ms,
            // Another one at each start, as nobody foresees it.
            seed: [number as u8 ^ (epoch as u8).rotate_left(4); 32],
            version: "folkmoot-test".to_string(),
        };
        let now = self.now(name);
        let stored = self.server(name).disk.open(config.limits.messages_kept);
        let mut engine = Engine::restored(config, identity, &stored, now)?;
        if self.disorder.is_some() {
            // There are few people, and not all who come and go with a server are to do so in one step.
            engine.slice_by(32);
        }
        self.server(name).engine = Some(engine);
        Ok(())
    }

    fn stop(&mut self, server: &str) -> Outcome {
        self.running(server)?;
        self.end(server, "terminated");
        Ok(())
    }

    fn kill(&mut self, server: &str) -> Outcome {
        self.running(server)?;
        self.vanish(server);
        Ok(())
    }

    fn link(&mut self, a: &str, b: &str) -> Outcome {
        self.running(a).and(self.running(b))?;
        self.cables.extend([(a.to_string(), b.to_string()), (b.to_string(), a.to_string())]);
        self.server(a).calls.insert(b.to_string());
        // The settings, read anew, have every place called at the next tick.
        self.reload(a, None);
        self.settle_with_a_tick();
        if self.are_linked(a, b)? { Ok(()) } else { Err(format!("{a} and {b} did not link")) }
    }

    fn cut(&mut self, a: &str, b: &str) -> Outcome {
        if !self.cables.remove(&(a.to_string(), b.to_string())) {
            return Err(format!("{a} and {b} were not linked"));
        }
        self.cables.remove(&(b.to_string(), a.to_string()));
        let between = |(from, to): &(&End, &End)| from.0 == a && to.0 == b;
        let ends: Vec<End> = self.links.iter().filter(between).map(|(from, _)| from.clone()).collect();
        for end in ends {
            self.break_link(&end, "Connection reset");
        }
        Ok(())
    }

    fn split(&mut self, a: &str, b: &str) -> Outcome {
        self.cut(a, b)?;
        let hold = |config: Config| config.network.hold;
        let longest = self.config(a).map(hold)?.max(self.config(b).map(hold)?);
        self.wait(longest + Duration::from_millis(TICK_MS))
    }

    fn connect(&mut self, person: &str, server: &str, door: Door) -> Outcome {
        self.running(server)?;
        let conn = self.next_conn();
        let address = SocketAddr::from(([127, 0, 0, 1], 40_000 + (conn.0 % 20_000) as u16));
        let secure = (door != Door::Plain).then(|| "TLSv1.3, TLS_AES_128_GCM_SHA256".to_string());
        let certificate = (door == Door::Certificate).then_some(Pin([conn.0 as u8; 32]));
        let end = (server.to_string(), conn);
        let known = Person { end, framer: Framer::new(Limits::CLIENT) };
        if self.people.insert(person.to_string(), known).is_some() {
            return Err(format!("{person} has a connection already"));
        }
        self.step(
            server,
            Event::Opened { conn, from: Origin::Client { address, name: None, secure, certificate } },
        );
        Ok(())
    }

    fn say(&mut self, person: &str, line: &[u8]) -> Outcome {
        self.elapsed_ms += BETWEEN_LINES_MS;
        let known = self.people.get_mut(person).ok_or_else(|| format!("{person} has no connection"))?;
        let lines = known.framer.push(&[line, b"\r\n"].concat());
        let (server, conn) = known.end.clone();
        self.step(&server, Event::Lines { conn, lines });
        Ok(())
    }

    fn hang_up(&mut self, person: &str) -> Outcome {
        let known = self.people.remove(person).ok_or_else(|| format!("{person} has no connection"))?;
        let (server, conn) = known.end;
        self.step(&server, Event::Closed { conn, why: "Connection closed".to_string() });
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Outcome {
        self.settle();
        let end_ms = self.elapsed_ms + time.as_millis() as u64;
        while self.elapsed_ms < end_ms {
            self.elapsed_ms = end_ms.min(self.elapsed_ms + TICK_MS);
            self.settle_with_a_tick();
        }
        Ok(())
    }

    fn hear(&mut self) -> Result<Vec<(String, Heard)>, String> {
        self.settle_with_a_tick();
        self.agree()?;
        Ok(std::mem::take(&mut self.heard))
    }
}

/// Servers.
impl Simulated {
    fn end(&mut self, server: &str, why: &str) {
        self.step(server, Event::Stop { why: why.to_string() });
        self.settle();
        self.server(server).disk.close();
        self.vanish(server);
    }

    fn server(&mut self, name: &str) -> &mut Server {
        let number = self.servers.len() as u64;
        self.servers.entry(name.to_string()).or_insert_with(|| Server {
            number,
            engine: None,
            started_ms: 0,
            settings: toml::Table::new(),
            calls: BTreeSet::new(),
            epoch: 0,
            clock_floor_ms: 0,
            disk: Disk::new(1),
        })
    }

    fn running(&self, server: &str) -> Result<&Engine, String> {
        let engine = self.servers.get(server).and_then(|server| server.engine.as_ref());
        engine.ok_or_else(|| format!("{server} does not run"))
    }

    /// Whether both count the link to the other among those that are up.
    fn are_linked(&mut self, a: &str, b: &str) -> Result<bool, String> {
        let (a_sid, b_sid) = (sid(&self.config(a)?)?, sid(&self.config(b)?)?);
        Ok(self.running(a)?.report().links.contains(&b_sid)
            && self.running(b)?.report().links.contains(&a_sid))
    }

    /// Whatever a transcript is about: servers that are linked hold the same network once all has come to rest.
    fn agree(&self) -> Outcome {
        for ((a, _), (b, _)) in &self.links {
            let (here, there) = (self.running(a)?.report(), self.running(b)?.report());
            if here.state_hash != there.state_hash {
                return Err(format!("{a} and {b} are linked, and do not hold the same network"));
            }
        }
        Ok(())
    }

    /// The settings as the server would find them on disk.
    fn config(&mut self, name: &str) -> Result<Config, String> {
        let server = self.server(name);
        let reading = config::read::read(&server.settings.to_string());
        if !reading.faults.is_empty() {
            let faults = reading.faults.iter().map(|fault| format!("the settings of {name}: {fault}"));
            return Err(faults.collect::<Vec<_>>().join("\n"));
        }
        let mut config = reading.config;
        let calls = server.calls.clone();
        for peer in calls {
            let address = address(self.server(&peer).number);
            config.link.push(config::Link { name: format!("{peer}.lan"), address, pin: None, connect: true });
        }
        Ok(config)
    }

    fn reload(&mut self, server: &str, ask: Option<AskId>) {
        let outcome = self.config(server).map(Box::new);
        let event = Event::Configured { ask, file: "folkmoot.toml".to_string(), outcome };
        self.on_the_way.push_back((server.to_string(), event));
    }

    fn now(&self, server: &str) -> Now {
        let server = &self.servers[server];
        Now {
            wall: Timestamp(BEGINNING_MS + SKEW_MS * server.number + self.elapsed_ms),
            steady_ms: self.elapsed_ms - server.started_ms,
        }
    }

    /// A server's process is no more; the sockets of everyone who was connected to it close.
    fn vanish(&mut self, server: &str) {
        self.server(server).engine = None;
        let people = self.people.iter().filter(|(_, person)| person.end.0 == server);
        let people: Vec<String> = people.map(|(name, _)| name.clone()).collect();
        // What it meant to do, and what its disk had yet to say, concerns no later run.
        let is_of_run = |event: &Event| {
            let is_of_disk =
                matches!(event, Event::Kept { .. } | Event::Recalled { .. } | Event::Recorded { .. });
            is_of_disk || matches!(event, Event::GoOn { .. })
        };
        self.on_the_way.retain(|(to, event)| to != server || !is_of_run(event));
        for name in people {
            self.people.remove(&name);
            self.heard.push((name, Heard::Closed));
        }
        let links: Vec<End> = self.links.keys().filter(|end| end.0 == server).cloned().collect();
        for end in links {
            self.break_link(&end, "Connection reset");
        }
        self.cables.retain(|(from, to)| from != server && to != server);
    }
}

/// What moves between them.
impl Simulated {
    fn next_conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId(self.conns)
    }

    /// Delivers what is on its way, and what comes of it, until nothing moves.
    fn settle(&mut self) {
        for _ in 0..EVENTS_MAX {
            if let Some((server, event)) = self.next_on_the_way() {
                self.step(&server, event);
                continue;
            }
            let Some((server, why, again)) = self.on_the_way_out.pop() else { return };
            self.end(&server, &why);
            if again {
                self.start(&server).expect("it has just ended");
            }
        }
        panic!("the network does not come to rest");
    }

    /// What comes next: the eldest, or any that nothing stands before in its own lane.
    fn next_on_the_way(&mut self) -> Option<(String, Event)> {
        let Some(dice) = &mut self.disorder else { return self.on_the_way.pop_front() };
        if self.on_the_way.is_empty() {
            return None;
        }
        // Meanwhile time passes, and servers do what they do when it does.
        self.elapsed_ms += dice.below(4);
        if dice.one_in(8)
            && let Some(server) = dice.pick(&self.servers.keys().collect::<Vec<_>>())
        {
            return Some((server.to_string(), Event::Tick));
        }
        let mut lanes = Vec::new();
        let mut first = Vec::new();
        for (place, (server, event)) in self.on_the_way.iter().enumerate() {
            let lane = (server, Lane::of(event));
            if matches!(lane.1, Lane::Alone) || !lanes.contains(&lane) {
                lanes.push(lane);
                first.push(place);
            }
        }
        let place = *dice.pick(&first)?;
        self.on_the_way.remove(place)
    }

    /// The same, and then what the servers had left to their next tick.
    fn settle_with_a_tick(&mut self) {
        self.settle();
        for server in self.servers.keys() {
            self.on_the_way.push_back((server.clone(), Event::Tick));
        }
        self.settle();
    }

    /// One event, and what the edge does about its effects: lines are queued before anything is closed.
    fn step(&mut self, server: &str, event: Event) {
        let now = self.now(server);
        let known = self.server(server);
        let Some(engine) = known.engine.as_mut() else { return };
        if let Event::Kept { number } = &event {
            known.disk.sync(*number);
        }
        let (mut chores, mut parcels) = (Vec::new(), Vec::new());
        for effect in engine.step(now, event) {
            match effect {
                Effect::SendApart { to, line } => self.deliver(server, to, &line, &mut parcels),
                Effect::Send { line, .. } | Effect::SendAll { line, .. } if credential::is_in(&line) => {
                    panic!("{server} sends a secret among other lines: {line}");
                }
                Effect::Send { to, line } => self.deliver(server, to, &line, &mut parcels),
                Effect::SendAll { to, line } => {
                    to.into_iter().for_each(|to| self.deliver(server, to, &line, &mut parcels));
                }
                Effect::SendBundle { to, bundle } => {
                    for to in to {
                        bundle.lines().for_each(|line| self.deliver(server, to, line, &mut parcels));
                    }
                }
                Effect::Note { text, .. } if credential::is_in(&text) => {
                    panic!("{server} writes a secret to its log: {text}");
                }
                effect => chores.push(effect),
            }
        }
        // What comes of one step goes over each link at once, and is taken in at once.
        for ((peer, conn), text) in parcels {
            self.on_the_way.push_back((peer, Event::Lines { conn, lines: Lines::from(text.as_str()) }));
        }
        chores.into_iter().for_each(|effect| self.see_to(server, effect));
    }

    fn see_to(&mut self, server: &str, effect: Effect) {
        match effect {
            Effect::Send { .. }
            | Effect::SendAll { .. }
            | Effect::SendBundle { .. }
            | Effect::SendApart { .. } => {
                unreachable!("delivered before")
            }
            // What is sent here is never bytes.
            Effect::Proven { .. }
            | Effect::Compress { .. }
            | Effect::Registered { .. }
            | Effect::Unhurried { .. }
            | Effect::Charge { .. } => {}
            Effect::Close { conn, why } => self.close(server, conn, why),
            Effect::Dial { ask, address, .. } => self.dial(server, ask, &address),
            Effect::Verify { ask, given, known } => {
                let right = given.0 == known;
                self.on_the_way.push_back((server.to_string(), Event::Verified { ask, right }));
            }
            Effect::Match { ask, given, known } => {
                let right = known == credential::hash(&given);
                let event = Event::Matched { ask, right, renewed: None };
                self.on_the_way.push_back((server.to_string(), event));
            }
            Effect::CheckToken { ask, token, tokens, now } => {
                let outcome = bearer::check(&token.0, &tokens, now);
                self.on_the_way.push_back((server.to_string(), Event::TokenChecked { ask, outcome }));
            }
            Effect::Hash { ask, password } => {
                let credential = Some(credential::credential(&password));
                self.on_the_way.push_back((server.to_string(), Event::Hashed { ask, credential }));
            }
            Effect::Count { ask, .. } => {
                self.on_the_way.push_back((server.to_string(), Event::Counted { ask, refused: None }));
            }
            Effect::GoOn { ask } => self.on_the_way.push_back((server.to_string(), Event::GoOn { ask })),
            Effect::Measure { ask } => {
                let traffic = self.traffic(server);
                self.on_the_way.push_back((server.to_string(), Event::Measured { ask, traffic }));
            }
            Effect::ReadConfig { ask } => self.reload(server, Some(ask)),
            Effect::KeepClock { ms } => self.server(server).clock_floor_ms = ms,
            Effect::KeepEpoch { epoch } => self.server(server).epoch = epoch,
            // No story has the secret changed; `secret.rs` tries that on real processes.
            Effect::KeepSecrets { .. } => unreachable!("nobody asks for another secret"),
            Effect::Keep { number, rows } => {
                self.server(server).disk.write(number, rows);
                self.on_the_way.push_back((server.to_string(), Event::Kept { number }));
            }
            Effect::Record { number, entries } => {
                let disk = &mut self.server(server).disk;
                disk.record(number, entries);
                disk.sync_said(number);
                self.on_the_way.push_back((server.to_string(), Event::Recorded { number }));
            }
            Effect::Recall { ask, query } => {
                let outcome = Ok(self.server(server).disk.recall(&query));
                self.on_the_way
                    .push_back((server.to_string(), Event::Recalled { ask, outcome, is_cut: false }));
            }
            Effect::End { why, again } => self.on_the_way_out.push((server.to_string(), why, again)),
            // Shown by the test harness when a test fails.
            Effect::Note { .. } if self.is_quiet => {}
            Effect::Note { level, text, .. } => println!("{server:<8} {level:<5} {text}"),
        }
    }

    /// Every connection of a server. Nothing ever waits here, and nothing is counted.
    fn traffic(&self, server: &str) -> Vec<Traffic> {
        let clients = self.people.values().map(|person| &person.end);
        let ends = clients.chain(self.links.keys()).filter(|end| end.0 == server);
        let mut conns: Vec<ConnId> = ends.map(|end| end.1).collect();
        conns.sort();
        let nothing = |conn| Traffic {
            conn,
            queued_bytes: 0,
            sent_lines: 0,
            sent_bytes: 0,
            sent_wire_bytes: 0,
            received_lines: 0,
            received_bytes: 0,
            received_wire_bytes: 0,
            compression: None,
        };
        conns.into_iter().map(nothing).collect()
    }

    /// To a person at once, to a neighbour with what else goes there.
    fn deliver(&mut self, server: &str, to: ConnId, line: &str, parcels: &mut Vec<(End, String)>) {
        let end = (server.to_string(), to);
        if let Some(other) = self.links.get(&end) {
            match parcels.iter_mut().find(|(end, _)| end == other) {
                Some((_, text)) => *text += &format!("{line}\n"),
                None => parcels.push((other.clone(), format!("{line}\n"))),
            }
        } else if let Some(person) = self.person_at(&end) {
            self.heard.push((person, Heard::Line(line.to_string())));
        }
    }

    fn person_at(&self, end: &End) -> Option<String> {
        self.people.iter().find(|(_, person)| person.end == *end).map(|(name, _)| name.clone())
    }

    fn close(&mut self, server: &str, conn: ConnId, why: String) {
        let end = (server.to_string(), conn);
        if let Some(person) = self.person_at(&end) {
            self.people.remove(&person);
            self.heard.push((person, Heard::Closed));
            self.on_the_way.push_back((end.0, Event::Closed { conn, why }));
        } else {
            self.break_link(&end, &why);
        }
    }

    fn dial(&mut self, server: &str, ask: AskId, place: &str) {
        let called = self.servers.iter().find(|(_, other)| address(other.number) == place);
        let called = called.filter(|(_, other)| other.engine.is_some()).map(|(name, _)| name.clone());
        let called = called.filter(|name| self.cables.contains(&(server.to_string(), name.clone())));
        let Some(called) = called else {
            let failed = Event::DialFailed { ask, why: "no way there".to_string() };
            return self.on_the_way.push_back((server.to_string(), failed));
        };
        let (near, far) = ((server.to_string(), self.next_conn()), (called, self.next_conn()));
        self.links.insert(near.clone(), far.clone());
        self.links.insert(far.clone(), near.clone());
        let exporter = [near.1.0 as u8; 32];
        for (end, peer, dialled) in [(&far, &near, None), (&near, &far, Some(ask))] {
            let number = self.servers[&peer.0].number;
            let at = address(number).parse().expect("made of an address and a port");
            let from = Origin::Peer { address: at, dialled, pin: pin(number), exporter };
            self.on_the_way.push_back((end.0.clone(), Event::Opened { conn: end.1, from }));
        }
    }

    /// Both ends learn of it, after what was on its way to them.
    fn break_link(&mut self, end: &End, why: &str) {
        let Some(other) = self.links.remove(end) else { return };
        self.links.remove(&other);
        for ((server, conn), why) in [(end.clone(), why), (other, "Connection closed")] {
            self.on_the_way.push_back((server, Event::Closed { conn, why: why.to_string() }));
        }
    }
}

fn sid(config: &Config) -> Result<ServerId, String> {
    let text = config.server.sid.as_deref().unwrap_or_default();
    ServerId::parse(text).ok_or_else(|| format!("\"{text}\" is no id for a server"))
}

/// Where a server takes in its peers.
fn address(number: u64) -> String {
    format!("10.0.0.{}:6900", number + 1)
}

fn pin(number: u64) -> Pin {
    Pin([number as u8; 32])
}
