//! Coming in, and coming and going: what connections cost.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::crowd::{Crowd, Ear};
use super::enter::{self, Way};
use super::progress::Progress;
use super::says::Says;

/// People who join, say a line, part, quit and come back, each in their own time.
pub struct Churn {
    way: Way,
    server: SocketAddr,
    channels: u64,
    states: Vec<State>,
    /// Who has ended their connection, or been let go after QUIT.
    gone: Vec<usize>,
    pub turns: u64,
    pub returns: u64,
    refusal: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its greeting is on its way.
    Registering,
    /// It has asked to be in a channel.
    Joining,
    Parting,
    Quitting,
}

/// How many rounds somebody stays for.
const TURNS_EACH: u64 = 10;

impl Churn {
    pub fn new(clients: usize, channels: u64, server: SocketAddr, way: Way) -> Churn {
        Churn {
            way,
            server,
            channels,
            states: vec![State::Registering; clients],
            gone: (0..clients).collect(),
            turns: 0,
            returns: 0,
            refusal: None,
        }
    }

    /// Has them come and go for so long; what still is on its way then is waited for.
    pub fn run(
        &mut self,
        crowd: &mut Crowd,
        time: Duration,
        progress: &Progress,
    ) -> Result<Duration, String> {
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        let started = Instant::now();
        let (mut seen, mut seen_at) = (0, started);
        progress.begin("seconds", time.as_secs());
        while started.elapsed() < time {
            for client in std::mem::take(&mut self.gone) {
                crowd.hang_up(client);
                crowd.connect_as(client, self.server)?;
                self.states[client] = State::Registering;
                crowd.says().say(client, &[self.way.greeting(client).as_bytes()]);
            }
            crowd.pump(self, Instant::now() + LOOK_EVERY)?;
            if let Some(refusal) = &self.refusal {
                return Err(format!("the server refuses something that it should not: {refusal}"));
            }
            if self.turns > seen {
                (seen, seen_at) = (self.turns, Instant::now());
            } else if seen_at.elapsed() > self.way.patience {
                return Err(format!("nothing has happened within {:?}", self.way.patience));
            }
            progress.at(started.elapsed().as_secs());
        }
        Ok(started.elapsed())
    }

    fn channel(&self, client: usize) -> String {
        format!("#x{}n{}", self.way.run, (client as u64 + self.turns) % self.channels)
    }
}

impl Ear for Churn {
    fn hear(&mut self, client: usize, line: &[u8], says: &mut Says) {
        let state = self.states[client];
        let numeric = enter::numeric(line);
        match (state, numeric) {
            (State::Registering, Some(b"376" | b"422")) => {
                self.states[client] = State::Joining;
                says.say(client, &[b"JOIN ", self.channel(client).as_bytes()]);
            }
            (State::Joining, Some(b"366")) => {
                let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
                let channel = words.get(3).copied().unwrap_or_default();
                self.states[client] = State::Parting;
                says.say(client, &[b"PRIVMSG ", channel, b" :here I am"]);
                says.say(client, &[b"PART ", channel]);
            }
            (State::Parting, None) if is_own(line, &self.way.nick(client), b"PART") => {
                self.turns += 1;
                if (self.turns + client as u64).is_multiple_of(TURNS_EACH) {
                    self.states[client] = State::Quitting;
                    says.say(client, &[b"QUIT :for a while"]);
                } else {
                    self.states[client] = State::Joining;
                    says.say(client, &[b"JOIN ", self.channel(client).as_bytes()]);
                }
            }
            (State::Quitting, None) if line.starts_with(b"ERROR ") => {
                self.returns += 1;
                self.gone.push(client);
            }
            (_, Some([b'4', rest @ ..])) if rest != b"22" => {
                self.refusal.get_or_insert_with(|| String::from_utf8_lossy(line).into_owned());
            }
            _ => {}
        }
    }

    fn expects_end(&self, client: usize) -> bool {
        self.states[client] == State::Quitting
    }
}

/// Whether a line says that this person did this.
fn is_own(line: &[u8], nick: &str, command: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let source = words.next().unwrap_or_default();
    let is_theirs = source
        .strip_prefix(b":")
        .and_then(|source| source.strip_prefix(nick.as_bytes()))
        .is_some_and(|rest| rest.starts_with(b"!"));
    is_theirs && words.next() == Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_part_is_told_from_anothers() {
        assert!(is_own(b":abc!u@h PART #x", "abc", b"PART"));
        assert!(!is_own(b":abcd!u@h PART #x", "abc", b"PART"));
        assert!(!is_own(b":abc!u@h JOIN #x", "abc", b"PART"));
    }
}
