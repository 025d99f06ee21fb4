//! `folkmoot export` and `folkmoot import`: all that a server keeps, as lines of JSON.
//!
//! ```text
//! {"folkmoot":"export","version":1,"network":"Folkmoot","server":"hall.lan","time":"2026-11-21T23:42:11.123Z"}
//! {"kind":"account","id":"7FA.3.D4","time":"…","by":"7FA","say":["ACCOUNT","2s1k0ftdg0.7FA","name","*","alice","2s1k0ftdg0.7FA"]}
//! {"kind":"message","id":"7FA.2.M5k","time":"…","by":"7FA","source":"alice!a@host","say":["PRIVMSG","7FAAAAAAB","#green","hay"]}
//! {"kind":"run","run":"7FA.2","heard":200}
//! {"kind":"end","items":2}
//! ```
//!
//! What an item says is what servers say to each other. Facts come in the order in which they were written, messages in
//! that in which they were heard. The last line says how many there were, so that a file that was cut is known by it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::data::{self, DataDirectory};
use super::ergo;
use super::identity::{self, wall_clock};
use super::settings::Source;
use super::store::{Found, Store, look_through};
use crate::engine::{Import, Item, ItemKind, Summary};
use crate::wire::time::Timestamp;

/// The version of the format. Whoever writes something that older versions cannot read raises it.
const VERSION: u32 = 1;

/// So many lines at fault are named; of more it is said how many there are.
const FAULTS_NAMED: usize = 20;

/// No line of an export is longer.
const LINE_BYTES_MAX: u64 = 256 << 10;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    folkmoot: String,
    version: u32,
    network: String,
    server: String,
    time: String,
}

/// Any other line.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    count: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    say: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

impl From<Item> for Line {
    fn from(item: Item) -> Line {
        Line {
            kind: item.kind.name().to_string(),
            id: item.id,
            time: Some(item.time.to_string()),
            count: item.count,
            by: Some(item.by),
            tags: item.tags,
            source: item.source,
            say: item.words,
            ..Line::default()
        }
    }
}

impl Line {
    fn item(self) -> Result<Item, String> {
        let kind = ItemKind::named(&self.kind)
            .ok_or_else(|| format!("there is no kind \"{}\" in this version", self.kind))?;
        let time = self.time.unwrap_or_default();
        Ok(Item {
            kind,
            id: self.id,
            time: Timestamp::parse(&time).ok_or_else(|| format!("\"{time}\" is no time"))?,
            count: self.count,
            by: self.by.unwrap_or_default(),
            tags: self.tags,
            source: self.source,
            words: self.say,
        })
    }
}

/// Writes all that the server on a data directory keeps into a new file, whether or not it runs.
pub fn export(source: &Source, to: &Path) -> Result<String, String> {
    let settings = source.read().map_err(|faults| faults.join("\n"))?;
    let fault = |why: io::Error| format!("cannot write {}: {why}", to.display());
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let file = created.map_err(|why| match why.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} is there already; name a file that is not", to.display())
        }
        _ => fault(why),
    })?;
    let head = Head {
        folkmoot: "export".to_string(),
        version: VERSION,
        network: settings.config.network.name.clone(),
        server: settings.config.server.name.clone().unwrap_or_default(),
        time: wall_clock().to_string(),
    };
    let written = Export::into(BufWriter::new(file), head)
        .and_then(|export| export.write(&settings.data))
        .inspect_err(|_| drop(std::fs::remove_file(to)))?;
    Ok(format!(
        "{}: {written}. It holds what accounts are checked against, and what people said to each other in private: keep \
         it as you keep the data directory.\n",
        to.display()
    ))
}

/// A file that is being written.
struct Export {
    file: BufWriter<File>,
    counts: BTreeMap<ItemKind, u64>,
    items: u64,
    unreadable: u64,
}

impl Export {
    fn into(file: BufWriter<File>, head: Head) -> Result<Export, String> {
        let mut export = Export { file, counts: BTreeMap::new(), items: 0, unreadable: 0 };
        export.line(&head)?;
        Ok(export)
    }

    /// Answers with what was written, for a person.
    fn write(mut self, directory: &Path) -> Result<String, String> {
        let (mut facts, mut runs) = (Some(Vec::new()), Vec::new());
        look_through(directory, &mut |found| {
            match found {
                Found::Fact(line) => match (&mut facts, Item::of_line(&line)) {
                    (Some(facts), Some(item)) => facts.push(item),
                    _ => self.unreadable += 1,
                },
                Found::Run(run, heard) => runs.push((run, heard)),
                Found::Message(line) => {
                    self.facts(facts.take())?;
                    match Item::of_line(&line) {
                        Some(item) => self.item(item)?,
                        None => self.unreadable += 1,
                    }
                }
            }
            Ok(())
        })?;
        self.facts(facts.take())?;
        for (run, heard) in runs {
            let line = Line { kind: "run".into(), run: Some(run), heard: Some(heard), ..Line::default() };
            self.line(&line)?;
        }
        self.line(&Line { kind: "end".into(), items: Some(self.items), ..Line::default() })?;
        let file = self.file.into_inner().map_err(|why| why.to_string())?;
        file.sync_all().map_err(|why| why.to_string())?;
        let mut counts: Vec<String> =
            self.counts.iter().map(|(kind, count)| format!("{}={count}", kind.name())).collect();
        if self.unreadable > 0 {
            counts.push(format!("not readable by this version and left out={}", self.unreadable));
        }
        Ok(if counts.is_empty() { "nothing is kept yet".to_string() } else { counts.join(" ") })
    }

    fn facts(&mut self, facts: Option<Vec<Item>>) -> Result<(), String> {
        let mut facts = facts.unwrap_or_default();
        facts.sort_by(|a, b| (a.time, a.count, &a.by).cmp(&(b.time, b.count, &b.by)));
        facts.into_iter().try_for_each(|item| self.item(item))
    }

    fn item(&mut self, item: Item) -> Result<(), String> {
        *self.counts.entry(item.kind).or_default() += 1;
        self.items += 1;
        self.line(&Line::from(item))
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), String> {
        let written = serde_json::to_writer(&mut self.file, line).map_err(io::Error::from);
        written.and_then(|()| self.file.write_all(b"\n")).map_err(|why| format!("cannot write: {why}"))
    }
}

/// Adds what a file holds to what the stopped server on a data directory keeps: all of it, or where a line is at fault
/// nothing, unless the rest is wanted all the same.
pub fn import(source: &Source, from: &Path, despite_faults: bool) -> Result<String, String> {
    let settings = source.read().map_err(|faults| faults.join("\n"))?;
    if data::is_in_use(&settings.data) {
        return Err(format!(
            "a server runs on the data directory {}; stop it first: only a stopped server can be given something",
            settings.data.display()
        ));
    }
    let fault = |why: io::Error| format!("cannot read {}: {why}", from.display());
    let mut lines = Lines::of(BufReader::new(File::open(from).map_err(fault)?), from);
    let foreign = match lines.head() {
        Ok(_) => None,
        // Another program's files are read as a whole: there is no history in them.
        Err(why) => match std::fs::read(from).ok().and_then(|bytes| ergo::read(&bytes)) {
            Some(found) => Some(found.map_err(|why| format!("{}: {why}", from.display()))?),
            None => return Err(why),
        },
    };

    let data = DataDirectory::open(&settings.data)?;
    let pin = identity::own_certificate(&settings.config, &data)?.pin();
    let server = identity::server_id(&settings.config, &pin)?;
    let now = wall_clock();
    let (mut store, stored) = Store::open(data.path(), now, 0)?;
    let import = Import::into_store(&stored, server, data.last_epoch(now)?, now)
        .map_err(|why| format!("the store in {}: {why}", data.path().display()));
    let outcome = import.and_then(|import| match foreign {
        Some(found) => import_found(&mut store, import, found),
        None => import_lines(&mut store, import, lines, despite_faults),
    });
    store.close()?;
    outcome
}

/// Adds what another program kept; what cannot be had here is named.
fn import_found(store: &mut Store, mut import: Import, found: ergo::Found) -> Result<String, String> {
    let mut left_out = found.left_out;
    for account in &found.accounts {
        match import.take_account(account) {
            Ok(parts) => left_out.extend(parts),
            Err(why) => left_out.push(why),
        }
    }
    for channel in &found.channels {
        match import.take_channel(channel) {
            Ok(parts) => left_out.extend(parts),
            Err(why) => left_out.push(why),
        }
    }
    let mut summary = Summary::default();
    store.take_in(|_| {
        let (rows, of_facts) = import.finish()?;
        summary = of_facts;
        Ok(rows)
    })?;
    let left_out: String = left_out.iter().map(|what| format!("left out: {what}\n")).collect();
    Ok(format!(
        "{left_out}imported {} facts; {} were here already, or newer\n",
        summary.written, summary.known
    ))
}

/// Adds what a server like this one exported.
fn import_lines(
    store: &mut Store,
    mut import: Import,
    mut lines: Lines<impl BufRead>,
    despite_faults: bool,
) -> Result<String, String> {
    let mut faults = Faults::default();
    let mut summary = Summary::default();
    let outcome = store.take_in(|intake| {
        let (mut items, mut end, mut runs) = (0, None, Vec::new());
        while let Some(line) = lines.next()? {
            let number = lines.number;
            if end.is_some() {
                faults.add(number, "it stands behind the end".to_string());
                continue;
            }
            let taken = line.and_then(|line| match (line.kind.as_str(), &line.run, line.heard, line.items) {
                ("run", Some(run), Some(heard), _) => {
                    runs.extend(import.heard(run, heard)?);
                    Ok(None)
                }
                ("end", _, _, Some(items)) => {
                    end = Some(items);
                    Ok(None)
                }
                _ => {
                    items += 1;
                    import.take(line.item()?)
                }
            });
            match taken {
                Ok(Some(entry)) => intake.put(&entry)?,
                Ok(None) => {}
                Err(why) => faults.add(number, why),
            }
        }
        runs.iter().try_for_each(|entry| intake.put(entry))?;
        match end {
            None => faults.add(lines.number + 1, "the end is missing: the file was cut".to_string()),
            Some(said) if said != items => {
                faults.add(
                    lines.number,
                    format!("it should be the end of {said} items, and there are {items}"),
                );
            }
            Some(_) => {}
        }
        if !faults.is_empty() && !despite_faults {
            return Err(String::new());
        }
        let (rows, of_facts) = import.finish()?;
        summary = of_facts;
        Ok(rows)
    });
    let place = lines.place;
    match outcome {
        Err(_) if !faults.is_empty() && !despite_faults => Err(format!(
            "{}\nnothing was imported; with --despite-faults all but those lines is",
            faults.text(&place)
        )),
        Err(why) => Err(why),
        Ok(new_messages) => {
            let known = summary.messages as u64 - new_messages.min(summary.messages as u64);
            let left_out = if faults.is_empty() { String::new() } else { faults.text(&place) + "\n" };
            let elsewhere = match summary.left_out {
                0 => String::new(),
                count => format!("left out {count} facts of channels that are somebody else's here\n"),
            };
            Ok(format!(
                "{left_out}{elsewhere}imported {} facts and {new_messages} messages; {} and {known} were here already, or newer\n",
                summary.written, summary.known
            ))
        }
    }
}

/// A file, line by line.
struct Lines<R> {
    file: R,
    place: String,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn of(file: R, path: &Path) -> Lines<R> {
        Lines { file, place: path.display().to_string(), number: 0 }
    }

    /// The first line, which says what follows.
    fn head(&mut self) -> Result<Head, String> {
        let text = self.text()?.unwrap_or_default();
        let head = serde_json::from_slice::<Head>(&text).ok().filter(|head| head.folkmoot == "export");
        let head = head.ok_or_else(|| format!("{} is no export of Folkmoot", self.place))?;
        if head.version != VERSION {
            return Err(format!(
                "{} is an export of version {}, and this version of Folkmoot reads version {VERSION} only; import it \
                 with the version that it is for",
                self.place, head.version
            ));
        }
        Ok(head)
    }

    /// The next line, or what is wrong with it.
    fn next(&mut self) -> Result<Option<Result<Line, String>>, String> {
        let Some(text) = self.text()? else { return Ok(None) };
        let read = serde_json::from_slice(&text).map_err(|why| {
            // It counts lines within what it was given, which is one.
            let why = why.to_string();
            format!("it cannot be read: {}", why.split(" at line ").next().unwrap_or_default())
        });
        Ok(Some(read))
    }

    fn text(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut text = Vec::new();
        let fault = |why: io::Error| format!("cannot read {}: {why}", self.place);
        let read = io::Read::take(&mut self.file, LINE_BYTES_MAX).read_until(b'\n', &mut text);
        if read.map_err(fault)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        // What is longer is none of ours; the rest of it is passed over.
        if text.last() != Some(&b'\n') && text.len() as u64 == LINE_BYTES_MAX {
            text.clear();
            self.file.skip_until(b'\n').map_err(fault)?;
        }
        Ok(Some(text))
    }
}

/// What was wrong with which lines.
#[derive(Default)]
struct Faults {
    named: Vec<(u64, String)>,
    more: usize,
}

impl Faults {
    fn add(&mut self, line: u64, why: String) {
        match self.named.len() < FAULTS_NAMED {
            true => self.named.push((line, why)),
            false => self.more += 1,
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    fn text(&self, place: &str) -> String {
        let mut lines: Vec<String> =
            self.named.iter().map(|(line, why)| format!("{place}: line {line}: {why}")).collect();
        if self.more > 0 {
            lines.push(format!("{place}: and {} lines more", self.more));
        }
        lines.join("\n")
    }
}
