//! Whatever clients say, from the nearly right to the senseless: servers go on, every line that anybody hears is one
//! that any client can read, servers that are linked hold the same, and nothing is left of those who went.
//!
//! `FOLKMOOT_LINES=10000000 cargo test --release --test fuzz` says so many lines; `FOLKMOOT_SEED=5` plays one story
//! (with `FOLKMOOT_TRACE=1` it shows what servers note).
//! A story that fails is made short and printed as a file for `tests/corpus`, all of which are played each time.

#[path = "support/dice.rs"]
mod dice;
#[path = "support/disk.rs"]
// Each test takes what it needs of it.
#[allow(dead_code)]
mod disk;
#[path = "support/fuzz/mod.rs"]
mod fuzz;
#[path = "support/simulated.rs"]
#[allow(dead_code)]
mod simulated;
#[allow(dead_code)]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use fuzz::lines::Author;
use fuzz::{shrink, town};

/// How many lines are said when nobody says: so many that nobody is kept waiting.
const LINES: usize = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
/// Long enough for what goes wrong late, short enough to be made shorter.
const LINES_PER_STORY: usize = 500;

/// What came of a story: a fault, where there was one, or how many lines were heard.
fn outcome(story: &[String]) -> Result<usize, String> {
    let story = story.join("\n");
    match catch_unwind(AssertUnwindSafe(|| town::play(&story))) {
        Ok(Ok(town)) => Ok(town.lines_heard),
        Ok(Err(why)) => Err(why),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_string())
        }
    }
}

/// Says what is wrong with a story that fails, and as little of it as fails still.
fn shown(seed: u64, story: Vec<String>, why: &str) -> String {
    // What is said of panics along the way helps nobody.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let short = shrink::shortest(story, |story| outcome(story).is_err_and(|other| kind(&other) == kind(why)));
    let why_short = outcome(&short).err().unwrap_or_default();
    std::panic::set_hook(hook);
    format!("FOLKMOOT_SEED={seed}: {why}\nthe shortest of it: {why_short}\n\n{}\n", short.join("\n"))
}

/// What two stories that fail for the same reason say alike: how the sentence ends, without names and numbers.
fn kind(why: &str) -> Vec<&str> {
    let end = why.rsplit(['"', ':']).next().unwrap_or_default();
    end.split(' ')
        .filter(|word| word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .collect()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What the process holds, where that can be known.
fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Proves: tags of 8191 bytes, line of 512 bytes
#[test]
fn whatever_clients_say_servers_answer_in_good_irc_and_agree() {
    let stories = setting("FOLKMOOT_LINES").map_or(LINES, |lines| lines as usize).div_ceil(LINES_PER_STORY);
    let seeds = setting("FOLKMOOT_SEED").map_or(1..=stories as u64, |seed| seed..=seed);
    let (mut heard, mut early_kilobytes) = (0, 0);
    for seed in seeds.clone() {
        let story = Author::new(seed).story(LINES_PER_STORY);
        match outcome(&story) {
            Ok(lines) => heard += lines,
            Err(why) => panic!("{}", shown(seed, story, &why)),
        }
        if seed == 100 {
            early_kilobytes = resident_kilobytes();
        }
    }
    let said = seeds.count() * LINES_PER_STORY;
    println!("{said} lines said, {heard} heard, {early_kilobytes} kB early on, {} now", resident_kilobytes());
    assert!(heard > said, "most lines have an answer, or somebody who hears them");
    let is_long = early_kilobytes > 0;
    assert!(!is_long || resident_kilobytes() < early_kilobytes + 64 * 1024, "what is over is given back");
}

#[test]
fn what_failed_once_is_well() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus can be listed") {
        let path = entry.expect("and read").path();
        let text = std::fs::read_to_string(&path).expect("a story is text");
        let story: Vec<String> = text.lines().map(str::to_string).collect();
        outcome(&story).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        played += 1;
    }
    assert!(played > 0, "there is a corpus");
}
