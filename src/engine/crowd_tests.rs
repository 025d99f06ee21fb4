//! What a crowd on one server hears: how many lines it costs when somebody comes, and who is let in by their account.

use std::collections::{BTreeMap, VecDeque};

use super::effect::Effect;
use super::event::{AskId, ConnId, Event, Origin, Pin};
use super::network::Edit;
use super::{Engine, Identity};
use crate::config::Config;
use crate::wire::line::Lines;
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::{Now, Timestamp};

/// People on one server, each called `p` and their number.
struct Crowd {
    engine: Engine,
    now_ms: u64,
    heard: BTreeMap<ConnId, Vec<String>>,
    /// Answers that are not over.
    more: VecDeque<AskId>,
}

impl Crowd {
    fn new(people: u64) -> Crowd {
        let identity = Identity {
            sid: ServerId::LOWEST,
            name: ServerName::parse("hall.lan").unwrap(),
            epoch: 1,
            secret: b"the secret of this network".to_vec(),
            pin: Pin([1; 32]),
            clock_floor_ms: 0,
            seed: [1; 32],
            version: "folkmoot-0".to_string(),
        };
        let engine = Engine::new(Config::default(), identity, at(0));
        let mut crowd = Crowd { engine, now_ms: 0, heard: BTreeMap::new(), more: VecDeque::new() };
        for number in 0..people {
            let from = Origin::Client {
                address: "127.0.0.1:40000".parse().unwrap(),
                name: None,
                secure: None,
                certificate: None,
            };
            crowd.step(Event::Opened { conn: ConnId(number), from });
            crowd.say(number, &format!("NICK p{number}\nUSER p 0 * :p"));
        }
        crowd
    }

    /// Says something; answered by how many lines it has cost, to everyone together.
    fn say(&mut self, number: u64, line: &str) -> usize {
        self.heard.clear();
        self.step(Event::Lines { conn: ConnId(number), lines: Lines::from(line) });
        self.heard.values().map(Vec::len).sum()
    }

    /// Has the server go on with one answer; false where there is none.
    fn go_on(&mut self) -> bool {
        self.heard.clear();
        let Some(ask) = self.more.pop_front() else { return false };
        self.step(Event::GoOn { ask });
        true
    }

    fn heard(&self, number: u64) -> Vec<String> {
        self.heard.get(&ConnId(number)).cloned().unwrap_or_default()
    }

    fn step(&mut self, event: Event) {
        self.now_ms += 10;
        for effect in self.engine.step(at(self.now_ms), event) {
            let (to, line) = match effect {
                Effect::Send { to, line } => (vec![to], line),
                Effect::SendAll { to, line } => (to, line),
                Effect::GoOn { ask } => {
                    self.more.push_back(ask);
                    continue;
                }
                _ => continue,
            };
            for to in to {
                self.heard.entry(to).or_default().push(line.to_string());
            }
        }
    }

    /// Logs somebody in.
    fn log_in(&mut self, number: u64, account: &str) {
        let user = self.engine.sessions.get(ConnId(number)).and_then(|session| session.user()).unwrap();
        let mut fact = self.engine.network.user(user).unwrap().fact.clone();
        fact.account = Some(super::logins::make_account(&mut self.engine, account));
        self.engine.write(Edit::User { user, fact }, false);
    }
}

fn at(now_ms: u64) -> Now {
    Now { wall: Timestamp(1_767_268_800_000 + now_ms), steady_ms: 1_000 + now_ms }
}

/// Proves: channel mode u
#[test]
fn coming_to_an_announcement_channel_costs_a_few_lines_however_many_are_there() {
    let people = 300;
    let mut crowd = Crowd::new(people);
    crowd.say(0, "JOIN #news");
    crowd.say(0, "MODE #news +mu");
    let joins: Vec<usize> = (1..people).map(|number| crowd.say(number, "JOIN #news")).collect();
    // Their own JOIN, two lines of NAMES, and the JOIN that the one operator hears.
    assert!(joins.iter().all(|lines| *lines == 4), "{joins:?}");
    assert_eq!(crowd.say(7, "PART #news"), 2);
    assert_eq!(crowd.say(8, "QUIT :bye"), 2, "the ERROR and what the operator hears");
    assert_eq!(crowd.say(9, "NICK somebody"), 2);
    let said = crowd.say(0, "PRIVMSG #news :what everyone came for");
    assert_eq!(said as u64, people - 3, "everyone but the one who speaks and the two who have gone");

    // Elsewhere everyone hears of everyone.
    crowd.say(0, "JOIN #green");
    let last = (10..111).map(|number| crowd.say(number, "JOIN #green")).last();
    assert!(last > Some(100), "{last:?}");
}

#[test]
fn a_long_answer_comes_in_slices_and_shows_people_as_they_are_by_then() {
    let people = 600;
    let mut crowd = Crowd::new(people);
    crowd.say(0, "JOIN #green");
    crowd.say(0, "MODE #green +u");
    for number in 1..people {
        crowd.say(number, "JOIN #green");
    }
    crowd.say(0, "MODE #green -u");
    crowd.say(1, "CAP REQ :labeled-response batch");
    crowd.say(1, "@label=7 WHO #green\nPING later");
    let mut answer = crowd.heard(1);
    assert_eq!(answer.len(), 257, "a slice, and the beginning of a batch");
    // Others are served meanwhile, and heard of.
    let (early, late) = (5, people - 1);
    crowd.say(early, "QUIT");
    answer.extend(crowd.heard(1));
    crowd.say(late, "NICK somebody");
    answer.extend(crowd.heard(1));
    let mut slices = 1;
    while crowd.go_on() {
        slices += 1;
        assert!(crowd.heard(1).len() <= 259);
        answer.extend(crowd.heard(1));
    }
    assert_eq!(slices, 3);
    let [before, rest @ ..] = &answer[..] else { panic!("{answer:?}") };
    assert!(before.starts_with("@label=7 :hall.lan BATCH +"), "{before}");
    let batch = before.split(['+', ' ']).nth(4).unwrap();
    let ends = [":hall.lan 315 p1 #green ", &format!(":hall.lan BATCH -{batch}"), ":hall.lan PONG hall.lan "];
    let tail = &rest[rest.len() - 3..];
    assert!(tail.iter().zip(ends).all(|(line, end)| line.contains(end)), "{tail:?}");
    let told = |line: &&String| line.contains(" 352 ");
    assert!(rest.iter().filter(told).all(|line| line.starts_with(&format!("@batch={batch} :"))));
    assert_eq!(rest.iter().filter(told).count() as u64, people);
    let place =
        |what: &str| rest.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}"));
    assert!(place(" p5 H") < place(":p5!p@127.0.0.1 QUIT"));
    assert!(place(" NICK somebody") < place(" somebody H"));

    // Whoever goes has no answer, and nobody waits for it.
    crowd.say(2, "WHO #green");
    crowd.step(Event::Closed { conn: ConnId(2), why: String::new() });
    assert!(crowd.go_on() && !crowd.go_on());
    assert_eq!(crowd.say(3, "LIST"), 3);
}

/// Proves: ERR_NEEDREGGEDNICK, EXTBAN, ACCOUNTEXTBAN, channel mode R, channel mode M
#[test]
fn whoever_is_logged_in_is_known_by_their_account() {
    let mut crowd = Crowd::new(3);
    crowd.log_in(1, "Robert");
    crowd.say(0, "JOIN #green");
    crowd.say(0, "MODE #green +R");
    crowd.say(2, "JOIN #green");
    assert!(crowd.heard(2)[0].contains(" 477 p2 #green "), "{:?}", crowd.heard(2));
    crowd.say(1, "JOIN #green");
    assert!(crowd.heard(1)[0].contains(" JOIN #green"), "{:?}", crowd.heard(1));
    crowd.say(0, "MODE #green -R+M");
    crowd.say(2, "JOIN #green");
    crowd.say(2, "PRIVMSG #green :may I?");
    assert!(crowd.heard(2)[0].contains(" 477 p2 #green "), "{:?}", crowd.heard(2));
    assert_eq!(crowd.say(1, "PRIVMSG #green :I may"), 2);
    crowd.say(0, "MODE #green +b ~mute:~account:rob*");
    crowd.say(1, "PRIVMSG #green :not any more");
    assert!(crowd.heard(1)[0].contains(" 404 p1 #green "), "{:?}", crowd.heard(1));
    crowd.say(1, "PART #green");
    crowd.say(0, "MODE #green -M+b ~account:Robert");
    crowd.say(1, "JOIN #green");
    assert!(crowd.heard(1)[0].contains(" 474 p1 #green "), "{:?}", crowd.heard(1));
    crowd.say(0, "MODE #green -b+i ~account:Robert");
    crowd.say(0, "MODE #green +I ~account:robert");
    crowd.say(1, "JOIN #green");
    assert!(crowd.heard(1)[0].contains(" JOIN #green"), "{:?}", crowd.heard(1));
}

/// Proves: draft/metadata-3, RPL_METADATASYNCLATER, METADATA
#[test]
fn who_comes_to_people_of_whom_much_is_said_is_to_ask_for_it_later() {
    let people = 30;
    let mut crowd = Crowd::new(people);
    let keys: Vec<String> = (0..18).map(|number| format!("key{number}")).collect();
    for number in 0..people {
        for key in &keys {
            crowd.say(number, &format!("METADATA * SET {key} :value"));
        }
        crowd.say(number, "JOIN #green");
    }
    let newcomer = people - 1;
    crowd.say(newcomer, "PART #green");
    crowd.say(newcomer, "CAP REQ :draft/metadata-3 batch");
    crowd.say(newcomer, &format!("METADATA * SUB {}", keys[..12].join(" ")));
    crowd.say(newcomer, "JOIN #green");
    let told = crowd.heard(newcomer);
    assert_eq!(told.iter().filter(|line| line.contains(" 761 ")).count(), 30 * 12);
    crowd.say(newcomer, "PART #green");
    crowd.say(newcomer, &format!("METADATA * SUB {}", keys[12..].join(" ")));
    crowd.say(newcomer, "JOIN #green");
    let told = crowd.heard(newcomer);
    assert_eq!(told.last().unwrap(), ":hall.lan 774 p29 #green 2 :Try again later", "{told:?}");
    crowd.say(newcomer, "METADATA #green SYNC");
    let told = crowd.heard(newcomer);
    assert_eq!(told.iter().filter(|line| line.contains(" 761 ")).count(), 30 * 18);
}
