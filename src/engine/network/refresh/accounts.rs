//! Which accounts there are, by which names, and who is therefore called what.

use super::{Cause, Touched};
use crate::engine::network::Network;
use crate::engine::network::change::{Change, Edit};
use crate::engine::network::news::News;

impl Network {
    /// Touches those whose account is shown otherwise, and the nicks that may be somebody else's.
    pub(super) fn refresh_accounts(&mut self, touched: &mut Touched, cause: &Cause) -> Vec<News> {
        if touched.accounts.is_empty() {
            return Vec::new();
        }
        let written = match cause {
            Cause::Change(Change { edit: Edit::Account { account, field, by, .. }, .. }) => {
                let before = self.accounts.get(*account).map(|account| account.name.clone());
                Some((*account, field, by, before))
            }
            _ => None,
        };
        let ripples = self.accounts.refresh(&touched.accounts, self.durable.facts());
        let is_theirs = |id| ripples.accounts.contains(&id);
        touched.users.extend(
            self.users.values().filter(|user| user.fact.account.is_some_and(is_theirs)).map(|user| user.id),
        );
        touched.nicks.extend(ripples.nicks);
        self.new_accounts = true;
        let written = written.map(|(account, field, by, before)| {
            let now = self.accounts.get(account).map(|account| account.name.clone());
            let (was_there, is_there) = (before.is_some(), now.is_some());
            let name = now.or(before).unwrap_or_default();
            News::Account { account, field: field.clone(), by: by.clone(), name, is_there, was_there }
        });
        written.into_iter().collect()
    }
}
