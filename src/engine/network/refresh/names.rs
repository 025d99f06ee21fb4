//! What each channel is called now, and which of them are called something else than before.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Cause;
use crate::engine::network::Network;
use crate::engine::network::change::{Change, Edit, Key, Value};
use crate::engine::network::channel::{Channel, Item, Setting};
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
            affected.extend(self.give_name(id));
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
                let given_by = match cause {
                    Cause::Change(Change { edit, .. }) => match edit.plain() {
                        Edit::Setting { item: Item::Name, by, .. } => Some(by.clone()),
                        _ => None,
                    },
                    _ => None,
                };
                let by = given_by.unwrap_or_else(|| self.server_name(self.me).to_string());
                self.to_rename.insert(id, by);
            }
        }
    }

    /// The same for the registered channels that were there when this server started, with nobody on them.
    pub(in crate::engine::network) fn name_kept_channels(&mut self) {
        let ids: Vec<Folded> = self.registrations.iter().map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.give_name(&id);
        }
    }

    /// Notes the name that a channel was given, which a registered one has though nobody is there; answers with the
    /// names about which that may matter to others.
    fn give_name(&mut self, id: &Folded) -> Vec<Folded> {
        let given = match (self.channels.get(id), self.registrations.get(id)) {
            (Some(channel), _) => {
                channel.renaming.as_ref().map(|(stamp, renaming)| (*stamp, renaming.name.folded()))
            }
            (None, Some(of)) => {
                let fact = self.durable.facts().get(&Key::Setting(id.clone(), of.birth, Item::Name));
                fact.and_then(|fact| match &fact.value {
                    Value::Setting(Setting::Name(renaming)) => Some((fact.stamp, renaming.name.folded())),
                    _ => None,
                })
            }
            (None, None) => None,
        };
        self.names.give(id, given)
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

    pub(super) fn name_of(&self, channel: &Channel) -> (ChannelName, String) {
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
    pub fn channel_called_before(&self, name: &Folded) -> Option<Cow<'_, Channel>> {
        self.channel_or_kept(name).filter(|channel| channel.name.folded() != *name)
    }
}
