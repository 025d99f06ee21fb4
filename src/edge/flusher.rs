//! The thread that goes on where a socket would take no more: an epoll set that sees only those sockets.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};

use super::shared::Shared;
use crate::engine::ConnId;

/// No connection's id: the call to stop.
const STOP: u64 = u64::MAX;
/// How many sockets one wait reports at most.
const EVENTS_PER_WAIT: usize = 64;

pub struct Flusher {
    sockets: OwnedFd,
    stop: OwnedFd,
}

impl Flusher {
    pub fn new() -> io::Result<Flusher> {
        let sockets = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        epoll::add(&sockets, &stop, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
        Ok(Flusher { sockets, stop })
    }

    /// Reports that socket once, as soon as it has room. A closed socket leaves the set by itself.
    pub fn watch(&self, socket: &TcpStream, conn: ConnId, known: bool) -> io::Result<()> {
        let data = epoll::EventData::new_u64(conn.0);
        let once = epoll::EventFlags::OUT | epoll::EventFlags::ONESHOT;
        let outcome = if known {
            epoll::modify(&self.sockets, socket, data, once)
        } else {
            epoll::add(&self.sockets, socket, data, once)
        };
        Ok(outcome?)
    }

    /// Works until `stop`.
    pub fn run(&self, shared: &Shared) {
        let mut events = Vec::with_capacity(EVENTS_PER_WAIT);
        loop {
            events.clear();
            match epoll::wait(&self.sockets, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(fault) => panic!("epoll refuses a set that we made: {fault}"),
            }
            for event in &events {
                let id = event.data.u64();
                if id == STOP {
                    return;
                }
                let conn = shared.connections.read().get(ConnId(id)).cloned();
                if let Some(conn) = conn {
                    conn.resume(shared);
                }
            }
        }
    }

    pub fn stop(&self) {
        // Only a full counter could refuse, and then the flusher is awake already.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
    }
}
