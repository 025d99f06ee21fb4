//! Who of those with several clients sits before none of them: they are away then, and back with the first that they do.
//!
//! A client that nobody sits before says `AWAY *`, and counts for nothing where there are others: neither does it take
//! anybody away, nor does it end what another has said of why they are.

use super::Engine;
use super::network::UserFact;
use crate::wire::names::UserId;

/// What such a client says in place of a reason, and what others are shown where no client has said any.
pub const UNATTENDED: &str = "*";

impl UserFact {
    /// Whether nobody has said why they are away.
    fn is_away_without_reason(&self) -> bool {
        self.away.as_deref() == Some(UNATTENDED)
    }
}

impl Engine {
    /// Whether a client saying that nobody sits before it takes its person away.
    pub(super) fn is_last_attended(&self, user: UserId) -> bool {
        self.sessions.of(user).filter(|session| !session.is_unattended).count() < 2
    }

    /// Has somebody be away, or be back, by what all of their clients have said. Who has none is dealt with elsewhere.
    pub(super) fn settle_attendance(&mut self, user: UserId) {
        let Some(known) = self.network.user(user) else { return };
        let (is_away, has_no_reason) = (known.fact.away.is_some(), known.fact.is_away_without_reason());
        if self.sessions.conns_of(user).is_empty() {
            return;
        }
        let is_attended = self.sessions.of(user).any(|session| !session.is_unattended);
        if is_attended && has_no_reason {
            self.rewrite_user(user, |fact| fact.away = None);
        } else if !is_attended && !is_away {
            self.rewrite_user(user, |fact| fact.away = Some(UNATTENDED.to_string()));
        }
    }
}
