//! A channel is called something else: told to those who know of such a thing, and shown as leaving one channel and
//! coming to another to those who do not.

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::turn::Turn;
use crate::wire::fold::Folded;
use crate::wire::names::ChannelName;

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
        let knows =
            |conn: &ConnId| self.sessions.get(*conn).is_some_and(|session| session.wants(Cap::ChannelRename));
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
            Turn::new(self, conn).introduce_to(id);
        }
    }
}
