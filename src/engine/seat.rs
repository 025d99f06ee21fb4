//! The seats of those who stay while nobody is connected: kept on disk, so that they are back with nick and channels when
//! their server starts again, however it ended.

use std::collections::{BTreeMap, BTreeSet};

use super::keep::{Row, Stored, Table};
use super::merge::{Dot, Stamp, Stream};
use super::network::{Change, Edit, News, Quit, UserFact};
use super::person::Absence;
use super::pulse::CLOCK_BOUND_AHEAD_MS;
use super::{Engine, peer};
use crate::wire::names::{CHANNEL_BYTES_MAX, ChannelName, UserId};
use crate::wire::time::{Now, Timestamp};

/// How the keys of seats begin among all that this server remembers. Behind it stands the user's id, and behind that, for
/// each channel, its folded name.
const SEAT: &str = "seat/";

/// What is on disk of seats, and whose may have to be written anew.
#[derive(Debug, Default)]
pub struct Seats {
    kept: BTreeMap<String, String>,
    touched: BTreeSet<UserId>,
    all_touched: bool,
}

/// Somebody who was here when this server ended.
pub(super) struct Seat {
    fact: UserFact,
    /// Since when nobody was connected, where that is known.
    since: Option<Timestamp>,
    channels: Vec<ChannelName>,
}

impl Engine {
    /// Something may be otherwise about somebody here.
    pub(super) fn touch_seat(&mut self, user: UserId) {
        if user.server() == self.identity.sid {
            self.seats.touched.insert(user);
        }
    }

    /// Something may be otherwise about anybody: whether they stay is said in their accounts.
    pub(super) fn touch_seats(&mut self) {
        self.seats.all_touched = true;
    }

    pub(super) fn seats_hear(&mut self, news: &News) {
        match news {
            News::Quit(Quit { user, .. }) | News::Joined { user, .. } | News::Left { user, .. } => {
                self.touch_seat(*user)
            }
            News::Renamed { who, .. }
            | News::HostChanged { who, .. }
            | News::RealnameChanged { who }
            | News::AwayChanged { who }
            | News::AccountChanged { who, .. } => self.touch_seat(who.user),
            News::ModesChanged { user, .. } => self.touch_seat(*user),
            News::Account { .. } => self.touch_seats(),
            _ => {}
        }
    }

    /// Has the seats put on disk that are others than they were.
    pub(super) fn settle_seats(&mut self) {
        if self.is_stopping {
            // Nobody leaves their seat because their server does.
            return;
        }
        let mut touched = std::mem::take(&mut self.seats.touched);
        if std::mem::take(&mut self.seats.all_touched) {
            touched.extend(self.sessions.people().map(|(user, _)| user));
        }
        for user in touched {
            let stays = self.is_always_on(user);
            if !stays && self.seats.kept.is_empty() {
                continue;
            }
            let rows = if stays { self.seat_of(user) } else { BTreeMap::new() };
            self.keep_seat(&format!("{SEAT}{user}"), rows);
        }
    }

    fn keep_seat(&mut self, start: &str, rows: BTreeMap<String, String>) {
        let is_theirs =
            |key: &str| key.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let known = self.seats.kept.range(start.to_string()..).map(|(key, _)| key);
        let gone: Vec<String> = known
            .take_while(|key| key.starts_with(start))
            .filter(|key| is_theirs(key) && !rows.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            self.seats.kept.remove(&key);
            self.network.remember(key, None);
        }
        for (key, value) in rows {
            if self.seats.kept.get(&key) != Some(&value) {
                self.network.remember(key.clone(), Some(value.clone()));
                self.seats.kept.insert(key, value);
            }
        }
    }

    /// Who it is as the line that tells servers of them, with the time since when nobody is connected; and their channels.
    fn seat_of(&self, user: UserId) -> BTreeMap<String, String> {
        let Some(known) = self.network.user(user) else { return BTreeMap::new() };
        let absence = self.sessions.person(user).and_then(|person| person.absence.as_ref());
        let since_ms = absence.map_or(0, |absence| absence.since.wall.0);
        let mut fact = known.fact.clone();
        fact.resign();
        let change = Change {
            dot: Dot { origin: self.origin(), stream: Stream::Session, seq: 1 },
            stamp: Stamp { ms: since_ms, count: 0, server: self.identity.sid },
            over: Vec::new(),
            after: 0,
            more: false,
            edit: Edit::User { user, fact },
        };
        let channels = known.channels.iter().filter_map(|id| self.network.channel(id));
        let channels =
            channels.map(|channel| (format!("{SEAT}{user}/{}", channel.id()), channel.made_as.to_string()));
        channels.chain([(format!("{SEAT}{user}"), peer::write_change(&change))]).collect()
    }

    /// Those are back who stay, before anybody else comes.
    pub(super) fn bring_back(&mut self, stored: &Stored) {
        let rows = stored.rows.iter().filter(|row| row.table == Table::State && row.key.starts_with(SEAT));
        self.seats.kept =
            rows.filter_map(|Row { key, value, .. }| Some((key.clone(), value.clone()?))).collect();
        let seats = self.empty_seats();
        seats.into_iter().for_each(|seat| self.seat(seat));
        self.settle_seats();
    }

    /// Those who stay, of a run that ends and with it their ids.
    pub(super) fn empty_seats(&mut self) -> Vec<Seat> {
        let kept = std::mem::take(&mut self.seats.kept);
        let seats = read_seats(&kept);
        kept.into_keys().for_each(|key| self.network.remember(key, None));
        seats
    }

    pub(super) fn seat(&mut self, seat: Seat) {
        self.users_made += 1;
        let user = UserId::numbered(self.identity.sid, self.users_made);
        let claimed = self.clock.tick(self.now.wall);
        let fact = UserFact { claimed, signed_on: self.now.wall, ..seat.fact };
        let is_shown_away = fact.is_shown_unattended();
        self.write(Edit::User { user, fact }, false);
        if !self.is_always_on(user) {
            return self.write(Edit::Quit { user, reason: String::new() }, false);
        }
        let ended_ms = self.identity.clock_floor_ms.saturating_sub(CLOCK_BOUND_AHEAD_MS);
        let wall = seat.since.unwrap_or(Timestamp(ended_ms));
        let since = Now { wall, steady_ms: self.now.steady_ms };
        let absence = Absence { since, why: "Not back since the server started".to_string(), is_shown_away };
        self.sessions.seat(user, absence, self.now.steady_ms);
        self.settle_shield(user);
        self.settle_profile(user, &[]);
        seat.channels.iter().for_each(|name| drop(self.take_in(user, name)));
    }
}

/// What cannot be read is somebody who is not there, and no reason not to start.
fn read_seats(kept: &BTreeMap<String, String>) -> Vec<Seat> {
    let people = kept.iter().filter(|(key, _)| !key[SEAT.len()..].contains('/'));
    let seats = people.filter_map(|(key, line)| {
        let change = peer::read_stored(line)?;
        let Edit::User { mut fact, .. } = change.edit else { return None };
        fact.leave_unattended();
        let start = format!("{key}/");
        let channels = kept.range(start.clone()..).take_while(|(key, _)| key.starts_with(&start));
        let channels = channels.filter_map(|(_, name)| ChannelName::parse(name, CHANNEL_BYTES_MAX)).collect();
        let since = Some(change.stamp.time()).filter(|since| since.0 > 0);
        Some(Seat { fact, since, channels })
    });
    seats.collect()
}
