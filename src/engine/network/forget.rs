//! What no view can ever show again is let go of: here, and without anybody's consent.
//!
//! A status given to a join that is over is simply dropped. What was set on a channel that nobody bears
//! any more is removed by whoever wrote it, and as a write: somebody out of reach may still bear it, and
//! has to hear of it.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Edit, Key, Value};
use super::channel::Item;
use super::metadata::Subject;
use super::{Network, UserId};
use crate::defect::{Defect, is_planted};
use crate::engine::merge::{Fact, Facts, Stamp};
use crate::wire::fold::Folded;

/// How many births are looked at, and how many facts removed, at once: a few milliseconds' worth, for which everyone waits.
const LOOKED_AT_ONCE: usize = 500;
const REMOVED_AT_ONCE: usize = 100;

/// Births of channels that may have no bearer left.
#[derive(Clone, Debug, Default)]
pub(super) struct Barren {
    /// Nobody has looked at these yet.
    suspects: BTreeSet<(Folded, Stamp)>,
    /// Since when it is known that nobody bears it.
    since: BTreeMap<(Folded, Stamp), u64>,
    by_time: BTreeSet<(u64, Folded, Stamp)>,
}

impl Barren {
    /// Somebody stopped bearing it, or something was set under it that does not show.
    pub fn suspect(&mut self, channel: &Folded, birth: Stamp) {
        let birth = (channel.clone(), birth);
        self.clear(&birth);
        self.suspects.insert(birth);
    }

    fn convict(&mut self, (channel, birth): (Folded, Stamp), now_ms: u64) {
        self.by_time.insert((now_ms, channel.clone(), birth));
        self.since.insert((channel, birth), now_ms);
    }

    fn clear(&mut self, birth: &(Folded, Stamp)) {
        if let Some(since_ms) = self.since.remove(birth) {
            self.by_time.remove(&(since_ms, birth.0.clone(), birth.1));
        }
    }

    /// One of those that nobody has borne since then or longer.
    fn next_until(&self, until_ms: u64) -> Option<(Folded, Stamp)> {
        let (since_ms, channel, birth) = self.by_time.first()?;
        (*since_ms <= until_ms).then(|| (channel.clone(), *birth))
    }
}

impl Network {
    /// Notes the latest stamp that was heard of a server; one server's only rise.
    pub(super) fn hear(&mut self, stamp: Stamp) {
        let heard = self.heard.entry(stamp.server).or_insert(stamp);
        *heard = stamp.max(*heard);
    }

    /// Whether somebody is on a channel by this very join, in the present run of their server.
    fn holds(&self, channel: &Folded, user: UserId, joined: Stamp) -> bool {
        let fact = self.facts.get(&Key::Member(channel.clone(), user));
        fact.is_some_and(|fact| {
            let is_it = matches!(&fact.value, Value::Member(member) if member.joined == joined);
            is_it && self.facts.seen().epoch(user.server()) == Some(fact.dot.origin.epoch)
        })
    }

    /// Whether a join has ended: its server has spoken since, and it does not hold any more.
    pub(super) fn is_over(&self, channel: &Folded, user: UserId, joined: Stamp) -> bool {
        !self.holds(channel, user, joined)
            && self.heard.get(&user.server()).is_some_and(|heard| *heard > joined)
    }

    /// Whether a fact can mean anything here. Those that cannot are forgotten, on one server sooner than on another.
    pub fn may_show(&self, key: &Key, fact: &Fact<Value>) -> bool {
        match (key, &fact.value) {
            // What a server says of itself and its users ends with its run.
            (key, _) if key.is_owned() => {
                self.facts.seen().epoch(fact.dot.origin.server) == Some(fact.dot.origin.epoch)
            }
            (Key::Status(channel, _, user, _), Value::Status(status)) => {
                self.holds(channel, *user, status.joined)
            }
            // Nobody here can read it.
            (Key::Foreign(_), _) => false,
            _ => true,
        }
    }

    /// Drops what was given to joins of somebody under one birth of a channel that are over.
    pub(super) fn forget_statuses(&mut self, channel: &Folded, birth: Stamp, user: UserId) {
        let (first, last) = status_keys(channel, birth, user);
        let keys: Vec<Key> = self.facts.range(&first, &last).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.forget_if_over(&key);
        }
    }

    /// Drops what stands under the key of a status and was given to a join that is over.
    pub(super) fn forget_if_over(&mut self, key: &Key) {
        let Key::Status(channel, _, user, _) = key else { return };
        if is_planted(Defect::StatusForAnyJoin) {
            return;
        }
        let siblings = self.facts.siblings(key).iter();
        let joins = siblings.filter_map(|fact| match &fact.value {
            Value::Status(status) => Some(status.joined),
            _ => None,
        });
        let over: Vec<Stamp> = joins.filter(|joined| self.is_over(channel, *user, *joined)).collect();
        let is_over = |fact: &Fact<Value>| matches!(&fact.value, Value::Status(status) if over.contains(&status.joined));
        if !over.is_empty() {
            self.facts.forget(key, is_over);
        }
    }

    /// What this server has to remove because nobody has borne it for so long: its own writings, of this
    /// run and of those before. Some of it, and whether there is more.
    pub fn barren_facts(&mut self, now_ms: u64, after_ms: u64) -> (Vec<Edit>, bool) {
        for _ in 0..LOOKED_AT_ONCE {
            let Some(birth) = self.barren.suspects.pop_first() else { break };
            if !self.barren_under(&birth).is_empty() {
                self.barren.convict(birth, now_ms);
            }
        }
        let mut edits = Vec::new();
        if let Some(until_ms) = now_ms.checked_sub(after_ms) {
            while let Some(birth) = self.barren.next_until(until_ms) {
                if edits.len() >= REMOVED_AT_ONCE {
                    return (edits, true);
                }
                self.barren.clear(&birth);
                edits.extend(self.barren_under(&birth));
            }
        }
        (edits, !self.barren.suspects.is_empty())
    }

    /// What this server has set under a birth that nobody bears.
    fn barren_under(&self, (channel, birth): &(Folded, Stamp)) -> Vec<Edit> {
        // What is set on a registered channel stays, though nobody is there.
        let is_registered = self.registrations.get(channel).is_some_and(|known| known.birth == *birth);
        if is_registered || self.is_borne(channel, *birth) {
            return Vec::new();
        }
        self.own_under(channel, *birth)
    }

    /// Whether anybody is on the channel under that birth, in sight or not.
    fn is_borne(&self, channel: &Folded, birth: Stamp) -> bool {
        let first = Key::Member(channel.clone(), UserId::LOWEST);
        let last = Key::Member(channel.clone(), UserId::HIGHEST);
        let mut members = self.facts.range(&first, &last);
        members.any(|(_, fact)| matches!(&fact.value, Value::Member(member) if member.birth == birth))
    }

    /// The removal of all that this server has set under a birth.
    fn own_under(&self, channel: &Folded, birth: Stamp) -> Vec<Edit> {
        let by = self.server_name(self.me).to_string();
        let is_own = |edit: &Edit| {
            let key = edit.fact(self.me).map(|(key, _)| key);
            let siblings = key.as_ref().map_or(&[][..], |key| self.facts.siblings(key));
            siblings.iter().any(|fact| fact.dot.origin.server == self.me)
        };
        ends_under(&self.facts, channel, birth, &by).into_iter().filter(is_own).collect()
    }
}

/// The removal of all that is set under a birth.
pub(super) fn ends_under(facts: &Facts<Key, Value>, channel: &Folded, birth: Stamp, by: &str) -> Vec<Edit> {
    let settings = (
        Key::Setting(channel.clone(), birth, Item::Mode('\0')),
        Key::Setting(channel.clone(), birth, Item::Topic),
    );
    let masks = (
        Key::Mask(channel.clone(), birth, '\0', String::new()),
        Key::Mask(channel.clone(), birth, char::MAX, String::new()),
    );
    let said = Subject::Channel(channel.clone(), birth).keys();
    let under = [settings, masks, said].into_iter().flat_map(|(first, last)| {
        let keys = facts.range(&first, &last).map(|(key, _)| key.clone());
        keys.collect::<Vec<_>>()
    });
    let by = || by.to_string();
    let removal = |key: Key| match key {
        Key::Setting(channel, birth, item) => {
            Some(Edit::Setting { channel, birth, item, value: None, by: by() })
        }
        Key::Mask(channel, birth, list, mask) => {
            Some(Edit::Mask { channel, birth, list, mask, fact: None, by: by() })
        }
        Key::Metadata(of, key) => Some(Edit::Metadata { of, key, value: None, by: by() }),
        _ => None,
    };
    under.filter_map(removal).collect()
}

/// The first and last key under which somebody's statuses can stand.
pub(super) fn status_keys(channel: &Folded, birth: Stamp, user: UserId) -> (Key, Key) {
    (Key::Status(channel.clone(), birth, user, '\0'), Key::Status(channel.clone(), birth, user, char::MAX))
}
