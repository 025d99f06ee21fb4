//! Which rule is proven where: the catalogue of `rules.txt`, the proofs that tests name, and the table made of both.

// What it reads of the source, the structure tests read more of.
#[allow(dead_code)]
#[path = "support/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use source::{files, root, shown, text};

/// With this set, what is out of date is written anew, as for transcripts.
const BLESS: &str = "BLESS";

/// What the table stands between in `tests/README.md`.
const BEGIN: &str = "<!-- rules: written by BLESS=1 cargo test --test rules -->";
const END: &str = "<!-- rules end -->";

/// So many proofs are named; of the others there is a number.
const PLACES_SHOWN: usize = 4;

const NOT_YET: &str = "not yet";
const NOT_DONE: &str = "not done: ";

struct Section {
    title: String,
    rules: Vec<Rule>,
}

struct Rule {
    /// The digits of a numeric; nothing for everything else.
    number: Option<String>,
    name: String,
    /// Why it is proven nowhere: `not yet`, or the reason with `not done: ` in front.
    mark: Option<String>,
}

/// Where a rule is proven: transcripts by their place, tests by file and name.
type Proofs = BTreeMap<String, BTreeSet<String>>;

fn catalogue_path() -> PathBuf {
    root().join("tests/rules.txt")
}

fn catalogue() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (place, line) in text(&catalogue_path()).lines().enumerate() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section { title: title.to_string(), rules: Vec::new() });
        } else if !line.is_empty() && !line.starts_with('#') {
            let section =
                sections.last_mut().unwrap_or_else(|| panic!("line {place}: a rule before any `## `"));
            section.rules.push(rule(line));
        }
    }
    assert!(!sections.is_empty(), "there are rules");
    sections
}

/// `475 ERR_BADCHANNELKEY`, `WATCH  not done: why`
fn rule(line: &str) -> Rule {
    let (name, mark) = line.split_once("  ").unwrap_or((line, ""));
    let mark = Some(mark.trim()).filter(|mark| !mark.is_empty()).map(str::to_string);
    let is_mark =
        |mark: &String| mark == NOT_YET || mark.strip_prefix(NOT_DONE).is_some_and(|why| !why.is_empty());
    assert!(
        mark.iter().all(is_mark),
        "{line:?}: only `{NOT_YET}` or `{NOT_DONE}why` may stand behind a name"
    );
    let is_number = |word: &str| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    match name.split_once(' ').filter(|(number, _)| is_number(number)) {
        Some((number, name)) => Rule { number: Some(number.to_string()), name: name.to_string(), mark },
        None => Rule { number: None, name: name.to_string(), mark },
    }
}

fn proofs() -> Proofs {
    let mut proofs = Proofs::new();
    let folder = root().join("tests/transcripts");
    for path in files(&folder, "txt") {
        let place = path.strip_prefix(&folder).expect("it was found there").with_extension("");
        for names in text(&path).lines().filter_map(|line| line.strip_prefix("# Proves: ")) {
            add(&mut proofs, names, &place.display().to_string());
        }
    }
    for path in ["src", "tests"].iter().flat_map(|folder| files(&root().join(folder), "rs")) {
        let text = text(&path);
        for (at, _) in text.match_indices("/// Proves: ") {
            // A test's name is the next function's; this file itself only speaks of such lines.
            let names = text[at..].lines().next().and_then(|line| line.strip_prefix("/// Proves: "));
            let function = text[at..].split_once("\n").and_then(|(_, rest)| name_of_test(rest));
            if let (Some(names), Some(function)) = (names, function) {
                add(&mut proofs, names, &format!("{}: {function}", shown(&path)));
            }
        }
    }
    proofs
}

/// The function below a doc comment, where nothing but comments and attributes stands between.
fn name_of_test(rest: &str) -> Option<&str> {
    let line =
        rest.lines().map(str::trim_start).find(|line| !line.starts_with("///") && !line.starts_with("#["))?;
    line.strip_prefix("fn ")?.split('(').next()
}

fn add(proofs: &mut Proofs, names: &str, place: &str) {
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        proofs.entry(name.to_string()).or_default().insert(place.to_string());
    }
}

/// Fails with every fault there is, one on each line.
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_rule_stands_in_the_catalogue_once() {
    let mut known = BTreeSet::new();
    let rules = catalogue().into_iter().flat_map(|section| section.rules);
    none(
        rules
            .filter(|rule| !known.insert(rule.name.clone()))
            .map(|rule| rule.name + " stands there twice")
            .collect(),
    );
}

#[test]
fn every_proof_is_of_a_rule_in_the_catalogue() {
    let rules: BTreeSet<String> =
        catalogue().into_iter().flat_map(|section| section.rules).map(|rule| rule.name).collect();
    let strange = proofs().into_iter().filter(|(name, _)| !rules.contains(name));
    none(
        strange.map(|(name, places)| format!("tests/rules.txt has no {name}, named in {places:?}")).collect(),
    );
}

#[test]
fn every_rule_is_proven_or_says_why_not() {
    let proofs = proofs();
    let mut faults = Vec::new();
    for rule in catalogue().into_iter().flat_map(|section| section.rules) {
        match (proofs.get(&rule.name), &rule.mark) {
            (None, None) => {
                faults.push(format!("{}: nothing proves it; say so in tests/rules.txt", rule.name))
            }
            (Some(places), Some(mark)) if mark != NOT_YET => {
                faults.push(format!("{} is {mark}, and yet proven in {places:?}", rule.name));
            }
            _ => {}
        }
    }
    none(faults);
}

#[test]
fn all_that_the_program_can_do_is_a_rule() {
    let rules: Vec<Rule> = catalogue().into_iter().flat_map(|section| section.rules).collect();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let numbers: BTreeSet<&str> = rules.iter().filter_map(|rule| rule.number.as_deref()).collect();
    let mut faults = Vec::new();
    let mut expect = |is_known: bool, what: &str| {
        if !is_known {
            faults.push(format!("tests/rules.txt has no {what}"));
        }
    };

    for path in files(&root().join("src/engine/command"), "rs") {
        for line in text(&path).lines() {
            if let Some(name) = line.trim().strip_prefix("name: \"").and_then(|rest| rest.strip_suffix("\","))
            {
                expect(names.contains(name), name);
            }
        }
    }
    for line in text(&root().join("src/wire/numeric.rs")).lines() {
        let number = line.strip_prefix("    ").and_then(|line| line.get(..4)).map(str::trim_end);
        let number =
            number.filter(|number| number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()));
        expect(number.is_none_or(|number| numbers.contains(number)), number.unwrap_or_default());
    }
    // What is said of modes, tokens and capabilities is drawn from their rows, and spelled out in these two.
    let transcript = |name: &str| text(&root().join("tests/transcripts/register").join(name));
    for line in transcript("welcome.txt").lines().filter(|line| line.contains(" 005 ")) {
        let tokens =
            line.split_once(" 005 eve ").and_then(|(_, rest)| rest.split_once(" :")).expect("a whole line").0;
        for token in tokens.split(' ').map(|token| token.split('=').next().unwrap_or(token)) {
            let as_token = format!("{token} token");
            expect(names.contains(token) || names.contains(as_token.as_str()), token);
        }
    }
    let welcome = transcript("welcome.txt");
    let info = welcome.lines().find(|line| line.contains(" 004 ")).expect("004 is spelled out");
    let [.., user_modes, channel_modes, _] = info.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{info}")
    };
    for letter in user_modes.chars() {
        let name = format!("user mode {letter}");
        expect(names.contains(name.as_str()), &name);
    }
    for letter in channel_modes.chars() {
        let (mode, status) = (format!("channel mode {letter}"), format!("status {letter}"));
        expect(names.contains(mode.as_str()) || names.contains(status.as_str()), &mode);
    }
    let capabilities = transcript("capabilities.txt");
    let listed =
        capabilities.lines().filter(|line| line.contains(" LS ")).filter_map(|line| line.rsplit_once(" :"));
    for cap in listed.flat_map(|(_, caps)| caps.split(' ')) {
        let name = cap.split('=').next().unwrap_or(cap);
        expect(names.contains(name), name);
    }
    none(faults);
}

#[test]
fn the_table_of_rules_is_up_to_date() {
    let path = root().join("tests/README.md");
    let proofs = proofs();
    let readme = text(&path);
    let (before, rest) = readme.split_once(BEGIN).expect("the table's begin is marked");
    let (_, after) = rest.split_once(END).expect("the table's end is marked");
    let wanted = format!("{before}{BEGIN}\n{}{END}{after}", table(&proofs));
    let lifted = without_old_marks(&text(&catalogue_path()), &proofs);

    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, wanted).expect("the README can be written");
        std::fs::write(catalogue_path(), lifted).expect("the catalogue can be written");
        return;
    }
    let is_marked_in_vain = lifted != text(&catalogue_path());
    assert!(
        wanted == readme && !is_marked_in_vain,
        "The table in tests/README.md is not what tests/rules.txt and the tests say.\n\
         `BLESS=1 cargo test --test rules` writes it anew, and takes `{NOT_YET}` from what is proven."
    );
}

/// The catalogue, `not yet` taken from what is proven by now.
fn without_old_marks(catalogue: &str, proofs: &Proofs) -> String {
    let mut text = String::new();
    for line in catalogue.lines() {
        let is_rule = !line.is_empty() && !line.starts_with('#');
        let is_old = is_rule && {
            let rule = rule(line);
            rule.mark.as_deref() == Some(NOT_YET) && proofs.contains_key(&rule.name)
        };
        let kept = if is_old { line.split("  ").next().unwrap_or(line) } else { line };
        text.push_str(kept);
        text.push('\n');
    }
    text
}

fn table(proofs: &Proofs) -> String {
    let sections = catalogue();
    let rules = || sections.iter().flat_map(|section| &section.rules);
    let proven = rules().filter(|rule| proofs.contains_key(&rule.name)).count();
    let refused = rules().filter(|rule| rule.mark.as_ref().is_some_and(|mark| mark != NOT_YET)).count();
    let mut text = format!(
        "\n{} rules: {proven} proven, {refused} deliberately not done, {} not yet.\n",
        rules().count(),
        rules().count() - proven - refused
    );
    for section in &sections {
        let _ = write!(text, "\n### {}\n\n| rule | proven in |\n|---|---|\n", section.title);
        for rule in &section.rules {
            let number = rule.number.as_ref().map(|number| format!("{number} ")).unwrap_or_default();
            let _ = writeln!(text, "| {number}{} | {} |", rule.name, said(rule, proofs));
        }
    }
    text.push('\n');
    text
}

/// What the table says of one rule.
fn said(rule: &Rule, proofs: &Proofs) -> String {
    let Some(places) = proofs.get(&rule.name) else { return rule.mark.clone().unwrap_or_default() };
    // What stands in a folder of its own subject before what shows it over links.
    let mut places: Vec<&String> = places.iter().collect();
    places.sort_by_key(|place| (place.contains(".rs"), place.starts_with("link/")));
    let shown: Vec<&str> = places.iter().take(PLACES_SHOWN).map(|place| place.as_str()).collect();
    let more = places.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}
