//! What accounts are on registered channels: given as they come, as they log in, and as it is said of them.

use super::Engine;
use super::effect::Topic;
use super::network::{
    AccountId, Channel, Clause, Edit, Item, MemberFact, Network, Registration, Setting, Subject,
};
use super::turn::Turn;
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::UserId;

impl Network {
    /// What a user is to be on a registered channel, by their account.
    pub fn access(&self, channel: &Folded, user: UserId) -> Letters {
        let account = self.user_even_unseen(user).and_then(|user| user.account_id());
        let registration = self.registrations().get(channel);
        match (account, registration) {
            (Some(account), Some(registration)) => registration.status_of(account),
            _ => Letters::NONE,
        }
    }

    /// All that is set on a channel, as edits that set it.
    pub fn settings_of(&self, channel: &Folded, by: &str) -> Vec<Edit> {
        self.channel_or_shadow(channel).map(|channel| edits_of(channel, by)).unwrap_or_default()
    }
}

fn edits_of(channel: &Channel, by: &str) -> Vec<Edit> {
    let (name, birth, by) = (channel.id(), channel.birth, by.to_string());
    let setting = |item, value| Edit::Setting {
        channel: name.clone(),
        birth,
        item,
        value: Some(value),
        by: by.clone(),
    };
    let modes = channel.modes.iter().map(|(letter, value)| {
        setting(Item::Mode(*letter), value.clone().map_or(Setting::On, Setting::Value))
    });
    let given =
        channel.renaming.iter().map(|(_, renaming)| setting(Item::Name, Setting::Name(renaming.clone())));
    let topic = channel.topic.iter().map(|topic| setting(Item::Topic, Setting::Topic(topic.clone())));
    let masks = channel.lists.iter().flat_map(|(list, masks)| {
        masks.iter().map(|(mask, fact)| Edit::Mask {
            channel: name.clone(),
            birth,
            list: *list,
            mask: mask.clone(),
            fact: Some(fact.clone()),
            by: by.clone(),
        })
    });
    let metadata = channel.metadata.iter().map(|(key, value)| Edit::Metadata {
        of: Subject::Channel(name.clone(), birth),
        key: key.clone(),
        value: Some(value.clone()),
        by: by.clone(),
    });
    modes.chain(given).chain(topic).chain(masks).chain(metadata).collect()
}

impl Engine {
    /// Tells those whose channel it was that somebody else had registered it before, out of reach.
    pub(super) fn tell_registration_lost(&mut self, channel: &str, account: AccountId) {
        let text = format!("{channel} was registered by somebody else before you, who has it now");
        let users = self.network.users_of(self.identity.sid);
        let theirs = users.filter(|user| user.account_id() == Some(account)).map(|user| user.id);
        for user in theirs.collect::<Vec<UserId>>() {
            for conn in self.sessions.conns_of(user).to_vec() {
                Turn::new(self, conn).notice(&text);
            }
        }
        self.note(log::Level::Warn, Topic::Operator, format!("{text} account={account}"));
    }
}

impl Turn<'_> {
    /// Gives the speaker what their account is on a channel that they are on.
    pub fn take_access(&mut self, channel: &Folded) {
        let me = self.me();
        self.give_access_to(channel, me);
    }

    /// The same for all channels that they are on, as when they log in.
    pub fn take_all_access(&mut self) {
        let channels: Vec<Folded> = self.user().channels.iter().cloned().collect();
        channels.iter().for_each(|channel| self.take_access(channel));
    }

    /// The same for everyone who is on a channel and logged in to an account.
    pub fn give_access(&mut self, channel: &Folded, account: AccountId) {
        let Some(known) = self.network().channel(channel) else { return };
        let is_theirs =
            |user: &UserId| self.network().user(*user).is_some_and(|user| user.account_id() == Some(account));
        let users: Vec<UserId> = known.members().map(|(user, _)| user).filter(is_theirs).collect();
        users.into_iter().for_each(|user| self.give_access_to(channel, user));
    }

    fn give_access_to(&mut self, name: &Folded, user: UserId) {
        let due = self.network().access(name, user);
        let Some(channel) = self.network().channel(name) else { return };
        let Some(member) = channel.member(user) else { return };
        let given = channel.given_to(user, member, due, self.server_name());
        self.change_all(given);
    }

    /// Makes a channel nobody's again. Whoever is on it notices nothing: all that is set goes on for as long as they stay.
    pub fn drop_registration(&mut self, of: &Registration) {
        let (name, by) = (of.id(), self.prefix());
        let network = self.network();
        let is_there = network.channel_or_shadow(&name).is_some();
        let now = if is_there { network.settings_of(&name, &by) } else { Vec::new() };
        let stale = if is_there { network.set_in_session(&name, of.birth, &by) } else { Vec::new() };
        let lasting = network.set_for_good(&name, of.birth, &by);
        let clauses: Vec<Clause> = network.clauses_of(&name, of.claimed);
        // What was set before it was registered, and in a split since, is not what is set now.
        stale.into_iter().for_each(|edit| self.engine.write_as(edit, false));
        now.into_iter().for_each(|edit| self.engine.write_as(edit, false));
        for clause in clauses {
            let (channel, claimed, by) = (name.clone(), of.claimed, by.clone());
            self.change(Edit::Registration { channel, claimed, clause, fact: None, by });
        }
        // What was said is found by its name once everybody has left.
        let is_name = |edit: &Edit| matches!(edit, Edit::Setting { item: Item::Name, .. });
        let lasting = lasting.into_iter().filter(|edit| !is_name(edit));
        lasting.for_each(|edit| self.change(Edit::Lasting(Box::new(edit))));
    }

    /// What somebody who comes to a registered channel is at once.
    pub fn status_at_join(&self, channel: &Folded) -> Letters {
        self.network().access(channel, self.me())
    }
}

impl MemberFact {
    /// The same membership under the birth that has turned out to count, with what the account of whoever it is has there.
    pub fn under(&self, channel: &Channel, status: Letters) -> MemberFact {
        MemberFact {
            name: channel.made_as.clone(),
            birth: channel.birth,
            joined: self.joined,
            status,
            is_silent: self.is_silent,
        }
    }
}
