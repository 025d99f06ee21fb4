//! Channels: their members, settings and lists, all of which belong to one birth.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::change::Edit;
use super::metadata::Metadata;
use crate::engine::merge::Stamp;
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::{ChannelName, ServerId, UserId};
use crate::wire::time::Timestamp;

/// That somebody is on a channel; only their own server writes this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFact {
    pub name: ChannelName,
    /// The birth of the channel that was joined.
    pub birth: Stamp,
    pub joined: Stamp,
    /// What the join itself gave: whoever makes a channel is its operator.
    pub status: Letters,
    /// Joined where nobody hears of it before they speak, and has not spoken since.
    pub is_silent: bool,
}

/// What somebody is on a channel, as far as it decides who hears of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    pub status: Letters,
    pub is_silent: bool,
}

/// That a status was given to, or taken from, one particular join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusFact {
    pub on: bool,
    pub joined: Stamp,
}

/// An entry of a list of masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskFact {
    pub by: String,
    pub at: Timestamp,
    /// When it is to be taken away; for good where there is no such time.
    pub until: Option<Timestamp>,
}

/// What of a channel can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Mode(char),
    /// What it is called, where that is not what it was called when it was made.
    Name,
    Topic,
}

impl Item {
    /// The letter of a mode; one that is no mode's for everything else.
    pub fn letter(self) -> char {
        match self {
            Item::Mode(letter) => letter,
            Item::Name => '#',
            Item::Topic => '*',
        }
    }
}

/// What it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    On,
    Value(String),
    Name(Renaming),
    Topic(Topic),
}

/// A name that a channel was given, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renaming {
    pub name: ChannelName,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub text: String,
    pub by: String,
    pub at: Timestamp,
}

/// Someone on a channel, as everyone sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub fact: MemberFact,
    pub status: Letters,
    /// Not so while their server is suspended.
    pub visible: bool,
}

impl Member {
    pub fn role(&self) -> Role {
        Role { status: self.status, is_silent: self.fact.is_silent }
    }
}

/// The modes by which a channel keeps people out, or is kept from them.
const CLOSING: &[char] = &['O', 'R', 'i', 'k', 'l', 'p', 's', 'z'];

/// A channel as everyone sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// What it is called now.
    pub name: ChannelName,
    /// What it was called when it was made, or registered. All that is known of it is kept under this, folded: its id.
    pub made_as: ChannelName,
    /// The last name that it was given, when, and by whom; it counts as far as `refresh/names.rs` says.
    pub renaming: Option<(Stamp, Renaming)>,
    /// The earliest birth that anyone present joined under; only what belongs to it counts.
    pub birth: Stamp,
    pub modes: BTreeMap<char, Option<String>>,
    pub topic: Option<Topic>,
    pub lists: BTreeMap<char, BTreeMap<String, MaskFact>>,
    pub metadata: Metadata,
    /// Whether it is somebody's, so that what is set is durable.
    pub is_registered: bool,
    pub(super) members: BTreeMap<UserId, Member>,
    /// How many members joined under each birth, by each spelling of the name: the first has both, whoever was heard of
    /// first.
    pub(super) births: BTreeMap<(Stamp, ChannelName), usize>,
    pub(super) visible: usize,
}

/// All that is set on a channel, as it was at some time.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub modes: BTreeMap<char, Option<String>>,
    pub topic: Option<Topic>,
    pub lists: BTreeMap<char, BTreeMap<String, MaskFact>>,
    pub metadata: Metadata,
}

impl Channel {
    /// What a mode is set to.
    pub fn setting(&self, letter: char) -> Option<Setting> {
        self.modes.get(&letter).map(|value| value.clone().map_or(Setting::On, Setting::Value))
    }

    pub(super) fn new(name: ChannelName, birth: Stamp) -> Channel {
        Channel {
            made_as: name.clone(),
            name,
            renaming: None,
            birth,
            modes: BTreeMap::new(),
            topic: None,
            lists: BTreeMap::new(),
            metadata: Metadata::new(),
            is_registered: false,
            members: BTreeMap::new(),
            births: BTreeMap::new(),
            visible: 0,
        }
    }

    /// Under which all that is known of it is kept, whatever it is called by now.
    pub fn id(&self) -> Folded {
        self.made_as.folded()
    }

    /// Whether somebody's own server has to write their membership again, under the birth that counts. One that is
    /// earlier counts itself, unless the channel is registered: there it must not outlast the registration, and give
    /// the channel away once that is dropped. Which birth is registered is settled by durable facts alone, so this ends.
    pub(super) fn is_to_be_rewritten(&self, member: &MemberFact) -> bool {
        member.birth > self.birth || self.is_registered && member.birth != self.birth
    }

    /// What gives a member the status that they lack of what is due to them.
    pub fn given_to(&self, user: UserId, member: &Member, due: Letters, by: &str) -> Vec<Edit> {
        let lacking = due.iter().filter(|letter| !member.status.has(*letter));
        let given = lacking.map(|letter| Edit::Status {
            channel: self.id(),
            birth: self.birth,
            user,
            letter,
            fact: StatusFact { on: true, joined: member.fact.joined },
            by: by.to_string(),
        });
        given.collect()
    }

    pub fn settings(&self) -> Settings {
        Settings {
            modes: self.modes.clone(),
            topic: self.topic.clone(),
            lists: self.lists.clone(),
            metadata: self.metadata.clone(),
        }
    }

    /// Everyone who can be seen here, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = (UserId, &Member)> {
        self.members.iter().filter(|(_, member)| member.visible).map(|(id, member)| (*id, member))
    }

    /// Those of them who come after this one.
    pub fn members_after(&self, user: Option<UserId>) -> impl Iterator<Item = (UserId, &Member)> {
        let members = self.members.range((user.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        members.filter(|(_, member)| member.visible).map(|(id, member)| (*id, member))
    }

    /// Those of them who are users of one server.
    pub fn members_of(&self, server: ServerId) -> impl Iterator<Item = (UserId, &Member)> {
        let (first, last) = UserId::range_of(server);
        let members = self.members.range(first..=last).map(|(id, member)| (*id, member));
        members.filter(|(_, member)| member.visible)
    }

    /// Whether anybody else is here, within reach or not.
    pub fn has_others_than(&self, user: Option<UserId>) -> bool {
        self.members.keys().any(|member| Some(*member) != user)
    }

    /// Whether anybody who can be seen is here.
    pub fn is_visible(&self) -> bool {
        self.visible > 0
    }

    pub fn members_count(&self) -> usize {
        self.visible
    }

    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.members.get(&user).filter(|member| member.visible)
    }

    /// Also of somebody who cannot be seen.
    pub fn member_even_unseen(&self, user: UserId) -> Option<&Member> {
        self.members.get(&user)
    }

    pub fn has(&self, user: UserId) -> bool {
        self.member(user).is_some()
    }

    pub fn status(&self, user: UserId) -> Letters {
        self.member(user).map_or(Letters::NONE, |member| member.status)
    }

    pub fn has_mode(&self, letter: char) -> bool {
        self.modes.contains_key(&letter)
    }

    /// Whether there may be somebody who could not come here, or not know of it.
    pub fn is_closed(&self) -> bool {
        CLOSING.iter().any(|letter| self.has_mode(*letter)) || self.list('b').next().is_some()
    }

    /// The value of a mode that has one, such as the key.
    pub fn mode_value(&self, letter: char) -> Option<&str> {
        self.modes.get(&letter)?.as_deref()
    }

    /// A list's entries, in the order of their masks.
    pub fn list(&self, letter: char) -> impl Iterator<Item = (&String, &MaskFact)> {
        self.lists.get(&letter).into_iter().flatten()
    }
}
