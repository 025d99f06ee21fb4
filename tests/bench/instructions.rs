//! Holds what the engine does for people against a figure that is kept beside this file: how many instructions each
//! scene takes, counted by valgrind, which is the same however busy the machine is.
//!
//! `cargo bench --bench instructions` fails where one takes over a tenth more than is written; with `BLESS=1` it writes
//! the figures anew, to be committed with what changed them. They are those of one compiler, the one that CI uses.

#[path = "../support/pair.rs"]
mod pair;
mod scenes;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use scenes::{SCENES, Scene};

const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/instructions.txt");
/// What is counted: this function, and all that it calls.
const COUNTED: &str = "*counted_acts*";
/// How many percent more than written is too much.
const MORE_PERCENT_MAX: u64 = 10;

fn main() -> ExitCode {
    let mut asked = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    if let Some(name) = asked.next() {
        let scene = SCENES.iter().find(|scene| scene.name == name).expect("a scene of this name");
        play(scene);
        return ExitCode::SUCCESS;
    }
    match compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// What valgrind watches.
fn play(scene: &Scene) {
    let mut act = (scene.begin)();
    // Whatever is made at the first time is not what it costs.
    act();
    counted_acts(&mut act, scene.times);
}

#[inline(never)]
fn counted_acts(act: &mut scenes::Act, times: u32) {
    for _ in 0..times {
        act();
    }
}

fn compare() -> Result<(), String> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!(
            "NOT MEASURED: valgrind is not installed here, so nothing holds the instruction counts down"
        );
        return Ok(());
    }
    let written = read()?;
    let mut figures = String::new();
    let mut grown = Vec::new();
    for scene in SCENES {
        let each = count(scene)? / u64::from(scene.times);
        figures.push_str(&format!("{} {each}\n", scene.name));
        let before = written.get(scene.name).copied();
        let change = before.map_or("new".to_string(), |before| {
            format!("{:+.1} %", (each as f64 / before as f64 - 1.0) * 100.0)
        });
        println!("{:<10} {each:>12} {change:>9}   {}", scene.name, scene.what);
        if before.is_none_or(|before| each * 100 > before * (100 + MORE_PERCENT_MAX)) {
            grown.push(scene.name);
        }
    }
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(FIGURES, figures).map_err(|why| format!("{FIGURES}: {why}"));
    }
    match grown.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "more than {MORE_PERCENT_MAX} % above what {FIGURES} says, or not in it: {}. Where that is worth it: \
             BLESS=1 cargo bench --bench instructions",
            grown.join(", ")
        )),
    }
}

fn read() -> Result<BTreeMap<String, u64>, String> {
    let text = if Path::new(FIGURES).exists() {
        std::fs::read_to_string(FIGURES).map_err(|why| format!("{FIGURES}: {why}"))?
    } else {
        String::new()
    };
    text.lines()
        .map(|line| {
            let pair = line.split_once(' ').and_then(|(name, count)| Some((name, count.parse().ok()?)));
            let (name, count) = pair.ok_or_else(|| format!("{FIGURES}: {line}: a name and a number"))?;
            Ok((name.to_string(), count))
        })
        .collect()
}

/// How many instructions a scene takes, all its times together.
fn count(scene: &Scene) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|why| format!("where this program is: {why}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(own)
        .arg(scene.name)
        .output()
        .map_err(|why| format!("valgrind: {why}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok()).filter(|count| *count > 0);
    count.ok_or_else(|| format!("valgrind counted nothing for {}:\n{said}", scene.name))
}
