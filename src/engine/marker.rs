//! How far people have read, as their clients tell: for a person's own clients, and for nobody else.

use std::collections::BTreeMap;

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::network::{AccountId, Channel, Edit, User};
use super::session::Session;
use super::turn::Turn;
use crate::wire::fold::{Folded, fold};
use crate::wire::names::UserId;
use crate::wire::time::Timestamp;

/// How many places one person can have read in.
const MARKERS_MAX: usize = 1_000;

/// How far somebody has read, place by place.
#[derive(Clone, Debug, Default)]
pub struct Markers(BTreeMap<Folded, Timestamp>);

impl Markers {
    pub fn get(&self, place: &Folded) -> Option<Timestamp> {
        self.0.get(place).copied()
    }

    /// Nobody unreads what they have read. `false` where there is no room.
    #[must_use]
    fn raise(&mut self, place: Folded, time: Timestamp) -> bool {
        if self.0.len() >= MARKERS_MAX && !self.0.contains_key(&place) {
            return false;
        }
        let marker = self.0.entry(place).or_insert(time);
        *marker = time.max(*marker);
        true
    }
}

impl Engine {
    /// How far somebody has read, who is logged in to this account, or is on that connection only.
    fn marker(&self, conn: ConnId, place: &Folded) -> Option<Timestamp> {
        let session = self.sessions.get(conn)?;
        let user = session.user().and_then(|user| self.network.user(user));
        let noted = |place: &Folded| match user.and_then(User::account_id) {
            Some(account) => self.network.read_marker(account, place),
            None => session.markers.get(place),
        };
        // What is read on a channel is also what was said on those that had its name before it was made.
        let channel = self.network.channel(place).filter(|channel| user.is_some_and(|it| channel.has(it.id)));
        let lives = channel.map(|channel| self.network.lives_around(channel).0).unwrap_or_default();
        let of_lives = lives.iter().filter_map(|life| life.read_until(noted(&life.id)?));
        noted(place).into_iter().chain(of_lives).max()
    }

    /// Tells a person's clients how far that person has read.
    pub(super) fn tell_read(&mut self, account: AccountId, place: &Folded) {
        let Some(time) = self.network.read_marker(account, place) else { return };
        let is_theirs = |session: &&Session| {
            let user = session.user().and_then(|user| self.network.user(user));
            session.wants(Cap::DraftReadMarker) && user.and_then(User::account_id) == Some(account)
        };
        let theirs = self.sessions.iter().filter(is_theirs);
        let hears: Vec<(ConnId, String)> = theirs
            .filter_map(|session| Some((session.conn, self.name_of_place(session.user()?, place))))
            .collect();
        for (conn, name) in hears {
            let body = format!(":{} MARKREAD {name} timestamp={time}", self.identity.name);
            self.say(vec![conn], self.spoken(body));
        }
    }

    /// A channel or a person as they are called, as far as that is for somebody to know.
    fn name_of_place(&self, user: UserId, place: &Folded) -> String {
        let channel = self.network.channel(place).filter(|channel| knows_name(channel, user));
        let channel = channel.map(|channel| channel.name.to_string());
        let person = || self.network.user_called(place.as_str()).map(|user| user.nick.to_string());
        channel.or_else(person).unwrap_or_else(|| place.to_string())
    }
}

/// Whether somebody may learn that what a channel is called now is what they know by another name.
fn knows_name(channel: &Channel, user: UserId) -> bool {
    channel.has(user) || !(channel.has_mode('s') || channel.has_mode('p'))
}

impl Turn<'_> {
    /// Under which it is noted how far somebody has read in a place.
    fn marked_as(&self, place: &str) -> Folded {
        let known = self.network().channel_called(place);
        let known = known.filter(|channel| knows_name(channel, self.me()));
        known.map_or_else(|| fold(place), Channel::id)
    }

    /// Notes how far the speaker has read, for as long as they are connected, or where they are logged in for good; says
    /// how far that is. `false` where there is no room.
    pub fn mark_read(&mut self, place: &str, time: Timestamp) -> bool {
        // Whatever a client's clock says, nobody has read what is to come.
        let (time, id) = (time.min(self.now.wall), self.marked_as(place));
        let Some(account) = self.user().account_id() else {
            let has_room = self.session_mut().markers.raise(id, time);
            if has_room {
                self.tell_marker(place);
            }
            return has_room;
        };
        let before = self.network().read_marker(account, &id);
        if self.engine.marker(self.conn, &id).is_some_and(|before| before >= time) {
            self.tell_marker(place);
            return true;
        }
        if before.is_none() && self.network().read_markers(account) >= MARKERS_MAX {
            return false;
        }
        // All of the speaker's clients hear of it that have asked to.
        self.change(Edit::Read { account, place: id, time });
        if !self.wants(Cap::DraftReadMarker) {
            self.tell_marker(place);
        }
        true
    }

    /// MARKREAD, as the server says it.
    pub fn tell_marker(&mut self, place: &str) {
        let id = self.marked_as(place);
        let marker = self.engine.marker(self.conn, &id);
        let marker = marker.map_or("*".to_string(), |time| format!("timestamp={time}"));
        self.say(format!(":{} MARKREAD {place} {marker}", self.server_name()));
    }

    /// The same of a channel that the speaker comes to.
    pub fn tell_marker_of(&mut self, channel: &Folded) {
        let name = self.network().channel(channel).map(|channel| channel.name.to_string());
        if let Some(name) = name.filter(|_| self.wants(Cap::DraftReadMarker)) {
            self.tell_marker(&name);
        }
    }
}
