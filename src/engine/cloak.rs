//! Cloaks: what others see in place of where somebody comes from, so made that bans on parts of it work.
//!
//! Each part is a keyed hash, so whoever has no key learns nothing but who shares a network with whom. The broadest part
//! stands last: `*.b.c.ip` means everyone in the network that is hidden behind b and c.

use std::net::IpAddr;

use ring::hmac;

use super::Engine;
use super::load::is_local;
use crate::config::Cloaked;
use crate::wire::base36;
use crate::wire::names::HOST_BYTES_MAX;

/// What tells the key from all else that is derived from a network's secret.
const KEY_LABEL: &[u8] = b"folkmoot/1 cloak";

/// Of how many characters a part is: 41 bits, so that nobody is taken for somebody else.
const PART_CHARS: usize = 8;

/// Ends the cloak of an address; no name in the DNS ends so.
const OF_ADDRESS: &str = "ip";

/// The bits that make a part, from the narrowest on. In IPv6 every home has a /64 within which it can be anyone, so
/// nothing is gained by telling narrower ones apart.
const PARTS_V4: [u32; 3] = [32, 24, 16];
const PARTS_V6: [u32; 3] = [64, 48, 32];

pub struct CloakKey(hmac::Key);

impl CloakKey {
    pub fn new(secret: &[u8]) -> CloakKey {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        CloakKey(hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, KEY_LABEL).as_ref()))
    }

    /// What hides an address, or the name that it is known by.
    pub fn cloak(&self, address: IpAddr, name: Option<&str>) -> String {
        if let Some(name) = name {
            return self.of_name(name);
        }
        let part = |kind: &str, bits: u128| self.part(&format!("{kind} {bits:x}"));
        let parts = match address.to_canonical() {
            IpAddr::V4(v4) => {
                PARTS_V4.map(|bits| part(&format!("v4/{bits}"), u128::from(v4.to_bits() >> (32 - bits))))
            }
            IpAddr::V6(v6) => PARTS_V6.map(|bits| part(&format!("v6/{bits}"), v6.to_bits() >> (128 - bits))),
        };
        format!("{}.{OF_ADDRESS}", parts.join("."))
    }

    /// Of a name the end that many share stays: it tells of the provider at most.
    fn of_name(&self, name: &str) -> String {
        let name = name.to_ascii_lowercase();
        let labels: Vec<&str> = name.split('.').collect();
        let kept = match labels[..] {
            [] | [_] => 0,
            [_, _] => 1,
            // As `co.uk` and `com.au` are: everyone's in a country.
            [.., registry, country] if country.len() == 2 && registry.len() <= 3 => 3.min(labels.len() - 1),
            _ => 2,
        };
        let own = self.part(&format!("name {name}"));
        let shown = std::iter::once(own.as_str()).chain(labels[labels.len() - kept..].iter().copied());
        let cloak = shown.collect::<Vec<_>>().join(".");
        // No end that many share is so long.
        if cloak.len() > HOST_BYTES_MAX { own } else { cloak }
    }

    fn part(&self, what: &str) -> String {
        let tag = hmac::sign(&self.0, what.as_bytes());
        let number = tag.as_ref().iter().take(8).fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        let text = base36::encode(number % 36u64.pow(PART_CHARS as u32));
        format!("{text:0>PART_CHARS$}")
    }
}

impl Engine {
    fn cloak_key(&self) -> CloakKey {
        let key = &self.config.cloak.key;
        CloakKey::new(if key.is_empty() { self.secrets.current.0.as_bytes() } else { key.as_bytes() })
    }

    /// What hides where somebody comes from.
    pub(super) fn cloak(&self, address: IpAddr, name: Option<&str>) -> String {
        self.cloak_key().cloak(address, name)
    }

    /// Whether somebody from there is hidden without having asked for it.
    pub(super) fn is_cloaked_at_first(&self, address: IpAddr) -> bool {
        match self.config.cloak.who {
            Cloaked::All => true,
            Cloaked::Public => !is_local(address.to_canonical()),
            Cloaked::Nobody => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mask::glob_matches;

    fn cloak(key: &str, address: &str) -> String {
        CloakKey::new(key.as_bytes()).cloak(address.parse().unwrap(), None)
    }

    #[test]
    fn a_cloak_is_the_same_wherever_it_is_made_and_tells_nothing_without_the_key() {
        assert_eq!(cloak("hay", "198.51.100.3"), "ahispnu9.xe2ak2e3.yw8shwty.ip");
        assert_eq!(cloak("hay", "::ffff:198.51.100.3"), "ahispnu9.xe2ak2e3.yw8shwty.ip");
        assert_eq!(cloak("hay", "2001:db8:1:2::3"), "q2b2e5zw.fsp3t88y.z69vac35.ip");
        assert_ne!(cloak("straw", "198.51.100.3"), cloak("hay", "198.51.100.3"));
    }

    #[test]
    fn a_part_of_a_cloak_means_a_network() {
        let shares = |one: &str, other: &str| {
            let (one, other) = (cloak("hay", one), cloak("hay", other));
            let labels: Vec<&str> = one.split('.').collect();
            (0..3).find(|from| glob_matches(&format!("*{}", labels[*from..].join(".")), &other))
        };
        for (one, other, from) in [
            ("10.1.2.3", "10.1.2.3", Some(0)),
            ("10.1.2.3", "10.1.2.4", Some(1)),
            ("10.1.2.3", "10.1.3.3", Some(2)),
            ("10.1.2.3", "10.2.2.3", None),
            ("2001:db8:1:2::3", "2001:db8:1:2:4::5", Some(0)),
            ("2001:db8:1:2::3", "2001:db8:1:3::3", Some(1)),
            ("2001:db8:1:2::3", "2001:db8:2:2::3", Some(2)),
            ("2001:db8:1:2::3", "2001:db9:1:2::3", None),
            // Of another kind is never in the same network, whatever its bits.
            ("0.0.0.1", "::1", None),
        ] {
            assert_eq!(shares(one, other), from, "{one} {other}");
        }
    }

    #[test]
    fn of_a_name_the_end_that_many_share_stays() {
        let key = CloakKey::new(b"hay");
        for (name, tail) in [
            ("3-100-51-198.pool.isp.example", "isp.example"),
            ("dial7.isp.co.uk", "isp.co.uk"),
            ("isp.co.uk", "co.uk"),
            ("laptop.lan", "lan"),
            ("laptop", ""),
        ] {
            let cloak = key.cloak("10.0.0.1".parse().unwrap(), Some(name));
            let (own, rest) = cloak.split_once('.').unwrap_or((&cloak, ""));
            assert_eq!((own.len(), rest), (PART_CHARS, tail), "{name}");
            assert_eq!(cloak, key.cloak("10.0.0.2".parse().unwrap(), Some(&name.to_ascii_uppercase())));
        }
    }

    #[test]
    fn no_cloak_is_longer_than_a_host_may_be() {
        let key = CloakKey::new(b"hay");
        let of_name = |name: &str| key.cloak([198, 51, 100, 3].into(), Some(name));
        for name in [format!("a.{}", "b".repeat(61)), format!("{}.isp.example", "a".repeat(51))] {
            assert_eq!(name.len(), HOST_BYTES_MAX);
            assert!(of_name(&name).len() <= HOST_BYTES_MAX, "{}", of_name(&name));
        }
        assert!(of_name("host.isp.example").ends_with(".isp.example"));
    }
}
