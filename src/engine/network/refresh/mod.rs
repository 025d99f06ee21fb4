//! The view, brought up to date where facts were touched, and compared with what it was.
//!
//! Whatever the cause, a live change, a merge or a server lost from sight, the same thing happens:
//! what the touched facts mean is computed anew, and the difference becomes news.

mod accounts;
mod channels;
mod names;
mod registrations;
mod succession;
mod tide;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use super::account::AccountId;
use super::ban::BanKind;
use super::change::{Change, Edit, Key};
use super::channel::Role;
use super::metadata::Subject;
use super::news::{Leaving, News, Split};
use super::server::Standing;
use super::user::User;
use super::{Network, UserId};
use crate::engine::merge::Stamp;
use crate::wire::fold::Folded;
use crate::wire::names::ServerId;

pub use tide::Tide;

/// Why the view is computed anew, which decides the words for what changed.
pub(super) enum Cause<'a> {
    Change(&'a Change),
    Merged,
    /// Servers have come into sight, or gone out of it; so many of their people are looked at now.
    Reach {
        people: usize,
    },
}

/// What has to be computed anew.
#[derive(Default)]
pub(super) struct Touched {
    pub servers: BTreeSet<ServerId>,
    pub users: BTreeSet<UserId>,
    pub members: BTreeSet<(Folded, UserId)>,
    pub items: BTreeMap<Folded, Vec<Key>>,
    pub bans: Vec<(BanKind, String)>,
    pub complaints: Vec<Stamp>,
    pub markers: Vec<(AccountId, Folded)>,
    pub accounts: BTreeSet<AccountId>,
    pub registrations: BTreeSet<Folded>,
    /// Nicks that may have come to be somebody else's.
    pub nicks: BTreeSet<Folded>,
}

impl Touched {
    pub fn from_keys(keys: Vec<Key>) -> Touched {
        let mut touched = Touched::default();
        for key in keys {
            match &key {
                Key::Server(server) => drop(touched.servers.insert(*server)),
                Key::User(user) => drop(touched.users.insert(*user)),
                Key::Member(channel, user) => drop(touched.members.insert((channel.clone(), *user))),
                Key::Metadata(Subject::User(user), _) => drop(touched.users.insert(*user)),
                Key::Setting(channel, ..)
                | Key::Status(channel, ..)
                | Key::Mask(channel, ..)
                | Key::Metadata(Subject::Channel(channel, _), _) => {
                    touched.items.entry(channel.clone()).or_default().push(key);
                }
                Key::Foreign(_) => {}
                Key::Ban(kind, mask) => touched.bans.push((*kind, mask.clone())),
                Key::Complaint(id) => touched.complaints.push(*id),
                Key::Read(account, place) => touched.markers.push((*account, place.clone())),
                Key::Registration(channel, ..) => drop(touched.registrations.insert(channel.clone())),
                Key::Account(account, _) => drop(touched.accounts.insert(*account)),
            }
        }
        touched
    }
}

/// What a user was before, if anyone could know.
type Before = BTreeMap<UserId, Option<User>>;

/// What those who left were on their channels.
type Left = BTreeMap<(Folded, UserId), Role>;

impl Network {
    pub(super) fn refresh(&mut self, mut touched: Touched, cause: &Cause) -> Vec<News> {
        let bans = self.refresh_bans(std::mem::take(&mut touched.bans), cause);
        let complaints = std::mem::take(&mut touched.complaints).into_iter();
        // What was told out of sight is to be listed; who followed it there has heard it.
        let complaints = complaints.filter_map(|id| match cause {
            Cause::Change(Change { edit: Edit::Complaint { by, .. }, .. }) => {
                Some(News::Complaint { id, by: by.clone() })
            }
            _ => None,
        });
        let complaints: Vec<News> = complaints.collect();
        let markers = std::mem::take(&mut touched.markers).into_iter();
        let markers = markers.map(|(account, place)| News::Read { account, place });
        let accounts = self.refresh_accounts(&mut touched, cause);
        let registrations = self.refresh_registrations(&mut touched);
        self.refresh_trails(&touched);
        let names_before = self.refresh_servers(&mut touched);
        let names_before = match cause {
            Cause::Reach { people } => self.put_off(*people, &mut touched, names_before),
            _ => names_before,
        };
        self.forget_epochs(&names_before, &mut touched);
        let before = self.refresh_users(&mut touched);
        let (leaving, left, joining, settings) = self.refresh_channels(touched, &before, cause);

        // Whoever goes makes room first, and goes by the name that they were known by.
        let mut news = self.quits(&before, &names_before, &left, cause);
        news.extend(leaving);
        news.extend(self.renames(&before));
        news.extend(self.arrivals(&before));
        news.extend(self.other_changes(&before));
        news.extend(joining);
        news.extend(settings);
        news.extend(accounts);
        news.extend(registrations);
        news.extend(bans);
        news.extend(complaints);
        news.extend(markers);
        news = self.successions(news, &before);
        if matches!(cause, Cause::Reach { .. }) && self.is_turning() {
            return news;
        }
        for (server, name_before) in names_before {
            if self.shows_server(server) {
                if self.shown.insert(server) {
                    news.push(News::ServerCame { server });
                }
            } else if self.shown.remove(&server)
                && let Some(name) = name_before
            {
                news.push(News::ServerWent { server, name });
            }
        }
        news
    }

    fn refresh_bans(&mut self, touched: Vec<(BanKind, String)>, cause: &Cause) -> Vec<News> {
        let (mut news, mut set, mut lifted) = (Vec::new(), 0, 0);
        for (kind, mask) in touched {
            let shows = self.durable.facts().get(&Key::Ban(kind, mask.clone()));
            let before = self.bans.take(kind, &mask, shows);
            let after = self.bans.get(kind, &mask).map(|ban| ban.fact.clone());
            if before == after {
                continue;
            }
            match &after {
                Some(_) => {
                    set += 1;
                    self.new_bans.insert((kind, mask.clone()));
                }
                None => lifted += 1,
            }
            if let Cause::Change(Change { edit: Edit::Ban { by, .. }, .. }) = cause {
                news.push(News::Ban { kind, mask, by: by.clone(), before, after });
            }
        }
        if matches!(cause, Cause::Merged) && set + lifted > 0 {
            news.push(News::Bans { set, lifted });
        }
        news
    }

    fn shows_server(&self, server: ServerId) -> bool {
        self.servers.contains_key(&server) && self.standing(server) == Standing::Present
    }

    fn split_from(&self, far: ServerId, name: Option<&str>) -> Split {
        let far = name.unwrap_or_else(|| self.server_name(far)).to_string();
        Split { near: self.server_name(self.me).to_string(), far }
    }
}

impl Cause<'_> {
    fn by(&self) -> Option<String> {
        match self {
            Cause::Change(change) => change.edit.set_by().map(str::to_string),
            _ => None,
        }
    }

    /// The server that speaks where nobody in particular has set something: whoever wrote how a channel is registered.
    fn writer(&self, me: ServerId) -> ServerId {
        match self {
            Cause::Change(Change { dot, edit: Edit::Registration { .. }, .. }) => dot.origin.server,
            _ => me,
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
