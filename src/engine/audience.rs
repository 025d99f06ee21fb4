//! Who on a channel hears of whom, as far as clients here have been told; and what they are told when that changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::network::{Channel, ModeDelta, Quit, Role};
use super::outgoing::Audience;
use super::tell::each_once;
use super::turn::Turn;
use super::veil::{Sight, Turnover, Veil};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::UserId;

/// Who hears that somebody has come to a channel.
#[derive(Clone, Debug)]
pub struct Hearers {
    pub all: Arc<[ConnId]>,
    /// The same by what each of them hears, as `Engine::told_apart` has it.
    pub apart: [Arc<[ConnId]>; 3],
}

/// What is to be known of those who hear of somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// They hear that it is so, and nothing of it depends on who they are.
    Gone,
    /// What each of them hears of it.
    Come,
}

/// Who hears of people on channels, as long as many of those are told of together: by channel, and by whether everyone
/// there sees whoever it is. To look it up for each of them would take as long as there are people to hear it.
#[derive(Default)]
pub struct Witnesses(BTreeMap<Folded, [Option<Hearers>; 2]>);

impl Engine {
    /// How much a channel hides, by what its members know: what a repair changes they are told later.
    fn told_veil(&self, name: &Folded, channel: &Channel) -> Veil {
        match self.mending.get(name) {
            Some(told) => Veil::of(|letter| told.had_mode(letter)),
            None => channel.veil(),
        }
    }

    pub(super) fn told_status(&self, name: &Folded, user: UserId, status: Letters) -> Letters {
        let told = self.mending.get(name).and_then(|told| told.status(user));
        told.unwrap_or(status)
    }

    /// Everyone connected here who hears of a member of a channel who is, or was, this; whoever it is hears of
    /// themselves while they are a member.
    pub(super) fn members_who_see(&self, name: &Folded, user: UserId, role: Role) -> Vec<ConnId> {
        let Some(channel) = self.network.channel(name) else { return Vec::new() };
        let veil = self.told_veil(name, channel);
        let role = Role { status: self.told_status(name, user, role.status), ..role };
        if veil.shows(role) {
            return self.members_here(channel);
        }
        let sees = channel.members_of(self.identity.sid).filter(|(viewer, member)| {
            *viewer == user || !self.told_status(name, *viewer, member.status).is_empty()
        });
        sees.flat_map(|(viewer, _)| self.sessions.conns_of(viewer)).copied().collect()
    }

    /// The same for somebody who is a member now.
    pub(super) fn members_who_see_member(&self, name: &Folded, user: UserId) -> Vec<ConnId> {
        let member = self.network.channel(name).and_then(|channel| channel.member(user));
        self.members_who_see(name, user, member.map(|member| member.role()).unwrap_or_default())
    }

    pub(super) fn quit_audience(&self, quit: &Quit) -> Vec<ConnId> {
        let channels = quit.channels.iter();
        each_once(channels.flat_map(|(name, role)| self.members_who_see(name, quit.user, *role)).collect())
    }

    /// The same for one of many who quit together.
    pub(super) fn split_audience(&self, witnesses: &mut Witnesses, quit: &Quit) -> Audience {
        let lists = quit
            .channels
            .iter()
            .map(|(name, role)| self.hearers(witnesses, name, quit.user, *role, Telling::Gone).all);
        Audience::AnyOf(lists.collect())
    }

    /// Who hears that one of many has come.
    pub(super) fn hearers_of_member(
        &self,
        witnesses: &mut Witnesses,
        name: &Folded,
        user: UserId,
    ) -> Hearers {
        let member = self.network.channel(name).and_then(|channel| channel.member(user));
        let role = member.map(|member| member.role()).unwrap_or_default();
        self.hearers(witnesses, name, user, role, Telling::Come)
    }

    fn hearers(
        &self,
        witnesses: &mut Witnesses,
        name: &Folded,
        user: UserId,
        role: Role,
        telling: Telling,
    ) -> Hearers {
        let look = || {
            let all = self.members_who_see(name, user, role);
            let told_apart = if telling == Telling::Come { &all[..] } else { &[] };
            let apart = self.told_apart(user, told_apart).map(Arc::from);
            Hearers { all: all.into(), apart }
        };
        // Whoever is connected here hears of themselves, which is like nobody else.
        if user.server() == self.identity.sid {
            return look();
        }
        let Some(channel) = self.network.channel(name) else { return look() };
        let role = Role { status: self.told_status(name, user, role.status), ..role };
        let shows = self.told_veil(name, channel).shows(role);
        if !witnesses.0.contains_key(name) {
            witnesses.0.insert(name.clone(), Default::default());
        }
        let known = witnesses.0.get_mut(name).expect("it was just put there");
        known[usize::from(shows)].get_or_insert_with(look).clone()
    }

    /// Those who hear that somebody has come, by what they hear: JOIN with more about them or without, and AWAY.
    pub(super) fn told_apart(&self, user: UserId, hears: &[ConnId]) -> [Vec<ConnId>; 3] {
        let (mut extended, mut plain, mut of_away) =
            (Vec::new(), Vec::with_capacity(hears.len()), Vec::new());
        let own = self.sessions.conns_of(user);
        for conn in hears {
            let caps = self.sessions.caps_of(*conn);
            if caps.has(Cap::ExtendedJoin) { &mut extended } else { &mut plain }.push(*conn);
            if caps.has(Cap::AwayNotify) && !own.contains(conn) {
                of_away.push(*conn);
            }
        }
        [extended, plain, of_away]
    }

    /// Somebody has spoken for the first time, or has come anew and not spoken yet: plain members, who hear of nobody
    /// before, are told.
    pub(super) fn tell_silence(&mut self, name: &Folded, user: UserId, is_silent: bool) {
        let Some(channel) = self.network.channel(name) else { return };
        let veil = self.told_veil(name, channel);
        let status = self.told_status(name, user, channel.status(user));
        if veil.shows(Role { status, is_silent }) == veil.shows(Role { status, is_silent: !is_silent }) {
            return;
        }
        let hears = self.plain_members_here(name, channel, user);
        match is_silent {
            false => self.say_joined(name, user, hears, None),
            true => self.say_out_of_sight(name, user, hears),
        }
    }

    /// Those connected here whom a channel hides others from, save one.
    fn plain_members_here(&self, name: &Folded, channel: &Channel, but: UserId) -> Vec<ConnId> {
        let here = channel.members_of(self.identity.sid);
        let plain = here.filter(|(viewer, member)| {
            *viewer != but && self.told_status(name, *viewer, member.status).is_empty()
        });
        plain.flat_map(|(viewer, _)| self.sessions.conns_of(viewer)).copied().collect()
    }

    /// Tells an act of MODE, and each member who thereby comes into or goes out of whose sight.
    pub(super) fn tell_turnover(&mut self, name: &Folded, by: &str, deltas: &[ModeDelta]) {
        let Some(channel) = self.network.channel(name) else { return };
        let Some(turnover) = Turnover::new(channel, deltas) else {
            return self.tell_modes_to(self.members_here(channel), name, by, deltas, None);
        };
        let here: Vec<(UserId, ConnId)> = channel
            .members_of(self.identity.sid)
            .flat_map(|(user, _)| self.sessions.conns_of(user).iter().map(move |conn| (user, *conn)))
            .collect();
        let plain_but = |is_plain: &dyn Fn(UserId) -> bool, but: UserId| -> Vec<ConnId> {
            here.iter().filter(|(user, _)| *user != but && is_plain(*user)).map(|(_, conn)| *conn).collect()
        };
        let (mut shown, mut hidden) = (Vec::new(), Vec::new());
        for (user, is_shown) in turnover.moved() {
            match is_shown {
                true => shown.push((user, plain_but(&|viewer| turnover.was_plain(viewer), user))),
                // Whoever is not plain any more keeps everyone in sight.
                false => hidden.push((user, plain_but(&|viewer| turnover.is_plain(viewer), user))),
            }
        }
        let sights: Vec<(ConnId, Sight)> =
            here.iter().map(|(user, conn)| (*conn, turnover.sight_of(*user))).collect();
        for (user, hears) in shown {
            self.say_joined(name, user, hears, None);
        }
        self.tell_modes_to(sights.iter().map(|(conn, _)| *conn).collect::<Vec<_>>(), name, by, deltas, None);
        for (user, hears) in hidden {
            self.say_out_of_sight(name, user, hears);
        }
        for (conn, sight) in sights {
            match sight {
                Sight::Same => {}
                // Clients add those whom they did not know of.
                Sight::Wider => {
                    let mut turn = Turn::new(self, conn);
                    turn.names_of(name);
                    turn.sync_channel_joined(name);
                }
                Sight::Narrower => self.have_come_anew(conn, name),
            }
        }
    }

    /// Has a client forget a channel and learn it anew: however many are out of sight, these are the fewest lines.
    fn have_come_anew(&mut self, conn: ConnId, name: &Folded) {
        let user = self.sessions.get(conn).and_then(|session| session.user());
        if let Some(user) = user {
            self.say_out_of_sight(name, user, vec![conn]);
            self.say_joined(name, user, vec![conn], None);
            Turn::new(self, conn).introduce_anew_to(name);
        }
    }

    fn say_out_of_sight(&mut self, name: &Folded, user: UserId, hears: Vec<ConnId>) {
        let (Some(channel), Some(known)) = (self.network.channel(name), self.network.user(user)) else {
            return;
        };
        let body = format!(":{} PART {}", known.prefix(), channel.name);
        self.say(hears, self.spoken_by(user, body));
    }
}
