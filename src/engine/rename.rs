//! A channel is called something else: told to those who know of such a thing, and shown as leaving one channel and
//! coming to another to those who do not.

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::merge::Stamp;
use super::network::{Edit, Item, Renaming, Setting};
use super::turn::Turn;
use crate::wire::fold::Folded;
use crate::wire::names::ChannelName;

/// Of so many channels that are no more it is kept what they were called in the end.
const NAMES_KEPT_MAX: usize = 2_000;

impl Engine {
    /// Keeps a name that a channel was given for good, so that what was said there is found by it.
    pub fn keep_name(&mut self, given: Edit) {
        if matches!(self.network.lasting(given.clone()), Edit::Lasting(_)) {
            // As is all that is set on a registered channel.
            return;
        }
        self.write(Edit::Lasting(Box::new(given)), false);
        if let Some((channel, birth)) = self.network.oldest_beyond(NAMES_KEPT_MAX) {
            let by = self.identity.name.to_string();
            let edit = Edit::Setting { channel, birth, item: Item::Name, value: None, by };
            self.write(Edit::Lasting(Box::new(edit)), false);
        }
    }

    /// Keeps when a channel was made that takes up the name of one that was called something else in the end.
    pub fn keep_birth(&mut self, id: &Folded, birth: Stamp) {
        let Some(channel) = self.network.channel(id).filter(|_| self.network.follows_renamed(id)) else {
            return;
        };
        let (channel, by) = (channel.made_as.clone(), self.identity.name.to_string());
        let value = Some(Setting::Name(Renaming { name: channel, reason: String::new() }));
        self.keep_name(Edit::Setting { channel: id.clone(), birth, item: Item::Name, value, by });
    }
}

impl Engine {
    /// Has all channels called what they are to be called. Members know by now who is there and what is set.
    pub(super) fn rename_channels(&mut self) {
        for (id, by) in self.network.channels_to_rename() {
            self.end_mending(&id);
            let news = self.network.rename_channel(&id, by);
            self.tell(news.into_iter().collect());
        }
    }

    pub(super) fn tell_channel_renamed(&mut self, id: &Folded, from: &ChannelName, by: &str, reason: &str) {
        let Some(channel) = self.network.channel(id) else { return };
        let (name, hears) = (channel.name.clone(), self.members_here(channel));
        let knows = |conn: &ConnId| self.sessions.caps_of(*conn).has(Cap::ChannelRename);
        let (told, others): (Vec<ConnId>, Vec<ConnId>) = hears.into_iter().partition(knows);
        self.say(told, self.spoken_from(by, format!(":{by} RENAME {from} {name} :{reason}")));
        if from.folded() == name.folded() {
            // It is the same name to them.
            return;
        }
        let why = if reason.is_empty() { String::new() } else { format!(" :{reason}") };
        for conn in others {
            let Some(user) = self.sessions.get(conn).and_then(|session| session.user()) else { continue };
            let Some(source) = self.network.user(user).map(|user| user.prefix()) else { continue };
            self.say(vec![conn], self.spoken_by(user, format!(":{source} PART {from}{why}")));
            self.say_joined(id, user, vec![conn], None);
            Turn::new(self, conn).introduce_anew_to(id);
        }
    }
}
