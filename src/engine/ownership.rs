//! Nicks that are an account's own: who may go by them, and what becomes of others who do.
//!
//! Whoever is logged in to the account that owns a nick comes first in the view, on every server alike. Others are
//! renamed by their own server, as its settings say; nobody else does anything to them.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::network::{Account, AccountId, Edit, UserFact};
use super::services::NICKSERV;
use super::turn::{Outcome, Turn};
use crate::config::NickOwnership;
use crate::wire::fold::Folded;
use crate::wire::names::{Nick, UserId};
use crate::wire::numeric;

/// Those who were told that their nick is somebody else's.
#[derive(Debug, Default)]
pub struct Trespassers {
    /// Whether whose nick is whose may be another thing for everyone.
    is_touched: bool,
    /// Who is called otherwise than before, or is logged in to something else.
    touched: BTreeSet<UserId>,
    told: BTreeMap<UserId, Told>,
}

#[derive(Debug, PartialEq, Eq)]
struct Told {
    nick: Folded,
    until_ms: u64,
}

impl Turn<'_> {
    /// Whether a nick is the speaker's own, and whoever goes by it is somebody else.
    pub fn comes_before_holder(&self, nick: &Folded) -> bool {
        let own = self.account().map(|account| account.id);
        let owner = self.network().accounts().owner_of(nick).map(|account| account.id);
        let holder = self.network().holder(nick).and_then(|user| self.network().user_even_unseen(user));
        self.config().accounts.nick_ownership != NickOwnership::None
            && own.is_some()
            && owner == own
            && holder.is_some_and(|holder| holder.account_id() != own)
    }

    /// Where nicks are for their owners alone, nobody else takes one.
    pub fn may_use_nick(&self, nick: &Nick) -> Outcome {
        let own = self.account().map(|account| account.id);
        let owner = self.network().accounts().owner_of(&nick.folded()).map(|account| account.id);
        match self.config().accounts.nick_ownership {
            NickOwnership::Strict if owner.is_some() && owner != own => Err(numeric::nick_owned(nick).into()),
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// Whose nick is whose may be another thing by the end of this step.
    pub(super) fn touch_nicks(&mut self) {
        self.trespassers.is_touched = true;
    }

    /// The same of one person's nick: however many there are, nobody else's is looked at.
    pub(super) fn touch_nick_of(&mut self, user: UserId) {
        if user.server() == self.identity.sid {
            self.trespassers.touched.insert(user);
        }
    }

    /// Tells those who go by nicks of others, and renames those who were told long enough ago.
    pub(super) fn guard_nicks(&mut self) {
        let now_ms = self.now.steady_ms;
        let settings = &self.config.accounts;
        let is_due = self.trespassers.told.values().any(|told| now_ms >= told.until_ms);
        let is_touched = std::mem::take(&mut self.trespassers.is_touched);
        let touched = std::mem::take(&mut self.trespassers.touched);
        if !(is_due || is_touched || !touched.is_empty()) || settings.nick_ownership == NickOwnership::None {
            return;
        }
        let grace_ms = match settings.nick_ownership {
            NickOwnership::Strict => 0,
            _ => settings.nick_grace.as_millis() as u64,
        };
        let mut before = std::mem::take(&mut self.trespassers.told);
        let users: BTreeSet<UserId> = match is_touched {
            true => self.sessions.people().map(|(user, _)| user).collect(),
            false => before.keys().copied().chain(touched).collect(),
        };
        let (mut told, mut new, mut due) = (BTreeMap::new(), Vec::new(), Vec::new());
        for id in users {
            let (Some(_), Some(user)) = (self.sessions.person(id), self.network.user(id)) else {
                continue;
            };
            let nick = user.nick.folded();
            let Some(owner) = self.owner_besides(&nick, user.account_id()) else { continue };
            let known = before.remove(&user.id).filter(|told| told.nick == nick);
            let is_new = known.is_none();
            let one = known.unwrap_or(Told { nick, until_ms: now_ms + grace_ms });
            if now_ms >= one.until_ms {
                due.push(user.id);
                continue;
            }
            if is_new {
                new.push((user.id, user.nick.clone(), owner.name.clone()));
            }
            told.insert(user.id, one);
        }
        self.trespassers.told = told;
        for (user, nick, owner) in new {
            self.warn_trespasser(user, &nick, &owner, grace_ms / 1000);
        }
        due.into_iter().for_each(|user| self.rename_trespasser(user));
    }

    fn owner_besides(&self, nick: &Folded, own: Option<AccountId>) -> Option<&Account> {
        self.network.accounts().owner_of(nick).filter(|owner| own != Some(owner.id))
    }

    fn warn_trespasser(&mut self, user: UserId, nick: &Nick, owner: &str, seconds: u64) {
        let text = format!(
            "{nick} belongs to the account {owner}. If that is yours, log in within {seconds} seconds: \
             /msg NickServ IDENTIFY <password>. Else take another nick, or you get one."
        );
        for conn in self.sessions.conns_of(user).to_vec() {
            Turn::new(self, conn).notice_by(NICKSERV, &text);
        }
    }

    /// They go by their UID from now on, which is nobody else's.
    fn rename_trespasser(&mut self, user: UserId) {
        let Some(known) = self.network.user(user) else { return };
        let fact = known.fact.clone();
        let claimed = self.clock.tick(self.now.wall);
        self.write(Edit::User { user, fact: UserFact { nick: Nick::from(user), claimed, ..fact } }, false);
    }
}
