//! Which channels are registered, and by which birth they therefore go.

use std::collections::BTreeSet;

use super::Touched;
use crate::engine::network::Network;
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
            let birth = |of: &Option<&crate::engine::network::Registration>| of.map(|of| of.birth);
            if birth(&before.as_ref()) != birth(&now) {
                touched.items.entry(channel).or_default();
            }
        }
        news
    }
}
