//! Names of people, channels and servers: valid once made.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::fold::{Folded, fold};

/// Which server: a digit and two of `0-9A-Z`, as TS6 has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId([u8; 3]);

impl ServerId {
    pub const LOWEST: ServerId = ServerId(*b"000");

    pub fn parse(text: &str) -> Option<ServerId> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        let fit = bytes[0].is_ascii_digit()
            && bytes[1..].iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        fit.then_some(ServerId(bytes))
    }

    /// One of the 12,960 ids, drawn from the bytes of a digest.
    pub fn from_digest(digest: &[u8]) -> ServerId {
        let number = digest.iter().take(8).fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
        let letter = |n: u64| b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(n % 36) as usize];
        ServerId([b'0' + (number % 10) as u8, letter(number / 10), letter(number / 360)])
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of ASCII only")
    }
}

/// Which user, on every server alike: the server's id and six more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserId([u8; 9]);

impl UserId {
    /// Numbers that order ids as their letters do.
    fn rank(&self) -> (u64, u8) {
        let [a, b, c, d, e, f, g, h, last] = self.0;
        (u64::from_be_bytes([a, b, c, d, e, f, g, h]), last)
    }
}

/// By all but the digit that it begins with: eight letters are one number, which is hashed in one step.
impl Hash for UserId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [_, b, c, d, e, f, g, h, i] = self.0;
        state.write_u64(u64::from_be_bytes([b, c, d, e, f, g, h, i]));
    }
}

/// Every look-up of somebody compares ids some twenty times, and numbers are compared faster than letters.
impl Ord for UserId {
    fn cmp(&self, other: &UserId) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for UserId {
    fn partial_cmp(&self, other: &UserId) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How many user ids one server has.
pub const USER_IDS: u64 = 26 * 36 * 36 * 36 * 36 * 36;

impl UserId {
    /// Below and above every id there can be.
    pub const LOWEST: UserId = UserId([0; 9]);
    pub const HIGHEST: UserId = UserId([b'~'; 9]);

    pub fn parse(text: &str) -> Option<UserId> {
        let bytes: [u8; 9] = text.as_bytes().try_into().ok()?;
        ServerId::parse(text.get(..3)?)?;
        let fit = bytes[3].is_ascii_uppercase()
            && bytes[4..].iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        fit.then_some(UserId(bytes))
    }

    /// The id with this number on that server; numbers wrap after `USER_IDS`. A higher number sorts behind a lower one,
    /// so that lists by id have people in the order in which they came.
    pub fn numbered(server: ServerId, number: u64) -> UserId {
        const LETTERS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut bytes = [b'A'; 9];
        bytes[..3].copy_from_slice(&server.0);
        let mut rest = number % USER_IDS;
        for place in (4..9).rev() {
            bytes[place] = LETTERS[(rest % 36) as usize];
            rest /= 36;
        }
        bytes[3] = b'A' + rest as u8;
        UserId(bytes)
    }

    /// The lowest and the highest id that a server's users can have.
    pub fn range_of(server: ServerId) -> (UserId, UserId) {
        let [a, b, c] = server.0;
        (UserId([a, b, c, 0, 0, 0, 0, 0, 0]), UserId([a, b, c, b'Z', b'Z', b'Z', b'Z', b'Z', b'Z']))
    }

    pub fn server(&self) -> ServerId {
        ServerId([self.0[0], self.0[1], self.0[2]])
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of ASCII only")
    }
}

/// What a person is called: a nickname as Modern IRC allows it, or a UID for one who lost theirs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nick(Arc<str>);

impl Nick {
    /// A nick that a person may choose: it never begins with a digit, so none can pass for a UID.
    pub fn parse(text: &str, length_max: usize) -> Option<Nick> {
        let fit = text.len() <= length_max
            && text.starts_with(|c| is_nick_char(c) && !c.is_ascii_digit() && c != '-')
            && text.chars().all(is_nick_char);
        fit.then(|| Nick(text.into()))
    }

    /// A nick as a peer may send it: a person's choice, or a UID.
    pub fn from_peer(text: &str) -> Option<Nick> {
        Nick::parse(text, NICK_BYTES_MAX).or_else(|| UserId::parse(text).map(Nick::from))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn folded(&self) -> Folded {
        fold(&self.0)
    }
}

/// The longest nick that any server of a network may allow.
pub const NICK_BYTES_MAX: usize = 64;

fn is_nick_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "[]\\`_^{|}-".contains(c)
}

impl From<UserId> for Nick {
    fn from(id: UserId) -> Nick {
        Nick(id.as_str().into())
    }
}

/// Whether a text can stand as the user name in `nick!user@host`.
pub fn is_username(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_username_char)
}

pub fn is_username_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.[]\\`^{|}".contains(c)
}

/// Whether somebody may be shown with this as their host, which need not be one: `staff/ann`.
pub fn is_shown_host(text: &str) -> bool {
    (1..=HOST_BYTES_MAX).contains(&text.len())
        && !text.starts_with(':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c))
}

/// Whether a text can be the name of a host, and is no address.
pub fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    text.len() <= HOST_BYTES_MAX && text.split('.').all(is_label) && text.parse::<Ipv4Addr>().is_err()
}

/// A channel's name, as it was first written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    pub fn parse(text: &str, length_max: usize) -> Option<ChannelName> {
        let fit = text.len() <= length_max
            && text.starts_with('#')
            && !text.contains(|c: char| c.is_control() || c == ' ' || c == ',');
        fit.then(|| ChannelName(text.into()))
    }

    /// A name as a peer may send it.
    pub fn from_peer(text: &str) -> Option<ChannelName> {
        ChannelName::parse(text, CHANNEL_BYTES_MAX)
    }

    /// Whether a target is meant to be a channel at all, valid or not.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with('#')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn folded(&self) -> Folded {
        fold(&self.0)
    }
}

/// The longest channel name that any server of a network may allow.
pub const CHANNEL_BYTES_MAX: usize = 128;

/// A server's name: letters, digits, dots and hyphens, with at least one dot, so that no nick can pass for one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName(Arc<str>);

impl ServerName {
    pub fn parse(text: &str) -> Option<ServerName> {
        let fit = text.len() <= SERVER_NAME_BYTES_MAX
            && text.contains('.')
            && text.split('.').all(|part| !part.is_empty())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_');
        fit.then(|| ServerName(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn folded(&self) -> Folded {
        fold(&self.0)
    }
}

/// The longest name of a server.
pub const SERVER_NAME_BYTES_MAX: usize = 63;

/// No host that people are shown with is longer.
pub const HOST_BYTES_MAX: usize = 63;

/// What metadata are said under: an `avatar`, a `status`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataKey(Arc<str>);

/// The longest key that any server of a network may allow.
const METADATA_KEY_BYTES_MAX: usize = 64;

impl MetadataKey {
    pub fn parse(text: &str) -> Option<MetadataKey> {
        let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_./-".contains(c);
        let fit = (1..=METADATA_KEY_BYTES_MAX).contains(&text.len()) && text.chars().all(is_fit);
        fit.then(|| MetadataKey(text.into()))
    }

    /// Below and above every key there can be.
    pub fn range() -> (MetadataKey, MetadataKey) {
        (MetadataKey("".into()), MetadataKey("~".into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A piece of a line that stands between spaces: never empty, no space, no leading colon.
#[derive(Clone, PartialEq, Eq)]
pub struct Word(String);

impl Word {
    /// Whatever a client sent, made fit to be echoed; `*` where nothing fit is left. It has room for
    /// the longest `nick!user@host`.
    pub fn echo(raw: &str) -> Word {
        Word(Echo::from(raw).0.into_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The same for one line only: what is fit, as nearly all is, stays where it is.
pub struct Echo<'t>(Cow<'t, str>);

/// The longest `nick!user@host` has room.
const ECHO_CHARACTERS_MAX: usize = 160;

impl<'t> From<&'t str> for Echo<'t> {
    fn from(raw: &'t str) -> Echo<'t> {
        let is_fit = raw.bytes().all(|byte| byte.is_ascii_graphic()) && !raw.starts_with(':');
        if is_fit && (1..=ECHO_CHARACTERS_MAX).contains(&raw.len()) {
            return Echo(Cow::Borrowed(raw));
        }
        let fit = raw.trim_start_matches(':').chars().filter(|c| *c != ' ' && !c.is_control());
        let fit: String = fit.take(ECHO_CHARACTERS_MAX).collect();
        Echo(if fit.is_empty() { Cow::Borrowed("*") } else { Cow::Owned(fit) })
    }
}

impl fmt::Display for Echo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<char> for Word {
    fn from(letter: char) -> Word {
        Word::echo(letter.encode_utf8(&mut [0; 4]))
    }
}

macro_rules! reads_as_its_text {
    ($($name:ty),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )* };
}

macro_rules! is_a_word {
    ($($name:ty),*) => { $(
        impl From<&$name> for Word {
            fn from(name: &$name) -> Word {
                Word(name.as_str().to_string())
            }
        }
    )* };
}

reads_as_its_text!(ServerId, UserId, Nick, ChannelName, ServerName, MetadataKey, Word);
is_a_word!(ServerId, UserId, Nick, ChannelName, ServerName, MetadataKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nick_never_looks_like_a_uid() {
        for (text, fit) in [
            ("alice", true),
            ("[a]\\`_^{|}-9", true),
            ("9lives", false),
            ("-dash", false),
            ("", false),
            ("a b", false),
            ("a.b", false),
            ("#a", false),
            ("ünal", false),
        ] {
            assert_eq!(Nick::parse(text, 30).is_some(), fit, "{text}");
        }
        assert!(Nick::parse("abcdef", 5).is_none());
        assert!(Nick::from_peer("7FAAAAAAB").is_some());
    }

    #[test]
    fn keys_of_metadata_are_small_and_plain() {
        for (text, fit) in [
            ("avatar", true),
            ("example.com/x_1-y", true),
            ("", false),
            ("Avatar", false),
            (":a", false),
            ("$url$", false),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(MetadataKey::parse(text).is_some(), fit, "{text}");
        }
        let (lowest, highest) = MetadataKey::range();
        assert!(lowest < MetadataKey::parse("-").unwrap() && MetadataKey::parse("z").unwrap() < highest);
    }

    #[test]
    fn a_host_name_is_no_address() {
        for (text, fit) in [
            ("3-100-51-198.pool.isp.example", true),
            ("laptop", true),
            ("198.51.100.3", false),
            ("2001:db8::3", false),
            ("", false),
            ("a..b", false),
            ("a@b", false),
            (&"a".repeat(64), false),
        ] {
            assert_eq!(is_host_name(text), fit, "{text}");
        }
    }

    #[test]
    fn channel_names_hold_no_separator() {
        for (text, fit) in [
            ("#a", true),
            ("#", true),
            ("#æ", true),
            ("#a b", false),
            ("#a,b", false),
            ("#a\u{7}", false),
            ("a", false),
        ] {
            assert_eq!(ChannelName::parse(text, 64).is_some(), fit, "{text}");
        }
    }

    #[test]
    fn ids_keep_the_shape_of_ts6() {
        let server = ServerId::parse("7FA").unwrap();
        assert_eq!(UserId::numbered(server, 0).as_str(), "7FAA00000");
        assert_eq!(UserId::numbered(server, 37).as_str(), "7FAA00011");
        assert_eq!(UserId::numbered(server, USER_IDS).as_str(), "7FAA00000");
        assert!(UserId::numbered(server, 9) < UserId::numbered(server, 10));
        assert_eq!(UserId::numbered(server, USER_IDS - 1).as_str(), "7FAZZZZZZ");
        assert_eq!(UserId::parse("7FAAAAABB").unwrap().server(), server);
        for text in ["7F", "FFA", "7fa", "7FAA"] {
            assert!(ServerId::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_echoed_cannot_break_a_line() {
        for (raw, word) in [("a b", "ab"), ("::x", "x"), ("", "*"), (" \r\n", "*")] {
            assert_eq!(Word::echo(raw).as_str(), word);
        }
    }
}
