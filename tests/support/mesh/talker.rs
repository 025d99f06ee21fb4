//! Somebody who talks all the time in numbered lines, and keeps what others say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process::client::{Came, Client};

/// Where they all talk.
pub const CHANNEL: &str = "#all";

pub struct Talker {
    pub nick: String,
    life: Arc<Life>,
    thread: Option<JoinHandle<()>>,
}

struct Life {
    is_talking: AtomicBool,
    is_over: AtomicBool,
    tale: Mutex<Tale>,
}

/// All that somebody said and heard.
#[derive(Clone, Debug, Default)]
pub struct Tale {
    /// When each line was said; its place is its number.
    pub said: Vec<Instant>,
    /// The numbers that were heard of each other talker, as they came.
    pub heard: BTreeMap<String, Vec<usize>>,
    /// Whatever else was heard.
    pub beside: Vec<String>,
}

impl Talker {
    /// Comes in and joins, and says nothing yet.
    pub fn arrive(at: SocketAddr, nick: &str, every: Duration) -> Talker {
        let mut client = Client::connect(at);
        client.register(nick);
        client.join(CHANNEL);
        let (is_talking, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let life = Arc::new(Life { is_talking, is_over, tale: Mutex::default() });
        let own = life.clone();
        let thread = std::thread::spawn(move || own.live(client, every));
        Talker { nick: nick.to_string(), life, thread: Some(thread) }
    }

    pub fn talk(&self, is_talking: bool) {
        self.life.is_talking.store(is_talking, Ordering::Relaxed);
    }

    pub fn tale(&self) -> Tale {
        self.life.tale.lock().unwrap().clone()
    }

    /// What was heard since this was last asked, other than numbered lines.
    pub fn take_beside(&self) -> Vec<String> {
        std::mem::take(&mut self.life.tale.lock().unwrap().beside)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.life.is_over.store(true, Ordering::Relaxed);
        let outcome = self.thread.take().expect("taken only here").join();
        assert!(outcome.is_ok() || std::thread::panicking(), "{} fell over", self.nick);
    }
}

impl Life {
    fn live(&self, mut client: Client, every: Duration) {
        let mut next = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            match client.next_by(next) {
                Came::Line(line) => self.hear(&mut client, line),
                Came::End => return self.tale.lock().unwrap().beside.push("the end".to_string()),
                Came::Nothing => {
                    next += every;
                    if self.is_talking.load(Ordering::Relaxed) {
                        // Said before it can be heard.
                        let mut tale = self.tale.lock().unwrap();
                        client.say(&format!("PRIVMSG {CHANNEL} :{}", tale.said.len()));
                        tale.said.push(Instant::now());
                    }
                }
            }
        }
    }

    fn hear(&self, client: &mut Client, line: String) {
        if let Some(token) = line.strip_prefix("PING ") {
            return client.say(&format!("PONG {token}"));
        }
        let mut tale = self.tale.lock().unwrap();
        let said = line.strip_prefix(':').and_then(|line| line.split_once('!'));
        let said = said.and_then(|(nick, rest)| {
            let (_, number) = rest.split_once(&format!(" PRIVMSG {CHANNEL} :"))?;
            Some((nick.to_string(), number.parse().ok()?))
        });
        match said {
            Some((nick, number)) => tale.heard.entry(nick).or_default().push(number),
            None => tale.beside.push(line),
        }
    }
}
