//! What a repair changes of channels: told as one difference, when all of it has come and those who set it have joined.
//!
//! Told as it comes, members would hear of modes set by people whom they do not see yet, and of some that
//! are taken away only to be set again.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::event::ConnId;
use super::links::LinkStage;
use super::merge::Stream;
use super::network::{Change, Difference, Edit, News, Reach, Settings};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::{ServerId, UserId};

/// The longest that members are left with what they were told before a repair.
const MEND_WITHIN_MS: u64 = 5_000;
/// How long those who wrote it may take to come into sight. A server passes on what it repairs before the map says by
/// which way that came; but it may also be of somebody who is gone for good.
const SIGHT_WITHIN_MS: u64 = 1_000;

/// Channels under repair.
pub type Mending = BTreeMap<Folded, Told>;

/// What its members here know of a channel under repair.
#[derive(Debug)]
pub struct Told {
    settings: Settings,
    statuses: BTreeMap<UserId, Letters>,
    /// Whoever changed something since.
    by: BTreeSet<String>,
    /// The neighbours who bring the repair: once they are within reach, so is everyone behind them.
    from: BTreeSet<ServerId>,
    /// The servers of those who wrote it, as far as they were out of sight.
    writers: BTreeSet<ServerId>,
    /// There is no repair but that these are shown in somebody's stead.
    successor: Option<UserId>,
    since_ms: u64,
}

impl Told {
    pub fn had_mode(&self, letter: char) -> bool {
        self.settings.modes.contains_key(&letter)
    }

    /// What a member is, as others here were told.
    pub fn status(&self, user: UserId) -> Option<Letters> {
        self.statuses.get(&user).copied()
    }
}

impl Engine {
    /// Before a change is applied: tells members what was held back of an act that it does not belong to, and what
    /// a repair has changed if something new happens now; and remembers what they know if it is part of a repair.
    pub(super) fn prepare_for(&mut self, change: &Change, from: Option<ConnId>) {
        if change.dot.stream == Stream::Message
            || change.dot.stream == Stream::Durable && change.edit.channel().is_none()
        {
            return;
        }
        if !self.continues_an_act(&change.edit) {
            self.tell_held_modes();
        }
        let link = from.and_then(|conn| self.links.by_conn.get(&conn));
        let is_pulled = link.is_some_and(|link| {
            link.stage == LinkStage::Syncing || link.pulls.contains_key(&change.dot.stream)
        });
        let neighbour = link.and_then(|link| link.sid());
        let writer = change.dot.origin.server;
        let is_unseen = !self.is_in_sight(writer);
        if is_pulled || is_unseen {
            for name in self.channels_touched_by(&change.edit) {
                self.begin_mending(&name, neighbour);
                if is_unseen && let Some(told) = self.mending.get_mut(&name) {
                    told.writers.insert(writer);
                }
            }
        } else if let Some(name) = change.edit.channel().filter(|name| self.mending.contains_key(*name))
            && self.is_new_act(&change.edit)
        {
            self.end_mending(&name.clone());
        }
    }

    /// The same before many facts are merged at once.
    pub(super) fn prepare_for_merge(&mut self, from: ConnId) {
        let neighbour = self.links.by_conn.get(&from).and_then(|link| link.sid());
        for name in self.channels_here() {
            self.begin_mending(&name, neighbour);
        }
    }

    /// The same before servers come into sight.
    pub(super) fn prepare_for_sight(&mut self) {
        for name in self.channels_here() {
            self.begin_mending(&name, None);
        }
    }

    /// The same before one fact of a channel is put right.
    pub(super) fn prepare_to_put_right(&mut self, channel: &Folded) {
        self.begin_mending(channel, None);
    }

    /// Ends what is whole: nothing is on its way, and whoever brought it is within reach.
    pub(super) fn settle_mending(&mut self) {
        let now_ms = self.now.steady_ms;
        let is_pulling = self.links.accepted().any(|link| link.pulls.contains_key(&Stream::Session));
        let are_in_sight =
            |servers: &BTreeSet<ServerId>| servers.iter().all(|server| self.is_in_sight(*server));
        let is_whole = |told: &Told| {
            !is_pulling
                && !self.network.is_turning()
                && are_in_sight(&told.from)
                && (are_in_sight(&told.writers) || now_ms >= told.since_ms + SIGHT_WITHIN_MS)
        };
        let is_due = |told: &Told| is_whole(told) || now_ms >= told.since_ms + MEND_WITHIN_MS;
        let due = self.mending.iter().filter(|(_, told)| is_due(told)).map(|(name, _)| name.clone());
        for name in due.collect::<Vec<_>>() {
            self.end_mending(&name);
        }
    }

    /// Whether a change of a channel is told later, as part of a repair.
    pub(super) fn is_told_later(&mut self, channel: &Folded, by: &str) -> bool {
        let Some(told) = self.mending.get_mut(channel) else { return false };
        told.by.insert(by.to_string());
        true
    }

    /// Somebody was just said to have joined with these statuses.
    pub(super) fn joined_with(&mut self, channel: &Folded, user: UserId, status: Letters) {
        if let Some(told) = self.mending.get_mut(channel) {
            told.statuses.insert(user, status);
        }
    }

    /// Somebody is shown as somebody else from now on, who is the same person: what others know of the one they know of
    /// the other, until they are told where that differs.
    pub(super) fn note_succession(&mut self, from: UserId, to: UserId, on: Vec<(Folded, Letters)>) {
        for (name, before) in on {
            if !self.mending.contains_key(&name) {
                self.begin_mending(&name, None);
                if let Some(told) = self.mending.get_mut(&name) {
                    told.successor = Some(to);
                }
            }
            if let Some(told) = self.mending.get_mut(&name) {
                let before = told.statuses.remove(&from).unwrap_or(before);
                told.statuses.insert(to, before);
            }
        }
    }

    /// Tells it, but for what a repair will tell.
    pub(super) fn tell_succeeded(&mut self, to: UserId, on: &[Folded]) {
        for name in on {
            if self.mending.get(name).is_some_and(|told| told.successor == Some(to)) {
                self.end_mending(name);
            }
        }
    }

    /// Tells what a repair has changed by now of the channels that somebody is on.
    pub(super) fn end_mending_around(&mut self, user: UserId) {
        self.tell_held_modes();
        let channels = self.network.user(user).map(|known| known.channels.clone()).unwrap_or_default();
        channels.iter().for_each(|name| self.end_mending(name));
    }

    /// Whether nobody on somebody's channels has yet to hear of anything that was set there.
    pub(super) fn is_all_told_around(&self, user: UserId) -> bool {
        let Some(known) = self.network.user(user) else { return false };
        self.held_modes.is_empty() && !known.channels.iter().any(|name| self.mending.contains_key(name))
    }

    /// Whether this is a further part of one act of MODE. Anything else that comes between its parts, from
    /// elsewhere, finds the parts before it told.
    fn continues_an_act(&self, edit: &Edit) -> bool {
        let (Some(channel), Some(by)) = (edit.channel(), edit.set_by()) else { return false };
        self.held_modes.keys().all(|(held, held_by)| held == channel && held_by == by)
    }

    fn is_in_sight(&self, server: ServerId) -> bool {
        matches!(self.network.reach(server), Some(Reach::Reachable | Reach::Held { .. }))
    }

    /// Whether somebody does something that others hear of by itself: sets something, or comes. Who only
    /// writes a membership anew is there already.
    fn is_new_act(&self, edit: &Edit) -> bool {
        match edit.plain() {
            Edit::Setting { .. } | Edit::Status { .. } | Edit::Mask { .. } | Edit::Metadata { .. } => true,
            Edit::Join { user, channel, .. } => {
                !self.network.channel(channel).is_some_and(|known| known.has(*user))
            }
            _ => false,
        }
    }

    fn channels_touched_by(&self, edit: &Edit) -> Vec<Folded> {
        match edit {
            Edit::Quit { user, .. } => self.network.memberships(*user).cloned().collect(),
            Edit::Server(_) | Edit::Goodbye { .. } => self.channels_here(),
            _ => edit.channel().cloned().into_iter().collect(),
        }
    }

    /// Channels with members who are connected here.
    fn channels_here(&self) -> Vec<Folded> {
        let here = self.network.users_of(self.identity.sid).flat_map(|user| &user.channels);
        here.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    pub(super) fn begin_mending(&mut self, name: &Folded, from: Option<ServerId>) {
        if let Some(told) = self.mending.get_mut(name) {
            told.from.extend(from);
            return;
        }
        // Parts of an act that are held back belong to what members know.
        self.tell_held_modes();
        let Some(channel) = self.network.channel(name) else { return };
        if channel.members_of(self.identity.sid).next().is_none() {
            return;
        }
        let told = Told {
            settings: channel.settings(),
            statuses: channel.members().map(|(user, member)| (user, member.status)).collect(),
            by: BTreeSet::new(),
            from: from.into_iter().collect(),
            writers: BTreeSet::new(),
            successor: None,
            since_ms: self.now.steady_ms,
        };
        self.mending.insert(name.clone(), told);
    }

    pub(super) fn end_mending(&mut self, name: &Folded) {
        let Some(told) = self.mending.remove(name) else { return };
        let Some(channel) = self.network.channel(name) else { return };
        let mut difference = Difference::default();
        difference.settings(&told.settings, channel);
        for (user, member) in channel.members() {
            if let Some(before) = told.statuses.get(&user) {
                difference.status(user, *before, member.status);
            }
        }
        let Difference { mut deltas, topic, metadata, .. } = difference;
        deltas.sort_by_key(|delta| delta.on);
        let by = match told.by.len() {
            1 => told.by.into_iter().next().expect("there is one"),
            _ => self.identity.name.to_string(),
        };
        let mut news = Vec::new();
        if !deltas.is_empty() {
            news.push(News::Modes { channel: name.clone(), by: by.clone(), deltas, more: false });
        }
        if let Some(topic) = topic {
            let by = topic.as_ref().map_or(by, |topic| topic.by.clone());
            news.push(News::Topic { channel: name.clone(), by, topic });
        }
        let said = |(key, value)| News::SaidOfChannel { channel: name.clone(), key, value };
        news.extend(metadata.into_iter().map(said));
        self.tell(news);
    }
}
