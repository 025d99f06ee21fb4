//! The view, brought up to date where facts were touched, and compared with what it was.
//!
//! Whatever the cause, a live change, a merge or a server lost from sight, the same thing happens:
//! what the touched facts mean is computed anew, and the difference becomes news.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, Edit, Key, Value};
use super::channel::{Channel, Item, Member, MemberFact, Setting, Topic};
use super::news::{Leaving, ModeDelta, ModeValue, News, Quit, Split};
use super::server::{Server, Standing};
use super::user::{User, UserFact};
use super::{Network, UserId};
use crate::engine::merge::{Fact, Stamp};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::{Nick, ServerId};

/// Why the view is computed anew, which decides the words for what changed.
pub(super) enum Cause<'a> {
    Change(&'a Change),
    Merged,
    Reach,
}

/// What has to be computed anew.
#[derive(Default)]
pub(super) struct Touched {
    pub servers: BTreeSet<ServerId>,
    pub users: BTreeSet<UserId>,
    pub members: BTreeSet<(Folded, UserId)>,
    pub items: BTreeMap<Folded, Vec<Key>>,
}

impl Touched {
    pub fn from_keys(keys: Vec<Key>) -> Touched {
        let mut touched = Touched::default();
        for key in keys {
            match &key {
                Key::Server(server) => drop(touched.servers.insert(*server)),
                Key::User(user) => drop(touched.users.insert(*user)),
                Key::Member(channel, user) => drop(touched.members.insert((channel.clone(), *user))),
                Key::Setting(channel, ..) | Key::Status(channel, ..) | Key::Mask(channel, ..) => {
                    touched.items.entry(channel.clone()).or_default().push(key);
                }
            }
        }
        touched
    }
}

/// What a user was before, if anyone could know.
type Before = BTreeMap<UserId, Option<User>>;

impl Network {
    pub(super) fn refresh(&mut self, mut touched: Touched, cause: &Cause) -> Vec<News> {
        let names_before = self.refresh_servers(&mut touched);
        let before = self.refresh_users(&mut touched);
        let (leaving, joining, settings) = self.refresh_channels(touched, &before, cause);

        // Whoever goes makes room first: for a nick, then for a member.
        let mut news = self.quits(&before, &names_before, cause);
        news.extend(self.renames(&before));
        news.extend(self.other_changes(&before));
        news.extend(leaving);
        news.extend(joining);
        news.extend(settings);
        for (server, shown_before) in names_before {
            match (shown_before, self.shows_server(server)) {
                (Some(name), false) => news.push(News::ServerWent { server, name }),
                (None, true) => news.push(News::ServerCame { server }),
                _ => {}
            }
        }
        news
    }

    fn shows_server(&self, server: ServerId) -> bool {
        self.servers.contains_key(&server) && self.standing(server) == Standing::Present
    }

    /// Answers with the names under which the touched servers were shown.
    fn refresh_servers(&mut self, touched: &mut Touched) -> BTreeMap<ServerId, Option<String>> {
        let mut names_before = BTreeMap::new();
        for &id in &touched.servers {
            let name = self.servers.get(&id).map(|server| server.fact.name.clone());
            names_before.insert(id, name);
            let latest =
                self.facts.siblings(&Key::Server(id)).iter().max_by_key(|fact| fact.dot.origin.epoch);
            match latest {
                Some(Fact { dot, value: Value::Server(fact), .. }) => {
                    let server = Server { id, epoch: dot.origin.epoch, fact: fact.clone() };
                    self.servers.insert(id, server);
                    self.forget_epochs_before(id, dot.origin.epoch, &mut touched.members);
                }
                _ => drop(self.servers.remove(&id)),
            }
            touched.users.extend(self.user_keys(id));
            let (first, last) = UserId::range_of(id);
            touched.users.extend(self.users.range(first..=last).map(|(user, _)| *user));
        }
        names_before
    }

    /// A server that started anew ended all its users of the run before; no view can show them again.
    fn forget_epochs_before(&mut self, id: ServerId, epoch: u32, members: &mut BTreeSet<(Folded, UserId)>) {
        let earlier = |fact: &Fact<Value>| fact.dot.origin.server == id && fact.dot.origin.epoch < epoch;
        self.facts.forget(&Key::Server(id), earlier);
        for user in self.user_keys(id) {
            self.facts.forget(&Key::User(user), earlier);
        }
        let (first, last) = UserId::range_of(id);
        let memberships: Vec<_> = self
            .memberships
            .range(first..=last)
            .flat_map(|(user, channels)| channels.iter().map(move |channel| (channel.clone(), *user)))
            .collect();
        for (channel, user) in memberships {
            if self.facts.forget(&Key::Member(channel.clone(), user), earlier) {
                members.insert((channel, user));
            }
        }
    }

    /// What is said of a user who is still there.
    fn living(&self, id: UserId) -> Option<(UserFact, Standing)> {
        let server = self.servers.get(&id.server())?;
        let fact = self.facts.get(&Key::User(id))?;
        let Value::User(user) = &fact.value else { return None };
        let current = fact.dot.origin.epoch == server.epoch;
        current.then(|| (user.clone(), self.standing(id.server())))
    }

    fn refresh_users(&mut self, touched: &mut Touched) -> Before {
        let mut before = Before::new();
        let mut nicks = BTreeSet::new();
        for &id in &touched.users {
            let old = self.users.remove(&id);
            let new = self.living(id);
            if let Some(user) = &old
                && user.standing != Standing::Forgotten
            {
                let nick = user.fact.nick.folded();
                if let Some(claims) = self.claims.get_mut(&nick) {
                    claims.remove(&id);
                    if claims.is_empty() {
                        self.claims.remove(&nick);
                    }
                }
                nicks.insert(nick);
            }
            let standing = |user: &Option<User>| user.as_ref().map(|user| user.standing);
            let mut standing_now = None;
            if let Some((fact, standing)) = new {
                standing_now = Some(standing);
                if standing != Standing::Forgotten {
                    self.claims.entry(fact.nick.folded()).or_default().insert(id);
                    nicks.insert(fact.nick.folded());
                }
                let (nick, channels) = match &old {
                    Some(user) => (user.nick.clone(), user.channels.clone()),
                    None => (fact.nick.clone(), BTreeSet::new()),
                };
                self.users.insert(id, User { id, nick, fact, standing, channels });
            }
            if standing(&old) != standing_now {
                let channels = self.memberships.get(&id).into_iter().flatten();
                touched.members.extend(channels.map(|channel| (channel.clone(), id)));
            }
            before.insert(id, old);
        }
        for nick in nicks {
            self.refresh_claims(&nick, &mut before);
        }
        before
    }

    /// The oldest claim has the nick; everyone else is shown under their UID.
    fn refresh_claims(&mut self, nick: &Folded, before: &mut Before) {
        let holder = self.holder(nick);
        for id in self.claims.get(nick).cloned().unwrap_or_default() {
            let Some(user) = self.users.get_mut(&id) else { continue };
            let shown = if holder == Some(id) { user.fact.nick.clone() } else { Nick::from(id) };
            if user.nick != shown {
                before.entry(id).or_insert_with(|| Some(user.clone()));
                user.nick = shown;
            }
            if user.nick != user.fact.nick && id.server() == self.me {
                self.lost_nicks.insert(id);
            }
        }
    }

    fn refresh_channels(
        &mut self,
        touched: Touched,
        before: &Before,
        cause: &Cause,
    ) -> (Vec<News>, Vec<News>, Vec<News>) {
        let mut members: BTreeMap<Folded, Vec<UserId>> = BTreeMap::new();
        for (channel, user) in touched.members {
            members.entry(channel).or_default().push(user);
        }
        let names: BTreeSet<Folded> = members.keys().chain(touched.items.keys()).cloned().collect();
        let (mut leaving, mut joining, mut settings) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let users = members.remove(&name).unwrap_or_default();
            let items = touched.items.get(&name).map_or(&[][..], Vec::as_slice);
            let difference = self.refresh_channel(&name, &users, items);
            for user in difference.left {
                // Who went altogether is told of once, by their QUIT.
                let was_seen = before.get(&user).is_none_or(|old| old.as_ref().is_some_and(User::is_visible));
                if was_seen && self.user(user).is_some() {
                    leaving.push(News::Left { channel: name.clone(), user, how: cause.leaving() });
                }
            }
            for (user, status) in difference.joined {
                let split = matches!(cause, Cause::Reach).then(|| self.split_from(user.server(), None));
                joining.push(News::Joined { channel: name.clone(), user, status, split });
            }
            let by = cause.by().unwrap_or_else(|| self.server_name(self.me).to_string());
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
        }
        (leaving, joining, settings)
    }

    fn refresh_channel(&mut self, name: &Folded, users: &[UserId], items: &[Key]) -> Difference {
        let mut difference = Difference::default();
        let mut channel = self.channels.remove(name);
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
            if let Some(fact) = fact {
                let channel = channel.get_or_insert_with(|| Channel::new(fact.name.clone(), fact.birth));
                let status = old.as_ref().map_or(Letters::NONE, |member| member.status);
                channel.put_member(id, Member { fact, status, visible });
            }
            match (was_visible, is_visible) {
                (true, false) => difference.left.push(id),
                (false, true) => difference.joined.push((id, Letters::NONE)),
                _ => {}
            }
            statuses.insert(id, old.map_or(Letters::NONE, |member| member.status));
        }
        let Some(mut channel) = channel else { return difference };
        let Some(birth) = channel.births.first_key_value().map(|(birth, _)| *birth) else {
            return difference;
        };
        let reborn = birth_before != Some(birth);
        channel.birth = birth;
        if reborn {
            statuses.extend(
                channel
                    .members
                    .iter()
                    .filter(|(id, _)| !statuses.contains_key(id))
                    .map(status_of)
                    .collect::<Vec<_>>(),
            );
            self.reread(name, &mut channel, &mut difference);
        } else {
            for key in items {
                self.reread_item(key, &mut channel, &mut difference, &mut statuses);
            }
        }
        let own = |id: UserId| id.server() == self.me;
        for (id, before) in statuses {
            let Some(member) = channel.members.get(&id) else { continue };
            let status = self.status(name, birth, id, &member.fact);
            if own(id) && member.fact.birth > birth {
                self.late_births.insert((name.clone(), id));
            }
            match difference.joined.iter_mut().find(|(user, _)| *user == id) {
                Some((_, joined_with)) => *joined_with = status,
                None if member.visible => difference.status(id, before, status),
                None => {}
            }
            channel.members.get_mut(&id).expect("looked up above").status = status;
        }
        difference.deltas.sort_by_key(|delta| delta.on);
        self.channels.insert(name.clone(), channel);
        difference
    }

    fn member_fact(&self, channel: &Folded, user: UserId) -> Option<MemberFact> {
        match &self.facts.get(&Key::Member(channel.clone(), user))?.value {
            Value::Member(fact) => Some(fact.clone()),
            _ => None,
        }
    }

    /// What a member may do: what the join gave, then what was given to that very join since; and
    /// both only under the birth that survived.
    fn status(&self, name: &Folded, birth: Stamp, user: UserId, member: &MemberFact) -> Letters {
        let from_join = if member.birth == birth { member.status } else { Letters::NONE };
        let first = Key::Status(name.clone(), birth, user, '\0');
        let last = Key::Status(name.clone(), birth, user, char::MAX);
        self.facts.range(&first, &last).fold(from_join, |status, (key, fact)| match (key, &fact.value) {
            (Key::Status(.., letter), Value::Status(given)) if given.joined == member.joined => {
                status.set(*letter, given.on)
            }
            _ => status,
        })
    }

    /// Settings and lists from scratch: another birth counts now.
    fn reread(&self, name: &Folded, channel: &mut Channel, difference: &mut Difference) {
        let modes_before = std::mem::take(&mut channel.modes);
        let lists_before = std::mem::take(&mut channel.lists);
        let topic_before = channel.topic.take();
        let birth = channel.birth;
        if let Some(member) = channel.members.values().find(|member| member.fact.birth == birth) {
            channel.name = member.fact.name.clone();
        }
        let settings_from = Key::Setting(name.clone(), birth, Item::Mode('\0'));
        let settings_to = Key::Setting(name.clone(), birth, Item::Topic);
        for (key, fact) in self.facts.range(&settings_from, &settings_to) {
            if let (Key::Setting(_, _, item), Value::Setting(setting)) = (key, &fact.value) {
                channel.set(*item, Some(setting));
            }
        }
        let masks_from = Key::Mask(name.clone(), birth, '\0', String::new());
        let masks_to = Key::Mask(name.clone(), birth, char::MAX, String::new());
        for (key, fact) in self.facts.range(&masks_from, &masks_to) {
            if let (Key::Mask(_, _, list, mask), Value::Mask(entry)) = (key, &fact.value) {
                channel.lists.entry(*list).or_default().insert(mask.clone(), entry.clone());
            }
        }
        for letter in modes_before.keys().chain(channel.modes.keys()).copied().collect::<BTreeSet<_>>() {
            difference.mode(letter, modes_before.get(&letter), channel.modes.get(&letter));
        }
        for letter in lists_before.keys().chain(channel.lists.keys()).copied().collect::<BTreeSet<_>>() {
            let none = BTreeMap::new();
            let old = lists_before.get(&letter).unwrap_or(&none);
            let new = channel.lists.get(&letter).unwrap_or(&none);
            for mask in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                difference.mask(letter, mask, old.contains_key(mask), new.contains_key(mask));
            }
        }
        if topic_before != channel.topic {
            difference.topic = Some(channel.topic.clone());
        }
    }

    /// One touched setting, list entry or status, if it belongs to the birth that counts.
    fn reread_item(
        &self,
        key: &Key,
        channel: &mut Channel,
        difference: &mut Difference,
        statuses: &mut BTreeMap<UserId, Letters>,
    ) {
        let value = self.facts.get(key).map(|fact| &fact.value);
        match key {
            Key::Setting(_, birth, item) if *birth == channel.birth => {
                let setting = match value {
                    Some(Value::Setting(setting)) => Some(setting),
                    _ => None,
                };
                match item {
                    Item::Mode(letter) => {
                        let before = channel.modes.get(letter).cloned();
                        channel.set(*item, setting);
                        difference.mode(*letter, before.as_ref(), channel.modes.get(letter));
                    }
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
            Key::Status(_, birth, user, _) if *birth == channel.birth => {
                if let Some(member) = channel.members.get(user) {
                    statuses.entry(*user).or_insert(member.status);
                }
            }
            _ => {}
        }
    }

    fn quits(&self, before: &Before, names: &BTreeMap<ServerId, Option<String>>, cause: &Cause) -> Vec<News> {
        let mut quits = Vec::new();
        for (&id, old) in before {
            let Some(old) = old.as_ref().filter(|old| old.is_visible() && self.user(id).is_none()) else {
                continue;
            };
            let (reason, split) = match cause {
                Cause::Change(Change { edit: Edit::Quit { reason, .. }, .. }) => (reason.clone(), None),
                _ => {
                    let name = names.get(&id.server()).and_then(Option::as_deref);
                    let split = self.split_from(id.server(), name);
                    (format!("{} {}", split.near, split.far), Some(split))
                }
            };
            quits.push(News::Quit(Quit {
                user: id,
                source: old.prefix(),
                nick: old.nick.clone(),
                username: old.fact.username.clone(),
                host: old.fact.host.clone(),
                realname: old.fact.realname.clone(),
                account: old.fact.account.clone(),
                channels: old.channels.iter().cloned().collect(),
                reason,
                split,
            }));
        }
        quits
    }

    fn split_from(&self, far: ServerId, name: Option<&str>) -> Split {
        let far = name.unwrap_or_else(|| self.server_name(far)).to_string();
        Split { near: self.server_name(self.me).to_string(), far }
    }

    /// Renames in an order in which no nick is shown twice, through a UID where two trade places.
    fn renames(&self, before: &Before) -> Vec<News> {
        let mut news = Vec::new();
        let mut waiting: Vec<(UserId, Nick, Nick)> = Vec::new();
        for (&id, old) in before {
            if let (Some(old), Some(new)) = (old, self.user(id))
                && old.is_visible()
                && old.nick != new.nick
            {
                waiting.push((id, old.nick.clone(), new.nick.clone()));
            }
        }
        let rename = |id: UserId, old: &Nick, new: &Nick| {
            let fact = before.get(&id).and_then(Option::as_ref).map(|user| &user.fact);
            let from = fact.map_or(old.to_string(), |fact| format!("{old}!{}@{}", fact.username, fact.host));
            News::Renamed { user: id, from, old: old.clone(), new: new.clone() }
        };
        while !waiting.is_empty() {
            let is_free = |(id, _, new): &(UserId, Nick, Nick)| {
                waiting.iter().all(|(other, old, _)| other == id || old.folded() != new.folded())
            };
            match waiting.iter().position(is_free) {
                Some(place) => {
                    let (id, old, new) = waiting.remove(place);
                    news.push(rename(id, &old, &new));
                }
                None => {
                    let (id, old, _) = &mut waiting[0];
                    let aside = Nick::from(*id);
                    news.push(rename(*id, old, &aside));
                    *old = aside;
                }
            }
        }
        news
    }

    fn other_changes(&self, before: &Before) -> Vec<News> {
        let mut news = Vec::new();
        for (&user, old) in before {
            let (Some(old), Some(new)) = (old, self.user(user)) else { continue };
            if !old.is_visible() {
                continue;
            }
            if (&old.fact.username, &old.fact.host) != (&new.fact.username, &new.fact.host) {
                let from = format!("{}!{}@{}", new.nick, old.fact.username, old.fact.host);
                news.push(News::HostChanged { user, from });
            }
            if old.fact.account != new.fact.account {
                news.push(News::AccountChanged { user });
            }
            if old.fact.realname != new.fact.realname {
                news.push(News::RealnameChanged { user });
            }
            if old.fact.away != new.fact.away {
                news.push(News::AwayChanged { user });
            }
            if old.fact.modes != new.fact.modes {
                news.push(News::ModesChanged { user, before: old.fact.modes });
            }
        }
        news
    }
}

fn status_of((id, member): (&UserId, &Member)) -> (UserId, Letters) {
    (*id, member.status)
}

/// How one channel's view came to differ.
#[derive(Default)]
struct Difference {
    left: Vec<UserId>,
    joined: Vec<(UserId, Letters)>,
    deltas: Vec<ModeDelta>,
    /// The new topic, where it changed.
    topic: Option<Option<Topic>>,
}

impl Difference {
    fn mode(&mut self, letter: char, before: Option<&Option<String>>, after: Option<&Option<String>>) {
        if before == after {
            return;
        }
        let value = after.or(before).cloned().flatten().map(ModeValue::Text);
        self.deltas.push(ModeDelta { on: after.is_some(), letter, value });
    }

    fn mask(&mut self, letter: char, mask: &str, before: bool, after: bool) {
        if before != after {
            self.deltas.push(ModeDelta { on: after, letter, value: Some(ModeValue::Text(mask.to_string())) });
        }
    }

    fn status(&mut self, user: UserId, before: Letters, after: Letters) {
        for letter in before.iter().chain(after.iter()).collect::<BTreeSet<_>>() {
            if before.has(letter) != after.has(letter) {
                let value = Some(ModeValue::Member(user));
                self.deltas.push(ModeDelta { on: after.has(letter), letter, value });
            }
        }
    }
}

impl Channel {
    fn take_member(&mut self, id: UserId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        let births = self.births.get_mut(&member.fact.birth).expect("each member's birth is counted");
        *births -= 1;
        if *births == 0 {
            self.births.remove(&member.fact.birth);
        }
        self.visible -= usize::from(member.visible);
        Some(member)
    }

    fn put_member(&mut self, id: UserId, member: Member) {
        *self.births.entry(member.fact.birth).or_default() += 1;
        self.visible += usize::from(member.visible);
        self.members.insert(id, member);
    }

    fn set(&mut self, item: Item, setting: Option<&Setting>) {
        match (item, setting) {
            (Item::Mode(letter), Some(Setting::On)) => drop(self.modes.insert(letter, None)),
            (Item::Mode(letter), Some(Setting::Value(value))) => {
                self.modes.insert(letter, Some(value.clone()));
            }
            (Item::Mode(letter), _) => drop(self.modes.remove(&letter)),
            (Item::Topic, Some(Setting::Topic(topic))) => self.topic = Some(topic.clone()),
            (Item::Topic, _) => self.topic = None,
        }
    }
}

impl Cause<'_> {
    fn by(&self) -> Option<String> {
        match self {
            Cause::Change(Change {
                edit: Edit::Setting { by, .. } | Edit::Status { by, .. } | Edit::Mask { by, .. },
                ..
            }) => Some(by.clone()),
            _ => None,
        }
    }

    fn has_more(&self) -> bool {
        matches!(self, Cause::Change(Change { more: true, .. }))
    }

    /// Whether this ends an act of several changes, so that those who collect it are told even if
    /// its last part changed nothing.
    fn is_continued(&self) -> bool {
        self.by().is_some()
    }

    fn leaving(&self) -> Leaving {
        match self {
            Cause::Change(Change { edit: Edit::Part { reason, .. }, .. }) => {
                Leaving::Parted { reason: reason.clone() }
            }
            Cause::Change(Change { edit: Edit::Kick { by, reason, .. }, .. }) => {
                Leaving::Kicked { by: by.clone(), reason: reason.clone() }
            }
            _ => Leaving::Parted { reason: None },
        }
    }
}
