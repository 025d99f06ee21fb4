//! What a server can be held to: that it agrees with all who have heard the same, and that nothing piles up in it.

use std::collections::BTreeSet;

use super::Engine;
use super::merge::{Dot, Fact, Stream, Vector};
use super::network::{Digest, Edit, Key, REDACTED_MAX, Reach, Standing, Value};
use crate::wire::names::ServerId;

/// What must be equal on any two servers at any two moments, if they had heard the same by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// A digest of how far each origin's facts have been heard.
    pub heard_hash: u64,
    /// A digest of the facts that count.
    pub facts_hash: u64,
    /// A digest of what is known to be superseded though it has not come.
    pub early_hash: u64,
    /// How much each server's users count here: what is seen is decided by this and by what was heard.
    pub standings_hash: u64,
    /// There are people who have yet to be shown, or not any more, as that says.
    pub is_turning: bool,
}

/// How much of something there is, and how much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub what: &'static str,
    pub count: usize,
    pub most: usize,
}

impl Engine {
    /// What is seen here is decided by this: how far facts have been heard, and who can be reached.
    pub(super) fn sight_hash(&self) -> u64 {
        let mut digest = Digest::default();
        for stream in Stream::OF_FACTS {
            digest_vector(&mut digest, self.network.seen(stream), stream);
        }
        self.digest_standings(&mut digest);
        digest.add_bytes(&[u8::from(self.network.is_turning())]);
        digest.0
    }

    fn digest_standings(&self, standings: &mut Digest) {
        // Who was never in reach counts as suspended.
        let told = |reach: Reach| reach.standing() != Standing::Suspended;
        for (server, reach) in self.network.reaches().filter(|(_, reach)| told(*reach)) {
            digest_server(standings, server);
            standings.add_bytes(&[u8::from(reach.standing() == Standing::Present)]);
        }
    }

    /// Cheap enough to be asked for after every step of a test.
    pub fn audit(&self) -> Audit {
        let (mut heard_digest, mut facts_digest) = (Digest::default(), Digest::default());
        let (mut early_digest, mut standings) = (Digest::default(), Digest::default());
        for stream in Stream::OF_FACTS {
            digest_vector(&mut heard_digest, self.network.seen(stream), stream);
            for (_, fact) in self.facts_that_may_show(stream) {
                digest_dot(&mut facts_digest, fact.dot);
                facts_digest.add_bytes(&fact.stamp.number().to_be_bytes());
            }
            for named in self.network.in_force(stream).early().iter() {
                digest_dot(&mut early_digest, named.dot);
                early_digest.add_bytes(&named.mark.to_be_bytes());
            }
        }
        self.digest_standings(&mut standings);
        Audit {
            heard_hash: heard_digest.0,
            facts_hash: facts_digest.0,
            early_hash: early_digest.0,
            standings_hash: standings.0,
            is_turning: self.network.is_turning(),
        }
    }

    /// How far each origin has been heard, by stream: `7FA.2`, and a number that only rises.
    pub fn heard(&self) -> [Vec<(String, u64)>; 3] {
        Stream::ALL.map(|stream| {
            let tips = self.network.seen(stream).iter();
            tips.map(|(origin, tip)| (origin.to_string(), tip)).collect()
        })
    }

    /// A digest of all that is computed from facts and standings, shown or not.
    pub fn meaning_hash(&self) -> u64 {
        self.network.meaning_hash()
    }

    /// What facts mean here, in lines that tell two servers apart.
    pub fn meaning_shown(&self) -> Vec<String> {
        self.network.meaning_shown()
    }

    /// One line for each fact that counts, for people who look for the difference between two servers.
    pub fn facts_shown(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for stream in Stream::OF_FACTS {
            let facts = self.facts_that_may_show(stream);
            lines.extend(
                facts.map(|(key, fact)| format!("{} {} {key:?} {:?}", fact.dot, fact.stamp, fact.value)),
            );
            let early = self.network.in_force(stream).early().iter();
            lines.extend(early.map(|named| format!("{} is superseded if of {:x}", named.dot, named.mark)));
        }
        lines
    }

    fn facts_that_may_show(&self, stream: Stream) -> impl Iterator<Item = (&Key, &Fact<Value>)> {
        self.network.in_force(stream).iter().filter(|(key, fact)| self.network.may_show(key, fact))
    }

    /// The messages that are here for whoever missed them: which, and their texts.
    pub fn messages(&self) -> impl Iterator<Item = (String, &str)> {
        self.network.talk().log().iter().filter_map(|change| match &change.edit {
            Edit::Message(message) => Some((change.dot.to_string(), message.text.as_str())),
            _ => None,
        })
    }

    /// The messages that count as taken back.
    pub fn redacted(&self) -> BTreeSet<String> {
        self.network.talk().redacted().iter().map(|dot| dot.to_string()).collect()
    }

    /// Everything that is bounded.
    pub fn loads(&self) -> Vec<Load> {
        let limits = &self.config.limits;
        let load = |what, count, most| Load { what, count, most };
        let mut loads = vec![
            load("events kept of one origin", self.network.recent().longest(), limits.events_kept),
            load("messages kept of one origin", self.network.talk().log().longest(), limits.messages_kept),
            load("messages taken back", self.network.talk().redacted().iter().count(), REDACTED_MAX),
            load("lines left over from a step", self.outgoing.len() + self.effects.len(), 0),
        ];
        loads.extend(self.intake.loads());
        loads.push(self.guests.load(self.config.limits.send_queue));
        loads
    }
}

fn digest_vector(digest: &mut Digest, vector: &Vector, stream: Stream) {
    for (origin, seq) in vector.iter() {
        digest_dot(digest, Dot { origin, stream, seq });
    }
}

fn digest_dot(digest: &mut Digest, dot: Dot) {
    digest_server(digest, dot.origin.server);
    digest.add_bytes(&[dot.stream.letter() as u8]);
    digest.add_bytes(&dot.origin.epoch.to_be_bytes());
    digest.add_bytes(&dot.seq.to_be_bytes());
}

fn digest_server(digest: &mut Digest, server: ServerId) {
    digest.add_bytes(server.as_str().as_bytes());
}
