//! One connection's life as its own thread sees it: `Opened`, what it says, and exactly one `Closed`.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::allowance::Allowance;
use super::compression::{Inflow, LAST_PLAIN_LINE, Unpacker};
use super::conn::Conn;
use super::pace::Pace;
use super::shared::Shared;
use super::store::weight;
use super::threads::panic_text;
use crate::engine::{Event, Origin};
use crate::wire::line::{Framer, Lines};

/// Whoever has to wait looks so often whether it still makes sense.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often the router hears at most that one connection is made to wait.
const SLOWED_TOLD_EVERY: Duration = Duration::from_secs(60);

/// So many lines of a peer at once are a burst, and how many of it the router takes in at once: a fraction of a millisecond.
const BURST_LINES: usize = 32;
const PIECE_LINES: usize = 8;

/// How the handshake before `Opened` went.
pub enum Greeting {
    /// Over to the engine.
    Opened(Origin),
    /// Served in another way, and done with.
    Served,
}

/// Leads a connection through its life, and makes sure that its end is told if its beginning was. Returns why it never
/// opened, if it did not.
pub fn attend(
    shared: &Shared,
    conn: &Arc<Conn>,
    greet: impl FnOnce() -> Result<Greeting, String>,
    read: impl FnOnce() -> String,
) -> Result<(), String> {
    let mut opened = false;
    // A bug in here ends this one connection.
    let outcome = catch_unwind(AssertUnwindSafe(|| match greet() {
        Ok(Greeting::Opened(from)) => {
            opened = true;
            shared.tell_of(conn, Event::Opened { conn: conn.id, from });
            Ok(Some(read()))
        }
        Ok(Greeting::Served) => Ok(None),
        Err(why) => Err(why),
    }));
    let outcome = outcome.unwrap_or_else(|panic| {
        log::error!(
            target: conn.log_target(),
            "{} met a bug: {} conn={}", conn.address, panic_text(&*panic), conn.id.0
        );
        Ok(Some(conn.kill("Internal error")))
    });
    match outcome {
        Ok(Some(why)) if opened => {
            log::debug!(target: conn.log_target(), "{} closed: {why} conn={}", conn.address, conn.id.0);
            // The router forgets the connection, after it has answered what was said before the end.
            shared.tell_of(conn, Event::Closed { conn: conn.id, why });
            Ok(())
        }
        Ok(why) => {
            shared.forget(conn.id);
            why.map_or(Ok(()), Err)
        }
        Err(why) => {
            shared.forget(conn.id);
            Err(conn.kill(&why))
        }
    }
}

/// Reads lines until the connection ends, and says why it did.
pub struct Reader<'a> {
    pub shared: &'a Shared,
    pub conn: &'a Conn,
    pub framer: Framer,
    /// `None`: as fast as it comes.
    pub allowance: Option<Allowance>,
    /// How many bytes a peer may send; `None`: as many as come.
    pub pace: Option<Pace>,
    pub secure: bool,
    pub inflow: Inflow,
    /// When the router was last told that it is made to wait.
    pub slowed: Option<Instant>,
}

impl Reader<'_> {
    /// `look` sees what comes first, before anyone else, and may refuse to go on.
    pub fn run(mut self, buffer: &mut [u8], look: impl FnOnce(&[u8]) -> Result<(), String>) -> String {
        match self.read(buffer, look) {
            // Where we ended it ourselves, that is why.
            Err(why) => self.conn.kill(&why),
            Ok(why) if self.conn.is_over() => self.conn.kill(&why),
            Ok(why) => why,
        }
    }

    /// `Ok` is an end from the other side that leaves us free to answer.
    fn read(
        &mut self,
        buffer: &mut [u8],
        look: impl FnOnce(&[u8]) -> Result<(), String>,
    ) -> Result<String, String> {
        let mut look = Some(look);
        let mut plain = Vec::new();
        if self.secure && self.decrypt(&[], &mut plain)? {
            return Ok("Connection closed".to_string());
        }
        loop {
            let count = match self.conn.socket().read(buffer) {
                Ok(0) => return Ok("Connection closed".to_string()),
                Ok(count) => count,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
                Err(fault) => return Err(in_words(&fault)),
            };
            if let Some(look) = look.take() {
                look(&buffer[..count])?;
            }
            if self.conn.is_over() {
                // What still comes is only taken so that our last words are not cut off.
                continue;
            }
            if !self.secure {
                self.deliver(&buffer[..count])?;
            } else if self.decrypt(&buffer[..count], &mut plain)? {
                return Ok("Connection closed".to_string());
            }
        }
    }

    /// What came with the end of the handshake, or since. True where the other side said goodbye.
    fn decrypt(&mut self, raw: &[u8], plain: &mut Vec<u8>) -> Result<bool, String> {
        let goodbye = self.conn.decrypt(raw, plain, self.shared).map_err(|why| format!("TLS: {why}"));
        let outcome = self.deliver(plain);
        // Whoever is idle keeps no buffer.
        *plain = Vec::new();
        outcome.and(goodbye)
    }

    /// What came, before it was packed.
    fn deliver(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.conn.is_over() {
            return Ok(());
        }
        self.conn.count_received_wire(bytes.len() as u64);
        match std::mem::replace(&mut self.inflow, Inflow::Plain) {
            Inflow::Plain => self.deliver_plain(bytes),
            Inflow::PlainYet => return self.deliver_plain_yet(bytes),
            Inflow::Begun(unpacker) => return self.deliver_begun(unpacker, bytes),
            Inflow::Packed(unpacker) => return self.deliver_packed(unpacker, bytes),
        }
        Ok(())
    }

    /// The line that ends what is plain is looked for here and not by the engine: what comes right behind it is packed
    /// already. A caller that has yet to prove who it is gets no unpacker for it; the engine then refuses the line.
    fn deliver_plain_yet(&mut self, bytes: &[u8]) -> Result<(), String> {
        let conn = self.conn;
        let (lines, rest) = self.framer.push_until(bytes, |line| line == LAST_PLAIN_LINE && conn.is_proven());
        self.hand_on(lines, bytes.len() - rest.map_or(0, <[u8]>::len));
        let Some(rest) = rest else {
            self.inflow = Inflow::PlainYet;
            return Ok(());
        };
        self.deliver_begun(Unpacker::new()?, rest)
    }

    fn deliver_begun(&mut self, unpacker: Unpacker, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() {
            self.inflow = Inflow::Begun(unpacker);
            return Ok(());
        }
        self.deliver_packed(unpacker, bytes.strip_prefix(b"\n").unwrap_or(bytes))
    }

    fn deliver_packed(&mut self, mut unpacker: Unpacker, packed: &[u8]) -> Result<(), String> {
        let outcome = unpacker.unpack(packed, |plain| self.deliver_plain(plain));
        self.inflow = Inflow::Packed(unpacker);
        outcome
    }

    fn deliver_plain(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.conn.is_over() {
            let may = match (&mut self.allowance, &mut self.pace) {
                (Some(allowance), _) if !self.conn.is_unhurried() => {
                    let now = Instant::now();
                    allowance.charge(self.conn.take_owed(), now);
                    let may = allowance.spend(bytes, now);
                    self.conn.set_demanding(allowance.is_demanding(now));
                    may
                }
                (_, Some(pace)) => pace.spend(bytes, Instant::now()),
                (_, None) => Ok(bytes.len()),
            };
            match may {
                Ok(taken) => {
                    let lines = self.framer.push(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    self.hand_on(lines, taken);
                }
                Err(wait) => {
                    self.tell_that_it_is_slowed();
                    self.rest(wait);
                }
            }
        }
    }

    /// Peers wait for their turn too, and there it says nothing of them.
    fn tell_that_it_is_slowed(&mut self) {
        let is_due = self.slowed.is_none_or(|told| told.elapsed() >= SLOWED_TOLD_EVERY);
        if self.allowance.is_some() && is_due {
            self.slowed = Some(Instant::now());
            self.shared.tell_of(self.conn, Event::Slowed { conn: self.conn.id });
        }
    }

    /// Waits, and ends it early where the connection is over.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.conn.is_over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
    }

    /// What a peer brings at once is cut up, so that the router can serve people in between.
    fn hand_on(&mut self, mut lines: Lines, bytes: usize) {
        self.conn.count_received(lines.len() as u64, bytes as u64);
        if !self.conn.is_link() && !self.has_room(&mut lines) {
            return;
        }
        if self.conn.is_link() && lines.len() > BURST_LINES {
            self.conn.set_demanding(true);
            for lines in lines.in_pieces(PIECE_LINES) {
                self.shared.tell_of(self.conn, Event::Lines { conn: self.conn.id, lines });
            }
            self.conn.set_demanding(false);
        } else if !lines.is_empty() {
            self.shared.tell_of(self.conn, Event::Lines { conn: self.conn.id, lines });
        }
    }

    /// Whoever says what is written to the store waits where that is behind; false where the connection is over by then.
    fn has_room(&self, lines: &mut Lines) -> bool {
        let messages = lines.iter().map(|line| line.map_or(0, weight)).sum();
        lines.weigh(messages);
        messages == 0 || self.shared.room.enter(messages, || self.conn.is_over())
    }
}

fn in_words(fault: &io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::ConnectionReset => "Connection reset by peer".to_string(),
        io::ErrorKind::TimedOut => "Connection timed out".to_string(),
        _ => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Shutdown;

    use super::*;
    use crate::config::Limits;
    use crate::edge::compression::Packer;
    use crate::edge::compression::tests::lines;
    use crate::edge::conn::Kind;
    use crate::edge::shared::tests::{conn, shared};
    use crate::engine::Traffic;
    use crate::wire::line;

    #[test]
    fn a_bug_ends_one_connection_and_is_told() {
        let (shared, events) = shared(Limits::default());
        let (conn, _theirs) = conn(&shared, Kind::Client);
        shared.admit(&conn).unwrap();
        let greet = || {
            Ok(Greeting::Opened(Origin::Client {
                address: conn.address,
                name: None,
                secure: None,
                certificate: None,
            }))
        };
        assert_eq!(attend(&shared, &conn, greet, || panic!("for the test")), Ok(()));
        assert!(matches!(events.try_recv(), Ok(Event::Opened { .. })));
        let Ok(Event::Closed { why, .. }) = events.try_recv() else { panic!("one Closed for one Opened") };
        assert_eq!(why, "Internal error");
        assert!(events.is_empty());
    }

    #[test]
    fn what_never_opened_never_closes() {
        let (shared, events) = shared(Limits::default());
        let (conn, _theirs) = conn(&shared, Kind::Client);
        shared.admit(&conn).unwrap();
        let outcome = attend(&shared, &conn, || Err("no".to_string()), || unreachable!("it did not open"));
        assert_eq!(outcome, Err("no".to_string()));
        assert!(events.is_empty());
        assert!(shared.connections.read().get(conn.id).is_none());
    }

    /// What a link says: a plain beginning, the line that ends it, and the rest packed.
    fn packed_from(beginning: &str, rest: &[String]) -> Vec<u8> {
        let mut said = beginning.as_bytes().to_vec();
        let mut packer = Packer::new().unwrap();
        for line in rest {
            packer.pack(format!("{line}\r\n").as_bytes(), &mut said).unwrap();
        }
        packer.flush(&mut said).unwrap();
        said
    }

    /// Reads what comes in chunks of this size, up to the end; what was handed on, and why it ended.
    fn read_in_chunks(said: &[u8], chunk_bytes: usize, is_proven: bool) -> (Vec<String>, String, Traffic) {
        let (shared, events) = shared(Limits::default());
        let (conn, mut theirs) = conn(&shared, Kind::Caller);
        shared.admit(&conn).unwrap();
        if is_proven {
            conn.set_proven();
        }
        let framer = Framer::new(line::Limits::PEER);
        let reader = Reader {
            pace: None,
            shared: &shared,
            conn: &conn,
            framer,
            allowance: None,
            secure: false,
            inflow: Inflow::PlainYet,
            slowed: None,
        };
        let why = std::thread::scope(|scope| {
            scope.spawn(|| {
                let _ = theirs.write_all(said);
                let _ = theirs.shutdown(Shutdown::Write);
            });
            reader.run(&mut vec![0; chunk_bytes], |_| Ok(()))
        });
        let mut lines = Vec::new();
        while let Ok(Event::Lines { lines: said, .. }) = events.try_recv() {
            lines.extend(said.iter().map(|line| line.unwrap_or("*a fault*").to_string()));
        }
        (lines, why, conn.traffic())
    }

    #[test]
    fn compression_begins_right_behind_its_line_wherever_chunks_end() {
        let rest = lines(30);
        for line_end in ["\r\n", "\n", "\r"] {
            let said = packed_from(&format!("CONNECTED ok\r\nCOMPRESS zstd{line_end}"), &rest);
            let mut expected = vec!["CONNECTED ok".to_string(), "COMPRESS zstd".to_string()];
            expected.extend(rest.clone());
            for chunk_bytes in (1..40).chain([said.len()]) {
                let (lines, why, traffic) = read_in_chunks(&said, chunk_bytes, true);
                assert_eq!(lines, expected, "{chunk_bytes}");
                assert_eq!(why, "Connection closed");
                assert_eq!(traffic.received_wire_bytes, said.len() as u64);
                assert!(traffic.received_bytes > 2 * traffic.received_wire_bytes, "{traffic:?}");
            }
        }
    }

    #[test]
    fn a_stranger_gets_nothing_unpacked() {
        let said = packed_from("COMPRESS zstd\r\n", &lines(3));
        let (lines, _, traffic) = read_in_chunks(&said, 4096, false);
        assert_eq!(lines[0], "COMPRESS zstd");
        assert!(!lines.iter().any(|line| line.contains("PRIVMSG #room")), "{lines:?}");
        assert_eq!(traffic.received_bytes, traffic.received_wire_bytes);
    }

    #[test]
    fn what_does_not_unpack_ends_the_link_and_says_so() {
        let mut damaged = packed_from("COMPRESS zstd\r\n", &lines(30));
        damaged[16] ^= 0xff;
        let bomb = packed_from("COMPRESS zstd\r\n", &vec!["x".repeat(4000); 8 << 10]);
        for (said, expected) in [
            (damaged, "what came is not compressed as was agreed"),
            (b"COMPRESS zstd\r\nPING 17 0\r\n".to_vec(), "what came is not compressed as was agreed"),
            (bomb, "nobody has so much to say at once"),
        ] {
            let (_, why, _) = read_in_chunks(&said, 64 << 10, true);
            assert!(why.contains(expected), "{why}");
        }
    }
}
