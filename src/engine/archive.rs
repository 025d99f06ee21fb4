//! What a store holds as items that any server can take in: what goes into an export, and what an import makes of it.
//!
//! An item is a line between servers taken apart. Messages keep their dots, since those are the ids that people know them
//! by; a fact comes in as this server's own writing, in a generation of its store that nobody has heard of, with the time
//! at which it was first written. So what is there and newer stays, and what is there already is not written again. What
//! has been heard of here, or imported before, and is not there any more was removed since, and stays so. Whoever has a
//! nick or a channel here keeps it, whoever had it first elsewhere.

mod foreign;
mod owners;

use self::owners::Owners;

pub use foreign::{ForeignAccount, ForeignChannel};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::history::Entry;
use super::keep::{Row, Stored, Table, rows_of};
use super::merge::{Dot, Fact, Origin, Stamp, Stream, Vector};
use super::network::{Change, Durable, Edit, Key, Value};
use super::peer;
use crate::wire::base36;
use crate::wire::line::{Framer, Limits};
use crate::wire::message::{Draft, Message, is_tag_key};
use crate::wire::names::ServerId;
use crate::wire::time::Timestamp;

/// Nothing comes from further ahead of the clock than this.
const AHEAD_MAX_MS: u64 = 60_000;

/// Stands in front of an origin in the table of states, and behind it how much of its writing has been imported.
const IMPORTED: &str = "imported ";

/// The tags of a line that are said otherwise in an item, or are of no use to anybody else.
const OWN_TAGS: [&str; 4] = ["dot", "over", "after", "more"];

/// One thing that is known, or was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub kind: Kind,
    /// Its dot. Facts have had one since it is known by it what was removed.
    pub id: Option<String>,
    pub time: Timestamp,
    /// Which of the things that one server wrote at that time.
    pub count: u16,
    /// The server that wrote it.
    pub by: String,
    pub tags: BTreeMap<String, String>,
    pub source: Option<String>,
    /// The verb, and what stands behind it.
    pub words: Vec<String>,
}

/// What an item is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Account,
    /// That a channel is somebody's, and what is set on it.
    Channel,
    Metadata,
    Ban,
    /// What people have told operators of others.
    Report,
    /// How far somebody has read.
    Marker,
    Message,
    /// What this version cannot read; a later one may.
    Other,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Account,
        Kind::Channel,
        Kind::Metadata,
        Kind::Ban,
        Kind::Report,
        Kind::Marker,
        Kind::Message,
        Kind::Other,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Account => "account",
            Kind::Channel => "channel",
            Kind::Metadata => "metadata",
            Kind::Ban => "ban",
            Kind::Report => "report",
            Kind::Marker => "marker",
            Kind::Message => "message",
            Kind::Other => "other",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn of(key: &Key) -> Kind {
        match key {
            Key::Account(..) => Kind::Account,
            Key::Registration(..) | Key::Setting(..) | Key::Mask(..) => Kind::Channel,
            Key::Metadata(..) => Kind::Metadata,
            Key::Ban(..) => Kind::Ban,
            Key::Complaint(_) => Kind::Report,
            Key::Read(..) => Kind::Marker,
            Key::Foreign(_) | Key::Server(_) | Key::User(_) | Key::Member(..) | Key::Status(..) => {
                Kind::Other
            }
        }
    }
}

impl Item {
    /// What a line of the store says; `None` where this version cannot read it.
    pub fn of_line(line: &str) -> Option<Item> {
        let (change, message) = (peer::read_stored(line)?, Message::parse(line)?);
        let (kind, id) = match change.dot.stream {
            Stream::Message => (Kind::Message, Some(change.dot.to_string())),
            _ => (Kind::of(&change.edit.fact(change.dot.origin.server)?.0), Some(change.dot.to_string())),
        };
        let tags = message.tags.iter().filter(|(key, _)| !OWN_TAGS.contains(key));
        let words = std::iter::once(message.command).chain(message.params.iter().copied());
        Some(Item {
            kind,
            id,
            time: change.stamp.time(),
            count: change.stamp.count,
            by: change.stamp.server.to_string(),
            tags: tags.map(|(key, value)| (key.to_string(), value.into_owned())).collect(),
            source: message.source.map(str::to_string),
            words: words.map(str::to_string).collect(),
        })
    }

    /// Of a fact.
    fn dot(&self) -> Option<Dot> {
        Dot::parse(self.id.as_deref()?).filter(|dot| dot.stream == Stream::Durable)
    }

    fn stamp(&self) -> Result<Stamp, String> {
        let server =
            ServerId::parse(&self.by).ok_or_else(|| format!("\"{}\" is no id of a server", self.by))?;
        Ok(Stamp { ms: self.time.0, count: self.count, server })
    }

    /// The change as that dot and stamp; the reason where it makes no sense.
    fn change(&self, dot: Dot, stamp: Stamp) -> Result<Change, String> {
        let Some((verb, params)) = self.words.split_first() else {
            return Err("it says nothing".to_string());
        };
        let mut draft = Draft::new(verb).tag("dot", &format!("{dot}.{}", base36::encode(stamp.number())));
        for (key, value) in &self.tags {
            if !is_tag_key(key) || OWN_TAGS.contains(&key.as_str()) {
                return Err(format!("\"{key}\" cannot be a tag"));
            }
            draft = draft.tag(key, value);
        }
        if let Some(source) = &self.source {
            draft = draft.source(source);
        }
        let draft = params.iter().fold(draft, |draft, param| draft.param(param));
        let line = draft.line();
        // What a draft had to change to make a line of it was no line before.
        let is_same = Message::parse(&line).is_some_and(|message| {
            message.command == verb && message.params == *params && message.source == self.source.as_deref()
        });
        let framed = Framer::new(Limits::PEER).push(format!("{line}\r\n").as_bytes());
        let is_whole = is_same && framed.iter().eq([Ok(line.as_str())]);
        let senseless = || format!("this version cannot make sense of {verb} here");
        let change = peer::read_stored(&line).filter(|_| is_whole).ok_or_else(senseless)?;
        if matches!(change.edit, Edit::Unknown { .. }) && dot.stream == Stream::Durable {
            return Err(senseless());
        }
        Ok(change)
    }
}

/// How many items an import had of each kind, and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Facts that were written.
    pub written: usize,
    /// Facts that were there already, or of which something newer was.
    pub known: usize,
    /// Facts of channels that are somebody else's.
    pub left_out: usize,
    pub messages: usize,
}

/// What a stopped server's store comes to hold besides.
pub struct Import {
    durable: Durable,
    /// As which the facts are written.
    own: Origin,
    /// How often this server has been started: what it said in runs to come nobody can have.
    epoch_max: u32,
    now: Timestamp,
    /// The runs of which something was heard here.
    runs: BTreeSet<String>,
    /// How far the writing of each server has been imported before, and now.
    imported: Vector,
    found: Vector,
    /// Whether something could not be taken, and may come again.
    is_partial: bool,
    facts: Vec<(Stamp, Item)>,
    foreign: foreign::Foreign,
    summary: Summary,
}

impl Import {
    /// Into what is stored, for the server of this id that has been started so often.
    pub fn into_store(
        stored: &Stored,
        server: ServerId,
        epoch_max: u32,
        now: Timestamp,
    ) -> Result<Import, String> {
        let facts = stored.facts()?;
        let own = Origin { server, epoch: stored.generation.saturating_add(1) };
        Ok(Import {
            durable: Durable::new(0, facts, own),
            own,
            epoch_max,
            now,
            runs: stored.talk.tips.iter().map(|(run, _)| run.clone()).collect(),
            imported: imported_before(stored),
            found: Vector::default(),
            is_partial: false,
            facts: Vec::new(),
            foreign: foreign::Foreign::default(),
            summary: Summary::default(),
        })
    }

    /// Takes one item: a message comes back as what is to be written of it, facts are written at the end. The error is
    /// what is wrong with it.
    pub fn take(&mut self, item: Item) -> Result<Option<Entry>, String> {
        self.try_to_take(item).inspect_err(|_| self.is_partial = true)
    }

    fn try_to_take(&mut self, item: Item) -> Result<Option<Entry>, String> {
        let stamp = item.stamp()?;
        if stamp.ms > self.now.0.saturating_add(AHEAD_MAX_MS) {
            return Err(format!("{} is yet to come", item.time));
        }
        if item.kind == Kind::Message {
            let change = self.message(&item, stamp)?;
            self.summary.messages += 1;
            // Where there was nothing nobody has read on.
            return Ok(Some(Entry::Said {
                change: Arc::new(change),
                line: None,
                is_late: !self.runs.is_empty(),
            }));
        }
        let change = item.change(self.next_dot(), stamp)?;
        let kind = match change.edit.fact(self.own.server) {
            Some((key, Some(_))) => Some(Kind::of(&key)),
            _ => None,
        };
        if kind != Some(item.kind) {
            return Err(format!("{} says nothing of the kind \"{}\"", item.words[0], item.kind.name()));
        }
        if let Some(dot) = item.dot() {
            self.found.raise(dot.origin, dot.seq);
        }
        self.facts.push((stamp, item));
        Ok(None)
    }

    /// So far a run of some server had been heard. Of one that was heard here, too, other servers may have more.
    pub fn heard(&self, run: &str, tip: u64) -> Result<Option<Entry>, String> {
        let origin = Origin::parse(run).ok_or_else(|| format!("\"{run}\" is no run of a server"))?;
        self.has_been(origin)?;
        Ok((!self.runs.contains(&origin.to_string())).then_some(Entry::Skipped { origin, tip }))
    }

    fn message(&self, item: &Item, stamp: Stamp) -> Result<Change, String> {
        let id = item.id.as_deref().unwrap_or_default();
        let dot = Dot::parse(id).filter(|dot| dot.stream == Stream::Message && dot.seq > 0);
        let dot = dot.filter(|dot| dot.origin.server == stamp.server);
        let dot = dot.ok_or_else(|| format!("\"{id}\" is no id of a message of {}", item.by))?;
        self.has_been(dot.origin)?;
        item.change(dot, stamp)
    }

    fn has_been(&self, origin: Origin) -> Result<(), String> {
        if origin.server == self.own.server && origin.epoch > self.epoch_max {
            return Err(format!("{origin} is a run of this server that has not been"));
        }
        Ok(())
    }

    fn next_dot(&self) -> Dot {
        let seq = self.durable.facts().seen().tip(self.own) + 1;
        Dot { origin: self.own, stream: Stream::Durable, seq }
    }

    /// Writes the facts, oldest first, and answers with what goes to disk.
    pub fn finish(mut self) -> Result<(Vec<Row>, Summary), String> {
        self.facts.sort_by_key(|(stamp, _)| *stamp);
        let owners = Owners::of(self.durable.facts(), self.own.server, self.now);
        // What one server writes has rising stamps.
        let mut last = 0;
        for (stamp, item) in std::mem::take(&mut self.facts) {
            let number = stamp.number().max(last + 1);
            let mut change = item.change(self.next_dot(), Stamp::from_number(number, self.own.server))?;
            let Some((key, Some(value))) = change.edit.fact(self.own.server) else { continue };
            let siblings = self.durable.facts().siblings(&key);
            let is_known = |fact: &Fact<Value>| match (&fact.value, &value) {
                // Nobody unreads what they have read.
                (Value::Read(read), Value::Read(time)) => read >= time,
                (shown, value) => shown == value || fact.stamp.number() >= stamp.number(),
            };
            let was_removed = item.dot().is_some_and(|dot| {
                let was_here = self.durable.facts().seen().covers(dot) || self.imported.covers(dot);
                was_here && siblings.iter().all(|fact| fact.dot != dot)
            });
            if was_removed || siblings.iter().any(is_known) {
                self.summary.known += 1;
                continue;
            }
            if !owners.leave_room(&mut change.edit) {
                self.summary.left_out += 1;
                continue;
            }
            last = number;
            let over = siblings.iter().map(|fact| fact.dot).filter(|dot| dot.origin != self.own).collect();
            self.durable.apply(&Arc::new(Change { over, ..change }));
            self.summary.written += 1;
        }
        if self.summary.written > 0 {
            self.durable.begin_generation(self.own.epoch);
        }
        let mut rows = self.durable.next_batch().map_or_else(Vec::new, |(_, writing)| rows_of(writing));
        // What was left out can be had once there is room for it.
        if !self.is_partial && self.summary.left_out == 0 {
            let new = self.found.beyond(&self.imported);
            let notes = new.iter().map(|(origin, tip)| Row {
                table: Table::State,
                key: format!("{IMPORTED}{origin}"),
                value: Some(tip.to_string()),
            });
            rows.extend(notes);
        }
        Ok((rows, self.summary))
    }
}

/// What the table of states has of the servers whose writing was imported.
fn imported_before(stored: &Stored) -> Vector {
    let mut imported = Vector::default();
    for row in stored.rows.iter().filter(|row| row.table == Table::State) {
        let origin = row.key.strip_prefix(IMPORTED).and_then(Origin::parse);
        let tip = row.value.as_ref().and_then(|tip| tip.parse().ok());
        if let Some((origin, tip)) = origin.zip(tip) {
            imported.raise(origin, tip);
        }
    }
    imported
}
