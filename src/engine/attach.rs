//! Several connections that speak for one person: how another one comes to be theirs, and what becomes of the person as
//! they go.
//!
//! Whoever is logged in, and asks for the nick of somebody here who is logged in to the same account, is that person.
//! Others on the network notice nothing: nobody joins, and nobody quits while one connection is left, or for as long as
//! the person is expected back.

use super::Engine;
use super::attendance::UNATTENDED;
use super::effect::{Effect, Topic};
use super::event::ConnId;
use super::network::{Channel, Edit, User, UserFact};
use super::person::Absence;
use super::turn::Turn;
use crate::config::AlwaysOn;
use crate::wire::fold::Folded;
use crate::wire::names::{Nick, UserId};
use crate::wire::numeric;

/// What an account's setting is called that keeps its owner here while nobody is connected.
pub const ALWAYS_ON: &str = "always-on";

/// What others are told of somebody who is here only for others to write to.
const AWAY_UNATTENDED: &str = "Not connected";

/// How a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// Somebody wanted it: the person, an operator, or a ban.
    Meant,
    /// It broke, or fell silent.
    Lost,
}

impl UserFact {
    pub(super) fn is_shown_unattended(&self) -> bool {
        self.away.as_deref() == Some(AWAY_UNATTENDED)
    }

    /// Nobody is connected any more; whoever has said why they are away has said enough.
    pub(super) fn leave_unattended(&mut self) {
        self.away.get_or_insert_with(|| AWAY_UNATTENDED.to_string());
    }
}

impl Turn<'_> {
    /// Who it is that the speaker would be by this nick, where that person is here already.
    pub fn own_person(&self, nick: &Nick) -> Option<UserId> {
        let holder = self.network().holder(&nick.folded())?;
        self.is_own_person(holder).then_some(holder)
    }

    /// Whether somebody here is logged in to the speaker's account, and has room for one more connection of this kind.
    pub fn is_own_person(&self, user: UserId) -> bool {
        let Some(person) = self.engine.sessions.person(user) else { return false };
        let Some(account) = self.account().map(|account| account.id) else { return false };
        let settings = &self.config().accounts;
        // One whose connections have all gone is always let in by the next.
        let has_room = match person.conns().len() {
            0 => true,
            others => settings.multisession && others < settings.sessions_max,
        };
        let user = self.network().user(user);
        user.is_some_and(|user| user.account_id() == Some(account) && has_room && self.may_sit_beside(user))
    }

    /// Whether somebody's nick may turn out to be the speaker's once they are logged in.
    pub fn may_be_own(&self, nick: &Nick) -> bool {
        let holder = self.network().holder(&nick.folded());
        let user = holder.and_then(|holder| self.network().user(holder));
        user.is_some_and(|user| user.account_id().is_some())
    }

    /// Who is on a channel for those with TLS only has it on all of their connections; and who is on one for operators
    /// became one on each.
    pub(super) fn may_sit_beside(&self, user: &User) -> bool {
        let is_plain = self.session().secure.is_none();
        let bars = |channel: &Channel| channel.has_mode('O') || is_plain && channel.has_mode('z');
        let mut channels = user.channels.iter().filter_map(|channel| self.network().channel(channel));
        !channels.any(bars)
    }

    /// Ends all of the speaker's connections but this one.
    pub fn end_other_connections(&mut self, why: &str) {
        for conn in self.engine.sessions.conns_of(self.me()).to_vec() {
            if conn != self.conn {
                self.engine.close_client(conn, why);
            }
        }
    }

    /// Makes the speaker's connection another one of somebody who is here.
    pub fn attach(&mut self, user: UserId) {
        let (conn, now_ms) = (self.conn, self.now.steady_ms);
        let absence = self.engine.sessions.come_back(user);
        let said = self.registration().map(|said| std::mem::take(&mut said.metadata)).unwrap_or_default();
        // What a repair has changed is told to those who knew it otherwise, and shown to a newcomer as it is.
        self.engine.end_mending_around(user);
        self.engine.sessions.register(conn, user, now_ms);
        self.engine.effects.push(Effect::Registered { conn });
        self.session_mut().account = None;
        let others = self.engine.sessions.conns_of(user).len() - 1;
        let text = format!("conn={} attached nick={} uid={user} others={others}", conn.0, self.called());
        self.note(log::Level::Info, Topic::Client, text);
        self.engine.settle_security(user);
        if absence.as_ref().is_some_and(|absence| absence.is_shown_away) {
            let is_unattended = self.session().is_unattended;
            self.change_me(|fact| {
                if fact.is_shown_unattended() {
                    fact.away = is_unattended.then(|| UNATTENDED.to_string());
                }
            });
        }
        self.engine.settle_attendance(user);
        self.say_of_myself(said);
        self.welcome();
        self.engine.tell_first_modes(conn);
        if self.user().fact.away.is_some() {
            self.reply(numeric::now_away());
        }
        let channels: Vec<Folded> = self.user().channels.iter().cloned().collect();
        for channel in &channels {
            self.engine.say_joined(channel, user, vec![conn], None);
            self.introduce_anew_to(channel);
        }
        self.replay_missed(&channels, absence.map(|absence| absence.since.wall));
    }
}

impl Engine {
    /// Where somebody comes to a channel, or is brought there: their other connections are shown it as the one is that
    /// asked for it.
    pub(super) fn introduce_others_to(&mut self, channel: &Folded, user: UserId, but: ConnId) {
        for conn in self.sessions.conns_of(user).to_vec() {
            if conn != but {
                Turn::new(self, conn).introduce_anew_to(channel);
            }
        }
    }

    /// A connection of somebody's has gone. With the last of them they go, too, unless they are expected back.
    pub(super) fn detached(&mut self, user: UserId, why: &str, going: Going) {
        if !self.sessions.conns_of(user).is_empty() {
            self.settle_security(user);
            self.settle_operator(user);
            self.settle_attendance(user);
            return;
        }
        let stays = self.is_always_on(user);
        if !stays && !self.is_expected_back(user, going) {
            return self.depart(user, why);
        }
        self.settle_operator(user);
        let is_away = self.network.user(user).is_some_and(|user| user.fact.away.is_some());
        let is_shown_away = stays && !is_away;
        self.sessions.leave(user, Absence { since: self.now, why: why.to_string(), is_shown_away });
        if is_shown_away {
            self.rewrite_user(user, UserFact::leave_unattended);
        }
        self.touch_seat(user);
    }

    pub(super) fn depart(&mut self, user: UserId, why: &str) {
        self.sessions.forget(user);
        self.write(Edit::Quit { user, reason: why.to_string() }, false);
    }

    /// Ends all of somebody's connections, and them with those.
    pub(super) fn end_person(&mut self, user: UserId, why: &str) {
        let conns = self.sessions.conns_of(user).to_vec();
        // Everyone hears of it first, and then they do.
        conns.iter().for_each(|conn| self.dismiss(*conn));
        if self.sessions.person(user).is_some() {
            self.depart(user, why);
        }
        conns.into_iter().for_each(|conn| self.say_goodbye(conn, why));
    }

    /// The same for everyone, as where this server begins anew.
    pub(super) fn end_everyone(&mut self, why: &str) {
        let everyone: Vec<UserId> = self.sessions.people().map(|(user, _)| user).collect();
        everyone.into_iter().for_each(|user| self.end_person(user, why));
    }

    /// Whether somebody is kept here though nobody is connected, by a nick that is theirs: by the wish of whoever runs the
    /// server, or by their own.
    pub(super) fn is_always_on(&self, user: UserId) -> bool {
        let Some(known) = self.network.user(user) else { return false };
        let account = known.account_id().and_then(|id| self.network.accounts().get(id));
        let Some(account) = account else { return false };
        // By a nick of their own only, of which nobody has many, and by which their clients find them.
        let owner = self.network.accounts().owner_of(&known.nick.folded());
        if owner.is_none_or(|owner| owner.id != account.id) {
            return false;
        }
        let wish = account.settings.get(ALWAYS_ON).map(|value| value == "on");
        match self.config.accounts.always_on {
            AlwaysOn::Off => false,
            AlwaysOn::OptIn => wish == Some(true),
            AlwaysOn::OptOut => wish != Some(false),
        }
    }

    /// Whether somebody whose connection broke may be back in a moment: only who has an account can be known again.
    fn is_expected_back(&self, user: UserId, going: Going) -> bool {
        let has_account = self.network.user(user).is_some_and(|user| user.account_id().is_some());
        going == Going::Lost && has_account && !self.config.accounts.resume_within.is_zero()
    }

    /// Those who have not come back in time have gone when their connection did.
    pub(super) fn expire_absences(&mut self) {
        let within_ms = self.config.accounts.resume_within.as_millis() as u64;
        let gone = self.sessions.absent().filter_map(|(user, absence)| {
            let is_over = self.now.steady_ms >= absence.since.steady_ms + within_ms;
            (is_over && !self.is_always_on(user)).then(|| (user, absence.why.clone()))
        });
        for (user, why) in gone.collect::<Vec<_>>() {
            self.depart(user, &why);
        }
    }

    /// Somebody counts as secure where all of their connections are.
    pub(super) fn settle_security(&mut self, user: UserId) {
        let is_secure = self.sessions.of(user).all(|session| session.secure.is_some());
        if self.network.user(user).is_some_and(|user| user.fact.secure != is_secure) {
            self.rewrite_user(user, |fact| fact.secure = is_secure);
        }
    }

    /// Nobody is an operator any more who is it on none of their connections.
    fn settle_operator(&mut self, user: UserId) {
        let is_operator = self.network.user(user).is_some_and(User::is_operator);
        if is_operator && !self.sessions.of(user).any(|session| session.is_operator) {
            self.rewrite_user(user, |fact| fact.resign());
        }
    }

    /// What one of somebody's connections has said of whether they are at hand, their others are told.
    pub(super) fn tell_own_away(&mut self, user: UserId) {
        let Some(known) = self.network.user(user) else { return };
        let told = if known.fact.away.is_some() { numeric::now_away() } else { numeric::unaway() };
        let line = told.line(self.identity.name.as_str(), known.nick.as_str());
        let others = self.sessions.conns_of(user).iter().copied();
        let others: Vec<ConnId> =
            others.filter(|conn| self.voice.is_some_and(|voice| voice != *conn)).collect();
        self.say(others, self.spoken(line));
    }
}
