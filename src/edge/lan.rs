//! The directly connected networks: which addresses are near, and the sockets and places to call out at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::time::Duration;

use if_addrs::IfAddr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

/// The multicast group for IPv6, which has no broadcast: link-local, and "folk" in its last four bytes.
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x666f, 0x6c6b);

/// One address of this machine, and the network it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    pub address: IpAddr,
    prefix_bits: u8,
    index: u32,
}

/// All addresses of this machine.
pub fn interfaces() -> Vec<Interface> {
    let found = if_addrs::get_if_addrs().unwrap_or_else(|why| {
        log::warn!(target: "folkmoot::server", "the network interfaces cannot be listed: {why}");
        Vec::new()
    });
    let mut found: Vec<Interface> = found
        .into_iter()
        .map(|interface| Interface {
            address: interface.ip(),
            prefix_bits: match &interface.addr {
                IfAddr::V4(address) => address.prefixlen,
                IfAddr::V6(address) => address.prefixlen,
            },
            index: interface.index.unwrap_or(0),
        })
        .collect();
    found.sort_by_key(|interface| (interface.address, interface.index));
    found
}

impl Interface {
    /// Whether an address can be reached through this one without a router between.
    pub fn is_near(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.prefix_bits);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u32::from(own) ^ u32::from(other)).checked_shr(32 - bits.min(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (u128::from(own) ^ u128::from(other)).checked_shr(128 - bits.min(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Where to call so that everyone on this network hears it.
    ///
    /// Computed rather than asked for: the loopback network has such an address too, by which servers on one
    /// machine find each other, and the system does not list it.
    fn everyone(&self, port: u16) -> Option<SocketAddr> {
        match self.address {
            IpAddr::V4(own) if self.prefix_bits < 31 => {
                let hosts = u32::MAX.checked_shr(u32::from(self.prefix_bits)).unwrap_or(0);
                Some(SocketAddrV4::new(Ipv4Addr::from(u32::from(own) | hosts), port).into())
            }
            IpAddr::V4(_) => None,
            IpAddr::V6(own) if own.is_loopback() => None,
            IpAddr::V6(_) => Some(SocketAddrV6::new(GROUP, port, 0, self.index).into()),
        }
    }
}

/// Where to call so that everyone near hears it, each with the address of ours that it is said from; `None` where
/// the system chooses it.
pub fn everyone(interfaces: &[Interface], port: u16) -> Vec<(Option<IpAddr>, SocketAddr)> {
    let mut places = vec![(None, SocketAddrV4::new(Ipv4Addr::BROADCAST, port).into())];
    for interface in interfaces {
        let Some(place) = interface.everyone(port) else { continue };
        if !places.iter().any(|(_, known)| *known == place) {
            // To an IPv6 group the system always speaks from the link-local address.
            places.push((Some(interface.address).filter(IpAddr::is_ipv4), place));
        }
    }
    places
}

/// Where others reach these listeners: this machine's addresses on the LAN, or itself where it is on none.
pub fn reachable(listeners: &[SocketAddr], interfaces: &[Interface]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for listener in listeners {
        if !listener.ip().is_unspecified() {
            addresses.push(*listener);
            continue;
        }
        for interface in interfaces {
            let link_local = matches!(interface.address, IpAddr::V6(ip) if ip.is_unicast_link_local());
            if !link_local && (listener.is_ipv6() || interface.address.is_ipv4()) {
                addresses.push(SocketAddr::new(interface.address, listener.port()));
            }
        }
    }
    addresses.sort_by_key(|address| (address.ip().is_loopback(), address.is_ipv6()));
    addresses.dedup();
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        addresses.retain(|address| !address.ip().is_loopback());
    }
    addresses
}

/// The sockets to ask by, and those to be asked by.
///
/// Questions go out from a port of one's own: the shared port is bound by every server on this machine, and an
/// answer to it would reach any one of them.
pub struct Sockets {
    all: Vec<UdpSocket>,
    port: Option<u16>,
    /// Where the older protocol is spoken.
    compat: Option<UdpSocket>,
    /// Where nothing could be said the last time, and why: worth a word only when it changes.
    unreached: RefCell<BTreeMap<SocketAddr, String>>,
}

/// Answers go wherever questions come from, so there may be any number of such places.
const UNREACHED_MAX: usize = 64;

impl Sockets {
    /// For one who only asks.
    pub fn for_asking() -> io::Result<Sockets> {
        let mut all = vec![asking(Domain::IPV4)?];
        // A machine without IPv6 is none the worse.
        all.extend(asking(Domain::IPV6));
        Ok(Sockets { all, port: None, compat: None, unreached: RefCell::default() })
    }

    /// For one who is asked as well, by the port that all share.
    pub fn for_serving(port: u16) -> io::Result<Sockets> {
        let mut sockets = Sockets::for_asking()?;
        sockets.all.push(serving(Domain::IPV4, port)?);
        sockets.all.extend(serving(Domain::IPV6, port));
        sockets.port = Some(port);
        Ok(sockets)
    }

    /// Hears the older protocol as well, which knows nothing but IPv4.
    pub fn add_compat(&mut self, port: u16) -> io::Result<()> {
        self.compat = Some(serving(Domain::IPV4, port)?);
        Ok(())
    }

    /// Hears what is said to everyone on these networks; those joined before stay so.
    pub fn join(&self, interfaces: &[Interface]) {
        for socket in self.all.iter().filter(|socket| is_v6(socket) && self.is_shared(socket)) {
            for interface in interfaces.iter().filter(|interface| interface.address.is_ipv6()) {
                // It fails where it was done before, and where an interface cannot multicast.
                let _ = socket.join_multicast_v6(&GROUP, interface.index);
            }
        }
    }

    /// Says something to an address. What cannot be reached now may be later, so it is no fault.
    pub fn say(&self, to: SocketAddr, bytes: &[u8]) {
        let socket = self.all.iter().find(|socket| is_v6(socket) == to.is_ipv6() && !self.is_shared(socket));
        let Some(outcome) = socket.map(|socket| socket.send_to(bytes, to)) else { return };
        if let Some(news) = self.reach_changed(to, outcome.err().map(|why| why.to_string())) {
            log::debug!(target: "folkmoot::link", "{news}");
        }
    }

    /// Says something in the older protocol, from where it was asked.
    pub fn say_compat(&self, to: SocketAddr, bytes: &[u8]) {
        if let Some(socket) = &self.compat {
            // Who asks will ask again.
            let _ = socket.send_to(bytes, to);
        }
    }

    /// What is new about whether a place can be reached, in words.
    fn reach_changed(&self, to: SocketAddr, fault: Option<String>) -> Option<String> {
        let mut unreached = self.unreached.borrow_mut();
        let Some(why) = fault else {
            return unreached.remove(&to).map(|_| format!("{to} can be spoken to again"));
        };
        if unreached.get(&to) == Some(&why) || unreached.len() >= UNREACHED_MAX {
            return None;
        }
        let news = format!("nothing can be said to {to}: {why}");
        unreached.insert(to, why);
        Some(news)
    }

    /// Waits until something is there to be heard, the time is over, or the other end of `wake` is closed.
    pub fn wait(&self, time: Duration, wake: Option<&std::os::unix::net::UnixStream>) {
        let mut watched: Vec<PollFd<'_>> =
            self.all.iter().chain(&self.compat).map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        watched.extend(wake.map(|wake| PollFd::new(wake, PollFlags::IN)));
        let time = Timespec::try_from(time).expect("seconds, not centuries");
        // An interrupted wait is a short one.
        let _ = poll(&mut watched, Some(&time));
    }

    /// Everything that is there to be heard.
    pub fn hear(&self, mut each: impl FnMut(SocketAddr, &[u8])) {
        for socket in &self.all {
            drain(socket, &mut each);
        }
    }

    /// What is there to be heard of the older protocol.
    pub fn hear_compat(&self, mut each: impl FnMut(SocketAddr, &[u8])) {
        if let Some(socket) = &self.compat {
            drain(socket, &mut each);
        }
    }

    fn is_shared(&self, socket: &UdpSocket) -> bool {
        self.port.is_some() && socket.local_addr().ok().map(|address| address.port()) == self.port
    }
}

fn drain(socket: &UdpSocket, each: &mut impl FnMut(SocketAddr, &[u8])) {
    // One byte more than any of ours has, so that longer ones are seen to be so.
    let mut buffer = [0; super::beacon::BYTES_MAX + 1];
    // Bounded, so that whoever floods one socket does not keep us from the others.
    for _ in 0..64 {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => each(from, &buffer[..length]),
            Err(_) => break,
        }
    }
}

fn is_v6(socket: &UdpSocket) -> bool {
    socket.local_addr().is_ok_and(|address| address.is_ipv6())
}

fn asking(domain: Domain) -> io::Result<UdpSocket> {
    bound(domain, 0, false)
}

fn serving(domain: Domain, port: u16) -> io::Result<UdpSocket> {
    bound(domain, port, true)
}

fn bound(domain: Domain, port: u16, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    let any: IpAddr = if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        socket.set_broadcast(true)?;
        Ipv4Addr::UNSPECIFIED.into()
    };
    // Several servers on one machine hear by the same port; a broadcast reaches them all.
    socket.set_reuse_address(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(any, port).into())?;
    Ok(socket.into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn interface(address: &str, prefix_bits: u8) -> Interface {
        Interface { address: address.parse().unwrap(), prefix_bits, index: 2 }
    }

    /// A machine with these addresses.
    pub fn interfaces(addresses: &[(&str, u8)]) -> Vec<Interface> {
        addresses.iter().map(|(address, prefix_bits)| interface(address, *prefix_bits)).collect()
    }

    #[test]
    fn near_is_what_no_router_is_needed_for() {
        for (own, prefix_bits, other, near) in [
            ("10.0.0.5", 24, "10.0.0.200", true),
            ("10.0.0.5", 24, "10.0.1.200", false),
            ("10.0.0.5", 32, "10.0.0.5", true),
            ("10.0.0.5", 32, "10.0.0.4", false),
            ("10.0.0.5", 0, "1.2.3.4", true),
            ("127.0.0.1", 8, "127.9.9.9", true),
            ("fd00::1", 64, "fd00::2", true),
            ("fd00::1", 64, "fd01::2", false),
            ("fd00::1", 128, "fd00::1", true),
            ("10.0.0.5", 24, "fd00::1", false),
        ] {
            let interface = interface(own, prefix_bits);
            assert_eq!(interface.is_near(other.parse().unwrap()), near, "{own}/{prefix_bits} {other}");
        }
    }

    #[test]
    fn what_cannot_be_reached_is_mentioned_when_that_changes() {
        let sockets = Sockets::for_asking().unwrap();
        let place: SocketAddr = "255.255.255.255:6900".parse().unwrap();
        let fault = |why: &str| Some(why.to_string());
        assert!(sockets.reach_changed(place, None).is_none());
        assert!(sockets.reach_changed(place, fault("down")).is_some());
        assert!(sockets.reach_changed(place, fault("down")).is_none());
        assert!(sockets.reach_changed(place, fault("no route")).is_some());
        assert!(sockets.reach_changed(place, None).is_some());
        assert!(sockets.reach_changed(place, None).is_none());
    }

    #[test]
    fn everyone_near_is_called_once() {
        let interfaces = [
            interface("10.0.0.5", 24),
            interface("10.0.0.6", 24),
            interface("127.0.0.1", 8),
            interface("10.9.9.9", 32),
            interface("::1", 128),
            interface("fe80::1", 64),
        ];
        let places: Vec<String> =
            everyone(&interfaces, 6900).iter().map(|(_, place)| place.to_string()).collect();
        assert_eq!(
            places,
            ["255.255.255.255:6900", "10.0.0.255:6900", "127.255.255.255:6900", "[ff02::666f:6c6b%2]:6900"]
        );
    }

    #[test]
    fn listeners_are_reached_at_addresses_that_others_can_use() {
        let interfaces = [
            interface("127.0.0.1", 8),
            interface("10.0.0.5", 24),
            interface("::1", 128),
            interface("fd00::5", 64),
            interface("fe80::5", 64),
        ];
        let at = |listener: &str, interfaces: &[Interface]| -> Vec<String> {
            let listeners = [listener.parse().unwrap()];
            reachable(&listeners, interfaces).iter().map(SocketAddr::to_string).collect()
        };
        assert_eq!(at("0.0.0.0:6900", &interfaces), ["10.0.0.5:6900"]);
        assert_eq!(at("[::]:6900", &interfaces), ["10.0.0.5:6900", "[fd00::5]:6900"]);
        assert_eq!(at("127.0.0.1:6900", &interfaces), ["127.0.0.1:6900"]);
        assert_eq!(at("0.0.0.0:6900", &interfaces[..1]), ["127.0.0.1:6900"]);
    }
}
