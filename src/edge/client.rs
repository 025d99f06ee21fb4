//! One client's thread: TLS where the listener wants it, then reading.

use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

use super::allowance::Allowance;
use super::compression::Inflow;
use super::conn::Conn;
use super::outbox::offer;
use super::reader::{Greeting, Reader, attend};
use super::resolve;
use super::shared::Shared;
use super::tls::{self, HANDSHAKE_WITHIN, Timely};
use crate::config::GatewayProtocol;
use crate::engine::{Origin, Pin};
use crate::wire::line::{Framer, Limits};
use crate::wire::proxy::Encryption;

/// What one recv takes at most. It lies on the thread's stack, so it is paid for once per client that ever spoke.
const RECEIVE_BYTES: usize = 4096;
/// How a TLS connection begins: a record that holds a handshake.
const TLS_HELLO: u8 = 0x16;

/// Serves one client to its end; `door` is the TLS side of the listener, `None` on a plain one, and `before` what a
/// gateway says of the way from the client to it.
pub fn serve(shared: &Shared, conn: &Arc<Conn>, door: Option<Arc<ServerConfig>>, before: Encryption) {
    log::debug!(target: "folkmoot::client", "{} connected conn={}", conn.address, conn.id.0);
    let secure = door.is_some();
    let greet = || {
        let (agreed, certificate) = door.map(|config| let_in(conn, config)).transpose()?.unzip();
        // Behind a gateway it is the gateway's own.
        let certificate = certificate.flatten().filter(|_| before == Encryption::Unsaid);
        let secure = match before {
            Encryption::Unsaid => agreed,
            Encryption::None => None,
            Encryption::Tls(version) => Some(format!("{version} to the gateway")),
        };
        let name = name_of(shared, conn);
        Ok(Greeting::Opened(Origin::Client { address: conn.address, name, secure, certificate }))
    };
    let read = || {
        let limits = shared.limits();
        let rate = limits.rates.lines.filter(|_| limits.flood);
        let allowance = rate.map(|rate| Allowance::new(rate, conn.id.0, Instant::now()));
        let framer = Framer::new(Limits::CLIENT);
        let reader = Reader {
            shared,
            conn,
            framer,
            allowance,
            pace: None,
            secure,
            inflow: Inflow::Plain,
            slowed: None,
        };
        reader.run(&mut [0; RECEIVE_BYTES], |first| if secure { Ok(()) } else { refuse_tls(conn, first) })
    };
    if let Err(why) = attend(shared, conn, greet, read) {
        log::info!(target: "folkmoot::client", "{} was not let in: {why} conn={}", conn.address, conn.id.0);
    }
}

/// The TLS handshake; says what was agreed on, and which certificate the client showed.
pub(super) fn let_in(conn: &Conn, config: Arc<ServerConfig>) -> Result<(String, Option<Pin>), String> {
    let deadline = Instant::now() + HANDSHAKE_WITHIN;
    let first = Timely { socket: conn.socket(), deadline }.first_byte();
    match first.map_err(|_| "nothing came in time".to_string())? {
        Some(TLS_HELLO) => {}
        None => return Err("closed before the TLS handshake".to_string()),
        Some(_) => {
            // Whoever is there reads plain text, so this can be said.
            let _ = offer(conn.socket(), b"ERROR :This port speaks TLS only\r\n");
            return Err("spoke plain text on a TLS port".to_string());
        }
    }
    let session = rustls::ServerConnection::new(config).map_err(|fault| fault.to_string())?;
    let mut session = rustls::Connection::Server(session);
    tls::shake_hands(&mut session, conn.socket(), deadline)?;
    let agreed = (tls::agreed(&session), tls::shown_pin(&session));
    conn.secure(session);
    Ok(agreed)
}

/// What the client's address is called, where the settings have that asked.
fn name_of(shared: &Shared, conn: &Conn) -> Option<String> {
    let (address, settings) = (conn.address.ip(), shared.dns.read().clone());
    // Whom a gateway brings it names itself.
    let is_wanted = settings.reverse && shared.gateway(address, GatewayProtocol::Webirc).is_none();
    is_wanted.then(|| resolve::name_of(address, &settings)).flatten()
}

fn refuse_tls(conn: &Conn, first: &[u8]) -> Result<(), String> {
    if first[0] != TLS_HELLO {
        return Ok(());
    }
    log::info!(
        target: "folkmoot::client",
        "{} began TLS on a plain port conn={}", conn.address, conn.id.0
    );
    Err("This port does not speak TLS".to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::edge::conn::Kind;
    use crate::edge::inbox::InboxReader;
    use crate::edge::shared::tests::{conn, shared};
    use crate::edge::threads::STACK_BYTES;
    use crate::edge::tls::tests::{listener, trusting_client};
    use crate::engine::{Event, UNWRITTEN_AT_EASE_MAX};

    /// A client's thread as it runs in a server; what it tells the router, and the client's end.
    fn client(door: Option<Arc<ServerConfig>>) -> (Arc<Shared>, InboxReader, TcpStream) {
        let (shared, events) = shared(config::Limits::default());
        let (conn, theirs) = conn(&shared, Kind::Client);
        shared.admit(&conn).unwrap();
        let held = shared.clone();
        shared
            .talkers
            .spawn("client 1".into(), STACK_BYTES, move || serve(&held, &conn, door, Encryption::Unsaid))
            .unwrap();
        (shared, events, theirs)
    }

    /// The next event, in few words.
    fn next(events: &InboxReader) -> String {
        match events.recv_timeout(Duration::from_secs(10)).expect("an event comes") {
            Event::Opened { from: Origin::Client { secure, .. }, .. } => {
                format!("opened {}", secure.as_deref().unwrap_or("plain"))
            }
            Event::Lines { lines, .. } => {
                lines.iter().map(|line| line.unwrap().to_string()).collect::<Vec<_>>().join("|")
            }
            Event::Closed { why, .. } => format!("closed {why}"),
            other => format!("{other:?}"),
        }
    }

    fn ends(shared: &Shared) {
        assert!(shared.talkers.wait(Instant::now() + Duration::from_secs(10)).is_empty());
    }

    #[test]
    fn a_client_opens_speaks_and_closes_once() {
        let (shared, events, mut theirs) = client(None);
        assert_eq!(next(&events), "opened plain");
        theirs.write_all(b"NICK alice\r\nUSER a 0 * :A\r\nJO").unwrap();
        assert_eq!(next(&events), "NICK alice|USER a 0 * :A");
        theirs.write_all(b"IN #green\r\n").unwrap();
        assert_eq!(next(&events), "JOIN #green");
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(next(&events), "closed Connection closed");
        ends(&shared);
        assert!(events.is_empty());
    }

    #[test]
    fn a_tls_client_is_told_apart_and_heard() {
        let door = Arc::new(listener());
        let (shared, events, theirs) = client(Some(door));
        let name = rustls::pki_types::ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
        let session = rustls::ClientConnection::new(Arc::new(trusting_client()), name).unwrap();
        let mut theirs = rustls::StreamOwned::new(session, theirs);
        theirs.write_all(b"NICK alice\r\n").unwrap();
        assert!(next(&events).starts_with("opened TLSv1.3, TLS_"));
        assert_eq!(next(&events), "NICK alice");
        theirs.conn.send_close_notify();
        theirs.flush().unwrap();
        assert_eq!(next(&events), "closed Connection closed");
        ends(&shared);
    }

    #[test]
    fn tls_on_a_plain_port_is_closed() {
        let (shared, events, mut theirs) = client(None);
        theirs.write_all(&[TLS_HELLO, 3, 1, 0, 200]).unwrap();
        assert_eq!(next(&events), "opened plain");
        assert_eq!(next(&events), "closed This port does not speak TLS");
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
        ends(&shared);
    }

    #[test]
    fn plain_text_on_a_tls_port_is_told_so_and_opens_nothing() {
        let door = Arc::new(listener());
        let (shared, events, mut theirs) = client(Some(door));
        theirs.write_all(b"N").unwrap();
        let mut heard = String::new();
        let _ = theirs.read_to_string(&mut heard);
        assert_eq!(heard, "ERROR :This port speaks TLS only\r\n");
        ends(&shared);
        assert!(events.is_empty());
        assert_eq!(shared.connections.read().iter().count(), 0);
    }

    #[test]
    fn who_talks_waits_for_a_disk_that_is_behind_and_nobody_else_does() {
        let (shared, events, mut theirs) = client(None);
        assert_eq!(next(&events), "opened plain");
        shared.room.add(UNWRITTEN_AT_EASE_MAX);
        theirs.write_all(b"PING 1\r\nWHO #green\r\n").unwrap();
        assert_eq!(next(&events), "PING 1|WHO #green");
        theirs.write_all(b"PRIVMSG #green :a\r\nPING 2\r\n").unwrap();
        assert!(events.recv_timeout(Duration::from_millis(300)).is_err());
        shared.room.written(1);
        assert_eq!(next(&events), "PRIVMSG #green :a|PING 2");
        // Who is gone, for whatever reason, waits for nothing.
        theirs.write_all(b"PRIVMSG #green :b\r\n").unwrap();
        let conn = shared.connections.read().iter().next().cloned().unwrap();
        conn.kill("enough");
        assert_eq!(next(&events), "closed enough");
        ends(&shared);
    }

    #[test]
    fn one_who_floods_is_read_slowly_and_loses_nothing() {
        let (shared, events, mut theirs) = client(None);
        assert_eq!(next(&events), "opened plain");
        theirs.write_all(&b"PING a\r\n".repeat(32)).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        let started = Instant::now();
        let (mut lines, mut told) = (0, 0);
        loop {
            let event = next(&events);
            match () {
                () if event.starts_with("closed") => break,
                () if event.starts_with("Slowed") => told += 1,
                () => lines += event.split('|').count(),
            }
        }
        assert_eq!((lines, told), (32, 1));
        assert!(started.elapsed() > Duration::from_millis(500), "two lines above the burst take their time");
        ends(&shared);
    }
}
