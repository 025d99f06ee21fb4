//! Which channels are registered, and by which birth they therefore go.

use std::collections::BTreeSet;

use super::Touched;
use crate::engine::network::Network;
use crate::engine::network::change::{Edit, Key};
use crate::engine::network::channel::Item;
use crate::engine::network::lock::Locked;
use crate::engine::network::news::News;
use crate::wire::fold::Folded;

impl Network {
    /// Touches the channels that are registered otherwise than before. `touched.accounts` are those whose facts changed.
    pub(super) fn refresh_registrations(&mut self, touched: &mut Touched) -> Vec<News> {
        let mut names: BTreeSet<Folded> = std::mem::take(&mut touched.registrations);
        for account in &touched.accounts {
            names.extend(self.registrations.touched_by(*account).cloned());
        }
        let mut news = Vec::new();
        for channel in names {
            let before = self.registrations.refresh(&channel, self.durable.facts(), &self.accounts);
            let now = self.registrations.get(&channel);
            if let (Some(before), Some(now)) = (&before, now)
                && now.claimed < before.claimed
            {
                news.push(News::RegistrationLost { channel: now.name.clone(), account: before.owner });
            }
            if let (Some(before), Some(now)) = (&before, now) {
                let raised = now.raised_since(before).into_iter();
                self.raised.extend(raised.map(|account| (channel.clone(), account)));
            }
            let locks = [before.as_ref(), now].map(|of| of.map(Locked::of).unwrap_or_default());
            if let Some(now) = now.filter(|_| locks[0] != locks[1]) {
                let letters = locks.iter().flat_map(Locked::letters);
                let keys = letters.map(|letter| Key::Setting(channel.clone(), now.birth, Item::Mode(letter)));
                touched.items.entry(channel.clone()).or_default().extend(keys);
            }
            let birth = |of: &Option<&crate::engine::network::Registration>| of.map(|of| of.birth);
            if birth(&before.as_ref()) != birth(&now) {
                touched.items.entry(channel).or_default();
            }
        }
        news
    }

    /// Gives this server's users on registered channels what was said meanwhile that their accounts are there: whoever
    /// said it may not have known that they are on it.
    pub(in crate::engine::network) fn raise(&mut self) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (name, account) in std::mem::take(&mut self.raised) {
            let Some(channel) = self.channels.get(&name) else { continue };
            let own = channel.members_of(self.me).filter(|(user, _)| {
                self.users.get(user).is_some_and(|user| user.account_id() == Some(account))
            });
            for (user, member) in own {
                let by = self.server_name(self.me);
                edits.extend(channel.given_to(user, member, self.access(&name, user), by));
            }
        }
        edits
    }
}
