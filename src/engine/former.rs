//! Which accounts people were logged in to before, on the same connection, or by the same nick from the same host: whoever
//! blocks one of them goes on to.
//!
//! Each server notes what it sees happen, so of somebody who logged out before it was in reach it knows nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::network::AccountId;
use crate::wire::fold::{Folded, fold};
use crate::wire::names::UserId;

/// Of so many people it is remembered, the latest, also after they have gone: what they said is read later.
const PEOPLE_MAX: usize = 10_000;

/// And of each so many accounts; nobody honest has had more at once.
const ACCOUNTS_MAX: usize = 8;

#[derive(Debug, Default)]
pub struct Former {
    by_user: BTreeMap<UserId, BTreeSet<AccountId>>,
    users: VecDeque<UserId>,
    /// By nick and host, of those who logged out or went.
    by_source: BTreeMap<Source, BTreeSet<AccountId>>,
    sources: VecDeque<Source>,
}

/// A nick and a host. Of the name between them everybody says what they like.
type Source = (Folded, String);

fn nick_and_host(source: &str) -> Source {
    let (nick, rest) = source.split_once('!').unwrap_or((source, ""));
    (fold(nick), rest.rsplit('@').next().unwrap_or_default().to_string())
}

/// One account more in a table that forgets whoever came to it first.
fn remember<K: Ord + Clone>(
    table: &mut BTreeMap<K, BTreeSet<AccountId>>,
    order: &mut VecDeque<K>,
    key: K,
    account: AccountId,
) {
    if !table.contains_key(&key) {
        order.push_back(key.clone());
    }
    let accounts = table.entry(key).or_default();
    if accounts.len() < ACCOUNTS_MAX {
        accounts.insert(account);
    }
    if order.len() > PEOPLE_MAX
        && let Some(first) = order.pop_front()
    {
        table.remove(&first);
    }
}

impl Former {
    /// Somebody was logged in to this until now.
    pub fn note(&mut self, user: UserId, account: AccountId) {
        remember(&mut self.by_user, &mut self.users, user, account);
    }

    /// Somebody was called so, and there, when they logged out of this, or went; as `nick!user@host`.
    pub fn note_source(&mut self, source: &str, account: AccountId) {
        remember(&mut self.by_source, &mut self.sources, nick_and_host(source), account);
    }

    pub fn of(&self, user: UserId) -> impl Iterator<Item = AccountId> {
        self.by_user.get(&user).into_iter().flatten().copied()
    }

    /// Of somebody who has no account now.
    pub fn of_source(&self, source: &str) -> impl Iterator<Item = AccountId> {
        self.by_source.get(&nick_and_host(source)).into_iter().flatten().copied()
    }
}
