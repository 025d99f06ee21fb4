//! What people say of themselves for programs to read, kept with their account: it is said of them again wherever they
//! log in, and of everybody who is logged in to it alike.
//!
//! The account's facts lead. What somebody says while they are logged in is written there as well, and each server says
//! of its own users what their accounts say. What was said before a login is news, and counts more than what was kept.

use super::Engine;
use super::metadata::LOCATION;
use super::network::{Account, AccountFact, AccountId, Edit, Field, Metadata, Subject};
use super::turn::Turn;
use crate::wire::names::{MetadataKey, UserId};

/// Where somebody is they say anew each time: it is soon out of date, and nobody else's to remember.
fn is_kept(key: &MetadataKey) -> bool {
    key.as_str() != LOCATION
}

/// What is to be said of somebody so that it is what their account says, as far as there is room.
fn missing(account: &Account, said: &Metadata, keys_max: usize) -> Metadata {
    let mut room = keys_max.saturating_sub(said.len());
    let mut missing = Metadata::new();
    for (key, value) in account.profile.iter().filter(|(key, value)| said.get(*key) != Some(*value)) {
        if !said.contains_key(key) {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        missing.insert(key.clone(), value.clone());
    }
    missing
}

impl Turn<'_> {
    /// Has the speaker's account remember something that they say of themselves, or that they do not any more.
    pub fn keep_in_profile(&mut self, key: &MetadataKey, value: Option<&str>) {
        if let Some(account) = self.account().map(|account| account.id) {
            self.remember(account, key, value);
        }
    }

    /// Has an account remember what the speaker has said by the time that they log in to it. Comes before that: while
    /// they are logged in, what the account says is said of them.
    pub fn bring_to_profile(&mut self, account: AccountId, said: &Metadata) {
        for (key, value) in said {
            self.remember(account, key, Some(value));
        }
    }

    fn remember(&mut self, id: AccountId, key: &MetadataKey, value: Option<&str>) {
        let Some(account) = self.network().accounts().get(id).filter(|_| is_kept(key)) else { return };
        let known = account.profile.get(key).map(String::as_str);
        let is_full = known.is_none() && account.profile.len() >= self.config().metadata.keys;
        if known == value || is_full {
            return;
        }
        let by = match self.session().user() {
            Some(_) => self.prefix(),
            None => self.session().address_text(),
        };
        let fact = value.map(|value| AccountFact::Metadata(value.to_string()));
        self.change(Edit::Account { account: id, field: Field::Metadata(key.clone()), fact, by });
    }

    /// The speaker has logged in: what their account remembers is said of them. Their own client is told, unless it is to
    /// hear all of it anyway.
    pub fn take_up_profile(&mut self, is_told: bool) {
        let Some(account) = self.account() else { return };
        let missing = missing(account, &self.user().metadata, self.config().metadata.keys);
        let (me, by) = (self.me(), self.prefix());
        for (key, value) in missing {
            let (of, by) = (Subject::User(me), by.clone());
            self.change(Edit::Metadata { of, key: key.clone(), value: Some(value.clone()), by });
            if is_told {
                self.engine.tell_said_of_oneself(me, &key, Some(&value), None);
            }
        }
    }

    /// A connection joins the others of somebody who is logged in: what it has said of itself by then is said of them.
    pub fn say_of_myself(&mut self, said: Metadata) {
        let (me, by, most) = (self.me(), self.prefix(), self.config().metadata.keys);
        for (key, value) in said {
            let known = &self.user().metadata;
            if known.get(&key) == Some(&value) || (!known.contains_key(&key) && known.len() >= most) {
                continue;
            }
            self.engine.tell_said_of_oneself(me, &key, Some(&value), Some(self.conn));
            let (of, by) = (Subject::User(me), by.clone());
            self.change(Edit::Metadata { of, key: key.clone(), value: Some(value.clone()), by });
            self.keep_in_profile(&key, Some(&value));
        }
    }

    /// The speaker is to be somebody else, or nobody: what their account remembers is not said of them any more.
    pub fn leave_profile(&mut self) {
        let (Some(account), Some(me)) = (self.account(), self.session().user()) else { return };
        let Some(user) = self.network().user(me) else { return };
        let kept = user.metadata.iter().filter(|(key, value)| account.profile.get(*key) == Some(*value));
        let keys: Vec<MetadataKey> = kept.map(|(key, _)| key.clone()).collect();
        let by = self.prefix();
        for key in keys {
            self.engine.tell_said_of_oneself(me, &key, None, None);
            self.change(Edit::Metadata { of: Subject::User(me), key, value: None, by: by.clone() });
        }
    }
}

impl Engine {
    /// Somebody took something back that their account remembered: it is not said on their other connections either.
    pub(super) fn forget_in_profile(&mut self, account: AccountId, key: &MetadataKey) {
        let is_said_of = self.network.accounts().get(account);
        if is_said_of.is_some_and(|account| !account.profile.contains_key(key)) {
            self.unsaid.push((account, key.clone()));
        }
    }

    /// What accounts remember is said of all of this server's users who are logged in to them, wherever it was said first.
    pub(super) fn settle_profiles(&mut self) {
        let unsaid = std::mem::take(&mut self.unsaid);
        let users: Vec<UserId> = self.sessions.people().map(|(user, _)| user).collect();
        users.into_iter().for_each(|user| self.settle_profile(user, &unsaid));
    }

    /// The same of one of them, of whom some of it may have been said that their account does not remember any more.
    pub(super) fn settle_profile(&mut self, user: UserId, unsaid: &[(AccountId, MetadataKey)]) {
        let Some(known) = self.network.user(user) else { return };
        let Some(account) = known.account_id().and_then(|id| self.network.accounts().get(id)) else { return };
        let said = missing(account, &known.metadata, self.config.metadata.keys).into_iter();
        let mut changes: Vec<(MetadataKey, Option<String>)> =
            said.map(|(key, value)| (key, Some(value))).collect();
        let gone = unsaid.iter().filter(|(of, key)| *of == account.id && known.metadata.contains_key(key));
        changes.extend(gone.map(|(_, key)| (key.clone(), None)));
        let by = known.prefix();
        for (key, value) in changes {
            self.tell_said_of_oneself(user, &key, value.as_deref(), None);
            let of = Subject::User(user);
            self.write(Edit::Metadata { of, key, value, by: by.clone() }, false);
        }
    }
}
