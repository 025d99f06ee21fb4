//! Networks of addresses: `10.0.0.0/8`, `fe80::/10`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses that begin with the same bits; never more bits set than those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// An address with or without `/bits`. What stands behind those bits is cleared, so that one network
    /// has one text.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let given: IpAddr = address.parse().ok()?;
        let address = given.to_canonical();
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
                let bits: u8 = bits.parse().ok()?;
                // Of an IPv4 address written as IPv6 the bits are counted as it is written.
                if given.is_ipv6() && address.is_ipv4() { bits.checked_sub(96)? } else { bits }
            }
            Some(_) => return None,
        };
        (bits <= most).then(|| Cidr { network: cleared(address, bits), bits })
    }

    /// The network of so many bits that an address is in; as many as an address has, if there are fewer.
    pub fn around(address: IpAddr, bits: u8) -> Cidr {
        let address = address.to_canonical();
        let bits = bits.min(if address.is_ipv4() { 32 } else { 128 });
        Cidr { network: cleared(address, bits), bits }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && cleared(address, self.bits) == self.network
    }

    /// The first of these addresses, which stands for all of them.
    pub fn first(&self) -> IpAddr {
        self.network
    }

    /// How many bits are the same for all of them.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    pub fn is_ipv4(&self) -> bool {
        self.network.is_ipv4()
    }
}

/// Those who count as one address: in IPv6 every home has a /64, so single addresses there limit nobody.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => cleared(v6.into(), 64),
        v4 => v4,
    }
}

/// One address is shown as such.
impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.network.to_string();
        // A leading colon would end a line's middle parameters.
        let network = if network.starts_with(':') { format!("0{network}") } else { network };
        let most = if self.is_ipv4() { 32 } else { 128 };
        if self.bits == most { write!(f, "{network}") } else { write!(f, "{network}/{}", self.bits) }
    }
}

fn cleared(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_has_one_text() {
        for (text, shown) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("FE80::1/10", "fe80::/10"),
            ("::1", "0::1"),
            ("::/0", "0::/0"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1/104", "10.0.0.0/8"),
        ] {
            assert_eq!(Cidr::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in
            ["", "10.0.0", "10.0.0.1/33", "10.0.0.1/", "10.0.0.1/+8", "::1/129", "::ffff:10.0.0.1/8", "*"]
        {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_network_contains_what_begins_alike() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
        ] {
            assert_eq!(
                Cidr::parse(network).unwrap().contains(address.parse().unwrap()),
                is_in,
                "{network} {address}"
            );
        }
    }
}
