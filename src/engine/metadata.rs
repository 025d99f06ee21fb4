//! Metadata in words: who may see what of it, who is told when it changes, and what is told of those who come in sight.
//!
//! Clients that agreed on the older draft alone are told the same in other words: what they have not asked for comes as
//! METADATA, where the newer one has numerics, and some reasons for a refusal have other names (`in_older_words`).

use std::collections::BTreeSet;

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::network::{Channel, Metadata, Neighbour, User};
use super::outgoing::{Outgoing, Spoken};
use super::session::Session;
use super::sight;
use super::turn::Turn;
use crate::wire::base36;
use crate::wire::fold::Folded;
use crate::wire::names::{MetadataKey, UserId, Word};
use crate::wire::numeric::{self, Numeric};
use crate::wire::standard::{Kind, Standard};

/// Where somebody is: for those who are on a channel with them, and for nobody else.
pub const LOCATION: &str = "location";

/// How such a key is marked; the others are for everyone.
const SEEN_ON_CHANNELS: &str = "channels";
const SEEN_BY_ALL: &str = "*";

/// What WHOIS shows: what people can read as it is.
const SHOWN_BY_WHOIS: &[&str] = &["display-name", "pronouns", "status", "homepage"];

/// More lines than this are not said of a channel that somebody comes to: the client is to ask for them.
const SYNC_LINES_MAX: usize = 500;

/// When it may do so.
const SYNC_AFTER_S: u64 = 2;

/// Stands for everyone and everything that a client is told of.
pub const ALL_IN_SIGHT: &str = "*ALL";

/// Why a value cannot stand under a key, if so.
pub fn fault_in(key: &MetadataKey, value: &str) -> Option<&'static str> {
    let is_place = || value.strip_prefix("geo:").is_some_and(is_point);
    match key.as_str() {
        LOCATION if !is_place() => Some("A location is a geo: URI, such as geo:48.2,16.4"),
        _ => None,
    }
}

/// Two or three numbers with commas between them, and whatever stands behind a semicolon.
fn is_point(text: &str) -> bool {
    let point = text.split(';').next().unwrap_or_default();
    let numbers: Vec<Option<f64>> = point.split(',').map(|number| number.parse().ok()).collect();
    let within = |number: Option<f64>, most: f64| number.is_some_and(|number| number.abs() <= most);
    match numbers[..] {
        [latitude, longitude] => within(latitude, 90.0) && within(longitude, 180.0),
        [latitude, longitude, altitude] => {
            within(latitude, 90.0) && within(longitude, 180.0) && within(altitude, f64::MAX)
        }
        _ => false,
    }
}

fn is_private(key: &MetadataKey) -> bool {
    key.as_str() == LOCATION
}

/// Who sees a key of somebody, in the word that clients are told.
pub fn seen_by(key: &MetadataKey) -> Word {
    Word::echo(if is_private(key) { SEEN_ON_CHANNELS } else { SEEN_BY_ALL })
}

/// What is said of somebody, or of a channel, under one key, or not any more: as it is told to those who are subscribed.
struct Saying {
    of: Word,
    key: MetadataKey,
    seen_by: Word,
    value: Option<String>,
}

impl Saying {
    fn of_user(user: &User, key: &MetadataKey, value: Option<&str>) -> Saying {
        let (of, value) = ((&user.nick).into(), value.map(str::to_string));
        Saying { of, key: key.clone(), seen_by: seen_by(key), value }
    }

    fn of_channel(channel: &Channel, key: &MetadataKey, value: Option<&str>) -> Saying {
        let (of, value) = ((&channel.name).into(), value.map(str::to_string));
        Saying { of, key: key.clone(), seen_by: Word::echo(SEEN_BY_ALL), value }
    }

    fn line(&self, server: &str, called: &str, in_older_words: bool) -> String {
        let Saying { of, key, seen_by, value } = self;
        match (in_older_words, value) {
            (false, Some(value)) => numeric::key_value(of, key, seen_by, value).line(server, called),
            (false, None) => numeric::key_not_set(of, key).line(server, called),
            (true, Some(value)) => format!(":{server} METADATA {of} {key} {seen_by} :{value}"),
            (true, None) => format!(":{server} METADATA {of} {key} {seen_by}"),
        }
    }
}

/// Why something was not done, as the older draft calls it.
pub fn in_older_words(fault: Standard) -> Standard {
    let code = match fault.code {
        "INVALID_KEY" => "KEY_INVALID",
        "INVALID_VALUE" => "VALUE_INVALID",
        "INVALID_PARAMS" => "SUBCOMMAND_INVALID",
        code => code,
    };
    Standard { kind: Kind::Fail, code, ..fault }
}

impl Session {
    /// Whether the client understands what is said of metadata.
    pub fn wants_metadata(&self) -> bool {
        self.wants(Cap::DraftMetadata3) || self.wants(Cap::DraftMetadata2)
    }

    /// Whether it does so only as the older draft has it.
    pub fn wants_older_metadata(&self) -> bool {
        self.wants(Cap::DraftMetadata2) && !self.wants(Cap::DraftMetadata3)
    }

    fn hears_of(&self, key: &MetadataKey) -> bool {
        self.wants_metadata() && self.subscriptions.contains(key)
    }
}

impl Engine {
    fn sees_key(&self, viewer: UserId, of: &User, key: &MetadataKey) -> bool {
        let is_together = |name: &Folded| {
            let channel = self.network.channel(name);
            channel.is_some_and(|channel| channel.has(viewer) && channel.lets_see(viewer, of.id))
        };
        !is_private(key) || viewer == of.id || of.channels.iter().any(is_together)
    }

    /// What is said of somebody under these keys, or under all of them, as far as one may see it.
    fn metadata_of_user(
        &self,
        viewer: UserId,
        of: &User,
        keys: Option<&BTreeSet<MetadataKey>>,
    ) -> Vec<Saying> {
        let seen = of.metadata.iter().filter(|(key, _)| keys.is_none_or(|keys| keys.contains(*key)));
        let seen = seen.filter(|(key, _)| self.sees_key(viewer, of, key));
        seen.map(|(key, value)| Saying::of_user(of, key, Some(value))).collect()
    }

    /// All that somebody may see of what is said of a user.
    pub(super) fn visible_metadata(&self, viewer: UserId, of: &User) -> Metadata {
        let seen = of.metadata.iter().filter(|(key, _)| self.sees_key(viewer, of, key));
        seen.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn metadata_of_channel(&self, channel: &Channel, keys: &BTreeSet<MetadataKey>) -> Vec<Saying> {
        let seen = channel.metadata.iter().filter(|(key, _)| keys.contains(*key));
        seen.map(|(key, value)| Saying::of_channel(channel, key, Some(value))).collect()
    }

    // Changes.

    pub(super) fn tell_said_of_user(&mut self, who: &Neighbour, key: &MetadataKey, value: Option<&str>) {
        let Some(user) = self.network.user(who.user) else { return };
        let mut hears: BTreeSet<ConnId> =
            self.neighbours(who, |conn| self.hears_of(conn, key)).into_iter().collect();
        let nick = user.nick.folded();
        let watchers = self.monitors.watchers(&nick);
        hears.extend(watchers.filter(|conn| self.hears_of(*conn, key) && self.is_here_for(*conn, user)));
        let sees = |conn: &ConnId| {
            let viewer = self.sessions.get(*conn).and_then(Session::user);
            // Whoever has said it had an answer.
            viewer.is_some_and(|viewer| viewer != user.id && self.sees_key(viewer, user, key))
        };
        let hears: Vec<ConnId> = hears.into_iter().filter(sees).collect();
        let saying = Saying::of_user(user, key, value);
        hears.into_iter().for_each(|conn| self.say_delivered(conn, &saying));
    }

    /// Tells somebody's own clients, but for the one that has said so, of something that is said of them from now on.
    pub(super) fn tell_said_of_oneself(
        &mut self,
        user: UserId,
        key: &MetadataKey,
        value: Option<&str>,
        but: Option<ConnId>,
    ) {
        let Some(known) = self.network.user(user) else { return };
        let saying = Saying::of_user(known, key, value);
        let own = self.sessions.of(user).filter(|session| session.wants_metadata());
        let own: Vec<ConnId> = own.map(|session| session.conn).filter(|conn| Some(*conn) != but).collect();
        own.into_iter().for_each(|conn| self.say_delivered(conn, &saying));
    }

    pub(super) fn tell_said_of_channel(&mut self, channel: &Folded, key: &MetadataKey, value: Option<&str>) {
        let Some(channel) = self.network.channel(channel) else { return };
        let saying = Saying::of_channel(channel, key, value);
        let hears: Vec<ConnId> = self
            .members_here(channel)
            .into_iter()
            // Where it was said there was an answer.
            .filter(|conn| self.hears_of(*conn, key) && self.voice != Some(*conn))
            .collect();
        hears.into_iter().for_each(|conn| self.say_delivered(conn, &saying));
    }

    /// Somebody was just said to be on a channel: those who are subscribed to what is said of them hear that too.
    pub(super) fn say_metadata_of(&mut self, user: UserId, hears: &[ConnId]) {
        let Some(known) = self.network.user(user).filter(|user| !user.metadata.is_empty()) else { return };
        let of_each = hears.iter().filter_map(|conn| {
            let session = self.sessions.get(*conn).filter(|session| session.wants_metadata())?;
            let viewer = session.user().filter(|viewer| *viewer != user)?;
            Some((*conn, self.metadata_of_user(viewer, known, Some(&session.subscriptions))))
        });
        for (conn, sayings) in of_each.collect::<Vec<_>>() {
            sayings.iter().for_each(|saying| self.say_delivered(conn, saying));
        }
    }

    /// Tells a client what is said of somebody otherwise than it was by the time that it last heard.
    pub(super) fn tell_said_otherwise_of_user(&mut self, conn: ConnId, user: UserId, before: &Metadata) {
        let Some(session) = self.sessions.get(conn).filter(|session| session.wants_metadata()) else {
            return;
        };
        let (Some(viewer), Some(known)) = (session.user(), self.network.user(user)) else { return };
        let keys = session.subscriptions.iter().filter(|key| self.sees_key(viewer, known, key));
        let new = keys.filter(|key| known.metadata.get(*key) != before.get(*key));
        let sayings: Vec<Saying> =
            new.map(|key| Saying::of_user(known, key, known.metadata.get(key).map(String::as_str))).collect();
        sayings.iter().for_each(|saying| self.say_delivered(conn, saying));
    }

    /// The same of a channel.
    pub(super) fn tell_said_otherwise_of_channel(
        &mut self,
        conn: ConnId,
        channel: &Folded,
        before: &Metadata,
    ) {
        let Some(session) = self.sessions.get(conn).filter(|session| session.wants_metadata()) else {
            return;
        };
        let Some(known) = self.network.channel(channel) else { return };
        let new = session.subscriptions.iter().filter(|key| known.metadata.get(*key) != before.get(*key));
        let sayings: Vec<Saying> = new
            .map(|key| Saying::of_channel(known, key, known.metadata.get(key).map(String::as_str)))
            .collect();
        sayings.iter().for_each(|saying| self.say_delivered(conn, saying));
    }

    /// Somebody whom a client watches is here.
    pub(super) fn say_metadata_of_watched(&mut self, conn: ConnId, user: UserId) {
        let Some(session) = self.sessions.get(conn).filter(|session| session.wants_metadata()) else {
            return;
        };
        let (Some(viewer), Some(known)) = (session.user(), self.network.user(user)) else { return };
        let sayings = self.metadata_of_user(viewer, known, Some(&session.subscriptions));
        let kind = format!("metadata {}", known.nick);
        let lines = sayings.iter().map(|saying| self.in_words_for(conn, saying)).collect();
        let spoken = self.batch_of(conn, &kind, lines);
        let spoken = spoken.into_iter().map(Spoken::delivered);
        self.outgoing.extend(spoken.map(|spoken| Outgoing { to: conn.into(), spoken }));
    }

    fn hears_of(&self, conn: ConnId, key: &MetadataKey) -> bool {
        self.sessions.get(conn).is_some_and(|session| session.hears_of(key))
    }

    fn called(&self, conn: ConnId) -> String {
        let user = self.sessions.get(conn).and_then(Session::user).and_then(|user| self.network.user(user));
        user.map_or("*".to_string(), |user| user.nick.to_string())
    }

    /// Says something that is no reply, whatever its hearer was just doing.
    fn say_delivered(&mut self, conn: ConnId, saying: &Saying) {
        let spoken = Spoken::new(self.now.wall, self.in_words_for(conn, saying)).delivered();
        self.outgoing.push(Outgoing { to: conn.into(), spoken });
    }

    fn in_words_for(&self, conn: ConnId, saying: &Saying) -> String {
        let in_older_words = self.sessions.get(conn).is_some_and(Session::wants_older_metadata);
        saying.line(self.identity.name.as_str(), &self.called(conn), in_older_words)
    }

    /// Lines that belong together; to those who know of no batches they are lines.
    fn batch_of(&mut self, conn: ConnId, kind: &str, lines: Vec<String>) -> Vec<Spoken> {
        let time = self.now.wall;
        let lines = lines.into_iter().map(|line| Spoken::new(time, line));
        if !self.sessions.get(conn).is_some_and(|session| session.wants(Cap::Batch)) {
            return lines.collect();
        }
        self.batches_made += 1;
        let batch = base36::encode(self.batches_made);
        let server = &self.identity.name;
        let start = Spoken::new(time, format!(":{server} BATCH +{batch} {}", kind.trim_end()));
        let end = Spoken::new(time, format!(":{server} BATCH -{batch}"));
        let inner = lines.map(|line| line.tagged("batch", batch.clone()));
        std::iter::once(start).chain(inner).chain([end]).collect()
    }
}

impl Turn<'_> {
    /// What is said of a channel and of all its members that the speaker finds there, as far as they are subscribed.
    fn metadata_around(&self, channel: &Channel) -> Vec<Saying> {
        let keys = &self.session().subscriptions;
        let mut lines = self.engine.metadata_of_channel(channel, keys);
        if keys.is_empty() {
            return lines;
        }
        let (me, is_member) = (self.me(), channel.has(self.me()));
        let members = channel.members().filter(|(member, _)| channel.lets_see(me, *member));
        let members = members.filter_map(|(member, _)| self.network().user(member));
        let members = members.filter(|member| is_member || sight::finds_user(self, member));
        lines.extend(members.flat_map(|member| self.engine.metadata_of_user(me, member, Some(keys))));
        lines
    }

    /// What the speaker said of themselves, even before they were anybody.
    pub fn own_metadata(&self) -> Metadata {
        match &self.session().stage {
            super::session::Stage::Registering(registration) => registration.metadata.clone(),
            super::session::Stage::Registered(_) => self.user().metadata.clone(),
            super::session::Stage::Guest | super::session::Stage::Closing => Metadata::new(),
        }
    }

    /// Replies that belong together: whole lines, as the specification calls the kind of batch that they are.
    pub fn reply_in_batch(&mut self, kind: &str, lines: Vec<String>) {
        let conn = self.conn;
        let spoken = self.engine.batch_of(conn, kind, lines);
        self.engine.outgoing.extend(spoken.into_iter().map(|spoken| Outgoing { to: conn.into(), spoken }));
    }

    fn reply_metadata(&mut self, of: &str, sayings: Vec<Saying>) {
        let lines = sayings.iter().map(|saying| self.engine.in_words_for(self.conn, saying)).collect();
        self.reply_in_batch(&format!("metadata {of}"), lines);
    }

    /// All that a client has said of itself by the time that it is somebody, and what is known of it from before.
    pub fn welcome_with_metadata(&mut self) {
        if self.session().wants_metadata() {
            let user = self.user();
            let lines = self.engine.metadata_of_user(user.id, user, None);
            let nick = user.nick.to_string();
            self.reply_metadata(&nick, lines);
        }
    }

    /// What is said of a channel that the speaker has come to, and of those who are there.
    pub fn sync_channel_joined(&mut self, name: &Folded) {
        if !self.session().wants_metadata() {
            return;
        }
        let Some(channel) = self.network().channel(name) else { return };
        let lines = self.metadata_around(channel);
        let shown = channel.name.clone();
        match lines.len() > SYNC_LINES_MAX {
            true => self.reply(numeric::metadata_sync_later(&shown, SYNC_AFTER_S)),
            false => self.reply_metadata(shown.as_str(), lines),
        }
    }

    /// All that the speaker is subscribed to of somebody.
    pub fn sync_user(&mut self, user: UserId) {
        let Some(known) = self.network().user(user) else { return };
        let lines = self.engine.metadata_of_user(self.me(), known, Some(&self.session().subscriptions));
        let nick = known.nick.to_string();
        self.reply_metadata(&nick, lines);
    }

    /// All that is said under these keys of everyone and everything that the speaker is told of.
    pub fn sync_all(&mut self, keys: &BTreeSet<MetadataKey>) {
        let (me, conn) = (self.me(), self.conn);
        let channels = self.user().channels.iter().filter_map(|name| self.network().channel(name));
        let mut people = BTreeSet::new();
        let mut lines = Vec::new();
        for channel in channels {
            lines.extend(self.engine.metadata_of_channel(channel, keys));
            people.extend(channel.members().map(|(user, _)| user).filter(|user| channel.lets_see(me, *user)));
        }
        let watched = self.engine.monitors.of(conn);
        let watched = watched.filter_map(|nick| self.network().user_called(nick.as_str()));
        let watched = watched.filter(|user| self.engine.is_here_for(conn, user));
        people.extend(watched.map(|user| user.id));
        let people = people.into_iter().filter_map(|user| self.network().user(user));
        lines.extend(people.flat_map(|user| self.engine.metadata_of_user(me, user, Some(keys))));
        self.reply_metadata(ALL_IN_SIGHT, lines);
    }

    /// All that the speaker is subscribed to of one channel and its members.
    pub fn sync_channel(&mut self, name: &Folded) {
        let Some(channel) = self.network().channel(name) else { return };
        let lines = self.metadata_around(channel);
        let shown = channel.name.to_string();
        self.reply_metadata(&shown, lines);
    }

    /// The lines of WHOIS that tell what people say of themselves.
    pub fn metadata_in_whois(&self, of: &User) -> Vec<Numeric> {
        let shown = of.metadata.iter().filter(|(key, _)| SHOWN_BY_WHOIS.contains(&key.as_str()));
        shown.map(|(key, value)| numeric::whois_key_value(&of.nick, key, seen_by(key), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_point_on_earth() {
        let key = MetadataKey::parse(LOCATION).expect("a key");
        for (value, is_fit) in [
            ("geo:48.2010,16.3695", true),
            ("geo:-90,180,183;crs=wgs84;u=35", true),
            ("geo:91,0", false),
            ("geo:1", false),
            ("geo:nan,0", false),
            ("geo:a,b", false),
            ("the pub", false),
            ("", false),
        ] {
            assert_eq!(fault_in(&key, value).is_none(), is_fit, "{value}");
        }
    }
}
