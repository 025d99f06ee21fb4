//! What was said, written to the store and read back at the start.

mod prune;
#[cfg(test)]
#[path = "../../../tests/support/shelf.rs"]
mod shelf;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::engine::{Conversation, Entry, Kind, MessageRow, StoredTalk, blanked, emptied, row_of};

/// The tables of messages. A row's arrival is its place in the order in which messages came here; rows are
/// found by their dots, and by where and when they were said.
///
/// `message.late` says that people here may have read on since it was said; `words` has the texts, by arrival.
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

/// What is too old is found by when it was said, whenever it came.
pub const BY_TIME: &str = "CREATE INDEX message_by_time ON message (time);";

/// Events of channels, which go before what was said, and what is left of those that went.
pub const EVENTS: &str = "CREATE INDEX message_event ON message (kind, arrival) WHERE kind >= 5;";

/// So many messages that were taken back before they came are known of at most: no honest server gets near it.
const TAKEN_BACK_MAX: usize = 10_000;

/// So many places are known by heart; of more than that it is looked up again which they are.
const PLACES_KNOWN_MAX: usize = 20_000;

/// What the writer knows by heart of the tables, so that a message is one insertion.
#[derive(Debug, Default)]
pub struct Messages {
    arrival: i64,
    /// How many rows there are.
    count: i64,
    /// How many of them are events of channels, and how many are what is left of such.
    events: i64,
    emptied: i64,
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

impl Messages {
    pub fn load(connection: &Connection) -> rusqlite::Result<Messages> {
        let last: Option<i64> =
            connection.query_row("SELECT max(arrival) FROM message", [], |row| row.get(0))?;
        let count: i64 = connection.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?;
        let of_kind = |kind: Kind| -> rusqlite::Result<i64> {
            let sql = "SELECT count(*) FROM message WHERE kind >= 5 AND kind = ?1";
            connection.query_row(sql, [kind.number()], |row| row.get(0))
        };
        let (events, emptied) = (of_kind(Kind::Happening)?, of_kind(Kind::Emptied)?);
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
        let arrival = last.unwrap_or(0);
        Ok(Messages { arrival, count, events, emptied, origins, taken_back, ..Messages::default() })
    }

    /// How many there are, without what is left of events.
    pub fn count(&self) -> u64 {
        (self.count - self.emptied) as u64
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
            Entry::Said { change: said, line, is_late } => {
                self.put_message(change, row_of(said, line.as_ref()), *is_late)
            }
            Entry::Skipped { origin, tip } => {
                let origin = origin.to_string();
                let known = self.origin(change, &origin)?;
                if whole(*tip) <= known.tip {
                    return Ok(());
                }
                self.forget_taken_back(change, &origin, whole(*tip))?;
                self.raise(change, &origin, whole(*tip))
            }
            Entry::Forgotten { origin } => {
                let origin = origin.to_string();
                let id = self.origin(change, &origin)?.id;
                self.let_go(change, "SELECT arrival FROM message WHERE origin = ?1", &[id])?;
                change.execute("DELETE FROM origin WHERE id = ?1", [id])?;
                self.forget_taken_back(change, &origin, i64::MAX)?;
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

    fn put_message(
        &mut self,
        change: &Transaction,
        mut row: MessageRow,
        is_late: bool,
    ) -> rusqlite::Result<()> {
        let origin = self.origin(change, &row.origin)?;
        let seq = whole(row.seq);
        if !self.taken_back.is_empty() && self.taken_back.remove(&(row.origin.clone(), seq)) {
            change
                .prepare_cached("DELETE FROM taken_back WHERE origin = ?1 AND seq = ?2")?
                .execute(params![row.origin, seq])?;
            if let Some(line) = blanked(&row.line) {
                (row.line, row.kind, row.text) = (line.into(), Kind::Blank, None);
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
                is_late,
                row.line
            ])?;
        self.arrival += written as i64;
        self.count += written as i64;
        match row.kind {
            Kind::Happening => self.events += written as i64,
            Kind::Emptied => self.emptied += written as i64,
            _ => {}
        }
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

    /// What was taken back of an origin up to this number and has not come will not come any more.
    fn forget_taken_back(&mut self, change: &Transaction, origin: &str, last: i64) -> rusqlite::Result<()> {
        let all = (origin.to_string(), i64::MIN)..=(origin.to_string(), last);
        let gone: Vec<(String, i64)> = self.taken_back.range(all).cloned().collect();
        for one in gone {
            change
                .prepare_cached("DELETE FROM taken_back WHERE origin = ?1 AND seq = ?2")?
                .execute(params![one.0, one.1])?;
            self.taken_back.remove(&one);
        }
        Ok(())
    }

    fn take_back_early(&mut self, change: &Transaction, origin: &str, seq: i64) -> rusqlite::Result<()> {
        if self.taken_back.len() >= TAKEN_BACK_MAX {
            return Ok(());
        }
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
