//! What threads share: every lock, who writes, who reads; and every thread, and what it is there for.
//!
//! | lock | written by | read by |
//! |---|---|---|
//! | `Shared::engine` | the router, once per batch | discovery: `figures()` copies out and lets go; those for whom there is no room: `send_elsewhere()` too |
//! | `Shared::arrivals` | acceptors, the router, and threads of connections that never opened, as clients come and go | |
//! | `Shared::connections` | acceptors and diallers add; the router, and threads of connections that never opened, remove | router, flusher, stop |
//! | `Conn::io`, one each | the router appends and flushes; the connection's own thread feeds TLS; the flusher finishes | |
//! | `Shared::limits`, `Shared::gateways`, `Shared::dns`, `Shared::history` | the router, when the settings were read anew | acceptors, diallers, client threads, the store's writer |
//! | `tls::Shown` | whoever reads the settings anew | client threads, at their handshake |
//! | `Threads::roster`, three | each thread, as it starts and ends | stop |
//! | `inbox` | all who tell the router | the router |
//! | `Room::door` | threads of clients who talk while the disk is behind; whoever makes room for them | |
//!
//! Order: engine, then connections, then one connection's `io`. `arrivals` and the last five of the table are held for a look only, and
//! no other lock is taken meanwhile. Never two `io` locks, and never tell the router anything while holding any lock:
//! the inbox is bounded, and only the router makes room in it.
//!
//! | thread | how many | blocks in |
//! |---|---|---|
//! | `router` | one | the inbox, until the next tick |
//! | `flusher` | one | epoll, on sockets that would take no more |
//! | `accept irc 127.0.0.1:6667` | one per listening socket | accept |
//! | `gateway 10.0.0.1:4711` | one per connection that has yet to say for whom it is | recv |
//! | `client 41`, `full 41`, `link 42`, `link barn` | one per connection | connect, recv, the inbox, its own pace, room in the store |
//! | `verify` | one for two cores | their channel |
//! | `keeper` | one | its own channel |
//! | `store` | one | its own channel, and the disk |
//! | `discovery`, `mDNS_daemon` | one each, or none | poll, until the next question or answer is due |
//! | `signals`, and the one that started all | one each | the next signal, and what it asks for |

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};

use super::arrivals::Arrivals;
use super::conn::{Conn, Kind};
use super::flusher::Flusher;
use super::inbox::{Inbox, InboxReader, Lane, inbox};
use super::store::Room;
use super::threads::{STACK_BYTES, Threads};
use crate::config::{Dns, Gateway, GatewayProtocol, History, Limits};
use crate::engine::{ConnId, Engine, Event};
use crate::wire::cidr::neighbourhood;

/// How many may be at the link listener who have not proved yet that they are of our network; each has seconds to do
/// so. A few addresses together may not use up all of these.
const CALLERS_MAX: usize = 64;
const CALLERS_PER_ADDRESS: usize = 12;
/// How many peers may have called us, however many of them share an address. With the callers well within what is kept
/// free beside the clients.
const PEERS_MAX: usize = 128;

/// How many of those for whom there is no room are told so at once, by whatever that takes; the rest is just let go.
const SURPLUS_MAX: usize = 32;
const SURPLUS_PER_ADDRESS: usize = 8;

pub struct Shared {
    pub engine: RwLock<Engine>,
    pub arrivals: Mutex<Arrivals>,
    pub connections: RwLock<Connections>,
    pub limits: RwLock<Arc<Limits>>,
    pub gateways: RwLock<Arc<[Gateway]>>,
    pub dns: RwLock<Arc<Dns>>,
    pub history: RwLock<Arc<History>>,
    /// For what is to be written to the store.
    pub room: Arc<Room>,
    /// How many connections are yet to say for whom they are.
    pub unproxied: AtomicUsize,
    /// To the router. Bounded: a client that is read faster than the router works waits, and TCP slows it.
    inbox: Inbox,
    pub flusher: Flusher,
    pub counters: Counters,
    /// Threads that let people and peers in.
    pub doors: Threads,
    /// Threads that serve one connection each.
    pub talkers: Threads,
    /// Threads that serve everyone; the process cannot do without any of them.
    pub services: Threads,
    /// What the machine allows, whatever the settings say.
    pub clients_possible: usize,
    pub client_send_buffer_bytes: usize,
    /// No more connections are taken in.
    pub stopping: AtomicBool,
    /// All connections are gone: the router may go too.
    pub finished: AtomicBool,
    last_conn: AtomicU64,
}

impl Shared {
    /// What is told is read by the router.
    pub fn new(
        engine: Engine,
        limits: Limits,
        clients_possible: usize,
        client_send_buffer_bytes: usize,
    ) -> Result<(Shared, InboxReader), String> {
        let (inbox, reader) = inbox();
        let shared = Shared {
            engine: RwLock::new(engine),
            arrivals: Mutex::new(Arrivals::new(Instant::now())),
            connections: RwLock::default(),
            limits: RwLock::new(Arc::new(limits)),
            gateways: RwLock::new(Arc::new([])),
            dns: RwLock::default(),
            history: RwLock::default(),
            room: Arc::default(),
            unproxied: AtomicUsize::new(0),
            inbox,
            flusher: Flusher::new().map_err(|why| format!("cannot watch sockets: {why}"))?,
            counters: Counters::default(),
            doors: Threads::default(),
            talkers: Threads::default(),
            services: Threads::default(),
            clients_possible,
            client_send_buffer_bytes,
            stopping: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            last_conn: AtomicU64::new(0),
        };
        Ok((shared, reader))
    }

    /// Starts a thread that lets people or peers in.
    pub fn keep_door(
        self: &Arc<Shared>,
        name: &str,
        work: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> Result<(), String> {
        let shared = self.clone();
        self.doors.spawn_vital(name, STACK_BYTES, move || work(&shared))
    }

    /// Starts one of the threads that serve everyone.
    pub fn serve(
        self: &Arc<Shared>,
        name: &str,
        stack_bytes: usize,
        work: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> Result<(), String> {
        let shared = self.clone();
        self.services.spawn_vital(name, stack_bytes, move || work(&shared))
    }

    pub fn limits(&self) -> Arc<Limits> {
        self.limits.read().clone()
    }

    /// The gateway whose address this is.
    pub fn gateway(&self, address: IpAddr, protocol: GatewayProtocol) -> Option<Gateway> {
        let gateways = self.gateways.read().clone();
        gateways.iter().find(|gateway| gateway.is_at(address) && gateway.speaks == protocol).cloned()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn next_conn_id(&self) -> ConnId {
        ConnId(self.last_conn.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Tells the router. Blocks while too much waits for it: hold no lock.
    pub fn tell(&self, event: Event) {
        self.inbox.put(Lane::Prompt, event);
    }

    /// Tells the router what comes of a connection, in the lane that is its own; for the connection's own thread.
    pub fn tell_of(&self, conn: &Conn, event: Event) {
        self.inbox.put(conn.enter_lane(), event);
    }

    /// Enters a connection into the table, if there is room for it.
    pub fn admit(&self, conn: &Arc<Conn>) -> Result<(), NoRoom> {
        let limits = self.limits();
        let bounds = match conn.kind {
            Kind::Client => {
                let address = conn.address.ip();
                let is_gateway = self.gateway(address, GatewayProtocol::Webirc).is_some();
                let mut arrivals = self.arrivals.lock();
                match is_gateway {
                    // Bounded by where it is for, once that is known.
                    true => arrivals.count(conn.id, address, &limits, Instant::now()),
                    false => arrivals.arrive(conn.id, address, &limits, Instant::now())?,
                }
                Bounds { total: limits.clients_max.min(self.clients_possible), per_address: 0 }
            }
            Kind::Surplus => Bounds { total: SURPLUS_MAX, per_address: SURPLUS_PER_ADDRESS },
            Kind::Caller => Bounds { total: CALLERS_MAX, per_address: CALLERS_PER_ADDRESS },
            Kind::Called => Bounds { total: usize::MAX, per_address: 0 },
        };
        let admitted = self.connections.write().insert(conn, bounds);
        if admitted.is_err() {
            self.arrivals.lock().leave(conn.id);
        }
        admitted
    }

    /// A client has registered.
    pub fn settle(&self, conn: ConnId) {
        self.arrivals.lock().settle(conn);
    }

    /// A caller has become a peer: it makes room for the next caller.
    pub fn prove(&self, conn: ConnId) -> Result<(), &'static str> {
        self.connections.write().prove(conn, PEERS_MAX)
    }

    /// Takes a connection out of the table; whoever else holds it may still use it.
    pub fn forget(&self, conn: ConnId) -> Option<Arc<Conn>> {
        self.arrivals.lock().leave(conn);
        self.connections.write().remove(conn)
    }
}

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    pub events: AtomicU64,
    /// Of those, how many came from connections that others went before.
    pub patient_events: AtomicU64,
    pub batches: AtomicU64,
    /// Sends that a socket would not take at once.
    pub blocked: AtomicU64,
    /// Connections given up because they did not read what was sent to them.
    pub slow_readers: AtomicU64,
}

impl Counters {
    pub fn count(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

/// Why a connection is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    Full,
    AddressFull,
    NetworkFull,
    /// Too many have yet to register.
    Crowded,
    TooFast,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoRoom::Full => "This server is full, try another one or come back later",
            NoRoom::AddressFull => "Too many connections from your address",
            NoRoom::NetworkFull => "Too many connections from your network",
            NoRoom::Crowded => "Too many are connecting at the moment, try again in a while",
            NoRoom::TooFast => "You connect too often, try again in a while",
        })
    }
}

/// How many connections of one kind there may be; `per_address` zero is no limit.
#[derive(Clone, Copy)]
struct Bounds {
    total: usize,
    per_address: usize,
}

/// Every connection that the router may have to reach.
#[derive(Default)]
pub struct Connections {
    /// The router looks up one per recipient of each line, which makes std's hasher too dear. Ids are given out one by one
    /// by us, so nobody can choose them to collide.
    by_id: FxHashMap<ConnId, Arc<Conn>>,
    total: HashMap<Kind, usize>,
    per_address: HashMap<(Kind, IpAddr), usize>,
    /// Callers who have become peers, and do not count as callers any more.
    peers: FxHashSet<ConnId>,
}

impl Connections {
    pub fn get(&self, id: ConnId) -> Option<&Arc<Conn>> {
        self.by_id.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Conn>> {
        self.by_id.values()
    }

    fn insert(&mut self, conn: &Arc<Conn>, bounds: Bounds) -> Result<(), NoRoom> {
        let total = self.total.entry(conn.kind).or_default();
        if *total >= bounds.total {
            return Err(NoRoom::Full);
        }
        let same_address = self.per_address.entry((conn.kind, neighbourhood(conn.address.ip()))).or_default();
        if bounds.per_address != 0 && *same_address >= bounds.per_address {
            return Err(NoRoom::AddressFull);
        }
        *total += 1;
        *same_address += 1;
        self.by_id.insert(conn.id, conn.clone());
        Ok(())
    }

    fn remove(&mut self, id: ConnId) -> Option<Arc<Conn>> {
        let conn = self.by_id.remove(&id)?;
        if !self.peers.remove(&id) {
            self.release(&conn);
        }
        Some(conn)
    }

    fn prove(&mut self, id: ConnId, peers_max: usize) -> Result<(), &'static str> {
        // Whom we called ourselves never took a place.
        let Some(conn) = self.by_id.get(&id).filter(|conn| conn.kind == Kind::Caller).cloned() else {
            return Ok(());
        };
        if self.peers.contains(&id) {
            return Ok(());
        }
        if self.peers.len() >= peers_max {
            return Err("this server has as many peers as it can hold");
        }
        self.peers.insert(id);
        self.release(&conn);
        Ok(())
    }

    /// Somebody else may have its place.
    fn release(&mut self, conn: &Conn) {
        if let Some(total) = self.total.get_mut(&conn.kind) {
            *total -= 1;
        }
        let key = (conn.kind, neighbourhood(conn.address.ip()));
        if let Some(same_address) = self.per_address.get_mut(&key) {
            *same_address -= 1;
            if *same_address == 0 {
                self.per_address.remove(&key);
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::engine::{Identity, Pin};
    use crate::wire::names::{ServerId, ServerName};
    use crate::wire::time::Now;

    pub fn identity() -> Identity {
        Identity {
            sid: ServerId::parse("7FA").unwrap(),
            name: ServerName::parse("hall.lan").unwrap(),
            epoch: 1,
            secret: b"sixteen characters and more".to_vec(),
            pin: Pin([7; 32]),
            clock_floor_ms: 0,
            seed: [7; 32],
            version: "folkmoot-test".to_string(),
        }
    }

    /// What threads share, and what the router would read, for the test to hold.
    pub fn shared(limits: Limits) -> (Arc<Shared>, InboxReader) {
        let config = crate::config::Config { limits: limits.clone(), ..Default::default() };
        let engine = Engine::new(config, identity(), Now::default());
        let (shared, events) = Shared::new(engine, limits, usize::MAX, 8 << 10).unwrap();
        (Arc::new(shared), events)
    }

    /// Two ends of one TCP connection over loopback: (ours, theirs).
    pub fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, theirs)
    }

    /// Our end of a connection, not yet in any table, and their end.
    pub fn conn(shared: &Shared, kind: Kind) -> (Arc<Conn>, TcpStream) {
        let (ours, theirs) = pair();
        let address = ours.peer_addr().unwrap();
        let conn = Conn::new(shared.next_conn_id(), kind, address, ours, shared.limits().send_queue);
        (Arc::new(conn), theirs)
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let (shared, _events) = shared(Limits { connections_per_address: 2, ..Limits::default() });
        let conns: Vec<_> = (0..3).map(|_| conn(&shared, Kind::Client)).collect();
        assert_eq!(shared.admit(&conns[0].0), Ok(()));
        assert_eq!(shared.admit(&conns[1].0), Ok(()));
        assert!(shared.admit(&conns[2].0).unwrap_err() == NoRoom::AddressFull);
        shared.forget(conns[0].0.id).unwrap();
        assert_eq!(shared.admit(&conns[2].0), Ok(()));
        // Peers do not take room from clients, nor clients from peers.
        assert_eq!(shared.admit(&conn(&shared, Kind::Caller).0), Ok(()));
        assert_eq!(shared.connections.read().iter().count(), 3);
    }

    #[test]
    fn who_has_proved_to_be_a_peer_takes_no_callers_place() {
        let (shared, _events) = shared(Limits::default());
        let caller = || conn(&shared, Kind::Caller).0;
        let peers: Vec<_> = (0..PEERS_MAX).map(|_| caller()).collect();
        for peer in &peers {
            assert_eq!(shared.admit(peer), Ok(()));
            assert_eq!(shared.prove(peer.id), Ok(()));
        }
        let callers: Vec<_> = (0..CALLERS_PER_ADDRESS).map(|_| caller()).collect();
        callers.iter().for_each(|caller| assert_eq!(shared.admit(caller), Ok(())));
        assert_eq!(shared.admit(&caller()), Err(NoRoom::AddressFull));
        assert!(shared.prove(callers[0].id).unwrap_err().contains("as many peers"));
        // A peer that goes makes room for a peer, and for no more callers.
        shared.forget(peers[0].id).unwrap();
        assert!(shared.admit(&caller()).is_err());
        assert_eq!((shared.prove(callers[0].id), shared.prove(callers[0].id)), (Ok(()), Ok(())));
        assert_eq!(shared.admit(&caller()), Ok(()));
    }

    #[test]
    fn three_addresses_cannot_keep_a_fourth_from_calling() {
        let (shared, _events) = shared(Limits::default());
        let caller = |host: u8| {
            let address = (([10, 0, 0, host]), 5000).into();
            let (ours, _theirs) = pair();
            Arc::new(Conn::new(shared.next_conn_id(), Kind::Caller, address, ours, 1 << 20))
        };
        let mut taken = 0;
        for host in 1..=3 {
            taken += (0..CALLERS_MAX).filter(|_| shared.admit(&caller(host)).is_ok()).count();
        }
        assert_eq!(taken, 3 * CALLERS_PER_ADDRESS);
        assert_eq!(shared.admit(&caller(4)), Ok(()));
    }

    #[test]
    fn a_full_server_says_so() {
        let (shared, _events) = shared(Limits { clients_max: 1, ..Limits::default() });
        assert_eq!(shared.admit(&conn(&shared, Kind::Client).0), Ok(()));
        assert!(shared.admit(&conn(&shared, Kind::Client).0).unwrap_err() == NoRoom::Full);
        // Those few who are told so take no room from clients, nor from each other for long.
        assert_eq!(shared.admit(&conn(&shared, Kind::Surplus).0), Ok(()));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            let [one, other]: [IpAddr; 2] = [one, other].map(|text| text.parse().unwrap());
            assert_eq!(neighbourhood(one) == neighbourhood(other), same, "{one} {other}");
        }
    }
}
