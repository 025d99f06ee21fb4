//! The program run to its end, as for `folkmoot check`.

use std::process::{Command, Stdio};

use super::log::Log;
use super::{PROGRAM, until};

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    run_by(&[], arguments)
}

/// The same, started by another program.
pub fn run_by(starter: &[&str], arguments: &[&str]) -> Output {
    let words = [starter, &[PROGRAM], arguments].concat();
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|why| panic!("{PROGRAM} cannot be started: {why}"));
    let [stdout, stderr] = [
        Log::follow(child.stdout.take().expect("it is piped")),
        Log::follow(child.stderr.take().expect("it is piped")),
    ];
    let mut status = None;
    let ended = until(|| {
        status = child.try_wait().expect("it is our child");
        status.is_some()
    });
    if ended.is_err() {
        let _ = child.kill();
    }
    let (stdout, stderr) = (stdout.whole(), stderr.whole());
    assert!(ended.is_ok(), "folkmoot {arguments:?} does not end\n{stdout}{stderr}");
    Output { code: status.and_then(|status| status.code()), stdout, stderr }
}

/// What became of a run.
#[derive(Debug)]
pub struct Output {
    /// `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}
