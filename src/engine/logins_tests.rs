//! Ways around a login that are none, and where passwords and what is kept of them may be seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};

use super::held::HELD_FOR_MS;
use super::logins::make_account;
use super::network::{AccountFact, Edit, Field};
use super::{ConnId, Credential, Effect, Engine, Event, Identity, Origin, Pin, ScramKeys};
use crate::config::{Config, Operator, Rate};
use crate::wire::line::Lines;
use crate::wire::names::{ServerId, ServerName};
use crate::wire::time::{Now, Timestamp};

const PASSWORD: &str = "hayrick99";
const CERTIFICATE: Pin = Pin([7; 32]);

/// A server with a password checker, and people on it by their nicks.
struct Hall {
    engine: Engine,
    conns: BTreeMap<String, ConnId>,
    now_ms: u64,
    /// Whether passwords are checked at all for now.
    is_checking: bool,
    /// What was asked of the checker and not answered yet.
    asked: Vec<Effect>,
    /// All that anybody heard, behind who did, and all that the log says.
    heard: Vec<String>,
    log: Vec<String>,
}

impl Hall {
    fn new() -> Hall {
        let mut config = Config::default();
        config.operator.push(Operator {
            name: "ada".to_string(),
            password: "lovelace".to_string(),
            class: "administrator".to_string(),
            vhost: None,
        });
        let identity = Identity {
            sid: ServerId::LOWEST,
            name: ServerName::parse("hall.lan").expect("a name"),
            epoch: 1,
            secret: b"of the network".to_vec(),
            pin: Pin([1; 32]),
            clock_floor_ms: 0,
            seed: [1; 32],
            version: String::new(),
        };
        Hall {
            engine: Engine::new(config, identity, Now::default()),
            conns: BTreeMap::new(),
            now_ms: 1_000,
            is_checking: true,
            asked: Vec::new(),
            heard: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Connects by TLS, with a certificate or without.
    fn open(&mut self, nick: &str, certificate: Option<Pin>) {
        let conn = ConnId(self.conns.len() as u64 + 1);
        // From places of their own, so that nobody pays for what another tries.
        let address = SocketAddr::from(([10, 0, 0, conn.0 as u8], 40_000));
        let from = Origin::Client { address, name: None, secure: Some("TLSv1.3".to_string()), certificate };
        self.conns.insert(nick.to_string(), conn);
        self.step(Event::Opened { conn, from });
    }

    fn come(&mut self, nick: &str) {
        self.open(nick, None);
        for line in [&format!("NICK {nick}"), "USER x 0 * :x"] {
            self.say(nick, line);
        }
    }

    /// Answers with what that person hears of it.
    fn say(&mut self, nick: &str, line: &str) -> Vec<String> {
        let before = self.heard.len();
        self.step(Event::Lines { conn: self.conns[nick], lines: Lines::from(line) });
        self.heard_by(nick, before)
    }

    fn heard_by(&self, nick: &str, since: usize) -> Vec<String> {
        let start = format!("{nick} ");
        let own = self.heard[since..].iter().filter_map(|line| line.strip_prefix(&start));
        own.map(str::to_string).collect()
    }

    fn step(&mut self, event: Event) {
        self.now_ms += 1;
        let now = Now { wall: Timestamp(1_767_268_800_000 + self.now_ms), steady_ms: self.now_ms };
        for effect in self.engine.step(now, event) {
            match effect {
                Effect::Send { to, line } => self.hear(&[to], &line),
                Effect::SendAll { to, line } => self.hear(&to, &line),
                Effect::Note { text, .. } => self.log.push(text),
                Effect::Match { .. } | Effect::Hash { .. } | Effect::Verify { .. } => self.asked.push(effect),
                _ => {}
            }
        }
        if self.is_checking {
            self.check();
        }
    }

    /// As long as what somebody says waits at most behind a password that is being checked.
    fn wait_for_no_answer(&mut self) {
        self.now_ms += HELD_FOR_MS;
        self.step(Event::Tick);
    }

    fn hear(&mut self, to: &[ConnId], line: &str) {
        let people = self.conns.iter().filter(|(_, conn)| to.contains(conn));
        self.heard.extend(people.map(|(nick, _)| format!("{nick} {line}")));
    }

    /// Checks all that waits to be.
    fn check(&mut self) {
        for effect in std::mem::take(&mut self.asked) {
            let event = match effect {
                Effect::Match { ask, given, known } => {
                    Event::Matched { ask, right: known == credential(&given.0).hash, renewed: None }
                }
                Effect::Hash { ask, password } => {
                    Event::Hashed { ask, credential: Some(credential(&password.0)) }
                }
                Effect::Verify { ask, given, known } => Event::Verified { ask, right: given.0 == known },
                other => panic!("{other:?} is no question to the checker"),
            };
            self.step(event);
        }
    }

    /// By SASL, in as many steps as it takes; whether it was so.
    fn log_in(&mut self, nick: &str, mechanism: &str, response: &[u8]) -> bool {
        self.say(nick, &format!("AUTHENTICATE {mechanism}"));
        let response = if response.is_empty() { "+".to_string() } else { BASE64.encode(response) };
        let heard = self.say(nick, &format!("AUTHENTICATE {response}"));
        is_logged_in(&heard)
    }

    /// By SCRAM, as a client does it.
    fn log_in_by_scram(&mut self, nick: &str, name: &str, password: &str) -> bool {
        let first = format!("n={name},r=abc");
        self.say(nick, "AUTHENTICATE SCRAM-SHA-256");
        let heard = self.say(nick, &format!("AUTHENTICATE {}", BASE64.encode(format!("n,,{first}"))));
        let Some(said) = heard.iter().find_map(|line| line.strip_prefix("AUTHENTICATE ")) else {
            return false;
        };
        let said = String::from_utf8(BASE64.decode(said).expect("base64")).expect("text");
        let parts: Vec<&str> = said.split(',').collect();
        let salt = BASE64.decode(parts[1].strip_prefix("s=").expect("a salt")).expect("base64");
        let rounds: u32 = parts[2].strip_prefix("i=").expect("rounds").parse().expect("a number");
        let key = salted(password, &salt, rounds);
        let client_key = hmac::sign(&key, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let last = format!("c=biws,{}", parts[0]);
        let all = format!("{first},{said},{last}");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored.as_ref()), all.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let last = BASE64.encode(format!("{last},p={}", BASE64.encode(proof)));
        let mut heard = self.say(nick, &format!("AUTHENTICATE {last}"));
        if heard.iter().any(|line| line.starts_with("AUTHENTICATE ")) {
            heard = self.say(nick, "AUTHENTICATE +");
        }
        is_logged_in(&heard)
    }
}

fn is_logged_in(heard: &[String]) -> bool {
    let has = |number: &str| heard.iter().any(|line| line.contains(number));
    assert!(!has(" 900 ") || has(" 903 ") || has("REGISTER SUCCESS") || has("NickServ"), "{heard:?}");
    has(" 900 ")
}

fn salted(password: &str, salt: &[u8], rounds: u32) -> hmac::Key {
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(rounds).expect("more than none");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
    hmac::Key::new(hmac::HMAC_SHA256, &salted)
}

fn credential(password: &str) -> Credential {
    let salt = vec![3; 16];
    let key = salted(password, &salt, super::SCRAM_ITERATIONS);
    let client_key = hmac::sign(&key, b"Client Key");
    let bytes = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).expect("32 bytes");
    let scram = ScramKeys {
        salt,
        iterations: super::SCRAM_ITERATIONS,
        stored: bytes(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref()),
        server: bytes(hmac::sign(&key, b"Server Key").as_ref()),
    };
    Credential { hash: format!("$hashed${}", BASE64.encode(password)), scram }
}

fn plain(name: &str, password: &str) -> Vec<u8> {
    format!("\0{name}\0{password}").into_bytes()
}

/// Ann has an account that logs in by all there is; answers with the password of her phone.
fn hall_with_ann() -> (Hall, String) {
    let mut hall = Hall::new();
    hall.open("ann", Some(CERTIFICATE));
    for line in ["NICK ann", "USER x 0 * :x", &format!("REGISTER ann * {PASSWORD}"), "NS CERT ADD"] {
        hall.say("ann", line);
    }
    let heard = hall.say("ann", "NS DEVICE ADD phone");
    let password = heard[0].split_once(" is ").expect("it is told").1.split(':').next().expect("a word");
    (hall, password.to_string())
}

/// Every way in; each on a connection of its own.
fn ways_in(hall: &mut Hall, round: &str, phone: &str) -> Vec<(&'static str, bool)> {
    let name = |way: &str| format!("{way}{round}");
    for way in ["plain", "device", "cert", "named", "scram"] {
        let certificate = ["cert", "named"].contains(&way).then_some(CERTIFICATE);
        hall.open(&name(way), certificate);
    }
    hall.come(&name("words"));
    let words = hall.say(&name("words"), &format!("NS IDENTIFY ann {PASSWORD}"));
    vec![
        ("PLAIN", hall.log_in(&name("plain"), "PLAIN", &plain("ann", PASSWORD))),
        ("PLAIN with a device's password", hall.log_in(&name("device"), "PLAIN", &plain("ann", phone))),
        ("EXTERNAL", hall.log_in(&name("cert"), "EXTERNAL", b"")),
        ("EXTERNAL with a name", hall.log_in(&name("named"), "EXTERNAL", b"ann")),
        ("SCRAM", hall.log_in_by_scram(&name("scram"), "ann", PASSWORD)),
        ("NickServ", is_logged_in(&words)),
    ]
}

/// Proves: AUTHENTICATE, ERR_NICKLOCKED, sasl
#[test]
fn every_way_in_is_open_until_the_account_is_suspended_and_then_none_is() {
    let (mut hall, phone) = hall_with_ann();
    for (way, is_in) in ways_in(&mut hall, "1", &phone) {
        assert!(is_in, "{way}");
    }
    hall.come("ada");
    hall.say("ada", "OPER ada lovelace");
    hall.say("ada", "NS SUSPEND ann");
    for (way, is_in) in ways_in(&mut hall, "2", &phone) {
        assert!(!is_in, "{way}");
    }
    // Nor by making it anew.
    hall.say("ann", "NICK other");
    hall.come("bob");
    hall.say("bob", "NICK ann");
    let heard = hall.say("bob", &format!("REGISTER ann * {PASSWORD}"));
    assert!(!is_logged_in(&heard), "{heard:?}");
}

/// Two accounts of one name, as they come of a split, each with a password of its own; and what they are called now.
fn claim_twice(hall: &mut Hall, name: &str) -> [String; 2] {
    let accounts = ["first-one", "second-one"].map(|password| {
        let account = make_account(&mut hall.engine, name);
        let fact = Some(AccountFact::Password(credential(password)));
        let by = String::new();
        hall.engine.write(Edit::Account { account, field: Field::Password, fact, by }, false);
        account
    });
    accounts.map(|id| hall.engine.network.accounts().get(id).expect("it was made").name.clone())
}

#[test]
fn a_name_that_was_claimed_twice_is_one_accounts_by_every_mechanism() {
    let mut hall = Hall::new();
    let [_, twin] = claim_twice(&mut hall, "pat");
    for (number, (name, password, is_in)) in [
        ("pat", "first-one", true),
        ("pat", "second-one", false),
        (twin.as_str(), "first-one", false),
        (twin.as_str(), "second-one", true),
    ]
    .into_iter()
    .enumerate()
    {
        let person = |way: &str| format!("{way}{number}");
        hall.open(&person("plain"), None);
        hall.open(&person("scram"), None);
        hall.come(&person("words"));
        assert_eq!(
            hall.log_in(&person("plain"), "PLAIN", &plain(name, password)),
            is_in,
            "{name} {password}"
        );
        assert_eq!(hall.log_in_by_scram(&person("scram"), name, password), is_in, "{name} {password}");
        let heard = hall.say(&person("words"), &format!("NS IDENTIFY {name} {password}"));
        assert_eq!(is_logged_in(&heard), is_in, "{name} {password}: {heard:?}");
    }
}

#[test]
fn who_counts_as_one_party_is_what_the_settings_say() {
    for (bits, is_turned_away) in [(48, true), (64, false)] {
        let (mut hall, _) = hall_with_ann();
        hall.engine.config.limits.arrivals.address_bits_ipv6 = bits;
        hall.engine.config.accounts.failure_rate = Some(Rate::new(3, 600));
        for (person, address) in [("one", "2001:db8:0:1::1"), ("two", "2001:db8:0:2::1")] {
            hall.open(person, None);
            let conn = hall.conns[person];
            let address = SocketAddr::new(address.parse().expect("an address"), 40_000);
            hall.engine.sessions.get_mut(conn).expect("it is open").address = address;
        }
        for _ in 0..3 {
            hall.log_in("one", "PLAIN", &plain("ann", "wrong"));
        }
        let heard = hall.say("two", "AUTHENTICATE PLAIN");
        assert_eq!(heard[0].contains("too many logins"), is_turned_away, "{bits} bits: {heard:?}");
    }
}

#[test]
fn what_was_taken_back_lets_nobody_in() {
    let (mut hall, phone) = hall_with_ann();
    for line in [&format!("NS CERT DEL {CERTIFICATE}"), "NS DEVICE DEL phone", "NS SET PASSWORD another-one"]
    {
        hall.say("ann", line);
    }
    for (way, is_in) in ways_in(&mut hall, "1", &phone) {
        assert!(!is_in, "{way}");
    }
}

#[test]
fn a_certificate_logs_in_to_its_own_account_and_no_other() {
    let (mut hall, _) = hall_with_ann();
    hall.open("bob", Some(CERTIFICATE));
    for line in ["NICK bob", "USER x 0 * :x", "REGISTER bob * strawman7"] {
        hall.say("bob", line);
    }
    let heard = hall.say("bob", "NS CERT ADD");
    assert!(heard[0].contains("logs somebody else in"), "{heard:?}");
    hall.open("eve", Some(Pin([8; 32])));
    assert!(!hall.log_in("eve", "EXTERNAL", b"ann"));
    hall.open("mal", Some(CERTIFICATE));
    assert!(!hall.log_in("mal", "EXTERNAL", b"bob"));
}

/// Proves: REGISTER, ACCOUNT_EXISTS
#[test]
fn whoever_registers_a_name_a_moment_later_is_not_let_in_to_the_first_ones_account() {
    let mut hall = Hall::new();
    hall.is_checking = false;
    for (person, password) in [("one", "hayrick99"), ("two", "strawman7")] {
        hall.open(person, None);
        for line in ["NICK ann", &format!("REGISTER ann * {password}")] {
            hall.say(person, line);
        }
    }
    hall.check();
    assert!(is_logged_in(&hall.heard_by("one", 0)));
    let heard = hall.heard_by("two", 0);
    assert!(!is_logged_in(&heard) && heard.last().is_some_and(|line| line.contains("already")), "{heard:?}");
}

/// Proves: AUTHENTICATE, ERR_SASLABORTED
#[test]
fn an_answer_that_comes_after_it_was_given_up_logs_nobody_in() {
    let (mut hall, _) = hall_with_ann();
    hall.is_checking = false;
    for (person, end) in [("one", "AUTHENTICATE *"), ("two", "AUTHENTICATE PLAIN"), ("eve", "CAP END")] {
        hall.open(person, None);
        for line in ["CAP REQ :sasl", &format!("NICK {person}"), "USER x 0 * :x"] {
            hall.say(person, line);
        }
        let before = hall.heard.len();
        hall.log_in(person, "PLAIN", &plain("ann", PASSWORD));
        hall.say(person, end);
        hall.wait_for_no_answer();
        hall.check();
        let heard = hall.heard_by(person, before);
        assert!(heard.iter().any(|line| line.contains(" 90") || line.contains(" 001 ")), "{heard:?}");
        assert!(!is_logged_in(&heard), "{heard:?}");
    }
}

#[test]
fn a_check_that_is_given_up_counts_as_one_that_failed() {
    let (mut hall, _) = hall_with_ann();
    hall.is_checking = false;
    hall.come("eve");
    hall.say("eve", "CAP REQ :sasl");
    for _ in 0..5 {
        hall.log_in("eve", "PLAIN", &plain("ann", PASSWORD));
        hall.say("eve", "AUTHENTICATE *");
        hall.wait_for_no_answer();
    }
    let heard = hall.heard_by("eve", 0);
    assert!(heard.iter().any(|line| line.contains("Too many logins failed")), "{heard:?}");
}

#[test]
fn nothing_tells_whether_there_is_an_account() {
    let (mut hall, _) = hall_with_ann();
    hall.is_checking = false;
    let mut asked = Vec::new();
    let [holder, twin] = claim_twice(&mut hall, "pat");
    assert!(holder == "pat" && twin.starts_with("pat-"), "{twin}");
    for (person, name) in [("one", "ann"), ("two", "nobody"), ("three", "pat"), ("four", &twin)] {
        hall.open(person, None);
        hall.log_in(person, "PLAIN", &plain(name, "wrong"));
        let Some(Effect::Match { known, .. }) = hall.asked.pop() else { panic!("nothing is checked") };
        // One hash is computed in each case, of the kind that is made for passwords.
        assert!(hall.asked.is_empty(), "{name}");
        asked.push(known);
    }
    assert!(asked[1].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{asked:?}");
    let mut begin = |person: &str, name: &str| {
        hall.open(person, None);
        hall.say(person, "AUTHENTICATE SCRAM-SHA-256");
        let first = BASE64.encode(format!("n,,n={name},r=abc"));
        let heard = hall.say(person, &format!("AUTHENTICATE {first}"));
        let said = BASE64.decode(heard[0].strip_prefix("AUTHENTICATE ").expect("an answer")).expect("base64");
        let said = String::from_utf8(said).expect("text");
        let (nonce, rest) = said.split_once(',').expect("several parts");
        (nonce.len(), rest.len(), rest.to_string())
    };
    let (known, unknown, again) = (begin("a", "ann"), begin("b", "nobody"), begin("c", "NOBODY"));
    assert_eq!((known.0, known.1), (unknown.0, unknown.1));
    assert_eq!(unknown, again, "it would be told by a salt that changes");
}

#[test]
fn neither_passwords_nor_what_is_kept_of_them_are_said_to_anybody_or_written_to_the_log() {
    let (mut hall, phone) = hall_with_ann();
    hall.come("bob");
    for line in [
        "PRIVMSG NickServ :IDENTIFY ann hayrick99",
        "PRIVMSG NickServ :IDNTIFY ann hayrick99",
        "NS hayrick99",
        "NS SET PASSWORD hayrick99-2",
        "REGISTER bob hayrick99 hayrick99",
        "REGISTER * * hayrick99",
        "NS IDENTIFY hayrick99",
        "AUTHENTICATE hayrick99",
        "NS DROP hayrick99",
    ] {
        hall.say("bob", line);
    }
    ways_in(&mut hall, "1", &phone);
    let hash = BASE64.encode(PASSWORD);
    for text in hall.heard.iter().chain(&hall.log) {
        for secret in [PASSWORD, "$hashed$", &hash] {
            assert!(!text.contains(secret), "{text}");
        }
        let is_first = text.starts_with("ann ") && text.contains("The password of phone is");
        assert!(is_first || !text.contains(&phone), "{text}");
    }
}

#[test]
fn whoever_tries_too_often_has_to_wait_wherever_they_come_from_by_then() {
    let (mut hall, _) = hall_with_ann();
    let limit = 20;
    for attempt in 0..limit {
        let person = format!("p{attempt}");
        hall.open(&person, None);
        let conn = hall.conns[&person];
        if let Some(session) = hall.engine.sessions.get_mut(conn) {
            session.address = SocketAddr::from(([10, 9, 9, 9], 40_000 + attempt));
        }
        assert!(!hall.log_in(&person, "PLAIN", &plain("ann", "wrong")));
    }
    hall.open("late", None);
    let conn = hall.conns["late"];
    hall.engine.sessions.get_mut(conn).expect("it is open").address = SocketAddr::from(([10, 9, 9, 9], 1));
    let heard = hall.say("late", "AUTHENTICATE PLAIN");
    assert!(heard[0].contains(" 904 ") && heard[0].contains("too many"), "{heard:?}");
    hall.now_ms += 60_000;
    assert!(hall.log_in("late", "PLAIN", &plain("ann", PASSWORD)));
}

/// Proves: REGISTER, ACCOUNT_EXISTS
#[test]
fn nobody_registers_the_nick_of_somebody_who_is_there() {
    let mut hall = Hall::new();
    hall.open("eve", None);
    for line in ["CAP LS 302", "CAP REQ :standard-replies", "NICK bob"] {
        hall.say("eve", line);
    }
    hall.come("bob");
    let heard = hall.say("eve", &format!("REGISTER * * {PASSWORD}"));
    assert!(heard[0].contains("FAIL REGISTER ACCOUNT_EXISTS bob"), "{heard:?}");
    let heard = hall.say("bob", &format!("REGISTER * * {PASSWORD}"));
    assert!(is_logged_in(&heard), "{heard:?}");
}

/// Proves: REGISTER, COMPLETE_CONNECTION_REQUIRED, draft/account-registration
#[test]
fn where_the_server_asks_for_a_password_nobody_makes_an_account_without_it() {
    let mut hall = Hall::new();
    hall.engine.config.server.password = "sesame".to_string();
    hall.open("eve", None);
    let heard = hall.say("eve", "CAP LS 302");
    assert!(!heard.iter().any(|line| line.contains("account-registration=before-connect")), "{heard:?}");
    for line in ["CAP REQ :standard-replies", "NICK eve"] {
        hall.say("eve", line);
    }
    let heard = hall.say("eve", &format!("REGISTER * * {PASSWORD}"));
    assert!(heard[0].contains("FAIL REGISTER COMPLETE_CONNECTION_REQUIRED :"), "{heard:?}");
}

#[test]
fn an_operator_registers_others_and_stays_who_they_are() {
    let mut hall = Hall::new();
    hall.engine.config.accounts.registration = crate::config::Registration::Operators;
    hall.come("ada");
    hall.say("ada", "OPER ada lovelace");
    for name in ["bob", "carol"] {
        let heard = hall.say("ada", &format!("REGISTER {name} * {PASSWORD}"));
        assert!(heard[0].contains(&format!("REGISTER SUCCESS {name} ")), "{heard:?}");
        assert!(!heard.iter().any(|line| line.contains(" 900 ")), "{heard:?}");
    }
    hall.open("bob", None);
    assert!(hall.log_in("bob", "PLAIN", &plain("bob", PASSWORD)));
}

#[test]
fn what_could_not_be_checked_is_nobodys_failure() {
    let (mut hall, _) = hall_with_ann();
    hall.is_checking = false;
    hall.come("eve");
    hall.say("eve", "CAP REQ :sasl");
    for _ in 0..10 {
        let before = hall.heard.len();
        hall.log_in("eve", "PLAIN", &plain("ann", PASSWORD));
        let Some(Effect::Match { ask, .. }) = hall.asked.pop() else { panic!("nothing is checked") };
        hall.step(Event::NotChecked { ask });
        let heard = hall.heard_by("eve", before);
        assert!(heard.iter().any(|line| line.contains(" 904 ") && line.contains("in a moment")), "{heard:?}");
    }
    hall.is_checking = true;
    assert!(hall.log_in("eve", "PLAIN", &plain("ann", PASSWORD)));
}

#[test]
fn whoever_guesses_and_goes_pays_for_it_where_they_come_from() {
    let (mut hall, _) = hall_with_ann();
    hall.is_checking = false;
    for attempt in 0..20 {
        let person = format!("p{attempt}");
        hall.open(&person, None);
        let conn = hall.conns[&person];
        hall.engine.sessions.get_mut(conn).expect("it is open").address =
            SocketAddr::from(([10, 9, 9, 9], 40_000 + attempt));
        hall.log_in(&person, "PLAIN", &plain("ann", "wrong"));
        hall.step(Event::Closed { conn, why: "gone".to_string() });
    }
    hall.check();
    hall.open("late", None);
    let conn = hall.conns["late"];
    hall.engine.sessions.get_mut(conn).expect("it is open").address = SocketAddr::from(([10, 9, 9, 9], 1));
    let heard = hall.say("late", "AUTHENTICATE PLAIN");
    assert!(heard[0].contains(" 904 ") && heard[0].contains("too many"), "{heard:?}");
}

#[test]
fn what_was_said_behind_a_question_is_said_though_its_asker_has_gone() {
    let mut hall = Hall::new();
    for person in ["ann", "bob"] {
        hall.come(person);
        hall.say(person, "JOIN #green");
    }
    hall.is_checking = false;
    let before = hall.heard.len();
    for line in [&format!("REGISTER * * {PASSWORD}"), "PRIVMSG #green :one", "QUIT :good night"] {
        hall.say("ann", line);
    }
    let conn = hall.conns["ann"];
    hall.step(Event::Closed { conn, why: "Connection closed".to_string() });
    let heard = hall.heard_by("bob", before);
    assert!(heard[0].ends_with("PRIVMSG #green :one") && heard[1].contains("good night"), "{heard:?}");
}

#[test]
fn an_answer_that_nobody_waits_for_any_more_lets_nothing_by_that_waits_for_another() {
    let (mut hall, _) = hall_with_ann();
    hall.is_checking = false;
    hall.come("bob");
    hall.say("bob", "NS IDENTIFY ann wrong-one");
    hall.wait_for_no_answer();
    hall.say("bob", "NS IDENTIFY ann wrong-two");
    let before = hall.heard.len();
    hall.say("bob", "PING behind");
    let late = hall.asked.remove(0);
    let Effect::Match { ask, .. } = late else { panic!("{late:?}") };
    hall.step(Event::Matched { ask, right: false, renewed: None });
    assert!(!hall.heard_by("bob", before).iter().any(|line| line.contains("PONG")));
    hall.check();
    assert!(hall.heard_by("bob", before).last().is_some_and(|line| line.contains("PONG")));
}
