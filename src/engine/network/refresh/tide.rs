//! People whose servers have come into sight or gone out of it: there may be thousands, so their turn to be shown, or not
//! any more, comes some at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, Touched};
use crate::engine::network::server::Standing;
use crate::engine::network::{Network, News};
use crate::wire::fold::Folded;
use crate::wire::names::{ServerId, UserId};

/// All of them. What their turn means to the view is the same whenever it comes, and all that is computed meanwhile for
/// another reason holds.
#[derive(Clone, Debug, Default)]
pub struct Tide {
    users: BTreeSet<UserId>,
    /// By which names their servers were known before, and those without anybody that turned with them.
    servers: BTreeMap<ServerId, Option<String>>,
}

impl Network {
    /// Whether there is anybody whose turn has yet to come.
    pub fn is_turning(&self) -> bool {
        !self.tide.users.is_empty()
    }

    /// Whether somebody is in sight and has yet to be shown.
    pub fn is_to_come(&self, user: UserId) -> bool {
        self.tide.users.contains(&user) && self.standing(user.server()) == Standing::Present
    }

    /// The channels of those who are to be shown next, if they are so many.
    pub fn channels_to_turn(&self, people: usize) -> BTreeSet<Folded> {
        let next = self.tide.users.iter().take(people).filter(|user| self.is_to_come(**user));
        next.flat_map(|user| self.memberships(*user)).cloned().collect()
    }

    /// The turn of so many.
    pub fn turn_more(&mut self, people: usize) -> Vec<News> {
        self.refresh(Touched::default(), &Cause::Reach { people })
    }

    /// The turn of one, before that of others.
    pub fn turn_early(&mut self, user: UserId) -> Vec<News> {
        let touched = Touched { users: BTreeSet::from([user]), ..Touched::default() };
        self.refresh(touched, &Cause::Reach { people: 0 })
    }

    /// Puts off all but so many of those whose servers have turned; answers with the names of those servers.
    pub(super) fn put_off(
        &mut self,
        people: usize,
        touched: &mut Touched,
        servers: BTreeMap<ServerId, Option<String>>,
    ) -> BTreeMap<ServerId, Option<String>> {
        if !servers.is_empty() {
            self.tide.servers.extend(servers);
            self.tide.users.append(&mut touched.users);
            // Whoever is shown as somebody else is the same person before and after, so all whom that may concern turn
            // at once, and first.
            let are_doubles = |root: UserId, others: &BTreeSet<UserId>| {
                self.tide.users.contains(&root) || !self.tide.users.is_disjoint(others)
            };
            let doubles = self.stand_ins.iter().filter(|(root, others)| are_doubles(**root, others));
            touched.users.extend(doubles.flat_map(|(root, others)| others.iter().chain([root])));
        }
        for user in &touched.users {
            self.tide.users.remove(user);
        }
        while touched.users.len() < people
            && let Some(user) = self.tide.users.pop_first()
        {
            touched.users.insert(user);
        }
        if self.is_turning() { self.tide.servers.clone() } else { std::mem::take(&mut self.tide.servers) }
    }
}
