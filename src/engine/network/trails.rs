//! What channels were last called that are no more, so that what was said on them is found by that name.
//!
//! All that is said on a channel stands under the name that it was made with, and so does what is said on the next
//! channel of that name. The name that a channel was given is kept for good, under its birth, as if it were registered;
//! so is the birth of a channel that takes up the name of one that was called something else in the end. Between such
//! births lies the life of one channel. Nothing else of an unregistered channel outlives it.

use std::collections::{BTreeMap, BTreeSet};

use super::Network;
use super::change::{Key, Value};
use super::channel::{Channel, Item, Setting};
use super::refresh::Touched;
use crate::engine::merge::{Facts, Stamp};
use crate::wire::fold::Folded;
use crate::wire::names::ChannelName;
use crate::wire::time::Timestamp;

/// A time in which one channel was there, and the name that all that was said on it stands under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub id: Folded,
    from: Stamp,
    until: Option<Stamp>,
}

impl Life {
    /// Until when somebody has read of it who has read that far under the name that it stands under.
    pub fn read_until(&self, time: Timestamp) -> Option<Timestamp> {
        (time >= self.from.time()).then(|| self.until.map_or(time, |until| time.min(until.time())))
    }

    /// Whether something was said in it.
    pub fn holds(&self, id: &Folded, said: Stamp) -> bool {
        *id == self.id && said >= self.from && self.until.is_none_or(|until| said < until)
    }
}

/// The last name of each life of which one is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Trails {
    lives: BTreeMap<Folded, BTreeMap<Stamp, ChannelName>>,
    by_name: BTreeMap<Folded, BTreeSet<(Folded, Stamp)>>,
}

impl Trails {
    pub fn of(facts: &Facts<Key, Value>) -> Trails {
        let mut trails = Trails::default();
        for (key, _) in facts.iter() {
            trails.refresh(key, facts);
        }
        trails
    }

    fn refresh(&mut self, key: &Key, facts: &Facts<Key, Value>) {
        let Key::Setting(id, birth, Item::Name) = key else { return };
        let lives = self.lives.entry(id.clone()).or_default();
        if let Some(name) = lives.remove(birth)
            && let Some(known) = self.by_name.get_mut(&name.folded())
        {
            known.remove(&(id.clone(), *birth));
            if known.is_empty() {
                self.by_name.remove(&name.folded());
            }
        }
        if let Some(fact) = facts.get(key)
            && let Value::Setting(Setting::Name(renaming)) = &fact.value
        {
            self.by_name.entry(renaming.name.folded()).or_default().insert((id.clone(), *birth));
            lives.insert(*birth, renaming.name.clone());
        }
        if lives.is_empty() {
            self.lives.remove(id);
        }
    }

    /// The oldest life of those channels that may be forgotten, where more than so many are known.
    fn oldest_beyond(&self, most: usize, may_go: impl Fn(&Folded) -> bool) -> Option<(Folded, Stamp)> {
        let count: usize = self.lives.values().map(BTreeMap::len).sum();
        let lives = self.lives.iter().filter(|(id, _)| may_go(id));
        let births = lives.flat_map(|(id, lives)| lives.keys().map(move |birth| (*birth, id)));
        let oldest = births.min().map(|(birth, id)| (id.clone(), birth));
        oldest.filter(|_| count > most)
    }
}

impl Network {
    pub(super) fn refresh_trails(&mut self, touched: &Touched) {
        for key in touched.items.values().flatten() {
            self.trails.refresh(key, self.durable.facts());
        }
    }

    /// The lives of channels that were made with this name, are over, and were called something else in the end.
    fn former_lives(&self, id: &Folded) -> impl Iterator<Item = (Life, &ChannelName)> {
        let lives = self.trails.lives.get(id);
        let present = self.channels.get(id).map(|channel| channel.birth);
        let present = present.or_else(|| self.registrations.get(id).map(|registration| registration.birth));
        let births = lives.into_iter().flat_map(|lives| lives.keys().copied()).chain(present);
        let births: BTreeSet<Stamp> = births.collect();
        let is_over = move |birth: Stamp| present.is_none_or(|present| birth < present);
        let former = lives.into_iter().flatten();
        former.filter(move |(birth, name)| is_over(**birth) && name.folded() != *id).map(
            move |(birth, name)| {
                let until = births.iter().copied().find(|other| other > birth);
                (Life { id: id.clone(), from: *birth, until }, name)
            },
        )
    }

    /// What was last the name of the channel on which something was said, if that is no more and had been given one.
    pub fn former_name(&self, id: &Folded, said: Stamp) -> Option<&ChannelName> {
        self.former_lives(id).find(|(life, _)| life.holds(id, said)).map(|(_, name)| name)
    }

    /// The lives of other channels of which a channel has the last name, and those of channels that were made with the
    /// same name as it but had another one in the end.
    pub fn lives_around(&self, channel: &Channel) -> (Vec<Life>, Vec<Life>) {
        let (id, name) = (channel.id(), channel.name.folded());
        let others = self.trails.by_name.get(&name).into_iter().flatten().map(|(other, _)| other);
        let others: BTreeSet<&Folded> = others.filter(|other| **other != id).collect();
        let others = others.into_iter().flat_map(|other| self.former_lives(other));
        let here = others.filter(|(_, last)| last.folded() == name).map(|(life, _)| life).collect();
        let elsewhere = self.former_lives(&id).filter(|(_, last)| last.folded() != name);
        (here, elsewhere.map(|(life, _)| life).collect())
    }

    /// Whether a channel that is made with this name now follows one that was called something else in the end.
    pub fn follows_renamed(&self, id: &Folded) -> bool {
        let lives = self.trails.lives.get(id);
        lives.and_then(|lives| lives.last_key_value()).is_some_and(|(_, name)| name.folded() != *id)
    }

    /// The oldest life whose name is kept though it is over, where more than so many are.
    pub fn oldest_beyond(&self, most: usize) -> Option<(Folded, Stamp)> {
        self.trails.oldest_beyond(most, |id| self.registrations.get(id).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merge::{Dot, Origin, Stream, Write};
    use crate::engine::network::Renaming;
    use crate::wire::fold::fold;
    use crate::wire::names::ServerId;

    fn at(ms: u64) -> Stamp {
        Stamp { ms, ..Stamp::LOWEST }
    }

    /// The facts of which each says, in this order, that a channel of this birth was given this name, or none.
    fn named(names: &[(&str, u64, Option<&str>)]) -> Facts<Key, Value> {
        let origin = Origin { server: ServerId::LOWEST, epoch: 1 };
        let mut facts = Facts::default();
        for (seq, (id, birth, name)) in (1..).zip(names) {
            let name = name.map(|name| ChannelName::parse(name, 64).expect("a name"));
            let value = name.map(|name| Setting::Name(Renaming { name, reason: String::new() }));
            facts.apply(Write {
                dot: Dot { origin, stream: Stream::Durable, seq },
                stamp: at(1_000 + seq),
                key: Key::Setting(fold(id), at(*birth), Item::Name),
                value: value.map(Value::Setting),
                over: Vec::new(),
                ends: Vec::new(),
            });
        }
        facts
    }

    #[test]
    fn of_each_life_the_last_name_counts() {
        let given = [("#green", 5, Some("#blue")), ("#green", 9, Some("#red")), ("#green", 5, Some("#lime"))];
        let mut trails = Trails::of(&named(&given));
        let lives = |trails: &Trails, name: &str| trails.by_name.get(&fold(name)).map_or(0, BTreeSet::len);
        assert_eq!(["#blue", "#red", "#lime"].map(|name| lives(&trails, name)), [0, 1, 1]);
        assert_eq!(trails.lives[&fold("#green")].len(), 2);
        let gone = [("#green", 5, None), ("#green", 9, None)];
        let (facts, keys) = (named(&gone), [5, 9].map(|ms| Key::Setting(fold("#green"), at(ms), Item::Name)));
        keys.iter().for_each(|key| trails.refresh(key, &facts));
        assert!(trails.lives.is_empty() && trails.by_name.is_empty());
    }

    #[test]
    fn where_there_are_too_many_the_oldest_goes_that_is_not_registered() {
        let given = [("#a", 5, Some("#d")), ("#b", 3, Some("#e")), ("#c", 9, Some("#f"))];
        let trails = Trails::of(&named(&given));
        assert_eq!(trails.oldest_beyond(3, |_| true), None);
        assert_eq!(trails.oldest_beyond(2, |_| true), Some((fold("#b"), at(3))));
        assert_eq!(trails.oldest_beyond(2, |id| *id != fold("#b")), Some((fold("#a"), at(5))));
    }

    #[test]
    fn who_has_read_on_has_read_a_life_to_its_end_and_no_further() {
        let life = Life { id: fold("#green"), from: at(5), until: Some(at(9)) };
        let read = [4, 5, 8, 9, 20].map(|ms| life.read_until(Timestamp(ms)).map(|time| time.0));
        assert_eq!(read, [None, Some(5), Some(8), Some(9), Some(9)]);
        assert_eq!(Life { until: None, ..life }.read_until(Timestamp(20)), Some(Timestamp(20)));
    }

    #[test]
    fn a_life_holds_what_was_said_in_it() {
        let life = Life { id: fold("#green"), from: at(5), until: Some(at(9)) };
        let said = [4, 5, 8, 9].map(|ms| life.holds(&fold("#green"), at(ms)));
        assert_eq!(said, [false, true, true, false]);
        assert!(!life.holds(&fold("#red"), at(5)));
    }
}
