//! What each channel is called now, and which of them are called something else than before.

use std::collections::{BTreeMap, BTreeSet};

use super::Cause;
use crate::engine::network::Network;
use crate::engine::network::change::{Change, Edit};
use crate::engine::network::channel::{Channel, Item};
use crate::engine::network::news::News;
use crate::wire::fold::{Folded, fold};
use crate::wire::names::ChannelName;

impl Network {
    /// Sees what the channels of which something changed are to be called. Whoever is on one hears of it when all
    /// else is told (`channels_to_rename`), still under the old name; of those that came to be just now nobody knows
    /// another.
    pub(super) fn refresh_names(
        &mut self,
        touched: &BTreeSet<Folded>,
        new: &BTreeSet<Folded>,
        cause: &Cause,
    ) {
        let mut affected = touched.clone();
        for id in touched {
            let given = self.channels.get(id).and_then(|channel| channel.renaming.as_ref());
            let given = given.map(|(stamp, renaming)| (*stamp, renaming.name.folded()));
            affected.extend(self.names.give(id, given));
        }
        // A name also comes free, or is taken, by a channel that was made with it.
        let rivals = affected.iter().flat_map(|name| self.names.claimants(name));
        let ids: BTreeSet<Folded> = rivals.chain(touched).cloned().collect();
        for id in ids {
            let Some(channel) = self.channels.get(&id) else { continue };
            let (name, _) = self.name_of(channel);
            if channel.name == name {
                self.to_rename.remove(&id);
            } else if new.contains(&id) {
                self.channels.entry(id).and_modify(|channel| channel.name = name);
            } else {
                let by = match cause {
                    Cause::Change(Change { edit: Edit::Setting { item: Item::Name, by, .. }, .. }) => {
                        by.clone()
                    }
                    _ => self.server_name(self.me).to_string(),
                };
                self.to_rename.insert(id, by);
            }
        }
    }

    /// Channels that are to be called something else, and who wanted it, each once.
    pub fn channels_to_rename(&mut self) -> BTreeMap<Folded, String> {
        std::mem::take(&mut self.to_rename)
    }

    /// From now on a channel goes by the name that it is to have.
    pub fn rename_channel(&mut self, id: &Folded, by: String) -> Option<News> {
        let (name, reason) = self.name_of(self.channels.get(id)?);
        let channel = self.channels.get_mut(id)?;
        let from = std::mem::replace(&mut channel.name, name);
        (from != channel.name).then(|| News::ChannelRenamed { channel: id.clone(), from, by, reason })
    }

    fn name_of(&self, channel: &Channel) -> (ChannelName, String) {
        let given = channel.renaming.as_ref().map(|(_, renaming)| renaming);
        match given.filter(|given| self.channel_id(&given.name.folded()) == channel.id()) {
            Some(given) => (given.name.clone(), given.reason.clone()),
            None => (channel.made_as.clone(), String::new()),
        }
    }

    /// The id of the channel that has a name, or would have it.
    pub fn channel_id(&self, name: &Folded) -> Folded {
        match self.names.first(name) {
            // What is registered has its name, also while nobody is there.
            Some(id) if !self.channels.contains_key(name) && self.registrations.get(name).is_none() => {
                id.clone()
            }
            _ => name.clone(),
        }
    }

    /// The channel that is called this now.
    pub fn channel_called(&self, name: &str) -> Option<&Channel> {
        let name = fold(name);
        self.channel(&self.channel_id(&name)).filter(|channel| channel.name.folded() == name)
    }

    /// The channel that was made with this name and is called something else now, in sight or not.
    pub fn channel_called_before(&self, name: &Folded) -> Option<&Channel> {
        self.channels.get(name).filter(|channel| channel.name.folded() != *name)
    }
}
