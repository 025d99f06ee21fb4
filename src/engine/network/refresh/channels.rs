//! Who is on which channel, what it is set to, and what of that is new.

use std::collections::{BTreeMap, BTreeSet};

use super::{Before, Cause, Left, Touched};
use crate::defect::{Defect, is_planted};
use crate::engine::merge::{Facts, Stamp};
use crate::engine::network::change::{Key, Value};
use crate::engine::network::channel::{Channel, Item, Member, MemberFact, Setting};
use crate::engine::network::difference::Difference;
use crate::engine::network::forget::status_keys;
use crate::engine::network::lock::Locked;
use crate::engine::network::metadata::Subject;
use crate::engine::network::news::News;
use crate::engine::network::registration::Registration;
use crate::engine::network::server::Standing;
use crate::engine::network::user::User;
use crate::engine::network::{Network, UserId};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;

impl Network {
    pub(super) fn refresh_channels(
        &mut self,
        touched: Touched,
        before: &Before,
        cause: &Cause,
    ) -> (Vec<News>, Left, Vec<News>, Vec<News>) {
        let mut members: BTreeMap<Folded, Vec<UserId>> = BTreeMap::new();
        for (channel, user) in touched.members {
            members.entry(channel).or_default().push(user);
        }
        for key in touched.items.values().flatten() {
            self.forget_if_over(key);
        }
        let names: BTreeSet<Folded> = members.keys().chain(touched.items.keys()).cloned().collect();
        let is_new = |name: &&Folded| !self.channels.contains_key(*name);
        let new: BTreeSet<Folded> = names.iter().filter(is_new).cloned().collect();
        let (mut leaving, mut joining, mut settings) = (Vec::new(), Vec::new(), Vec::new());
        let mut left = Left::new();
        for name in &names {
            let name = name.clone();
            let users = members.remove(&name).unwrap_or_default();
            let items = touched.items.get(&name).map_or(&[][..], Vec::as_slice);
            let shown = self.channels.get(&name).map(|channel| channel.name.clone());
            let difference = self.refresh_channel(&name, &users, items);
            for (user, was) in difference.left {
                left.insert((name.clone(), user), was);
                // Who went altogether is told of once, by their QUIT.
                let was_seen = before.get(&user).is_none_or(|old| old.as_ref().is_some_and(User::is_visible));
                if let Some(shown) = shown.clone().filter(|_| was_seen && self.user(user).is_some()) {
                    let (channel, how) = (name.clone(), cause.leaving());
                    let old = before.get(&user).and_then(Option::as_ref).or_else(|| self.user(user));
                    let Some((source, nick)) = old.map(|old| (old.prefix(), old.nick.clone())) else {
                        continue;
                    };
                    leaving.push(News::Left { channel, shown, user, source, nick, was, how });
                }
            }
            for (user, status) in difference.joined {
                let split =
                    matches!(cause, Cause::Reach { .. }).then(|| self.split_from(user.server(), None));
                joining.push(News::Joined { channel: name.clone(), user, status, split });
            }
            let silence = |(user, is_silent)| News::Silence { channel: name.clone(), user, is_silent };
            joining.extend(difference.silences.into_iter().map(silence));
            let by = cause.by().unwrap_or_else(|| self.server_name(cause.writer(self.me)).to_string());
            if !difference.deltas.is_empty() || cause.is_continued() {
                let deltas = difference.deltas;
                settings.push(News::Modes {
                    channel: name.clone(),
                    by: by.clone(),
                    deltas,
                    more: cause.has_more(),
                });
            }
            if let Some(topic) = difference.topic {
                settings.push(News::Topic { channel: name.clone(), by, topic });
            }
            let said = |(key, value)| News::SaidOfChannel { channel: name.clone(), key, value };
            settings.extend(difference.metadata.into_iter().map(said));
        }
        self.refresh_names(&names, &new, cause);
        (leaving, left, joining, settings)
    }

    fn refresh_channel(&mut self, name: &Folded, users: &[UserId], items: &[Key]) -> Difference {
        let mut difference = Difference::default();
        let mut channel = self.channels.remove(name);
        channel.iter().for_each(|channel| self.census.remove_channel(channel));
        let birth_before = channel.as_ref().map(|channel| channel.birth);
        let mut statuses: BTreeMap<UserId, Letters> = BTreeMap::new();
        for &id in users {
            let fact = self.member_fact(name, id);
            let memberships = self.memberships.entry(id).or_default();
            if fact.is_some() {
                memberships.insert(name.clone());
            } else {
                memberships.remove(name);
                if memberships.is_empty() {
                    self.memberships.remove(&id);
                }
            }
            let standing = self.users.get(&id).map(|user| user.standing);
            let fact = fact.filter(|_| standing.is_some_and(|standing| standing != Standing::Forgotten));
            let visible = standing == Some(Standing::Present);
            let old = channel.as_mut().and_then(|channel| channel.take_member(id));
            let was_visible = old.as_ref().is_some_and(|member| member.visible);
            let is_visible = fact.is_some() && visible;
            if let Some(user) = self.users.get_mut(&id) {
                if is_visible {
                    user.channels.insert(name.clone());
                } else {
                    user.channels.remove(name);
                }
            }
            if let Some(ended) = old.as_ref().map(|member| &member.fact) {
                if fact.as_ref().is_none_or(|fact| fact.joined != ended.joined) {
                    for birth in BTreeSet::from_iter(birth_before.into_iter().chain([ended.birth])) {
                        self.forget_statuses(name, birth, id);
                    }
                }
                if fact.as_ref().is_none_or(|fact| fact.birth != ended.birth) {
                    self.barren.suspect(name, ended.birth);
                }
            }
            let was_silent = old.as_ref().map(|old| old.fact.is_silent);
            let is_silent = fact.as_ref().map(|fact| fact.is_silent);
            if let Some(fact) = fact {
                let channel = channel.get_or_insert_with(|| Channel::new(fact.name.clone(), fact.birth));
                let status = old.as_ref().map_or(Letters::NONE, |member| member.status);
                channel.put_member(id, Member { fact, status, visible });
            }
            match (was_visible, is_visible) {
                (true, false) => difference.left.extend(old.as_ref().map(|old| (id, old.role()))),
                (false, true) => difference.joined.push((id, Letters::NONE)),
                (true, true) => difference
                    .silences
                    .extend(is_silent.filter(|_| was_silent != is_silent).map(|is| (id, is))),
                (false, false) => {}
            }
            statuses.insert(id, old.map_or(Letters::NONE, |member| member.status));
        }
        let shown = channel.as_ref().map(|channel| channel.birth);
        for key in items {
            if let Key::Setting(_, birth, _)
            | Key::Mask(_, birth, ..)
            | Key::Metadata(Subject::Channel(_, birth), _) = key
                && shown != Some(*birth)
            {
                self.barren.suspect(name, *birth);
            }
        }
        let Some(mut channel) = channel else { return difference };
        let earliest = channel.births.keys().next().cloned();
        let registration = self.registrations.get(name);
        let registered = registration.map(|registration| (registration.birth, registration.name.clone()));
        let Some((birth, made_as)) = earliest.map(|earliest| registered.unwrap_or(earliest)) else {
            return difference;
        };
        let reborn = birth_before != Some(birth) || channel.is_registered != registration.is_some();
        channel.birth = birth;
        channel.made_as = made_as;
        channel.is_registered = registration.is_some();
        if reborn {
            statuses.extend(
                channel
                    .members
                    .iter()
                    .filter(|(id, _)| !statuses.contains_key(id))
                    .map(status_of)
                    .collect::<Vec<_>>(),
            );
            // To the first who come to a registered channel it was always so.
            if birth_before.is_none() && channel.is_registered {
                self.read_settings(name, &mut channel);
            } else {
                self.reread(name, &mut channel, &mut difference);
            }
        } else {
            for key in items {
                self.reread_item(key, &mut channel, &mut difference, &mut statuses);
            }
        }
        let own = |id: UserId| id.server() == self.me;
        for (id, before) in statuses {
            let Some(member) = channel.members.get(&id) else { continue };
            let status = self.status(name, birth, id, &member.fact);
            if own(id) && channel.is_to_be_rewritten(&member.fact) {
                self.late_births.insert((name.clone(), id));
            }
            // They stand in the order of `users`.
            match difference.joined.binary_search_by_key(&id, |(user, _)| *user) {
                Ok(place) => difference.joined[place].1 = status,
                Err(_) if member.visible => difference.status(id, before, status),
                Err(_) => {}
            }
            channel.members.get_mut(&id).expect("looked up above").status = status;
        }
        difference.deltas.sort_by_key(|delta| delta.on);
        self.census.add_channel(&channel);
        self.channels.insert(name.clone(), channel);
        difference
    }

    pub(in crate::engine::network) fn member_fact(
        &self,
        channel: &Folded,
        user: UserId,
    ) -> Option<MemberFact> {
        match &self.facts.get(&Key::Member(channel.clone(), user))?.value {
            Value::Member(fact) => Some(fact.clone()),
            _ => None,
        }
    }

    /// What a member may do: what the join gave, then what was given to that very join since; and
    /// both only under the birth that survived.
    fn status(&self, name: &Folded, birth: Stamp, user: UserId, member: &MemberFact) -> Letters {
        let from_join = if member.birth == birth { member.status } else { Letters::NONE };
        let (first, last) = status_keys(name, birth, user);
        self.facts.range(&first, &last).fold(from_join, |status, (key, fact)| match (key, &fact.value) {
            (Key::Status(.., letter), Value::Status(given))
                if given.joined == member.joined || is_planted(Defect::StatusForAnyJoin) =>
            {
                status.set(*letter, given.on)
            }
            _ => status,
        })
    }

    /// Settings and lists from scratch: another birth counts now.
    fn reread(&self, name: &Folded, channel: &mut Channel, difference: &mut Difference) {
        let before = channel.settings();
        self.read_settings(name, channel);
        difference.settings(&before, channel);
    }

    /// Where what is set on a channel stands.
    fn settings_facts(&self, channel: &Channel) -> &Facts<Key, Value> {
        if channel.is_registered { self.durable.facts() } else { &self.facts }
    }

    /// A registered channel with nobody on it.
    pub(in crate::engine::network) fn kept_channel(&self, name: &Folded, of: &Registration) -> Channel {
        let mut channel = Channel::new(of.name.clone(), of.birth);
        channel.is_registered = true;
        self.read_settings(name, &mut channel);
        channel.name = self.name_of(&channel).0;
        channel
    }

    fn read_settings(&self, name: &Folded, channel: &mut Channel) {
        (channel.modes, channel.lists, channel.topic, channel.renaming) = Default::default();
        let birth = channel.birth;
        let facts = self.settings_facts(channel);
        let metadata = Subject::Channel(name.clone(), birth).read(facts, |_| true);
        let settings_from = Key::Setting(name.clone(), birth, Item::Mode('\0'));
        let settings_to = Key::Setting(name.clone(), birth, Item::Topic);
        for (key, fact) in facts.range(&settings_from, &settings_to) {
            if let (Key::Setting(_, _, item), Value::Setting(setting)) = (key, &fact.value) {
                channel.set(*item, Some((fact.stamp, setting)));
            }
        }
        let masks_from = Key::Mask(name.clone(), birth, '\0', String::new());
        let masks_to = Key::Mask(name.clone(), birth, char::MAX, String::new());
        for (key, fact) in facts.range(&masks_from, &masks_to) {
            if let (Key::Mask(_, _, list, mask), Value::Mask(entry)) = (key, &fact.value) {
                channel.lists.entry(*list).or_default().insert(mask.clone(), entry.clone());
            }
        }
        channel.metadata = metadata;
        let lock = self.lock_of(name);
        for letter in lock.letters() {
            channel.lock(&lock, letter);
        }
    }

    /// Which modes of a channel stay as they are; none where it is not registered.
    fn lock_of(&self, name: &Folded) -> Locked {
        self.registrations.get(name).map(Locked::of).unwrap_or_default()
    }

    /// One touched setting, list entry or status, if it belongs to the birth that counts.
    fn reread_item(
        &self,
        key: &Key,
        channel: &mut Channel,
        difference: &mut Difference,
        statuses: &mut BTreeMap<UserId, Letters>,
    ) {
        let fact = self.settings_facts(channel).get(key);
        let value = fact.map(|fact| &fact.value);
        match key {
            Key::Setting(_, birth, item) if *birth == channel.birth => {
                let setting = fact.and_then(|fact| match &fact.value {
                    Value::Setting(setting) => Some((fact.stamp, setting)),
                    _ => None,
                });
                match item {
                    Item::Mode(letter) => {
                        let before = channel.modes.get(letter).cloned();
                        channel.set(*item, setting);
                        if channel.is_registered {
                            channel.lock(&self.lock_of(&channel.id()), *letter);
                        }
                        difference.mode(*letter, before.as_ref(), channel.modes.get(letter));
                    }
                    Item::Name => channel.set(*item, setting),
                    Item::Topic => {
                        let before = channel.topic.clone();
                        channel.set(*item, setting);
                        if before != channel.topic {
                            difference.topic = Some(channel.topic.clone());
                        }
                    }
                }
            }
            Key::Mask(_, birth, list, mask) if *birth == channel.birth => {
                let entries = channel.lists.entry(*list).or_default();
                let before = match value {
                    Some(Value::Mask(entry)) => entries.insert(mask.clone(), entry.clone()).is_some(),
                    _ => entries.remove(mask).is_some(),
                };
                difference.mask(*list, mask, before, entries.contains_key(mask));
                if entries.is_empty() {
                    channel.lists.remove(list);
                }
            }
            Key::Metadata(Subject::Channel(_, birth), key) if *birth == channel.birth => {
                let before = channel.metadata.remove(key);
                if let Some(Value::Metadata(value)) = value {
                    channel.metadata.insert(key.clone(), value.clone());
                }
                let now = channel.metadata.get(key);
                if before.as_ref() != now {
                    difference.metadata.push((key.clone(), now.cloned()));
                }
            }
            Key::Status(_, birth, user, _) if *birth == channel.birth => {
                if let Some(member) = channel.members.get(user) {
                    statuses.entry(*user).or_insert(member.status);
                }
            }
            _ => {}
        }
    }
}

fn status_of((id, member): (&UserId, &Member)) -> (UserId, Letters) {
    (*id, member.status)
}

impl Channel {
    /// Has a mode be as it is locked, if it is, whatever was set where that was not known.
    fn lock(&mut self, lock: &Locked, letter: char) {
        if let Some(setting) = lock.get(letter) {
            self.set(Item::Mode(letter), setting.map(|setting| (Stamp::LOWEST, setting)));
        }
    }

    fn take_member(&mut self, id: UserId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        let birth = (member.fact.birth, member.fact.name.clone());
        let births = self.births.get_mut(&birth).expect("each member's birth is counted");
        *births -= 1;
        if *births == 0 {
            self.births.remove(&birth);
        }
        self.visible -= usize::from(member.visible);
        Some(member)
    }

    fn put_member(&mut self, id: UserId, member: Member) {
        *self.births.entry((member.fact.birth, member.fact.name.clone())).or_default() += 1;
        self.visible += usize::from(member.visible);
        self.members.insert(id, member);
    }

    fn set(&mut self, item: Item, setting: Option<(Stamp, &Setting)>) {
        let (stamp, setting) = setting.unzip();
        match (item, setting) {
            (Item::Mode(letter), Some(Setting::On)) => drop(self.modes.insert(letter, None)),
            (Item::Mode(letter), Some(Setting::Value(value))) => {
                self.modes.insert(letter, Some(value.clone()));
            }
            (Item::Mode(letter), _) => drop(self.modes.remove(&letter)),
            (Item::Topic, Some(Setting::Topic(topic))) => self.topic = Some(topic.clone()),
            (Item::Topic, _) => self.topic = None,
            (Item::Name, Some(Setting::Name(renaming))) => {
                self.renaming = stamp.map(|stamp| (stamp, renaming.clone()));
            }
            (Item::Name, _) => self.renaming = None,
        }
    }
}
