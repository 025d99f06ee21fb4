//! The PROXY protocol, versions 1 and 2: what a load balancer says, before all else, of whom it passes on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc32c::crc32c;

/// How every header of version 2 begins, and what nobody would say by chance.
pub const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of the fixed part of version 2: the signature, version and command, family and transport, and how much follows.
pub const FIXED_BYTES_V2: usize = 16;
/// How every header of version 1 begins.
pub const START_V1: &[u8] = b"PROXY ";
/// The longest line of version 1, with its end.
pub const LINE_BYTES_MAX_V1: usize = 107;

const COMMAND_LOCAL: u8 = 0;
const COMMAND_PROXY: u8 = 1;
const FAMILY_UNSPECIFIED: u8 = 0;
const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;
const FAMILY_UNIX: u8 = 3;
const TRANSPORT_STREAM: u8 = 1;
const ADDRESS_BYTES_UNIX: usize = 216;
const TYPE_CRC32C: u8 = 0x03;
const TYPE_SSL: u8 = 0x20;
const TYPE_SSL_VERSION: u8 = 0x21;
/// In the first byte of `TYPE_SSL`: the client's own connection is encrypted.
const CLIENT_SSL: u8 = 0x01;

/// Whom a connection is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `None` where it is the balancer's own, as when it looks whether there is somebody here, or does not know.
    pub source: Option<SocketAddr>,
    pub encryption: Encryption,
}

/// What is said of the way from the client to the balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    #[default]
    Unsaid,
    None,
    /// With the version as it is called there, `TLSv1.3`; it may be empty.
    Tls(String),
}

impl Header {
    /// Reads a line of version 1, with or without its end.
    pub fn parse_v1(line: &[u8]) -> Option<Header> {
        let line = std::str::from_utf8(line).ok()?;
        let words: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
        let source = match words[..] {
            // Whatever follows is to be ignored.
            ["PROXY", "UNKNOWN", ..] => None,
            ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, from_port, to_port] => {
                let source = address(family, source)?;
                address(family, destination)?;
                port(to_port)?;
                Some(SocketAddr::new(source, port(from_port)?))
            }
            _ => return None,
        };
        Some(Header { source, encryption: Encryption::Unsaid })
    }

    /// How many bytes follow the fixed part of a header of version 2.
    pub fn rest_of_v2(fixed: &[u8; FIXED_BYTES_V2]) -> usize {
        usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))
    }

    /// Reads a header of version 2: the fixed part, and what follows it.
    pub fn parse_v2(fixed: &[u8; FIXED_BYTES_V2], rest: &[u8]) -> Option<Header> {
        let (version, command) = (fixed[12] >> 4, fixed[12] & 0x0f);
        let (family, transport) = (fixed[13] >> 4, fixed[13] & 0x0f);
        if !fixed.starts_with(SIGNATURE_V2) || version != 2 || rest.len() != Header::rest_of_v2(fixed) {
            return None;
        }
        match command {
            // Of its own connections a balancer says nothing that counts.
            COMMAND_LOCAL => return Some(Header::default()),
            COMMAND_PROXY => {}
            _ => return None,
        }
        let (source, records) = match (family, transport) {
            (FAMILY_UNSPECIFIED, 0) => return Some(Header::default()),
            (FAMILY_V4, TRANSPORT_STREAM) => {
                let (address, rest) = rest.split_first_chunk::<12>()?;
                let ip: [u8; 4] = address[..4].try_into().ok()?;
                let port = u16::from_be_bytes([address[8], address[9]]);
                (Some(SocketAddr::from((Ipv4Addr::from(ip), port))), rest)
            }
            (FAMILY_V6, TRANSPORT_STREAM) => {
                let (address, rest) = rest.split_first_chunk::<36>()?;
                let ip: [u8; 16] = address[..16].try_into().ok()?;
                let port = u16::from_be_bytes([address[32], address[33]]);
                (Some(SocketAddr::from((Ipv6Addr::from(ip), port))), rest)
            }
            (FAMILY_UNIX, TRANSPORT_STREAM) => (None, rest.get(ADDRESS_BYTES_UNIX..)?),
            _ => return None,
        };
        if !is_intact(fixed, rest, records)? {
            return None;
        }
        Some(Header { source, encryption: encryption(records)? })
    }
}

fn address(family: &str, text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    (address.is_ipv4() == (family == "TCP4")).then_some(address)
}

fn port(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Whether the checksum that a header may carry is that of the header, where four zeros stand in its place; `None`
/// where the records, which end what follows the fixed part, are damaged.
fn is_intact(fixed: &[u8], rest: &[u8], records: &[u8]) -> Option<bool> {
    let mut place = rest.len() - records.len();
    for record in Records(records) {
        let (kind, value) = record?;
        place += RECORD_HEAD_BYTES;
        if kind == TYPE_CRC32C {
            let sum = u32::from_be_bytes(value.try_into().ok()?);
            let (before, after) = (&rest[..place], &rest[place + value.len()..]);
            if crc32c(&[fixed, before, &[0; 4], after]) != sum {
                return Some(false);
            }
        }
        place += value.len();
    }
    Some(true)
}

/// What the records behind the addresses say of encryption; `None` where they are damaged. Others are passed over.
fn encryption(records: &[u8]) -> Option<Encryption> {
    let mut said = Encryption::Unsaid;
    for record in Records(records) {
        let (kind, value) = record?;
        if kind == TYPE_SSL {
            // Flags, and four bytes on whether a certificate of the client's was verified.
            let (head, inner) = value.split_first_chunk::<5>()?;
            said = Encryption::None;
            if head[0] & CLIENT_SSL != 0 {
                let mut version = String::new();
                for record in Records(inner) {
                    if let (TYPE_SSL_VERSION, text) = record? {
                        version = text
                            .iter()
                            .filter(|byte| byte.is_ascii_graphic())
                            .map(|b| char::from(*b))
                            .collect();
                    }
                }
                said = Encryption::Tls(version);
            }
        }
    }
    Some(said)
}

/// Type, length and value, one behind the other; ends with `None` where one is cut off.
struct Records<'a>(&'a [u8]);

const RECORD_HEAD_BYTES: usize = 3;

impl<'a> Iterator for Records<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.0.split_first_chunk::<RECORD_HEAD_BYTES>().and_then(|(head, rest)| {
            let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
            let (value, rest) = rest.split_at_checked(length)?;
            Some((head[0], value, rest))
        });
        match record {
            Some((kind, value, rest)) => {
                self.0 = rest;
                Some(Some((kind, value)))
            }
            None => {
                self.0 = &[];
                Some(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Option<Header> {
        let mut fixed = [0; FIXED_BYTES_V2];
        fixed[..12].copy_from_slice(SIGNATURE_V2);
        fixed[12] = command;
        fixed[13] = family;
        fixed[14..].copy_from_slice(&(rest.len() as u16).to_be_bytes());
        Header::parse_v2(&fixed, rest)
    }

    fn from(source: &str) -> Option<Header> {
        Some(Header { source: Some(source.parse().unwrap()), encryption: Encryption::Unsaid })
    }

    const V4: &[u8] = &[198, 51, 100, 3, 10, 0, 0, 1, 0xd4, 0x31, 0x1a, 0x0b];

    #[test]
    fn lines_of_version_1_name_the_caller() {
        let unknown = Some(Header::default());
        for (line, header) in [
            ("PROXY TCP4 198.51.100.3 10.0.0.1 54321 6667\r\n", from("198.51.100.3:54321")),
            ("PROXY TCP6 2001:db8::3 2001:db8::1 54321 6697\r\n", from("[2001:db8::3]:54321")),
            ("PROXY UNKNOWN\r\n", unknown.clone()),
            ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", unknown),
            ("PROXY TCP4 2001:db8::3 10.0.0.1 54321 6667\r\n", None),
            ("PROXY TCP4 198.51.100.3 10.0.0.1 54321\r\n", None),
            ("PROXY TCP4 198.51.100.3 10.0.0.1 65536 6667\r\n", None),
            ("PROXY TCP4 198.51.100.3 10.0.0.1 +1 6667\r\n", None),
            ("PROXY TCP4  198.51.100.3 10.0.0.1 1 6667\r\n", None),
            ("PROXY UDP4 198.51.100.3 10.0.0.1 1 6667\r\n", None),
            ("PROXY\r\n", None),
            ("NICK eve\r\n", None),
        ] {
            assert_eq!(Header::parse_v1(line.as_bytes()), header, "{line}");
        }
        assert_eq!(Header::parse_v1(b"PROXY UNKNOWN \xff\r\n"), None);
    }

    #[test]
    fn headers_of_version_2_name_the_caller() {
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[15] = 3;
        v6[32..34].copy_from_slice(&54321u16.to_be_bytes());
        let local = Some(Header::default());
        for (command, family, rest, header) in [
            (0x21, 0x11, V4, from("198.51.100.3:54321")),
            (0x21, 0x21, &v6[..], from("[2001:db8::3]:54321")),
            (0x21, 0x31, &[0; 216], local.clone()),
            (0x21, 0x00, &[], local.clone()),
            (0x21, 0x00, &[1, 2, 3], local.clone()),
            (0x20, 0x11, V4, local.clone()),
            (0x20, 0x00, &[], local),
            // Another version, an unknown command, datagrams, an unknown family, too little.
            (0x11, 0x11, V4, None),
            (0x22, 0x11, V4, None),
            (0x21, 0x12, V4, None),
            (0x21, 0x41, V4, None),
            (0x21, 0x11, &V4[..11], None),
            (0x21, 0x21, V4, None),
            (0x21, 0x31, &[0; 215], None),
        ] {
            assert_eq!(v2(command, family, rest), header, "{command:x} {family:x} {rest:?}");
        }
    }

    #[test]
    fn records_are_passed_over_but_for_what_they_say_of_encryption() {
        let said = |records: &[u8]| v2(0x21, 0x11, &[V4, records].concat()).map(|header| header.encryption);
        let ssl = |flags: u8, inner: &[u8]| {
            [&[TYPE_SSL, 0, 5 + inner.len() as u8, flags, 0, 0, 0, 0], inner].concat()
        };
        let authority = b"\x02\x00\x08hall.lan";
        let version = b"\x21\x00\x07TLSv1.3";
        assert_eq!(said(authority), Some(Encryption::Unsaid));
        assert_eq!(said(&ssl(0, &[])), Some(Encryption::None));
        assert_eq!(said(&ssl(1, &[])), Some(Encryption::Tls("".into())));
        let all = [authority, &ssl(1, version)[..], b"\x04\x00\x00"].concat();
        assert_eq!(said(&all), Some(Encryption::Tls("TLSv1.3".into())));
        for damaged in [&b"\x02"[..], b"\x02\x00", b"\x02\x00\x09hall.lan", b"\x20\x00\x04\0\0\0\0"] {
            assert_eq!(said(damaged), None, "{damaged:?}");
        }
        assert_eq!(said(&ssl(1, b"\x21\x00\x08TLSv1.3")), None);
    }

    #[test]
    fn a_header_with_a_checksum_is_taken_if_it_is_right() {
        // Right ones, made by another implementation: behind another record, and before one.
        let last = b"\x02\x00\x08hall.lan\x03\x00\x04\x00\x00\x00\x00";
        let first = b"\x03\x00\x04\x00\x00\x00\x00\x04\x00\x02\0\0";
        for (records, place, sum) in
            [(&last[..], 14, [0x56, 0x85, 0xb6, 0x53]), (first, 3, [0xd5, 0xc9, 0x10, 0x6f])]
        {
            let mut records = records.to_vec();
            records[place..place + 4].copy_from_slice(&sum);
            assert_eq!(v2(0x21, 0x11, &[V4, &records].concat()), from("198.51.100.3:54321"));
            for bit in 0..records.len() * 8 {
                let mut damaged = records.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let header = v2(0x21, 0x11, &[V4, &damaged].concat());
                // What makes it another kind of record leaves nothing that could be wrong.
                assert!(header.is_none() || damaged[place - 3] != TYPE_CRC32C, "{bit}");
            }
        }
        for damaged in [&b"\x03\x00\x03\0\0\0"[..], b"\x03\x00\x05\0\0\0\0\0"] {
            assert_eq!(v2(0x21, 0x11, &[V4, damaged].concat()), None, "{damaged:?}");
        }
        // Nothing that is said of the balancer's own connections counts.
        let wrong = b"\x03\x00\x04\0\0\0\0";
        assert_eq!(v2(0x20, 0x11, &[V4, wrong].concat()), Some(Header::default()));
        assert_eq!(v2(0x21, 0x11, &[V4, wrong].concat()), None);
    }
}
