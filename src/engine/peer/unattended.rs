//! What is done by force to those who are here though nobody is connected as them.

use crate::engine::Engine;
use crate::engine::turn::Outcome;
use crate::wire::names::{ChannelName, Nick, UserId, Word};
use crate::wire::numeric;

impl Engine {
    /// Has somebody go by another nick, which has to be their account's own: by any other their clients would not find
    /// them, and they would be gone.
    pub(super) fn rename_unattended(&mut self, user: UserId, nick: &Nick) -> Outcome {
        self.sessions.person(user).ok_or_else(|| numeric::no_such_nick(user))?;
        let known = self.network.user(user).ok_or_else(|| numeric::no_such_nick(user))?;
        let (old, own, claimed) = (known.nick.clone(), known.account_id(), known.fact.claimed);
        let is_same_name = old.folded() == nick.folded();
        let owner = self.network.accounts().owner_of(&nick.folded()).map(|account| account.id);
        if owner.is_none() || owner != own {
            let why = format!(
                "Nobody is connected as {old}, who can have only a nick of their account's until then"
            );
            return Err(numeric::unknown_error(Word::echo("SANICK"), &why).into());
        }
        if !is_same_name && self.network.holder(&nick.folded()).is_some() {
            return Err(numeric::nick_in_use(nick).into());
        }
        let claimed = if is_same_name { claimed } else { self.clock.tick(self.now.wall) };
        self.rewrite_user(user, |fact| {
            fact.nick = nick.clone();
            fact.claimed = claimed;
        });
        Ok(())
    }

    /// Has somebody be on a channel, whatever bars them from it.
    pub(super) fn bring_unattended(&mut self, user: UserId, channel: &ChannelName) -> Outcome {
        self.sessions.person(user).ok_or_else(|| numeric::no_such_nick(user))?;
        let known = self.network.user(user).ok_or_else(|| numeric::no_such_nick(user))?;
        if known.channels.contains(&self.network.channel_id(&channel.folded())) {
            return Err(numeric::user_on_channel(&known.nick, channel).into());
        }
        let id = self.take_in(user, channel);
        if let Some(person) = self.sessions.person_mut(user) {
            person.invited.remove(&id);
        }
        Ok(())
    }
}
