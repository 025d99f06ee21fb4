//! What operators hear of the calls that they wanted made, wherever they are.

use super::Engine;
use super::elsewhere::ANSWER_WITHIN_MS;
use super::peer::{Act, Request};
use super::pending::Then;
use super::turn::Turn;
use crate::wire::names::UserId;

impl Engine {
    /// A call came to something, or to nothing: whoever said CONNECT hears of it, once.
    pub(super) fn tell_who_wanted(&mut self, place: &str, outcome: &str) {
        let Some(place) = self.links.places.get_mut(place) else { return };
        let Some(operator) = place.wanted_by.take() else { return };
        let text = format!("{} {outcome}", place.name);
        self.tell_operator(operator, text);
    }

    fn tell_operator(&mut self, user: UserId, text: String) {
        if user.server() != self.identity.sid {
            let request = Request::Act(Act::Tell { user, text });
            self.ask_server(user.server(), ANSWER_WITHIN_MS, request, Then::Nothing);
            return;
        }
        for conn in self.sessions.conns_of(user).to_vec() {
            Turn::new(self, conn).notice(&text);
        }
    }
}
