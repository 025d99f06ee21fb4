//! Programs that people use IRC with, each started as a person would, told what to do in its own words, and read where
//! it shows or logs what it heard.

mod ii;
mod irssi;
mod library;
mod netcat;
mod weechat;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

pub use self::ii::Ii;
pub use self::irssi::Irssi;
pub use self::library::Library;
pub use self::netcat::Netcat;
pub use self::weechat::Weechat;

use crate::process::{Directory, Server, until};

/// By which listener a program comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Plain,
    Tls,
}

/// What a program is told where to go, and as whom.
pub struct Way {
    pub nick: &'static str,
    pub over: Over,
    pub port: u16,
    /// What it has to be told of the server's certificate, which nobody has signed: 64 hexadecimal digits.
    pub fingerprint: String,
    pub account: Option<Account>,
}

/// As whom it logs in, by SASL.
#[derive(Clone, Copy)]
pub struct Account {
    pub name: &'static str,
    pub password: &'static str,
    pub mechanism: &'static str,
}

impl Way {
    pub fn to(server: &Server, nick: &'static str, over: Over) -> Way {
        let places = server.places();
        let port = match over {
            Over::Plain => places.irc[0].port(),
            Over::Tls => places.ircs[0].port(),
        };
        let printed = server.prints("sha256:");
        let fingerprint = printed.trim().trim_start_matches("sha256:").to_string();
        Way { nick, over, port, fingerprint, account: None }
    }
}

/// What every such program can be told.
pub trait Program {
    fn join(&mut self, channel: &str);
    fn say(&mut self, target: &str, text: &str);
    fn quit(&mut self);
    fn running(&self) -> &Running;
}

/// The process, and the folder where it keeps what it knows; both gone when the test is.
pub struct Running {
    child: Child,
    stdin: ChildStdin,
    folder: Directory,
}

impl Running {
    /// Starts a program in a folder; what it shows goes into the file `screen` there.
    fn start(folder: Directory, words: &[&str]) -> Running {
        let screen = File::create(folder.0.join("screen")).expect("the folder can be written to");
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(&folder.0)
            .env("HOME", &folder.0)
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(screen.try_clone().expect("it is open"))
            .stderr(screen)
            .spawn()
            .unwrap_or_else(|why| panic!("{words:?} cannot be started: {why}"));
        let stdin = child.stdin.take().expect("it is piped");
        Running { child, stdin, folder }
    }

    /// Writes to its standard input.
    fn write(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).expect("it reads what it is told");
    }

    /// Waits until these words stand anywhere in what it shows and logs.
    pub fn shows(&self, words: &str) {
        let shown = || texts(&self.folder.0);
        let outcome = until(|| shown().contains(words));
        assert!(outcome.is_ok(), "\"{words}\" is not shown:\n{}", shown());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All files of a folder and those below it, and nothing that is no file: a FIFO would be waited for.
fn texts(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("the system says so");
        if kind.is_dir() {
            text.push_str(&texts(&entry.path()));
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            text.push_str(&format!("--- {}\n{}\n", entry.path().display(), String::from_utf8_lossy(&bytes)));
        }
    }
    text
}

/// A FIFO that a program reads, kept open: whoever opens it anew for each line may meet the program closing it.
fn open_fifo(path: &Path) -> File {
    until(|| path.exists()).unwrap_or_else(|why| panic!("no {}: {why}", path.display()));
    File::options().read(true).write(true).open(path).expect("it is a FIFO of ours")
}
