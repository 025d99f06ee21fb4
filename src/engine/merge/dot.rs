//! What has been said, and what has been seen of it.

use std::collections::BTreeMap;
use std::fmt;

use crate::wire::base36::{self, Base36};
use crate::wire::names::ServerId;

/// One run of one server: who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    pub server: ServerId,
    pub epoch: u32,
}

/// What an origin says it says in streams, each numbered gapless from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Facts that live in memory and end with their origin's run.
    Session,
    /// Facts that are kept on disk. Their origin's epoch is its generation: that of its store.
    Durable,
    /// What people say to each other.
    Message,
}

impl Stream {
    pub const ALL: [Stream; 3] = [Stream::Session, Stream::Durable, Stream::Message];

    /// Those of facts, which supersede each other.
    pub const OF_FACTS: [Stream; 2] = [Stream::Durable, Stream::Session];

    pub fn letter(self) -> char {
        match self {
            Stream::Session => 'S',
            Stream::Durable => 'D',
            Stream::Message => 'M',
        }
    }

    pub fn from_letter(letter: char) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.letter() == letter)
    }
}

/// The identity of one fact or message, on every server alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    pub origin: Origin,
    pub stream: Stream,
    pub seq: u64,
}

impl Origin {
    pub fn parse(text: &str) -> Option<Origin> {
        let (server, epoch) = text.split_once('.')?;
        let epoch = u32::try_from(base36::parse(epoch)?).ok()?;
        Some(Origin { server: ServerId::parse(server)?, epoch })
    }
}

impl Dot {
    pub fn parse(text: &str) -> Option<Dot> {
        let (origin, place) = text.rsplit_once('.')?;
        let stream = Stream::from_letter(place.chars().next()?)?;
        let seq = base36::parse(&place[1..])?;
        Some(Dot { origin: Origin::parse(origin)?, stream, seq })
    }
}

/// `7FA.2`
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.server.as_str())?;
        f.write_str(".")?;
        Base36(u64::from(self.epoch)).fmt(f)
    }
}

/// `7FA.2.S5k`
impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)?;
        f.write_str(match self.stream {
            Stream::Session => ".S",
            Stream::Durable => ".D",
            Stream::Message => ".M",
        })?;
        Base36(self.seq).fmt(f)
    }
}

/// How far each origin has been heard, in one stream; contiguous from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector(BTreeMap<Origin, u64>);

impl Vector {
    pub fn tip(&self, origin: Origin) -> u64 {
        self.0.get(&origin).copied().unwrap_or(0)
    }

    pub fn covers(&self, dot: Dot) -> bool {
        dot.seq <= self.tip(dot.origin)
    }

    pub fn is_next(&self, dot: Dot) -> bool {
        dot.seq == self.tip(dot.origin) + 1
    }

    /// From here on everything of this origin up to this number counts as seen.
    pub fn raise(&mut self, origin: Origin, seq: u64) {
        if seq > 0 {
            let tip = self.0.entry(origin).or_default();
            *tip = seq.max(*tip);
        }
    }

    /// Counts an origin as heard just so far, whatever was known before.
    pub fn set(&mut self, origin: Origin, seq: u64) {
        self.0.remove(&origin);
        self.raise(origin, seq);
    }

    pub fn join(&mut self, other: &Vector) {
        other.iter().for_each(|(origin, tip)| self.raise(origin, tip));
    }

    /// What both cover.
    pub fn within(&self, other: &Vector) -> Vector {
        self.iter().map(|(origin, tip)| (origin, tip.min(other.tip(origin)))).collect()
    }

    /// The entries of `self` that lie beyond `other`.
    pub fn beyond(&self, other: &Vector) -> Vector {
        Vector(self.iter().filter(|&(origin, tip)| tip > other.tip(origin)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many origins have been heard.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Origin, u64)> {
        self.0.iter().map(|(origin, tip)| (*origin, *tip))
    }

    /// The latest run that has been heard of a server.
    pub fn epoch(&self, server: ServerId) -> Option<u32> {
        let first = Origin { server, epoch: 0 };
        let last = Origin { server, epoch: u32::MAX };
        self.0.range(first..=last).next_back().map(|(origin, _)| origin.epoch)
    }
}

impl FromIterator<(Origin, u64)> for Vector {
    fn from_iter<I: IntoIterator<Item = (Origin, u64)>>(entries: I) -> Vector {
        let mut vector = Vector::default();
        entries.into_iter().for_each(|(origin, tip)| vector.raise(origin, tip));
        vector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_survive_the_wire() {
        let origin = Origin { server: ServerId::parse("7FA").unwrap(), epoch: 2 };
        let dot = Dot { origin, stream: Stream::Session, seq: 200 };
        assert_eq!(dot.to_string(), "7FA.2.S5k");
        assert_eq!(Dot::parse("7FA.2.S5k"), Some(dot));
        for text in
            ["", "7FA", "7FA.2", "7FA.2.", "7FA.2.X1", "7FA.2.S", "7FA.2.S-1", "7FA.2.Sé", "7FA.99999999.S1"]
        {
            assert_eq!(Dot::parse(text), None, "{text}");
        }
    }
}
