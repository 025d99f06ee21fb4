//! What comes of what the store answers: that it is not all, that it is long, that it was taken back meanwhile.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::history::{Query, Record};
use super::{AskId, ConnId, Effect, Engine, Entry, Event, Identity, Origin};
use crate::config::Config;
use crate::wire::base36;
use crate::wire::line::Lines;
use crate::wire::time::{Now, Timestamp};

/// A server, people on it by their nicks, and its store as far as a test needs it.
struct Hall {
    engine: Engine,
    conns: BTreeMap<String, ConnId>,
    now_ms: u64,
    /// All that was to be recorded, as it was then.
    recorded: Vec<Record>,
    asked: Vec<(AskId, Query)>,
    /// How many lines more than they said people have to pay for.
    charged: u32,
}

impl Hall {
    fn new(change: impl FnOnce(&mut Config)) -> Hall {
        let mut config = Config::default();
        config.limits.flood = false;
        change(&mut config);
        let identity = Identity::of_hall();
        let engine = Engine::new(config, identity, Now::default());
        let (conns, recorded, asked) = (BTreeMap::new(), Vec::new(), Vec::new());
        Hall { engine, conns, now_ms: 1_000, recorded, asked, charged: 0 }
    }

    fn come(&mut self, nick: &str, caps: &str) {
        let conn = ConnId(self.conns.len() as u64 + 1);
        let address = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let from = Origin::Client { address, name: None, secure: None, certificate: None };
        self.conns.insert(nick.to_string(), conn);
        self.step(Event::Opened { conn, from });
        let asks = format!("CAP REQ :{caps}");
        for line in [&asks, &format!("NICK {nick}"), "USER x 0 * :x", "CAP END", "JOIN #green"] {
            self.say(nick, line);
        }
    }

    /// Answers with every line that anybody hears of it, behind whoever does.
    fn say(&mut self, nick: &str, line: &str) -> Vec<String> {
        self.step(Event::Lines { conn: self.conns[nick], lines: Lines::from(line) })
    }

    fn step(&mut self, event: Event) -> Vec<String> {
        self.now_ms += 1;
        let now = Now { wall: Timestamp(self.now_ms), steady_ms: self.now_ms };
        let mut heard = Vec::new();
        for effect in self.engine.step(now, event) {
            let (to, line) = match effect {
                Effect::Send { to, line } => (vec![to], line),
                Effect::SendAll { to, line } => (to.to_vec(), line),
                Effect::Recall { ask, query } => {
                    self.asked.push((ask, query));
                    continue;
                }
                Effect::Record { entries, .. } => {
                    for entry in entries {
                        if let Entry::Said { change, .. } = entry {
                            let line = super::history::row_of(&change, None).line;
                            let arrival = self.recorded.len() as u64 + 1;
                            self.recorded.extend(Record::read(arrival, line.to_string()));
                        }
                    }
                    continue;
                }
                Effect::Charge { lines, .. } => {
                    self.charged += lines;
                    continue;
                }
                _ => continue,
            };
            let people = self.conns.iter().filter(|(_, conn)| to.contains(conn));
            heard.extend(people.map(|(nick, _)| format!("{nick} {line}")));
        }
        heard
    }

    /// Answers what was asked of the store, with all of the texts that it has.
    fn answer(&mut self, is_cut: bool) -> Vec<String> {
        let mut heard = Vec::new();
        while !self.asked.is_empty() {
            let (ask, _) = self.asked.remove(0);
            let texts = self.recorded.iter().filter(|record| record.message().is_some()).cloned();
            heard.extend(self.step(Event::Recalled { ask, outcome: Ok(texts.collect()), is_cut }));
        }
        heard
    }
}

/// Proves: SEARCH, NOTE
#[test]
fn a_search_that_could_not_look_at_everything_says_so() {
    let mut hall = Hall::new(|_| ());
    hall.come("ann", "draft/search batch standard-replies");
    hall.come("bob", "draft/search batch");
    for number in 0..3 {
        hall.say("bob", &format!("PRIVMSG #green :hay {number}"));
    }
    let note = |heard: &[String]| {
        heard.iter().filter(|line| line.contains("Too much was said")).cloned().collect::<Vec<_>>()
    };
    hall.say("ann", "SEARCH text=hay");
    assert_eq!(note(&hall.answer(false)), [""; 0]);
    hall.say("ann", "SEARCH text=hay");
    let heard = hall.answer(true);
    let told = "ann :hall.lan NOTE SEARCH INCOMPLETE :Too much was said with these words: only what came last was looked at. \
                More words find more";
    assert_eq!(note(&heard), [told]);
    assert_eq!(heard[0], told, "before what was found");
    // A full page of the latest is all that was asked for.
    hall.say("ann", "SEARCH text=hay;limit=2");
    assert_eq!(note(&hall.answer(true)), [""; 0]);
    // The first of all are not known where not all was looked at.
    hall.say("ann", "SEARCH text=hay;limit=2;after=1970-01-01T00:00:00Z");
    assert_eq!(note(&hall.answer(true)), [told]);
    hall.say("bob", "SEARCH text=hay");
    let heard = note(&hall.answer(true));
    assert!(heard.len() == 1 && heard[0].contains("NOTICE bob :"), "{heard:?}");
}

/// Proves: CHATHISTORY
#[test]
fn a_page_is_no_longer_than_half_of_what_may_wait_for_a_client() {
    let mut hall = Hall::new(|config| config.limits.send_queue = 8 << 10);
    hall.come("ann", "draft/chathistory batch");
    hall.come("bob", "");
    for number in 0..30 {
        hall.say("bob", &format!("PRIVMSG #green :{number} {}", "x".repeat(200)));
    }
    hall.say("ann", "CHATHISTORY LATEST #green * 30");
    let heard = hall.answer(false);
    let texts = heard.iter().filter(|line| line.contains(" PRIVMSG ")).count();
    let bytes: usize = heard.iter().map(|line| line.len() + 2).sum();
    assert!((3..30).contains(&texts) && bytes < 4 << 10, "{texts} texts, {bytes} bytes");
    assert!(heard.iter().any(|line| line.contains(":29 ")), "the latest count: {heard:?}");
    assert!(!heard[0].contains("chathistory-end"), "there is more: {}", heard[0]);
}

/// Proves: CHATHISTORY, REDACT
#[test]
fn what_was_taken_back_is_not_shown_while_the_disk_does_not_know() {
    let mut hall = Hall::new(|_| ());
    hall.come("ann", "draft/chathistory draft/search batch");
    hall.come("bob", "draft/message-redaction message-tags echo-message");
    let heard = hall.say("bob", "PRIVMSG #green :spam");
    let id = heard.iter().find_map(|line| line.split("msgid=").nth(1)?.split([';', ' ']).next()).unwrap();
    hall.say("bob", "PRIVMSG #green :hay");
    hall.say("bob", &format!("REDACT #green {id}"));
    hall.answer(false);
    // As it was recorded, since nothing of the disk has moved.
    for line in ["CHATHISTORY LATEST #green * 30", "SEARCH in=#green"] {
        hall.say("ann", line);
        let heard = hall.answer(false);
        assert!(heard.iter().any(|line| line.ends_with(":hay")), "{line}: {heard:?}");
        assert!(!heard.iter().any(|line| line.contains("spam")), "{line}: {heard:?}");
    }
}

/// Proves: znc.in/playback
#[test]
fn who_has_many_places_played_back_pays_for_each() {
    let mut hall = Hall::new(|_| ());
    hall.come("ann", "znc.in/playback batch server-time");
    hall.say("ann", "PRIVMSG *playback :play #green");
    hall.answer(false);
    assert_eq!(hall.charged, 0, "the line itself is one");
    hall.say("ann", "JOIN #red,#blue");
    hall.say("ann", "PRIVMSG *playback :play #green,#red,#blue,#nowhere");
    while !hall.asked.is_empty() {
        hall.answer(false);
    }
    assert_eq!(hall.charged, 2);
}

/// Proves: CHATHISTORY, draft/event-playback
#[test]
fn a_page_goes_on_behind_all_that_was_hidden_from_the_reader() {
    let mut hall = Hall::new(|_| ());
    hall.come("ann", "draft/chathistory draft/event-playback batch");
    hall.come("bob", "draft/chathistory draft/event-playback batch");
    let record = |seq: u64, what: &str| {
        let (dot, stamp) = (base36::encode(seq), base36::encode(1 << 16 | seq));
        let line = format!("@dot=1AA.1.M{dot}.{stamp} :eve!e@h {what}");
        Record::read(seq, line).unwrap()
    };
    let hidden = (2..30_000).map(|seq| record(seq, "HAPPENED 1AAAAAAAB +#green JOIN :Eve"));
    let all: Vec<Record> = [record(1, "PRIVMSG 1AAAAAAAA #green :hay")].into_iter().chain(hidden).collect();
    hall.say("bob", "CHATHISTORY LATEST #green * 30");
    let (mut heard, mut rounds) = (Vec::new(), 0);
    while let Some((ask, query)) = hall.asked.pop() {
        let Query::Between { before, most, .. } = query else { panic!("{query:?}") };
        let last = before.map(|before| before.start().unwrap());
        let found = all.iter().filter(|record| last.as_ref().is_none_or(|last| record.said() < *last));
        let found: Vec<Record> = found.cloned().collect();
        let outcome = Ok(found[found.len().saturating_sub(most)..].to_vec());
        heard.extend(hall.step(Event::Recalled { ask, outcome, is_cut: false }));
        rounds += 1;
    }
    assert!(heard[0].contains("chathistory-end") && heard[1].ends_with(" PRIVMSG #green :hay"), "{heard:?}");
    assert_eq!(heard.len(), 3);
    assert_eq!((rounds, hall.charged), (11, 10), "each look beyond the first costs a line");
}

/// Proves: NICK
#[test]
fn who_is_called_otherwise_on_many_channels_pays_for_an_event_on_each() {
    let mut hall = Hall::new(|_| ());
    hall.come("ann", "");
    hall.come("bob", "");
    for nick in ["ann", "bob"] {
        hall.say(nick, "JOIN #red,#blue");
    }
    assert_eq!(hall.charged, 0, "who comes to a channel pays with the line");
    hall.say("ann", "NICK annie");
    assert_eq!(hall.charged, 2, "the line itself is one");
}
