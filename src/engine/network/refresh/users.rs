//! Who is here, by which name, and what of that is new.

use std::collections::{BTreeMap, BTreeSet};

use super::{Before, Cause, Left, Touched};
use crate::defect::{Defect, is_planted};
use crate::engine::merge::Fact;
use crate::engine::network::account::AccountId;
use crate::engine::network::change::{Change, Edit, Key, Value};
use crate::engine::network::metadata::{Metadata, Subject, changes};
use crate::engine::network::news::{Neighbour, News, Quit};
use crate::engine::network::server::{Server, Standing};
use crate::engine::network::user::{User, UserFact};
use crate::engine::network::{Network, UserId};
use crate::wire::fold::Folded;
use crate::wire::names::{Nick, ServerId};

impl Network {
    /// Answers with the names under which the touched servers were known.
    pub(super) fn refresh_servers(&mut self, touched: &mut Touched) -> BTreeMap<ServerId, Option<String>> {
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
                }
                _ => drop(self.servers.remove(&id)),
            }
            // There may be thousands, and each of these is in order: to merge them takes less than to insert each.
            let (first, last) = UserId::range_of(id);
            touched.users.append(&mut BTreeSet::from_iter(self.user_keys(id)));
            touched.users.append(&mut self.users.range(first..=last).map(|(user, _)| *user).collect());
            touched.users.append(&mut self.memberships.range(first..=last).map(|(user, _)| *user).collect());
        }
        names_before
    }

    /// A server that started anew ended all its users of the run before; no view can show them again.
    pub(super) fn forget_epochs(
        &mut self,
        servers: &BTreeMap<ServerId, Option<String>>,
        touched: &mut Touched,
    ) {
        for server in servers.keys() {
            if let Some(epoch) = self.servers.get(server).map(|server| server.epoch) {
                self.facts.forget(&Key::Server(*server), |fact| is_before(fact, *server, epoch));
            }
        }
        for user in touched.users.iter().filter(|user| servers.contains_key(&user.server())) {
            if let Some(epoch) = self.servers.get(&user.server()).map(|server| server.epoch) {
                self.forget_epochs_before(*user, epoch, &mut touched.members);
            }
        }
    }

    fn forget_epochs_before(&mut self, user: UserId, epoch: u32, members: &mut BTreeSet<(Folded, UserId)>) {
        let earlier = |fact: &Fact<Value>| is_before(fact, user.server(), epoch);
        self.facts.forget(&Key::User(user), earlier);
        let (first, last) = Subject::User(user).keys();
        let said: Vec<Key> = self.facts.range(&first, &last).map(|(key, _)| key.clone()).collect();
        for key in said {
            self.facts.forget(&key, earlier);
        }
        let channels: Vec<Folded> = self.memberships.get(&user).into_iter().flatten().cloned().collect();
        for channel in channels {
            if let Some(member) = self.member_fact(&channel, user) {
                self.barren.suspect(&channel, member.birth);
            }
            if self.facts.forget(&Key::Member(channel.clone(), user), earlier) {
                members.insert((channel, user));
            }
        }
    }

    /// What is said of a user who is still there.
    fn living(&self, id: UserId) -> Option<(UserFact, Standing, Metadata)> {
        let epoch = self.servers.get(&id.server())?.epoch;
        let fact = self.said_of(id)?.clone();
        let metadata = Subject::User(id).read(&self.facts, |fact| fact.dot.origin.epoch == epoch);
        let standing = match self.standing(id.server()) {
            Standing::Present | Standing::Suspended if self.shown_for(id) != Some(id) => Standing::Doubled,
            standing => standing,
        };
        Some((fact, standing, metadata))
    }

    /// The same, as their server has said it last.
    fn said_of(&self, id: UserId) -> Option<&UserFact> {
        let server = self.servers.get(&id.server())?;
        let facts = self.facts.siblings(&Key::User(id)).iter();
        let fact = facts.rev().find(|fact| fact.dot.origin.epoch == server.epoch)?;
        if let Value::User(user) = &fact.value { Some(user) } else { None }
    }

    fn said_within_reach(&self, id: UserId) -> Option<&UserFact> {
        self.said_of(id).filter(|_| self.standing(id.server()) == Standing::Present)
    }

    /// As whom somebody is shown who may stand for another, or be stood for: as the one who was there first.
    pub fn shown_for(&self, id: UserId) -> Option<UserId> {
        let fact = self.said_of(id)?;
        let Some(root) = fact.stands_for.filter(|_| fact.account.is_some()) else { return Some(id) };
        let is_same = |other: &UserFact| other.account == fact.account;
        if self.said_within_reach(root).is_some_and(is_same) {
            return Some(root);
        }
        let others = self.stand_ins.get(&root).into_iter().flatten();
        let others = others.filter_map(|other| Some((self.said_within_reach(*other)?, *other)));
        let others = others.filter(|(other, _)| is_same(other)).map(|(other, id)| (other.claimed, id));
        others.min().map(|(_, id)| id).or(Some(id))
    }

    /// Whether somebody would be seen, were they not shown as somebody else.
    pub fn is_doubled(&self, id: UserId) -> bool {
        self.users.get(&id).is_some_and(|user| user.standing == Standing::Doubled)
    }

    /// Everyone who stands for the same as this one, with whom that is.
    pub fn doubles_of(&self, id: UserId) -> BTreeSet<UserId> {
        let root = self.users.get(&id).and_then(|user| user.fact.stands_for).unwrap_or(id);
        let mut all = self.stand_ins.get(&root).cloned().unwrap_or_default();
        all.insert(root);
        all
    }

    /// Those are computed anew who may be shown, or not, because of others.
    fn touch_doubles(&mut self, users: &mut BTreeSet<UserId>) {
        let mut more = BTreeSet::new();
        for &id in users.iter() {
            let before = self.users.get(&id).and_then(|user| user.fact.stands_for);
            let facts = self.facts.siblings(&Key::User(id)).iter();
            let latest = facts.max_by_key(|fact| fact.dot.origin.epoch);
            let now = latest.and_then(|fact| match &fact.value {
                Value::User(user) => user.stands_for,
                _ => None,
            });
            if before != now
                && let Some(root) = before
                && let Some(others) = self.stand_ins.get_mut(&root)
            {
                others.remove(&id);
                more.extend(others.iter().copied());
                if others.is_empty() {
                    self.stand_ins.remove(&root);
                }
            }
            if let Some(root) = now {
                self.stand_ins.entry(root).or_default().insert(id);
            }
            for root in [Some(id), now].into_iter().flatten() {
                more.extend(self.stand_ins.get(&root).into_iter().flatten().copied());
            }
        }
        users.extend(more);
    }

    /// What an account is called, where being logged in to it counts.
    fn account_shown(&self, account: Option<AccountId>) -> Option<String> {
        let account = self.accounts.get(account?)?;
        account.suspension.is_none().then(|| account.name.clone())
    }

    pub(super) fn refresh_users(&mut self, touched: &mut Touched) -> Before {
        let mut before = Before::new();
        let mut nicks = std::mem::take(&mut touched.nicks);
        self.touch_doubles(&mut touched.users);
        for &id in &touched.users {
            let old = self.users.remove(&id);
            old.iter().for_each(|user| self.census.remove(user));
            let new = self.living(id);
            if let Some(user) = &old
                && user.standing.holds_nick()
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
            if let Some((fact, standing, metadata)) = new {
                standing_now = Some(standing);
                if standing.holds_nick() {
                    self.claims.entry(fact.nick.folded()).or_default().insert(id);
                    nicks.insert(fact.nick.folded());
                }
                let (nick, channels) = match &old {
                    Some(user) if standing.holds_nick() => (user.nick.clone(), user.channels.clone()),
                    Some(user) => (fact.nick.clone(), user.channels.clone()),
                    None => (fact.nick.clone(), BTreeSet::new()),
                };
                let account = self.account_shown(fact.account);
                let user = User { id, nick, fact, account, standing, channels, metadata };
                self.census.add(&user);
                self.users.insert(id, user);
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

    /// Whoever comes first by `holder` has the nick; everyone else is shown under their UID.
    fn refresh_claims(&mut self, nick: &Folded, before: &mut Before) {
        let holder = self.holder(nick);
        for id in self.claims.get(nick).cloned().unwrap_or_default() {
            let Some(user) = self.users.get_mut(&id) else { continue };
            let has_it = holder == Some(id) || is_planted(Defect::NickForBoth);
            let shown = if has_it { user.fact.nick.clone() } else { Nick::from(id) };
            if user.nick != shown {
                before.entry(id).or_insert_with(|| Some(user.clone()));
                user.nick = shown;
            }
            if user.nick != user.fact.nick && id.server() == self.me {
                self.lost_nicks.insert(id);
            }
        }
    }

    pub(super) fn quits(
        &self,
        before: &Before,
        names: &BTreeMap<ServerId, Option<String>>,
        left: &Left,
        cause: &Cause,
    ) -> Vec<News> {
        let mut quits = Vec::new();
        for (&id, old) in before {
            let Some(old) = old.as_ref().filter(|old| old.is_visible() && self.user(id).is_none()) else {
                continue;
            };
            let (reason, split) = match cause {
                Cause::Change(Change { edit: Edit::Quit { user, reason }, .. }) if *user == id => {
                    (reason.clone(), None)
                }
                _ if self.is_doubled(id) => {
                    let home = self.shown_for(id).map_or(id, |shown| shown).server();
                    (format!("Back on {}", self.server_name(home)), None)
                }
                _ => {
                    let name = names.get(&id.server()).and_then(Option::as_deref);
                    let split = self.split_from(id.server(), name);
                    (format!("{} {}", split.near, split.far), Some(split))
                }
            };
            let role_on = |channel: &Folded| {
                let role = left.get(&(channel.clone(), id)).copied().unwrap_or_default();
                (channel.clone(), role)
            };
            quits.push(News::Quit(Quit {
                user: id,
                source: old.prefix(),
                nick: old.nick.clone(),
                username: old.fact.username.clone(),
                host: old.fact.host.clone(),
                address: old.fact.address.clone(),
                realname: old.fact.realname.clone(),
                account: old.account.clone(),
                is_bot: old.has_mode('B'),
                is_operator: old.is_shown_operator(),
                channels: old.channels.iter().map(role_on).collect(),
                reason,
                split,
            }));
        }
        quits
    }

    fn neighbour(&self, user: UserId, before: &Before) -> Neighbour {
        let now = self.users.get(&user).map(|user| &user.channels);
        let then = before.get(&user).and_then(Option::as_ref).map(|user| &user.channels);
        let on = match (now, then) {
            (Some(now), Some(then)) => now.intersection(then).cloned().collect(),
            _ => Vec::new(),
        };
        Neighbour { user, on }
    }

    /// Renames in an order in which no nick is shown twice, through a UID where two trade places.
    pub(super) fn renames(&self, before: &Before) -> Vec<News> {
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
            News::Renamed { who: self.neighbour(id, before), from, old: old.clone(), new: new.clone() }
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

    pub(super) fn arrivals(&self, before: &Before) -> Vec<News> {
        let is_new = |old: &Option<User>| !old.as_ref().is_some_and(User::is_visible);
        let new = before.iter().filter(|(_, old)| is_new(old)).filter_map(|(id, _)| self.user(*id));
        new.map(|user| News::Arrived { user: user.id, nick: user.nick.clone() }).collect()
    }

    pub(super) fn other_changes(&self, before: &Before) -> Vec<News> {
        let mut news = Vec::new();
        for (&user, old) in before {
            let (Some(old), Some(new)) = (old, self.user(user)) else { continue };
            if !old.is_visible() {
                continue;
            }
            if (&old.fact.username, &old.fact.host) != (&new.fact.username, &new.fact.host) {
                let from = format!("{}!{}@{}", new.nick, old.fact.username, old.fact.host);
                news.push(News::HostChanged { who: self.neighbour(user, before), from });
            }
            if old.account != new.account {
                let account = old.account.clone();
                news.push(News::AccountChanged { who: self.neighbour(user, before), before: account });
            }
            if old.fact.realname != new.fact.realname {
                news.push(News::RealnameChanged { who: self.neighbour(user, before) });
            }
            if old.fact.away != new.fact.away {
                news.push(News::AwayChanged { who: self.neighbour(user, before) });
            }
            for (key, value) in changes(&old.metadata, &new.metadata) {
                news.push(News::SaidOfUser { who: self.neighbour(user, before), key, value });
            }
            if old.fact.modes != new.fact.modes {
                news.push(News::ModesChanged { user, before: old.fact.modes });
            }
        }
        news
    }
}

/// Whether it was written by an earlier run of a server.
fn is_before(fact: &Fact<Value>, server: ServerId, epoch: u32) -> bool {
    fact.dot.origin.server == server && fact.dot.origin.epoch < epoch
}
