//! Somebody is shown under another user name or host: told to those who know of such a thing, and shown as leaving and
//! coming back to those who do not.

use std::collections::BTreeSet;

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::network::Neighbour;
use super::session::Session;
use crate::wire::names::{UserId, Word};
use crate::wire::numeric;

impl Engine {
    pub(super) fn tell_host_changed(&mut self, who: &Neighbour, from: &str) {
        let user = who.user;
        let Some(known) = self.network.user(user) else { return };
        let (username, host) = (known.fact.username.clone(), known.fact.host.clone());
        let has_host_changed = !from.ends_with(&format!("@{host}"));
        let told = self.acquaintances(who, Cap::Chghost);
        self.say(told, self.spoken_by(user, format!(":{from} CHGHOST {username} {host}")));
        if has_host_changed {
            self.tell_shown_host(user);
        }
        // A client without the capability would go on with the old host, and ban by it.
        let own = self.sessions.conns_of(user);
        let is_told_otherwise = |conn| !self.sessions.caps_of(conn).has(Cap::Chghost) && !own.contains(&conn);
        let others = self.neighbours(who, is_told_otherwise);
        let what = if has_host_changed { "host" } else { "user name" };
        self.say(others.clone(), self.spoken_by(user, format!(":{from} QUIT :Changing {what}")));
        for name in &who.on {
            let Some(channel) = self.network.channel(name) else { continue };
            // Not more than these people know yet: what else somebody has become there is told behind this.
            let status = self.told_status(name, user, channel.status(user));
            let sees: BTreeSet<ConnId> = self.members_who_see_member(name, user).into_iter().collect();
            let hears: Vec<ConnId> = others.iter().copied().filter(|conn| sees.contains(conn)).collect();
            self.say_joined(name, user, hears.clone(), None);
            self.say_status(hears.into(), name, user, status, None);
        }
    }

    /// Tells somebody what others see of where they come from.
    fn tell_shown_host(&mut self, user: UserId) {
        let conns = self.sessions.conns_of(user).to_vec();
        self.tell_shown_host_to(user, conns);
    }

    fn tell_shown_host_to(&mut self, user: UserId, conns: Vec<ConnId>) {
        let Some(known) = self.network.user(user) else { return };
        let host = numeric::host_hidden(Word::echo(&known.fact.host));
        let line = host.line(self.identity.name.as_str(), known.nick.as_str());
        self.say(conns, self.spoken(line));
    }

    /// Tells somebody who has just arrived what they are without having asked for it.
    pub(super) fn tell_first_modes(&mut self, conn: ConnId) {
        let user = self.sessions.get(conn).and_then(Session::user);
        let Some(known) = user.and_then(|user| self.network.user(user)) else { return };
        if known.fact.modes.is_empty() {
            return;
        }
        let (user, is_cloaked) = (known.id, known.has_mode('x'));
        let line = format!(":{0} MODE {0} +{1}", known.nick, known.fact.modes);
        if is_cloaked {
            self.tell_shown_host_to(user, vec![conn]);
        }
        self.say(vec![conn], self.spoken(line));
    }
}
