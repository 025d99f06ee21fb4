//! Many clients on one thread: sockets that never block, watched by epoll.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::says::Says;

/// How many sockets are looked at before the clock is.
const READY_AT_ONCE: usize = 256;
/// What one read takes at most.
const READ_BYTES: usize = 64 << 10;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Hears every line that the crowd is sent, and answers.
pub trait Ear {
    fn hear(&mut self, client: usize, line: &[u8], says: &mut Says);

    /// Whether this client said goodbye.
    fn expects_end(&self, _client: usize) -> bool {
        false
    }
}

/// Clients by number, and what watches them.
pub struct Crowd {
    watch: OwnedFd,
    clients: Vec<Option<Client>>,
    says: Says,
    ready: Vec<epoll::Event>,
    scratch: Vec<u8>,
    /// Connections that the server ended, and what it last said.
    lost: Vec<String>,
}

struct Client {
    socket: TcpStream,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    /// What the socket would not take.
    waiting: Vec<u8>,
}

impl Crowd {
    pub fn new() -> Result<Crowd, String> {
        Ok(Crowd {
            watch: epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|why| format!("no epoll: {why}"))?,
            clients: Vec::new(),
            says: Says::default(),
            ready: Vec::with_capacity(READY_AT_ONCE),
            scratch: vec![0; READ_BYTES],
            lost: Vec::new(),
        })
    }

    /// Connects one more client, and returns its number.
    pub fn connect(&mut self, server: SocketAddr) -> Result<usize, String> {
        let number = self.clients.len();
        self.connect_as(number, server)?;
        Ok(number)
    }

    /// Connects the client of this number, which is not connected.
    pub fn connect_as(&mut self, number: usize, server: SocketAddr) -> Result<(), String> {
        let fault = |why: std::io::Error| format!("{server} cannot be reached: {why}");
        let socket = TcpStream::connect_timeout(&server, CONNECT_WITHIN).map_err(fault)?;
        socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true)).map_err(fault)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&self.watch, &socket, data, epoll::EventFlags::IN)
            .map_err(|why| format!("a socket cannot be watched: {why}"))?;
        self.clients.resize_with(self.clients.len().max(number + 1), || None);
        self.clients[number] = Some(Client { socket, rest: Vec::new(), waiting: Vec::new() });
        Ok(())
    }

    /// Ends a client's connection.
    pub fn hang_up(&mut self, number: usize) {
        // Closing it takes it off the watch too.
        if let Some(client) = self.clients.get_mut(number) {
            *client = None;
        }
    }

    /// What is to be said next, by anyone.
    pub fn says(&mut self) -> &mut Says {
        &mut self.says
    }

    /// Sends what is to be said, waits for something to hear until the deadline, and has it heard.
    pub fn pump(&mut self, ear: &mut impl Ear, deadline: Instant) -> Result<(), String> {
        self.send()?;
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        self.ready.clear();
        match epoll::wait(&self.watch, rustix::buffer::spare_capacity(&mut self.ready), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(format!("epoll failed: {why}")),
        }
        for position in 0..self.ready.len() {
            let event = self.ready[position];
            let number = event.data.u64() as usize;
            if { event.flags }.contains(epoll::EventFlags::OUT) {
                self.send_rest(number)?;
            }
            if { event.flags }.intersects(!epoll::EventFlags::OUT) {
                self.read(number, ear);
            }
        }
        self.send()
    }

    /// Fails if the server ended connections that nobody ended here.
    pub fn is_whole(&self) -> Result<(), String> {
        match self.lost.first() {
            None => Ok(()),
            Some(first) => {
                Err(format!("the server ended {} connections, the first with: {first}", self.lost.len()))
            }
        }
    }

    fn read(&mut self, number: usize, ear: &mut impl Ear) {
        let Some(client) = &mut self.clients[number] else { return };
        let count = match client.socket.read(&mut self.scratch) {
            Ok(count) => count,
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => 0,
        };
        if count == 0 {
            self.clients[number] = None;
            self.lost.extend((!ear.expects_end(number)).then(|| format!("nothing (client {number})")));
            return;
        }
        let mut received = &self.scratch[..count];
        if !client.rest.is_empty() {
            let Some(end) = received.iter().position(|byte| *byte == b'\n') else {
                client.rest.extend_from_slice(received);
                return;
            };
            client.rest.extend_from_slice(&received[..end]);
            received = &received[end + 1..];
            heard(number, &client.rest, ear, &mut self.says, &mut self.lost);
            client.rest.clear();
        }
        while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            heard(number, &received[..end], ear, &mut self.says, &mut self.lost);
            received = &received[end + 1..];
        }
        client.rest.extend_from_slice(received);
    }

    fn send(&mut self) -> Result<(), String> {
        let mut lines = self.says.iter().peekable();
        let mut run = Vec::new();
        while let Some((number, line)) = lines.next() {
            let Some(client) = self.clients.get_mut(number).and_then(Option::as_mut) else { continue };
            let mut bytes = line;
            // What one client says in a row goes out in one piece.
            if lines.peek().is_some_and(|(next, _)| *next == number) {
                run.clear();
                run.extend_from_slice(line);
                while let Some((_, more)) = lines.next_if(|(next, _)| *next == number) {
                    run.extend_from_slice(more);
                }
                bytes = &run;
            }
            if client.offer(bytes) {
                watch_for_room(&self.watch, number, client, true)?;
            }
        }
        drop(lines);
        self.says.clear();
        Ok(())
    }

    fn send_rest(&mut self, number: usize) -> Result<(), String> {
        let Some(client) = &mut self.clients[number] else { return Ok(()) };
        let waiting = std::mem::take(&mut client.waiting);
        if client.offer(&waiting) { Ok(()) } else { watch_for_room(&self.watch, number, client, false) }
    }
}

impl Client {
    /// Sends what the socket takes and keeps the rest; whether there is one. A broken socket shows when it is read.
    fn offer(&mut self, bytes: &[u8]) -> bool {
        let sent = if self.waiting.is_empty() { self.socket.write(bytes).unwrap_or(0) } else { 0 };
        self.waiting.extend_from_slice(&bytes[sent..]);
        !self.waiting.is_empty()
    }
}

fn watch_for_room(watch: &OwnedFd, number: usize, client: &Client, too: bool) -> Result<(), String> {
    let flags = if too { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
    epoll::modify(watch, &client.socket, epoll::EventData::new_u64(number as u64), flags)
        .map_err(|why| format!("a socket cannot be watched: {why}"))
}

/// One line, without its line end. PING is answered here: without that nobody stays.
fn heard(client: usize, raw: &[u8], ear: &mut impl Ear, says: &mut Says, lost: &mut Vec<String>) {
    let line = raw.strip_suffix(b"\r").unwrap_or(raw);
    if let Some(token) = line.strip_prefix(b"PING ") {
        return says.say(client, &[b"PONG ", token]);
    }
    if line.starts_with(b"ERROR ") && !ear.expects_end(client) {
        lost.push(String::from_utf8_lossy(line).into_owned());
    }
    ear.hear(client, line, says);
}
