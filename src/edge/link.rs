//! One peer link's thread: calls or is called, proves by TLS who is there, then reads.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig, ServerConnection, StreamOwned};

use super::compression::Inflow;
use super::conn::{Conn, Kind};
use super::invite;
use super::pace::Pace;
use super::reader::{Greeting, Reader, attend};
use super::shared::Shared;
use super::socket;
use super::threads::ROOMY_STACK_BYTES;
use super::tls::{self, HANDSHAKE_WITHIN, JOIN_PROTOCOL, LINK_PROTOCOL, PeerProof};
use crate::engine::{AskId, Event, Origin, Pin};
use crate::wire::line::{Framer, Limits};

/// How much may wait for a peer. More means that the link cannot keep up, and is better cut and resynced.
pub const WAITING_BYTES_MAX: usize = 8 << 20;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Links carry what many people say; there are few of them.
const RECEIVE_BYTES: usize = 64 << 10;

/// What the link listener offers: links, and a way into the network for those who were invited.
pub struct Door {
    pub server: Arc<ServerConfig>,
    pub host: invite::Host,
}

/// A peer that the engine wants called.
#[derive(Debug)]
pub struct Call {
    pub ask: AskId,
    pub name: String,
    pub address: String,
    pub pin: Option<Pin>,
}

/// Serves a connection of someone who called us, to its end.
pub fn answer(shared: &Shared, conn: &Arc<Conn>, door: &Door) {
    if let Err(why) = attend(shared, conn, || receive(conn, door), || read(shared, conn)) {
        log::info!(
            target: "folkmoot::link",
            "{} called and was not let in: {why} conn={}", conn.address, conn.id.0
        );
    }
}

/// Calls a peer, on a thread of its own.
pub fn dial(shared: &Arc<Shared>, config: &Arc<ClientConfig>, call: Call) -> Result<(), String> {
    let name = format!("link {}", call.name);
    let (shared, config) = (shared.clone(), config.clone());
    let threads = shared.talkers.clone();
    let work = move || {
        let (ask, name, address) = (call.ask, call.name.clone(), call.address.clone());
        if let Err(why) = reach(&shared, &config, call) {
            log::debug!(target: "folkmoot::link", "{name} was not reached: {why} address={address}");
            shared.tell(Event::DialFailed { ask, why });
        }
    };
    // How much stack the system's look-up of names takes is up to its plugins.
    threads.spawn(name, ROOMY_STACK_BYTES, work).map_err(|why| format!("no thread for it: {why}"))
}

fn reach(shared: &Shared, config: &Arc<ClientConfig>, call: Call) -> Result<(), String> {
    let (socket, address) = connect(&call.address)?;
    let limits = shared.limits();
    socket::prepare(&socket, Kind::Called, &limits, 0).map_err(|fault| fault.to_string())?;
    let conn = Conn::new(shared.next_conn_id(), Kind::Called, address, socket, WAITING_BYTES_MAX);
    let conn = Arc::new(conn);
    shared.admit(&conn).map_err(|no_room| no_room.to_string())?;
    // Whoever stops the server looks into the table once, so we look after we are in it.
    if shared.is_stopping() {
        shared.forget(conn.id);
        return Err("the server is stopping".to_string());
    }
    attend(shared, &conn, || introduce(&conn, config, &call), || read(shared, &conn))
}

fn connect(address: &str) -> Result<(TcpStream, SocketAddr), String> {
    let deadline = Instant::now() + CONNECT_WITHIN;
    let found =
        address.to_socket_addrs().map_err(|fault| format!("{address} cannot be looked up: {fault}"))?;
    let mut why = format!("{address} has no address");
    for candidate in found {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&candidate, left) {
            Ok(socket) => return Ok((socket, candidate)),
            Err(fault) => why = format!("{candidate}: {fault}"),
        }
    }
    Err(why)
}

/// The handshake of the side that was called.
fn receive(conn: &Conn, door: &Door) -> Result<Greeting, String> {
    let session = ServerConnection::new(door.server.clone()).map_err(|fault| fault.to_string())?;
    let mut session = rustls::Connection::Server(session);
    tls::shake_hands(&mut session, conn.socket(), Instant::now() + HANDSHAKE_WITHIN)?;
    let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
    match (protocol.as_deref(), session) {
        (Some(LINK_PROTOCOL), session) => opened(conn, session, None),
        (Some(JOIN_PROTOCOL), rustls::Connection::Server(session)) => let_join(conn, session, &door.host),
        _ => Err("it speaks no protocol that we know".to_string()),
    }
}

/// Serves someone with an invite; that is no link yet.
fn let_join(conn: &Conn, session: ServerConnection, host: &invite::Host) -> Result<Greeting, String> {
    let fault = |fault: io::Error| fault.to_string();
    let socket = conn.socket().try_clone().map_err(fault)?;
    socket.set_write_timeout(Some(HANDSHAKE_WITHIN)).map_err(fault)?;
    let said = invite::admit(&mut StreamOwned::new(session, socket), host)?;
    log::info!(target: "folkmoot::link", "{} {said} conn={}", conn.address, conn.id.0);
    Ok(Greeting::Served)
}

/// The handshake of the side that called.
fn introduce(conn: &Conn, config: &Arc<ClientConfig>, call: &Call) -> Result<Greeting, String> {
    let name = ServerName::IpAddress(conn.address.ip().into());
    let session = rustls::ClientConnection::new(config.clone(), name).map_err(|fault| fault.to_string())?;
    let mut session = rustls::Connection::Client(session);
    tls::shake_hands(&mut session, conn.socket(), Instant::now() + HANDSHAKE_WITHIN)?;
    if session.alpn_protocol() != Some(LINK_PROTOCOL) {
        return Err("it speaks no protocol that we know".to_string());
    }
    opened(conn, session, Some(call))
}

fn opened(conn: &Conn, session: rustls::Connection, call: Option<&Call>) -> Result<Greeting, String> {
    let PeerProof { pin, exporter } = tls::peer_proof(&session)?;
    if let Some(expected) = call.and_then(|call| call.pin)
        && expected != pin
    {
        return Err(format!("pin mismatch: expected {expected}, and it shows {pin}"));
    }
    conn.secure(session);
    let dialled = call.map(|call| call.ask);
    Ok(Greeting::Opened(Origin::Peer { address: conn.address, dialled, pin, exporter }))
}

fn read(shared: &Shared, conn: &Conn) -> String {
    let framer = Framer::new(Limits::PEER);
    let limits = shared.limits();
    let pace = if limits.flood { Pace::new(limits.link_bytes_per_second, Instant::now()) } else { None };
    let inflow = Inflow::PlainYet;
    let reader = Reader { shared, conn, framer, allowance: None, pace, secure: true, inflow, slowed: None };
    reader.run(&mut vec![0; RECEIVE_BYTES], |_first| Ok(()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config;
    use crate::edge::identity::Certificate;
    use crate::edge::inbox::InboxReader;
    use crate::edge::outbox::Due;
    use crate::edge::secrets::SecretBook;
    use crate::edge::shared::tests::shared;
    use crate::edge::threads::STACK_BYTES;
    use crate::edge::tls::tests::certificate;

    /// A server that answers one call, and what it hears.
    fn answering(own: &Certificate) -> (Arc<Shared>, InboxReader, String) {
        let (shared, events) = shared(config::Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let host = invite::Host {
            data: std::env::temp_dir(),
            name: "hall.lan".into(),
            network: "Folkmoot".into(),
            secrets: Arc::new(SecretBook::of("sixteen characters and more")),
        };
        let door = Door { server: Arc::new(tls::mesh_server(own).unwrap()), host };
        let held = shared.clone();
        let work = move || {
            let (socket, address) = listener.accept().unwrap();
            let id = held.next_conn_id();
            let conn = Arc::new(Conn::new(id, Kind::Caller, address, socket, WAITING_BYTES_MAX));
            held.admit(&conn).unwrap();
            answer(&held, &conn, &door);
        };
        shared.talkers.spawn("link caller".into(), STACK_BYTES, work).unwrap();
        (shared, events, address)
    }

    fn call(own: &Certificate, address: String, pin: Option<Pin>) -> (Arc<Shared>, InboxReader) {
        let (shared, events) = shared(config::Limits::default());
        let config = Arc::new(tls::mesh_client(own, LINK_PROTOCOL).unwrap());
        let call = Call { ask: AskId(7), name: "hall".into(), address, pin };
        dial(&shared, &config, call).unwrap();
        (shared, events)
    }

    fn next(events: &InboxReader) -> Event {
        events.recv_timeout(Duration::from_secs(10)).expect("an event comes")
    }

    #[test]
    fn a_peer_that_is_called_opens_on_both_sides_with_one_secret() {
        let (hall, barn) = (certificate(), certificate());
        let (answering, heard, address) = answering(&hall);
        let (calling, told) = call(&barn, address, Some(hall.pin()));
        let Event::Opened { conn, from: Origin::Peer { dialled, pin, exporter, .. } } = next(&told) else {
            panic!("the caller opens");
        };
        assert_eq!((dialled, pin), (Some(AskId(7)), hall.pin()));
        let Event::Opened { from: Origin::Peer { dialled: None, pin, exporter: theirs, .. }, .. } =
            next(&heard)
        else {
            panic!("the called opens");
        };
        assert_eq!((pin, theirs), (barn.pin(), exporter));

        let line = format!("PING {}", "x".repeat(3000));
        let conn = calling.connections.read().get(conn).cloned().unwrap();
        assert!(conn.append(&line, Due::AtOnce, &calling));
        conn.flush(&calling);
        let Event::Lines { lines, .. } = next(&heard) else { panic!("a line arrives") };
        assert!(lines.iter().eq([Ok(line.as_str())]));

        conn.end("enough", &calling);
        assert!(matches!(next(&heard), Event::Closed { why, .. } if why == "Connection closed"));
        // As the router does once it has seen `Closed`.
        answering.connections.read().iter().for_each(|conn| drop(conn.kill("")));
        assert!(matches!(next(&told), Event::Closed { why, .. } if why == "enough"));
    }

    #[test]
    fn another_pin_than_the_expected_one_is_no_link() {
        let (hall, barn) = (certificate(), certificate());
        let (_answering, heard, address) = answering(&hall);
        let (calling, told) = call(&barn, address, Some(barn.pin()));
        let Event::DialFailed { ask, why } = next(&told) else { panic!("the call fails") };
        assert_eq!(ask, AskId(7));
        assert!(why.starts_with("pin mismatch"), "{why}");
        assert_eq!(calling.connections.read().iter().count(), 0);
        // They had let us in, and hear that we went.
        assert!(matches!(next(&heard), Event::Opened { .. }));
        assert!(matches!(next(&heard), Event::Closed { .. }));
    }

    #[test]
    fn a_call_that_nobody_takes_fails() {
        let address = {
            let gone = TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap().to_string()
        };
        let (_calling, told) = call(&certificate(), address.clone(), None);
        let Event::DialFailed { why, .. } = next(&told) else { panic!("the call fails") };
        assert!(why.contains(&address), "{why}");
    }
}
