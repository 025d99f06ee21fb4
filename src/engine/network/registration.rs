//! Registered channels: what all servers know of a channel for good, and how everyone sees it.
//!
//! A registration is the facts under the channel's name and the stamp that it was made with. It is there for as long as
//! one of them says who has founded it, and somebody is left who can own it. Of two that were made in a split the earlier
//! one has the channel; the other stands behind it, and has the channel should the first be dropped.
//!
//! It makes a birth of the channel permanent, whoever is there or not, and what is set under that birth is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::account::{AccountId, Accounts};
use super::change::{Key, Value};
use crate::engine::merge::{Facts, Stamp};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::ChannelName;
use crate::wire::time::Timestamp;

/// One thing that is said of a registered channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clause {
    /// Without this there is no registration.
    Founded,
    /// What an account is on the channel whenever it comes.
    Access(AccountId),
    /// Which account has the channel once its founder's is no more.
    Successor,
    /// To which account the founder wishes to give it.
    Offer,
    Description,
    /// Which modes stay as they are, whoever runs the channel.
    Lock,
}

/// As the wire and the log call it: `access/2s1k0ftdg0.7FA`.
impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clause::Founded => f.write_str("founded"),
            Clause::Access(account) => write!(f, "access/{account}"),
            Clause::Successor => f.write_str("successor"),
            Clause::Offer => f.write_str("offer"),
            Clause::Description => f.write_str("description"),
            Clause::Lock => f.write_str("lock"),
        }
    }
}

/// What that says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClauseFact {
    Founded { name: ChannelName, birth: Stamp, founder: AccountId, at: Timestamp },
    Access(Letters),
    Account(AccountId),
    Text(String),
}

/// A registered channel as everyone sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// When it was made: the earliest has the channel.
    pub claimed: Stamp,
    /// What it was called when it was made, which it is kept under.
    pub name: ChannelName,
    /// The birth that counts, whoever else bears another one.
    pub birth: Stamp,
    pub founder: AccountId,
    /// Whose it is: the founder's, or the successor's where the founder has no account any more.
    pub owner: AccountId,
    pub at: Timestamp,
    pub access: BTreeMap<AccountId, Letters>,
    pub successor: Option<AccountId>,
    /// Whom the founder has offered it; a founder who is no more offers nothing.
    pub offer: Option<AccountId>,
    pub description: Option<String>,
    /// As it was written.
    pub lock: Option<String>,
}

impl Registration {
    /// What all that is known of the channel is kept under.
    pub fn id(&self) -> Folded {
        self.name.folded()
    }

    /// Everyone who is anything on the channel.
    fn entitled(&self) -> impl Iterator<Item = AccountId> {
        self.access.keys().copied().chain([self.owner])
    }

    /// Those who are more on the channel than they were by another registration of it.
    pub(super) fn raised_since(&self, before: &Registration) -> BTreeSet<AccountId> {
        let is_raised = |account: &AccountId| {
            let (now, before) = (self.status_of(*account), before.status_of(*account));
            now.iter().any(|letter| !before.has(letter))
        };
        self.entitled().filter(is_raised).collect()
    }

    /// What an account is given on the channel as it comes.
    pub fn status_of(&self, account: AccountId) -> Letters {
        match account == self.owner {
            true => Letters::NONE.with('q').with('o'),
            false => self.access.get(&account).copied().unwrap_or(Letters::NONE),
        }
    }

    /// What the facts make of it; `None` where nobody is left to own it.
    fn of(
        channel: &Folded,
        claimed: Stamp,
        facts: &Facts<Key, Value>,
        accounts: &Accounts,
    ) -> Option<Registration> {
        let (first, last) = clauses(channel, claimed);
        let mut founded = None;
        let (mut access, mut successor, mut offer) = (BTreeMap::new(), None, None);
        let (mut description, mut lock) = (None, None);
        for (key, fact) in facts.range(&first, &last) {
            let (Key::Registration(_, _, clause), Value::Registration(fact)) = (key, &fact.value) else {
                continue;
            };
            match (clause, fact.clone()) {
                (_, ClauseFact::Founded { name, birth, founder, at }) => {
                    founded = Some((name, birth, founder, at));
                }
                (Clause::Access(account), ClauseFact::Access(letters)) => {
                    access.insert(*account, letters);
                }
                (Clause::Successor, ClauseFact::Account(account)) => successor = Some(account),
                (Clause::Offer, ClauseFact::Account(account)) => offer = Some(account),
                (Clause::Description, ClauseFact::Text(text)) => description = Some(text),
                (Clause::Lock, ClauseFact::Text(text)) => lock = Some(text),
                _ => {}
            }
        }
        let (name, birth, founder, at) = founded?;
        let owner =
            [Some(founder), successor].into_iter().flatten().find(|id| accounts.get(*id).is_some())?;
        let offer = offer.filter(|_| owner == founder);
        Some(Registration {
            claimed,
            name,
            birth,
            founder,
            owner,
            at,
            access,
            successor,
            offer,
            description,
            lock,
        })
    }
}

/// The first and last key of a registration.
pub fn clauses(channel: &Folded, claimed: Stamp) -> (Key, Key) {
    let key = |clause| Key::Registration(channel.clone(), claimed, clause);
    (key(Clause::Founded), key(Clause::Lock))
}

/// Every registered channel.
#[derive(Clone, Debug, Default)]
pub struct Registrations {
    in_force: BTreeMap<Folded, Registration>,
    /// The channels that an account has some part in, now or later.
    of_account: BTreeMap<AccountId, BTreeSet<Folded>>,
}

impl Registrations {
    pub fn of(facts: &Facts<Key, Value>, accounts: &Accounts) -> Registrations {
        let mut registrations = Registrations::default();
        let names = facts.iter().filter_map(|(key, _)| match key {
            Key::Registration(channel, ..) => Some(channel.clone()),
            _ => None,
        });
        for channel in names.collect::<BTreeSet<Folded>>() {
            registrations.refresh(&channel, facts, accounts);
        }
        registrations
    }

    /// Computes anew whose a channel is, and answers with what was so before.
    pub(super) fn refresh(
        &mut self,
        channel: &Folded,
        facts: &Facts<Key, Value>,
        accounts: &Accounts,
    ) -> Option<Registration> {
        let lowest = Stamp::LOWEST;
        let (first, _) = clauses(channel, lowest);
        let (_, last) = clauses(channel, Stamp::HIGHEST);
        let mut claims = BTreeSet::new();
        for (key, fact) in facts.range(&first, &last) {
            let Key::Registration(_, claimed, _) = key else { continue };
            claims.insert(*claimed);
            if let Value::Registration(ClauseFact::Founded { founder: id, .. } | ClauseFact::Account(id)) =
                &fact.value
            {
                self.of_account.entry(*id).or_default().insert(channel.clone());
            }
        }
        let now = claims.into_iter().find_map(|claimed| Registration::of(channel, claimed, facts, accounts));
        match now {
            Some(now) => self.in_force.insert(channel.clone(), now),
            None => self.in_force.remove(channel),
        }
    }

    pub fn get(&self, channel: &Folded) -> Option<&Registration> {
        self.in_force.get(channel)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Folded, &Registration)> {
        self.in_force.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.in_force.is_empty()
    }

    /// The channels whose owner may be another one when something becomes of this account.
    pub(super) fn touched_by(&self, account: AccountId) -> impl Iterator<Item = &Folded> {
        self.of_account.get(&account).into_iter().flatten()
    }
}
