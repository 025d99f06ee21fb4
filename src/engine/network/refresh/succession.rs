//! Who is shown as somebody else from now on, and is the same person: of that others hear only what differs.

use std::collections::BTreeMap;

use super::Before;
use crate::engine::network::channel::Role;
use crate::engine::network::metadata::changes;
use crate::engine::network::news::{Leaving, Neighbour, News};
use crate::engine::network::user::User;
use crate::engine::network::{Network, UserId};
use crate::wire::fold::Folded;

impl Network {
    /// Makes one of it, where somebody quits and somebody else arrives who stands for the same.
    pub(super) fn successions(&self, news: Vec<News>, before: &Before) -> Vec<News> {
        if self.stand_ins.is_empty() {
            return news;
        }
        let gone = before.values().flatten().filter(|old| old.is_visible() && self.user(old.id).is_none());
        let pairs = gone.filter_map(|old| Some((old, self.successor(old, before)?)));
        pairs.fold(news, |news, (old, new)| self.succession(news, old, new))
    }

    fn successor(&self, old: &User, before: &Before) -> Option<&User> {
        let root = old.fact.stands_for.unwrap_or(old.id);
        let others = self.stand_ins.get(&root).into_iter().flatten().chain([&root]);
        let is_new = |user: &&User| {
            let was_seen = before.get(&user.id).is_none_or(|old| old.as_ref().is_some_and(User::is_visible));
            !was_seen && user.fact.account == old.fact.account && old.fact.account.is_some()
        };
        others.filter_map(|other| self.user(*other)).find(is_new)
    }

    fn succession(&self, news: Vec<News>, old: &User, new: &User) -> Vec<News> {
        let mut roles: BTreeMap<Folded, Role> = BTreeMap::new();
        for one in &news {
            if let News::Quit(quit) = one
                && quit.user == old.id
            {
                roles.extend(quit.channels.iter().cloned());
            }
        }
        // Where others hear of nobody before they speak, whoever they have heard of has to go.
        let is_silent = |channel: &Folded, user: UserId| {
            self.member_fact(channel, user).is_some_and(|fact| fact.is_silent)
        };
        let is_on = |channel: &&Folded| {
            new.channels.contains(*channel) && !is_silent(channel, new.id) && !is_silent(channel, old.id)
        };
        let on: Vec<Folded> = old.channels.iter().filter(is_on).cloned().collect();
        let is_told = |one: &News| match one {
            News::Quit(quit) => quit.user != old.id,
            News::Arrived { user, .. } => *user != new.id,
            News::Joined { channel, user, .. } => *user != new.id || !on.contains(channel),
            _ => true,
        };
        let mut told: Vec<News> = news.into_iter().filter(is_told).collect();
        let behind = told.iter().rposition(|one| matches!(one, News::Quit(_))).map_or(0, |last| last + 1);
        told.splice(behind..behind, self.differences(old, new, on, &roles));
        told
    }

    fn differences(
        &self,
        old: &User,
        new: &User,
        on: Vec<Folded>,
        roles: &BTreeMap<Folded, Role>,
    ) -> Vec<News> {
        let role = |channel: &Folded| roles.get(channel).copied().unwrap_or_default();
        let who = || Neighbour { user: new.id, on: on.clone() };
        let mut news = Vec::new();
        for channel in old.channels.iter().filter(|channel| !on.contains(channel)) {
            let Some(known) = self.channels.get(channel) else { continue };
            news.push(News::Left {
                channel: channel.clone(),
                shown: known.name.clone(),
                user: old.id,
                source: old.prefix(),
                nick: old.nick.clone(),
                was: role(channel),
                how: Leaving::Parted { reason: None },
            });
        }
        let were = on.iter().map(|channel| (channel.clone(), role(channel).status)).collect();
        // Who heard of them on a channel that hides its members hears of their nick, and nobody else; statuses are told
        // by the nick that they have now.
        news.push(News::Succeeds { from: old.id, to: new.id, on: were });
        if old.nick != new.nick {
            let (from, old, new) = (old.prefix(), old.nick.clone(), new.nick.clone());
            news.push(News::Renamed { who: who(), from, old, new });
        }
        news.push(News::Succeeded { to: new.id, on: on.clone() });
        if (&old.fact.username, &old.fact.host) != (&new.fact.username, &new.fact.host) {
            let from = format!("{}!{}@{}", new.nick, old.fact.username, old.fact.host);
            news.push(News::HostChanged { who: who(), from });
        }
        if old.fact.realname != new.fact.realname {
            news.push(News::RealnameChanged { who: who() });
        }
        if old.fact.away != new.fact.away {
            news.push(News::AwayChanged { who: who() });
        }
        for (key, value) in changes(&old.metadata, &new.metadata) {
            news.push(News::SaidOfUser { who: who(), key, value });
        }
        news
    }
}
