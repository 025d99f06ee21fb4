//! Whatever a server says is whole: no line is too long, nothing is cut within a character or a name, and of a list
//! nothing is lost, however long the names are.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};

use folkmoot::config::{Config, Operator};
use folkmoot::engine::{ConnId, Effect, Engine, Event, Identity, Origin, Pin};
use folkmoot::wire::message::{BODY_BYTES_MAX, Message};
use folkmoot::wire::names::{ServerId, ServerName};
use folkmoot::wire::time::{Now, Timestamp};

/// Four bytes a character, so that most cuts would fall within one.
const WIDE: &str = "🦊";

/// How many people there are, and how many channels they are all on.
const PEOPLE: usize = 16;
const CHANNELS: usize = 12;

/// One server with names as long as they may be, and everyone who is on it.
struct Hall {
    engine: Engine,
    config: Config,
    now: Now,
}

impl Hall {
    fn new(config: Config) -> Hall {
        let identity = Identity {
            sid: ServerId::LOWEST,
            name: ServerName::parse(&format!("{}.lan", "s".repeat(59))).expect("63 bytes"),
            epoch: 1,
            secret: Vec::new(),
            pin: Pin([1; 32]),
            clock_floor_ms: 0,
            seed: [1; 32],
            version: "folkmoot-test".to_string(),
        };
        let now = Now { wall: Timestamp(1_767_268_800_000), steady_ms: 1_000_000 };
        Hall { engine: Engine::new(config.clone(), identity, now), config, now }
    }

    fn step(&mut self, event: Event) -> Vec<(ConnId, String)> {
        self.now.steady_ms += 10;
        self.now.wall.0 += 10;
        let mut heard = Vec::new();
        let mut waiting = vec![event];
        while let Some(event) = waiting.pop() {
            for effect in self.engine.step(self.now, event) {
                match effect {
                    Effect::Send { to, line } => heard.push((to, line.to_string())),
                    Effect::SendAll { to, line } => heard.extend(to.iter().map(|to| (*to, line.to_string()))),
                    Effect::SendBundle { to, bundle } => {
                        let lines = || bundle.lines().map(str::to_string);
                        heard.extend(to.iter().flat_map(|to| lines().map(|line| (*to, line))));
                    }
                    Effect::Verify { ask, .. } => waiting.push(Event::Verified { ask, right: true }),
                    Effect::Measure { ask } => waiting.push(Event::Measured { ask, traffic: Vec::new() }),
                    _ => {}
                }
            }
        }
        for (_, line) in &heard {
            is_whole(line);
        }
        heard
    }

    fn says(&mut self, number: usize, line: &str) -> Vec<String> {
        let conn = ConnId(number as u64);
        let heard = self.step(Event::Lines { conn, lines: line.into() });
        heard.into_iter().filter(|(to, _)| *to == conn).map(|(_, line)| line).collect()
    }

    fn connects(&mut self, number: usize) {
        let conn = ConnId(number as u64);
        let ip =
            Ipv6Addr::new(0x2001, 0xdb80, 0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x1000 + number as u16);
        let from = Origin::Client {
            address: SocketAddr::from((ip, 40_000)),
            name: None,
            secure: None,
            certificate: None,
        };
        self.step(Event::Opened { conn, from });
        let username = "u".repeat(self.config.limits.username_length);
        let realname = fill_up("", self.config.limits.realname_length.min(300));
        let mut heard = self.says(number, "CAP REQ :message-tags server-time batch userhost-in-names multi-prefix extended-join account-notify away-notify labeled-response setname chghost invite-notify");
        heard.extend(self.says(number, &format!("NICK {}", self.nick(number))));
        heard.extend(self.says(number, &format!("USER {username} 0 * :{realname}")));
        heard.extend(self.says(number, "CAP END"));
        assert!(heard.iter().any(|line| body(line).split(' ').nth(1) == Some("001")), "{heard:?}");
        assert_eq!(
            texts(&heard, "372").concat().replace([' ', '-'], ""),
            self.motd().replace([' ', '\n'], "")
        );
    }

    fn nick(&self, number: usize) -> String {
        let start = format!("n{number}n");
        format!("{start}{}", "n".repeat(self.config.limits.nick_length - start.len()))
    }

    fn channel(&self, number: usize) -> String {
        fill_up(&format!("#{number}"), self.config.limits.channel_length)
    }

    fn motd(&self) -> String {
        self.config.server.motd_text.clone().unwrap_or_default()
    }
}

/// As many whole characters as fit behind a beginning.
fn fill_up(start: &str, bytes: usize) -> String {
    format!("{start}{}", WIDE.repeat((bytes - start.len()) / WIDE.len()))
}

fn body(line: &str) -> &str {
    if line.starts_with('@') { line.split_once(' ').map_or("", |(_, body)| body) } else { line }
}

/// It fits, no character was cut, and no parameter before the last is missing its end.
fn is_whole(line: &str) {
    let body = body(line);
    assert!(body.len() <= BODY_BYTES_MAX, "{} bytes: {line}", body.len());
    assert!(!body.contains(['\u{fffd}', '\r', '\n', '\0']), "{line}");
    assert!(Message::parse(line).is_some(), "{line}");
}

/// The last parameters of all replies with this number.
fn texts(heard: &[String], code: &str) -> Vec<String> {
    let messages = heard.iter().filter_map(|line| Message::parse(line));
    let of_code = messages.filter(|message| message.command == code);
    of_code.filter_map(|message| message.params.last().map(|text| text.to_string())).collect()
}

/// The parameter at one place of all replies with this number.
fn params<'h>(heard: &'h [String], code: &str, place: usize) -> Vec<&'h str> {
    let messages = heard.iter().filter_map(|line| Message::parse(line));
    messages.filter(|message| message.command == code).map(|message| message.params[place]).collect()
}

fn words(texts: &[String]) -> BTreeSet<String> {
    texts.iter().flat_map(|text| text.split(' ')).map(str::to_string).collect()
}

fn with_long_names(mut config: Config) -> Config {
    config.limits.flood = false;
    config.limits.connections_per_address = 0;
    config.limits.list_entries = 100;
    config.server.description = fill_up("", 255);
    config.server.admin = vec![fill_up("", 255), fill_up("", 255), fill_up("", 255)];
    config.server.motd_text =
        Some(format!("{}\n{}\nshort", fill_up("", 1_200), "word ".repeat(300).trim_end()));
    config.network.name = "N".repeat(63);
    config.operator.push(Operator {
        name: "ada".to_string(),
        password: "x".to_string(),
        class: "administrator".to_string(),
        vhost: None,
    });
    if let Some(class) = config.operator_class.get_mut("administrator") {
        class.title = fill_up("", 200);
        class.topics = "klorsvxcqn".to_string();
    }
    config
}

fn everything_is_whole(config: Config) {
    let mut hall = Hall::new(config);
    (1..=PEOPLE).for_each(|number| hall.connects(number));
    let channels: Vec<String> = (1..=CHANNELS).map(|number| hall.channel(number)).collect();
    for number in 1..=PEOPLE {
        for channel in &channels {
            hall.says(number, &format!("JOIN {channel}"));
        }
    }
    let long = fill_up("", 480);
    let (first, nick) = (channels[0].clone(), hall.nick(2));

    // Lists have all that belongs on them.
    let heard = hall.says(1, &format!("NAMES {first}"));
    let names: BTreeSet<String> = words(&texts(&heard, "353"))
        .iter()
        .filter_map(|name| name.split('!').next().map(|name| name.trim_start_matches('@').to_string()))
        .collect();
    assert_eq!(names, (1..=PEOPLE).map(|number| hall.nick(number)).collect());
    let heard = hall.says(1, &format!("WHOIS {nick}"));
    assert_eq!(words(&texts(&heard, "319")), channels.iter().cloned().collect());
    let heard = hall.says(1, &format!("WHO {first}"));
    assert_eq!(params(&heard, "352", 5), (1..=PEOPLE).map(|number| hall.nick(number)).collect::<Vec<_>>());
    assert!(params(&heard, "352", 6).iter().all(|flags| flags.starts_with('H')), "{heard:?}");
    assert!(params(&heard, "352", 7).iter().all(|text| text.starts_with("0 ")), "{heard:?}");
    let heard = hall.says(1, "LIST");
    assert_eq!(params(&heard, "322", 1).len(), CHANNELS);
    assert!(channels.iter().all(|channel| params(&heard, "322", 1).contains(&channel.as_str())));

    // A topic is the same to those who hear it set and to those who ask.
    let heard = hall.says(1, &format!("TOPIC {first} :{long}"));
    assert_eq!(texts(&heard, "TOPIC"), texts(&hall.says(2, &format!("TOPIC {first}")), "332"));

    // What people say of things, in every place where others hear it.
    for line in [
        format!("AWAY :{long}"),
        "OPER ada x".to_string(),
        format!("WHOIS {}", hall.nick(1)),
        format!("WHOIS {nick}"),
        format!("WHO {first} %tcuihsnfdlaor,123"),
        "USERHOST ".to_string() + &(1..=5).map(|number| hall.nick(number)).collect::<Vec<_>>().join(" "),
        "ISON ".to_string() + &(1..=7).map(|number| hall.nick(number)).collect::<Vec<_>>().join(" "),
        format!("PRIVMSG {nick} :{long}"),
        format!("PRIVMSG {first} :{long}"),
        format!("NOTICE {first} :{long}"),
        format!("PRIVMSG $$* :{long}"),
        format!("WALLOPS :{long}"),
        format!("INVITE {nick} {first}"),
        format!("KICK {first} {nick} :{long}"),
        format!("INVITE {nick} {first}"),
        format!("PART {} :{long}", channels[1]),
        format!("SAPART {nick} {} :{long}", channels[2]),
        format!("KILL {} :{long}", hall.nick(PEOPLE)),
        format!("KLINE user@{}.example :{long}", "k".repeat(120)),
        format!("DLINE 2001:db8:1:2:3:4:5:6/120 :{long}"),
        format!("XLINE {} :{long}", "r".repeat(150)),
        format!("TESTLINE user@{}.example", "k".repeat(120)),
        format!("WHOWAS {}", hall.nick(PEOPLE)),
        format!("NICK {}", "[".repeat(hall.config.limits.nick_length)),
        "LUSERS".into(),
        "LINKS".into(),
        "MAP".into(),
        "ADMIN".into(),
        "INFO".into(),
        "VERSION".into(),
        "TIME".into(),
        "HELP".into(),
        "HELP STATS".into(),
        "HELP TOKENS".into(),
        "HELP OPERATORS".into(),
        format!("NOSUCH{}", "X".repeat(480)),
        format!("JOIN {long}"),
        format!("WHOIS {long}"),
        format!("PRIVMSG {long} :a"),
        format!("MODE {first} +k {long}"),
        format!("MODE {first} +b"),
        format!("MODE {}", hall.nick(3)),
        format!("HELP {long}"),
        format!("STATS {long}"),
        format!("TIME {long}"),
        format!("SETNAME :{long}"),
    ] {
        hall.says(1, &line);
    }
    for letter in "cdDgGhiklLKmoOpPtuvxXyz".chars() {
        let heard = hall.says(1, &format!("STATS {letter}"));
        assert_eq!(params(&heard, "219", 1), [letter.to_string()], "{heard:?}");
    }
    let heard = hall.says(1, "STATS g");
    assert_eq!(params(&heard, "223", 2).len(), 3, "{heard:?}");

    // Modes with their values, and masks with who set them and when.
    let masks: Vec<String> =
        (10..60).map(|number| format!("{}!{}@{number}.*", "m".repeat(64), "w".repeat(80))).collect();
    for mask in &masks {
        hall.says(1, &format!("MODE {first} +b {mask}"));
    }
    let heard = hall.says(1, &format!("MODE {first} b"));
    assert_eq!(params(&heard, "367", 2), masks, "{heard:?}");
    for time in params(&heard, "367", 4) {
        assert_eq!(time.len(), 10, "{heard:?}");
    }
    let many = (3..9).map(|number| hall.nick(number)).collect::<Vec<_>>();
    let heard = hall.says(1, &format!("MODE {first} +vvvvvv {}", many.join(" ")));
    let given: Vec<&str> = heard
        .iter()
        .filter_map(|line| Message::parse(line))
        .filter(|message| message.command == "MODE")
        .flat_map(|message| message.params[2..].to_vec())
        .collect();
    assert!(given.iter().all(|nick| many.iter().any(|known| known == nick)), "{heard:?}");
    hall.says(3, &format!("QUIT :{long}"));
}

/// Proves: line of 512 bytes
#[test]
fn everything_is_whole_with_the_usual_limits() {
    everything_is_whole(with_long_names(Config::default()));
}

#[test]
fn everything_is_whole_with_the_longest_names_that_may_be_set() {
    let mut config = Config::default();
    let limits = &mut config.limits;
    limits.nick_length = 64;
    limits.username_length = 32;
    limits.realname_length = 300;
    limits.channel_length = 128;
    limits.topic_length = 390;
    limits.kick_length = 390;
    limits.away_length = 390;
    limits.key_length = 64;
    everything_is_whole(with_long_names(config));
}
