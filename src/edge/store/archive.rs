//! The store as a whole: read for an export, also while a server runs on it, and added to by an import.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction};

use super::messages::Messages;
use super::{APPLICATION, BUSY_WITHIN, FILE, MIGRATIONS, Store, put};
use crate::engine::{Entry, Row};

/// What is found in a store, in this order.
pub enum Found {
    /// A fact, as the line that carries it.
    Fact(String),
    /// A run of a server, and how far it had been heard.
    Run(String, u64),
    /// A message, as the line that carries it.
    Message(String),
}

/// Looks through all that is in the store of a data directory as it is at one moment.
pub fn look_through(
    directory: &Path,
    take: &mut dyn FnMut(Found) -> Result<(), String>,
) -> Result<(), String> {
    let path = directory.join(FILE);
    let fault = |why: rusqlite::Error| format!("cannot read the store {}: {why}", path.display());
    if !path.exists() {
        return Err(format!("there is no store in {}: no server has run on it yet", directory.display()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(fault)?;
    connection.busy_timeout(BUSY_WITHIN).map_err(fault)?;
    let change = connection.transaction().map_err(fault)?;
    let number = |name: &str| change.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (version, application) =
        (number("user_version").map_err(fault)?, number("application_id").map_err(fault)?);
    if application != APPLICATION {
        return Err(format!("{} is a file of another program", path.display()));
    }
    if usize::try_from(version) != Ok(MIGRATIONS.len()) {
        return Err(format!(
            "the store {} is of another version of Folkmoot (its schema is {version}, this version's {}): start a \
             server of this version on it once, or export with the version that wrote it",
            path.display(),
            MIGRATIONS.len()
        ));
    }
    all(&change, "SELECT value, 0 FROM fact ORDER BY key", |line, _| take(Found::Fact(line)), fault)?;
    all(&change, "SELECT name, tip FROM origin ORDER BY id", |run, tip| take(Found::Run(run, tip)), fault)?;
    let messages = "SELECT line, 0 FROM message ORDER BY arrival";
    all(&change, messages, |line, _| take(Found::Message(line)), fault)
}

fn all(
    change: &Transaction,
    sql: &str,
    mut take: impl FnMut(String, u64) -> Result<(), String>,
    fault: impl Fn(rusqlite::Error) -> String,
) -> Result<(), String> {
    let mut rows = change.prepare(sql).map_err(&fault)?;
    let mut rows = rows.query([]).map_err(&fault)?;
    while let Some(row) = rows.next().map_err(&fault)? {
        let number: i64 = row.get(1).map_err(&fault)?;
        take(row.get(0).map_err(&fault)?, u64::try_from(number).unwrap_or(0))?;
    }
    Ok(())
}

/// Writes messages as part of one transaction.
pub struct Intake<'s> {
    change: Transaction<'s>,
    messages: Messages,
}

impl Intake<'_> {
    pub fn put(&mut self, entry: &Entry) -> Result<(), String> {
        self.messages.put(&self.change, entry).map_err(|why| why.to_string())
    }
}

impl Store {
    /// Takes in all that some work puts there and the rows that it ends with, or where it fails nothing. Answers with
    /// how many messages there are more than before.
    pub fn take_in(
        &mut self,
        work: impl FnOnce(&mut Intake) -> Result<Vec<Row>, String>,
    ) -> Result<u64, String> {
        let path = self.path.clone();
        let fault = |why: rusqlite::Error| format!("cannot write {}: {why}", path.display());
        // Whatever comes of it, what is known by heart is loaded anew.
        self.messages = None;
        self.connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
        let change = self.connection.transaction().map_err(fault)?;
        let messages = Messages::load(&change).map_err(fault)?;
        let before = messages.count();
        let mut intake = Intake { change, messages };
        let rows = work(&mut intake)?;
        let Intake { change, mut messages } = intake;
        rows.iter().try_for_each(|row| put(&change, row)).map_err(fault)?;
        messages.settle(&change).map_err(fault)?;
        change.commit().map_err(fault)?;
        Ok(messages.count().saturating_sub(before))
    }
}
