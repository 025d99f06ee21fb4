//! A server's disk in a simulation: what it was asked to keep, and what of that is really there.

use std::collections::{BTreeMap, VecDeque};

use folkmoot::engine::{GENERATION, Row, Stored, Table};

/// Rows on disk, and batches on their way to it, which a crash loses.
pub struct Disk {
    rows: BTreeMap<(Table, String), String>,
    under_way: VecDeque<(u64, Vec<Row>)>,
    /// A server runs on it, or did until it crashed.
    is_open: bool,
}

impl Disk {
    /// An empty disk, on which a store is made that begins with this generation.
    pub fn new(generation: u32) -> Disk {
        let state = ((Table::State, GENERATION.to_string()), generation.to_string());
        Disk { rows: BTreeMap::from([state]), under_way: VecDeque::new(), is_open: false }
    }

    /// What a server finds as it starts. What the last one had not put here is not here.
    pub fn open(&mut self) -> Stored {
        self.under_way.clear();
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
        Stored { generation, rows: rows.collect() }
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

    /// The server that used it ends well.
    pub fn close(&mut self) {
        self.sync(u64::MAX);
        self.is_open = false;
    }
}
