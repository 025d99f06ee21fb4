//! Connections that mean harm: they flood, never read, or trickle; all of them led by one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::lab::make_way;

/// The channel that all of them are on.
pub const CHANNEL: &str = "#noise";
/// How often those who trickle say one byte.
const TRICKLE_EVERY: Duration = Duration::from_secs(1);

/// What one of them does, for as long as it is let.
#[derive(Clone, Copy, Debug)]
pub enum Harm {
    /// Says this line over and over, as fast as it is taken, and reads what comes.
    Flood(&'static str),
    /// The same, and never reads.
    Deaf(&'static str),
    /// One byte a second, and never a whole line.
    Trickle,
}

/// Of all sorts. `%` stands for the number of the connection.
pub const ALL: &[Harm] = &[
    Harm::Flood("PRIVMSG #noise :flood from %"),
    Harm::Deaf("LIST\r\nWHO *\r\nNAMES #noise\r\nWHOIS h%"),
    Harm::Trickle,
    Harm::Flood("JOIN #h%\r\nPART #h%"),
    Harm::Deaf("PRIVMSG #noise :deaf flood from %"),
    Harm::Flood("NICK g%\r\nNICK h%"),
    Harm::Flood("OPER admin guess%"),
    Harm::Flood("PRIVMSG #noise,h0,h1,h2,h3,h4,h5,h6,h7,h8 :everyone from %"),
    Harm::Deaf("MOTD\r\nLUSERS\r\nSTATS u\r\nHELP"),
    Harm::Flood("\u{1}no command at all\r\n\r\n\r\n"),
];

struct Hostile {
    socket: TcpStream,
    harm: Harm,
    text: Vec<u8>,
    /// How far the text has been said.
    said: usize,
    is_over: bool,
}

/// So many of them at work, until it is dropped.
pub struct Attack {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    /// Lets them in, and returns once all have begun.
    pub fn begin(address: SocketAddr, count: usize) -> Attack {
        Attack::by(address, count, || {})
    }

    /// The same, by a thread that works only where nobody else would: what it costs to attack is not taken from whom it
    /// is aimed at, as if it were another machine's.
    pub fn begin_from_elsewhere(address: SocketAddr, count: usize) -> Attack {
        Attack::by(address, count, make_way)
    }

    fn by(address: SocketAddr, count: usize, prepare: fn()) -> Attack {
        let mut crowd: Vec<Hostile> = (0..count).map(|number| Hostile::come(address, number)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = thread::spawn(move || {
            prepare();
            let mut trickled = Instant::now();
            while !asked.load(Ordering::Relaxed) {
                round(&mut crowd);
                if trickled.elapsed() >= TRICKLE_EVERY {
                    trickled = Instant::now();
                    crowd.iter_mut().for_each(Hostile::trickle);
                }
            }
        });
        Attack { stop, thread: Some(thread) }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the attack failed");
        }
    }
}

/// Waits a moment for any of them that can go on, and has it do so.
fn round(crowd: &mut [Hostile]) {
    let mut sockets: Vec<PollFd> = Vec::new();
    let mut who: Vec<usize> = Vec::new();
    for (number, hostile) in crowd.iter().enumerate().filter(|(_, hostile)| !hostile.is_over) {
        let flags = match hostile.harm {
            Harm::Flood(_) => PollFlags::IN | PollFlags::OUT,
            Harm::Deaf(_) => PollFlags::OUT,
            Harm::Trickle => PollFlags::IN,
        };
        sockets.push(PollFd::new(&hostile.socket, flags));
        who.push(number);
    }
    let wait = Timespec::try_from(Duration::from_millis(100)).unwrap();
    poll(&mut sockets, Some(&wait)).unwrap();
    let ready: Vec<(usize, PollFlags)> = who
        .into_iter()
        .zip(sockets.iter().map(PollFd::revents))
        .filter(|(_, ready)| !ready.is_empty())
        .collect();
    drop(sockets);
    for (number, ready) in ready {
        crowd[number].go_on(ready);
    }
}

impl Hostile {
    fn come(address: SocketAddr, number: usize) -> Hostile {
        let socket = TcpStream::connect(address).unwrap();
        let harm = ALL[number % ALL.len()];
        let text = match harm {
            Harm::Flood(text) | Harm::Deaf(text) => text.replace('%', &number.to_string()) + "\r\n",
            Harm::Trickle => String::new(),
        };
        let greeting = format!("NICK h{number}\r\nUSER h{number} 0 * :h\r\nJOIN {CHANNEL}\r\n");
        (&socket).write_all(greeting.as_bytes()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Hostile { socket, harm, text: text.repeat(20).into_bytes(), said: 0, is_over: false }
    }

    fn go_on(&mut self, ready: PollFlags) {
        if ready.intersects(PollFlags::IN) {
            let mut bytes = [0; 16 << 10];
            match (&self.socket).read(&mut bytes) {
                Ok(0) => self.is_over = true,
                Err(why) if why.kind() != ErrorKind::WouldBlock => self.is_over = true,
                _ => {}
            }
        }
        if ready.intersects(PollFlags::OUT) && !self.text.is_empty() {
            match (&self.socket).write(&self.text[self.said..]) {
                Ok(count) => self.said = (self.said + count) % self.text.len(),
                Err(why) if why.kind() != ErrorKind::WouldBlock => self.is_over = true,
                Err(_) => {}
            }
        }
        // Whoever was let go stays away: those who come back are another story.
        self.is_over |= ready.intersects(PollFlags::HUP | PollFlags::ERR);
    }

    fn trickle(&mut self) {
        if matches!(self.harm, Harm::Trickle) && !self.is_over {
            self.is_over =
                matches!((&self.socket).write(b"x"), Err(why) if why.kind() != ErrorKind::WouldBlock);
        }
    }
}
