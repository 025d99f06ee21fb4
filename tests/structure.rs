//! What the folders promise: who may use whom, that the engine is pure, and that nothing stands there undocumented.

#[path = "support/source.rs"]
mod source;

use std::collections::BTreeSet;

use source::{Source, files, root, shown, sources, text};

/// Fails with every fault there is, one on each line.
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// A part of the program, and all that it may use of the rest. The first row that fits a file counts.
const MAY_USE: &[(&str, &[&str])] = &[
    ("wire", &["wire"]),
    ("config", &["config", "wire"]),
    ("engine::merge", &["engine::merge", "wire", "defect"]),
    ("engine::network", &["engine::network", "engine::merge", "wire", "defect"]),
    ("engine", &["engine", "config", "wire", "defect"]),
    ("load", &["load"]),
    ("edge", &["edge", "engine", "config", "wire", "VERSION"]),
];

#[test]
fn each_folder_uses_only_what_stands_to_its_left() {
    let mut faults = Vec::new();
    for source in sources() {
        let module = source.module.join("::");
        let Some((_, allowed)) = MAY_USE.iter().find(|(part, _)| is_below(&module, part)) else { continue };
        for named in source.paths().iter().filter(|named| named.path[0] == "crate") {
            let used = named.path[1..].join("::");
            if !allowed.iter().any(|part| is_below(&used, part)) {
                faults.push(format!("{}:{}: may not use {used}", source.shown, named.line));
            }
        }
    }
    none(faults);
}

fn is_below(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn commands_and_peer_messages_do_not_know_each_other() {
    let sources = sources();
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|source| source.module.clone()).collect();
    let mut faults = Vec::new();
    for folder in ["command", "peer"] {
        // What a folder's own `mod.rs` offers is for everyone; its files are for nobody else.
        for source in sources.iter().filter(|source| is_file_of(&source.module, folder)) {
            for named in source.paths().iter().filter(|named| named.path[0] == "crate") {
                let used = named.path.get(1..4).unwrap_or_default().to_vec();
                let is_foreign = is_file_of(&used, "command") || is_file_of(&used, "peer");
                if is_foreign && modules.contains(&used) && used[..] != source.module[..3] {
                    faults.push(format!("{}:{}: may not use {}", source.shown, named.line, used.join("::")));
                }
            }
        }
    }
    none(faults);
}

fn is_file_of(module: &[String], folder: &str) -> bool {
    module.len() > 2 && module[0] == "engine" && module[1] == folder
}

/// What would make two runs differ, or reach into the world.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "thread",
    "fs",
    "env",
    "process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Mutex",
    "RwLock",
    "parking_lot",
    "crossbeam",
    "crossbeam_channel",
    "HashMap",
    "HashSet",
    "RandomState",
    "rand",
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
];

#[test]
fn the_engine_and_the_wire_touch_nothing_of_the_world() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| is_in(source, "engine") || is_in(source, "wire")) {
        for named in source.paths() {
            // One word may be anybody's field or variable, save where it can only be the one thing.
            let is_import = named.path.len() > 1;
            let is_telling = |word: &str| word.starts_with(char::is_uppercase) || word.contains("print");
            let found = named
                .path
                .iter()
                .find(|word| IMPURE.contains(&word.as_str()) && (is_import || is_telling(word)));
            if let Some(word) = found {
                faults.push(format!("{}:{}: {word} has no place here", source.shown, named.line));
            }
        }
    }
    none(faults);
}

fn is_in(source: &Source, folder: &str) -> bool {
    source.module.first().is_some_and(|first| first == folder)
}

#[test]
fn the_wire_needs_nothing_but_the_standard_library() {
    let manifest: toml::Table = text(&root().join("Cargo.toml")).parse().expect("cargo has read it too");
    let crates = manifest["dependencies"].as_table().expect("a table of crates").keys();
    let crates: BTreeSet<String> = crates.map(|name| name.replace('-', "_")).collect();
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| is_in(source, "wire")) {
        for named in
            source.paths().iter().filter(|named| named.path.len() > 1 && crates.contains(&named.path[0]))
        {
            faults.push(format!("{}:{}: uses {}", source.shown, named.line, named.path[0]));
        }
    }
    none(faults);
}

/// One row of `src/engine/command`.
struct Row {
    at: String,
    name: String,
    help: String,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in files(&root().join("src/engine/command"), "rs") {
        let text = text(&path);
        for (place, _) in text.match_indices("Command {\n    ") {
            let row = &text[place..];
            if text[..place].ends_with("struct ") {
                continue;
            }
            let field = |name: &str| {
                let value = row.split_once(&format!("{name}: \""))?.1;
                Some(value.split_once('"')?.0.to_string())
            };
            let line = 1 + text[..place].matches('\n').count();
            let at = format!("{}:{line}", shown(&path));
            let name = field("name").unwrap_or_else(|| panic!("{at}: a row without a name"));
            rows.push(Row { name, help: field("help").unwrap_or_default(), at });
        }
    }
    assert!(rows.iter().any(|row| row.name == "NICK"), "rows are not written as this test reads them");
    rows
}

#[test]
fn every_command_has_help() {
    let short = rows().into_iter().filter(|row| row.help.len() < 10);
    none(short.map(|row| format!("{}: {} says too little of itself", row.at, row.name)).collect());
}

#[test]
fn every_command_is_said_in_a_transcript() {
    let mut said = BTreeSet::new();
    for path in files(&root().join("tests/transcripts"), "txt") {
        for line in text(&path).lines() {
            let Some((person, line)) = line.split_once("> ") else { continue };
            if person.chars().all(char::is_alphanumeric) {
                let mut words = line.split(' ').filter(|word| !word.starts_with(['@', ':']));
                said.extend(words.next().map(str::to_ascii_uppercase));
            }
        }
    }
    let silent = rows().into_iter().filter(|row| !said.contains(&row.name));
    none(silent.map(|row| format!("{}: nobody says {} in any transcript", row.at, row.name)).collect());
}

#[test]
fn the_sample_settings_hold_every_key_and_no_other() {
    let mut section = String::new();
    let mut written = BTreeSet::new();
    for line in text(&root().join("config/folkmoot.toml")).lines() {
        let line = line.trim_start_matches("# ");
        if line.starts_with('[') && line.ends_with(']') {
            let name = line.trim_matches(['[', ']']);
            // What stands behind the dot is a name that an admin gives, but for a list of tables.
            let is_named = !line.starts_with("[[");
            section = name.split('.').next().filter(|_| is_named).unwrap_or(name).to_string();
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            written.insert(format!("{section}.{key}"));
        }
    }
    let known: BTreeSet<String> = folkmoot::config::read::keys().into_iter().collect();
    let missing =
        known.difference(&written).map(|key| format!("config/folkmoot.toml does not tell of {key}"));
    let strange = written
        .difference(&known)
        .map(|key| format!("config/folkmoot.toml tells of {key}, which there is not"));
    none(missing.chain(strange).collect());
}

#[test]
fn every_file_opens_with_a_sentence() {
    let root = root();
    let all = ["src", "tests"].iter().flat_map(|folder| files(&root.join(folder), "rs"));
    let all = all.chain([root.join("build.rs")]);
    let silent = all.filter(|path| !text(path).starts_with("//! "));
    none(silent.map(|path| format!("{}: opens without a `//!` sentence", shown(&path))).collect());
}

#[test]
fn every_transcript_opens_with_a_sentence() {
    let all = files(&root().join("tests/transcripts"), "txt").into_iter();
    let silent = all.filter(|path| {
        !text(path).lines().next().is_some_and(|line| line.starts_with("# ") && line.len() > 20)
    });
    none(silent.map(|path| format!("{}: does not say what is true", shown(&path))).collect());
}

/// Everything that lies at the top of the repository, beside what git is told to ignore.
const TOP: &[&str] =
    &["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "build.rs", "config", "src", "tests"];

#[test]
fn the_top_of_the_repository_stays_clear() {
    let ignored = text(&root().join(".gitignore"));
    let entries = std::fs::read_dir(root()).expect("the repository can be listed");
    let names = entries.map(|entry| entry.expect("and read").file_name().to_string_lossy().into_owned());
    let strange = names.filter(|name| {
        let is_ignored = ignored.lines().any(|line| line.trim_matches('/') == name);
        !name.starts_with('.') && !TOP.contains(&name.as_str()) && !is_ignored
    });
    none(strange.map(|name| format!("{name} does not belong at the top")).collect());
}

/// What is written in words, where no compiler finds what a merge left.
const IN_WORDS: &[(&str, &str)] = &[("src", "md"), ("tests", "md"), ("tests", "txt"), ("config", "toml")];

#[test]
fn no_text_has_the_marks_of_a_merge_that_nobody_finished() {
    let all = IN_WORDS.iter().flat_map(|(folder, ending)| files(&root().join(folder), ending));
    let marked = all.chain([root().join("README.md")]).flat_map(|path| {
        let of_mark = |line: &str| line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>");
        let lines = text(&path)
            .lines()
            .enumerate()
            .filter(|(_, line)| of_mark(line))
            .map(|(at, _)| at + 1)
            .collect::<Vec<_>>();
        lines.into_iter().map(move |line| format!("{}:{line}: the mark of a merge", shown(&path)))
    });
    none(marked.collect());
}
