//! What channels hide of their members: from plain members and outsiders, never from those with a status.
//!
//! With `u` everyone without a status is hidden, with `D` those of them who have not spoken yet. Who hears of somebody
//! depends on what both are, and is the same on every server. Clients can be told of little at once, and what they
//! know must stay true; so whoever comes into sight is said to join, and whoever goes out of sight to part.

use super::network::{Channel, ModeDelta, ModeValue, Role};
use crate::wire::letters::Letters;
use crate::wire::names::UserId;

/// How much a channel hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Veil {
    hides_all: bool,
    hides_silent: bool,
}

impl Veil {
    pub const LETTERS: [char; 2] = ['u', 'D'];

    pub fn of(has_mode: impl Fn(char) -> bool) -> Veil {
        let [hides_all, hides_silent] = Veil::LETTERS.map(has_mode);
        Veil { hides_all, hides_silent }
    }

    pub fn hides_anyone(self) -> bool {
        self.hides_all || self.hides_silent
    }

    /// Whether everyone can know of somebody who is this, and not only those with a status.
    pub fn shows(self, member: Role) -> bool {
        let is_hidden = self.hides_all || (self.hides_silent && member.is_silent);
        !is_hidden || !member.status.is_empty()
    }

    /// Whether somebody with that status knows of another who is this.
    pub fn lets_see(self, viewer: Letters, member: Role) -> bool {
        !viewer.is_empty() || self.shows(member)
    }
}

impl Channel {
    pub fn veil(&self) -> Veil {
        Veil::of(|letter| self.has_mode(letter))
    }

    /// Whether somebody, a member or not, can know that a member is here.
    pub fn lets_see(&self, viewer: UserId, member: UserId) -> bool {
        let veil = self.veil();
        if !veil.hides_anyone() || viewer == member {
            return true;
        }
        let role = self.member(member).map(|member| member.role());
        role.is_none_or(|role| veil.lets_see(self.status(viewer), role))
    }
}

/// A channel before and after an act of MODE.
pub struct Turnover<'c> {
    channel: &'c Channel,
    deltas: &'c [ModeDelta],
    before: Veil,
    after: Veil,
    hidden_before: Hidden,
    hidden_after: Hidden,
}

/// One or two of those whom plain members do not see and are not told of by name: with the second, there is somebody
/// beside each of them.
type Hidden = Vec<UserId>;

/// What one member has to be told beside the MODE itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Same,
    /// Others are in sight whom nothing was said of.
    Wider,
    /// Others are out of sight whom nothing was said of.
    Narrower,
}

impl<'c> Turnover<'c> {
    /// `None` where nobody's sight depends on it.
    pub fn new(channel: &'c Channel, deltas: &'c [ModeDelta]) -> Option<Turnover<'c>> {
        let after = channel.veil();
        let was_set = |letter| match deltas.iter().rfind(|delta| delta.letter == letter) {
            Some(delta) => !delta.on,
            None => channel.has_mode(letter),
        };
        let before = Veil::of(was_set);
        let changes_status = || deltas.iter().any(|delta| member_of(delta).is_some());
        let matters = before != after || (after.hides_anyone() && changes_status());
        if !matters {
            return None;
        }
        let (hidden_before, hidden_after) = (Hidden::new(), Hidden::new());
        let mut turnover = Turnover { channel, deltas, before, after, hidden_before, hidden_after };
        let moved = turnover.moved();
        let others = || channel.members().filter(|(user, _)| !moved.iter().any(|(known, _)| known == user));
        let hidden_before = others().filter(|(user, _)| !before.shows(turnover.role_before(*user)));
        let hidden_before: Hidden = hidden_before.map(|(user, _)| user).take(2).collect();
        let hidden_after = others().filter(|(_, member)| !after.shows(member.role()));
        turnover.hidden_after = hidden_after.map(|(user, _)| user).take(2).collect();
        turnover.hidden_before = hidden_before;
        Some(turnover)
    }

    /// What a member was before.
    pub fn role_before(&self, user: UserId) -> Role {
        let now = self.channel.member(user).map(|member| member.role()).unwrap_or_default();
        let own = self.deltas.iter().filter(|delta| member_of(delta) == Some(user));
        let status = own.fold(now.status, |status, delta| status.set(delta.letter, !delta.on));
        Role { status, ..now }
    }

    /// Those whose own status made plain members see them, or not see them any more.
    pub fn moved(&self) -> Vec<(UserId, bool)> {
        let mut moved: Vec<(UserId, bool)> = Vec::new();
        for user in self.deltas.iter().filter_map(member_of) {
            let Some(member) = self.channel.member(user) else { continue };
            let (was_shown, is_shown) =
                (self.before.shows(self.role_before(user)), self.after.shows(member.role()));
            if was_shown != is_shown && !moved.iter().any(|(known, _)| *known == user) {
                moved.push((user, is_shown));
            }
        }
        moved
    }

    pub fn was_plain(&self, user: UserId) -> bool {
        self.role_before(user).status.is_empty()
    }

    pub fn is_plain(&self, user: UserId) -> bool {
        self.channel.status(user).is_empty()
    }

    /// How a member's sight changed, beyond those who moved.
    pub fn sight_of(&self, user: UserId) -> Sight {
        let hid_others = self.hidden_before.iter().any(|hidden| *hidden != user);
        let hides_others = self.hidden_after.iter().any(|hidden| *hidden != user);
        match (self.was_plain(user), self.is_plain(user)) {
            (true, false) if hid_others => Sight::Wider,
            (false, true) if hides_others => Sight::Narrower,
            (true, true) if hides_others && hides_more(self.before, self.after) => Sight::Narrower,
            (true, true) if hid_others && hides_more(self.after, self.before) => Sight::Wider,
            _ => Sight::Same,
        }
    }
}

/// Whether anybody may be hidden by the one who is not by the other.
fn hides_more(less: Veil, more: Veil) -> bool {
    (more.hides_all && !less.hides_all) || (more.hides_silent && !less.hides_all && !less.hides_silent)
}

fn member_of(delta: &ModeDelta) -> Option<UserId> {
    match delta.value {
        Some(ModeValue::Member(user)) => Some(user),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_with_a_status_see_and_are_seen() {
        let role = |letters, is_silent| Role { status: Letters::parse(letters).unwrap(), is_silent };
        let veil = |modes: &str| Veil::of(|letter| modes.contains(letter));
        for (modes, viewer, member, sees) in [
            ("", "", role("", true), true),
            ("u", "", role("", false), false),
            ("u", "", role("v", false), true),
            ("u", "v", role("", true), true),
            ("D", "", role("", true), false),
            ("D", "", role("", false), true),
            ("D", "", role("o", true), true),
            ("D", "h", role("", true), true),
            ("Du", "", role("", false), false),
        ] {
            let viewer = Letters::parse(viewer).unwrap();
            assert_eq!(veil(modes).lets_see(viewer, member), sees, "+{modes} {viewer} {member:?}");
        }
    }

    #[test]
    fn one_veil_may_hide_whom_another_does_not() {
        let veil = |modes: &str| Veil::of(|letter| modes.contains(letter));
        for (less, more, hides) in [
            ("", "u", true),
            ("", "D", true),
            ("D", "u", true),
            ("D", "Du", true),
            ("u", "D", false),
            ("u", "Du", false),
            ("Du", "u", false),
            ("D", "", false),
        ] {
            assert_eq!(hides_more(veil(less), veil(more)), hides, "+{less} +{more}");
        }
    }
}
