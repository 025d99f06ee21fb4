//! What the store is asked: a few threads look into it on connections of their own, and answer with events.

mod search;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, params_from_iter};

use super::messages::whole;
use super::writer::InTray;
use super::{BUSY_WITHIN, FILE};
use crate::edge::shared::Shared;
use crate::edge::threads::give_way;
use crate::engine::{AskId, Dot, Event, Kind, Party, Place, Point, Query, Record};

/// How many threads look things up. Most of what they wait for is the disk. The last of them is there for what other
/// servers have missed, so that nobody's searches keep the network from healing.
pub const READERS: usize = 3;

/// How long one question may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 5 });

/// How often it is looked whether it has taken too long, in instructions of SQLite's machine: a fraction of a millisecond.
const STEPS_AT_ONCE: i32 = 10_000;

/// How long each message takes at least that another server is told of long ago: so it gets 10,000 a second, which is less
/// than it could take in, and its people do not wait meanwhile.
const RETOLD_WITHIN: Duration = Duration::from_micros(100);

/// How many questions may wait. Who asks then is told to ask again.
const WAITING_MAX: usize = 256;

/// How long a question waits at most for what was to be recorded before it.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);

/// Before all that was ever said, and after it.
const FIRST: (i64, &str) = (0, "");
const LAST: (i64, &str) = (i64::MAX, "~");

/// One `Effect::Recall`.
#[derive(Debug)]
pub struct Question {
    pub ask: AskId,
    pub query: Query,
    /// What has to be there first: everything that was recorded up to this number.
    pub after: u64,
}

/// The router's way to the readers: of people's questions, and of other servers'.
pub struct Questions {
    people: Sender<Question>,
    servers: Sender<Question>,
}

/// The same, where they are taken.
pub struct Waiting {
    people: Receiver<Question>,
    servers: Receiver<Question>,
}

impl Waiting {
    /// What one of the readers answers.
    fn of(&self, reader: usize) -> &Receiver<Question> {
        if reader == READERS { &self.servers } else { &self.people }
    }
}

impl Questions {
    pub fn new() -> (Questions, Waiting) {
        let (people, peoples) = crossbeam_channel::bounded(WAITING_MAX);
        let (servers, serverss) = crossbeam_channel::bounded(WAITING_MAX);
        (Questions { people, servers }, Waiting { people: peoples, servers: serverss })
    }

    /// Never blocks; false where too much waits already.
    pub fn ask(&self, question: Question) -> bool {
        let to = if matches!(question.query, Query::Range { .. }) { &self.servers } else { &self.people };
        !matches!(to.try_send(question), Err(TrySendError::Full(_)))
    }
}

/// How far the writer has come, for those who wait for it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<(Mutex<Reached>, Condvar)>);

#[derive(Debug, Default)]
struct Reached {
    number: u64,
    /// The disk is at fault: nobody is to wait for it, what is there has to do.
    is_stuck: bool,
}

impl Progress {
    pub fn reach(&self, number: u64) {
        *self.0.0.lock() = Reached { number, is_stuck: false };
        self.0.1.notify_all();
    }

    pub fn get_stuck(&self) {
        self.0.0.lock().is_stuck = true;
        self.0.1.notify_all();
    }

    pub fn has_reached(&self, number: u64) -> bool {
        self.0.0.lock().number >= number
    }

    fn wait(&self, number: u64, deadline: Instant) {
        let mut reached = self.0.0.lock();
        while reached.number < number && !reached.is_stuck {
            if self.0.1.wait_until(&mut reached, deadline).timed_out() {
                return;
            }
        }
    }
}

/// Answers until the router is gone, as one of the readers.
pub fn run(number: usize, directory: &Path, shared: &Shared, tray: &InTray) {
    give_way();
    let mut reader = Reader::new(directory);
    for Question { ask, query, after } in tray.questions.of(number) {
        tray.progress.wait(after, Instant::now() + RECORDED_WITHIN);
        let began = Instant::now();
        let outcome = reader.answer(&query);
        let is_cut = reader.is_cut;
        if let Err(why) = &outcome {
            log::error!(target: "folkmoot::server", "{why}");
        }
        let count = outcome.as_ref().map_or(0, Vec::len);
        shared.tell(Event::Recalled { ask, outcome, is_cut });
        if number == READERS {
            std::thread::sleep((RETOLD_WITHIN * count as u32).saturating_sub(began.elapsed()));
        }
    }
}

/// One connection that only reads, opened when it is first needed.
pub struct Reader {
    path: PathBuf,
    connection: Option<Connection>,
    /// How long one answer may take.
    within: Duration,
    /// Whether the last answer is not all that there may be, since there was too much to look at.
    pub is_cut: bool,
}

impl Reader {
    pub fn new(directory: &Path) -> Reader {
        Reader { path: directory.join(FILE), connection: None, within: ANSWERED_WITHIN, is_cut: false }
    }

    pub fn answer(&mut self, query: &Query) -> Result<Vec<Record>, String> {
        let deadline = Instant::now() + self.within;
        let found = self.open().and_then(|connection| {
            connection.progress_handler(STEPS_AT_ONCE, Some(move || Instant::now() > deadline))?;
            match query {
                Query::Search { .. } => search::find(connection, query),
                _ => look(connection, query).map(|records| (records, false)),
            }
        });
        self.is_cut = matches!(found, Ok((_, true)));
        found.map(|(records, _)| records).map_err(|why| {
            // What is broken may be the connection.
            self.connection = None;
            format!("cannot read {}: {why}", self.path.display())
        })
    }

    fn open(&mut self) -> rusqlite::Result<&Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags)?;
                connection.busy_timeout(BUSY_WITHIN)?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }
}

fn look(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Record>> {
    match query {
        Query::Between { target, after, before, newest_first, most, events } => {
            let Some(place) = place_called(connection, &target.key())? else { return Ok(Vec::new()) };
            let Some((after, before)) = bounds(connection, Some(place), after, before)? else {
                return Ok(Vec::new());
            };
            // Each order has a text of its own, so that both can be read off the index.
            let order = if *newest_first { "DESC" } else { "ASC" };
            let kinds = if *events { "kind <> ?6" } else { "kind = ?6" };
            let sql = format!(
                "SELECT arrival, line FROM message
                 WHERE place = ?1 AND (time, server) > (?2, ?3) AND (time, server) < (?4, ?5) AND {kinds}
                 ORDER BY time {order}, server {order} LIMIT ?7"
            );
            let kind = if *events { Kind::Other } else { Kind::Text }.number();
            let values: [&dyn ToSql; 6] = [&place, &after.0, &after.1, &before.0, &before.1, &kind];
            let mut records = records(connection, &sql, &values, *most)?;
            if *newest_first {
                records.reverse();
            }
            Ok(records)
        }
        Query::Targets { channels, parties, after, of_each, most } => {
            let Some((after, _)) = bounds(connection, None, after, &None)? else {
                return Ok(Vec::new());
            };
            let mut places = Vec::new();
            for channel in channels {
                places.extend(place_called(connection, channel.as_str())?);
            }
            places.extend(places_of(connection, parties)?);
            places.sort_unstable();
            places.dedup();
            let mut latest = connection.prepare_cached(
                "SELECT time, server, arrival FROM message
                 WHERE place = ?1 AND kind = ?2 ORDER BY time DESC, server DESC LIMIT 1",
            )?;
            let mut found: Vec<(i64, String, i64)> = Vec::new();
            for place in places {
                let last = latest
                    .query_row((place, Kind::Text.number()), |row| Ok((row.get(0)?, row.get(1)?, place)))
                    .optional()?;
                found.extend(last.filter(|(time, server, _): &(i64, String, i64)| {
                    (*time, server.as_str()) > (after.0, after.1.as_str())
                }));
            }
            found.sort_unstable();
            found.drain(..found.len().saturating_sub(*most));
            let mut all = Vec::new();
            for (_, _, place) in found {
                let sql = "SELECT arrival, line FROM message
                     WHERE place = ?1 AND kind = ?2 ORDER BY time DESC, server DESC LIMIT ?3";
                all.extend(records(connection, sql, &[&place, &Kind::Text.number()], *of_each)?);
            }
            all.sort_by_key(Record::said);
            Ok(all)
        }
        Query::Late { target, arrived_after, before, most } => {
            let Some(place) = place_called(connection, &target.key())? else { return Ok(Vec::new()) };
            let Some((_, before)) = bounds(connection, Some(place), &None, &Some(before.clone()))? else {
                return Ok(Vec::new());
            };
            let sql = "SELECT arrival, line FROM message
                 WHERE place = ?1 AND late AND arrival > ?2 AND (time, server) < (?3, ?4) AND kind = ?5
                 ORDER BY arrival LIMIT ?6";
            let kind = Kind::Text.number();
            let values: [&dyn ToSql; 5] = [&place, &whole(*arrived_after), &before.0, &before.1, &kind];
            records(connection, sql, &values, *most)
        }
        Query::Search { .. } => search::find(connection, query).map(|(found, _)| found),
        Query::Message { dot } => {
            let sql = "SELECT arrival, line FROM message
                 WHERE origin = (SELECT id FROM origin WHERE name = ?1) AND seq = ?2 LIMIT ?3";
            records(connection, sql, &[&dot.origin.to_string(), &whole(dot.seq)], 1)
        }
        Query::Range { origin, first, last, most } => {
            let sql = "SELECT arrival, line FROM message
                 WHERE origin = (SELECT id FROM origin WHERE name = ?1) AND seq BETWEEN ?2 AND ?3
                 ORDER BY seq LIMIT ?4";
            records(connection, sql, &[&origin.to_string(), &whole(*first), &whole(*last)], *most)
        }
    }
}

/// The first rows that can be read; the statement's last parameter is how many it may answer with.
fn records(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    most: usize,
) -> rusqlite::Result<Vec<Record>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut unreadable = 0;
    loop {
        let limit = i64::try_from(most.saturating_add(unreadable)).unwrap_or(i64::MAX);
        let values = values.iter().copied().chain([&limit as &dyn ToSql]);
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let (mut records, mut count) = (Vec::new(), 0);
        for row in rows {
            let (arrival, line) = row?;
            count += 1;
            records.extend(Record::read(arrival as u64, line));
        }
        // What makes no sense any more is as good as lost; the rest is not, and who gets less than they asked for
        // takes it for the end.
        let lost = count - records.len();
        if lost <= unreadable || records.len() >= most {
            records.truncate(most);
            return Ok(records);
        }
        unreadable = lost;
    }
}

/// The private conversations of these.
fn places_of(connection: &Connection, parties: &[Party]) -> rusqlite::Result<Vec<i64>> {
    let mut of_party = connection.prepare_cached("SELECT place FROM party WHERE name = ?1")?;
    let mut places = Vec::new();
    for party in parties {
        let found = of_party.query_map([party.key()], |row| row.get(0))?;
        places.extend(found.collect::<rusqlite::Result<Vec<i64>>>()?);
    }
    Ok(places)
}

fn place_called(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    let mut find = connection.prepare_cached("SELECT id FROM place WHERE name = ?1")?;
    find.query_row([key], |row| row.get(0)).optional()
}

/// Between which two stamps two points lie; `None` where nothing does, as nobody knows the message that one of them
/// names.
#[expect(clippy::type_complexity, reason = "two places in the order of things")]
fn bounds(
    connection: &Connection,
    place: Option<i64>,
    after: &Option<Point>,
    before: &Option<Point>,
) -> rusqlite::Result<Option<((i64, String), (i64, String))>> {
    let resolve = |found: Result<Place, Dot>| match found {
        Ok((time, server)) => Ok(Some((whole(time), server))),
        Err(dot) => stamp_of(connection, place, dot),
    };
    let of = |(time, server): (i64, &str)| Some((time, server.to_string()));
    let after = after.as_ref().map_or(Ok(of(FIRST)), |point| resolve(point.end()))?;
    let before = before.as_ref().map_or(Ok(of(LAST)), |point| resolve(point.start()))?;
    Ok(after.zip(before))
}

fn stamp_of(
    connection: &Connection,
    place: Option<i64>,
    dot: Dot,
) -> rusqlite::Result<Option<(i64, String)>> {
    let mut find = connection.prepare_cached(
        "SELECT time, server FROM message
         WHERE origin = (SELECT id FROM origin WHERE name = ?1) AND seq = ?2 AND (?3 IS NULL OR place = ?3)",
    )?;
    find.query_row((dot.origin.to_string(), whole(dot.seq), place), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;
    use crate::edge::store::Store;
    use crate::engine::{Conversation, Entry};
    use crate::wire::base36;
    use crate::wire::fold::fold;
    use crate::wire::time::Timestamp;

    #[test]
    fn what_takes_too_long_is_given_up_and_the_next_question_is_answered() {
        let scratch = Scratch::new("read-deadline");
        let (mut store, _) = Store::open(&scratch.0, Timestamp(5_000), 0).unwrap();
        let entries = (1..=5_000_u64).map(|seq| {
            let (dot, stamp) = (base36::encode(seq), base36::encode(seq << 16));
            let line = format!("@dot=1AA.1.M{dot}.{stamp} :ann!a@host PRIVMSG 1AAAAAAAA #green :hay");
            Entry::read(&line).unwrap()
        });
        store.write([], &entries.collect::<Vec<_>>(), false).unwrap();
        let target = Conversation::Channel(fold("#green"));
        let query = Query::Between {
            target,
            after: None,
            before: None,
            newest_first: true,
            most: 5_000,
            events: false,
        };
        let mut reader = Reader { within: Duration::ZERO, ..Reader::new(&scratch.0) };
        let fault = reader.answer(&query).unwrap_err();
        assert!(fault.contains("cannot read") && fault.contains("interrupted"), "{fault}");
        reader.within = ANSWERED_WITHIN;
        assert_eq!(reader.answer(&query).map(|records| records.len()), Ok(5_000));
    }

    #[test]
    fn a_file_that_could_not_be_read_is_opened_again() {
        let scratch = Scratch::new("read-again");
        let query = Query::Message { dot: Dot::parse("1AA.1.M1").unwrap() };
        let mut reader = Reader::new(&scratch.0);
        assert!(reader.answer(&query).unwrap_err().contains("cannot read"));
        let (store, _) = Store::open(&scratch.0, Timestamp(5_000), 0).unwrap();
        assert_eq!(reader.answer(&query), Ok(Vec::new()));
        drop(store);
    }
}
