//! Python's IRC libraries, each in a few lines of Python that do what they are told.

use super::{Over, Program, Running, Way};
use crate::process::Directory;

pub struct Library(Running);

impl Library {
    /// A program that takes its server's port, its nick and `plain` or `tls`, and then reads a command a line.
    pub fn start(way: &Way, program: &str) -> Box<dyn Program> {
        let port = way.port.to_string();
        let over = match way.over {
            Over::Plain => "plain",
            Over::Tls => "tls",
        };
        let words = ["python3", "-u", "-c", program, &port, way.nick, over];
        Box::new(Library(Running::start(Directory::new("library"), &words)))
    }
}

impl Program for Library {
    fn join(&mut self, channel: &str) {
        self.0.write(&format!("join {channel}\n"));
    }

    fn say(&mut self, target: &str, text: &str) {
        self.0.write(&format!("say {target} {text}\n"));
    }

    fn quit(&mut self) {
        self.0.write("quit\n");
    }

    fn running(&self) -> &Running {
        &self.0
    }
}
