//! How somebody comes to be on a channel that nothing bars them from.

use super::Engine;
use super::merge::Stamp;
use super::mode::CHANNEL_MODES_AT_BIRTH;
use super::network::{Edit, Item, MemberFact, Setting};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::{ChannelName, UserId};

impl Engine {
    /// Takes one of this server's users in, and answers with the channel's id.
    pub(super) fn take_in(&mut self, user: UserId, name: &ChannelName) -> Folded {
        let (id, joined) = (self.network.channel_id(&name.folded()), self.clock.tick(self.now.wall));
        // A channel of people who are out of reach is still theirs: nobody gains it by a split.
        // One that is registered is there even if nobody is.
        let known = self.network.channel_or_kept(&id);
        let known = known.map(|channel| (channel.made_as.clone(), channel.birth, channel.has_mode('D')));
        let Some((name, birth, is_silent)) = known else {
            self.make_channel(user, id.clone(), name.clone(), joined);
            return id;
        };
        let status = self.network.access(&id, user);
        let fact = MemberFact { name, birth, joined, status, is_silent };
        self.write(Edit::Join { user, channel: id.clone(), fact }, false);
        id
    }

    /// Whoever comes first runs the channel.
    fn make_channel(&mut self, user: UserId, id: Folded, name: ChannelName, joined: Stamp) {
        let status = Letters::NONE.with('o');
        let fact = MemberFact { name, birth: joined, joined, status, is_silent: false };
        let by = self.identity.name.to_string();
        self.write(Edit::Join { user, channel: id.clone(), fact }, false);
        let mut letters = CHANNEL_MODES_AT_BIRTH.iter().peekable();
        while let Some(letter) = letters.next() {
            let setting = Edit::Setting {
                channel: id.clone(),
                birth: joined,
                item: Item::Mode(*letter),
                value: Some(Setting::On),
                by: by.clone(),
            };
            self.write(setting, letters.peek().is_some());
        }
        self.keep_birth(&id, joined);
    }
}
