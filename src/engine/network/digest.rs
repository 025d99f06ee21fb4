//! Sums of what a server holds, to compare it with what others hold.

use std::fmt::Debug;

use super::{Key, Network, Standing, User, Value};
use crate::engine::merge::{Digested, Fact, Stream};

impl Network {
    /// A sum over all facts that servers have to hold alike; equal where the same has been heard.
    pub fn facts_hash(&self, stream: Stream) -> u64 {
        let statuses = self.statuses_that_count(stream).map(|(key, fact)| Value::digest(key, fact));
        statuses.fold(self.facts(stream).sum(), u64::wrapping_add)
    }

    /// The facts that are part of that sum. Anyone may forget the others on their own.
    pub fn facts_that_count(&self, stream: Stream) -> impl Iterator<Item = (&Key, &Fact<Value>)> {
        let facts = self.facts(stream);
        let summed = facts.iter().filter(|(key, fact)| facts.is_summed(key, fact));
        summed.chain(self.statuses_that_count(stream))
    }

    /// Statuses given to a join that is not over.
    fn statuses_that_count(&self, stream: Stream) -> impl Iterator<Item = (&Key, &Fact<Value>)> {
        self.facts(stream).iter().filter(|(key, fact)| match (key, &fact.value) {
            (Key::Status(channel, _, user, _), Value::Status(status)) => {
                let member = self.facts.get(&Key::Member(channel.clone(), *user));
                let in_latest_run = |fact: &Fact<Value>| self.facts.is_summed(&Key::User(*user), fact);
                member.is_some_and(|fact| {
                    let joined =
                        matches!(&fact.value, Value::Member(member) if member.joined == status.joined);
                    joined && in_latest_run(fact)
                })
            }
            _ => false,
        })
    }

    /// A digest of how far every origin has been heard.
    pub fn seen_hash(&self) -> u64 {
        let mut digest = Digest::default();
        digest.add(&(self.facts.seen(), self.durable.facts().seen(), self.talk.seen()));
        digest.0
    }

    /// A digest of everything users see, equal on servers that have heard the same.
    pub fn view_hash(&self) -> u64 {
        let mut digest = Digest::default();
        for server in self.servers() {
            digest.add(server);
        }
        for user in self.users() {
            digest.add(user);
        }
        for (name, channel) in self.channels() {
            digest.add(&(name, &channel.name, channel.birth, &channel.modes, &channel.topic, &channel.lists));
            digest.add(&channel.metadata);
            for (user, member) in channel.members() {
                digest.add(&(user, member.fact.joined, member.status));
            }
        }
        for registration in self.registrations.iter() {
            digest.add(&registration);
        }
        for account in self.accounts.iter() {
            digest.add(account);
        }
        for (kind, mask, ban) in self.bans.iter() {
            digest.add(&(kind, mask, &ban.fact));
        }
        digest.0
    }

    /// A digest of everything that is computed from facts, shown or not: equal on servers that have heard the
    /// same and to whom each server counts as much.
    pub fn meaning_hash(&self) -> u64 {
        let mut digest = Digest::default();
        self.each_meaning(|thing| digest.add(&thing));
        digest.0
    }

    /// The same in lines, for people who look for the difference between two servers.
    pub fn meaning_shown(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.each_meaning(|thing| lines.push(format!("{thing:?}")));
        lines
    }

    fn each_meaning(&self, mut take: impl FnMut(&dyn Debug)) {
        self.servers.values().for_each(|server| take(server));
        let counts = |user: &&User| user.standing != Standing::Forgotten;
        self.users.values().filter(counts).for_each(|user| take(user));
        self.channels.iter().for_each(|(name, channel)| take(&(name, channel)));
        self.registrations.iter().for_each(|registration| take(&registration));
        self.accounts.iter().for_each(|account| take(account));
        self.bans.iter().for_each(|(kind, mask, ban)| take(&(kind, mask, &ban.fact)));
    }
}

/// FNV-1a over what things print as for debugging: slow, but nothing can be forgotten; or over bytes.
pub struct Digest(pub u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn add(&mut self, thing: &impl Debug) {
        std::fmt::Write::write_fmt(self, format_args!("{thing:?}\n")).expect("a digest takes any text");
    }
}

impl std::fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.add_bytes(text.as_bytes());
        Ok(())
    }
}
