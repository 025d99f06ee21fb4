//! The datagrams by which servers find each other on a LAN: written, read, and proven to be a network's own.
//!
//! ```text
//!  0 "FOLK" · 4 version · 5 kind · 6 flags (2 bytes) · 8 time in ms (8) · 16 nonce (16) · 32 network id (8)
//! 40 fields, each: kind (1) length (1) value; kind 0 ends them, and all behind it is padding
//!    with flag 1, the last 16 bytes are a mac of all before them
//! ```
//!
//! Numbers are big endian. A reader skips fields it does not know.

use ring::{digest, hmac};

use crate::engine::Pin;
use crate::wire::names::ServerId;

/// No datagram is longer, so that none is ever split on its way.
pub const BYTES_MAX: usize = 512;
/// Questions without a mac are at least this long.
pub const CLIENT_QUESTION_BYTES_MIN: usize = 128;
/// Enough room in an answer for every field, the certificate's pin among them.
pub const FULL_QUESTION_BYTES: usize = 512;

const MAGIC: &[u8; 4] = b"FOLK";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 40;
const MAC_BYTES: usize = 16;
const FLAG_MAC: u16 = 1;
const FLAG_CLIENT: u16 = 2;

/// What a datagram is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who is there? A server that asks says itself who it is.
    Discover = 1,
    /// I am, in answer to the question with the same nonce.
    Announce = 2,
    /// I was.
    Goodbye = 3,
}

/// A door of a server, by its number in the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    Irc = 1,
    Ircs = 2,
    Web = 3,
    Link = 4,
}

/// What a server says of itself; whatever is left out is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub sid: Option<ServerId>,
    pub name: String,
    pub network: String,
    pub description: String,
    pub ports: Vec<(Door, u16)>,
    pub pin: Option<Pin>,
    pub epoch: Option<u32>,
    /// Users now, and how many there may be.
    pub load: Option<(u32, u32)>,
    pub version: String,
}

impl About {
    pub fn port(&self, door: Door) -> Option<u16> {
        self.ports.iter().find(|(known, _)| *known == door).map(|(_, port)| *port)
    }
}

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub kind: Kind,
    pub from_client: bool,
    pub time_ms: u64,
    pub nonce: [u8; 16],
    pub network_id: [u8; 8],
    pub about: About,
}

/// Whether a datagram shows that its sender holds our network's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It does not try.
    None,
    Right,
    /// Another network's, or forged.
    Wrong,
}

/// What a network's name is in a datagram.
pub fn network_id(name: &str) -> [u8; 8] {
    let digest = digest::digest(&digest::SHA256, &[b"folkmoot network\0", name.as_bytes()].concat());
    digest.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes")
}

/// The key for datagrams: drawn from the network's secret, so that nothing said on the LAN proves anything on a link.
#[derive(Clone)]
pub struct LanKey(hmac::Key);

impl LanKey {
    pub fn new(secret: &[u8]) -> LanKey {
        let drawn = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"folkmoot lan");
        LanKey(hmac::Key::new(hmac::HMAC_SHA256, drawn.as_ref()))
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        hmac::sign(&self.0, bytes).as_ref()[..MAC_BYTES].try_into().expect("HMAC-SHA256 has 32 bytes")
    }
}

/// The fields, by number, in the order in which they are given up when room runs out: the last first.
const FIELDS: [u8; 9] = [SID, NAME, PORTS, LOAD, NETWORK, EPOCH, PIN, VERSION_TEXT, DESCRIPTION];
const SID: u8 = 1;
const NAME: u8 = 2;
const NETWORK: u8 = 3;
const DESCRIPTION: u8 = 4;
const PORTS: u8 = 5;
const PIN: u8 = 6;
const EPOCH: u8 = 7;
const LOAD: u8 = 8;
const VERSION_TEXT: u8 = 9;

impl Datagram {
    /// The bytes to send, at most so many; fields that find no room are left out. With a key they are proven.
    pub fn encode(&self, key: Option<&LanKey>, bytes_max: usize) -> Vec<u8> {
        let flags = if key.is_some() { FLAG_MAC } else { 0 } | if self.from_client { FLAG_CLIENT } else { 0 };
        let mut bytes = Vec::with_capacity(BYTES_MAX);
        bytes.extend(MAGIC);
        bytes.extend([VERSION, self.kind as u8]);
        bytes.extend(flags.to_be_bytes());
        bytes.extend(self.time_ms.to_be_bytes());
        bytes.extend(self.nonce);
        bytes.extend(self.network_id);
        let mac_bytes = if key.is_some() { MAC_BYTES } else { 0 };
        for field in FIELDS {
            let value = self.about.value(field);
            let room = bytes_max.min(BYTES_MAX).saturating_sub(bytes.len() + mac_bytes + 2);
            if !value.is_empty() && value.len() <= room.min(255) {
                bytes.extend([field, value.len() as u8]);
                bytes.extend(value);
            }
        }
        if let Some(key) = key {
            let mac = key.mac(&bytes);
            bytes.extend(mac);
        }
        bytes
    }

    /// A question without proof, padded so that no answer is longer than it.
    pub fn encode_client_question(&self, bytes: usize) -> Vec<u8> {
        let mut encoded = self.encode(None, bytes);
        encoded.resize(bytes.max(encoded.len()), 0);
        encoded
    }

    /// Reads what came, whoever sent it; `None` for what is not a datagram of ours at all.
    pub fn decode(bytes: &[u8], key: Option<&LanKey>) -> Option<(Datagram, Proof)> {
        if bytes.len() < HEADER_BYTES
            || bytes.len() > BYTES_MAX
            || !bytes.starts_with(MAGIC)
            || bytes[4] != VERSION
        {
            return None;
        }
        let kind = match bytes[5] {
            1 => Kind::Discover,
            2 => Kind::Announce,
            3 => Kind::Goodbye,
            _ => return None,
        };
        let flags = u16::from_be_bytes(array(bytes, 6));
        let (said, proof) = if flags & FLAG_MAC == 0 {
            (bytes, Proof::None)
        } else {
            let (said, mac) = bytes.split_at_checked(bytes.len() - MAC_BYTES)?;
            let right = key.is_some_and(|key| same(&key.mac(said), mac));
            (said, if right { Proof::Right } else { Proof::Wrong })
        };
        let datagram = Datagram {
            kind,
            from_client: flags & FLAG_CLIENT != 0,
            time_ms: u64::from_be_bytes(array(bytes, 8)),
            nonce: array(bytes, 16),
            network_id: array(bytes, 32),
            about: About::read(said.get(HEADER_BYTES..)?)?,
        };
        Some((datagram, proof))
    }
}

impl About {
    fn value(&self, field: u8) -> Vec<u8> {
        match field {
            SID => self.sid.map(|sid| sid.as_str().as_bytes().to_vec()).unwrap_or_default(),
            NAME => self.name.clone().into_bytes(),
            NETWORK => self.network.clone().into_bytes(),
            DESCRIPTION => self.description.clone().into_bytes(),
            PORTS => self
                .ports
                .iter()
                .flat_map(|(door, port)| [*door as u8, port.to_be_bytes()[0], port.to_be_bytes()[1]])
                .collect(),
            PIN => self.pin.map(|pin| pin.0.to_vec()).unwrap_or_default(),
            EPOCH => self.epoch.map(|epoch| epoch.to_be_bytes().to_vec()).unwrap_or_default(),
            LOAD => self
                .load
                .map(|(users, limit)| [users.to_be_bytes(), limit.to_be_bytes()].concat())
                .unwrap_or_default(),
            VERSION_TEXT => self.version.clone().into_bytes(),
            _ => Vec::new(),
        }
    }

    fn read(mut bytes: &[u8]) -> Option<About> {
        let mut about = About::default();
        while let [field, rest @ ..] = bytes {
            if *field == 0 {
                break;
            }
            let (length, rest) = rest.split_first()?;
            let (value, rest) = rest.split_at_checked(usize::from(*length))?;
            about.take(*field, value)?;
            bytes = rest;
        }
        Some(about)
    }

    fn take(&mut self, field: u8, value: &[u8]) -> Option<()> {
        match field {
            SID => self.sid = Some(ServerId::parse(std::str::from_utf8(value).ok()?)?),
            NAME => self.name = text(value)?,
            NETWORK => self.network = text(value)?,
            DESCRIPTION => self.description = text(value)?,
            PORTS => self.ports = value.chunks_exact(3).filter_map(port).collect(),
            PIN => self.pin = Some(Pin(value.try_into().ok()?)),
            EPOCH => self.epoch = Some(u32::from_be_bytes(value.try_into().ok()?)),
            LOAD => {
                let [users, limit]: [[u8; 4]; 2] =
                    [value.get(..4)?.try_into().ok()?, value.get(4..)?.try_into().ok()?];
                self.load = Some((u32::from_be_bytes(users), u32::from_be_bytes(limit)));
            }
            VERSION_TEXT => self.version = text(value)?,
            _ => {}
        }
        Some(())
    }
}

fn port(bytes: &[u8]) -> Option<(Door, u16)> {
    let door = match bytes[0] {
        1 => Door::Irc,
        2 => Door::Ircs,
        3 => Door::Web,
        4 => Door::Link,
        _ => return None,
    };
    Some((door, u16::from_be_bytes([bytes[1], bytes[2]])))
}

/// Text that can be shown on a terminal and put into a line: no control characters.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control)).then(|| text.to_string())
}

fn array<const BYTES: usize>(bytes: &[u8], at: usize) -> [u8; BYTES] {
    bytes[at..at + BYTES].try_into().expect("within the header, whose length was checked")
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Datagram {
        Datagram {
            kind: Kind::Announce,
            from_client: false,
            time_ms: 1_795_244_165_123,
            nonce: *b"0123456789abcdef",
            network_id: network_id("Folkmoot"),
            about: About {
                sid: ServerId::parse("7FA"),
                name: "hall.lan".into(),
                network: "Folkmoot".into(),
                description: "The great hall".into(),
                ports: vec![(Door::Irc, 6667), (Door::Ircs, 6697), (Door::Link, 6900)],
                pin: Some(Pin([7; 32])),
                epoch: Some(3),
                load: Some((41, 10_000)),
                version: "folkmoot-0.1.0".into(),
            },
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let (ours, theirs) = (LanKey::new(b"our secret"), LanKey::new(b"their secret"));
        let datagram = example();
        let proven = datagram.encode(Some(&ours), BYTES_MAX);
        assert_eq!(Datagram::decode(&proven, Some(&ours)), Some((datagram.clone(), Proof::Right)));
        assert_eq!(Datagram::decode(&proven, Some(&theirs)), Some((datagram.clone(), Proof::Wrong)));
        assert_eq!(Datagram::decode(&proven, None), Some((datagram.clone(), Proof::Wrong)));
        let plain = datagram.encode(None, BYTES_MAX);
        assert_eq!(Datagram::decode(&plain, Some(&ours)), Some((datagram, Proof::None)));
    }

    #[test]
    fn the_header_is_where_the_format_says() {
        let mut datagram = example();
        datagram.from_client = true;
        datagram.kind = Kind::Discover;
        datagram.about = About { sid: ServerId::parse("7FA"), ..About::default() };
        let bytes = datagram.encode_client_question(CLIENT_QUESTION_BYTES_MIN);
        assert_eq!(bytes.len(), 128);
        assert_eq!(&bytes[..8], b"FOLK\x01\x01\x00\x02");
        assert_eq!(bytes[8..16], 1_795_244_165_123u64.to_be_bytes());
        assert_eq!(&bytes[16..32], b"0123456789abcdef");
        assert_eq!(&bytes[40..46], b"\x01\x037FA\x00");
        assert_eq!(Datagram::decode(&bytes, None), Some((datagram, Proof::None)));
    }

    #[test]
    fn any_change_on_the_way_is_noticed() {
        let key = LanKey::new(b"our secret");
        let proven = example().encode(Some(&key), BYTES_MAX);
        for at in 0..proven.len() {
            let mut changed = proven.clone();
            changed[at] ^= 1;
            let proof = Datagram::decode(&changed, Some(&key)).map(|(_, proof)| proof);
            assert_ne!(proof, Some(Proof::Right), "byte {at}");
        }
    }

    #[test]
    fn neither_truncated_nor_random_bytes_do_harm() {
        let key = LanKey::new(b"our secret");
        let proven = example().encode(Some(&key), BYTES_MAX);
        for length in 0..proven.len() {
            let proof = Datagram::decode(&proven[..length], Some(&key)).map(|(_, proof)| proof);
            assert_ne!(proof, Some(Proof::Right), "{length} bytes");
        }
        // Dice of our own, so that a failure comes again.
        let mut dice = 5u64;
        for _ in 0..20_000 {
            let mut bytes = proven.clone();
            for _ in 0..4 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (dice >> 33) as usize % bytes.len();
                bytes[at] = (dice >> 25) as u8;
            }
            bytes.truncate(bytes.len() - (dice >> 60) as usize);
            let _ = Datagram::decode(&bytes, Some(&key));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_rest_is_whole() {
        let mut datagram = example();
        datagram.about.name = "n".repeat(63);
        datagram.about.network = "w".repeat(63);
        datagram.about.description = "d".repeat(255);
        for bytes_max in [40, 100, 128, 256, BYTES_MAX, 9999] {
            let bytes = datagram.encode(None, bytes_max);
            assert!(bytes.len() <= bytes_max.min(BYTES_MAX), "{bytes_max}");
            assert!(Datagram::decode(&bytes, None).is_some(), "{bytes_max}");
        }
        let (least, _) = Datagram::decode(&datagram.encode(None, CLIENT_QUESTION_BYTES_MIN), None).unwrap();
        assert_eq!(least.about.name, datagram.about.name);
        assert_eq!(least.about.ports, datagram.about.ports);
        let usual = example();
        let (answer, _) = Datagram::decode(&usual.encode(None, CLIENT_QUESTION_BYTES_MIN), None).unwrap();
        assert_eq!(answer.about.load, usual.about.load);
        assert_eq!(answer.about.network, usual.about.network);
    }

    #[test]
    fn fields_of_later_versions_are_skipped() {
        let mut bytes = example().encode(None, BYTES_MAX);
        bytes.extend([200, 2, 0, 0]);
        assert_eq!(Datagram::decode(&bytes, None), Some((example(), Proof::None)));
    }

    #[test]
    fn text_that_would_move_a_cursor_is_not_text() {
        let mut datagram = example();
        datagram.about.name = "hall\u{1b}[2J".into();
        assert_eq!(Datagram::decode(&datagram.encode(None, BYTES_MAX), None), None);
    }
}
