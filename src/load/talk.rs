//! Rooms full of people who talk: so many lines in flight, or so many lines a second.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::crowd::{Crowd, Ear};
use super::enter::{self, Way};
use super::ledger::{Faults, Heard, Hearing};
use super::progress::Progress;
use super::says::{Digits, Says};

/// Who talks, and to whom.
#[derive(Clone, Debug)]
pub struct Talk {
    pub rooms: usize,
    /// In each room. Where there are two and the room is a conversation, the second hears the first.
    pub members: usize,
    /// How many of a room's members talk, in turn.
    pub senders: usize,
    /// Whether a room is two people who write to each other, and no channel.
    pub is_private: bool,
    /// How long a line's text is, in bytes.
    pub text_bytes: usize,
    pub pace: Pace,
    /// How many lines are said, by all rooms together, while it is measured.
    pub lines: u64,
}

/// When the next line is said.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As soon as fewer than so many are on their way, in all rooms together.
    InFlight(usize),
    /// So many a second, by all rooms together, however long the server takes.
    Rate(u64),
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub deliveries: u64,
    pub took: Duration,
    pub faults: Faults,
    /// From when a line was to be said until each one heard it, in microseconds, in order; only at a given rate.
    pub delays_us: Vec<u32>,
}

/// One line on its way.
#[derive(Clone, Copy, Default)]
struct Flight {
    /// How many have not heard it.
    left: u32,
    /// When it was to be said, in microseconds since the start.
    due_us: u64,
}

struct Room {
    target: Vec<u8>,
    clients: Vec<usize>,
    senders: Vec<Sender>,
    next_sender: usize,
    /// What each member has heard of each sender.
    hearings: Vec<Hearing>,
}

#[derive(Default)]
struct Sender {
    said: u64,
    /// The latest lines, by number, as many as may be on their way.
    flights: Vec<Flight>,
}

/// All rooms, while they talk.
pub struct Rooms {
    talk: Talk,
    rooms: Vec<Room>,
    /// Each client's room and place in it.
    places: Vec<Option<(usize, usize)>>,
    filling: Vec<u8>,
    /// For how long nothing may be heard, before what is missing counts as lost.
    patience: Duration,
    started: Instant,
    /// How many lines may yet be said.
    left: u64,
    said: u64,
    in_flight: u64,
    next_room: usize,
    heard: u64,
    faults: Faults,
    delays_us: Vec<u32>,
}

/// How many lines of one sender may be on their way at a given rate, before one counts as lost.
const AT_RATE_IN_FLIGHT: usize = 1 << 14;

impl Rooms {
    /// Has everyone come in and join. Where there are two servers, the senders are on the first one and those who only
    /// listen on the second.
    pub fn open(
        crowd: &mut Crowd,
        talk: Talk,
        servers: &[SocketAddr],
        way: &Way,
        progress: &Progress,
    ) -> Result<Rooms, String> {
        let (first, last) = (servers[0], servers[servers.len() - 1]);
        let place = |client: usize| if client % talk.members < talk.senders { first } else { last };
        let clients = enter::register(crowd, talk.rooms * talk.members, way, place, progress)?;
        let channel = |room: usize| format!("#x{}n{room}", way.run);
        if !talk.is_private {
            let joins = clients.iter().enumerate();
            enter::join(
                crowd,
                joins.map(|(position, client)| (*client, channel(position / talk.members))),
                way,
                progress,
            )?;
        }
        enter::settle(crowd, way)?;

        let window = match talk.pace {
            Pace::InFlight(lines) => lines,
            Pace::Rate(_) => AT_RATE_IN_FLIGHT,
        };
        let mut places = vec![None; clients.iter().max().map_or(0, |last| last + 1)];
        let rooms = clients.chunks(talk.members).enumerate().map(|(number, clients)| {
            for (position, client) in clients.iter().enumerate() {
                places[*client] = Some((number, position));
            }
            let target = if talk.is_private { way.nick(clients[1]) } else { channel(number) };
            let sender = || Sender { said: 0, flights: vec![Flight::default(); window] };
            Room {
                target: target.into_bytes(),
                clients: clients.to_vec(),
                senders: (0..talk.senders).map(|_| sender()).collect(),
                next_sender: 0,
                hearings: vec![Hearing::default(); talk.members * talk.senders],
            }
        });
        let rooms = rooms.collect();
        let filling = vec![b'x'; talk.text_bytes];
        Ok(Rooms {
            talk,
            rooms,
            places,
            filling,
            patience: way.patience,
            started: Instant::now(),
            left: 0,
            said: 0,
            in_flight: 0,
            next_room: 0,
            heard: 0,
            faults: Faults::default(),
            delays_us: Vec::new(),
        })
    }

    /// Has so many lines said and heard. What is not heard in time is lost.
    pub fn run(&mut self, crowd: &mut Crowd, lines: u64, progress: &Progress) -> Result<Outcome, String> {
        self.started = Instant::now();
        (self.left, self.said, self.heard, self.faults) = (lines, 0, 0, Faults::default());
        self.delays_us.clear();
        progress.begin("lines", lines);
        let mut deadline = Instant::now() + self.patience;
        while self.left > 0 || self.in_flight > 0 {
            let wake = self.say_what_is_due(crowd.says());
            let before = self.heard;
            crowd.pump(self, deadline.min(wake))?;
            crowd.is_whole()?;
            progress.at(self.said);
            if self.heard > before {
                deadline = Instant::now() + self.patience;
            } else if Instant::now() >= deadline {
                break;
            }
        }
        let took = self.started.elapsed();
        // A line that comes twice comes the second time when all have been heard.
        hear_what_is_late(crowd, self)?;
        let mut faults = self.faults;
        faults.lost += self.rooms.iter().map(Room::missing).sum::<u64>();
        let delays_us = std::mem::take(&mut self.delays_us);
        Ok(Outcome { deliveries: self.heard, took, faults, delays_us })
    }

    /// Says the lines whose time has come, and returns when to look again.
    fn say_what_is_due(&mut self, says: &mut Says) -> Instant {
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        match self.talk.pace {
            Pace::InFlight(window) => {
                while self.in_flight < window as u64 && self.say_next(0, says) {}
                Instant::now() + LOOK_EVERY
            }
            Pace::Rate(rate) => {
                let now_us = self.started.elapsed().as_micros() as u64;
                loop {
                    let due_us = self.said * 1_000_000 / rate;
                    if due_us > now_us {
                        return self.started + Duration::from_micros(due_us);
                    }
                    if !self.say_next(due_us, says) {
                        return Instant::now() + LOOK_EVERY;
                    }
                }
            }
        }
    }

    /// The next room's next sender says a line; false when all is said, or when too much of theirs was never heard.
    fn say_next(&mut self, due_us: u64, says: &mut Says) -> bool {
        let room = self.next_room;
        self.next_room = (room + 1) % self.rooms.len();
        self.say(room, due_us, says)
    }

    /// The next of a room's senders says a line.
    fn say(&mut self, number: usize, due_us: u64, says: &mut Says) -> bool {
        let room = &mut self.rooms[number];
        let position = room.next_sender;
        let sender = &mut room.senders[position];
        let window = sender.flights.len() as u64;
        let flight = &mut sender.flights[(sender.said % window) as usize];
        if self.left == 0 || flight.left > 0 {
            return false;
        }
        *flight = Flight { left: room.clients.len() as u32 - 1, due_us };
        let (by, line) = (Digits::of(position as u64), Digits::of(sender.said));
        let text = [b"PRIVMSG ", &room.target[..], b" :", by.as_bytes(), b" ", line.as_bytes(), b" "];
        let used: usize = text[3..].iter().map(|part| part.len()).sum();
        let filling = &self.filling[..self.talk.text_bytes.saturating_sub(used)];
        let [command, target, colon, by, space, line, end] = text;
        says.say(room.clients[position], &[command, target, colon, by, space, line, end, filling]);
        sender.said += 1;
        room.next_sender = (position + 1) % room.senders.len();
        self.in_flight += 1;
        self.left -= 1;
        self.said += 1;
        true
    }
}

/// What is still to come when all lines have been heard: nothing, or lines for the second time.
fn hear_what_is_late(crowd: &mut Crowd, rooms: &mut Rooms) -> Result<(), String> {
    const AFTER: Duration = Duration::from_millis(50);
    let until = Instant::now() + AFTER;
    while Instant::now() < until {
        crowd.pump(rooms, until)?;
    }
    Ok(())
}

impl Room {
    fn missing(&self) -> u64 {
        let senders = self.senders.len();
        let hearings = self.hearings.iter().enumerate();
        let others = hearings.filter(|(place, _)| place / senders != place % senders);
        others.map(|(place, hearing)| hearing.missing(self.senders[place % senders].said)).sum()
    }
}

impl Ear for Rooms {
    fn hear(&mut self, client: usize, line: &[u8], says: &mut Says) {
        let Some((by, line)) = text_of(line).and_then(numbers) else { return };
        let Some((number, position)) = self.places[client] else { return };
        let room = &mut self.rooms[number];
        let senders = room.senders.len();
        if by >= senders {
            return;
        }
        match room.hearings[position * senders + by].hear(line) {
            Heard::New => {}
            Heard::Late => self.faults.misordered += 1,
            Heard::Again => {
                self.faults.doubled += 1;
                return;
            }
        }
        self.heard += 1;
        let window = room.senders[by].flights.len() as u64;
        let flight = &mut room.senders[by].flights[(line % window) as usize];
        if let Pace::Rate(_) = self.talk.pace {
            let now_us = self.started.elapsed().as_micros() as u64;
            self.delays_us.push(now_us.saturating_sub(flight.due_us).min(u64::from(u32::MAX)) as u32);
        }
        flight.left = flight.left.saturating_sub(1);
        if flight.left == 0 {
            self.in_flight -= 1;
            if let Pace::InFlight(_) = self.talk.pace {
                self.say_next(0, says);
            }
        }
    }
}

/// What a PRIVMSG says.
fn text_of(line: &[u8]) -> Option<&[u8]> {
    let after = |line: &'_ [u8]| line.iter().position(|byte| *byte == b' ').map(|place| place + 1);
    let mut rest = line;
    if rest.first() == Some(&b'@') {
        rest = &rest[after(rest)?..];
    }
    if rest.first() != Some(&b':') {
        return None;
    }
    rest = rest[after(rest)?..].strip_prefix(b"PRIVMSG ")?;
    rest = &rest[after(rest)?..];
    Some(rest.strip_prefix(b":").unwrap_or(rest))
}

/// Who said it, and which of their lines it is.
fn numbers(text: &[u8]) -> Option<(usize, u64)> {
    let mut words = text.split(|byte| *byte == b' ').map(|word| {
        let is_number = !word.is_empty() && word.len() < 19 && word.iter().all(u8::is_ascii_digit);
        is_number.then(|| word.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    });
    Some((words.next()?? as usize, words.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whose_it_is_and_which() {
        let of = |line: &[u8]| text_of(line).and_then(numbers);
        assert_eq!(of(b":a!u@h PRIVMSG #x :3 1205 xxx"), Some((3, 1205)));
        assert_eq!(of(b"@time=1;msgid=2 :a!u@h PRIVMSG #x :0 0 "), Some((0, 0)));
        assert_eq!(of(b":a!u@h PRIVMSG #x :hello there"), None);
        assert_eq!(of(b":a!u@h NOTICE #x :3 1205"), None);
        assert_eq!(of(b"PING :3 4"), None);
    }
}
