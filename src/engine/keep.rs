//! What goes to disk, and what comes back from it at the next start: durable facts as the lines that carry
//! them between servers, so that a person can read the table.
//!
//! What is not on disk yet is in force here and nowhere else: nobody is told of it.

use super::Engine;
use super::effect::{Effect, Topic};
use super::event::ConnId;
use super::history::StoredTalk;
use super::merge::{Dot, Early, Fact, Facts, Origin, Stream, Vector};
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
    /// What is known to be superseded though it has not come.
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
    /// What was said.
    pub talk: StoredTalk,
}

/// A store that was just made.
impl Default for Stored {
    fn default() -> Stored {
        Stored { generation: 1, rows: Vec::new(), talk: StoredTalk::default() }
    }
}

impl Stored {
    /// The facts that were stored, or the row that makes no sense.
    pub(super) fn facts(&self) -> Result<Facts<Key, Value>, String> {
        let (mut seen, mut facts, mut early) = (Vector::default(), Vec::new(), Early::default());
        for row in &self.rows {
            let value = row.value.as_deref().unwrap_or_default();
            let is_read = match row.table {
                Table::Fact => read_fact(&row.key, value).map(|fact| facts.push(fact)),
                Table::Seen => read_seen(&row.key, value).map(|(origin, tip)| seen.raise(origin, tip)),
                Table::Early => peer::read_named(&row.key).map(|named| early.insert(named)),
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

pub(super) fn rows_of(writing: Writing) -> Vec<Row> {
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
    for (named, is_early) in writing.early {
        let value = is_early.then(String::new);
        rows.push(Row { table: Table::Early, key: peer::write_named(named), value });
    }
    for (key, value) in writing.state {
        rows.push(Row { table: Table::State, key, value });
    }
    if let Some(generation) = writing.generation {
        let value = Some(generation.to_string());
        rows.push(Row { table: Table::State, key: GENERATION.to_string(), value });
    }
    rows
}

impl Engine {
    /// Has all that was written in this step put on disk, facts at once or not at all.
    pub(super) fn put_on_disk(&mut self) {
        self.hand_over();
        if let Some((number, writing)) = self.network.next_batch() {
            self.effects.push(Effect::Keep { number, rows: rows_of(writing) });
        }
    }

    /// Every batch up to this one is on disk: now others may be told.
    pub(super) fn kept(&mut self, number: u64) {
        let kept = self.network.keep(number);
        for change in &kept.changes {
            self.forward(change, None, None);
        }
        if kept.merged {
            self.tell_all_have();
        }
    }

    /// Looks whether somebody remembers more of this server's store than it has: then its disk was lost or put
    /// back, and it goes on in a generation that nobody has seen. `true` where somebody has heard of its
    /// present one what this run never told: its numbers stand for something else there, and it begins with
    /// what others tell it.
    pub(super) fn is_of_another_past(&mut self, theirs: &Vector) -> bool {
        let own = self.origin_of(Stream::Durable);
        let seen = theirs.epoch(own.server).unwrap_or(0);
        let is_in_doubt = theirs.tip(own) > self.network.durable_told();
        if seen <= own.epoch && !is_in_doubt {
            return false;
        }
        self.generation = seen.max(own.epoch).saturating_add(1);
        let text = format!(
            "this server's store was seen in generation {seen}, further than it is: begins generation {}",
            self.generation
        );
        self.note(log::Level::Error, Topic::Server, text);
        let (news, edits) =
            if is_in_doubt { self.network.begin_durable_anew(own) } else { Default::default() };
        self.network.begin_generation(self.generation);
        self.tell(news);
        edits.into_iter().for_each(|edit| self.write(edit, false));
        if is_in_doubt {
            // They have been told of numbers that nobody has now.
            let peers: Vec<ConnId> = self.links.by_conn.keys().copied().collect();
            peers.into_iter().for_each(|conn| self.close_link(conn, "this server's store begins anew"));
        }
        is_in_doubt
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::engine::dice::Dice;
    use crate::engine::merge::Stamp;
    use crate::engine::network::{BanFact, BanKind, Durable, Edit};
    use crate::wire::names::ServerId;
    use crate::wire::time::Timestamp;

    /// A server's durable facts, and its disk.
    struct Server {
        own: Origin,
        durable: Durable,
        disk: BTreeMap<(Table, String), String>,
        under_way: Vec<(u64, Vec<Row>)>,
    }

    impl Server {
        fn new(sid: &str) -> Server {
            let own = Origin { server: ServerId::parse(sid).unwrap(), epoch: 1 };
            let durable = Durable::new(4, Facts::default(), own);
            Server { own, durable, disk: BTreeMap::new(), under_way: Vec::new() }
        }

        /// Writes some ban, or its end.
        fn write(&mut self, time: u64, mask: u64, is_set: bool) -> Arc<Change> {
            let (stream, mask) = (Stream::Durable, format!("{mask}@somewhere.lan"));
            let (by, reason) = (String::new(), time.to_string());
            let ban = BanFact { until: None, set: Timestamp(time), by: by.clone(), reason };
            let edit =
                Edit::Ban { kind: BanKind::UserHost, mask: mask.clone(), fact: is_set.then_some(ban), by };
            let facts = self.durable.facts();
            let siblings = facts.siblings(&Key::Ban(BanKind::UserHost, mask)).iter().map(|fact| fact.dot);
            let change = Arc::new(Change {
                dot: Dot { origin: self.own, stream, seq: facts.seen().tip(self.own) + 1 },
                stamp: Stamp { ms: time, count: 0, server: self.own.server },
                over: siblings.filter(|dot| dot.origin != self.own).collect(),
                after: 0,
                more: false,
                edit,
            });
            self.durable.apply(&change);
            change
        }

        fn begin_batch(&mut self) {
            let batch = self.durable.next_batch().map(|(number, writing)| (number, rows_of(writing)));
            self.under_way.extend(batch);
        }

        /// What is under way arrives; all of it, or the first only.
        fn sync(&mut self, all: bool) {
            let count = if all { self.under_way.len() } else { self.under_way.len().min(1) };
            for (number, rows) in self.under_way.drain(..count) {
                for row in rows {
                    match row.value {
                        Some(value) => self.disk.insert((row.table, row.key), value),
                        None => self.disk.remove(&(row.table, row.key)),
                    };
                }
                self.durable.keep(number);
            }
        }

        /// What a start from this disk would find.
        fn stored(&self) -> Facts<Key, Value> {
            let rows = self.disk.iter().map(|((table, key), value)| Row {
                table: *table,
                key: key.clone(),
                value: Some(value.clone()),
            });
            Stored { rows: rows.collect(), ..Stored::default() }.facts().unwrap()
        }
    }

    fn told(facts: &Facts<Key, Value>) -> String {
        let facts_and_keys: Vec<_> = facts.iter().collect();
        format!("{facts_and_keys:?} {:?} {:?}", facts.seen(), facts.early())
    }

    #[test]
    fn what_is_on_disk_is_what_others_are_told_whatever_happens() {
        for seed in 1..=200 {
            let mut dice = Dice::new([seed; 32]);
            let mut servers = ["1AA", "2BB", "3CC"].map(Server::new);
            let mut said: Vec<Arc<Change>> = Vec::new();
            for time in 1..=60 {
                let me = dice.below(3) as usize;
                match dice.below(6) {
                    0 | 1 => said.push(servers[me].write(time, dice.below(3), dice.below(3) > 0)),
                    2 => {
                        let asked = servers[me].durable.kept().seen().clone();
                        let answer = servers[dice.below(3) as usize].durable.kept().answer(&asked);
                        servers[me].durable.merge(answer);
                    }
                    3 => {
                        let seen = servers[me].durable.facts().seen().clone();
                        let next = said.iter().find(|change| seen.is_next(change.dot)).cloned();
                        next.into_iter().for_each(|change| drop(servers[me].durable.apply(&change)));
                    }
                    4 => servers[me].begin_batch(),
                    _ => servers[me].sync(dice.below(2) == 0),
                }
                for server in &servers {
                    assert_eq!(told(&server.stored()), told(server.durable.kept()), "seed {seed}, {time}");
                }
            }
            for server in &mut servers {
                server.begin_batch();
                server.sync(true);
                assert_eq!(told(server.durable.facts()), told(server.durable.kept()), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_row_that_makes_no_sense_is_named() {
        for (table, key, value) in [
            (Table::Fact, "1AA.1.D1", "@dot=1AA.1.D1.5 FROBNICATE"),
            (Table::Fact, "1AA.1.D2", "@dot=1AA.1.D1.5 BAN K bob@host.lan * 0 5 * :out"),
            (Table::Fact, "1AA.1.D1", "@dot=1AA.1.D1.5 BAN K bob@host.lan *"),
            (Table::Seen, "1AA", "5"),
            (Table::Early, "1AA.1=5", ""),
            (Table::Early, "1AA.1.D7", ""),
        ] {
            let row = Row { table, key: key.to_string(), value: Some(value.to_string()) };
            let fault = Stored { rows: vec![row], ..Stored::default() }.facts().unwrap_err();
            assert!(fault.contains(table.name()) && fault.contains(key), "{fault}");
        }
    }
}
