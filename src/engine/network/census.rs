//! How many people there are to be seen, kept as they come, change and go: everyone who arrives is told.

use super::user::User;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub people: usize,
    /// Of these, how many are invisible to those who do not know them, and how many are shown as operators.
    pub invisible: usize,
    pub operators: usize,
}

impl Census {
    /// By counting everyone.
    pub(super) fn of<'u>(users: impl Iterator<Item = &'u User>) -> Census {
        let mut census = Census::default();
        users.for_each(|user| census.add(user));
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

    fn counts(&mut self, user: &User) -> [(&mut usize, bool); 3] {
        let is_visible = user.is_visible();
        [
            (&mut self.people, is_visible),
            (&mut self.invisible, is_visible && user.has_mode('i')),
            (&mut self.operators, is_visible && user.is_shown_operator()),
        ]
    }
}
