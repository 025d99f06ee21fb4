//! One connection's life as its own thread sees it: `Opened`, what it says, and exactly one `Closed`.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::allowance::Allowance;
use super::conn::Conn;
use super::shared::Shared;
use super::threads::panic_text;
use crate::engine::{Event, Origin};
use crate::wire::line::Framer;

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
            shared.tell(Event::Opened { conn: conn.id, from });
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
            shared.tell(Event::Closed { conn: conn.id, why });
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
    pub secure: bool,
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
                self.deliver(&buffer[..count]);
            } else if self.decrypt(&buffer[..count], &mut plain)? {
                return Ok("Connection closed".to_string());
            }
        }
    }

    /// What came with the end of the handshake, or since. True where the other side said goodbye.
    fn decrypt(&mut self, raw: &[u8], plain: &mut Vec<u8>) -> Result<bool, String> {
        let goodbye = self.conn.decrypt(raw, plain, self.shared).map_err(|why| format!("TLS: {why}"));
        self.deliver(plain);
        // Whoever is idle keeps no buffer.
        *plain = Vec::new();
        goodbye
    }

    fn deliver(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.conn.is_over() {
            let may = match &mut self.allowance {
                None => Ok(bytes.len()),
                Some(allowance) => allowance.spend(bytes, Instant::now()),
            };
            match may {
                Ok(taken) => {
                    let lines = self.framer.push(&bytes[..taken]);
                    self.conn.count_received(lines.iter().count() as u64, taken as u64);
                    bytes = &bytes[taken..];
                    if !lines.is_empty() {
                        self.shared.tell(Event::Lines { conn: self.conn.id, lines });
                    }
                }
                // Never longer than one line takes to earn, so an end is noticed soon.
                Err(wait) => std::thread::sleep(wait),
            }
        }
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
    use super::*;
    use crate::config::Limits;
    use crate::edge::conn::Kind;
    use crate::edge::shared::tests::{conn, shared};

    #[test]
    fn a_bug_ends_one_connection_and_is_told() {
        let (shared, events) = shared(Limits::default());
        let (conn, _theirs) = conn(&shared, Kind::Client);
        shared.admit(&conn).unwrap();
        let greet = || Ok(Greeting::Opened(Origin::Client { address: conn.address, secure: None }));
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
}
