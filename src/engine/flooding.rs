//! Who is held back for doing too much: operators who follow that are told, and not so often that it floods them.

use std::time::Duration;

use super::Engine;
use super::effect::Topic;
use super::event::ConnId;
use super::meter::Meter;
use crate::config::Rate;

/// Of one person.
const TOLD_OF_EACH: Rate = Rate::new(1, 60);
/// Of all people of this server.
const TOLD_OF_ALL: Rate = Rate::new(10, 60);

#[derive(Debug, Default)]
pub struct Floods {
    told: Meter,
    /// How often somebody was held back since operators were last told, and they were not.
    untold: u64,
}

impl Engine {
    /// Somebody is held back; `how` goes on after who they are.
    pub(super) fn tell_of_flood(&mut self, conn: ConnId, how: &str) {
        let now = Duration::from_millis(self.now.steady_ms);
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if session.throttle.told_of_flood.take(TOLD_OF_EACH, now).is_err() {
            return;
        }
        let who = match session.user().and_then(|user| self.network.user(user)) {
            Some(user) => {
                let fact = &user.fact;
                format!("{} ({}@{}) [{}]", user.nick, fact.username, fact.host, fact.address)
            }
            None => format!("Somebody without a name [{}]", session.address.ip()),
        };
        self.note(log::Level::Debug, Topic::Client, format!("conn={} {who} {how}", conn.0));
        if self.floods.told.take(TOLD_OF_ALL, now).is_err() {
            self.floods.untold += 1;
            return;
        }
        let others = match std::mem::take(&mut self.floods.untold) {
            0 => String::new(),
            count => format!("; others since the last of these: {count}"),
        };
        self.tell_followers_here('f', &format!("{who} {how}{others}"));
    }
}
