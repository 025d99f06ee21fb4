//! The name of an address, asked of the DNS, and believed only where that name has the address too.
//!
//! The system's own resolver would take as long as it likes, and in a static program loads parts of the C library that
//! need not be there: so the few bytes are sent from here.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use crate::config::Dns;
use crate::wire::dns::{self, ANSWER_BYTES_MAX, Kind, Record};
use crate::wire::names::is_host_name;

const SYSTEM_SETTINGS: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// A server that does not answer is asked again, or the next one is, so many times in all.
const ATTEMPTS: u32 = 3;
/// How many names of one address are looked at.
const NAMES_MAX: usize = 3;

/// `None` where there is none, or none that can be believed, or no answer in time.
pub fn name_of(address: IpAddr, settings: &Dns) -> Option<String> {
    let deadline = Instant::now() + settings.within;
    let servers = match settings.servers.is_empty() {
        true => servers_in(&fs::read_to_string(SYSTEM_SETTINGS).unwrap_or_default()),
        false => settings.servers.iter().filter_map(|server| server_at(server)).collect(),
    };
    let names = ask(&servers, &dns::reverse_name(address), Kind::Ptr, deadline)?;
    let kind = if address.is_ipv4() { Kind::A } else { Kind::Aaaa };
    names.into_iter().take(NAMES_MAX).find_map(|record| {
        let Record::Name(name) = record else { return None };
        let name = name.to_ascii_lowercase();
        let is_its_own =
            is_host_name(&name) && ask(&servers, &name, kind, deadline)?.contains(&Record::Address(address));
        is_its_own.then_some(name)
    })
}

fn servers_in(settings: &str) -> Vec<SocketAddr> {
    let words = settings.lines().map(str::split_whitespace);
    let named =
        words.filter_map(|mut words| words.next().filter(|word| *word == "nameserver").and(words.next()));
    named.filter_map(server_at).collect()
}

/// An address, with or without a port.
fn server_at(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, PORT)))
}

/// Asks one server after the other, and again, until one answers or there is no time left.
fn ask(servers: &[SocketAddr], name: &str, kind: Kind, deadline: Instant) -> Option<Vec<Record>> {
    for attempt in 0..ATTEMPTS {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let server = servers.get(attempt as usize % servers.len().max(1))?;
        let until = Instant::now() + left / (ATTEMPTS - attempt);
        if let Ok(Some(records)) = ask_one(*server, name, kind, until) {
            return Some(records);
        }
    }
    None
}

fn ask_one(server: SocketAddr, name: &str, kind: Kind, until: Instant) -> io::Result<Option<Vec<Record>>> {
    // Whoever would answer in the server's place has to guess both this number and the port.
    let mut id = [0; 2];
    SystemRandom::new().fill(&mut id).map_err(|_| io::ErrorKind::Other)?;
    let Some(question) = dns::question(u16::from_be_bytes(id), name, kind) else { return Ok(None) };
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(&question)?;
    let mut message = [0; ANSWER_BYTES_MAX];
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        let count = socket.recv(&mut message)?;
        if let Some(records) = dns::answer(&message[..count], &question, kind) {
            return Ok(Some(records));
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_those_of_the_system() {
        let settings = "# from the router\nnameserver 10.0.0.1\nsearch lan\n nameserver fe80::1%2 \nnameserver ::1 x\nnameserver\n";
        let servers = servers_in(settings);
        assert_eq!(servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(server_at("127.0.0.1:5353"), Some("127.0.0.1:5353".parse().unwrap()));
    }

    #[test]
    fn nobody_waits_longer_than_is_set_for_a_server_that_does_not_answer() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let servers = vec![silent.local_addr().unwrap().to_string()];
        let settings = Dns { reverse: true, within: Duration::from_millis(300), servers };
        let asked = Instant::now();
        assert_eq!(name_of("198.51.100.3".parse().unwrap(), &settings), None);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        // It was asked more than once.
        silent.set_nonblocking(true).unwrap();
        let mut questions = 0;
        while silent.recv(&mut [0; ANSWER_BYTES_MAX]).is_ok() {
            questions += 1;
        }
        assert_eq!(questions, ATTEMPTS);
    }
}
