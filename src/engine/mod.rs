//! The rules: events in, effects out. Pure: the same events at the same times have the same effects.

mod audit;
mod banish;
mod cap;
mod command;
mod cost;
mod dice;
mod effect;
mod elsewhere;
mod event;
mod greeting;
mod isupport;
mod keep;
mod links;
mod load;
mod mend;
mod merge;
mod mode;
mod network;
mod outgoing;
mod peer;
mod pending;
mod places;
mod policy;
mod pulse;
mod query;
mod reach;
mod relay;
mod report;
mod roster;
mod secret;
mod session;
mod sight;
mod suspicion;
mod tell;
mod turn;
mod wanted;
mod whowas;
mod write;

pub use audit::{Audit, Load};
pub use effect::{Effect, Secret, Topic};
pub use event::{AskId, Beacon, ClientDoor, ConnId, Event, Origin, Pin, Situation, Traffic};
pub use keep::{GENERATION, Row, Stored, Table};
pub use report::{Figures, Report};
pub use secret::{Former, Secrets};

use std::collections::BTreeMap;

use crate::config::Config;
use crate::defect::{Defect, is_planted};
use crate::wire::base36;
use crate::wire::line::{LineFault, Lines};
use crate::wire::message::{Message, cut};
use crate::wire::names::{ServerId, ServerName, Word};
use crate::wire::numeric;
use crate::wire::standard::Standard;
use crate::wire::time::{Now, Timestamp};
use command::Who;
use dice::Dice;
use links::Links;
use merge::{Clock, Origin as Run};
use network::{Durable, Network, Routes, ServerFact};
use outgoing::Outgoing;
use pending::{Asks, Pending};
use session::{Session, Sessions, Stage};
use turn::{Deferred, Outcome, Turn};

/// Who this server is, beyond its settings: made or found at start, and fixed from then on.
#[derive(Clone, Debug)]
pub struct Identity {
    pub sid: ServerId,
    pub name: ServerName,
    /// Rises by one at each start.
    pub epoch: u32,
    /// The network's shared secret, as it was at start.
    pub secret: Vec<u8>,
    pub pin: Pin,
    /// No stamp given out before this start is above this.
    pub clock_floor_ms: u64,
    /// All the randomness that the engine ever gets.
    pub seed: [u8; 32],
    /// Shown by VERSION: the program's version and revision.
    pub version: String,
}

/// One server's mind.
pub struct Engine {
    config: Config,
    identity: Identity,
    /// Of the store, as the epoch is of the process.
    generation: u32,
    network: Network,
    routes: Routes,
    sessions: Sessions,
    links: Links,
    intake: peer::Intake,
    trust: peer::Trust,
    chains: peer::Chains,
    quarantine: peer::Quarantine,
    asks: Asks,
    acted: peer::Acted,
    situation: Situation,
    secrets: Secrets,
    clock: Clock,
    dice: Dice,
    now: Now,
    started: Now,
    /// Lines said so far in this step, and what else is to be done, both in order.
    outgoing: Vec<Outgoing>,
    effects: Vec<Effect>,
    tally: Tally,
    whowas: whowas::Whowas,
    held_modes: tell::HeldModes,
    mending: mend::Mending,
    /// When each server last came back into sight.
    healed: BTreeMap<ServerId, Timestamp>,
    users_made: u64,
    batches_made: u64,
    passed: u64,
    route_number: u64,
    route_told_ms: u64,
    /// What was last put on disk as a bound on all stamps.
    clock_bound_ms: u64,
    forgot_ms: u64,
    /// When this server lately learned that it had been seen in a later run.
    renewals: Vec<u64>,
    is_stopping: bool,
}

/// What STATS and LUSERS count.
#[derive(Debug, Default)]
struct Tally {
    commands: BTreeMap<&'static str, CommandTally>,
    users_local_max: usize,
    users_network_max: usize,
    connections: u64,
}

/// How often a command was given, and how long it was altogether.
#[derive(Debug, Default)]
struct CommandTally {
    count: u64,
    bytes: u64,
}

impl Engine {
    /// A server that has nothing on disk.
    pub fn new(config: Config, identity: Identity, now: Now) -> Engine {
        Engine::restored(config, identity, &Stored::default(), now).expect("nothing is always readable")
    }

    /// A server with what it had on disk, unless that makes no sense to this version.
    pub fn restored(
        config: Config,
        mut identity: Identity,
        stored: &Stored,
        now: Now,
    ) -> Result<Engine, String> {
        if is_planted(Defect::EpochReused) {
            identity.epoch = 1;
        }
        if is_planted(Defect::ClockFallsBack) {
            identity.clock_floor_ms = 0;
        }
        let mut dice = Dice::new(identity.seed);
        let facts = stored.facts()?;
        let mut clock = Clock::new(identity.sid, identity.clock_floor_ms);
        facts.iter().for_each(|(_, fact)| clock.observe(fact.stamp));
        let limits = &config.limits;
        let own = Run { server: identity.sid, epoch: stored.generation };
        let durable = Durable::new(limits.events_kept, facts, own);
        let mut engine = Engine {
            generation: stored.generation,
            network: Network::new(identity.sid, durable, limits.events_kept, limits.messages_kept),
            routes: Routes::new(identity.sid),
            sessions: Sessions::default(),
            links: Links::default(),
            intake: peer::Intake::default(),
            trust: peer::Trust::default(),
            chains: peer::Chains::default(),
            quarantine: peer::Quarantine::default(),
            asks: Asks::default(),
            situation: Situation::default(),
            secrets: Secrets::first(Secret(String::from_utf8_lossy(&identity.secret).into_owned())),
            clock,
            acted: peer::Acted::default(),
            now,
            started: now,
            outgoing: Vec::new(),
            effects: Vec::new(),
            tally: Tally::default(),
            whowas: whowas::Whowas::default(),
            held_modes: tell::HeldModes::default(),
            mending: mend::Mending::new(),
            healed: BTreeMap::new(),
            // Ids of different runs should not meet, so that nobody is taken for a ghost.
            users_made: dice.below(crate::wire::names::USER_IDS),
            batches_made: 0,
            passed: 0,
            route_number: 0,
            route_told_ms: 0,
            clock_bound_ms: 0,
            forgot_ms: now.steady_ms,
            renewals: Vec::new(),
            is_stopping: false,
            dice,
            config,
            identity,
        };
        engine.introduce();
        engine.know_fixed_places();
        // Nobody is there yet to hear of it.
        engine.effects.clear();
        Ok(engine)
    }

    /// Says what this server is: the first fact of every run.
    fn introduce(&mut self) {
        let fact = self.server_fact();
        self.write(network::Edit::Server(fact), false);
    }

    /// Says it anew, if it is another thing by now.
    fn reintroduce(&mut self) {
        let fact = self.server_fact();
        if self.network.server(self.identity.sid).is_none_or(|server| server.fact != fact) {
            self.write(network::Edit::Server(fact), false);
        }
    }

    /// Leaves all shared state behind, but for what is on disk, and starts in a run that nobody has heard of.
    fn begin_epoch(&mut self, epoch: u32) {
        self.identity.epoch = epoch;
        let (sid, limits) = (self.identity.sid, &self.config.limits);
        let nothing = Durable::new(0, Default::default(), Run { server: sid, epoch: 0 });
        let before = std::mem::replace(&mut self.network, Network::new(sid, nothing, 0, 0));
        let durable = before.into_durable();
        self.network = Network::new(sid, durable, limits.events_kept, limits.messages_kept);
        self.routes = Routes::new(self.identity.sid);
        self.intake = peer::Intake::default();
        self.chains = peer::Chains::default();
        self.mending.clear();
        self.introduce();
    }

    fn server_fact(&self) -> ServerFact {
        ServerFact {
            name: self.identity.name.to_string(),
            description: self.config.server.description.clone(),
            version: self.identity.version.clone(),
            pin: self.identity.pin.to_string(),
            clients_max: self.clients_max() as u64,
            started: self.started.wall,
            doors: self.doors(),
        }
    }

    /// Takes one event to its end.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.now = now;
        match event {
            Event::Opened { conn, from: Origin::Client { address, secure } } => {
                self.tally.connections += 1;
                let how = secure.as_ref().map_or("no".to_string(), |how| format!("{how:?}"));
                self.note(
                    log::Level::Info,
                    Topic::Client,
                    format!("conn={} opened from={address} tls={how}", conn.0),
                );
                self.sessions.open(Session::new(conn, address, secure, now.steady_ms));
                self.turn_away_address(conn);
            }
            Event::Opened { conn, from: Origin::Peer { address, dialled, pin, exporter } } => {
                self.link_opened(conn, address, dialled, pin, exporter);
            }
            Event::Lines { conn, lines } if self.links.by_conn.contains_key(&conn) => {
                self.hear_peer(conn, &lines)
            }
            Event::Lines { conn, lines } => self.hear_client(conn, &lines),
            Event::Closed { conn, why } if self.links.by_conn.contains_key(&conn) => {
                self.link_closed(conn, &why)
            }
            Event::Closed { conn, why } => self.client_closed(conn, &why),
            Event::Tick => self.pulse(),
            Event::Verified { ask, right } => self.verified(ask, right),
            Event::DialFailed { ask, why } => self.dial_failed(ask, &why),
            Event::Discovered(beacon) => self.discovered(beacon),
            Event::Vanished { server } => self.vanished(server),
            Event::Situated(situation) => self.situated(situation),
            Event::SecretsFound(secrets) => self.secrets = secrets,
            Event::Rotate { secret } => self.rotate(secret),
            Event::Measured { ask, traffic } => self.measured(ask, &traffic),
            Event::Configured { ask, file, outcome } => self.configured(ask, &file, outcome),
            Event::Kept { number } => self.kept(number),
            Event::Stop { why } => self.stop(&why),
        }
        self.settle_reach();
        self.settle_mending();
        self.put_on_disk();
        self.flush_outgoing();
        self.bound_clock();
        std::mem::take(&mut self.effects)
    }

    /// What may be known of it from outside.
    pub fn report(&self) -> Report {
        Report {
            users_local: self.sessions.registered(),
            users_network: self.network.users().count(),
            channels: self.network.channels().count(),
            servers: self.routes.reachable().collect(),
            links: self.links.up().filter_map(links::Link::sid).collect(),
            epoch: self.identity.epoch,
            clients_max: self.clients_max(),
            seen_hash: self.network.seen_hash(),
            state_hash: self.network.view_hash(),
        }
    }

    /// What a server tells its LAN of itself.
    pub fn figures(&self) -> Figures {
        Figures {
            epoch: self.identity.epoch,
            description: self.config.server.description.clone(),
            users: self.sessions.registered(),
            clients_max: self.clients_max(),
        }
    }

    // Clients.

    fn hear_client(&mut self, conn: ConnId, lines: &Lines) {
        for line in lines.iter() {
            let Some(session) = self.sessions.get_mut(conn) else { return };
            if matches!(session.stage, Stage::Closing) {
                return;
            }
            session.heard_ms = self.now.steady_ms;
            session.pinged_ms = None;
            let mut turn = Turn::new(self, conn);
            let label = match line {
                Ok(text) => turn.obey(text),
                Err(fault) => turn.refuse_line(fault),
            };
            self.finish_turn(conn, label);
        }
    }

    /// Gives a client's replies their label, and turns all that was said into effects.
    fn finish_turn(&mut self, conn: ConnId, label: Option<String>) {
        let is_open = self.sessions.get(conn).is_some_and(|session| !matches!(session.stage, Stage::Closing));
        if let Some(label) = label.filter(|_| is_open) {
            self.label_replies(conn, &label);
        }
        self.flush_outgoing();
    }

    /// One reply carries the label itself, several stand in a batch that does, and none is an ACK.
    fn label_replies(&mut self, conn: ConnId, label: &str) {
        let replies = self.take_replies(conn, false);
        let server = self.identity.name.to_string();
        let line = |body: String| outgoing::Spoken::new(self.now.wall, body);
        let labeled = match replies.len() {
            0 => vec![line(format!(":{server} ACK")).tagged("label", label)],
            1 => replies.into_iter().map(|reply| reply.tagged("label", label)).collect(),
            _ => {
                self.batches_made += 1;
                let batch = base36::encode(self.batches_made);
                let first = line(format!(":{server} BATCH +{batch} labeled-response")).tagged("label", label);
                let last = line(format!(":{server} BATCH -{batch}"));
                // A batch within this one is named by its own first line only.
                let inner = replies.into_iter().map(|reply| reply.in_batch(&batch));
                std::iter::once(first).chain(inner).chain(std::iter::once(last)).collect()
            }
        };
        self.outgoing.extend(labeled.into_iter().map(|spoken| Outgoing { to: vec![conn], spoken }));
    }

    fn flush_outgoing(&mut self) {
        for outgoing in std::mem::take(&mut self.outgoing) {
            outgoing.into_effects(&self.sessions, &mut self.effects);
        }
    }

    /// Takes up a command whose replies had to wait, for a client that may have gone since.
    fn resume(&mut self, reply: Deferred, handle: impl FnOnce(&mut Turn) -> Outcome) {
        let Some(session) = self.sessions.get(reply.conn) else { return };
        if session.user().is_none() {
            return;
        }
        self.flush_outgoing();
        let mut turn = Turn::new(self, reply.conn);
        if let Err(refusal) = handle(&mut turn) {
            turn.refuse(refusal);
        }
        self.finish_turn(reply.conn, reply.label);
    }

    /// Ends a client: everyone hears of it, then the client, then the connection is closed.
    fn close_client(&mut self, conn: ConnId, why: &str) {
        let Some(session) = self.sessions.get(conn) else { return };
        if matches!(session.stage, Stage::Closing) {
            return;
        }
        let user = session.user();
        let host = self.shown_host(session);
        self.sessions.dismiss(conn);
        if let Some(user) = user {
            self.write(network::Edit::Quit { user, reason: why.to_string() }, false);
        }
        let body = format!("ERROR :Closing link: {host} ({why})");
        self.outgoing.push(Outgoing { to: vec![conn], spoken: outgoing::Spoken::new(self.now.wall, body) });
        self.flush_outgoing();
        self.effects.push(Effect::Close { conn, why: why.to_string() });
    }

    fn client_closed(&mut self, conn: ConnId, why: &str) {
        let Some(session) = self.sessions.close(conn) else { return };
        if let Some(user) = session.user() {
            self.write(network::Edit::Quit { user, reason: why.to_string() }, false);
        }
        self.note(log::Level::Info, Topic::Client, format!("conn={} closed why=\"{why}\"", conn.0));
    }

    fn verified(&mut self, ask: AskId, right: bool) {
        match self.asks.take(ask) {
            Some(Pending::Password { conn }) => self.password_checked(conn, right),
            Some(Pending::Oper { reply, name, class }) => {
                self.resume(reply, |turn| command::oper_checked(turn, &name, class.as_deref(), right));
            }
            _ => {}
        }
    }

    fn measured(&mut self, ask: AskId, traffic: &[Traffic]) {
        if let Some(Pending::Traffic { asker, read }) = self.asks.take(ask) {
            let lines = read(self, traffic);
            self.give_answer(asker, lines);
        }
    }

    fn configured(&mut self, ask: Option<AskId>, file: &str, outcome: Result<Box<Config>, String>) {
        let outcome = outcome.map(|config| self.take_config(*config));
        match &outcome {
            Ok(after_start) => {
                self.note(log::Level::Info, Topic::Server, "config read again".to_string());
                if let Some(keys) = after_start {
                    let text = format!("config changed and needs a restart for: {keys}");
                    self.note(log::Level::Warn, Topic::Server, text);
                }
            }
            Err(faults) => {
                for fault in faults.lines() {
                    self.note(log::Level::Error, Topic::Server, format!("config not taken: {fault}"));
                }
            }
        }
        if let Some(Pending::Rehash { reply }) = ask.and_then(|ask| self.asks.take(ask)) {
            self.resume(reply, |turn| {
                match outcome {
                    Ok(after_start) => {
                        turn.reply(numeric::rehashing(Word::echo(file)));
                        if let Some(keys) = after_start {
                            turn.notice(&format!("Changed, but in force only after a restart: {keys}"));
                        }
                    }
                    Err(faults) => {
                        for fault in faults.lines() {
                            turn.notice(&format!("The config was not taken: {}", cut(fault, 380)));
                        }
                    }
                }
                Ok(())
            });
        }
    }

    /// Tells everyone here what they can do otherwise from now on.
    fn tell_isupport(&mut self, changes: &[numeric::Numeric]) {
        for session in self.sessions.iter() {
            let Some(user) = session.user().and_then(|user| self.network.user(user)) else { continue };
            for change in changes {
                let line = change.line(self.identity.name.as_str(), user.nick.as_str());
                let spoken = outgoing::Spoken::new(self.now.wall, line);
                self.outgoing.push(Outgoing { to: vec![session.conn], spoken });
            }
        }
    }

    /// Applies what can be applied; names the keys that were changed and need a restart.
    fn take_config(&mut self, mut config: Config) -> Option<String> {
        let kept = config.keep_until_restart(&self.config);
        let before = std::mem::replace(&mut self.config, config);
        self.tell_isupport(&isupport::changes(&before, &self.config));
        self.know_fixed_places();
        self.network.keep_at_most(self.config.limits.events_kept, self.config.limits.messages_kept);
        self.reintroduce();
        (!kept.is_empty()).then(|| kept.join(", "))
    }

    /// Tells everyone that this server goes, and asks for every connection to be closed.
    fn stop(&mut self, why: &str) {
        self.is_stopping = true;
        let clients: Vec<ConnId> = self.sessions.iter().map(|session| session.conn).collect();
        for conn in clients {
            let Some(session) = self.sessions.get(conn) else { continue };
            let body = format!("ERROR :Closing link: {} ({why})", self.shown_host(session));
            self.sessions.dismiss(conn);
            self.outgoing
                .push(Outgoing { to: vec![conn], spoken: outgoing::Spoken::new(self.now.wall, body) });
            self.flush_outgoing();
            self.effects.push(Effect::Close { conn, why: why.to_string() });
        }
        // Last, so that no client hears of each other's going.
        self.write(network::Edit::Goodbye { reason: why.to_string() }, false);
        let peers: Vec<ConnId> = self.links.by_conn.keys().copied().collect();
        for conn in peers {
            self.effects.push(Effect::Close { conn, why: why.to_string() });
        }
        self.effects.push(Effect::KeepClock { ms: self.clock.ms() });
    }

    fn ask(&mut self, pending: Pending) -> AskId {
        self.asks.open(pending)
    }

    fn note(&mut self, level: log::Level, topic: Topic, text: String) {
        self.effects.push(Effect::Note { level, topic, text });
    }

    /// The host of a client as others see it. A leading colon would end a line's middle parameters.
    fn shown_host(&self, session: &Session) -> String {
        let host = session.address.ip().to_canonical().to_string();
        if host.starts_with(':') { format!("0{host}") } else { host }
    }
}

impl<'e> Turn<'e> {
    fn new(engine: &'e mut Engine, conn: ConnId) -> Turn<'e> {
        let now = engine.now;
        Turn { now, conn, engine, label: None, line: None, client_tags: Vec::new() }
    }

    /// Handles one line, and answers with its label where there is one that still needs a reply.
    fn obey(&mut self, line: &str) -> Option<String> {
        let message = Message::parse(line)?;
        self.label = self.label_of(&message);
        if self.wants(cap::Cap::MessageTags) {
            let tags = message.tags.iter().filter(|(key, _)| key.starts_with('+'));
            self.client_tags = tags.map(|(key, value)| (key.to_string(), value.into_owned())).collect();
        }
        if let Err(refusal) = self.dispatch(&message, line.len()) {
            self.refuse(refusal);
        }
        let label = self.label.take();
        self.hold_for_acts(label)
    }

    fn label_of(&self, message: &Message) -> Option<String> {
        let label = message.tags.get("label").filter(|label| !label.is_empty() && label.len() <= 64);
        label.filter(|_| self.session().wants_labels()).map(|label| label.into_owned())
    }

    /// The gate, which every command shares, so that handlers begin with what is their own.
    fn dispatch(&mut self, message: &Message, bytes: usize) -> Outcome {
        let known = command::find(message.command);
        let Some(command) = known else {
            if self.session().user().is_none() {
                return Err(numeric::not_registered().into());
            }
            return Err(numeric::unknown_command(Word::echo(message.command)).into());
        };
        self.admit(command.who)?;
        let tally = self.engine.tally.commands.entry(command.name).or_default();
        tally.count += 1;
        tally.bytes += bytes as u64;
        if message.params.len() < command.params_min {
            return Err(numeric::need_more_params(Word::echo(command.name)).into());
        }
        (command.run)(self, &message.params)
    }

    fn admit(&self, who: Who) -> Outcome {
        let registered = self.session().user().is_some();
        match who {
            Who::Anyone => Ok(()),
            Who::Unregistered if registered => Err(numeric::already_registered().into()),
            Who::Unregistered => Ok(()),
            _ if !registered => Err(numeric::not_registered().into()),
            Who::Registered => Ok(()),
            Who::Operator(_) if !self.user().is_operator() => Err(numeric::no_privileges().into()),
            Who::Operator(right) if !self.has_right(right) => {
                Err(numeric::no_operator_right(Word::echo(right)).into())
            }
            Who::Operator(_) => Ok(()),
        }
    }

    /// Says no to a line for what it is as bytes, with its label where that could be read.
    fn refuse_line(&mut self, fault: LineFault) -> Option<String> {
        match fault {
            LineFault::TooLong => {
                self.reply(numeric::input_too_long());
                None
            }
            LineFault::NotUtf8(readable) => {
                let message = Message::parse(readable);
                let command = message.as_ref().and_then(|message| command::find(message.command));
                let label = message.as_ref().and_then(|message| self.label_of(message));
                let why = "That line was not UTF-8, which is all this server takes";
                self.reply_standard(Standard::fail(
                    command.map_or("*", |command| command.name),
                    "INVALID_UTF8",
                    why,
                ));
                label
            }
        }
    }
}
