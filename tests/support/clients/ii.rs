//! ii, which is a folder: a FIFO to write into and a file to read for each conversation.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use super::{Program, Running, Way, open_fifo};
use crate::process::Directory;

pub struct Ii {
    running: Running,
    /// By the folder below the server's.
    open: BTreeMap<String, File>,
}

impl Ii {
    pub fn start(way: &Way) -> Box<dyn Program> {
        let (port, folder) = (way.port.to_string(), Directory::new("ii"));
        let words = ["ii", "-s", "127.0.0.1", "-p", &port, "-n", way.nick, "-i", "."];
        Box::new(Ii { running: Running::start(folder, &words), open: BTreeMap::new() })
    }

    fn write(&mut self, conversation: &str, line: &str) {
        let folder = self.running.folder.0.join("127.0.0.1").join(conversation);
        let fifo = self.open.entry(conversation.to_string()).or_insert_with(|| open_fifo(&folder.join("in")));
        // In one piece: half a line it takes for the end.
        fifo.write_all(format!("{line}\n").as_bytes()).expect("ii reads it");
    }
}

impl Program for Ii {
    fn join(&mut self, channel: &str) {
        self.write("", &format!("/j {channel}"));
    }

    fn say(&mut self, target: &str, text: &str) {
        // A conversation has its folder as soon as anything was heard in it.
        self.write(target, text);
    }

    fn quit(&mut self) {
        self.write("", "/q");
    }

    fn running(&self) -> &Running {
        &self.running
    }
}
