//! Lines that servers really say, made wrong in every way that dice can think of.

use super::{Hall, Mesh, Peer, TRIANGLE, read_change, write_change};
use crate::engine::event::{ConnId, Event, Origin};
use crate::engine::merge::{Dot, Fact, Origin as Run, Stream};
use crate::engine::network::{Key, Value};
use crate::wire::line::Lines;
use crate::wire::message::Message;

struct Dice(u64);

impl Dice {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// All kinds of lines, from a mesh in which a good deal happens.
fn corpus() -> Vec<String> {
    let mut mesh = Mesh::new(3, TRIANGLE);
    mesh.say(0, "AWAY :out to lunch\nPRIVMSG #green :hello there\nMODE #green +klimnt sesame 9\nKICK #green user2 :out");
    mesh.say(1, "NICK bob\nPRIVMSG user0 :psst\nWHOIS user0 user0\nMODE #green +v user0\nJOIN #blue,#red\nPART #red :bye");
    mesh.say(2, "JOIN #blue\nINVITE user0 #blue\n@+typing=active TAGMSG #blue\nNOTICE #blue :so\nQUIT :gone");
    mesh.pull_out(1);
    mesh.say(0, "TOPIC #green :sowing\nMODE #green -b *!*@bad.example\nPART #green");
    mesh.say(1, "TOPIC #green :threshing\nPRIVMSG #green :anyone?");
    mesh.wait(60_000);
    mesh.plug_in();
    let kinds = [
        "USER", "JOIN", "MODE", "STATUS", "MASK", "TOPIC", "KICK", "PRIVMSG", "ROUTES", "HAVE", "WANT",
        "DONE", "STATE",
    ];
    for kind in kinds {
        assert!(mesh.between.iter().any(|line| line.contains(kind)), "{kind} is missing");
    }
    let more = [
        "SNAPSHOT S",
        "ALIVE S 2BB.1 :1-5 7 9-c",
        "DEAD S :2BB.1.S5 3CC.1.S9",
        "GAP M 2BB.1 5",
        "WANT M 2BB.1 1 9",
        "DONE M 2BB.1",
        "BUCKETS S 5 :1 2 3",
        "HELD S 5 7 :2BB.1.S5=9",
        "COMPARED S 5",
        "DOUBT 1AA 2BB 5 2BB.1.S1",
        "WORDING 1AA 2BB 5 2BB.1.S1 GONE",
        "ANSWER 1AA 2BB REPLY 5 371 :text",
        "GUEST 1AA.3 2BB.1 5 SAY 1 0 LINE :PRIVMSG #green :hello",
        "HOME 1AA.3 2BB.1 5 SAY 1 0 CLOSED :so",
        "HOME 1AA.3 2BB.1 5 GONE",
        "ASK 1AA 2BB.1 5 GUEST 1AAAAAAAA 5.1AA ann a @10.0.0.1:5000 * * * batch 302 * :Ann",
        "@once=2BB.1.5 PASSING INVITE a!u@h 1AAAAAAAA #green",
        "@once=2BB.1.6 PASSING BROADCAST a!u@h *.lan NOTICE :x",
    ];
    mesh.between.into_iter().chain(more.map(str::to_string)).collect()
}

const PIECES: &[&str] = &[
    "",
    " ",
    ":",
    "::",
    ";",
    "=",
    ",",
    "@",
    "!",
    "*",
    "#",
    "+",
    "-",
    ".",
    "0",
    "z",
    "é",
    "\u{1}",
    "\u{10348}",
    "\\",
    "3w5e11264sgsf",
    "3w5e11264sgsg",
    "zzzzzzzzzzzzzzzzzzzz",
    "-1",
    "18446744073709551615",
    "4294967296",
    "1z141z4",
    "1AA",
    "1AA.3",
    "1AA.3.S1",
    "1AA.4.S1",
    "2BB.1",
    "2BB.1.S3",
    "2BB.1.M1",
    "9ZZ.1.S1",
    "@dot=",
    "#green",
    "1AAAAAAAA",
    "3CCAAAAAA",
    "+ov",
    "HAVE",
    "DONE",
    "@once=2BB.1.9",
    "over=1AA.3.S1,2BB.1.S1",
    ";more;after=zz",
    "2BB=1",
];

/// A place between two characters.
fn place(dice: &mut Dice, line: &str) -> usize {
    let places: Vec<usize> = line.char_indices().map(|(place, _)| place).chain([line.len()]).collect();
    places[dice.below(places.len())]
}

fn mutated(dice: &mut Dice, corpus: &[String]) -> String {
    let mut line = corpus[dice.below(corpus.len())].clone();
    for _ in 0..dice.below(4) {
        let at = place(dice, &line);
        match dice.below(7) {
            0 => line.truncate(at),
            1 => line.insert_str(at, dice.of(PIECES)),
            2 => drop(line.drain(..at)),
            3 => {
                let to = place(dice, &line);
                line.replace_range(at.min(to)..at.max(to), dice.of(PIECES));
            }
            // Whole words, so that lines still make sense up to a point.
            4 | 5 => {
                let separators = [' ', '.', '=', ';', ','];
                let words: Vec<(usize, &str)> = line.match_indices(|c| separators.contains(&c)).collect();
                let start = words.get(dice.below(words.len())).map_or(0, |(start, _)| start + 1);
                let end = line[start..].find(separators).map_or(line.len(), |end| start + end);
                let other = &corpus[dice.below(corpus.len())];
                let others: Vec<&str> = other.split(separators).collect();
                let word = if dice.below(2) == 0 { dice.of(PIECES) } else { dice.of(&others) };
                line.replace_range(start..end, word);
            }
            _ => {
                let other = &corpus[dice.below(corpus.len())];
                line = format!("{line} {other}");
            }
        }
    }
    line
}

/// A server with a client and two peers: one behaves.
fn scene() -> (Hall, Peer, Peer) {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    let shed = hall.linked("3CC", "shed.lan");
    let address = "127.0.0.1:40000".parse().unwrap();
    hall.step(Event::Opened {
        conn: ConnId(1),
        from: Origin::Client { address, name: None, secure: None, certificate: None },
    });
    let lines = Lines::from("NICK alice\nUSER a 0 * :a\nJOIN #green");
    hall.step(Event::Lines { conn: ConnId(1), lines });
    hall.user(shed, "3CC.1.S2", "3CCAAAAAA", "carol", 0);
    hall.event(shed, "3CC.1.S3", 0, "JOIN 3CCAAAAAA #green 1.3CC 2.3CC +o");
    (hall, barn, shed)
}

/// What nobody but its writer has a say in: of the server itself only that it is there, since it writes anew
/// what a nick or a channel of others makes it write.
fn owned(hall: &Hall) -> (Vec<Key>, Vec<(Key, Fact<Value>)>) {
    let written = |by: &'static str| {
        let facts = hall.engine.network.facts(Stream::Session).iter();
        let owned = facts.filter(move |(key, fact)| key.is_owned() && fact.dot.origin.to_string() == by);
        owned.map(|(key, fact)| (key.clone(), fact.clone()))
    };
    (written("1AA.3").map(|(key, _)| key).collect(), written("3CC.1").collect())
}

/// As many as take a few seconds.
const ROUNDS: usize = 4_000;

#[test]
fn whatever_a_line_says_it_is_read_the_same_by_everyone() {
    let (corpus, mut dice) = (corpus(), Dice(11));
    let mut read = 0;
    for _ in 0..10 * ROUNDS {
        let line = mutated(&mut dice, &corpus);
        let Some(message) = Message::parse(&line) else { continue };
        let Some(change) = read_change(&message, &line) else { continue };
        read += 1;
        let written = write_change(&change);
        let message = Message::parse(&written).expect("what is written is a message");
        let again = read_change(&message, &written).expect("what is written can be read");
        assert_eq!(again, change, "{line}\n{written}");
        assert_eq!(write_change(&again), written, "{line}");
    }
    assert!(read > ROUNDS / 2, "{read}");
}

#[test]
fn no_line_brings_a_server_down() {
    let (corpus, mut dice) = (corpus(), Dice(12));
    let (mut hall, mut barn, mut shed) = scene();
    for round in 0..ROUNDS {
        let line = mutated(&mut dice, &corpus);
        hall.hear(barn, &line);
        if round % 50 == 0 {
            hall.wait(1_000);
        }
        if !hall.is_up(barn) || !hall.is_up(shed) {
            (hall, barn, shed) = scene();
        }
        hall.said.clear();
        hall.notes.clear();
    }
}

#[test]
fn no_event_of_one_origin_changes_what_another_owns() {
    let (corpus, mut dice) = (corpus(), Dice(13));
    let events: Vec<String> = corpus.into_iter().filter(|line| line.starts_with("@dot=")).collect();
    let (mut hall, barn, shed) = scene();
    let before = owned(&hall);
    assert_eq!((before.0.len(), before.1.len()), (3, 3), "{before:?}");
    for round in 0..ROUNDS {
        let line = mutated(&mut dice, &events);
        let dot = Message::parse(&line).and_then(|message| message.tags.get("dot")).unwrap_or_default();
        let dot = dot.rsplit_once('.').and_then(|(dot, _)| Dot::parse(dot));
        // Whoever passes an event of another server on is believed, so that is another matter.
        if dot.is_none_or(|dot| dot.origin.server.as_str() == "3CC") {
            continue;
        }
        // What it says of later runs of this server is believed a few times, and here that is over.
        hall.engine.renewals = vec![hall.engine.now.steady_ms; 8];
        hall.hear(barn, &line);
        // Its own numbers go on, so that something of this is taken at all.
        let next = hall.engine.network.seen(Stream::Session);
        let next = next.tip(Run::parse("2BB.1").unwrap()) + 1;
        if let Some((_, rest)) = line.split_once(' ') {
            hall.event(barn, &format!("2BB.1.S{}", crate::wire::base36::encode(next)), 0, rest);
        }
        assert_eq!(owned(&hall), before, "{line}");
        if round % 50 == 0 {
            hall.wait(1_000);
            hall.step(Event::Lines { conn: ConnId(1), lines: Lines::from("PING here") });
        }
        hall.said.clear();
        hall.notes.clear();
    }
    assert!(hall.is_up(barn) && hall.is_up(shed));
    assert!(hall.tip(Stream::Session, "2BB.1") > 500);
}
