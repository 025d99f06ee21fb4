//! How many people and channels there are to be seen, kept as they come, change and go: everyone who arrives is told.

use super::channel::Channel;
use super::user::User;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub people: usize,
    /// Of these, how many are invisible to those who do not know them, and how many are shown as operators.
    pub invisible: usize,
    pub operators: usize,
    pub channels: usize,
}

impl Census {
    /// By counting all of them.
    pub(super) fn of<'n>(
        users: impl Iterator<Item = &'n User>,
        channels: impl Iterator<Item = &'n Channel>,
    ) -> Census {
        let mut census = Census::default();
        users.for_each(|user| census.add(user));
        channels.for_each(|channel| census.add_channel(channel));
        census
    }

    pub(super) fn add(&mut self, user: &User) {
        for (count, counts) in self.counts(user) {
            *count += usize::from(counts);
        }
    }

    /// Of somebody as they were added.
    pub(super) fn remove(&mut self, user: &User) {
        for (count, counts) in self.counts(user) {
            *count -= usize::from(counts);
        }
    }

    pub(super) fn add_channel(&mut self, channel: &Channel) {
        self.channels += usize::from(channel.is_visible());
    }

    /// Of a channel as it was added.
    pub(super) fn remove_channel(&mut self, channel: &Channel) {
        self.channels -= usize::from(channel.is_visible());
    }

    fn counts(&mut self, user: &User) -> [(&mut usize, bool); 3] {
        let is_visible = user.is_visible();
        [
            (&mut self.people, is_visible),
            (&mut self.invisible, is_visible && user.has_mode('i')),
            (&mut self.operators, is_visible && user.is_shown_operator()),
        ]
    }
}
