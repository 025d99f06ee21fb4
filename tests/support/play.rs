//! Plays a transcript on a stage: each act, then what everyone heard of it, held against what the file says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::pattern::Values;
use crate::support::script::{self, Act, CLOSED, Expected, Script, Step, WELCOME};
use crate::support::stage::{Heard, Outcome, Stage};

/// Set to anything, what is heard is written into the files, for review, instead of held against them.
const BLESS: &str = "BLESS";

/// After so long it is heard whether something has come that was missing.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Plays one file, named by its path below `tests/transcripts`. Panics with what differs.
pub fn play(name: &str, stage: &mut dyn Stage) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    let shown = format!("tests/transcripts/{name}");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{shown}: {fault}"));
    if std::env::var_os(BLESS).is_none() {
        return check(&shown, &text, stage);
    }
    let blessed = bless(&shown, &text, stage);
    if blessed != text {
        std::fs::write(&path, blessed).unwrap_or_else(|fault| panic!("{shown}: {fault}"));
    }
}

/// Holds what is heard against what a story says, and panics with the first difference.
pub fn check(file: &str, text: &str, stage: &mut dyn Stage) {
    Player::new(file, &script(file, text), stage).check();
}

/// A story with what is really heard in it.
pub fn bless(file: &str, text: &str, stage: &mut dyn Stage) -> String {
    Player::new(file, &script(file, text), stage).bless()
}

fn script(file: &str, text: &str) -> Script {
    script::parse(text).unwrap_or_else(|(line, why)| panic!("{file}:{line}: {why}"))
}

struct Player<'p> {
    stage: &'p mut dyn Stage,
    values: Values,
    script: &'p Script,
    file: &'p str,
    /// In the order in which they were first named.
    servers: Vec<String>,
}

/// What one person heard of a step, beside what was expected.
struct Comparison<'s> {
    person: String,
    pairs: Vec<Pair<'s>>,
}

enum Pair<'s> {
    Same(&'s Expected),
    Missing(&'s Expected),
    Unexpected(String),
}

impl<'p> Player<'p> {
    fn new(file: &'p str, script: &'p Script, stage: &'p mut dyn Stage) -> Player<'p> {
        Player { stage, values: Values::default(), script, file, servers: Vec::new() }
    }

    fn check(&mut self) {
        for step in &self.script.steps {
            let heard = self.take(step);
            let before = self.values.clone();
            if let Some(values) = agrees(step, &heard, self.values.clone()) {
                self.values = values;
                continue;
            }
            panic!("{}", self.describe(step, &self.compare(step, heard, before)));
        }
    }

    /// The file's text with what was really heard.
    fn bless(&mut self) -> String {
        let mut written: Vec<String> = Vec::new();
        let mut place = 0;
        for step in &self.script.steps {
            let end = step.expected.last().map_or(step.place, |expected| expected.place) + 1;
            let heard = self.take(step);
            if let Some(values) = agrees(step, &heard, self.values.clone()) {
                self.values = values;
                written.extend_from_slice(&self.script.lines[place..end]);
            } else {
                written.extend_from_slice(&self.script.lines[place..=step.place]);
                let comparisons = self.compare(step, heard, self.values.clone());
                self.write_heard(step, comparisons, end, &mut written);
            }
            place = end;
        }
        written.extend_from_slice(&self.script.lines[place..]);
        written.join("\n") + "\n"
    }

    /// Lines that were right stay as they are, with the comments above them.
    fn write_heard(
        &mut self,
        step: &Step,
        comparisons: Vec<Comparison>,
        end: usize,
        written: &mut Vec<String>,
    ) {
        let lines = &self.script.lines;
        let is_spoken = |place: usize| step.expected.iter().any(|expected| expected.place == place);
        let mut remarks: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for place in (step.place + 1..end).filter(|place| !is_spoken(*place)) {
            let below = (place..end).find(|place| is_spoken(*place)).expect("a step ends with what is heard");
            remarks.entry(below).or_default().push(lines[place].clone());
        }
        for comparison in comparisons {
            for pair in comparison.pairs {
                match pair {
                    Pair::Same(expected) => {
                        written.extend(remarks.remove(&expected.place).unwrap_or_default());
                        written.push(lines[expected.place].clone());
                    }
                    Pair::Unexpected(line) => {
                        let line = if line.starts_with('*') { line } else { self.values.write(&line) };
                        written.push(format!("{}< {line}", comparison.person));
                    }
                    Pair::Missing(_) => {}
                }
            }
        }
        written.extend(remarks.into_values().flatten());
    }

    /// One act, and what everyone heard of it. Where a stage takes its time, what is missing is waited for.
    fn take(&mut self, step: &Step) -> Vec<(String, String)> {
        let (file, line) = (self.file, step.place + 1);
        let fail = |why: String| -> ! { panic!("{file}:{line}: {why}") };
        let outcome = catch_unwind(AssertUnwindSafe(|| self.act(step).and_then(|()| self.stage.hear())));
        let outcome = outcome.unwrap_or_else(|panic| {
            eprintln!("{file}:{line}: a panic came of this line");
            resume_unwind(panic)
        });
        let mut heard = outcome.unwrap_or_else(|why| fail(why));
        let until = Instant::now() + self.stage.patience();
        loop {
            let words = in_words(heard.clone(), step);
            let is_less = words.as_ref().map_or(true, |words| words.len() < step.expected.len());
            if !is_less || Instant::now() >= until {
                return words.unwrap_or_else(|why| fail(why));
            }
            let more = self.stage.wait(LOOK_AGAIN).and_then(|()| self.stage.hear());
            heard.extend(more.unwrap_or_else(|why| fail(why)));
        }
    }

    fn act(&mut self, step: &Step) -> Outcome {
        let stage = &mut *self.stage;
        match &step.act {
            Act::Start(servers) => {
                for server in servers {
                    if !self.servers.contains(server) {
                        self.configure(server, toml::Table::new())?;
                    }
                    self.stage.start(server)?;
                }
                Ok(())
            }
            Act::Configure { server, settings } => self.configure(server, settings.clone()),
            Act::Stop(server) => stage.stop(server),
            Act::Kill(server) => stage.kill(server),
            Act::Link(a, b) => stage.link(a, b),
            Act::Cut(a, b) => stage.cut(a, b),
            Act::Split(a, b) => stage.split(a, b),
            Act::Connect { person, server, door } => stage.connect(person, server, *door),
            Act::HangUp { person } => stage.hang_up(person),
            Act::Wait(time) => stage.wait(*time),
            Act::Say { person, text } => {
                let text = self.values.fill_in(text)?;
                stage.say(person, &script::said(&text))
            }
            Act::Arrive { person, server, door, wants } => {
                stage.connect(person, server, *door)?;
                if !wants.is_empty() {
                    stage.say(person, format!("CAP REQ :{}", wants.join(" ")).as_bytes())?;
                }
                stage.say(person, format!("NICK {person}").as_bytes())?;
                stage.say(person, format!("USER {person} 0 * :{}", capitalised(person)).as_bytes())?;
                match wants.is_empty() {
                    true => Ok(()),
                    false => stage.say(person, b"CAP END"),
                }
            }
        }
    }

    /// Servers get their ids by the order in which they are named, so that lists by id read alike on every stage.
    fn configure(&mut self, server: &str, mut settings: toml::Table) -> Outcome {
        if !self.servers.iter().any(|known| known == server) {
            self.servers.push(server.to_string());
        }
        let number = self.servers.iter().position(|known| known == server).expect("it has just been added");
        let table = settings.entry("server").or_insert_with(|| toml::Table::new().into());
        let table = table.as_table_mut().ok_or("[server] is a table")?;
        table.entry("sid").or_insert_with(|| format!("{}HA", number + 1).into());
        // Stories are told at no particular speed; those about limits on it say so.
        let limits = settings.entry("limits").or_insert_with(|| toml::Table::new().into());
        limits.as_table_mut().ok_or("[limits] is a table")?.entry("flood").or_insert_with(|| false.into());
        // What comes to be said on a channel again, a story of its own says.
        let history = settings.entry("history").or_insert_with(|| toml::Table::new().into());
        history
            .as_table_mut()
            .ok_or("[history] is a table")?
            .entry("replay_on_join")
            .or_insert_with(|| 0.into());
        self.stage.configure(server, &settings)
    }

    /// For each person in the order of the file, the longest way to see both as the same.
    fn compare<'s>(
        &self,
        step: &'s Step,
        heard: Vec<(String, String)>,
        values: Values,
    ) -> Vec<Comparison<'s>> {
        let mut people: Vec<String> = Vec::new();
        let named = step.expected.iter().map(|expected| &expected.person);
        for person in named.chain(heard.iter().map(|(person, _)| person)) {
            if !people.contains(person) {
                people.push(person.clone());
            }
        }
        let compare = |person: String| {
            let expected: Vec<&Expected> =
                step.expected.iter().filter(|expected| expected.person == person).collect();
            let lines = heard.iter().filter(|(by, _)| *by == person).map(|(_, line)| line.as_str()).collect();
            Comparison { pairs: align(&expected, lines, &values), person }
        };
        people.into_iter().map(compare).collect()
    }

    fn describe(&self, step: &Step, comparisons: &[Comparison]) -> String {
        let mut text = format!("{}:{}: after", self.file, step.place + 1);
        let _ = writeln!(text, " `{}`", self.script.lines[step.place]);
        for Comparison { person, pairs } in comparisons {
            for pair in pairs {
                let _ = match pair {
                    Pair::Same(expected) => writeln!(text, "      {person}< {}", expected.text),
                    Pair::Missing(expected) => writeln!(
                        text,
                        "    - {person}< {}   (expected in line {}, and not heard)",
                        expected.text,
                        expected.place + 1
                    ),
                    Pair::Unexpected(line) => {
                        writeln!(text, "    + {person}< {line}   (heard, and not expected)")
                    }
                };
            }
        }
        let _ = write!(
            text,
            "Where the new lines are right, `BLESS=1 cargo test --test transcripts` writes them down."
        );
        text
    }
}

/// The values of the placeholders, if everyone heard what they should.
fn agrees(step: &Step, heard: &[(String, String)], mut values: Values) -> Option<Values> {
    let mut queues: BTreeMap<&str, VecDeque<&str>> = BTreeMap::new();
    for (person, line) in heard {
        queues.entry(person).or_default().push_back(line);
    }
    for expected in &step.expected {
        let line = queues.get_mut(expected.person.as_str())?.pop_front()?;
        if !values.matches(&expected.text, line) {
            return None;
        }
    }
    queues.values().all(VecDeque::is_empty).then_some(values)
}

/// The longest common run of lines, and what is missing or unexpected between them.
fn align<'s>(expected: &[&'s Expected], heard: Vec<&str>, values: &Values) -> Vec<Pair<'s>> {
    let is_same = |row: usize, column: usize| values.clone().matches(&expected[row].text, heard[column]);
    // How many lines agree from each place on.
    let mut common = vec![vec![0; heard.len() + 1]; expected.len() + 1];
    for row in (0..expected.len()).rev() {
        for column in (0..heard.len()).rev() {
            common[row][column] = match is_same(row, column) {
                true => common[row + 1][column + 1] + 1,
                false => common[row + 1][column].max(common[row][column + 1]),
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut pairs = Vec::new();
    while row < expected.len() || column < heard.len() {
        if row < expected.len() && column < heard.len() && is_same(row, column) {
            pairs.push(Pair::Same(expected[row]));
            (row, column) = (row + 1, column + 1);
        } else if column == heard.len()
            || row < expected.len() && common[row + 1][column] >= common[row][column + 1]
        {
            pairs.push(Pair::Missing(expected[row]));
            row += 1;
        } else {
            pairs.push(Pair::Unexpected(heard[column].to_string()));
            column += 1;
        }
    }
    pairs
}

/// Each line, and what stands for several: a welcome that the story does not spell out, and the end.
fn in_words(heard: Vec<(String, Heard)>, step: &Step) -> Result<Vec<(String, String)>, String> {
    let is_spelled_out = |person: &str| {
        step.expected
            .iter()
            .any(|expected| expected.person == person && numeric(&expected.text) == Some("001"))
    };
    let mut being_welcomed: BTreeSet<String> = BTreeSet::new();
    let words = |(person, heard): (String, Heard)| {
        let line = match heard {
            Heard::Line(line) => line,
            Heard::Closed => return Some((person, CLOSED.to_string())),
        };
        match numeric(&line) {
            Some("001") if !is_spelled_out(&person) => {
                being_welcomed.insert(person);
                None
            }
            Some("376" | "422") if being_welcomed.remove(&person) => Some((person, WELCOME.to_string())),
            _ if being_welcomed.contains(&person) => None,
            _ => Some((person, line)),
        }
    };
    let words = heard.into_iter().filter_map(words).collect();
    match &step.act {
        Act::Arrive { person, .. } => welcomed(person, words),
        _ => Ok(words),
    }
}

/// The command of a line, if it is a number.
fn numeric(line: &str) -> Option<&str> {
    let command = line.split(' ').find(|word| !word.starts_with(['@', ':']))?;
    command.bytes().all(|byte| byte.is_ascii_digit()).then_some(command)
}

/// What is heard of an arrival beyond the welcome itself, and what came before it.
fn welcomed(person: &str, heard: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    let welcome = heard.iter().position(|(by, line)| by == person && line == WELCOME);
    let Some(welcome) = welcome else {
        let lines: Vec<String> = heard.into_iter().map(|(by, line)| format!("    {by}< {line}")).collect();
        return Err(format!("{person} was not let in:\n{}", lines.join("\n")));
    };
    let is_extra = |(place, (by, _)): &(usize, (String, String))| by != person || *place > welcome;
    Ok(heard.into_iter().enumerate().filter(is_extra).map(|(_, heard)| heard).collect())
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
