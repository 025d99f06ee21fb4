//! Questions to the DNS and answers from it: as much as it takes to find the name of an address, and hold it against it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The addresses of a name.
    A = 1,
    Aaaa = 28,
    /// The name of an address.
    Ptr = 12,
}

/// What one record of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    Name(String),
}

const CLASS_INTERNET: u16 = 1;
const HEADER_BYTES: usize = 12;
/// The longest name there can be, and with it how much one question takes at most.
const NAME_BYTES_MAX: usize = 255;
/// The longest answer over UDP that is not asked for otherwise.
pub const ANSWER_BYTES_MAX: usize = 512;

/// Under what an address is looked up.
pub fn reverse_name(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|byte| [byte & 0x0f, byte >> 4]);
            let digits: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            digits + "ip6.arpa"
        }
    }
}

/// One question, for a server that goes and finds out; `None` for what is no name.
pub fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut message = id.to_be_bytes().to_vec();
    // Recursion is wanted; one question, and nothing else.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend((kind as u16).to_be_bytes());
    message.extend(CLASS_INTERNET.to_be_bytes());
    (message.len() <= HEADER_BYTES + NAME_BYTES_MAX + 4).then_some(message)
}

/// What a message says to a question, in order; `None` where it is no answer to it, or damaged.
pub fn answer(message: &[u8], question: &[u8], kind: Kind) -> Option<Vec<Record>> {
    let flags = message.get(2..4)?;
    let asked = question.get(HEADER_BYTES..)?;
    let echoed = message.get(HEADER_BYTES..HEADER_BYTES + asked.len())?;
    let is_answer = flags[0] & 0x80 != 0 && message[..2] == question[..2];
    if !is_answer || number(message, 4)? != 1 || !echoed.eq_ignore_ascii_case(asked) {
        return None;
    }
    if flags[1] & 0x0f != 0 {
        // There is no such name, or no saying.
        return Some(Vec::new());
    }
    let mut records = Vec::new();
    let mut place = HEADER_BYTES + asked.len();
    for _ in 0..number(message, 6)? {
        let (_, end) = name(message, place)?;
        let length = usize::from(number(message, end + 8)?);
        let data = message.get(end + 10..end + 10 + length)?;
        if number(message, end)? == kind as u16 && number(message, end + 2)? == CLASS_INTERNET {
            records.push(match kind {
                Kind::A => Record::Address(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
                Kind::Aaaa => Record::Address(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
                Kind::Ptr => Record::Name(name(message, end + 10)?.0),
            });
        }
        place = end + 10 + length;
    }
    Some(records)
}

fn number(message: &[u8], place: usize) -> Option<u16> {
    let bytes = message.get(place..place + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// A name that begins there, and where what follows it does. Its end may be told by pointing back to another one.
fn name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut text, mut place, mut end) = (String::new(), start, None);
    loop {
        let length = usize::from(*message.get(place)?);
        match length {
            0 => return Some((text, end.unwrap_or(place + 1))),
            0xc0.. => {
                let to = (length & 0x3f) << 8 | usize::from(*message.get(place + 1)?);
                end = end.or(Some(place + 2));
                // Only ever back, so that it comes to an end.
                if to >= place {
                    return None;
                }
                place = to;
            }
            1..=63 => {
                let label = message.get(place + 1..place + 1 + length)?;
                if !text.is_empty() {
                    text.push('.');
                }
                // What is no name of a host is seen by whoever wants one.
                text.extend(
                    label.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }),
                );
                place += 1 + length;
            }
            _ => return None,
        }
        if text.len() > NAME_BYTES_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question, and an answer to it with these records behind its copy.
    fn asked(name: &str, kind: Kind, count: u8, records: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let question = question(0x1234, name, kind).unwrap();
        let mut message = question.clone();
        message[2] = 0x81;
        message[3] = 0x80;
        message[7] = count;
        message.extend(records);
        (question, message)
    }

    #[test]
    fn an_address_is_looked_up_backwards() {
        for (address, name) in [
            ("198.51.100.3", "3.100.51.198.in-addr.arpa"),
            ("::ffff:198.51.100.3", "3.100.51.198.in-addr.arpa"),
            ("2001:db8::5", "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ] {
            assert_eq!(reverse_name(address.parse().unwrap()), name);
        }
    }

    #[test]
    fn a_question_is_written_as_the_book_says() {
        let message = question(0x1234, "hall.lan", Kind::Ptr).unwrap();
        assert_eq!(message, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04hall\x03lan\0\0\x0c\0\x01");
        for name in ["", "a..b", &"a".repeat(64), &"a.".repeat(140)] {
            assert_eq!(question(1, name, Kind::A), None, "{name}");
        }
    }

    #[test]
    fn answers_are_read_and_other_records_passed_over() {
        let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x04\x01x\xc0\x0c";
        let address = b"\xc0\x0c\0\x01\0\x01\0\0\0\x09\0\x04\xc6\x33\x64\x03";
        let (question, message) = asked("hall.lan", Kind::A, 2, &[&alias[..], address].concat());
        let found = Record::Address("198.51.100.3".parse().unwrap());
        assert_eq!(answer(&message, &question, Kind::A), Some(vec![found]));

        let pointer = b"\xc0\x0c\0\x0c\0\x01\0\0\0\x09\0\x07\x04barn\xc0\x11";
        let (question, message) = asked("hall.lan", Kind::Ptr, 1, pointer);
        assert_eq!(answer(&message, &question, Kind::Ptr), Some(vec![Record::Name("barn.lan".into())]));

        let (question, mut message) = asked("hall.lan", Kind::Ptr, 0, b"");
        message[3] = 0x83;
        assert_eq!(answer(&message, &question, Kind::Ptr), Some(vec![]), "there is none");
    }

    #[test]
    fn what_is_no_answer_or_damaged_is_none() {
        let pointer = b"\xc0\x0c\0\x0c\0\x01\0\0\0\x09\0\x07\x04barn\xc0\x11";
        let (question, message) = asked("hall.lan", Kind::Ptr, 1, pointer);
        for length in 0..message.len() {
            assert_eq!(answer(&message[..length], &question, Kind::Ptr), None, "{length}");
        }
        for (place, byte) in [(0, 0), (2, 0x01), (5, 2), (13, b'b'), (message.len() - 1, 0xff)] {
            let mut damaged = message.clone();
            damaged[place] = byte;
            assert_eq!(answer(&damaged, &question, Kind::Ptr), None, "{place}");
        }
        // A name that points at itself, and an address of no length.
        let (question, message) = asked("hall.lan", Kind::Ptr, 1, b"\xc0\x1a\0\x0c\0\x01\0\0\0\x09\0\0");
        assert_eq!(answer(&message, &question, Kind::Ptr), None);
        let (question, message) = asked("hall.lan", Kind::A, 1, b"\xc0\x0c\0\x01\0\x01\0\0\0\x09\0\0");
        assert_eq!(answer(&message, &question, Kind::A), None);
    }
}
