//! What goes to disk, and what comes back from it at the next start: durable facts as the lines that carry
//! them between servers, so that a person can read the table.
//!
//! What is not on disk yet is in force here and nowhere else: nobody is told of it.

use std::collections::BTreeSet;

use super::Engine;
use super::effect::{Effect, Topic};
use super::merge::{Dot, Fact, Facts, Origin, Stream, Vector};
use super::network::{Change, Key, Value, Writing, edit_of};
use super::peer;
use crate::wire::base36;

/// One row of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub table: Table,
    pub key: String,
    /// `None` removes it.
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Facts that count, by their dots, as lines.
    Fact,
    /// How far each origin has been heard.
    Seen,
    /// Dots that are known to be superseded though they have not come.
    Early,
    /// What else a server remembers of itself.
    State,
}

impl Table {
    pub const ALL: [Table; 4] = [Table::Fact, Table::Seen, Table::Early, Table::State];

    pub fn name(self) -> &'static str {
        match self {
            Table::Fact => "fact",
            Table::Seen => "seen",
            Table::Early => "early",
            Table::State => "state",
        }
    }
}

/// The key in `Table::State` under which the generation stands: like an epoch, but of the store. New when the
/// store is made and after every end of a run that did not close it.
pub const GENERATION: &str = "generation";

/// All that was on disk when a server started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub generation: u32,
    pub rows: Vec<Row>,
}

/// A store that was just made.
impl Default for Stored {
    fn default() -> Stored {
        Stored { generation: 1, rows: Vec::new() }
    }
}

impl Stored {
    /// The facts that were stored, or the row that makes no sense.
    pub(super) fn facts(&self) -> Result<Facts<Key, Value>, String> {
        let (mut seen, mut facts, mut early) = (Vector::default(), Vec::new(), BTreeSet::new());
        for row in &self.rows {
            let value = row.value.as_deref().unwrap_or_default();
            let is_read = match row.table {
                Table::Fact => read_fact(&row.key, value).map(|fact| facts.push(fact)),
                Table::Seen => read_seen(&row.key, value).map(|(origin, tip)| seen.raise(origin, tip)),
                Table::Early => Dot::parse(&row.key).map(|dot| early.extend([dot])),
                Table::State => Some(()),
            };
            is_read.ok_or_else(|| {
                format!(
                    "the table {} has a row that this version cannot read: {} {value}",
                    row.table.name(),
                    row.key
                )
            })?;
        }
        Ok(Facts::restored(seen, facts, early))
    }
}

fn read_fact(key: &str, line: &str) -> Option<(Key, Fact<Value>)> {
    let change = peer::read_stored(line)?;
    let (key, value) =
        (Dot::parse(key) == Some(change.dot)).then(|| change.edit.fact(change.dot.origin.server))??;
    Some((key, Fact { dot: change.dot, stamp: change.stamp, value: value? }))
}

fn read_seen(origin: &str, tip: &str) -> Option<(Origin, u64)> {
    Some((Origin::parse(origin)?, base36::parse(tip)?))
}

fn rows_of(writing: Writing) -> Vec<Row> {
    let mut rows = Vec::new();
    for (dot, fact) in writing.facts {
        let line = fact.and_then(|(key, fact)| {
            let (dot, stamp, edit) = (fact.dot, fact.stamp, edit_of(&key, &fact.value)?);
            Some(peer::write_change(&Change { dot, stamp, over: Vec::new(), after: 0, more: false, edit }))
        });
        rows.push(Row { table: Table::Fact, key: dot.to_string(), value: line });
    }
    for (origin, tip) in writing.seen {
        rows.push(Row { table: Table::Seen, key: origin.to_string(), value: tip.map(base36::encode) });
    }
    for (dot, is_early) in writing.early {
        let value = is_early.then(String::new);
        rows.push(Row { table: Table::Early, key: dot.to_string(), value });
    }
    if let Some(generation) = writing.generation {
        let value = Some(generation.to_string());
        rows.push(Row { table: Table::State, key: GENERATION.to_string(), value });
    }
    rows
}

impl Engine {
    /// Has all that was written in this step put on disk, at once or not at all.
    pub(super) fn put_on_disk(&mut self) {
        if let Some((number, writing)) = self.network.next_batch() {
            self.effects.push(Effect::Keep { number, rows: rows_of(writing) });
        }
    }

    /// Every batch up to this one is on disk: now others may be told.
    pub(super) fn kept(&mut self, number: u64) {
        let kept = self.network.keep(number);
        for change in &kept.changes {
            self.forward(change, None);
        }
        if kept.merged {
            self.tell_all_have();
        }
    }

    /// Somebody remembers more of this server's store than it does: its disk was lost or put back. It goes on
    /// in a generation that nobody has seen; if its present one is in doubt, with what others tell it.
    pub(super) fn renew_generation(&mut self, seen: u32, is_in_doubt: bool) {
        let own = self.origin_of(Stream::Durable);
        let edits = if is_in_doubt { self.network.begin_durable_anew(own) } else { Vec::new() };
        self.generation = seen.max(own.epoch).saturating_add(1);
        let text = format!(
            "this server's store was seen in generation {seen}, further than it is: begins generation {}",
            self.generation
        );
        self.note(log::Level::Error, Topic::Server, text);
        self.network.write_generation(self.generation);
        edits.into_iter().for_each(|edit| self.write(edit, false));
    }
}
