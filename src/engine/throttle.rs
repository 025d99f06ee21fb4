//! How often one person may do what others feel: join, change nick, invite, go away, search, and write to strangers.

use std::collections::VecDeque;
use std::time::Duration;

use super::Engine;
use super::effect::Effect;
use super::event::ConnId;
use super::meter::Meter;
use super::network::User;
use super::turn::{Outcome, Turn};
use crate::config::Rate;
use crate::wire::names::{UserId, Word};
use crate::wire::numeric;

/// How many people somebody can be in conversation with without one of them becoming a stranger again.
const KNOWN_MAX: usize = 64;

/// Something with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Join,
    ChangeNick,
    Invite,
    GoAway,
    Search,
    /// Say something of oneself or of a channel for programs to read.
    SetMetadata,
    /// Write to somebody for the first time in a while.
    Address,
    /// Tell operators of somebody.
    Report,
}

impl Deed {
    /// What somebody does, after their name.
    fn in_words(self) -> &'static str {
        match self {
            Deed::Join => "joins channels",
            Deed::ChangeNick => "changes nicks",
            Deed::Invite => "invites people",
            Deed::GoAway => "goes away",
            Deed::Search => "searches",
            Deed::SetMetadata => "sets metadata",
            Deed::Address => "writes to strangers",
            Deed::Report => "reports people",
        }
    }
}

const DEEDS: usize = Deed::Report as usize + 1;

/// What one person has done lately.
#[derive(Debug, Default)]
pub struct Throttle {
    meters: [Meter; DEEDS],
    /// Those who may be written to as often as one likes, the latest last.
    known: VecDeque<UserId>,
    /// How often operators were told that this person does too much.
    pub told_of_flood: Meter,
    /// Whether the edge was told that no limit on speed is for this connection.
    pub(super) is_unhurried: bool,
}

impl Throttle {
    /// Somebody has written to this person, or the other way round.
    pub fn know(&mut self, user: UserId) {
        if self.known.back() == Some(&user) {
            return;
        }
        self.known.retain(|known| *known != user);
        if self.known.len() >= KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(user);
    }
}

impl Turn<'_> {
    /// Whether it is not too soon for this; or how many seconds from now it will not be.
    pub fn may(&mut self, deed: Deed) -> Result<(), u64> {
        let Some(rate) = self.rate_of(deed) else { return Ok(()) };
        let wait = self.session().throttle.meters[deed as usize].wait(rate, self.steady());
        if wait.is_zero() {
            return Ok(());
        }
        self.engine.tell_of_flood(self.conn, &format!("{} too often and has to wait", deed.in_words()));
        // The first whole second at which it is true.
        Err(wait.as_millis().div_ceil(1000) as u64)
    }

    /// It has been done.
    pub fn did(&mut self, deed: Deed) {
        if let Some(rate) = self.rate_of(deed) {
            let now = self.steady();
            self.session_mut().throttle.meters[deed as usize].charge(rate, 1, now);
        }
    }

    /// Looks through more than what is the speaker's own, for a command.
    pub fn search(&mut self, command: &'static str) -> Outcome {
        self.may(Deed::Search).map_err(|_| numeric::try_again(Word::echo(command)))?;
        self.did(Deed::Search);
        Ok(())
    }

    /// Whoever writes to many strangers in a short time has to wait. Whom they are in conversation with, and those on
    /// a channel where they are somebody, are no strangers.
    pub fn address(&mut self, user: UserId) -> Outcome {
        if user == self.me() {
            return Ok(());
        }
        let known = self.network().user(user).filter(|_| !self.session().throttle.known.contains(&user));
        if let Some(stranger) = known.filter(|known| !self.has_status_with(known)) {
            let nick = stranger.nick.clone();
            self.may(Deed::Address).map_err(|seconds| numeric::target_too_fast(&nick, seconds))?;
            self.did(Deed::Address);
        }
        self.session_mut().throttle.know(user);
        Ok(())
    }

    fn has_status_with(&self, user: &User) -> bool {
        let mut shared = self.user().channels.intersection(&user.channels);
        shared.any(|name| {
            self.network().channel(name).is_some_and(|channel| !channel.status(self.me()).is_empty())
        })
    }

    /// `None` where nothing holds the speaker back.
    fn rate_of(&self, deed: Deed) -> Option<Rate> {
        let limits = &self.config().limits;
        let rates = &limits.rates;
        let rate = match deed {
            Deed::Join => rates.joins,
            Deed::ChangeNick => rates.nick_changes,
            Deed::Invite => rates.invitations,
            Deed::GoAway => rates.away_changes,
            Deed::Search => rates.searches,
            Deed::SetMetadata => rates.metadata_changes,
            Deed::Address => rates.new_targets,
            Deed::Report => rates.reports,
        };
        rate.filter(|_| limits.flood && !self.has_right("flood-exempt"))
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.now.steady_ms)
    }
}

impl Engine {
    /// Tells the edge whether limits on speed are for a client, where that is not as it was.
    pub(super) fn settle_hurry(&mut self, conn: ConnId) {
        if self.sessions.get(conn).is_none_or(|session| session.user().is_none()) {
            return;
        }
        let on = Turn::new(self, conn).has_right("flood-exempt");
        if let Some(session) = self.sessions.get_mut(conn)
            && session.throttle.is_unhurried != on
        {
            session.throttle.is_unhurried = on;
            self.effects.push(Effect::Unhurried { conn, on });
        }
    }

    /// The same for all of them.
    pub(super) fn settle_hurries(&mut self) {
        let conns: Vec<ConnId> = self.sessions.iter().map(|session| session.conn).collect();
        conns.into_iter().for_each(|conn| self.settle_hurry(conn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::names::ServerId;

    #[test]
    fn only_so_many_people_are_known_and_the_latest_stay() {
        let mut throttle = Throttle::default();
        let user = |number| UserId::numbered(ServerId::LOWEST, number);
        for number in 0..KNOWN_MAX as u64 {
            throttle.know(user(number));
        }
        throttle.know(user(0));
        throttle.know(user(1000));
        assert_eq!(throttle.known.len(), KNOWN_MAX);
        assert!(throttle.known.contains(&user(0)), "the conversation has just gone on");
        assert!(!throttle.known.contains(&user(1)));
    }
}
