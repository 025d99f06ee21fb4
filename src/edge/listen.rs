//! Takes connections in: listening sockets, one thread each, and a word to those for whom there is no room.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::client;
use super::conn::{Conn, Kind};
use super::link;
use super::outbox::offer;
use super::proxy;
use super::running::Services;
use super::shared::{Counters, NoRoom, Shared};
use super::socket;
use super::surplus;
use super::threads::STACK_BYTES;
use crate::config::{self, GatewayProtocol};
use crate::wire::proxy::Encryption;

/// How many callers the system lets wait while we are busy; after a restart they all come at once.
const BACKLOG: i32 = 1024;
/// How often the log says that callers are refused.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// How many connections may be at once of which gateways have yet to say for whom they are.
const UNPROXIED_MAX: usize = 256;
/// How long to wait when the system has nothing left to take a connection in with.
const SCARCE_WAIT: Duration = Duration::from_millis(100);

/// What is spoken behind a listening socket.
#[derive(Clone)]
pub enum Door {
    Irc,
    Ircs(Arc<ServerConfig>),
    Link(Arc<link::Door>),
}

/// The name of the list in `[listen]`.
impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Door::Irc => "irc",
            Door::Ircs(_) => "ircs",
            Door::Link(_) => "link",
        })
    }
}

/// A listening socket, and what is behind it.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    door: Door,
}

/// All that `[listen]` names, before anyone is taken in; or the first that cannot be had.
pub fn bind_all(
    listen: &config::Listen,
    clients: &Arc<ServerConfig>,
    mesh: &Arc<link::Door>,
) -> Result<(Vec<Arc<Listener>>, Services), String> {
    let mut listeners = Vec::new();
    let mut bind_list = |names: &[String], door: Door| -> Result<Vec<SocketAddr>, String> {
        let bound = bind(names, &door)?;
        let addresses = bound.iter().map(|listener| listener.address).collect();
        listeners.extend(bound.into_iter().map(Arc::new));
        Ok(addresses)
    };
    let services = Services {
        irc: bind_list(&listen.irc, Door::Irc)?,
        ircs: bind_list(&listen.ircs, Door::Ircs(clients.clone()))?,
        link: bind_list(&listen.link, Door::Link(mesh.clone()))?,
    };
    Ok((listeners, services))
}

fn bind(names: &[String], door: &Door) -> Result<Vec<Listener>, String> {
    let mut wanted: Vec<SocketAddr> = Vec::new();
    for name in names {
        let found = name
            .to_socket_addrs()
            .map_err(|fault| format!("listen.{door}: \"{name}\" is no address: {fault}"))?;
        for address in found {
            if !wanted.contains(&address) {
                wanted.push(address);
            }
        }
    }
    let mut bound = Vec::new();
    for &address in &wanted {
        // `[::]` takes IPv4 in too, unless that was asked for beside it.
        let v6_only = wanted.iter().any(|other| other.is_ipv4() && other.port() == address.port());
        match bind_one(address, v6_only) {
            Ok(socket) => {
                let address = socket.local_addr().map_err(|fault| fault.to_string())?;
                bound.push(Listener { socket, address, door: door.clone() });
            }
            Err(fault) => return Err(why_not(door, address, &fault)),
        }
    }
    Ok(bound)
}

fn bind_one(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn why_not(door: &Door, address: SocketAddr, fault: &io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {} is taken: another program listens on {address}, which listen.{door} names; stop it, or choose \
             another port",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {} may not be used by this user: listen.{door} names {address}; choose a port above 1023",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is not an address of this machine: listen.{door} names it")
        }
        _ => format!("cannot listen on {address}, which listen.{door} names: {fault}"),
    }
}

impl Listener {
    /// What its thread is called.
    pub fn name(&self) -> String {
        format!("accept {} {}", self.door, self.address)
    }

    /// Takes connections in until `close`.
    pub fn run(&self, shared: &Arc<Shared>) {
        let mut refusals = Refusals::default();
        while !shared.is_stopping() {
            match self.socket.accept() {
                Ok((socket, from)) => {
                    Counters::count(&shared.counters.accepted, 1);
                    // Behind `[::]`, IPv4 comes in the clothes of IPv6.
                    let address = SocketAddr::new(from.ip().to_canonical(), from.port());
                    let taken = match self.is_gateway(shared, address) {
                        true => self.take_in_from_gateway(shared, socket, address),
                        false => self.door.take_in(shared, socket, address, Encryption::Unsaid),
                    };
                    if let Err(why) = taken {
                        Counters::count(&shared.counters.refused, 1);
                        refusals.note(&address, &why);
                    }
                }
                Err(_) if shared.is_stopping() => {}
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                // They were gone before we came to them.
                Err(fault) if fault.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(fault) => {
                    refusals.note(&self.name(), &format!("the system takes no more connections: {fault}"));
                    std::thread::sleep(SCARCE_WAIT);
                }
            }
        }
    }

    /// Whether whoever calls from there calls for others.
    fn is_gateway(&self, shared: &Shared, address: SocketAddr) -> bool {
        let is_for_clients = !matches!(self.door, Door::Link(_));
        is_for_clients && shared.gateway(address.ip(), GatewayProtocol::Proxy).is_some()
    }

    /// Hears for whom a connection is, in a thread of its own; then it is taken in as if it came from there.
    fn take_in_from_gateway(
        &self,
        shared: &Arc<Shared>,
        socket: TcpStream,
        address: SocketAddr,
    ) -> Result<(), String> {
        if shared.unproxied.fetch_add(1, Ordering::Relaxed) >= UNPROXIED_MAX {
            shared.unproxied.fetch_sub(1, Ordering::Relaxed);
            return Err("Too many connections have yet to say for whom they are".to_string());
        }
        let (held, door) = (shared.clone(), self.door.clone());
        let spawned = shared.doors.spawn(format!("gateway {address}"), STACK_BYTES, move || {
            let header = proxy::receive(&socket);
            held.unproxied.fetch_sub(1, Ordering::Relaxed);
            if held.is_stopping() {
                return;
            }
            let taken = header.and_then(|header| {
                let source = header.source.unwrap_or(address);
                let source = SocketAddr::new(source.ip().to_canonical(), source.port());
                door.take_in(&held, socket, source, header.encryption)
                    .map_err(|why| format!("{source}, whom it brought: {why}"))
            });
            if let Err(why) = taken {
                Counters::count(&held.counters.refused, 1);
                log::info!(target: "folkmoot::client", "the gateway at {address} was refused: {why}");
            }
        });
        spawned.map_err(|fault| {
            shared.unproxied.fetch_sub(1, Ordering::Relaxed);
            format!("The server has no thread for you: {fault}")
        })
    }

    /// Lets nobody else in, and wakes the thread.
    pub fn close(&self) {
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }
}

impl Door {
    fn take_in(
        &self,
        shared: &Arc<Shared>,
        socket: TcpStream,
        address: SocketAddr,
        before: Encryption,
    ) -> Result<(), String> {
        let limits = shared.limits();
        let (kind, waiting_bytes_max) = match self {
            Door::Irc | Door::Ircs(_) => (Kind::Client, limits.send_queue),
            Door::Link(_) => (Kind::Caller, link::WAITING_BYTES_MAX),
        };
        socket::prepare(&socket, kind, &limits, shared.client_send_buffer_bytes)
            .map_err(|fault| fault.to_string())?;
        let mut conn = Arc::new(Conn::new(shared.next_conn_id(), kind, address, socket, waiting_bytes_max));
        let why = match shared.admit(&conn) {
            Ok(()) => match self.serve(shared, &conn, before.clone()) {
                Ok(()) => return Ok(()),
                Err(fault) => format!("The server has no thread for you: {fault}"),
            },
            Err(NoRoom::Full) if kind == Kind::Client => {
                Arc::get_mut(&mut conn).expect("it is in no table").kind = Kind::Surplus;
                // Elsewhere there is time for TLS, and for more words.
                if shared.admit(&conn).is_ok() && self.serve(shared, &conn, before).is_ok() {
                    return Err(NoRoom::Full.to_string());
                }
                NoRoom::Full.to_string()
            }
            Err(no_room) => no_room.to_string(),
        };
        if let Door::Irc = self {
            // Behind TLS nobody could read this.
            let _ = offer(conn.socket(), format!("ERROR :{why}\r\n").as_bytes());
        }
        Err(why)
    }

    /// Gives a connection its thread; where there is none to be had, it is forgotten.
    fn serve(&self, shared: &Arc<Shared>, conn: &Arc<Conn>, before: Encryption) -> io::Result<()> {
        let (who, id, is_surplus) = (conn.address.ip(), conn.id.0, conn.kind == Kind::Surplus);
        let name = match self {
            Door::Irc | Door::Ircs(_) if is_surplus => format!("full {id}"),
            Door::Irc | Door::Ircs(_) => format!("client {id}"),
            Door::Link(_) => format!("link {who}"),
        };
        let (held, own, door) = (shared.clone(), conn.clone(), self.clone());
        let spawned = shared.talkers.spawn(name, STACK_BYTES, move || match door {
            Door::Irc if is_surplus => surplus::serve(&held, &own, None),
            Door::Irc => client::serve(&held, &own, None, before),
            Door::Ircs(config) if is_surplus => surplus::serve(&held, &own, Some(config)),
            Door::Ircs(config) => client::serve(&held, &own, Some(config), before),
            Door::Link(door) => link::answer(&held, &own, &door),
        });
        spawned.inspect_err(|_| drop(shared.forget(conn.id)))
    }
}

/// Those who could not be taken in: in the log now and then, however many they are.
#[derive(Default)]
struct Refusals {
    since_told: u64,
    told_at: Option<Instant>,
}

impl Refusals {
    fn note(&mut self, whom: &dyn fmt::Display, why: &str) {
        self.since_told += 1;
        if self.told_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            log::warn!(
                target: "folkmoot::server",
                "{whom} was refused: {why} refused_since_last_told={}", self.since_told
            );
            *self = Refusals { since_told: 0, told_at: Some(Instant::now()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = bind(&names(&["127.0.0.1:0"]), &Door::Irc).unwrap();
        let address = taken[0].address;
        let fault = bind(&names(&[&address.to_string()]), &Door::Irc).map(|_| ()).unwrap_err();
        assert!(fault.contains(&format!("port {} is taken", address.port())), "{fault}");
        assert!(fault.contains("listen.irc"), "{fault}");
    }

    #[test]
    fn what_is_no_address_is_named() {
        let fault = bind(&names(&["6667"]), &Door::Irc).map(|_| ()).unwrap_err();
        assert!(fault.contains("listen.irc: \"6667\""), "{fault}");
    }

    #[test]
    fn both_families_can_have_one_port() {
        let Ok(v6) = bind(&names(&["[::]:0"]), &Door::Irc) else {
            return; // This machine has no IPv6.
        };
        let port = v6[0].address.port();
        // Alone, it takes IPv4 in as well.
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(v6);
        let both = names(&[&format!("0.0.0.0:{port}"), &format!("[::]:{port}")]);
        assert_eq!(bind(&both, &Door::Irc).unwrap().len(), 2);
    }
}
