//! Which servers can be reached, and what becomes of those that cannot: held, then shown as gone,
//! then forgotten.

use super::Engine;
use super::effect::Effect;
use super::event::AskId;
use super::network::{Change, Edit, News, Reach};
use super::pending::Pending;
use crate::wire::fold::fold;
use crate::wire::names::{ServerId, UserId};

/// To show somebody, and to tell it, takes so many times as long as to look at somebody for a long answer.
const SLOWER_THAN_A_LOOK: usize = 8;

impl Engine {
    /// Brings what users see in line with the map.
    pub(super) fn settle_reach(&mut self) {
        if self.network.is_turning() {
            return;
        }
        let now_ms = self.now.steady_ms;
        let mut changes: Vec<(ServerId, Reach)> = Vec::new();
        for server in self.routes.reachable().collect::<Vec<_>>() {
            let before = self.network.reach(server);
            if !matches!(before, Some(Reach::Reachable | Reach::Held { .. })) {
                if self.holds_back(server) {
                    continue;
                }
                self.healed.insert(server, self.now.wall);
            }
            if before != Some(Reach::Reachable) {
                changes.push((server, Reach::Reachable));
            }
        }
        let lost = self
            .network
            .reaches()
            .filter(|(server, reach)| *reach == Reach::Reachable && !self.routes.is_reachable(*server));
        changes.extend(lost.map(|(server, _)| (server, Reach::Held { since_ms: now_ms })));
        self.set_reach(changes);
    }

    /// Lets go of servers that have been held for long enough.
    pub(super) fn expire_reach(&mut self) {
        if self.network.is_turning() {
            return;
        }
        let now_ms = self.now.steady_ms;
        let hold_ms = self.config.network.hold.as_millis() as u64;
        let forget_ms = self.config.network.forget_after.as_millis() as u64;
        let expired = self.network.reaches().filter_map(|(server, reach)| match reach {
            Reach::Held { since_ms } if now_ms >= since_ms + hold_ms => {
                Some((server, Reach::Suspended { since_ms }))
            }
            Reach::Suspended { since_ms } if now_ms >= since_ms + forget_ms => {
                Some((server, Reach::Forgotten))
            }
            _ => None,
        });
        let expired = expired.collect();
        self.set_reach(expired);
    }

    fn set_reach(&mut self, changes: Vec<(ServerId, Reach)>) {
        if changes.is_empty() {
            return;
        }
        self.tell_held_modes();
        for (server, reach) in &changes {
            match reach {
                Reach::Held { .. } => self.note_likenesses(*server),
                Reach::Reachable => self.drop_likenesses(*server),
                Reach::Suspended { .. } | Reach::Forgotten => self.forget_held_back(*server),
            }
        }
        // With people who come into sight their channels may, which are older than those of the same name here.
        if changes.iter().any(|(_, reach)| matches!(reach, Reach::Reachable)) {
            self.prepare_for_sight();
        }
        let back = changes.iter().filter(|(_, reach)| matches!(reach, Reach::Reachable));
        let back: Vec<ServerId> = back.map(|(server, _)| *server).collect();
        self.note_beliefs_of_doubles_on(&back);
        let news = self.network.set_reach(changes, self.turned_at_once());
        self.tell_turned(news);
        if self.network.is_turning() {
            let ask = self.ask(Pending::Tide);
            self.effects.push(Effect::GoOn { ask });
        }
    }

    /// How many people of servers that come or go are looked at in one step.
    fn turned_at_once(&self) -> usize {
        self.slice.div_ceil(SLOWER_THAN_A_LOOK)
    }

    /// The turn of the next of them, others having been served since the last.
    pub(super) fn go_on_turning(&mut self, ask: AskId) {
        let people = self.turned_at_once();
        self.network.channels_to_turn(people).iter().for_each(|name| self.begin_mending(name, None));
        let news = self.network.turn_more(people);
        self.tell_turned(news);
        if self.network.is_turning() {
            self.asks.put_back(ask, Pending::Tide);
            self.effects.push(Effect::GoOn { ask });
        }
    }

    fn tell_turned(&mut self, news: Vec<News>) {
        self.begin_moves();
        let happenings = self.forced_happenings_of(&news);
        self.tell(news);
        self.write_happenings(happenings);
        self.react();
        if !self.network.is_turning() {
            self.end_batch();
            self.fulfil_put_off();
        }
    }

    /// Before somebody is heard of whose turn to be shown has not come: it comes now.
    pub(super) fn turn_early(&mut self, change: &Change) {
        if !self.network.is_turning() {
            return;
        }
        let Some(user) = self.doer(change.edit.plain()).filter(|user| self.network.is_to_come(*user)) else {
            return;
        };
        let channels: Vec<_> = self.network.memberships(user).cloned().collect();
        channels.iter().for_each(|name| self.begin_mending(name, None));
        let news = self.network.turn_early(user);
        self.tell_turned(news);
    }

    /// Who others hear has done something, or said.
    fn doer(&self, edit: &Edit) -> Option<UserId> {
        let by = match edit {
            Edit::Message(message) => return Some(message.sender),
            Edit::Kick { by, .. } => by,
            _ => edit.set_by()?,
        };
        self.network.holder(&fold(by.split('!').next()?))
    }
}
