//! What a server process writes to stderr, kept and waited for.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::PATIENCE;

/// A place in a log: what comes after it is new.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl Mark {
    pub const START: Mark = Mark(0);
}

#[derive(Clone)]
pub struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    /// The process has closed its end.
    is_over: bool,
}

impl Log {
    /// Reads to the end, on a thread of its own.
    pub fn follow(output: impl Read + Send + 'static) -> Log {
        let log = Log(Arc::default());
        let own = log.clone();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_string();
                own.0.0.lock().unwrap().lines.push(text);
                own.0.1.notify_all();
                line.clear();
            }
            own.0.0.lock().unwrap().is_over = true;
            own.0.1.notify_all();
        });
        log
    }

    pub fn mark(&self) -> Mark {
        Mark(self.0.0.lock().unwrap().lines.len())
    }

    /// Waits for a line with these words.
    pub fn find(&self, since: Mark, words: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut next = since.0;
        let mut lines = self.0.0.lock().unwrap();
        loop {
            if let Some(line) = lines.lines[next..].iter().find(|line| line.contains(words)) {
                return Ok(line.clone());
            }
            next = lines.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.is_over || left.is_zero() {
                return Err(format!("\"{words}\" is not in the log"));
            }
            lines = self.0.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// The last line by now with these words.
    pub fn last(&self, words: &str) -> Option<String> {
        self.0.0.lock().unwrap().lines.iter().rfind(|line| line.contains(words)).cloned()
    }

    /// How many lines with these words there are by now.
    pub fn count(&self, since: Mark, words: &str) -> usize {
        self.0.0.lock().unwrap().lines[since.0..].iter().filter(|line| line.contains(words)).count()
    }

    /// The text up to the end, which must be near.
    pub fn whole(&self) -> String {
        drop(self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), PATIENCE, |lines| !lines.is_over));
        self.text()
    }

    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
