//! What waits to be sent to one connection: the one place that queues, compresses, encrypts and sends.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustix::net::{SendFlags, send};

use super::compression::Packer;
use crate::engine::Bundle;

/// The most plaintext that one TLS record carries.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// How many times the queue's limit the lines of one batch may take.
const ONE_ANSWER: usize = 16;

/// One connection's sending side, and its TLS session, which both sides need; behind `Conn`'s lock.
#[derive(Default)]
pub struct Io {
    /// On the heap, so that plain connections do not pay for it.
    tls: Option<Box<rustls::Connection>>,
    /// What was said; what stands before `sent` is gone already, or packed.
    out: Piece,
    sent: usize,
    /// What follows that, where one of them is shared.
    behind: VecDeque<Piece>,
    behind_bytes: usize,
    /// On a link whose other end wants it; on the heap as well.
    packer: Option<Box<Packer>>,
    /// What goes out before anything else; a piece of `out` at a time.
    packed: Vec<u8>,
    packed_sent: usize,
    marks: VecDeque<Mark>,
    /// More than this may not wait once the socket takes no more.
    waiting_bytes_max: usize,
    /// All lines so far, and their bytes before encryption.
    pub queued_lines: u64,
    pub queued_bytes: u64,
    /// What became of them: bytes that have gone out, before encryption.
    pub wire_bytes: u64,
    /// Appended to since the last flush: the router has it on that list.
    pub due: Option<Due>,
    /// The socket would take no more: the flusher goes on as soon as it does.
    pub pending: bool,
    /// The flusher's epoll set knows the socket.
    pub watched: bool,
    pub stage: Stage,
}

/// A part of what was said.
enum Piece {
    Own(Vec<u8>),
    /// What others hear too.
    Shared(Arc<Bundle>),
}

impl Default for Piece {
    fn default() -> Piece {
        Piece::Own(Vec::new())
    }
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Shared(bundle) => bundle.text().as_bytes(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Piece::Own(bytes) => bytes.len(),
            Piece::Shared(bundle) => bundle.bytes(),
        }
    }
}

/// Where in all that was ever said something changes.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: u64,
    turn: Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// What follows is compressed.
    Compressed,
    /// What follows shares no window with what came before.
    Apart,
}

/// How far a connection has come; only ever forward.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Open,
    /// What is queued still goes out, and nothing more is taken.
    Ending { why: String },
    /// All was sent, and the other side knows that nothing more comes.
    Ended { why: String },
    /// Given up; nothing is sent.
    Dead { why: String },
}

impl Stage {
    /// Why it is not open any more.
    pub fn why(&self) -> Option<&str> {
        match self {
            Stage::Open => None,
            Stage::Ending { why } | Stage::Ended { why } | Stage::Dead { why } => Some(why),
        }
    }
}

/// How soon what was queued has to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// As one of many: after those who have waited for longer, and with whatever else comes meanwhile.
    InTurn,
    AtOnce,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Appended {
    Queued,
    /// The connection takes no more lines.
    Ignored,
    /// It did not fit: whoever is behind this connection does not read.
    Overflow,
}

/// How far a flush came.
#[derive(Debug, PartialEq, Eq)]
pub enum Flushed {
    All,
    /// The socket would take no more.
    Blocked,
}

impl Io {
    pub fn new(waiting_bytes_max: usize) -> Io {
        Io { waiting_bytes_max, ..Io::default() }
    }

    /// From now on everything goes through this TLS session, whose handshake is done.
    pub fn secure(&mut self, tls: rustls::Connection) {
        self.tls = Some(Box::new(tls));
    }

    /// Queues one line and its line end.
    pub fn append(&mut self, line: &str) -> Appended {
        if self.stage != Stage::Open {
            return Appended::Ignored;
        }
        let needed = line.len() + 2;
        if !self.has_room_for(needed) {
            return Appended::Overflow;
        }
        self.queued_lines += 1;
        self.queued_bytes += needed as u64;
        self.push(line.as_bytes(), needed);
        self.push(b"\r\n", 0);
        Appended::Queued
    }

    /// Queues many lines that others hear too.
    pub fn append_bundle(&mut self, bundle: &Arc<Bundle>) -> Appended {
        if self.stage != Stage::Open {
            return Appended::Ignored;
        }
        let needed = bundle.bytes();
        if !self.has_room_for(needed) {
            return Appended::Overflow;
        }
        self.queued_lines += bundle.count() as u64;
        self.queued_bytes += needed as u64;
        if self.packer.is_some() || !self.marks.is_empty() {
            // Where something changes is counted from the end of one piece.
            self.push(bundle.text().as_bytes(), needed);
        } else {
            self.behind.push_back(Piece::Shared(bundle.clone()));
            self.behind_bytes += needed;
        }
        Appended::Queued
    }

    /// Whether it may wait, beside what does.
    fn has_room_for(&self, needed: usize) -> bool {
        // One long answer is no sign of a slow reader: what counts is that the socket is full as well.
        let waiting = self.waiting_bytes() + needed;
        let is_slow = self.pending && waiting > self.waiting_bytes_max;
        !is_slow && waiting <= self.waiting_bytes_max.saturating_mul(ONE_ANSWER)
    }

    /// Puts it behind all else; so much room is needed for it and what follows at once.
    fn push(&mut self, bytes: &[u8], room: usize) {
        if self.behind.is_empty()
            && let Piece::Own(out) = &mut self.out
        {
            // Moving what waits is paid for by what was sent before it.
            if self.sent > out.len() / 2 {
                out.drain(..self.sent);
                self.sent = 0;
            }
            out.reserve(room);
            out.extend_from_slice(bytes);
            return;
        }
        self.behind_bytes += bytes.len();
        if !matches!(self.behind.back(), Some(Piece::Own(_))) {
            self.behind.push_back(Piece::default());
        }
        if let Some(Piece::Own(last)) = self.behind.back_mut() {
            last.reserve(room);
            last.extend_from_slice(bytes);
        }
    }

    /// Queues a line that shares no window with any other, where what is said is compressed.
    pub fn append_apart(&mut self, line: &str) -> Appended {
        let start = self.queued_bytes;
        let outcome = self.append(line);
        if outcome == Appended::Queued {
            let ends = [start, self.queued_bytes];
            self.marks.extend(ends.map(|at| Mark { at, turn: Turn::Apart }));
        }
        outcome
    }

    pub fn is_compressed(&self) -> bool {
        self.packer.is_some()
    }

    /// What is appended from now on is compressed.
    pub fn compress(&mut self) {
        self.marks.push_back(Mark { at: self.queued_bytes, turn: Turn::Compressed });
    }

    /// Sends what waits, as far as the socket takes it without blocking. Neither compression nor TLS is ever more than
    /// one record ahead, so that the queue's limit and its reckoning hold for them too.
    pub fn flush(&mut self, socket: &TcpStream) -> io::Result<Flushed> {
        match self.flush_to_marks(socket) {
            Ok(()) => {
                // Most connections are idle most of the time; those keep no buffer.
                self.forget_sent();
                Ok(Flushed::All)
            }
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => Ok(Flushed::Blocked),
            Err(fault) => Err(fault),
        }
    }

    fn flush_to_marks(&mut self, socket: &TcpStream) -> io::Result<()> {
        loop {
            self.transmit_packed(socket)?;
            let mark = self.marks.front().copied();
            let end = mark.map_or(self.out.len(), |mark| self.place_of(mark));
            match &mut self.packer {
                None => {
                    let before = self.sent;
                    let bytes = &self.out.bytes()[..end];
                    let outcome = transmit(&mut self.tls, bytes, &mut self.sent, socket);
                    self.wire_bytes += (self.sent - before) as u64;
                    outcome?;
                }
                Some(packer) if self.sent < end => {
                    let record_end = end.min(self.sent + RECORD_BYTES_MAX);
                    packer.pack(&self.out.bytes()[self.sent..record_end], &mut self.packed)?;
                    self.sent = record_end;
                    if self.sent == self.out.len() {
                        // Nothing more comes soon, and what was said is to be heard.
                        packer.flush(&mut self.packed)?;
                    }
                    continue;
                }
                Some(_) => {}
            }
            let Some(mark) = mark else {
                let Some(next) = self.behind.pop_front() else { return Ok(()) };
                self.behind_bytes -= next.len();
                (self.out, self.sent) = (next, 0);
                continue;
            };
            self.marks.pop_front();
            match (mark.turn, &mut self.packer) {
                (Turn::Compressed, None) => self.packer = Some(Box::new(Packer::new()?)),
                (Turn::Apart, Some(packer)) => packer.end_frame(&mut self.packed)?,
                (Turn::Compressed, Some(_)) | (Turn::Apart, None) => {}
            }
        }
    }

    fn transmit_packed(&mut self, socket: &TcpStream) -> io::Result<()> {
        let before = self.packed_sent;
        let outcome = transmit(&mut self.tls, &self.packed, &mut self.packed_sent, socket);
        self.wire_bytes += (self.packed_sent - before) as u64;
        outcome?;
        self.packed.clear();
        self.packed_sent = 0;
        Ok(())
    }

    /// Where in the queue a mark stands.
    fn place_of(&self, mark: Mark) -> usize {
        debug_assert!(self.behind.is_empty(), "only clients share what they hear, and they have no marks");
        self.out.len() - (self.queued_bytes - mark.at) as usize
    }

    fn forget_sent(&mut self) {
        self.out = Piece::default();
        self.sent = 0;
        self.behind = VecDeque::new();
        self.behind_bytes = 0;
        self.packed = Vec::new();
        self.packed_sent = 0;
    }

    /// Lets go of what nobody will read.
    pub fn clear(&mut self) {
        self.forget_sent();
        self.marks.clear();
        self.packer = None;
    }

    /// Queues TLS's own goodbye, without which the other side could not tell an end from a cut.
    pub fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
    }

    /// Whether TLS has something of its own to say.
    pub fn has_tls_to_send(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Turns what came over the wire into what was said, appended to `plain`. True where the other side said goodbye.
    pub fn decrypt(&mut self, mut raw: &[u8], plain: &mut Vec<u8>) -> Result<bool, String> {
        let Some(tls) = &mut self.tls else {
            plain.extend_from_slice(raw);
            return Ok(false);
        };
        loop {
            if !raw.is_empty() {
                let taken = tls.read_tls(&mut raw).map_err(|fault| fault.to_string())?;
                if taken == 0 {
                    return Ok(true);
                }
            }
            let state = tls.process_new_packets().map_err(|fault| fault.to_string())?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut plain[start..]).map_err(|fault| fault.to_string())?;
            if state.peer_has_closed() {
                return Ok(true);
            }
            if raw.is_empty() {
                return Ok(false);
            }
        }
    }

    /// What the queue costs.
    #[cfg(test)]
    pub fn buffer_bytes(&self) -> usize {
        let capacity = |piece: &Piece| match piece {
            Piece::Own(bytes) => bytes.capacity(),
            Piece::Shared(bundle) => bundle.bytes(),
        };
        capacity(&self.out) + self.behind.iter().map(capacity).sum::<usize>() + self.packed.capacity()
    }

    /// How much waits for the socket, in bytes before encryption, and before compression but for the last piece.
    pub fn waiting_bytes(&self) -> usize {
        self.out.len() - self.sent + self.behind_bytes + self.packed.len() - self.packed_sent
    }
}

/// Sends what stands behind `sent`, through TLS if there is any.
fn transmit(
    tls: &mut Option<Box<rustls::Connection>>,
    bytes: &[u8],
    sent: &mut usize,
    socket: &TcpStream,
) -> io::Result<()> {
    match tls {
        None => flush_plain(bytes, sent, socket),
        Some(tls) => flush_tls(tls, bytes, sent, socket),
    }
}

fn flush_plain(out: &[u8], sent: &mut usize, socket: &TcpStream) -> io::Result<()> {
    while *sent < out.len() {
        *sent += offer(socket, &out[*sent..])?;
    }
    Ok(())
}

fn flush_tls(
    tls: &mut rustls::Connection,
    out: &[u8],
    sent: &mut usize,
    socket: &TcpStream,
) -> io::Result<()> {
    loop {
        while tls.wants_write() {
            tls.write_tls(&mut Offered(socket))?;
        }
        if *sent == out.len() {
            return Ok(());
        }
        let record_end = out.len().min(*sent + RECORD_BYTES_MAX);
        *sent += tls.writer().write(&out[*sent..record_end])?;
    }
}

/// Sends what the socket takes at once, though the socket itself blocks: its reader relies on that.
pub fn offer(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return Ok(outcome?),
        }
    }
}

struct Offered<'a>(&'a TcpStream);

impl Write for Offered<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        offer(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
