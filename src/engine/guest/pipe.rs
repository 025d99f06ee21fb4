//! One end of a pipe: words in both directions, each heard once and in order, whatever becomes of the way between.
//!
//! Words are numbered from 1, kept until the other end has acknowledged them, and said again where it has not in time, or
//! where the way to it has changed. What comes out of turn is dropped: it comes again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::engine::cap::{Cap, Caps};
use crate::engine::event::ConnId;
use crate::engine::merge::{Origin, Vector};
use crate::wire::names::{MetadataKey, Nick, ServerId, UserId};
use crate::wire::time::Timestamp;

/// After so long words are said again, then after twice as long each time, up to the other.
const AGAIN_AFTER_MS: u64 = 1_000;
const AGAIN_AFTER_MS_MAX: u64 = 8_000;

/// So many words are said again at once. The rest follows when those are acknowledged.
const AGAIN_AT_ONCE: usize = 64;

/// So many words at most are heard before they are acknowledged; the tick sees to fewer.
const HEARD_UNTOLD_MAX: u64 = 16;

/// More than the longest line with all its tags: what grows beyond it was never one.
const LINE_BYTES_MAX: usize = 16 << 10;

/// A line between servers has room for so much of a client's. Longer ones travel in parts.
pub(super) const PART_BYTES: usize = 3_500;

/// One long answer is no sign of a slow reader: what counts is that no word of it is acknowledged in time. So many times
/// as much as may wait is too much all the same.
pub const ONE_ANSWER: usize = 16;

/// What goes through a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// A line of the client's, or for it.
    Line(String),
    /// The beginning of one that is longer than a line between servers.
    Part(String),
    /// The client has said a line that was too long.
    TooLong,
    /// The client has said a line that was no text, of which this can be read.
    NotText(String),
    /// The client says more than it may, and is read more slowly.
    Slowed,
    /// What the client had said of itself for programs to read, before it was anybody.
    Said(MetadataKey, String),
    /// The keys of metadata that the client wants to be told of.
    Wanted(BTreeSet<MetadataKey>),
    /// The nicks that it watches, and whether it knows that somebody has them.
    Watched(Vec<(Nick, bool)>),
    /// What the client asked for has cost so many lines more.
    Charge(u32),
    /// Whether limits on speed are for the client.
    Hurry(bool),
    /// What the client has agreed on by now, and in which version of CAP.
    Caps(Caps, u64),
    /// Home ends, and the client is to be somebody where it is connected.
    Leaving,
    /// The person is somebody else's guest from now on, or nobody's: how far messages had been told, and until when.
    Moved(Vector, Timestamp),
    /// The connection has ended, or is to end.
    Closed(String),
    /// What only a later version can read.
    Unknown,
}

/// A pipe: by the run of the server that the client is connected to, and a number that it has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PipeId {
    pub host: Origin,
    pub number: u64,
}

#[derive(Debug)]
pub struct Pipe {
    /// Who is at the other end.
    pub other: Origin,
    /// When it was last heard.
    pub heard_at: Timestamp,
    /// The person that the client is.
    pub user: UserId,
    /// The client's connection, as this end calls it, until that has gone.
    pub conn: Option<ConnId>,
    /// At a host: the nicks that the client watches, and who had each when home was last heard.
    pub watched: BTreeMap<Nick, Option<UserId>>,
    /// Words that the other end may not have heard.
    unheard: VecDeque<Parcel>,
    unheard_bytes: usize,
    /// The number of the first of them.
    first: u64,
    /// By which neighbour they were last said.
    pub hop: Option<ServerId>,
    /// The number of the last word for which there ever was a way.
    sent: u64,
    again_ms: u64,
    wait_ms: u64,
    /// Since when none of them has been acknowledged.
    waiting_since_ms: u64,
    /// Whether some were said again, and others behind those were not.
    is_behind: bool,
    /// The number of the last word that has been heard here, and of the last that the other end was told of.
    heard: u64,
    told: u64,
    /// Whether it does not know that some have been heard, and says them again.
    owes: bool,
    /// What has come of a line that travels in parts.
    part: String,
    /// Whether there was no room for a word: then there is for none after it, since nobody hears lines with gaps.
    is_full: bool,
}

impl Pipe {
    pub fn new(other: Origin, user: UserId, conn: ConnId) -> Pipe {
        Pipe {
            other,
            heard_at: Timestamp::default(),
            user,
            conn: Some(conn),
            watched: BTreeMap::new(),
            unheard: VecDeque::new(),
            unheard_bytes: 0,
            first: 1,
            hop: None,
            sent: 0,
            again_ms: 0,
            wait_ms: AGAIN_AFTER_MS,
            waiting_since_ms: 0,
            is_behind: false,
            heard: 0,
            told: 0,
            owes: false,
            part: String::new(),
            is_full: false,
        }
    }

    /// Takes a word that is to be said, in as many parts as it needs; returns their numbers.
    pub fn push(&mut self, parcel: Parcel, now_ms: u64) -> std::ops::Range<u64> {
        if self.unheard.is_empty() {
            self.wait_from(now_ms);
        }
        let start = self.next();
        let mut rest = match parcel {
            Parcel::Line(line) => line,
            parcel => {
                self.keep(parcel);
                return start..self.next();
            }
        };
        while rest.len() > PART_BYTES {
            let end = (0..=PART_BYTES).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(0);
            let behind = rest.split_off(end);
            self.keep(Parcel::Part(std::mem::replace(&mut rest, behind)));
        }
        self.keep(Parcel::Line(rest));
        start..self.next()
    }

    fn keep(&mut self, parcel: Parcel) {
        self.unheard_bytes += parcel.bytes();
        self.unheard.push_back(parcel);
    }

    fn wait_from(&mut self, now_ms: u64) {
        self.waiting_since_ms = now_ms;
        (self.again_ms, self.wait_ms) = (now_ms + AGAIN_AFTER_MS, AGAIN_AFTER_MS);
    }

    fn next(&self) -> u64 {
        self.first + self.unheard.len() as u64
    }

    /// Whether there is room for one more word, if all may have so many bytes; once there is not, the pipe is to be closed.
    pub fn has_room(&mut self, bytes_max: usize, now_ms: u64) -> bool {
        let is_slow = self.unheard_bytes >= bytes_max && now_ms >= self.waiting_since_ms + AGAIN_AFTER_MS;
        self.is_full |= is_slow || self.unheard_bytes >= bytes_max.saturating_mul(ONE_ANSWER);
        !self.is_full
    }

    pub fn is_full(&self) -> bool {
        self.is_full
    }

    pub fn unheard_bytes(&self) -> usize {
        self.unheard_bytes
    }

    /// Whether the other end has heard all that was said.
    pub fn is_heard(&self) -> bool {
        self.unheard.is_empty()
    }

    /// A word is being said, and there is a way for it.
    pub fn is_sent(&mut self, number: u64) {
        self.sent = self.sent.max(number);
    }

    /// What nobody can have heard, since there was no way for it; and whether there is more that perhaps nobody has.
    pub fn unsent(self) -> (Vec<Parcel>, bool) {
        let (sent, first) = (self.sent, self.first);
        let numbered = self.unheard.into_iter().enumerate();
        let (maybe, unsent): (Vec<_>, Vec<_>) =
            numbered.partition(|(place, _)| first + *place as u64 <= sent);
        let is_said = |parcel: &Parcel| !matches!(parcel, Parcel::Line(line) if line.starts_with("PONG"));
        let is_in_doubt = maybe.iter().any(|(_, parcel)| is_said(parcel));
        let mut part = String::new();
        let mut whole = Vec::new();
        for (_, parcel) in unsent {
            match parcel {
                Parcel::Part(text) => part.push_str(&text),
                Parcel::Line(line) => whole.push(Parcel::Line(std::mem::take(&mut part) + &line)),
                parcel => whole.push(parcel),
            }
        }
        (whole, is_in_doubt)
    }

    pub fn parcel(&self, number: u64) -> Option<&Parcel> {
        self.unheard.get(number.checked_sub(self.first)? as usize)
    }

    /// The other end has heard all up to this number; returns the numbers of what is said next because of that.
    pub fn acknowledged(&mut self, number: u64, now_ms: u64) -> std::ops::Range<u64> {
        if number < self.first || number >= self.next() {
            return 0..0;
        }
        while self.first <= number
            && let Some(parcel) = self.unheard.pop_front()
        {
            self.unheard_bytes -= parcel.bytes();
            self.first += 1;
        }
        self.wait_from(now_ms);
        if std::mem::take(&mut self.is_behind) { self.again() } else { 0..0 }
    }

    /// What is said again by now, by that neighbour.
    pub fn due(&mut self, hop: Option<ServerId>, now_ms: u64) -> std::ops::Range<u64> {
        let is_moved = hop != self.hop;
        if hop.is_none() || self.unheard.is_empty() || (now_ms < self.again_ms && !is_moved) {
            return 0..0;
        }
        if !is_moved {
            self.wait_ms = (2 * self.wait_ms).min(AGAIN_AFTER_MS_MAX);
        }
        self.hop = hop;
        self.again_ms = now_ms + self.wait_ms;
        self.again()
    }

    fn again(&mut self) -> std::ops::Range<u64> {
        self.is_behind = self.unheard.len() > AGAIN_AT_ONCE;
        self.first..self.next().min(self.first + AGAIN_AT_ONCE as u64)
    }

    /// Takes a word of the other end's, if it is the next; gives it back where it is a whole one.
    pub fn hear(&mut self, number: u64, parcel: Parcel) -> Option<Parcel> {
        if number != self.heard + 1 {
            self.owes = true;
            return None;
        }
        self.heard = number;
        match parcel {
            Parcel::Part(text) => {
                if self.part.len() + text.len() <= LINE_BYTES_MAX {
                    self.part.push_str(&text);
                }
                None
            }
            Parcel::Line(line) if !self.part.is_empty() => {
                let mut whole = std::mem::take(&mut self.part);
                whole.push_str(&line);
                Some(Parcel::Line(whole))
            }
            parcel => Some(parcel),
        }
    }

    /// The other end is being told what has been heard.
    pub fn tell(&mut self) -> u64 {
        (self.told, self.owes) = (self.heard, false);
        self.heard
    }

    /// Whether it is to be told by itself: soon, or at once.
    pub fn is_untold(&self) -> bool {
        self.owes || self.told != self.heard
    }

    pub fn is_long_untold(&self) -> bool {
        self.heard - self.told >= HEARD_UNTOLD_MAX
    }
}

impl Parcel {
    fn bytes(&self) -> usize {
        // What each costs besides its text.
        64 + match self {
            Parcel::Line(text) | Parcel::Part(text) | Parcel::NotText(text) | Parcel::Closed(text) => {
                text.len()
            }
            Parcel::Said(key, value) => key.as_str().len() + value.len(),
            Parcel::Moved(heard, _) => 32 * heard.len(),
            Parcel::Wanted(keys) => keys.iter().map(|key| key.as_str().len() + 1).sum(),
            Parcel::Watched(nicks) => nicks.iter().map(|(nick, _)| nick.as_str().len() + 2).sum(),
            Parcel::TooLong
            | Parcel::Slowed
            | Parcel::Charge(_)
            | Parcel::Hurry(_)
            | Parcel::Caps(..)
            | Parcel::Leaving
            | Parcel::Unknown => 0,
        }
    }
}

/// Capabilities by name, as many as this version knows.
pub fn read_caps(text: &str) -> Caps {
    let mut caps = Caps::default();
    text.split(',').filter_map(Cap::find).for_each(|cap| caps.set(cap, true));
    caps
}

pub fn write_caps(caps: Caps) -> String {
    caps.iter().map(Cap::name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe() -> Pipe {
        let other = Origin { server: ServerId::LOWEST, epoch: 1 };
        Pipe::new(other, UserId::numbered(ServerId::LOWEST, 1), ConnId(1))
    }

    fn line(text: &str) -> Parcel {
        Parcel::Line(text.to_string())
    }

    #[test]
    fn what_is_lost_is_said_again_and_nothing_is_heard_twice() {
        let (mut near, mut far, mut heard) = (pipe(), pipe(), Vec::new());
        let (hop, mut now_ms) = (Some(ServerId::LOWEST), 0);
        near.due(hop, now_ms);
        for number in 0..200 {
            for said in near.push(line(&number.to_string()), now_ms) {
                // Every third is lost on its way.
                if said % 3 != 0 {
                    heard.extend(far.hear(said, near.parcel(said).unwrap().clone()));
                }
            }
        }
        while !near.is_heard() {
            now_ms += 500;
            let mut said: Vec<u64> = near.due(hop, now_ms).collect();
            while !said.is_empty() {
                for number in said {
                    heard.extend(far.hear(number, near.parcel(number).unwrap().clone()));
                }
                assert!(far.is_untold());
                said = near.acknowledged(far.tell(), now_ms).collect();
            }
            assert!(now_ms < 10_000);
        }
        assert_eq!(heard, (0..200).map(|number| line(&number.to_string())).collect::<Vec<_>>());
        assert_eq!(near.unheard_bytes(), 0);
        assert!(!far.is_untold());
    }

    #[test]
    fn another_way_is_taken_at_once_and_none_is_no_reason_to_speak() {
        let mut near = pipe();
        let (one, other) = (ServerId::LOWEST, ServerId::parse("9ZZ").unwrap());
        near.hop = Some(one);
        assert_eq!(near.push(line("a"), 0), 1..2);
        assert!(near.due(Some(one), 10).is_empty());
        assert_eq!(near.due(Some(other), 10), 1..2);
        assert!(near.due(None, 5_000).is_empty());
        assert_eq!(near.due(Some(other), 5_000), 1..2);
    }

    #[test]
    fn what_nobody_has_said_is_not_acknowledged() {
        let mut near = pipe();
        near.push(line("a"), 0);
        for number in [0, 2, u64::MAX] {
            assert!(near.acknowledged(number, 0).is_empty());
            assert!(!near.is_heard(), "{number}");
        }
        near.acknowledged(1, 0);
        assert!(near.is_heard());
    }

    #[test]
    fn a_line_that_is_too_long_for_one_between_servers_comes_whole() {
        let (mut near, mut far) = (pipe(), pipe());
        let long = "ä€".repeat(1_700);
        let numbers = near.push(line(&long), 0);
        assert_eq!(numbers, 1..4);
        let whole = numbers.filter_map(|number| far.hear(number, near.parcel(number).unwrap().clone()));
        assert_eq!(whole.collect::<Vec<_>>(), [line(&long)]);
        (4..100).for_each(|number| drop(far.hear(number, Parcel::Part("x".repeat(3_000)))));
        let Some(Parcel::Line(whole)) = far.hear(100, line("")) else { panic!("a line") };
        assert!(whole.len() <= LINE_BYTES_MAX);
    }
}
