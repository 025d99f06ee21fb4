//! Users: what their own server says of them, and how everyone sees them.

use std::collections::BTreeSet;

use super::account::AccountId;
use super::metadata::Metadata;
use super::server::Standing;
use crate::engine::merge::Stamp;
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::{Nick, ServerId, UserId};
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

/// What a user's own server says of them; nobody else writes this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFact {
    pub nick: Nick,
    /// When the nick was taken: the oldest claim keeps it.
    pub claimed: Stamp,
    pub username: String,
    /// What others see.
    pub host: String,
    /// Where the connection really comes from; for operators and for the user.
    pub address: String,
    /// What that address is called, where that is known; for the same people.
    pub name: Option<String>,
    /// What hides both where the user is cloaked; known of everyone, since bans go by it either way.
    pub cloak: Option<String>,
    pub realname: String,
    /// What they are logged in to, whether or not that is still there.
    pub account: Option<AccountId>,
    pub away: Option<String>,
    pub modes: Letters,
    /// The class of an operator.
    pub class: Option<String>,
    /// What WHOIS says that an operator is, as the class has it.
    pub title: Option<String>,
    /// Whether the user's own connection is encrypted.
    pub secure: bool,
    /// The certificate that they have shown themselves; for operators and for the user. Few have one, and then it takes
    /// room of its own.
    pub certificate: Option<Box<Pin>>,
    /// What has brought them here, where they are not connected themselves.
    pub gateway: Option<String>,
    /// Whom they are on another server, for as long as that cannot be reached. It is believed where both have the same
    /// account: then only one of them is shown.
    pub stands_for: Option<UserId>,
    pub signed_on: Timestamp,
}

impl UserFact {
    /// What is shown of those who hide nothing.
    pub fn real_host(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.address)
    }

    /// All that bans may call the place that somebody comes from, each once.
    pub fn hosts(&self) -> Vec<&str> {
        let mut hosts = vec![self.host.as_str()];
        for host in
            [Some(self.address.as_str()), self.name.as_deref(), self.cloak.as_deref()].into_iter().flatten()
        {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }
}

/// User modes that nobody has who is no operator.
pub const MODES_OF_OPERATORS: &[char] = &['o', 'H', 's'];

/// A user as everyone sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// What they are called here: the nick they claim, or their UID where an older claim stands.
    pub nick: Nick,
    pub fact: UserFact,
    /// What their account is called, where they are logged in to one that nobody has suspended.
    pub account: Option<String>,
    pub standing: Standing,
    /// Where they can be seen.
    pub channels: BTreeSet<Folded>,
    pub metadata: Metadata,
}

impl UserFact {
    /// Makes them an operator no more, with all that only operators are.
    pub fn resign(&mut self) {
        self.modes = MODES_OF_OPERATORS.iter().fold(self.modes, |modes, letter| modes.without(*letter));
        self.class = None;
        self.title = None;
    }
}

impl Letters {
    /// These as somebody else has changed them who is the same person, but for what only operators are.
    pub fn taking_over(self, others: Letters) -> Letters {
        let own = |letter: &char| MODES_OF_OPERATORS.contains(letter);
        let kept = self.iter().filter(own).chain(others.iter().filter(|letter| !own(letter)));
        kept.fold(Letters::NONE, Letters::with)
    }
}

impl User {
    pub fn server(&self) -> ServerId {
        self.id.server()
    }

    /// The account that they are logged in to.
    pub fn account_id(&self) -> Option<AccountId> {
        self.fact.account.filter(|_| self.account.is_some())
    }

    pub fn is_visible(&self) -> bool {
        self.standing == Standing::Present
    }

    pub fn has_mode(&self, letter: char) -> bool {
        self.fact.modes.has(letter)
    }

    pub fn is_operator(&self) -> bool {
        self.has_mode('o')
    }

    /// Whether people who are no operators themselves may know that this is one.
    pub fn is_shown_operator(&self) -> bool {
        self.is_operator() && !self.has_mode('H')
    }

    /// The tag of what operators say and do, unless they hide that they are some; it has no value.
    pub fn operator_tag(&self) -> Option<&'static str> {
        self.is_shown_operator().then_some("")
    }

    /// The tag of what a bot says: it has no value, and people have none.
    pub fn bot_tag(&self) -> Option<&'static str> {
        self.has_mode('B').then_some("")
    }

    /// Every `nick!user@host` by which masks can mean this person: as shown, and what that may hide.
    pub fn all_prefixes(&self) -> impl Iterator<Item = String> {
        let hosts = self.fact.hosts().into_iter();
        hosts.map(|host| format!("{}!{}@{host}", self.nick, self.fact.username))
    }

    /// `nick!user@host`
    pub fn prefix(&self) -> String {
        [self.nick.as_str(), "!", &self.fact.username, "@", &self.fact.host].concat()
    }
}
