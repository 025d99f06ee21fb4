//! A crowd comes in: connects, registers, and joins its channels.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::crowd::{Crowd, Ear};
use super::progress::Progress;
use super::says::Says;

/// How often those who wait look at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How one comes in.
#[derive(Clone)]
pub struct Way {
    pub password: Option<String>,
    /// Capabilities to ask for; empty for none at all.
    pub caps: String,
    /// How many may be registering at a time.
    pub at_once: usize,
    /// For how long nothing may happen before that counts as a failure.
    pub patience: Duration,
    /// What tells this run's nicks and channels from another's: below [`RUNS`].
    pub run: u64,
}

impl Way {
    /// A client's nick: nine bytes at most, as old servers have it.
    pub fn nick(&self, client: usize) -> String {
        format!("x{}{}", in_letters(self.run, RUN_LETTERS), in_letters(client as u64, 4))
    }

    pub fn greeting(&self, client: usize) -> String {
        let password = self.password.as_ref().map(|word| format!("PASS {word}\r\n")).unwrap_or_default();
        let nick = self.nick(client);
        let caps = match self.caps.as_str() {
            "" => String::new(),
            caps => format!("CAP REQ :{caps}\r\nCAP END\r\n"),
        };
        format!("{password}{caps}NICK {nick}\r\nUSER load 0 * :load")
    }
}

const LETTERS: u64 = 26;
const RUN_LETTERS: u32 = 4;
/// How many runs there can be.
pub const RUNS: u64 = LETTERS.pow(RUN_LETTERS);

fn in_letters(number: u64, width: u32) -> String {
    (0..width).rev().map(|place| char::from(b'a' + (number / LETTERS.pow(place) % LETTERS) as u8)).collect()
}

/// Listens until everyone has been let in.
struct Registering {
    inside: Vec<bool>,
    count: usize,
    refusal: Option<String>,
}

impl Ear for Registering {
    fn hear(&mut self, client: usize, line: &[u8], _: &mut Says) {
        match numeric(line) {
            // The end of the message of the day, or that there is none: nothing more comes unasked.
            Some(b"376" | b"422") if !self.inside[client] => {
                self.inside[client] = true;
                self.count += 1;
            }
            Some([b'4', ..]) if !self.inside[client] => {
                self.refusal.get_or_insert_with(|| String::from_utf8_lossy(line).into_owned());
            }
            _ => {}
        }
    }
}

/// Lets so many clients in; client `n` goes to the server that `place` says. Returns their numbers.
pub fn register(
    crowd: &mut Crowd,
    count: usize,
    way: &Way,
    place: impl Fn(usize) -> SocketAddr,
    progress: &Progress,
) -> Result<Vec<usize>, String> {
    let mut state = Registering { inside: Vec::new(), count: 0, refusal: None };
    let mut numbers = Vec::with_capacity(count);
    let mut deadline = Instant::now() + way.patience;
    progress.begin("clients", count as u64);
    while state.count < count {
        while numbers.len() < count && numbers.len() - state.count < way.at_once {
            let number = crowd.connect(place(numbers.len()))?;
            state.inside.resize(state.inside.len().max(number + 1), false);
            crowd.says().say(number, &[way.greeting(number).as_bytes()]);
            numbers.push(number);
        }
        let before = state.count;
        crowd.pump(&mut state, deadline.min(Instant::now() + LOOK_EVERY))?;
        if let Some(refusal) = &state.refusal {
            return Err(format!("the server lets nobody in: {refusal}"));
        }
        crowd.is_whole()?;
        if state.count > before {
            deadline = Instant::now() + way.patience;
        }
        if Instant::now() >= deadline {
            return Err(format!(
                "only {} of {count} clients were let in within {:?}",
                state.count, way.patience
            ));
        }
        progress.at(state.count as u64);
    }
    Ok(numbers)
}

/// Waits until everybody's NAMES have come: whoever joined is in then.
struct Joining {
    count: usize,
    refusal: Option<String>,
}

impl Ear for Joining {
    fn hear(&mut self, _: usize, line: &[u8], _: &mut Says) {
        match numeric(line) {
            Some(b"366") => self.count += 1,
            Some([b'4', ..]) => {
                self.refusal.get_or_insert_with(|| String::from_utf8_lossy(line).into_owned());
            }
            _ => {}
        }
    }
}

/// Has each of these clients join a channel.
pub fn join(
    crowd: &mut Crowd,
    who: impl Iterator<Item = (usize, String)>,
    way: &Way,
    progress: &Progress,
) -> Result<(), String> {
    let mut asked = 0;
    for (client, channel) in who {
        crowd.says().say(client, &[b"JOIN ", channel.as_bytes()]);
        asked += 1;
    }
    let mut state = Joining { count: 0, refusal: None };
    progress.begin("joins", asked as u64);
    let mut deadline = Instant::now() + way.patience;
    while state.count < asked {
        let before = state.count;
        crowd.pump(&mut state, deadline.min(Instant::now() + LOOK_EVERY))?;
        crowd.is_whole()?;
        if let Some(refusal) = &state.refusal {
            return Err(format!("the server refuses a channel: {refusal}"));
        }
        if state.count > before {
            deadline = Instant::now() + way.patience;
        } else if Instant::now() >= deadline {
            return Err(format!(
                "only {} of {asked} were on their channels within {:?}",
                state.count, way.patience
            ));
        }
        progress.at(state.count as u64);
    }
    Ok(())
}

/// Listens until nothing has come for a while, so that what is left of the last step is not counted to the next.
pub fn settle(crowd: &mut Crowd, way: &Way) -> Result<(), String> {
    const SILENCE: Duration = Duration::from_millis(300);
    struct Count(u64);
    impl Ear for Count {
        fn hear(&mut self, _: usize, _: &[u8], _: &mut Says) {
            self.0 += 1;
        }
    }
    let mut ear = Count(0);
    let deadline = Instant::now() + way.patience;
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < SILENCE && Instant::now() < deadline {
        let before = ear.0;
        crowd.pump(&mut ear, quiet_since + SILENCE)?;
        if ear.0 > before {
            quiet_since = Instant::now();
        }
    }
    crowd.is_whole()
}

/// The numeric of a line from a server, as it stands there.
pub fn numeric(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|byte| *byte == b' ').skip_while(|word| word.starts_with(b"@"));
    let _source = words.next().filter(|word| word.starts_with(b":"))?;
    words.next().filter(|word| word.len() == 3 && word.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicks_differ_and_are_short() {
        let way = Way { password: None, caps: String::new(), at_once: 1, patience: Duration::ZERO, run: 5 };
        assert_eq!(way.nick(0), "xaaafaaaa");
        assert_eq!(way.nick(27), "xaaafaabb");
    }

    #[test]
    fn only_numerics_are_numerics() {
        assert_eq!(numeric(b":hall.lan 376 alice :End"), Some(&b"376"[..]));
        assert_eq!(numeric(b"@time=1 :hall.lan 366 alice #a :End"), Some(&b"366"[..]));
        assert_eq!(numeric(b":alice!u@h PRIVMSG #a :376"), None);
        assert_eq!(numeric(b"ERROR :376"), None);
    }
}
