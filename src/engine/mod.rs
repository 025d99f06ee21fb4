//! The rules: events in, effects out. Pure: the same events at the same times have the same effects.

mod access;
mod archive;
mod arrivals;
mod attach;
mod attendance;
mod audience;
mod audit;
mod banish;
mod batch;
mod bearer;
mod bundle;
mod cap;
mod chathistory;
mod chronicle;
mod cloak;
mod command;
mod cost;
#[cfg(test)]
mod crowd_tests;
mod dice;
mod effect;
mod effort;
mod elsewhere;
mod enter;
mod event;
mod extban;
mod flooding;
mod follow;
mod former;
mod gate;
mod gather;
mod greeting;
mod guest;
mod happenings;
mod held;
mod history;
mod isupport;
mod keep;
mod late;
mod links;
mod load;
mod logins;
#[cfg(test)]
mod logins_tests;
mod looks;
mod marker;
mod mend;
mod merge;
mod metadata;
mod meter;
mod mode;
mod monitor;
mod moved;
mod multiline;
mod netbatch;
mod network;
mod offer;
mod outgoing;
mod ownership;
mod peer;
mod pending;
mod persistence;
mod person;
mod places;
mod playback;
mod policy;
mod profile;
mod pulse;
mod query;
mod reach;
mod reading;
#[cfg(test)]
mod recall_tests;
mod redact;
mod relay;
mod rename;
mod replay;
mod report;
mod roster;
mod said;
mod sasl;
mod scram;
mod seat;
mod secret;
mod services;
mod session;
mod sessions;
mod settings;
mod shield;
mod sight;
mod slices;
mod speaking;
mod succession;
mod suspicion;
mod tell;
#[cfg(test)]
mod tell_tests;
mod throttle;
mod turn;
mod typing;
mod veil;
mod wanted;
mod whowas;
mod write;

pub use archive::{ForeignAccount, ForeignChannel, Import, Item, Kind as ItemKind, Summary};
pub use audit::{Audit, Load};
pub use bearer::{Bearer, TokenFault};
pub use bundle::Bundle;
pub use chronicle::{UNWRITTEN_AT_EASE_MAX, UNWRITTEN_MAX, UNWRITTEN_STUCK_AFTER_MS};
pub use effect::{Effect, Secret, Topic};
pub use effort::{EFFORT_NAME_BYTES_MAX, effort};
pub use event::{AskId, Beacon, ClientDoor, ConnId, Event, Origin, Pin, Situation, Traffic};
pub use history::{
    Conversation, Entry, Kind, MessageRow, Party, Place, Point, Query, Record, Sought, StoredTalk, blanked,
    emptied, row_of,
};
pub use keep::{GENERATION, Row, Stored, Table};
pub use merge::{Dot, Origin as Run};
pub use meter::Meter;
pub use network::{Credential, ScramKeys};
pub use report::{Figures, Report};
pub use scram::ITERATIONS as SCRAM_ITERATIONS;
pub use secret::{Former, Secrets};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Config;
use crate::defect::{Defect, is_planted};
use crate::wire::names::{MetadataKey, ServerId, ServerName};
use crate::wire::numeric::Numeric;
use crate::wire::time::{Now, Timestamp};
use dice::Dice;
use links::Links;
use merge::Clock;
use network::{Durable, Network, Routes, ServerFact, Talk};
use outgoing::Outgoing;
use pending::{Asks, Pending};
use session::Session;
use sessions::Sessions;

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

#[cfg(test)]
impl Identity {
    /// Some server, for tests of one alone.
    pub fn of_hall() -> Identity {
        Identity {
            sid: ServerId::LOWEST,
            name: ServerName::parse("hall.lan").expect("a name"),
            epoch: 1,
            secret: Vec::new(),
            pin: Pin([1; 32]),
            clock_floor_ms: 0,
            seed: [1; 32],
            version: String::new(),
        }
    }
}

/// One server's mind.
pub struct Engine {
    config: Config,
    /// What follows from it for everyone who comes: to write it was a quarter of what it takes to let somebody in.
    isupport: Arc<[Numeric]>,
    identity: Identity,
    /// Of the store, as the epoch is of the process.
    generation: u32,
    network: Network,
    routes: Routes,
    sessions: Sessions,
    /// On which connection it was said what is being written.
    voice: Option<ConnId>,
    links: Links,
    intake: peer::Intake,
    trust: peer::Trust,
    chains: peer::Chains,
    quarantine: peer::Quarantine,
    chronicle: chronicle::Chronicle,
    asks: Asks,
    acted: peer::Acted,
    guests: guest::Guests,
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
    monitors: monitor::Monitors,
    logins: logins::Logins,
    trespassers: ownership::Trespassers,
    /// What people have taken back of what their accounts remembered.
    unsaid: Vec<(network::AccountId, MetadataKey)>,
    arrivals: arrivals::Arrivals,
    floods: flooding::Floods,
    held_modes: tell::HeldModes,
    held_deltas: happenings::HeldDeltas,
    former: former::Former,
    late: late::Late,
    seats: seat::Seats,
    mending: mend::Mending,
    /// When each server last came back into sight.
    healed: BTreeMap<ServerId, Timestamp>,
    users_made: u64,
    batches_made: u64,
    /// Of a netsplit that is told some at a time, or of its end.
    open_batch: Option<netbatch::OpenBatch>,
    /// How much of what takes long is done in one step.
    slice: usize,
    passed: u64,
    route_number: u64,
    route_told_ms: u64,
    /// What was last put on disk as a bound on all stamps.
    clock_bound_ms: u64,
    forgot_ms: u64,
    /// There was more of it than is done at once.
    has_more_to_forget: bool,
    /// When it was last looked for entries of lists whose time is over.
    entries_checked_ms: u64,
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
    bans: BansTally,
}

/// What became of bans since the start, as far as this server has heard.
#[derive(Debug, Default)]
struct BansTally {
    set: u64,
    changed: u64,
    lifted: u64,
    expired: u64,
    turned_away: u64,
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
        let mut talk = stored.talk.read()?;
        if !config.history.enabled {
            // It is not to be read here; but it has been heard, and need not be asked for again.
            talk.recent.clear();
        }
        talk.recent.iter().for_each(|change| clock.observe(change.stamp));
        let talk = Talk::restored(limits.messages_kept, talk.seen, talk.recent, talk.taken_back);
        let chronicle = chronicle::Chronicle::after(talk.seen());
        let own = Run { server: identity.sid, epoch: stored.generation };
        let durable = Durable::new(limits.events_kept, facts, own);
        let mut engine = Engine {
            isupport: isupport::replies(&config).into(),
            generation: stored.generation,
            network: Network::new(identity.sid, durable, limits.events_kept, talk),
            routes: Routes::new(identity.sid),
            sessions: Sessions::default(),
            voice: None,
            links: Links::default(),
            intake: peer::Intake::default(),
            trust: peer::Trust::default(),
            chains: peer::Chains::default(),
            quarantine: peer::Quarantine::default(),
            chronicle,
            asks: Asks::default(),
            situation: Situation::default(),
            secrets: Secrets::first(Secret(String::from_utf8_lossy(&identity.secret).into_owned())),
            clock,
            acted: peer::Acted::default(),
            guests: guest::Guests::default(),
            now,
            started: now,
            outgoing: Vec::new(),
            effects: Vec::new(),
            tally: Tally::default(),
            whowas: whowas::Whowas::default(),
            monitors: monitor::Monitors::default(),
            logins: logins::Logins::default(),
            trespassers: ownership::Trespassers::default(),
            unsaid: Vec::new(),
            arrivals: arrivals::Arrivals::default(),
            floods: flooding::Floods::default(),
            held_modes: tell::HeldModes::default(),
            held_deltas: happenings::HeldDeltas::default(),
            former: former::Former::default(),
            late: late::Late::default(),
            seats: seat::Seats::default(),
            mending: mend::Mending::new(),
            healed: BTreeMap::new(),
            // Ids of different runs should not meet, so that nobody is taken for a ghost.
            users_made: dice.below(crate::wire::names::USER_IDS),
            batches_made: 0,
            open_batch: None,
            slice: slices::SLICE,
            passed: 0,
            route_number: 0,
            route_told_ms: 0,
            clock_bound_ms: 0,
            forgot_ms: now.steady_ms,
            has_more_to_forget: false,
            entries_checked_ms: now.steady_ms,
            renewals: Vec::new(),
            is_stopping: false,
            dice,
            config,
            identity,
        };
        engine.introduce();
        engine.know_fixed_places();
        engine.bring_back(stored);
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
        let ended = std::mem::replace(&mut self.identity.epoch, epoch);
        let (sid, events_kept) = (self.identity.sid, self.config.limits.events_kept);
        let nothing = Durable::new(0, Default::default(), Run { server: sid, epoch: 0 });
        let before = std::mem::replace(&mut self.network, Network::new(sid, nothing, 0, Talk::new(0)));
        let (durable, mut talk) = before.into_durable();
        // The numbers of the run that ends here may have meant something else to somebody already.
        let ended = Run { server: sid, epoch: ended };
        talk.forget(ended);
        self.chronicle_end(ended);
        self.network = Network::new(sid, durable, events_kept, talk);
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
            Event::Opened { conn, from: Origin::Client { address, name, secure, certificate } } => {
                self.tally.connections += 1;
                let how = secure.as_ref().map_or("no".to_string(), |how| format!("{how:?}"));
                self.note(
                    log::Level::Info,
                    Topic::Client,
                    format!("conn={} opened from={address} tls={how}", conn.0),
                );
                let mut session = Session::new(conn, address, name, secure, now.steady_ms);
                session.certificate = certificate;
                self.sessions.open(session);
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
            Event::Slowed { conn } => self.slowed(conn),
            Event::Tick => self.pulse(),
            Event::Verified { ask, right } => self.verified(ask, right),
            Event::Matched { ask, right, renewed } => self.password_matched(ask, right, renewed),
            Event::TokenChecked { ask, outcome } => self.token_checked(ask, outcome),
            Event::NotChecked { ask } => self.password_not_checked(ask),
            Event::Hashed { ask, credential } => self.password_hashed(ask, credential),
            Event::DialFailed { ask, why } => self.dial_failed(ask, &why),
            Event::Discovered(beacon) => self.discovered(beacon),
            Event::Vanished { server } => self.vanished(server),
            Event::Situated(situation) => self.situated(situation),
            Event::SecretsFound(secrets) => self.secrets = secrets,
            Event::Rotate { secret } => self.rotate(secret),
            Event::Counted { ask, refused } => {
                if let Some(Pending::Arriving { conn, arrival }) = self.asks.take(ask) {
                    self.arrived(conn, arrival, refused);
                }
            }
            Event::GoOn { ask } => self.next_slice(ask),
            Event::Measured { ask, traffic } => self.measured(ask, &traffic),
            Event::Configured { ask, file, outcome } => self.configured(ask, &file, outcome),
            Event::Kept { number } => self.kept(number),
            Event::Recalled { ask, outcome, is_cut } => self.recalled(ask, outcome, is_cut),
            Event::NotRecorded { number, entries } => self.not_recorded(number, entries),
            Event::Recorded { number } => self.recorded(number),
            Event::StoreFault { why } => self.store_fault(why.as_deref()),
            Event::Stop { why } => self.stop(&why),
        }
        self.guard_nicks();
        self.settle_reach();
        self.settle_refuge();
        self.settle_mending();
        self.settle_seats();
        self.put_on_disk();
        self.flush_outgoing();
        self.settle_guests();
        self.bound_clock();
        std::mem::take(&mut self.effects)
    }

    /// What may be known of it from outside.
    pub fn report(&self) -> Report {
        Report {
            users_local: self.sessions.registered(),
            users_network: self.network.census().people,
            channels: self.network.census().channels,
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

    fn verified(&mut self, ask: AskId, right: bool) {
        match self.asks.take(ask) {
            Some(Pending::Password { reply }) => self.password_checked(reply, right),
            Some(Pending::Webirc { conn, arrival }) => self.webirc_checked(conn, arrival, right),
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

    /// Tells everyone that this server goes, and asks for every connection to be closed.
    fn stop(&mut self, why: &str) {
        self.is_stopping = true;
        let clients: Vec<ConnId> = self.sessions.iter().map(|session| session.conn).collect();
        for conn in clients {
            if self.leave_guest(conn) {
                continue;
            }
            self.guest_leaves(conn, why);
            self.sessions.dismiss(conn);
            self.say_goodbye(conn, why);
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
        if let Some(letter) = Engine::topic_of_note(level, topic) {
            self.tell_followers_here(letter, &text);
        }
        self.effects.push(Effect::Note { level, topic, text });
    }
}
