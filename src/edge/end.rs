//! The end of a server by an operator's word, and its beginning anew.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Why the server shall end, and whether it is to start again.
pub struct End {
    pub why: String,
    pub again: bool,
}

/// Where the router says so, and where the server's main thread hears it.
pub fn ends() -> (Sender<End>, Receiver<End>) {
    // There is one end; who asks for a second finds the first under way.
    bounded(16)
}

/// Becomes the program as it is on disk now, with the arguments of this one; answers only where that fails.
pub fn run_again() -> String {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(why) => return format!("cannot start again: {why}"),
    };
    let why = Command::new(program).args(without_join(std::env::args_os().skip(1))).exec();
    format!("cannot start again: {why}")
}

/// Whoever has joined a network by a code stays in it, and the code is good only once.
fn without_join(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut is_code = false;
    for arg in args {
        let text = arg.to_string_lossy();
        if !std::mem::take(&mut is_code) {
            is_code = text == "--join";
            if !is_code && !text.starts_with("--join=") {
                kept.push(arg.clone());
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_to_join_by_is_used_only_once() {
        for (args, kept) in [
            (&["serve", "--join", "abc", "--data", "d"][..], &["serve", "--data", "d"][..]),
            (&["--join=abc"], &[]),
            (&["serve", "--join"], &["serve"]),
        ] {
            assert_eq!(without_join(args.iter().map(OsString::from)), kept, "{args:?}");
        }
    }
}
