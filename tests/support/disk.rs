//! A server's disk in a simulation: what it was asked to keep, and what of that is really there.

use std::collections::{BTreeMap, VecDeque};

use folkmoot::engine::{Entry, GENERATION, Query, Record, Row, Stored, Table};

#[path = "shelf.rs"]
pub mod shelf;
use shelf::Shelf;

/// Rows on disk, and batches on their way to it, which a crash loses.
#[derive(Clone)]
pub struct Disk {
    rows: BTreeMap<(Table, String), String>,
    under_way: VecDeque<(u64, Vec<Row>)>,
    /// What was said, and what of it is on its way here.
    shelf: Shelf,
    said: VecDeque<(u64, Vec<Entry>)>,
    /// A server runs on it, or did until it crashed.
    is_open: bool,
}

impl Disk {
    /// An empty disk, on which a store is made that begins with this generation.
    pub fn new(generation: u32) -> Disk {
        let state = ((Table::State, GENERATION.to_string()), generation.to_string());
        Disk {
            rows: BTreeMap::from([state]),
            under_way: VecDeque::new(),
            shelf: Shelf::default(),
            said: VecDeque::new(),
            is_open: false,
        }
    }

    /// What a server finds as it starts, with so many of the latest messages. What the last one had not put here is not
    /// here.
    pub fn open(&mut self, recent_max: usize) -> Stored {
        self.under_way.clear();
        self.said.clear();
        let key = (Table::State, GENERATION.to_string());
        let before: u32 = self.rows[&key].parse().expect("a server wrote it");
        let generation = if self.is_open { before + 1 } else { before };
        self.rows.insert(key, generation.to_string());
        self.is_open = true;
        let rows = self.rows.iter().map(|((table, key), value)| Row {
            table: *table,
            key: key.clone(),
            value: Some(value.clone()),
        });
        Stored { generation, rows: rows.collect(), talk: self.shelf.stored(recent_max) }
    }

    pub fn write(&mut self, number: u64, rows: Vec<Row>) {
        self.under_way.push_back((number, rows));
    }

    /// Every batch up to this one arrives.
    pub fn sync(&mut self, number: u64) {
        while self.under_way.front().is_some_and(|(first, _)| *first <= number) {
            let (_, rows) = self.under_way.pop_front().expect("it was just seen");
            for row in rows {
                match row.value {
                    Some(value) => self.rows.insert((row.table, row.key), value),
                    None => self.rows.remove(&(row.table, row.key)),
                };
            }
        }
    }

    pub fn record(&mut self, number: u64, entries: Vec<Entry>) {
        self.said.push_back((number, entries));
    }

    /// All that was said up to this number arrives.
    pub fn sync_said(&mut self, number: u64) {
        while self.said.front().is_some_and(|(first, _)| *first <= number) {
            let (_, entries) = self.said.pop_front().expect("it was just seen");
            entries.iter().for_each(|entry| self.shelf.put(entry));
        }
    }

    /// Looks for what was said. Everything that was to be recorded is there to be found.
    pub fn recall(&mut self, query: &Query) -> Vec<Record> {
        self.sync_said(u64::MAX);
        self.shelf.recall(query)
    }

    /// All that was said and is here.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// The server that used it ends well.
    pub fn close(&mut self) {
        self.sync(u64::MAX);
        self.sync_said(u64::MAX);
        self.is_open = false;
    }
}
