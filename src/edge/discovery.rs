//! Who else is on this LAN: asks, answers, and says goodbye; what comes of it is the engine's to decide.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answers::{Answer, Answers};
use super::beacon::{self, About, Datagram, Door, Kind, LanKey, Proof};
use super::compat;
use super::identity::{random, wall_clock};
use super::lan::{self, Interface, Sockets};
use super::mdns::Mdns;
use super::running::Services;
use super::secrets::SecretBook;
use super::threads::panic_text;
use crate::config::Config;
use crate::engine::{Beacon, Event, Figures, Identity};
use crate::wire::names::ServerId;

/// After the start, when to ask: at once, and twice more for those whose network came up a little later.
const FIRST_QUESTIONS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
const QUESTION_INTERVAL: Duration = Duration::from_secs(60);
/// How often to look whether this machine's addresses are still the same.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer to one of our questions is believed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const CLOCK_DIFFERENCE_MAX_MS: u64 = 30_000;
/// A nonce is remembered for longer than its datagram's time is believed.
const REPLAY_WINDOW: Duration = Duration::from_secs(90);
const REPLAYS_MAX: usize = 4096;
/// A server that is not believed to be ours is mentioned again only after this.
const STRANGER_INTERVAL: Duration = Duration::from_secs(60);
const STRANGERS_MAX: usize = 256;

/// What a server says of itself for as long as it runs.
pub struct Announcement {
    about: About,
    secrets: Arc<SecretBook>,
    services: Services,
    port: u16,
    compat_port: u16,
    /// Said to those who know nothing of Folkmoot, if wanted.
    mdns: Option<Mdns>,
}

impl Announcement {
    /// `services` is where the listeners are, with the ports that the system gave them.
    pub fn new(
        identity: &Identity,
        config: &Config,
        services: Services,
        secrets: Arc<SecretBook>,
    ) -> Announcement {
        let about = About {
            sid: Some(identity.sid),
            name: identity.name.to_string(),
            network: config.network.name.clone(),
            pin: Some(identity.pin),
            version: identity.version.clone(),
            ..About::default()
        };
        let mdns = config.discovery.mdns.then(|| Mdns::start(identity, &config.network.name));
        let mdns = mdns.transpose().unwrap_or_else(|why| {
            // The server can do without.
            log::warn!(target: "folkmoot::server", "nothing is announced by mDNS: {why}");
            None
        });
        let (port, compat_port) = (config.discovery.port, config.discovery.compat_port);
        Announcement { about, secrets, services, port, compat_port, mdns }
    }

    /// What datagrams of our network are proven by: the current secret's first, then those of secrets that it had.
    fn keys(&self, wall_ms: u64) -> Vec<LanKey> {
        self.secrets.all().accepted(wall_ms).map(|secret| LanKey::new(secret.0.as_bytes())).collect()
    }
}

/// The thread that listens and speaks.
pub struct Discovery {
    wake: UnixStream,
    thread: JoinHandle<()>,
}

impl Discovery {
    /// Begins to ask and to answer. `figures` is called for each datagram, so it must be quick; `moved` when this
    /// machine has other addresses.
    pub fn start(
        announcement: Announcement,
        figures: impl Fn() -> Figures + Send + 'static,
        emit: impl Fn(Event) + Send + 'static,
        moved: impl Fn() + Send + 'static,
    ) -> Result<Discovery, String> {
        let port = announcement.port;
        let taken = |why| format!("cannot listen for other servers on UDP port {port}: {why}");
        let mut sockets = Sockets::for_serving(port).map_err(taken)?;
        if announcement.compat_port != 0 {
            sockets.add_compat(announcement.compat_port).map_err(|why| {
                format!(
                    "cannot answer on UDP port {}, which discovery.compat_port names: {why}",
                    announcement.compat_port
                )
            })?;
        }
        let (wake, woken) = UnixStream::pair().map_err(taken)?;
        let mut talk = Talk::new(announcement, Box::new(figures), lan::interfaces());
        let thread = thread::Builder::new()
            .name("discovery".to_string())
            .spawn(move || {
                // The server can do without; whoever it would have found is not found.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| talk.run(&sockets, &woken, &emit, &moved))) {
                    let text = panic_text(&*panic);
                    log::error!(target: "folkmoot::link", "no server is found on the LAN any more: discovery met a bug: {text}");
                }
            })
            .map_err(taken)?;
        Ok(Discovery { wake, thread })
    }

    /// Says goodbye to everyone near, and ends.
    pub fn stop(self) {
        drop(self.wake);
        // A panic in it was told when it happened.
        let _ = self.thread.join();
    }
}

/// What is said and believed, apart from the sockets.
struct Talk {
    announcement: Announcement,
    figures: Box<dyn Fn() -> Figures + Send>,
    interfaces: Vec<Interface>,
    /// Our questions that may still be answered.
    asked: Vec<(Instant, [u8; 16])>,
    answers: Answers,
    /// Nonces of others that were used, and are not believed again.
    used: BTreeMap<[u8; 16], Instant>,
    /// Servers that are not believed to be ours, and when they were last mentioned.
    strangers: BTreeMap<(IpAddr, Option<ServerId>), Instant>,
}

impl Talk {
    fn new(
        announcement: Announcement,
        figures: Box<dyn Fn() -> Figures + Send>,
        interfaces: Vec<Interface>,
    ) -> Talk {
        Talk {
            announcement,
            figures,
            interfaces,
            asked: Vec::new(),
            answers: Answers::default(),
            used: BTreeMap::new(),
            strangers: BTreeMap::new(),
        }
    }

    fn run(&mut self, sockets: &Sockets, woken: &UnixStream, emit: &impl Fn(Event), moved: &impl Fn()) {
        sockets.join(&self.interfaces);
        self.publish();
        woken.set_nonblocking(true).expect("a socket of our own");
        let mut pauses = FIRST_QUESTIONS.into_iter();
        let mut ask_at = Instant::now();
        let mut look_at = ask_at + LOOK_INTERVAL;
        while !is_closed(woken) {
            let now = Instant::now();
            if now >= look_at {
                look_at = now + LOOK_INTERVAL;
                let interfaces = lan::interfaces();
                if interfaces != self.interfaces {
                    self.interfaces = interfaces;
                    sockets.join(&self.interfaces);
                    self.publish();
                    moved();
                    ask_at = now;
                }
            }
            if now >= ask_at {
                ask_at = now + pauses.next().unwrap_or_else(next_interval);
                for (to, bytes) in self.call(Kind::Discover, now, wall_clock().0) {
                    sockets.say(to, &bytes);
                }
            }
            for answer in self.answers.due(now) {
                if answer.is_compat {
                    sockets.say_compat(answer.to, &answer.bytes);
                } else {
                    sockets.say(answer.to, &answer.bytes);
                }
            }
            sockets.hear(|from, bytes| {
                if let Some(event) = self.hear(now, wall_clock().0, from, bytes) {
                    emit(event);
                }
            });
            sockets.hear_compat(|from, bytes| self.hear_compat(now, from, bytes));
            let next = self.answers.next().into_iter().chain([ask_at, look_at]).min();
            let pause =
                next.expect("there is always a next question").saturating_duration_since(Instant::now());
            sockets.wait(pause, Some(woken));
        }
        for (to, bytes) in self.call(Kind::Goodbye, Instant::now(), wall_clock().0) {
            sockets.say(to, &bytes);
        }
        if let Some(mdns) = self.announcement.mdns.take() {
            mdns.withdraw();
        }
    }

    fn publish(&mut self) {
        if let Some(mdns) = &mut self.announcement.mdns {
            mdns.publish(&self.announcement.services, &self.interfaces);
        }
    }

    /// What to say to everyone near; each place with a nonce of its own, as the open ports differ by where one calls.
    fn call(&mut self, kind: Kind, now: Instant, wall_ms: u64) -> Vec<(SocketAddr, Vec<u8>)> {
        self.asked.retain(|(at, _)| now < *at + ANSWER_WITHIN);
        let places = lan::everyone(&self.interfaces, self.announcement.port);
        let mut calls = Vec::new();
        // By former secrets first: whoever was away is to know us before it hears what it cannot read.
        for key in self.announcement.keys(wall_ms).iter().rev() {
            for (from, to) in &places {
                let nonce = random();
                self.asked.push((now, nonce));
                let datagram = self.datagram(kind, nonce, wall_ms, *from, to.is_ipv6());
                calls.push((*to, datagram.encode(Some(key), beacon::BYTES_MAX)));
            }
        }
        calls
    }

    fn datagram(
        &self,
        kind: Kind,
        nonce: [u8; 16],
        time_ms: u64,
        from: Option<IpAddr>,
        v6: bool,
    ) -> Datagram {
        let figures = (self.figures)();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Datagram {
            kind,
            from_client: false,
            time_ms,
            nonce,
            network_id: beacon::network_id(&self.announcement.about.network),
            about: About {
                ports: open_doors(&self.announcement.services, from, v6),
                description: figures.description,
                epoch: Some(figures.epoch),
                load: Some((count(figures.users), count(figures.clients_max))),
                ..self.announcement.about.clone()
            },
        }
    }

    /// Takes in one datagram, whoever sent it.
    fn hear(&mut self, now: Instant, wall_ms: u64, from: SocketAddr, bytes: &[u8]) -> Option<Event> {
        let through = self.interfaces.iter().find(|interface| interface.is_near(from.ip()))?.address;
        let keys = self.announcement.keys(wall_ms);
        let is_right = |key: &&LanKey| matches!(Datagram::decode(bytes, Some(key)), Some((_, Proof::Right)));
        let key = keys.iter().find(is_right);
        let (datagram, proof) = Datagram::decode(bytes, key)?;
        let about = &datagram.about;
        if about.sid == self.announcement.about.sid && about.pin == self.announcement.about.pin {
            return None;
        }
        if datagram.kind == Kind::Announce
            && !self.asked.iter().any(|(at, nonce)| *nonce == datagram.nonce && now < *at + ANSWER_WITHIN)
        {
            return None;
        }
        let ours = proof == Proof::Right && self.is_fresh(now, wall_ms, from.ip(), &datagram);
        if proof == Proof::Right && !ours {
            return None;
        }
        match datagram.kind {
            Kind::Goodbye => {
                return if ours { about.sid.map(|server| Event::Vanished { server }) } else { None };
            }
            Kind::Discover => {
                // By the secret that the question came with: it may be all that whoever asks has yet.
                self.answer(now, wall_ms, from, through, &datagram, key.filter(|_| ours), bytes.len())
            }
            Kind::Announce => {}
        }
        if datagram.from_client || !ours && !self.is_news(now, from.ip(), &datagram) {
            return None;
        }
        let mut link = from;
        link.set_port(about.port(Door::Link)?);
        Some(Event::Discovered(Beacon {
            sid: about.sid?,
            name: about.name.clone(),
            network: about.network.clone(),
            link,
            pin: about.pin?,
            ours,
        }))
    }

    /// Whether a proven datagram was made just now, and for the first time; an answer is dated by its question.
    fn is_fresh(&mut self, now: Instant, wall_ms: u64, from: IpAddr, datagram: &Datagram) -> bool {
        let difference_ms = wall_ms.abs_diff(datagram.time_ms);
        if difference_ms > CLOCK_DIFFERENCE_MAX_MS {
            // Anybody can repeat an old datagram, as often as they like.
            if !self.is_news(now, from, datagram) {
                return false;
            }
            log::warn!(
                target: "folkmoot::link",
                "{} holds our network's secret but was not believed: its clock and ours differ difference_s={}",
                datagram.about.name,
                difference_ms / 1000
            );
            return false;
        }
        if datagram.kind == Kind::Announce {
            return true;
        }
        self.used.retain(|_, at| now < *at + REPLAY_WINDOW);
        self.used.len() < REPLAYS_MAX && self.used.insert(datagram.nonce, now).is_none()
    }

    /// Whether a server that is not believed has not been mentioned for a while.
    fn is_news(&mut self, now: Instant, from: IpAddr, datagram: &Datagram) -> bool {
        self.strangers.retain(|_, at| now < *at + STRANGER_INTERVAL);
        self.strangers.len() < STRANGERS_MAX
            && self.strangers.insert((from, datagram.about.sid), now).is_none()
    }

    #[expect(clippy::too_many_arguments, reason = "each is one thing that was heard")]
    fn answer(
        &mut self,
        now: Instant,
        wall_ms: u64,
        to: SocketAddr,
        through: IpAddr,
        question: &Datagram,
        key: Option<&LanKey>,
        question_bytes: usize,
    ) {
        if key.is_none() && question_bytes < beacon::CLIENT_QUESTION_BYTES_MIN {
            return;
        }
        if !self.answers.promise(now, to) {
            return;
        }
        let datagram = self.datagram(Kind::Announce, question.nonce, wall_ms, Some(through), to.is_ipv6());
        // Without proof an answer is never longer than its question, so that nobody can have others flooded by us.
        let bytes_max = if key.is_some() { beacon::BYTES_MAX } else { question_bytes };
        let bytes = datagram.encode(key, bytes_max);
        self.answers.give(now, Answer { to, is_compat: false, bytes });
    }

    /// Answers whoever asks in the older protocol.
    fn hear_compat(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let near = self.interfaces.iter().find(|interface| interface.is_near(from.ip()));
        let Some(through) = near.map(|interface| interface.address) else { return };
        if !compat::is_question(bytes) || !self.answers.promise(now, from) {
            return;
        }
        let doors = open_doors(&self.announcement.services, Some(through), false);
        let features = doors.into_iter().filter_map(|(door, port)| {
            let name = match door {
                Door::Irc => "IRC",
                Door::Ircs => "IRCS",
                Door::Web | Door::Link => return None,
            };
            Some(compat::Feature { name, port, udp_port: None })
        });
        let features: Vec<compat::Feature> = features.collect();
        let bytes = compat::announcement(&self.announcement.about.name, &features);
        self.answers.give(now, Answer { to: from, is_compat: true, bytes });
    }
}

/// The listeners that can be reached by whoever hears us speak from that address.
fn open_doors(services: &Services, from: Option<IpAddr>, v6: bool) -> Vec<(Door, u16)> {
    let reachable = |listener: &&SocketAddr| match listener.ip() {
        // Listening on all of IPv6 takes IPv4 in as well.
        any if any.is_unspecified() => any.is_ipv6() || !v6,
        one => from.is_some_and(|from| one == from || one.is_loopback() && from.is_loopback()),
    };
    [(Door::Irc, &services.irc), (Door::Ircs, &services.ircs), (Door::Link, &services.link)]
        .into_iter()
        .filter_map(|(door, listeners)| Some((door, listeners.iter().find(reachable)?.port())))
        .collect()
}

/// A minute, give or take a fifth, so that servers started together do not stay in step.
fn next_interval() -> Duration {
    QUESTION_INTERVAL * 4 / 5 + QUESTION_INTERVAL * 2 / 5 * u32::from(random::<1>()[0]) / 255
}

fn is_closed(wake: &UnixStream) -> bool {
    use std::io::Read;
    matches!((&*wake).read(&mut [0]), Ok(0))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::edge::answers::{DELAY_MAX, PER_SECOND};
    use crate::engine::{Pin, Secret};
    use crate::wire::names::ServerName;

    const WALL_MS: u64 = 1_795_244_165_123;

    fn announcement(sid: &str, secret: &str, port: u16) -> Announcement {
        let identity = Identity {
            sid: ServerId::parse(sid).unwrap(),
            name: ServerName::parse(&format!("s{}.lan", sid.to_lowercase())).unwrap(),
            epoch: 1,
            secret: secret.into(),
            pin: Pin([sid.as_bytes()[0]; 32]),
            clock_floor_ms: 0,
            seed: [0; 32],
            version: "test".into(),
        };
        let services = Services {
            irc: vec!["127.0.0.1:6667".parse().unwrap()],
            ircs: vec![],
            link: vec!["0.0.0.0:6900".parse().unwrap()],
        };
        let mut config = Config::default();
        config.discovery.port = port;
        config.discovery.mdns = false;
        Announcement::new(&identity, &config, services, Arc::new(SecretBook::of(secret)))
    }

    fn talk(sid: &str, secret: &str) -> Talk {
        Talk::new(announcement(sid, secret, 6900), Box::new(Figures::default), lan::interfaces())
    }

    fn near() -> SocketAddr {
        "127.0.0.1:40000".parse().unwrap()
    }

    /// One of the calls of that server, as it is heard on the loopback network.
    fn call(talk: &mut Talk, kind: Kind) -> Vec<u8> {
        let calls = talk.call(kind, Instant::now(), WALL_MS);
        calls
            .into_iter()
            .find(|(to, _)| to.to_string() == "127.255.255.255:6900")
            .expect("there is a loopback")
            .1
    }

    fn hear(talk: &mut Talk, bytes: &[u8]) -> Option<Event> {
        talk.hear(Instant::now(), WALL_MS, near(), bytes)
    }

    #[test]
    fn a_question_from_our_network_is_believed_once_and_answered() {
        let (mut hall, mut barn) = (talk("7FA", "the same secret"), talk("8BB", "the same secret"));
        let question = call(&mut barn, Kind::Discover);
        let Some(Event::Discovered(beacon)) = hear(&mut hall, &question) else { panic!("nobody found") };
        assert_eq!((beacon.sid.as_str(), beacon.ours), ("8BB", true));
        assert_eq!(beacon.link, "127.0.0.1:6900".parse().unwrap());

        let answer = hall.answers.due(Instant::now() + DELAY_MAX).pop().expect("an answer");
        assert_eq!(answer.to, near());
        let Some(Event::Discovered(beacon)) = hear(&mut barn, &answer.bytes) else { panic!("no answer") };
        assert_eq!((beacon.sid.as_str(), beacon.ours), ("7FA", true));
        // Nobody else asked that.
        assert!(hear(&mut talk("9CC", "the same secret"), &answer.bytes).is_none());

        assert!(hear(&mut hall, &question).is_none(), "replayed");
        assert!(hall.answers.due(Instant::now() + DELAY_MAX).is_empty());
    }

    #[test]
    fn a_server_that_was_away_while_the_secret_changed_is_found_all_the_same() {
        let scratch = crate::edge::data::tests::Scratch::new("discovery-rotated");
        let data = crate::edge::data::DataDirectory::open(&scratch.0).unwrap();
        let mut config = Config::default();
        config.network.secret_file = Some(data.path().join("secret").display().to_string());
        data.write("secret", "the same secret as ever").unwrap();
        let book = Arc::new(SecretBook::load(&config, &data, WALL_MS).unwrap());
        let (mut hall, mut barn) =
            (talk("7FA", "the same secret as ever"), talk("8BB", "the same secret as ever"));
        hall.announcement.secrets = book.clone();
        let mut secrets = book.all();
        assert!(secrets.replace(Secret("another one by now".into()), WALL_MS, WALL_MS + 1_000));
        book.keep(&data, secrets).unwrap();

        // It is believed, and believes the answer.
        let question = call(&mut barn, Kind::Discover);
        assert!(matches!(hear(&mut hall, &question), Some(Event::Discovered(beacon)) if beacon.ours));
        let answer = hall.answers.due(Instant::now() + DELAY_MAX).pop().expect("an answer");
        assert!(matches!(hear(&mut barn, &answer.bytes), Some(Event::Discovered(beacon)) if beacon.ours));
        // What it can read is what it hears first.
        let question = call(&mut hall, Kind::Discover);
        assert!(matches!(hear(&mut barn, &question), Some(Event::Discovered(beacon)) if beacon.ours));
        // Until the old one is over.
        let question = call(&mut talk("9CC", "the same secret as ever"), Kind::Discover);
        let heard = hall.hear(Instant::now(), WALL_MS + 1_000, near(), &question);
        assert!(matches!(heard, Some(Event::Discovered(beacon)) if !beacon.ours));
    }

    #[test]
    fn what_was_said_long_ago_or_far_away_is_not_believed() {
        let (mut hall, mut barn) = (talk("7FA", "the same secret"), talk("8BB", "the same secret"));
        let question = call(&mut barn, Kind::Discover);
        let later_ms = WALL_MS + CLOCK_DIFFERENCE_MAX_MS + 1;
        assert!(hall.hear(Instant::now(), later_ms, near(), &question).is_none());
        let far = "203.0.113.9:6900".parse().unwrap();
        hall.interfaces.retain(|interface| interface.address.is_loopback());
        assert!(hall.hear(Instant::now(), WALL_MS, far, &question).is_none());
        assert!(hall.answers.due(Instant::now() + DELAY_MAX).is_empty());
        assert!(hear(&mut hall, &question).is_some(), "the same is believed in time and from near");
    }

    #[test]
    fn a_server_ignores_itself() {
        let mut hall = talk("7FA", "the same secret");
        let question = call(&mut hall, Kind::Discover);
        assert!(hear(&mut hall, &question).is_none());
        assert!(hall.answers.due(Instant::now() + DELAY_MAX).is_empty());
    }

    #[test]
    fn other_networks_are_mentioned_but_never_ours() {
        let (mut hall, mut other) = (talk("7FA", "our secret"), talk("8BB", "another secret"));
        let question = call(&mut other, Kind::Discover);
        let Some(Event::Discovered(beacon)) = hear(&mut hall, &question) else { panic!("nobody found") };
        assert!(!beacon.ours);
        let question = call(&mut other, Kind::Discover);
        assert!(hear(&mut hall, &question).is_none(), "mentioned again at once");
        let goodbye = call(&mut other, Kind::Goodbye);
        assert!(hear(&mut hall, &goodbye).is_none());
    }

    #[test]
    fn a_goodbye_counts_only_with_proof() {
        let (mut hall, mut barn) = (talk("7FA", "the same secret"), talk("8BB", "the same secret"));
        let goodbye = call(&mut barn, Kind::Goodbye);
        assert!(
            matches!(hear(&mut hall, &goodbye), Some(Event::Vanished { server }) if server.as_str() == "8BB")
        );
    }

    #[test]
    fn a_client_gets_no_more_than_it_gave_and_a_lan_no_more_than_ten_a_second() {
        let mut hall = talk("7FA", "our secret");
        let question = Datagram {
            kind: Kind::Discover,
            from_client: true,
            time_ms: 0,
            nonce: [1; 16],
            network_id: [0; 8],
            about: About::default(),
        };
        assert!(hear(&mut hall, &question.encode(None, 512)).is_none());
        assert!(hall.answers.next().is_none(), "a short question gets no answer");
        let padded = question.encode_client_question(beacon::CLIENT_QUESTION_BYTES_MIN);
        let now = Instant::now();
        for port in 1..=20 {
            let from = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
            assert!(hall.hear(now, WALL_MS, from, &padded).is_none());
        }
        let answers = hall.answers.due(now + DELAY_MAX);
        assert_eq!(answers.len(), PER_SECOND);
        for answer in answers {
            assert!(answer.bytes.len() <= padded.len());
            let (said, proof) = Datagram::decode(&answer.bytes, None).unwrap();
            assert_eq!((proof, said.nonce, said.about.network.as_str()), (Proof::None, [1; 16], "Folkmoot"));
        }
    }

    #[test]
    fn the_older_protocol_is_answered_near_by_and_no_more_often_than_ours() {
        let mut hall = talk("7FA", "our secret");
        let now = Instant::now();
        let question = b"DISCOVER_SERVER 0 \n";
        hall.hear_compat(now, near(), b"DISCOVER_CLIENT 0 \n");
        hall.interfaces.retain(|interface| interface.address.is_loopback());
        hall.hear_compat(now, "203.0.113.9:9999".parse().unwrap(), question);
        assert!(hall.answers.next().is_none());
        for port in 1..=20 {
            hall.hear_compat(now, SocketAddr::new("127.0.0.1".parse().unwrap(), port), question);
        }
        let answers = hall.answers.due(now + DELAY_MAX);
        assert_eq!(answers.len(), PER_SECOND);
        for answer in answers {
            assert!(answer.is_compat);
            assert_eq!(answer.bytes, b"SERVER_ANNOUNCE 20 \n\x08s7fa.lan\x12\x08\n\x03IRC\x10\x8b4\n");
        }
    }

    #[test]
    fn only_doors_that_can_be_reached_from_there_are_named() {
        let services = announcement("7FA", "s", 1).services;
        let doors = |from: &str, v6| open_doors(&services, from.parse().ok(), v6);
        assert_eq!(doors("127.0.0.1", false), [(Door::Irc, 6667), (Door::Link, 6900)]);
        assert_eq!(doors("10.0.0.5", false), [(Door::Link, 6900)]);
        assert_eq!(doors("", false), [(Door::Link, 6900)]);
        assert_eq!(doors("", true), []);
    }

    #[test]
    fn servers_on_one_machine_find_each_other_and_hear_goodbye() {
        let free = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let (heard, events) = std::sync::mpsc::channel();
        let start = |sid: &'static str| {
            let heard = heard.clone();
            let emit = move |event| heard.send((sid, event)).unwrap_or(());
            Discovery::start(announcement(sid, "the same secret", free), Figures::default, emit, || ())
                .unwrap()
        };
        let (hall, barn) = (start("7FA"), start("8BB"));
        let mut found = std::collections::BTreeSet::new();
        while found.len() < 2 {
            match events.recv_timeout(Duration::from_secs(10)).expect("both find each other") {
                (sid, Event::Discovered(beacon)) if beacon.ours => {
                    found.insert((sid, beacon.sid.to_string()))
                }
                _ => continue,
            };
        }
        assert!(found.contains(&("7FA", "8BB".to_string())) && found.contains(&("8BB", "7FA".to_string())));
        barn.stop();
        while !matches!(
            events.recv_timeout(Duration::from_secs(10)).expect("the goodbye is heard"),
            ("7FA", Event::Vanished { .. })
        ) {}
        hall.stop();
    }
}
