//! A thousand people in one channel: each hears each line once, and each costs the server one thread.

#[path = "support/process/mod.rs"]
mod process;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use process::{PATIENCE, Server, figures, until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const PEOPLE: usize = 1_000;
const LINES: usize = 100;

/// Somebody in the crowd; all of them are read by one thread.
struct Person {
    socket: TcpStream,
    begun: Vec<u8>,
    /// How often each of the lines came.
    heard: [u8; LINES],
    joins_heard: usize,
    pongs_heard: usize,
}

impl Person {
    fn come(server: &Server, number: usize) -> Person {
        let socket = TcpStream::connect(server.places().irc[0]).unwrap();
        let mut person =
            Person { socket, begun: Vec::new(), heard: [0; LINES], joins_heard: 0, pongs_heard: 0 };
        // Every tenth wants to hear what it says itself.
        let caps = if number.is_multiple_of(10) { "CAP REQ echo-message\r\nCAP END\r\n" } else { "" };
        person.say(&format!("{caps}NICK p{number}\r\nUSER p 0 * :p\r\nJOIN #green"));
        person.socket.set_nonblocking(true).unwrap();
        person
    }

    /// Short enough for the socket to take it whole.
    fn say(&mut self, line: &str) {
        self.socket.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    /// Takes in what has come.
    fn read(&mut self) {
        let mut bytes = [0; 64 << 10];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => panic!("the server hung up"),
                Ok(count) => self.begun.extend_from_slice(&bytes[..count]),
                Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                Err(why) => panic!("{why}"),
            }
        }
        let end = self.begun.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let whole: Vec<u8> = self.begun.drain(..end).collect();
        for line in std::str::from_utf8(&whole).unwrap().lines() {
            self.hear(line);
        }
    }

    fn hear(&mut self, line: &str) {
        let (_source, rest) = line.split_once(' ').unwrap();
        if let Some(number) = rest.strip_prefix("PRIVMSG #green :line ") {
            self.heard[number.parse::<usize>().unwrap()] += 1;
        } else if rest == "JOIN #green" {
            self.joins_heard += 1;
        } else if rest.starts_with("PONG ") {
            self.pongs_heard += 1;
        }
    }
}

/// Reads for all of them until all have what they wait for.
fn read_until(people: &mut [Person], is_done: impl Fn(&Person) -> bool, what: &str) {
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let waiting: Vec<usize> = (0..people.len()).filter(|&number| !is_done(&people[number])).collect();
        if waiting.is_empty() {
            return;
        }
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap();
        let mut sockets: Vec<PollFd> =
            waiting.iter().map(|&number| PollFd::new(&people[number].socket, PollFlags::IN)).collect();
        poll(&mut sockets, Some(&left)).unwrap();
        let ready: Vec<bool> = sockets.iter().map(|socket| !socket.revents().is_empty()).collect();
        assert!(ready.contains(&true), "{} of {} still wait for {what}", waiting.len(), people.len());
        for (number, _) in waiting.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            people[number].read();
        }
        // As long as something comes, the server is at work.
        deadline = Instant::now() + PATIENCE;
    }
}

#[test]
fn a_thousand_people_hear_each_line_once_and_cost_a_thread_each() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();

    let server = Server::measured("hall", "");
    let nobody = (figures::threads(server.pid()), figures::descriptors(server.pid()));
    let mut people = vec![Person::come(&server, 0)];
    // From here on the first one hears everybody's.
    read_until(&mut people, |person| person.joins_heard == 1, "the first JOIN");
    people.extend((1..PEOPLE).map(|number| Person::come(&server, number)));
    read_until(&mut people, |person| person.joins_heard >= 1, "their own JOIN");
    read_until(&mut people[..1], |person| person.joins_heard == PEOPLE, "everybody's JOIN");
    assert_eq!(figures::threads(server.pid()), nobody.0 + PEOPLE);

    for line in 0..LINES {
        people[line * 7].say(&format!("PRIVMSG #green :line {line}"));
    }
    // Who has said a line must be answered after it, and all others after all of them.
    read_until(
        &mut people,
        |person| person.heard.iter().filter(|&&count| count > 0).count() >= LINES - 1,
        "the lines",
    );
    for person in &mut people {
        person.say("PING :fence");
    }
    read_until(&mut people, |person| person.pongs_heard > 0, "PONG");
    for (number, person) in people.iter().enumerate() {
        for (line, &count) in person.heard.iter().enumerate() {
            let is_own = number == line * 7;
            let expected = u8::from(!is_own || number.is_multiple_of(10));
            assert_eq!(count, expected, "p{number} heard line {line} {count} times");
        }
    }

    drop(people);
    let look = || (figures::threads(server.pid()), figures::descriptors(server.pid()));
    // Of the files that a start needs for a moment, some may have been open still when nobody had come yet.
    let is_back = |(threads, descriptors)| threads == nobody.0 && descriptors <= nobody.1;
    until(|| is_back(look())).unwrap_or_else(|why| panic!("{why}: {nobody:?} became {:?}", look()));
}
