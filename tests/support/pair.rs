//! Two engines in this process with one link between them, and people whom nobody listens to: for what is
//! measured, and need not be read.

use std::collections::VecDeque;
use std::net::SocketAddr;

use folkmoot::config::{self, Config};
use folkmoot::engine::{ConnId, Effect, Engine, Event, Identity, Origin, Pin};
use folkmoot::wire::line::Lines;
use folkmoot::wire::names::{ServerId, ServerName};
use folkmoot::wire::time::{Now, Timestamp};

/// Noon on 1 January 2026.
const BEGINNING_MS: u64 = 1_767_268_800_000;

/// Below the silence after which a link is asked for a sign of life.
const TICK_MS_MAX: u64 = 2_000;

/// What each end calls the link.
const LINK: ConnId = ConnId(1);

pub struct Pair {
    /// The first one calls the second.
    engines: [Engine; 2],
    on_the_way: VecDeque<(usize, Event)>,
    now_ms: u64,
    conns: u64,
    is_linked: bool,
    /// What went over the link, both ways.
    pub link_lines: u64,
    pub link_bytes: u64,
}

impl Pair {
    pub fn new() -> Pair {
        let now = now(0);
        let engines = [1, 2].map(|number| Engine::new(settings(number), identity(number), now));
        Pair {
            engines,
            on_the_way: VecDeque::new(),
            now_ms: 0,
            conns: 1,
            is_linked: false,
            link_lines: 0,
            link_bytes: 0,
        }
    }

    /// Lets the first call the second, and everything come to rest.
    pub fn link(&mut self) {
        self.is_linked = true;
        for _ in 0..200 {
            self.pass(250);
            if self.engines.iter().all(|engine| engine.report().links.len() == 1) {
                return;
            }
        }
        panic!("the two did not link");
    }

    /// The link breaks, and neither can call the other.
    pub fn cut(&mut self) {
        self.is_linked = false;
        for server in [0, 1] {
            self.step(server, Event::Closed { conn: LINK, why: "Connection reset".to_string() });
        }
    }

    /// The first can call the second again.
    pub fn mend(&mut self) {
        self.is_linked = true;
    }

    /// Someone connects, registers, and is called this.
    pub fn arrive(&mut self, server: usize, nick: &str) -> (usize, ConnId) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let from = Origin::Client {
            address: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            name: None,
            secure: None,
            certificate: None,
        };
        self.step(server, Event::Opened { conn, from });
        self.say((server, conn), &format!("NICK {nick}\nUSER {nick} 0 * :{nick}"));
        (server, conn)
    }

    pub fn say(&mut self, (server, conn): (usize, ConnId), line: &str) {
        self.step(server, Event::Lines { conn, lines: Lines::from(line) });
    }

    pub fn hang_up(&mut self, (server, conn): (usize, ConnId)) {
        self.step(server, Event::Closed { conn, why: "Connection closed".to_string() });
    }

    /// Time passes, and both notice, soon enough to keep the link alive.
    pub fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            self.now_ms = until_ms.min(self.now_ms + TICK_MS_MAX);
            for server in [0, 1] {
                self.tick(server);
            }
        }
    }

    /// One of them notices what time it is.
    pub fn tick(&mut self, server: usize) {
        self.step(server, Event::Tick);
    }

    /// One of them reads its config again, which is as it was.
    pub fn reload(&mut self, server: usize) {
        let outcome = Ok(Box::new(settings(server as u8 + 1)));
        self.step(server, Event::Configured { ask: None, file: "folkmoot.toml".to_string(), outcome });
    }

    pub fn engine(&self, server: usize) -> &Engine {
        &self.engines[server]
    }

    fn step(&mut self, server: usize, event: Event) {
        self.on_the_way.push_back((server, event));
        while let Some((server, event)) = self.on_the_way.pop_front() {
            for effect in self.engines[server].step(now(self.now_ms), event) {
                self.see_to(server, effect);
            }
        }
    }

    fn see_to(&mut self, server: usize, effect: Effect) {
        match effect {
            Effect::Send { to: LINK, line } => self.carry(server, &line),
            Effect::SendAll { to, line } if to.contains(&LINK) => self.carry(server, &line),
            Effect::Close { conn: LINK, why } => panic!("the link of {server} closes: {why}"),
            Effect::Close { conn, why } => self.on_the_way.push_back((server, Event::Closed { conn, why })),
            Effect::Dial { ask, .. } if self.is_linked => {
                for (end, dialled) in [(1, None), (0, Some(ask))] {
                    let from = Origin::Peer {
                        address: address(2 - end as u8),
                        dialled,
                        pin: pin(2 - end as u8),
                        exporter: [7; 32],
                    };
                    self.on_the_way.push_back((end, Event::Opened { conn: LINK, from }));
                }
            }
            // Nothing is kept here, and every question has an answer.
            Effect::Recall { ask, .. } => {
                let event = Event::Recalled { ask, outcome: Ok(Vec::new()), is_cut: false };
                self.on_the_way.push_back((server, event));
            }
            Effect::GoOn { ask } => self.on_the_way.push_back((server, Event::GoOn { ask })),
            Effect::Dial { ask, .. } => {
                self.on_the_way.push_back((server, Event::DialFailed { ask, why: "not yet".to_string() }));
            }
            _ => {}
        }
    }

    fn carry(&mut self, server: usize, line: &str) {
        self.link_lines += 1;
        self.link_bytes += line.len() as u64 + 2;
        self.on_the_way.push_back((1 - server, Event::Lines { conn: LINK, lines: Lines::from(line) }));
    }
}

fn now(now_ms: u64) -> Now {
    Now { wall: Timestamp(BEGINNING_MS + now_ms), steady_ms: 1_000 + now_ms }
}

fn settings(number: u8) -> Config {
    let mut config = Config::default();
    config.limits.ping_after = std::time::Duration::from_secs(3600 * 24 * 365);
    config.limits.channels_per_user = 1_000;
    // Nobody is held back: what they do is to be measured, not what they may.
    config.limits.flood = false;
    if number == 1 {
        let (name, address) = ("s2.lan".to_string(), address(2).to_string());
        config.link.push(config::Link { name, address, pin: None, connect: true });
    }
    config
}

fn pin(number: u8) -> Pin {
    Pin([number; 32])
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 6900))
}

fn identity(number: u8) -> Identity {
    Identity {
        sid: ServerId::parse(&format!("{number}AA")).expect("a digit and two letters"),
        name: ServerName::parse(&format!("s{number}.lan")).expect("letters and a dot"),
        epoch: 1,
        secret: b"the same on both of them".to_vec(),
        pin: pin(number),
        clock_floor_ms: 0,
        seed: [number; 32],
        version: "folkmoot-pair".to_string(),
    }
}
