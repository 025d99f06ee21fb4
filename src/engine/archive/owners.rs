//! Whose nicks and channels are here, before an import: nobody loses any to whoever claimed them first elsewhere.

use crate::engine::merge::{Facts, Stamp};
use crate::engine::network::{
    AccountFact, AccountId, Accounts, Edit, Item, Key, Registrations, Subject, Value,
};
use crate::wire::fold::{Folded, fold};
use crate::wire::names::ServerId;
use crate::wire::time::Timestamp;

pub struct Owners {
    accounts: Accounts,
    registrations: Registrations,
    /// A claim that is later than all there are.
    latest: Stamp,
}

impl Owners {
    pub fn of(facts: &Facts<Key, Value>, server: ServerId, now: Timestamp) -> Owners {
        let accounts = Accounts::of(facts);
        let registrations = Registrations::of(facts, &accounts);
        Owners { accounts, registrations, latest: Stamp { ms: now.0, count: 0, server } }
    }

    /// Has something that is imported claim no nick that is another's; it is then theirs if it becomes free. False where
    /// it is of a channel that has been registered by somebody else here, and would take all of it.
    pub fn leave_room(&self, edit: &mut Edit) -> bool {
        match edit {
            Edit::Account {
                account,
                fact: Some(AccountFact::Name { name: nick, claimed } | AccountFact::Nick { nick, claimed }),
                ..
            } => {
                if self.has_another(*account, &fold(nick)) {
                    *claimed = self.latest.max(*claimed);
                }
                true
            }
            Edit::Registration { channel, claimed, .. } => {
                self.registrations.get(channel).is_none_or(|here| here.claimed == *claimed)
            }
            // What those were called that had the name before is no news of the one that has it.
            Edit::Setting { item: Item::Name, .. } => true,
            Edit::Setting { channel, birth, .. }
            | Edit::Mask { channel, birth, .. }
            | Edit::Metadata { of: Subject::Channel(channel, birth), .. } => {
                self.registrations.get(channel).is_none_or(|here| here.birth == *birth)
            }
            Edit::Lasting(edit) => self.leave_room(edit),
            _ => true,
        }
    }

    fn has_another(&self, account: AccountId, nick: &Folded) -> bool {
        self.accounts.owner_of(nick).is_some_and(|owner| owner.id != account)
    }
}
