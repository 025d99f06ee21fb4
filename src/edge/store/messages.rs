//! What was said, written to the store and read back at the start.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::config::History;
use crate::engine::{Conversation, Entry, Kind, MessageRow, StoredTalk, blanked, row_of};
use crate::wire::time::Timestamp;

/// The tables of messages. A row's arrival is its place in the order in which messages came here; rows are
/// found by their dots, and by where and when they were said.
///
/// `message.late` says that something was here already that was said later; `words` has the texts, by arrival.
///
/// `origin.tip` says how far an origin is here without a gap; `taken_back` names messages that were taken back before they
/// came.
pub const SCHEMA: &str = "
    CREATE TABLE origin (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, tip INTEGER NOT NULL);
    CREATE TABLE place  (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE party  (name TEXT, place INTEGER, PRIMARY KEY (name, place)) WITHOUT ROWID;
    CREATE TABLE message (
        arrival INTEGER PRIMARY KEY,
        origin  INTEGER NOT NULL,
        seq     INTEGER NOT NULL,
        place   INTEGER,
        time    INTEGER NOT NULL,
        server  TEXT NOT NULL,
        kind    INTEGER NOT NULL,
        late    INTEGER NOT NULL,
        line    TEXT NOT NULL
    );
    CREATE UNIQUE INDEX message_by_dot ON message (origin, seq);
    CREATE INDEX message_by_place ON message (place, time, server, kind);
    CREATE INDEX message_late ON message (place, arrival) WHERE late;
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2'
    );
    CREATE TABLE taken_back (origin TEXT, seq INTEGER, PRIMARY KEY (origin, seq)) WITHOUT ROWID;
";

/// So many places are known by heart; of more than that it is looked up again which they are.
const PLACES_KNOWN_MAX: usize = 20_000;

/// How many messages go at once: so many that nobody waits for it.
const PRUNED_AT_ONCE: i64 = 2_000;

/// In a stamp's number the time stands in front of so many bits.
const STAMP_COUNT_BITS: u32 = 16;

/// What the writer knows by heart of the tables, so that a message is one insertion.
#[derive(Debug, Default)]
pub struct Messages {
    arrival: i64,
    /// When the latest of all messages was said.
    latest: i64,
    origins: BTreeMap<String, Origin>,
    /// Whose tips have yet to be written.
    raised: BTreeSet<String>,
    places: HashMap<String, i64>,
    taken_back: BTreeSet<(String, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    id: i64,
    tip: i64,
    /// The last that is here, whether or not something before it is missing.
    last: i64,
}

/// No number grows so far; what a peer makes up is cut there.
pub fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How many of the oldest are too old; at most so many as go at once.
fn too_old(change: &Transaction, limits: &History, now: Timestamp) -> rusqlite::Result<i64> {
    let keep_ms = u64::try_from(limits.keep.as_millis()).unwrap_or(u64::MAX);
    let oldest = whole(now.0.saturating_sub(keep_ms)) << STAMP_COUNT_BITS;
    let mut times = change.prepare_cached("SELECT time FROM message ORDER BY arrival LIMIT ?1")?;
    let mut times = times.query([PRUNED_AT_ONCE])?;
    let mut count = 0;
    while let Some(row) = times.next()?
        && row.get::<_, i64>(0)? < oldest
    {
        count += 1;
    }
    Ok(count)
}

/// How much of the file is in use.
fn bytes_used(change: &Transaction) -> rusqlite::Result<i64> {
    let number = |name: &str| change.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
}

impl Messages {
    pub fn load(connection: &Connection) -> rusqlite::Result<Messages> {
        let last: Option<i64> =
            connection.query_row("SELECT max(arrival) FROM message", [], |row| row.get(0))?;
        // Whatever may be late counts as late: the last ones suffice to know when that is.
        let latest: Option<i64> = connection.query_row(
            "SELECT max(time) FROM (SELECT time FROM message ORDER BY arrival DESC LIMIT 1000)",
            [],
            |row| row.get(0),
        )?;
        let mut origins = BTreeMap::new();
        let mut all = connection
            .prepare("SELECT name, id, tip, (SELECT max(seq) FROM message WHERE origin = id) FROM origin")?;
        let mut all = all.query([])?;
        while let Some(row) = all.next()? {
            let (tip, last): (i64, Option<i64>) = (row.get(2)?, row.get(3)?);
            origins.insert(row.get(0)?, Origin { id: row.get(1)?, tip, last: last.unwrap_or(tip) });
        }
        let mut all = connection.prepare("SELECT origin, seq FROM taken_back")?;
        let taken_back =
            all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let (arrival, latest) = (last.unwrap_or(0), latest.unwrap_or(0));
        Ok(Messages { arrival, latest, origins, taken_back, ..Messages::default() })
    }

    /// How far origins are here, and the latest messages of all.
    pub fn stored(&self, connection: &Connection, recent_max: usize) -> rusqlite::Result<StoredTalk> {
        let tips = self.origins.iter().map(|(name, origin)| (name.clone(), origin.tip as u64)).collect();
        let mut latest = connection.prepare(
            "SELECT line FROM (SELECT origin, seq, line FROM message ORDER BY arrival DESC LIMIT ?1)
             JOIN origin ON origin.id = origin ORDER BY name, seq",
        )?;
        let recent = latest.query_map([recent_max as i64], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let taken_back = self.taken_back.iter().map(|(origin, seq)| (origin.clone(), *seq as u64)).collect();
        Ok(StoredTalk { tips, recent, taken_back })
    }

    /// Writes one entry as part of a transaction. When that comes to nothing, all that is known by heart has to be
    /// loaded anew.
    pub fn put(&mut self, change: &Transaction, entry: &Entry) -> rusqlite::Result<()> {
        match entry {
            Entry::Said(said) => self.put_message(change, row_of(said)),
            Entry::Skipped { origin, tip } => {
                let origin = origin.to_string();
                let known = self.origin(change, &origin)?;
                if whole(*tip) > known.tip { self.raise(change, &origin, whole(*tip)) } else { Ok(()) }
            }
            Entry::Forgotten { origin } => {
                let origin = origin.to_string();
                let id = self.origin(change, &origin)?.id;
                change.execute(
                    "DELETE FROM words WHERE rowid IN (SELECT arrival FROM message WHERE origin = ?1)",
                    [id],
                )?;
                change.execute("DELETE FROM message WHERE origin = ?1", [id])?;
                change.execute("DELETE FROM origin WHERE id = ?1", [id])?;
                self.origins.remove(&origin);
                self.raised.remove(&origin);
                Ok(())
            }
        }
    }

    /// Writes what is the same for all entries of a transaction; comes last in it.
    pub fn settle(&mut self, change: &Transaction) -> rusqlite::Result<()> {
        let mut write = change.prepare_cached("UPDATE origin SET tip = ?2 WHERE name = ?1")?;
        for name in std::mem::take(&mut self.raised) {
            write.execute(params![name, self.origins.get(&name).map_or(0, |origin| origin.tip)])?;
        }
        Ok(())
    }

    /// Deletes some of the oldest, by when they came here, where they are older or more than there may be; true where
    /// there are more of them. So of each origin those go first that it wrote first.
    pub fn prune(
        &mut self,
        change: &Transaction,
        limits: &History,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        let first: Option<i64> =
            change.query_row("SELECT min(arrival) FROM message", [], |row| row.get(0))?;
        let Some(first) = first else { return Ok(false) };
        let count = self.arrival - first + 1;
        let beyond = |most: u64| if most > 0 { count - whole(most) } else { 0 };
        let too_large = match limits.keep_bytes {
            0 => 0,
            most => {
                let used = bytes_used(change)?;
                // As many as take up what is too much; the rest of the file is small.
                (used - whole(most)).max(0).saturating_mul(count) / used.max(1)
            }
        };
        let goes = beyond(limits.keep_messages).max(too_large).max(too_old(change, limits, now)?);
        let goes = goes.min(PRUNED_AT_ONCE);
        if goes <= 0 {
            return Ok(false);
        }
        change.execute("DELETE FROM words WHERE rowid >= ?1 AND rowid < ?2", [first, first + goes])?;
        change.execute("DELETE FROM message WHERE arrival < ?1", [first + goes])?;
        if goes < PRUNED_AT_ONCE {
            let empty = "NOT EXISTS (SELECT 1 FROM message WHERE message.place = ";
            change.execute(&format!("DELETE FROM party WHERE {empty} party.place)"), [])?;
            change.execute(&format!("DELETE FROM place WHERE {empty} place.id)"), [])?;
            self.places.clear();
        }
        Ok(goes == PRUNED_AT_ONCE)
    }

    fn put_message(&mut self, change: &Transaction, mut row: MessageRow) -> rusqlite::Result<()> {
        let origin = self.origin(change, &row.origin)?;
        let seq = whole(row.seq);
        if !self.taken_back.is_empty() && self.taken_back.remove(&(row.origin.clone(), seq)) {
            change
                .prepare_cached("DELETE FROM taken_back WHERE origin = ?1 AND seq = ?2")?
                .execute(params![row.origin, seq])?;
            if let Some(line) = blanked(&row.line) {
                (row.line, row.kind, row.text) = (line, Kind::Blank, None);
            }
        }
        let mut place = match &row.conversation {
            Some(conversation) => Some(self.place(change, conversation)?),
            None => None,
        };
        if let Some((of, seq)) = &row.takes_back
            && let Some(found) = self.take_back(change, of, whole(*seq))?
        {
            // News of it belongs where it was said, whatever its author is called by now.
            place = found;
        }
        let (time, server) = &row.place;
        let written = change
            .prepare_cached(
                "INSERT OR IGNORE INTO message (arrival, origin, seq, place, time, server, kind, late, line)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                self.arrival + 1,
                origin.id,
                seq,
                place,
                whole(*time),
                server,
                row.kind.number(),
                whole(*time) < self.latest,
                row.line
            ])?;
        self.arrival += written as i64;
        self.latest = self.latest.max(whole(*time));
        if let Some(text) = row.text.filter(|_| written > 0) {
            change
                .prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?
                .execute(params![self.arrival, text])?;
        }
        if seq == origin.tip + 1 {
            return self.raise(change, &row.origin, seq);
        }
        if let Some(origin) = self.origins.get_mut(&row.origin) {
            origin.last = origin.last.max(seq);
        }
        Ok(())
    }

    /// Takes the words of a message away, also where it has yet to come; answers with the place where it was said, if it
    /// is here.
    fn take_back(
        &mut self,
        change: &Transaction,
        origin: &str,
        seq: i64,
    ) -> rusqlite::Result<Option<Option<i64>>> {
        let Some(of) = self.origins.get(origin).copied() else {
            return self.take_back_early(change, origin, seq).map(|()| None);
        };
        let found: Option<(i64, Option<i64>, String)> = change
            .prepare_cached("SELECT arrival, place, line FROM message WHERE origin = ?1 AND seq = ?2")?
            .query_row(params![of.id, seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((arrival, place, line)) = found else {
            // What is not here though it has come is gone for good.
            if seq > of.tip {
                self.take_back_early(change, origin, seq)?;
            }
            return Ok(None);
        };
        if let Some(line) = blanked(&line) {
            change
                .prepare_cached("UPDATE message SET line = ?2, kind = ?3 WHERE arrival = ?1")?
                .execute(params![arrival, line, Kind::Blank.number()])?;
            change.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([arrival])?;
        }
        Ok(Some(place))
    }

    fn take_back_early(&mut self, change: &Transaction, origin: &str, seq: i64) -> rusqlite::Result<()> {
        change
            .prepare_cached("INSERT OR IGNORE INTO taken_back (origin, seq) VALUES (?1, ?2)")?
            .execute(params![origin, seq])?;
        self.taken_back.insert((origin.to_string(), seq));
        Ok(())
    }

    fn origin(&mut self, change: &Transaction, name: &str) -> rusqlite::Result<Origin> {
        if let Some(known) = self.origins.get(name) {
            return Ok(*known);
        }
        change.prepare_cached("INSERT INTO origin (name, tip) VALUES (?1, 0)")?.execute([name])?;
        let origin = Origin { id: change.last_insert_rowid(), tip: 0, last: 0 };
        self.origins.insert(name.to_string(), origin);
        Ok(origin)
    }

    fn raise(&mut self, change: &Transaction, name: &str, mut tip: i64) -> rusqlite::Result<()> {
        let Some(origin) = self.origins.get_mut(name) else { return Ok(()) };
        // Some of what comes next may be here already: from before something that had to be written again.
        if tip < origin.last {
            let mut next = change.prepare_cached("SELECT 1 FROM message WHERE origin = ?1 AND seq = ?2")?;
            while next.exists(params![origin.id, tip + 1])? {
                tip += 1;
            }
        }
        (origin.tip, origin.last) = (tip, origin.last.max(tip));
        self.raised.insert(name.to_string());
        Ok(())
    }

    fn place(&mut self, change: &Transaction, conversation: &Conversation) -> rusqlite::Result<i64> {
        let key = conversation.key();
        if let Some(id) = self.places.get(&key) {
            return Ok(*id);
        }
        let found: Option<i64> = change
            .prepare_cached("SELECT id FROM place WHERE name = ?1")?
            .query_row([&key], |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                change.prepare_cached("INSERT INTO place (name) VALUES (?1)")?.execute([&key])?;
                let id = change.last_insert_rowid();
                let mut put =
                    change.prepare_cached("INSERT OR IGNORE INTO party (name, place) VALUES (?1, ?2)")?;
                for party in conversation.parties() {
                    put.execute(params![party.key(), id])?;
                }
                id
            }
        };
        if self.places.len() >= PLACES_KNOWN_MAX {
            self.places.clear();
        }
        self.places.insert(key, id);
        Ok(id)
    }
}

#[cfg(test)]
#[path = "../../../tests/support/shelf.rs"]
mod shelf;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::shelf::Shelf;
    use super::*;
    use crate::edge::data::tests::Scratch;
    use crate::edge::store::Store;
    use crate::edge::store::read::Reader;
    use crate::engine::{Dot, Party, Point, Query, Run};
    use crate::wire::base36;
    use crate::wire::fold::fold;

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
        assert_eq!(
            texts(&reader.answer(&between("#green", 2)).unwrap()),
            ["two, late and for some", "three"]
        );
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
        assert_eq!(
            found.iter().map(|record| record.is_blank()).collect::<Vec<_>>(),
            [true, true, false, false]
        );
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
        let oldest =
            |reader: &mut Reader| texts(&reader.answer(&between("#green", 9_999)).unwrap())[0].clone();
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
        assert!(start < Duration::from_secs(1), "{start:?}");
        assert!(times[times.len() * 99 / 100] < Duration::from_millis(10), "{times:?}");
    }

    fn any_query(dice: &mut Dice) -> Query {
        let most = 1 + dice.below(20) as usize;
        match dice.below(8) {
            0 => Query::Message { dot: dot(dice.one_of(&SERVERS), 1 + dice.below(60)) },
            1 => {
                let first = dice.below(60);
                let (origin, last) = (run(dice.one_of(&SERVERS)), first + dice.below(30));
                Query::Range { origin, first, last, most }
            }
            2 => Query::Targets {
                channels: ["#green", "#red", "#none"][..dice.below(4) as usize]
                    .iter()
                    .map(|c| fold(c))
                    .collect(),
                parties: ["ann", "bob"][..dice.below(3) as usize]
                    .iter()
                    .map(|nick| Party::Nick(fold(nick)))
                    .collect(),
                after: point(dice),
                before: point(dice),
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
}
