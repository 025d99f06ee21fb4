//! What a server must not lose, in one SQLite file: durable facts, and what was said.
//!
//! One thread writes, a few read. Facts that wait when it comes to write go into one transaction, and only when that
//! is on disk is the engine told; until then nobody else hears of it. Messages are written some at a time.

mod archive;
mod messages;
mod read;
mod room;
mod writer;

pub use archive::{Found, look_through};
pub use read::{READERS, run as recall};
pub use room::{Room, weight};
pub use writer::{Batch, Desk, desk, run};

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Transaction};

use self::messages::Messages;
use crate::config::History;
use crate::engine::{Entry, GENERATION, Row, Stored, Table};
use crate::wire::time::Timestamp;

/// Its name in the data directory.
const FILE: &str = "folkmoot.db";

/// Tells our files from those of other programs: "FOLK".
const APPLICATION: i32 = 0x464f_4c4b;

/// What makes each schema out of the one before; the first out of an empty file. A new one goes to the end,
/// and those before it never change.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE fact  (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE seen  (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE early (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
",
    messages::SCHEMA,
    "
    -- What is superseded before it comes has had no key with it. Should it still come, other servers put it right.
    DELETE FROM early;
",
    messages::BY_TIME,
    messages::EVENTS,
];

/// Stands in the table `state` for as long as a server runs on the file.
const OPEN: &str = "open";

/// How long somebody else who looks into the file may keep us waiting.
const BUSY_WITHIN: Duration = Duration::from_secs(5);

/// A file up to this size is looked through as a whole at the start, which takes a moment.
const CHECKED_BYTES_MAX: i64 = 64 << 20;

/// The file, open.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// `None` where it has to be loaded anew.
    messages: Option<Messages>,
}

impl Store {
    /// Opens the store of a data directory, made if there is none, and reads all facts that are in it and so many
    /// of the latest messages.
    pub fn open(directory: &Path, now: Timestamp, recent_max: usize) -> Result<(Store, Stored), String> {
        let path = directory.join(FILE);
        let fault = |why: &dyn std::fmt::Display| format!("cannot use the store {}: {why}", path.display());
        // Readable by its owner only, from its first byte; SQLite gives what it puts beside it the same rights.
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        made.map_err(|why| fault(&why))?;
        let connection = Connection::open(&path).map_err(|why| fault(&why))?;
        let mut store = Store { connection, path: path.clone(), messages: None };
        store.prepare()?;
        let stored = store.begin(now, recent_max).map_err(|why| store.unreadable(&why))?;
        Ok((store, stored))
    }

    /// Makes sure that the file is whole and of this version's schema.
    fn prepare(&mut self) -> Result<(), String> {
        let unreadable = |why: rusqlite::Error| self.unreadable(&why);
        let connection = &self.connection;
        connection.busy_timeout(BUSY_WITHIN).map_err(unreadable)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(unreadable)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(unreadable)?;
        for part in self.parts_to_check().map_err(unreadable)? {
            let check = format!("PRAGMA quick_check({part})");
            let found: String = connection.query_row(&check, [], |row| row.get(0)).map_err(unreadable)?;
            if found != "ok" {
                return Err(self.unreadable(&found));
            }
        }
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let (version, application) =
            (number("user_version").map_err(unreadable)?, number("application_id").map_err(unreadable)?);
        if (version != 0 || application != 0) && application != APPLICATION {
            return Err(format!("{} is a file of another program", self.path.display()));
        }
        let known = MIGRATIONS.len();
        let Some(missing) = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..))
        else {
            return Err(format!(
                "the store {} was written by a newer version of Folkmoot (its schema is {version}, this version \
                 knows {known}): start that version, or restore a copy from before",
                self.path.display()
            ));
        };
        self.migrate(missing).map_err(|why| self.unreadable(&why))
    }

    /// The file up to its first fault, or where there is much in it the tables without which there is no start: to look
    /// through all that was ever said would take minutes, and what of it is damaged shows when somebody asks for it.
    fn parts_to_check(&self) -> rusqlite::Result<Vec<String>> {
        let number = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        if number("page_count")? * number("page_size")? <= CHECKED_BYTES_MAX {
            return Ok(vec!["1".to_string()]);
        }
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('message', 'words')
             AND name NOT LIKE 'words\\_%' ESCAPE '\\'";
        let mut tables = self.connection.prepare(sql)?;
        tables.query_map([], |row| row.get(0))?.collect()
    }

    fn migrate(&mut self, missing: &[&str]) -> rusqlite::Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let change = self.connection.transaction()?;
        missing.iter().try_for_each(|statements| change.execute_batch(statements))?;
        change.pragma_update(None, "application_id", APPLICATION)?;
        change.pragma_update(None, "user_version", MIGRATIONS.len() as i32)?;
        change.commit()
    }

    /// Reads everything, and marks the file as in use. A new store begins a generation, and so does one that
    /// was never closed: what its last run wrote at the end may be lost, and the numbers of that must never
    /// be given to anything else. As the time makes it a higher one than any before, a store that was put
    /// back from a copy, or lost, seldom meets its own past.
    fn begin(&mut self, now: Timestamp, recent_max: usize) -> rusqlite::Result<Stored> {
        let change = self.connection.transaction()?;
        let mut rows = Vec::new();
        for table in Table::ALL {
            let mut all = change.prepare(&format!("SELECT key, value FROM {} ORDER BY key", table.name()))?;
            let found =
                all.query_map([], |row| Ok(Row { table, key: row.get(0)?, value: Some(row.get(1)?) }))?;
            for row in found {
                rows.push(row?);
            }
        }
        let state = |key: &str| {
            let found = rows.iter().find(|row| row.table == Table::State && row.key == key);
            found.and_then(|row| row.value.clone())
        };
        let before = state(GENERATION).and_then(|generation| generation.parse::<u32>().ok());
        let generation = match before {
            Some(before) if state(OPEN).is_none() => before,
            before => {
                let by_time = u32::try_from(now.seconds()).unwrap_or(u32::MAX);
                by_time.max(before.unwrap_or(0).saturating_add(1))
            }
        };
        for (key, value) in [(GENERATION, generation.to_string()), (OPEN, "1".to_string())] {
            put(&change, &Row { table: Table::State, key: key.to_string(), value: Some(value) })?;
        }
        let messages = Messages::load(&change)?;
        let talk = messages.stored(&change, recent_max)?;
        change.commit()?;
        self.messages = Some(messages);
        Ok(Stored { generation, rows, talk })
    }

    /// Writes all of it, or nothing. Where it is safe, it is on disk when this returns, whatever happens to the machine;
    /// else whatever happens to this process.
    pub fn write<'w>(
        &mut self,
        rows: impl IntoIterator<Item = &'w Row>,
        entries: impl IntoIterator<Item = &'w Entry>,
        is_safe: bool,
    ) -> Result<(), String> {
        self.try_write(rows, entries, is_safe)
            .map_err(|why| format!("cannot write {}: {why}", self.path.display()))
    }

    fn try_write<'w>(
        &mut self,
        rows: impl IntoIterator<Item = &'w Row>,
        entries: impl IntoIterator<Item = &'w Entry>,
        is_safe: bool,
    ) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "synchronous", if is_safe { "FULL" } else { "NORMAL" })?;
        let change = self.connection.transaction()?;
        rows.into_iter().try_for_each(|row| put(&change, row))?;
        // Only what was written is known by heart.
        let mut messages = match self.messages.take() {
            Some(messages) => messages,
            None => Messages::load(&change)?,
        };
        entries.into_iter().try_for_each(|entry| messages.put(&change, entry))?;
        messages.settle(&change)?;
        change.commit()?;
        self.messages = Some(messages);
        Ok(())
    }

    /// Lets go of some messages that are older, or more, than there may be; true where there are more of them.
    pub fn prune(&mut self, limits: &History, now: Timestamp) -> Result<bool, String> {
        self.try_prune(limits, now).map_err(|why| format!("cannot write {}: {why}", self.path.display()))
    }

    fn try_prune(&mut self, limits: &History, now: Timestamp) -> rusqlite::Result<bool> {
        // Where this comes to nothing, they are looked up anew.
        let Some(mut messages) = self.messages.take() else { return Ok(false) };
        let change = self.connection.transaction()?;
        let has_more = messages.prune(&change, limits, now)?;
        change.commit()?;
        self.messages = Some(messages);
        Ok(has_more)
    }

    /// Nothing more will be written: the next start goes on in the same generation.
    pub fn close(mut self) -> Result<(), String> {
        self.write([&Row { table: Table::State, key: OPEN.to_string(), value: None }], [], true)
    }

    fn unreadable(&self, why: &dyn std::fmt::Display) -> String {
        format!(
            "the store {} is damaged or cannot be used: {why}; restore it from a copy, or move it away, and this \
             server starts with what other servers remember",
            self.path.display()
        )
    }
}

fn put(change: &Transaction, row: &Row) -> rusqlite::Result<()> {
    let table = row.table.name();
    match &row.value {
        Some(value) => change
            .prepare_cached(&format!("INSERT OR REPLACE INTO {table} (key, value) VALUES (?1, ?2)"))?
            .execute((&row.key, value)),
        None => change.prepare_cached(&format!("DELETE FROM {table} WHERE key = ?1"))?.execute([&row.key]),
    }?;
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::edge::data::tests::Scratch;

    pub fn open(scratch: &Scratch) -> Result<(Store, Stored), String> {
        Store::open(&scratch.0, Timestamp(5_000), 100)
    }

    pub fn row(key: &str, value: Option<&str>) -> Row {
        Row { table: Table::Fact, key: key.to_string(), value: value.map(str::to_string) }
    }

    pub fn facts(stored: &Stored) -> Vec<(&str, &str)> {
        let facts = stored.rows.iter().filter(|row| row.table == Table::Fact);
        facts.map(|row| (row.key.as_str(), row.value.as_deref().unwrap())).collect()
    }

    #[test]
    fn what_was_written_is_there_at_the_next_start() {
        let scratch = Scratch::new("store-kept");
        let (mut store, stored) = open(&scratch).unwrap();
        assert_eq!(facts(&stored), []);
        store.write(&[row("a", Some("1")), row("b", Some("2"))], [], true).unwrap();
        store.write(&[row("a", None), row("b", Some("3")), row("c", Some("4"))], [], true).unwrap();
        store.close().unwrap();
        assert_eq!(facts(&open(&scratch).unwrap().1), [("b", "3"), ("c", "4")]);
    }

    #[test]
    fn only_a_store_that_was_closed_goes_on_in_its_generation() {
        let scratch = Scratch::new("store-generation");
        let generation = |at_s: u64, closes: bool| {
            let (store, stored) = Store::open(&scratch.0, Timestamp(at_s * 1000), 100).unwrap();
            if closes {
                store.close().unwrap();
            }
            stored.generation
        };
        assert_eq!(generation(50, true), 50);
        assert_eq!(generation(60, true), 50);
        assert_eq!(generation(70, false), 50);
        assert_eq!(generation(80, false), 80);
        // Whatever the clock says, it rises.
        assert_eq!(generation(3, true), 81);
        assert_eq!(generation(90, true), 81);
    }

    /// Set in the process that is killed: where it writes.
    const WRITES_AT: &str = "FOLKMOOT_TEST_STORE";

    #[test]
    fn what_was_said_to_be_on_disk_is_there_after_a_kill_and_nothing_is_there_by_half() {
        if let Some(directory) = std::env::var_os(WRITES_AT) {
            let (mut store, _) = Store::open(Path::new(&directory), Timestamp(1), 100).unwrap();
            for number in 1.. {
                let keys =
                    ["a", "b", "c"].map(|key| row(&format!("{key}{number}"), Some(&"x".repeat(2_000))));
                store.write(&keys, [], true).unwrap();
                let mut out = std::io::stdout();
                writeln!(out, "kept {number}").and_then(|()| out.flush()).unwrap();
            }
        }
        let name = std::thread::current().name().unwrap().to_string();
        for kept in [1, 20, 111] {
            let scratch = Scratch::new(&format!("store-kill-{kept}"));
            let mut writer = Command::new(std::env::current_exe().unwrap())
                .args([&name, "--exact", "--nocapture"])
                .env(WRITES_AT, &scratch.0)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
            let last = lines.filter_map(|line| line.split_once("kept ")?.1.parse::<u64>().ok());
            let last = last.take(kept).last().unwrap();
            writer.kill().unwrap();
            writer.wait().unwrap();
            let (_, stored) = Store::open(&scratch.0, Timestamp(9_000), 100).unwrap();
            assert_eq!(stored.generation, 9, "it was never closed");
            let facts = facts(&stored);
            assert_eq!(facts.len() % 3, 0, "batches are whole");
            assert!(facts.len() as u64 >= 3 * last, "{} of {last}", facts.len());
            for key in (1..=last).map(|number| format!("c{number}")) {
                assert!(facts.iter().any(|(there, _)| *there == key), "{key}");
            }
        }
    }

    #[test]
    fn a_file_that_is_damaged_or_not_ours_or_newer_is_named_as_such() {
        let scratch = Scratch::new("store-faults");
        let (mut store, _) = open(&scratch).unwrap();
        let rows: Vec<Row> = (0..200).map(|key| row(&key.to_string(), Some(&"y".repeat(500)))).collect();
        store.write(&rows, [], true).unwrap();
        store.connection.pragma_update(None, "user_version", 99).unwrap();
        store.close().unwrap();
        let fault = open(&scratch).unwrap_err();
        assert!(fault.contains("newer version") && fault.contains("99"), "{fault}");

        let path = scratch.0.join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8_192..40_000].fill(0xee);
        std::fs::write(&path, &bytes).unwrap();
        let fault = open(&scratch).unwrap_err();
        assert!(fault.contains("damaged") && fault.contains("restore it from a copy"), "{fault}");

        std::fs::write(&path, "Dear diary, today I wrote a text that is no store at all, and a long one too")
            .unwrap();
        assert!(open(&scratch).unwrap_err().contains("damaged"));

        std::fs::remove_file(&path).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x)").unwrap();
        drop(other);
        assert!(open(&scratch).unwrap_err().contains("another program"));
    }
}
