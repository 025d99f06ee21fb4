//! What was said, written and found again; also as the model in memory finds it.

use std::time::{Duration, Instant};

use super::shelf::Shelf;
use super::*;
use crate::config::History;
use crate::edge::data::tests::Scratch;
use crate::edge::store::Store;
use crate::edge::store::read::Reader;
use crate::engine::{Dot, Party, Point, Query, Record, Run, Sought};
use crate::wire::base36;
use crate::wire::fold::fold;
use crate::wire::time::Timestamp;

const SERVERS: [&str; 3] = ["1AA", "2AA", "3AA"];

/// Chance that is the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn one_of<'t>(&mut self, things: &[&'t str]) -> &'t str {
        things[self.below(things.len() as u64) as usize]
    }
}

fn run(server: &str) -> Run {
    Run::parse(&format!("{server}.2")).unwrap()
}

fn dot(server: &str, seq: u64) -> Dot {
    Dot::parse(&format!("{server}.2.M{}", base36::encode(seq))).unwrap()
}

/// A message as one server writes it, at a time in milliseconds.
fn said(server: &str, seq: u64, at_ms: u64, what: &str) -> Entry {
    // No two stamps of one server are the same.
    let stamp = base36::encode(at_ms << 16 | seq);
    let line = format!("@dot={}.{stamp} :ann!a@host {what}", dot(server, seq));
    Entry::read(&line).unwrap_or_else(|| panic!("{line}"))
}

fn to(server: &str, target: &str, text: &str) -> String {
    format!("PRIVMSG {server}AAAAAA {target} :{text}")
}

fn texts(records: &[crate::engine::Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| record.line().rsplit_once(" :").map_or("", |(_, text)| text).to_string())
        .collect()
}

fn between(channel: &str, most: usize) -> Query {
    let target = Conversation::Channel(fold(channel));
    Query::Between { target, after: None, before: None, newest_first: true, most, events: false }
}

fn open(scratch: &Scratch) -> (Store, StoredTalk, Reader) {
    let (store, stored) = Store::open(&scratch.0, Timestamp(5_000), 100).unwrap();
    (store, stored.talk, Reader::new(&scratch.0))
}

#[test]
fn what_was_said_is_found_by_place_and_time_whatever_order_it_came_in() {
    let scratch = Scratch::new("messages-order");
    let (mut store, _, mut reader) = open(&scratch);
    let entries = [
        said("1AA", 1, 10, &to("1AA", "#Green", "one")),
        said("1AA", 2, 30, &to("1AA", "#green", "three")),
        said("1AA", 3, 40, &to("1AA", "#red", "elsewhere")),
        said("2AA", 1, 20, &to("2AA", "@#green", "two, late and for some")),
    ];
    store.write([], &entries, false).unwrap();
    let found = reader.answer(&between("#GREEN", 9)).unwrap();
    assert_eq!(texts(&found), ["one", "two, late and for some", "three"]);
    assert_eq!(found.iter().map(|record| record.arrival).collect::<Vec<_>>(), [1, 4, 2]);
    assert_eq!(texts(&reader.answer(&between("#green", 2)).unwrap()), ["two, late and for some", "three"]);
}

#[test]
fn a_store_says_no_more_than_it_has_without_a_gap() {
    let scratch = Scratch::new("messages-tip");
    let (mut store, _, _) = open(&scratch);
    let one = |seq| said("1AA", seq, seq, &to("1AA", "#green", "x"));
    store.write([], &[one(1), one(2), one(5), one(5)], false).unwrap();
    store.close().unwrap();
    let (mut store, talk, _) = open(&scratch);
    assert_eq!(talk.tips, [("1AA.2".to_string(), 2)]);
    assert_eq!(talk.recent.len(), 3);
    store.write([], &[one(3), one(4)], false).unwrap();
    let (_, talk, _) = open(&scratch);
    assert_eq!(talk.tips, [("1AA.2".to_string(), 5)]);
    let (mut store, _, mut reader) = open(&scratch);
    store.write([], &[Entry::Skipped { origin: run("1AA"), tip: 9 }, one(10)], false).unwrap();
    assert_eq!(open(&scratch).1.tips, [("1AA.2".to_string(), 10)]);
    store.write([], &[Entry::Forgotten { origin: run("1AA") }], false).unwrap();
    assert_eq!(open(&scratch).1, StoredTalk::default());
    assert_eq!(reader.answer(&between("#green", 9)).unwrap(), []);
}

#[test]
fn what_was_taken_back_keeps_no_words_also_where_it_comes_later() {
    let scratch = Scratch::new("messages-taken-back");
    let (mut store, _, _) = open(&scratch);
    let redact =
        |seq, of: Dot| said("2AA", seq, 50 + seq, &format!("REDACT 2AAAAAAAA #green {of} 1.1AA :no"));
    let one = said("1AA", 1, 10, &to("1AA", "#green", "shame"));
    store.write([], &[one, redact(1, dot("1AA", 1)), redact(2, dot("1AA", 2))], false).unwrap();
    store.close().unwrap();
    let (mut store, talk, mut reader) = open(&scratch);
    assert_eq!(talk.taken_back, [("1AA.2".to_string(), 2)]);
    store.write([], &[said("1AA", 2, 20, &to("1AA", "#green", "scandal"))], false).unwrap();
    assert_eq!(reader.answer(&between("#green", 9)).unwrap(), []);
    let mut query = between("#green", 9);
    if let Query::Between { events, .. } = &mut query {
        *events = true;
    }
    let found = reader.answer(&query).unwrap();
    assert_eq!(found.iter().map(|record| record.is_blank()).collect::<Vec<_>>(), [true, true, false, false]);
    drop((store, reader));
    let file = std::fs::read(scratch.0.join(crate::edge::store::FILE)).unwrap();
    let mut words = file.windows(7);
    assert!(!words.any(|part| part == b"scandal"), "never written with its words");
    assert_eq!(open(&scratch).1.taken_back, []);
}

#[test]
fn the_oldest_go_where_they_are_older_or_more_than_the_settings_let_them_be() {
    let scratch = Scratch::new("messages-pruned");
    let (mut store, _, mut reader) = open(&scratch);
    let number = 5_000;
    let entries: Vec<Entry> = (1..=number)
        .map(|seq| said("1AA", seq, seq * 1_000, &to("1AA", "#green", &format!("{seq}"))))
        .collect();
    store.write([], &entries, false).unwrap();
    let forever = History { keep: Duration::from_secs(1 << 30), keep_messages: 0, ..History::default() };
    let oldest = |reader: &mut Reader| texts(&reader.answer(&between("#green", 9_999)).unwrap())[0].clone();
    let now = Timestamp(number * 1_000);
    let prune = |store: &mut Store, limits: &History| {
        while store.prune(limits, now).unwrap() {}
    };
    prune(&mut store, &forever);
    assert_eq!(oldest(&mut reader), "1");
    prune(&mut store, &History { keep: Duration::from_secs(4_500), ..forever.clone() });
    assert_eq!(oldest(&mut reader), "500");
    prune(&mut store, &History { keep_messages: 1_000, ..forever.clone() });
    assert_eq!(oldest(&mut reader), "4001");
    prune(&mut store, &History { keep_bytes: 100_000, ..forever });
    let left = reader.answer(&between("#green", 9_999)).unwrap().len();
    assert!((50..800).contains(&left), "{left}");
    let tips = open(&scratch).1.tips;
    assert_eq!(tips, [("1AA.2".to_string(), number)], "they have been heard all the same");
}

#[test]
fn events_of_channels_go_before_what_was_said_and_leave_no_gaps() {
    let scratch = Scratch::new("messages-events-pruned");
    let (mut store, _, mut reader) = open(&scratch);
    let events = |first: u64, last: u64| {
        let join = "HAPPENED 1AAAAAAAA #green JOIN :Ann";
        (first..=last).map(|seq| said("1AA", seq, seq * 1_000, join)).collect::<Vec<_>>()
    };
    let words = (1..=100).map(|seq| said("1AA", seq, seq * 1_000, &to("1AA", "#green", &format!("{seq}"))));
    store.write([], &words.collect::<Vec<_>>(), false).unwrap();
    store.write([], &events(101, 3_000), false).unwrap();
    let limits = |keep_messages| History { keep_messages, ..History::default() };
    let prune = |store: &mut Store, keep_messages: u64| {
        while store.prune(&limits(keep_messages), Timestamp(3_000_000)).unwrap() {}
    };
    let count = |reader: &mut Reader, events: bool| {
        let target = Conversation::Channel(fold("#green"));
        let (after, before) = (None, None);
        let query = Query::Between { target, after, before, newest_first: true, most: 9_999, events };
        reader.answer(&query).unwrap().len()
    };
    let all = Query::Range { origin: run("1AA"), first: 1, last: 3_000, most: 9_999 };
    prune(&mut store, 2_000);
    assert_eq!((count(&mut reader, false), count(&mut reader, true)), (100, 2_000));
    let left = reader.answer(&all).unwrap();
    assert_eq!(left.len(), 3_000, "their numbers are there");
    assert!(left.iter().any(|record| record.line().contains("FORGOTTEN")));
    assert!(left.iter().all(|record| Record::read(1, record.line().to_string()).is_some()));
    // A start counts them as they are.
    let (mut store, _) = {
        drop(store);
        Store::open(&scratch.0, Timestamp(5_000), 0).unwrap()
    };
    prune(&mut store, 1_000);
    assert_eq!((count(&mut reader, false), count(&mut reader, true)), (100, 1_000));
    assert_eq!(reader.answer(&all).unwrap().len(), 2_000, "of a flood not even that stays");
    prune(&mut store, 100);
    let left = (count(&mut reader, false), count(&mut reader, true));
    assert_eq!(left, (75, 100), "a quarter of the room is theirs");
    let tips = open(&scratch).1.tips;
    assert_eq!(tips, [("1AA.2".to_string(), 3_000)]);
}

/// The first and the last of the numbers that are there, and how many there are.
fn numbers(store: &Store) -> (i64, i64, i64) {
    let sql = "SELECT min(seq), max(seq), count(*) FROM message";
    store.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

#[test]
fn where_events_stand_among_words_what_stays_has_no_gaps() {
    let scratch = Scratch::new("messages-events-among-words");
    let (mut store, _, _) = open(&scratch);
    let entries = (1..=10_000).map(|seq| match seq % 5 {
        0 => said("1AA", seq, seq * 1_000, &to("1AA", "#green", &format!("{seq}"))),
        _ => said("1AA", seq, seq * 1_000, "HAPPENED 1AAAAAAAA #green JOIN :Ann"),
    });
    store.write([], &entries.collect::<Vec<_>>(), false).unwrap();
    let limits = History { keep_messages: 1_000, ..History::default() };
    while store.prune(&limits, Timestamp(10_000_000)).unwrap() {}
    assert_eq!(numbers(&store), (8_001, 10_000, 2_000), "the latest, and all of them");
}

#[test]
fn where_what_is_kept_is_too_large_the_first_goes_whatever_it_is() {
    let scratch = Scratch::new("messages-events-too-large");
    let (mut store, _, mut reader) = open(&scratch);
    let words = (1..=1_000).map(|seq| said("1AA", seq, seq * 1_000, &to("1AA", "#green", &format!("{seq}"))));
    store.write([], &words.collect::<Vec<_>>(), false).unwrap();
    let limits = History { keep_messages: 0, keep_bytes: 400_000, ..History::default() };
    for flood in 1..=10 {
        let events = (flood * 1_000 + 1..=(flood + 1) * 1_000)
            .map(|seq| said("1AA", seq, seq * 1_000, "HAPPENED 1AAAAAAAA #green JOIN :Ann"));
        store.write([], &events.collect::<Vec<_>>(), false).unwrap();
        while store.prune(&limits, Timestamp(20_000_000)).unwrap() {}
    }
    let all = Query::Range { origin: run("1AA"), first: 1, last: 11_000, most: 99_999 };
    let left = reader.answer(&all).unwrap();
    assert!(left.len() > 100, "{}", left.len());
    assert!(left.iter().all(|record| !record.line().contains("FORGOTTEN")), "what takes room says something");
    let (first, last, count) = numbers(&store);
    assert_eq!((last, count), (11_000, last - first + 1), "the latest, and all of them");
}

#[test]
fn what_is_too_old_goes_whenever_it_came() {
    let scratch = Scratch::new("messages-old-late");
    let (mut store, _, mut reader) = open(&scratch);
    let entries = [
        said("1AA", 1, 5_000_000, &to("1AA", "#green", "young")),
        said("2AA", 1, 1_000, &to("2AA", "#green", "old, and here by repair")),
        said("1AA", 2, 5_000_001, &to("1AA", "#green", "younger")),
    ];
    store.write([], &entries, false).unwrap();
    let limits = History { keep: Duration::from_secs(1_000), keep_messages: 0, ..History::default() };
    store.prune(&limits, Timestamp(5_000_002)).unwrap();
    assert_eq!(texts(&reader.answer(&between("#green", 9)).unwrap()), ["young", "younger"]);
    let limits = History { keep_messages: 1, ..limits };
    store.prune(&limits, Timestamp(5_000_002)).unwrap();
    assert_eq!(texts(&reader.answer(&between("#green", 9)).unwrap()), ["younger"]);
}

#[test]
fn what_cannot_be_read_any_more_does_not_hide_what_is_behind_it() {
    let scratch = Scratch::new("messages-unreadable");
    let (mut store, _, mut reader) = open(&scratch);
    let entries: Vec<Entry> =
        (1..=6).map(|seq| said("1AA", seq, seq, &to("1AA", "#green", &format!("{seq}")))).collect();
    store.write([], &entries, false).unwrap();
    store.connection.execute("UPDATE message SET line = '?' WHERE arrival IN (4, 5)", []).unwrap();
    assert_eq!(texts(&reader.answer(&between("#green", 3)).unwrap()), ["2", "3", "6"]);
    assert_eq!(texts(&reader.answer(&between("#green", 9)).unwrap()), ["1", "2", "3", "6"]);
    let range = Query::Range { origin: run("1AA"), first: 3, last: 9, most: 2 };
    assert_eq!(texts(&reader.answer(&range).unwrap()), ["3", "6"]);
}

#[test]
fn what_was_taken_back_before_it_came_is_forgotten_with_what_will_not_come() {
    let scratch = Scratch::new("messages-taken-back-gone");
    let (mut store, _, _) = open(&scratch);
    let redact =
        |seq, of: Dot| said("2AA", seq, 50 + seq, &format!("REDACT 2AAAAAAAA #green {of} 1.1AA :no"));
    let early = [redact(1, dot("1AA", 2)), redact(2, dot("1AA", 9)), redact(3, dot("3AA", 1))];
    store.write([], &early, false).unwrap();
    store.write([], &[Entry::Skipped { origin: run("1AA"), tip: 5 }], false).unwrap();
    assert_eq!(open(&scratch).1.taken_back, [("1AA.2".to_string(), 9), ("3AA.2".to_string(), 1)]);
    store.write([], &[Entry::Forgotten { origin: run("3AA") }], false).unwrap();
    assert_eq!(open(&scratch).1.taken_back, [("1AA.2".to_string(), 9)]);
}

#[test]
fn words_are_found_by_when_they_were_said_and_short_ones_as_a_whole() {
    let scratch = Scratch::new("messages-words");
    let (mut store, _, mut reader) = open(&scratch);
    let entries = [
        said("1AA", 1, 30, &to("1AA", "#green", "hay, the last")),
        said("2AA", 1, 10, &to("2AA", "#green", "haystack, the first to be said")),
        said("3AA", 1, 20, &to("3AA", "#green", "hay, in between")),
        said("3AA", 2, 40, &to("3AA", "#red", "hay elsewhere")),
    ];
    store.write([], &entries, false).unwrap();
    let mut found = |word: &str, is_beginning, most| {
        let query = Query::Search {
            words: vec![Sought { word: word.to_string(), is_beginning }],
            places: vec![Conversation::Channel(fold("#green"))],
            parties: Vec::new(),
            from: None,
            after: None,
            before: None,
            newest_first: true,
            most,
        };
        texts(&reader.answer(&query).unwrap())
    };
    assert_eq!(found("hay", true, 9), ["haystack, the first to be said", "hay, in between", "hay, the last"]);
    assert_eq!(found("hay", true, 2), ["hay, in between", "hay, the last"]);
    assert_eq!(found("hay", false, 9), ["hay, in between", "hay, the last"]);
    assert_eq!(found("th", false, 9), [""; 0]);
}

#[test]
fn the_store_answers_as_the_one_in_memory_that_simulations_trust() {
    for seed in 0..20 {
        let scratch = Scratch::new(&format!("messages-model-{seed}"));
        let (mut store, _, mut reader) = open(&scratch);
        let (mut shelf, mut dice) = (Shelf::default(), Dice(seed));
        let mut last = [0_u64; 3];
        for round in 0..120 {
            let which = dice.below(3) as usize;
            let server = SERVERS[which];
            let other = dot(dice.one_of(&SERVERS), 1 + dice.below(40));
            let nick = dice.one_of(&["bob", "Bob", "carol"]);
            let target = match dice.below(3) {
                0 => format!("3AAAAAAAA/{nick}"),
                _ => dice.one_of(&["#green", "#Green", "+#red"]).to_string(),
            };
            let what = match dice.below(8) {
                0 => format!("REDACT {server}AAAAAA {target} {other} 1.1AA"),
                1 => format!("TAGMSG {server}AAAAAA {target}"),
                2 => "PONDER this".to_string(),
                3 => to("9AA", &target, "not mine to say"),
                _ => to(server, &target, &format!("number {round}")),
            };
            // Some are missing for a while, and some come twice.
            let seq = match dice.below(10) {
                0 => last[which] + 2,
                1 => last[which].max(1),
                _ => last[which] + 1,
            };
            last[which] = last[which].max(seq);
            let entry = match dice.below(40) {
                0 => Entry::Skipped { origin: run(server), tip: last[which] },
                1 => Entry::Forgotten { origin: run(server) },
                _ => said(server, seq, 1_000 + dice.below(60), &what),
            };
            shelf.put(&entry);
            store.write([], [&entry], false).unwrap();
        }
        assert_eq!(open(&scratch).1, shelf.stored(100), "seed {seed}");
        for _ in 0..200 {
            let query = any_query(&mut dice);
            assert_eq!(reader.answer(&query), Ok(shelf.recall(&query)), "seed {seed}: {query:?}");
        }
    }
}

#[test]
#[ignore = "writes a million messages, and is about speed: in a release build, on a machine with nothing else to do"]
fn a_million_messages_are_found_at_once_and_do_not_slow_the_start() {
    const MESSAGES: u64 = 1_000_000;
    const CHANNELS: u64 = 500;
    let scratch = Scratch::new("messages-million");
    let (mut store, _, _) = open(&scratch);
    let mut dice = Dice(1);
    let mut last = [0_u64; 3];
    let text = "what somebody says is about as long as this, some sixty bytes or so";
    let begun = Instant::now();
    for first in (0..MESSAGES).step_by(1_000) {
        let entries: Vec<Entry> = (first..first + 1_000)
            .map(|number| {
                let which = dice.below(3) as usize;
                last[which] += 1;
                let what = to(SERVERS[which], &format!("#c{}", dice.below(CHANNELS)), text);
                said(SERVERS[which], last[which], number, &what)
            })
            .collect();
        store.write([], &entries, false).unwrap();
    }
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
    store.close().unwrap();
    let bytes = std::fs::metadata(scratch.0.join(crate::edge::store::FILE)).unwrap().len();

    let begun = Instant::now();
    let (_store, talk) = Store::open(&scratch.0, Timestamp(9_000), 10_000).unwrap();
    let start = begun.elapsed();
    assert_eq!(talk.talk.recent.len(), 10_000);

    let mut times: Vec<Duration> = (0..CHANNELS)
        .map(|channel| {
            let mut reader = Reader::new(&scratch.0);
            let begun = Instant::now();
            let found = reader.answer(&between(&format!("#c{channel}"), 50)).unwrap();
            assert_eq!(found.len(), 50);
            begun.elapsed()
        })
        .collect();
    times.sort();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "written: {rate:.0} a second; file: {} bytes a message; start: {start:?}; \
         the latest 50 on a new connection: median {median:?}, slowest {slowest:?}",
        bytes / MESSAGES
    );
    for channels in [1, 20, CHANNELS] {
        let query = Query::Search {
            words: vec![Sought { word: "somebody".to_string(), is_beginning: true }],
            places: (0..channels).map(|it| Conversation::Channel(fold(&format!("#c{it}")))).collect(),
            parties: Vec::new(),
            from: None,
            after: None,
            before: None,
            newest_first: true,
            most: 150,
        };
        let mut reader = Reader::new(&scratch.0);
        let begun = Instant::now();
        assert_eq!(reader.answer(&query).unwrap().len(), 150);
        println!("the commonest word in {channels} channels: {:?}", begun.elapsed());
    }
    assert!(start < Duration::from_secs(1), "{start:?}");
    assert!(times[times.len() * 99 / 100] < Duration::from_millis(10), "{times:?}");
}

fn any_query(dice: &mut Dice) -> Query {
    let most = 1 + dice.below(20) as usize;
    match dice.below(10) {
        0 => Query::Message { dot: dot(dice.one_of(&SERVERS), 1 + dice.below(60)) },
        1 => {
            let first = dice.below(60);
            let (origin, last) = (run(dice.one_of(&SERVERS)), first + dice.below(30));
            Query::Range { origin, first, last, most }
        }
        2 => Query::Targets {
            channels: ["#green", "#red", "#none"][..dice.below(4) as usize].iter().map(|c| fold(c)).collect(),
            parties: ["ann", "bob"][..dice.below(3) as usize]
                .iter()
                .map(|nick| Party::Nick(fold(nick)))
                .collect(),
            after: point(dice),
            of_each: 1 + dice.below(3) as usize,
            most,
        },
        3 | 4 => Query::Search {
            words: (0..dice.below(3))
                .map(|_| Sought {
                    word: dice.one_of(&["number", "NUM", "1", "12", "none"]).to_string(),
                    is_beginning: dice.below(2) == 0,
                })
                .collect(),
            places: ["#green", "#red", "#none"][..dice.below(4) as usize]
                .iter()
                .map(|name| Conversation::Channel(fold(name)))
                .collect(),
            parties: ["carol", "bob"][..dice.below(3) as usize]
                .iter()
                .map(|nick| Party::Nick(fold(nick)))
                .collect(),
            from: (dice.below(3) == 0).then(|| fold(dice.one_of(&["ann", "bob"]))),
            after: point(dice),
            before: point(dice),
            newest_first: dice.below(2) == 0,
            most,
        },
        _ => Query::Between {
            target: match dice.below(4) {
                0 => Conversation::Private(Party::Nick(fold("ann")), Party::Nick(fold("bob"))),
                1 => Conversation::Channel(fold("#red")),
                _ => Conversation::Channel(fold("#green")),
            },
            after: point(dice),
            before: point(dice),
            newest_first: dice.below(2) == 0,
            most,
            events: dice.below(2) == 0,
        },
    }
}

fn point(dice: &mut Dice) -> Option<Point> {
    match dice.below(4) {
        0 => Some(Point::Time(Timestamp(1_000 + dice.below(60)))),
        1 => Some(Point::Dot(dot(dice.one_of(&SERVERS), 1 + dice.below(60)))),
        2 => Some(Point::Time(Timestamp(u64::MAX))),
        _ => None,
    }
}
