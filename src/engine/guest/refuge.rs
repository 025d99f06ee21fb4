//! What becomes of guests whose home is lost: here they are one person of this server, as they were known, until their home
//! is back; then they are its guests again.

use std::collections::{BTreeMap, BTreeSet};

use super::PipeId;
use super::home::Changed;
use super::likeness::{Likeness, Room};
use super::moving::{Belief, Moving};
use super::pipe::{Parcel, Pipe};
use super::wander::Wanderer;
use crate::engine::Engine;
use crate::engine::effect::Topic;
use crate::engine::event::{AskId, ConnId};
use crate::engine::merge::{Stamp, Stream};
use crate::engine::network::{AccountId, Edit, MemberFact, Network, User, UserFact};
use crate::engine::person::Absence;
use crate::engine::session::Stage;
use crate::engine::turn::Turn;
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::line::LineFault;
use crate::wire::names::{Nick, ServerId, UserId};

/// How long after a home has not taken them back it is asked again.
pub(super) const ASK_AGAIN_MS: u64 = 60_000;

/// How long after they were not to be seen at home it is looked again.
const LOOK_AGAIN_MS: u64 = 1_000;

/// How long a home that has begun anew must have been back before it is looked who they are there: until all is told.
const RETURN_AFTER_MS: u64 = 5_000;

/// Who is where because a server was lost.
#[derive(Debug, Default)]
pub struct Refuge {
    /// Those who have guests here and whose home was lost a moment ago, as they were then.
    likenesses: BTreeMap<UserId, Likeness>,
    /// Users of this server who are somebody else's guests as soon as that one's home is back.
    pub(super) refugees: BTreeMap<UserId, Refugee>,
    /// What those have been told who may be about to be shown as somebody else.
    pub(super) beliefs: BTreeMap<UserId, Belief>,
    /// Guests whose person has moved.
    pub(super) wanderers: BTreeMap<ConnId, Wanderer>,
    /// At home: those of other servers whose doings there count here as well by now.
    pub(super) merged: BTreeSet<UserId>,
    /// Users of this server who are to have a nick back, once it is free.
    pub(super) reclaims: BTreeMap<UserId, Reclaim>,
}

/// Somebody of this server who was a guest, and will be.
#[derive(Debug)]
pub(super) struct Refugee {
    /// Who they are at home.
    pub of: UserId,
    /// What they were when they came, and where.
    came_as: UserFact,
    came_to: BTreeSet<Folded>,
    /// Not before then is home asked.
    pub ask_ms: u64,
    /// When home was first told what they have done, and when last.
    pub told_ms: Option<(u64, u64)>,
    pub moving: Option<Moving>,
}

impl Refugee {
    /// Who they are at home, if that is known and counts.
    pub fn of_now(&self, network: &Network, user: UserId) -> Option<UserId> {
        let known = network.user(user)?;
        let of = known.fact.stands_for?;
        let home = network.user_even_unseen(of)?;
        (known.fact.account.is_some() && home.fact.account == known.fact.account).then_some(of)
    }

    /// The channels that they have joined since, and those they have left.
    pub fn moves<'n>(&self, now: impl Iterator<Item = &'n Folded>) -> (Vec<Folded>, Vec<Folded>) {
        let now: BTreeSet<Folded> = now.cloned().collect();
        (now.difference(&self.came_to).cloned().collect(), self.came_to.difference(&now).cloned().collect())
    }

    /// What they have changed of themselves.
    pub fn changed(&self, now: &UserFact) -> Changed {
        let was = &self.came_as;
        Changed {
            nick: now.nick != was.nick,
            away: now.away != was.away,
            modes: now.modes != was.modes,
            realname: now.realname != was.realname,
        }
    }
}

/// A nick that somebody here has lost to who they were on another server.
#[derive(Debug)]
pub struct Reclaim {
    pub(super) nick: Nick,
    pub(super) claimed: Stamp,
    pub(super) from: UserId,
}

impl Engine {
    /// A server is lost, for the moment: its people who have guests here are remembered as they are.
    pub(in crate::engine) fn note_likenesses(&mut self, server: ServerId) {
        let here = self.guests.pipes.iter().filter(|(id, pipe)| {
            id.host.server == self.identity.sid && pipe.user.server() == server && pipe.conn.is_some()
        });
        for id in here.map(|(id, _)| *id).collect::<Vec<PipeId>>() {
            self.note_likeness(id);
        }
    }

    pub(super) fn note_likeness(&mut self, id: PipeId) {
        let Some(user) = self.guests.pipes.get(&id).map(|pipe| pipe.user) else { return };
        if let Some(likeness) = self.likeness(user) {
            self.guests.refuge.likenesses.insert(user, likeness);
        }
        let network = &self.network;
        if let Some(pipe) = self.guests.pipes.get_mut(&id) {
            for (nick, holder) in &mut pipe.watched {
                *holder =
                    network.user_called(nick.as_str()).filter(|user| user.is_visible()).map(|user| user.id);
            }
        }
    }

    /// Those are taken in at once whose home has said that it leaves, and has gone.
    pub(in crate::engine) fn settle_refuge(&mut self) {
        // They are to find at home what is shown here.
        if !self.guests.refuge.refugees.is_empty() && !self.network.is_turning() {
            self.go_on_moving();
        }
        if self.guests.refuge.likenesses.is_empty() {
            return;
        }
        let pipes = self.guests.pipes.iter().filter(|(_, pipe)| self.has_left(pipe));
        for id in pipes.map(|(id, _)| *id).collect::<Vec<PipeId>>() {
            self.lose_home(id);
        }
    }

    /// Whether somebody has gone with their server, and not by themselves.
    fn has_left(&self, pipe: &Pipe) -> bool {
        self.guests.refuge.likenesses.contains_key(&pipe.user)
            && self.network.user_even_unseen(pipe.user).is_none()
    }

    /// It is back.
    pub(in crate::engine) fn drop_likenesses(&mut self, server: ServerId) {
        // Whom it has lost by beginning anew has yet to be taken in.
        let network = &self.network;
        let likenesses = &mut self.guests.refuge.likenesses;
        likenesses.retain(|user, _| user.server() != server || network.user_even_unseen(*user).is_none());
    }

    /// Those are not needed any more who have no guests here.
    pub(super) fn forget_likenesses(&mut self) {
        let users: BTreeSet<UserId> = self.guests.pipes.values().map(|pipe| pipe.user).collect();
        self.guests.refuge.likenesses.retain(|user, _| users.contains(user));
    }

    /// The home of a guest is lost: the client is somebody here, with all others of the same person.
    pub(super) fn lose_home(&mut self, id: PipeId) {
        let Some(pipe) = self.guests.forget(id) else { return };
        let Some(conn) = pipe.conn else { return };
        if !self.sessions.get(conn).is_some_and(|session| matches!(session.stage, Stage::Guest)) {
            // It has asked to be one, in vain.
            return self.hear_on(conn, AskId(id.number));
        }
        let former = pipe.user;
        let likeness = self.guests.refuge.likenesses.get(&former).cloned();
        if let Some(known) = &likeness {
            // What home had no time to hear of, or was not there to.
            let fact = &known.fact;
            if self.turn_away_address(conn) || self.turn_away_user(conn, &fact.username, &fact.realname) {
                return;
            }
        }
        let Some((likeness, user)) =
            likeness.and_then(|known| Some((known.clone(), self.refuge(&known, former, conn)?)))
        else {
            return self.lose_client(conn, "Your server is out of reach; please come back");
        };
        let watched = pipe.watched.clone();
        // Home has been silent for longer than it has been given up.
        let since = pipe.heard_at.min(likeness.since);
        let (lines, is_in_doubt) = pipe.unsent();
        self.sessions.register(conn, user, self.now.steady_ms);
        self.settle_security(user);
        self.settle_hurry(conn);
        let text = format!("conn={} is a guest no more uid={user} formerly={former}", conn.0);
        self.note(log::Level::Info, Topic::Client, text);
        self.flush_outgoing();
        if self.network.is_doubled(user) {
            // Somebody else of theirs is here already.
            for (nick, holder) in watched {
                self.monitors.add(conn, nick, holder);
            }
            let heard = self.network.seen(Stream::Message).clone();
            self.begin_move(user, Belief { likeness, called: former, heard });
            return self.hear_unsent(conn, lines);
        }
        self.tell_unlike(conn, &likeness, (&[former], user), true);
        for (nick, holder) in watched {
            self.monitors.add(conn, nick.clone(), holder);
            self.monitors.unsettle(&nick);
        }
        self.settle_monitors();
        let server = self.network.server_name(former.server()).to_string();
        let mut turn = Turn::new(self, conn);
        if is_in_doubt {
            turn.notice(&format!(
                "{server} is out of reach. What you have said last may not have been heard."
            ));
        }
        let channels: Vec<_> = turn.user().channels.iter().cloned().collect();
        turn.replay_since(&channels, Some(since));
        self.finish_turn(conn, None);
        self.hear_unsent(conn, lines);
    }

    fn hear_unsent(&mut self, conn: ConnId, lines: Vec<Parcel>) {
        for parcel in lines {
            match parcel {
                Parcel::Line(line) => self.hear_client_line(conn, Ok(&line)),
                Parcel::TooLong => self.hear_client_line(conn, Err(LineFault::TooLong)),
                Parcel::NotText(readable) => self.hear_client_line(conn, Err(LineFault::NotUtf8(&readable))),
                _ => {}
            }
        }
    }

    /// Who somebody is here whose home is lost; nobody where somebody else of the same account has the nick, or where the
    /// client may not be where that person is.
    fn refuge(&mut self, likeness: &Likeness, former: UserId, conn: ConnId) -> Option<UserId> {
        let is_same = |user: &&User| {
            user.account_id().is_some()
                && user.account_id() == likeness.fact.account
                && user.fact.nick == likeness.nick
        };
        let known = self.guests.refuge.refugees.iter().filter(|(_, refugee)| refugee.of == former);
        let known = known.filter(|(user, _)| self.sessions.person(**user).is_some());
        let known = known.filter_map(|(user, _)| self.network.user(*user)).find(is_same).map(|user| user.id);
        if let Some(user) = known {
            let turn = Turn::new(self, conn);
            let is_fit = turn.network().user(user).is_some_and(|known| turn.may_sit_beside(known));
            return is_fit.then_some(user);
        }
        let holder = self.network.holder(&likeness.nick.folded()).filter(|holder| *holder != former);
        let has_account = likeness.fact.account.is_some_and(|id| {
            self.network.accounts().get(id).is_some_and(|account| account.suspension.is_none())
        });
        let root = likeness.fact.stands_for.unwrap_or(former);
        let is_other = |holder: UserId| {
            let known = self.network.user(holder);
            known.is_some_and(|known| {
                known.fact.stands_for != Some(root) || known.fact.account != likeness.fact.account
            })
        };
        let is_elsewhere = holder.is_some_and(is_other);
        (has_account && !is_elsewhere).then(|| self.make_refugee(likeness, former))
    }

    /// Makes somebody of this server who is as they were: by the same nick, whose claim comes just before that of their
    /// former self, and on the same channels. What they are there is for their account's access to say: nobody gains by a
    /// split, and nobody is an operator of the network who has not become one here.
    fn make_refugee(&mut self, likeness: &Likeness, former: UserId) -> UserId {
        self.users_made += 1;
        let user = UserId::numbered(self.identity.sid, self.users_made);
        let claimed = likeness.fact.claimed.just_before(self.identity.sid);
        let stands_for = Some(likeness.fact.stands_for.unwrap_or(former));
        let mut fact = UserFact { claimed, stands_for, ..likeness.fact.clone() };
        fact.resign();
        let came_as = fact.clone();
        // Nobody hears their own coming.
        let absence = Absence { since: self.now, why: String::new(), is_shown_away: false };
        self.sessions.seat(user, absence, self.now.steady_ms);
        // Where they are comes first: then they are seen there all at once, or not at all.
        likeness.channels.iter().for_each(|room| self.take_back_in(user, room, fact.account));
        self.write(Edit::User { user, fact }, false);
        self.settle_shield(user);
        self.settle_profile(user, &[]);
        let came_to = self.network.memberships(user).cloned().collect();
        let refugee = Refugee { of: former, came_as, came_to, ask_ms: 0, told_ms: None, moving: None };
        self.guests.refuge.refugees.insert(user, refugee);
        user
    }

    /// Has somebody be on a channel where they were. Where nobody is left who kept it alive they are what they were.
    fn take_back_in(&mut self, user: UserId, room: &Room, account: Option<AccountId>) {
        let joined = self.clock.tick(self.now.wall);
        let registration = self.network.registrations().get(&room.id);
        let access = account.zip(registration).map(|(account, registration)| registration.status_of(account));
        let access = access.unwrap_or(Letters::NONE);
        let known = self.network.channel_or_kept(&room.id);
        let fact = match known {
            Some(known) => MemberFact {
                name: known.made_as.clone(),
                birth: known.birth,
                joined,
                status: access,
                is_silent: known.has_mode('D'),
            },
            None => MemberFact {
                name: room.made_as.clone(),
                birth: room.birth,
                joined,
                status: room.status,
                is_silent: false,
            },
        };
        self.write(Edit::Join { user, channel: room.id.clone(), fact }, false);
    }

    /// Those whose home is back are its guests again, if it takes them.
    pub(super) fn return_refugees(&mut self) {
        let now_ms = self.now.steady_ms;
        let (sessions, network) = (&self.sessions, &self.network);
        self.guests.refuge.refugees.retain(|user, _| sessions.person(*user).is_some());
        self.guests.refuge.merged.retain(|user| network.user_even_unseen(*user).is_some());
        let due = self.guests.refuge.refugees.iter().filter(|(_, refugee)| now_ms >= refugee.ask_ms);
        let due = due.filter(|(user, _)| self.network.user(**user).is_some());
        let due = due.map(|(user, refugee)| (*user, self.same_at_home(*user, refugee.of)));
        for (user, of) in due.collect::<Vec<_>>() {
            if let Some(refugee) = self.guests.refuge.refugees.get_mut(&user) {
                refugee.ask_ms = now_ms + if of.is_some() { ASK_AGAIN_MS } else { LOOK_AGAIN_MS };
            }
            if of.is_some() {
                self.rewrite_user(user, |fact| fact.stands_for = of);
            }
        }
    }

    /// Who a refugee is at home, where that is in reach: by another id, where home has begun anew with them.
    fn same_at_home(&self, user: UserId, of: UserId) -> Option<UserId> {
        let here = self.network.user(user).filter(|here| here.account_id().is_some())?;
        let healed = self.healed.get(&of.server()).copied().unwrap_or_default();
        if !self.routes.is_reachable(of.server()) || self.now.wall.0 < healed.0 + RETURN_AFTER_MS {
            return None;
        }
        let is_same = |there: &&User| here.account_id() == there.account_id();
        // Whose claim on a nick is the later one goes by their id.
        let has_lost_nick =
            |there: &&User| there.nick == Nick::from(there.id) || there.fact.nick == here.fact.nick;
        let known = self.network.user(of).filter(is_same);
        let other =
            || self.network.users_of(of.server()).find(|there| is_same(there) && has_lost_nick(there));
        known.or_else(other).map(|there| there.id)
    }

    /// Those have their nicks back who have none of their own since somebody had it who was the same person on another
    /// server, and is no more.
    pub(super) fn reclaim_nicks(&mut self) {
        for (user, reclaim) in std::mem::take(&mut self.guests.refuge.reclaims) {
            if self.network.user_even_unseen(reclaim.from).is_some() && self.sessions.person(user).is_some() {
                self.guests.refuge.reclaims.insert(user, reclaim);
                continue;
            }
            let has_none = self.network.user(user).is_some_and(|known| known.nick == Nick::from(user));
            if has_none && self.network.holder(&reclaim.nick.folded()).is_none() {
                self.rewrite_user(user, |fact| (fact.nick, fact.claimed) = (reclaim.nick, reclaim.claimed));
            }
        }
    }
}
