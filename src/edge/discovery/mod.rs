//! Who else is on this LAN: asks, answers, and says goodbye; what comes of it is the engine's to decide.

mod hear;
mod older;
mod say;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answers::Answers;
use super::beacon::{About, Kind, LanKey};
use super::identity::{random, wall_clock};
use super::lan::{self, Interface, Sockets};
use super::mdns::Mdns;
use super::running::Services;
use super::secrets::SecretBook;
use super::threads::panic_text;
use crate::config::Config;
use crate::engine::{Event, Figures, Identity};
use crate::wire::names::ServerId;

/// After the start, when to ask: at once, and twice more for those whose network came up a little later.
const FIRST_QUESTIONS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
const QUESTION_INTERVAL: Duration = Duration::from_secs(60);
/// How often to look whether this machine's addresses are still the same.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

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
    use std::net::{SocketAddr, UdpSocket};

    use super::*;
    use crate::engine::Pin;
    use crate::wire::names::ServerName;

    pub const WALL_MS: u64 = 1_795_244_165_123;

    pub fn announcement(sid: &str, secret: &str, port: u16) -> Announcement {
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

    pub fn talk(sid: &str, secret: &str) -> Talk {
        Talk::new(announcement(sid, secret, 6900), Box::new(Figures::default), lan::interfaces())
    }

    pub fn near() -> SocketAddr {
        "127.0.0.1:40000".parse().unwrap()
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
