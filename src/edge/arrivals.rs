//! Who may come in: how often and how many from one address and from one network, and how many who have yet to register.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::shared::NoRoom;
use crate::config::Limits;
use crate::engine::{ConnId, Meter};
use crate::wire::cidr::Cidr;

/// From so many remembered parties on, those are forgotten of whom there is nothing to remember; and again when there
/// are twice as many as were left.
const SWEEP_FROM: usize = 1024;

/// Every client that is here, by where it comes from.
pub struct Arrivals {
    since: Instant,
    clients: HashMap<ConnId, Place>,
    parties: HashMap<Cidr, Party>,
    sweep_at: usize,
    newcomers: usize,
}

/// Under what a client is counted: settings may be others by the time it goes.
struct Place {
    address: Cidr,
    network: Cidr,
    is_newcomer: bool,
}

/// What one address, or one network, has of this server.
#[derive(Default)]
struct Party {
    meter: Meter,
    connections: usize,
    newcomers: usize,
}

impl Arrivals {
    pub fn new(now: Instant) -> Arrivals {
        Arrivals {
            since: now,
            clients: HashMap::new(),
            parties: HashMap::new(),
            sweep_at: SWEEP_FROM,
            newcomers: 0,
        }
    }

    /// Counts a client in, unless it is one too many or too soon.
    pub fn arrive(
        &mut self,
        conn: ConnId,
        from: IpAddr,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), NoRoom> {
        let (address, network) = places(from, limits);
        if !limits.arrivals.trusted.iter().any(|trusted| trusted.contains(from)) {
            self.check(address, network, limits, now.saturating_duration_since(self.since))?;
        }
        self.count(conn, from, limits, now);
        Ok(())
    }

    /// Counts a client in, however many there are.
    pub fn count(&mut self, conn: ConnId, from: IpAddr, limits: &Limits, now: Instant) {
        let (address, network) = places(from, limits);
        self.newcomers += 1;
        for party in [address, network] {
            let party = self.parties.entry(party).or_default();
            party.connections += 1;
            party.newcomers += 1;
        }
        self.clients.insert(conn, Place { address, network, is_newcomer: true });
        self.sweep(now.saturating_duration_since(self.since));
    }

    fn check(&mut self, address: Cidr, network: Cidr, limits: &Limits, now: Duration) -> Result<(), NoRoom> {
        let bounds = &limits.arrivals;
        let is_over = |count: usize, most: usize| most != 0 && count >= most;
        let count = |party: &Cidr| {
            self.parties.get(party).map_or((0, 0), |party| (party.connections, party.newcomers))
        };
        let (of_address, of_network) = (count(&address), count(&network));
        if is_over(of_address.0, limits.connections_per_address) {
            return Err(NoRoom::AddressFull);
        }
        if !limits.flood {
            return Ok(());
        }
        if is_over(of_network.0, bounds.connections_per_network) {
            return Err(NoRoom::NetworkFull);
        }
        if is_over(self.newcomers, bounds.newcomers_max)
            || is_over(of_network.1, bounds.newcomers_per_network)
        {
            return Err(NoRoom::Crowded);
        }
        for (party, rate) in [(address, bounds.per_address), (network, bounds.per_network)] {
            let Some(rate) = rate else { continue };
            let meter = &mut self.parties.entry(party).or_default().meter;
            meter.take(rate, now).map_err(|_| NoRoom::TooFast)?;
        }
        Ok(())
    }

    /// A client turns out to come from elsewhere: it is counted in there, unless it is one too many or too soon.
    pub fn correct(
        &mut self,
        conn: ConnId,
        from: IpAddr,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), NoRoom> {
        if !self.clients.contains_key(&conn) {
            return Ok(());
        }
        self.leave(conn);
        self.arrive(conn, from, limits, now)
    }

    /// A client has registered.
    pub fn settle(&mut self, conn: ConnId) {
        let Some(place) = self.clients.get_mut(&conn).filter(|place| place.is_newcomer) else { return };
        place.is_newcomer = false;
        self.newcomers -= 1;
        for party in [place.address, place.network] {
            if let Some(party) = self.parties.get_mut(&party) {
                party.newcomers -= 1;
            }
        }
    }

    /// A client is gone.
    pub fn leave(&mut self, conn: ConnId) {
        self.settle(conn);
        let Some(place) = self.clients.remove(&conn) else { return };
        for party in [place.address, place.network] {
            if let Some(party) = self.parties.get_mut(&party) {
                party.connections -= 1;
            }
        }
    }

    /// Forgets whoever is as good as new, now and then.
    fn sweep(&mut self, now: Duration) {
        if self.parties.len() >= self.sweep_at {
            self.parties.retain(|_, party| party.connections > 0 || !party.meter.is_full(now));
            self.sweep_at = SWEEP_FROM.max(2 * self.parties.len());
        }
    }
}

/// What counts as one address, and as one network.
fn places(from: IpAddr, limits: &Limits) -> (Cidr, Cidr) {
    let bounds = &limits.arrivals;
    let v6 = from.to_canonical().is_ipv6();
    let address = Cidr::around(from, if v6 { bounds.address_bits_ipv6 } else { 32 });
    let network = Cidr::around(from, if v6 { bounds.network_bits_ipv6 } else { bounds.network_bits_ipv4 });
    (address, network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rate;

    fn limits(how: impl Fn(&mut Limits)) -> Limits {
        let mut limits = Limits::default();
        limits.arrivals.per_address = None;
        limits.arrivals.per_network = None;
        how(&mut limits);
        limits
    }

    /// Lets one in after the other; how it went for each.
    fn come(arrivals: &mut Arrivals, limits: &Limits, from: &[&str]) -> Vec<Result<(), NoRoom>> {
        let first = arrivals.clients.len() as u64;
        let now = arrivals.since;
        let come = |(number, from): (usize, &&str)| {
            let conn = ConnId(first + number as u64);
            arrivals.arrive(conn, from.parse().unwrap(), limits, now)
        };
        from.iter().enumerate().map(come).collect()
    }

    #[test]
    fn whoever_comes_by_a_gateway_counts_where_they_come_from() {
        let limits = limits(|limits| limits.connections_per_address = 1);
        let mut arrivals = Arrivals::new(Instant::now());
        let now = arrivals.since;
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for conn in 0..3 {
            arrivals.count(ConnId(conn), at("10.0.0.1"), &limits, now);
        }
        assert_eq!(arrivals.correct(ConnId(0), at("198.51.100.3"), &limits, now), Ok(()));
        assert_eq!(arrivals.correct(ConnId(1), at("198.51.100.3"), &limits, now), Err(NoRoom::AddressFull));
        arrivals.leave(ConnId(1));
        arrivals.leave(ConnId(0));
        assert_eq!(arrivals.correct(ConnId(2), at("198.51.100.3"), &limits, now), Ok(()));
        // Who has gone meanwhile is not counted in again.
        assert_eq!(arrivals.correct(ConnId(0), at("198.51.100.3"), &limits, now), Ok(()));
        assert_eq!(arrivals.clients.len(), 1);
    }

    #[test]
    fn an_address_and_a_network_have_their_share() {
        let limits = limits(|limits| {
            limits.connections_per_address = 2;
            limits.arrivals.connections_per_network = 3;
        });
        let mut arrivals = Arrivals::new(Instant::now());
        let from = ["10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"];
        let full = [Ok(()), Ok(()), Err(NoRoom::AddressFull), Ok(()), Err(NoRoom::NetworkFull), Ok(())];
        assert_eq!(come(&mut arrivals, &limits, &from), full);
        let from = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8::3", "2001:db8:0:1::1", "2001:db8:0:2::1"];
        let full = [Ok(()), Ok(()), Err(NoRoom::AddressFull), Ok(()), Err(NoRoom::NetworkFull)];
        let mut arrivals = Arrivals::new(Instant::now());
        assert_eq!(come(&mut arrivals, &limits, &from), full);
        // Whoever goes makes room.
        arrivals.leave(ConnId(0));
        assert_eq!(come(&mut arrivals, &limits, &["2001:db8::3"]), [Ok(())]);
    }

    #[test]
    fn those_who_have_registered_are_no_newcomers() {
        let limits = limits(|limits| limits.arrivals.newcomers_max = 2);
        let mut arrivals = Arrivals::new(Instant::now());
        let crowded = [Ok(()), Ok(()), Err(NoRoom::Crowded)];
        assert_eq!(come(&mut arrivals, &limits, &["10.0.0.1", "10.1.0.1", "10.2.0.1"]), crowded);
        arrivals.settle(ConnId(1));
        arrivals.settle(ConnId(1));
        assert_eq!(come(&mut arrivals, &limits, &["10.2.0.1"]), [Ok(())]);
        for conn in 0..3 {
            arrivals.leave(ConnId(conn));
        }
        assert_eq!(arrivals.newcomers, 0);
        assert!(arrivals.parties.values().all(|party| (party.connections, party.newcomers) == (0, 0)));
    }

    #[test]
    fn who_comes_too_often_waits_and_others_do_not() {
        let limits = limits(|limits| {
            limits.arrivals.per_address = Some(Rate::new(2, 20));
            limits.arrivals.per_network = Some(Rate::new(3, 30));
            limits.arrivals.trusted = vec![Cidr::parse("10.9.0.0/16").unwrap()];
        });
        let mut arrivals = Arrivals::new(Instant::now());
        let from = ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"];
        let fast = [Ok(()), Ok(()), Err(NoRoom::TooFast), Ok(()), Err(NoRoom::TooFast), Ok(())];
        assert_eq!(come(&mut arrivals, &limits, &from), fast);
        assert_eq!(come(&mut arrivals, &limits, &["10.9.0.1"; 9]), [Ok(()); 9], "one that is trusted");
        let later = arrivals.since + Duration::from_secs(10);
        assert_eq!(arrivals.arrive(ConnId(99), "10.0.0.1".parse().unwrap(), &limits, later), Ok(()));
    }

    #[test]
    fn without_limits_on_speed_only_the_share_of_an_address_counts() {
        let limits = limits(|limits| {
            limits.flood = false;
            limits.connections_per_address = 1;
            limits.arrivals.connections_per_network = 1;
            limits.arrivals.newcomers_max = 1;
            limits.arrivals.per_network = Some(Rate::new(1, 60));
        });
        let mut arrivals = Arrivals::new(Instant::now());
        let came = come(&mut arrivals, &limits, &["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
        assert_eq!(came, [Ok(()), Ok(()), Err(NoRoom::AddressFull)]);
    }

    #[test]
    fn whoever_is_long_gone_is_forgotten() {
        let limits = limits(|limits| limits.arrivals.per_address = Some(Rate::new(1, 60)));
        let mut arrivals = Arrivals::new(Instant::now());
        for number in 0..10_000u32 {
            let (conn, from) =
                (ConnId(number.into()), IpAddr::from((0x0a00_0000 + (number << 8)).to_be_bytes()));
            let now = arrivals.since + Duration::from_secs(number.into());
            assert_eq!(arrivals.arrive(conn, from, &limits, now), Ok(()));
            arrivals.leave(conn);
        }
        assert!(arrivals.parties.len() <= 2 * SWEEP_FROM, "{}", arrivals.parties.len());
    }
}
