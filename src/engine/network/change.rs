//! One edit of what all servers share, in whatever order it may come.

use super::account::{AccountFact, AccountId, Field};
use super::ban::{BanFact, BanKind};
use super::channel::{Item, MaskFact, MemberFact, Setting, StatusFact};
use super::complaint::Complaint;
use super::happening::Happening;
use super::metadata::Subject;
use super::redaction::Redaction;
use super::registration::{Clause, ClauseFact};
use super::server::ServerFact;
use super::talk::Message;
use super::user::UserFact;
use crate::engine::merge::{Dot, Stamp, Stream};
use crate::wire::fold::Folded;
use crate::wire::names::{MetadataKey, ServerId, UserId};
use crate::wire::time::Timestamp;

/// One event: what it says, who said it and when, and what it replaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub dot: Dot,
    pub stamp: Stamp,
    /// What other origins had written of the same key, as far as the writer had seen it.
    pub over: Vec<Dot>,
    /// For messages: how far the writer's own session stream had come, so that nobody hears a line
    /// before the JOIN that it follows.
    pub after: u64,
    /// More follows of the same act, so that one MODE line stays one line for those who hear it.
    pub more: bool,
    pub edit: Edit,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    Server(ServerFact),
    /// A server leaves for good, and its users with it.
    Goodbye {
        reason: String,
    },
    User {
        user: UserId,
        fact: UserFact,
    },
    Quit {
        user: UserId,
        reason: String,
    },
    Join {
        user: UserId,
        channel: Folded,
        fact: MemberFact,
    },
    Part {
        user: UserId,
        channel: Folded,
        reason: Option<String>,
    },
    Kick {
        user: UserId,
        channel: Folded,
        by: String,
        reason: String,
    },
    /// A mode on (or with a value), a mode off, a topic; `by` is a nick!user@host or a server's name.
    Setting {
        channel: Folded,
        birth: Stamp,
        item: Item,
        value: Option<Setting>,
        by: String,
    },
    Status {
        channel: Folded,
        birth: Stamp,
        user: UserId,
        letter: char,
        fact: StatusFact,
        by: String,
    },
    Mask {
        channel: Folded,
        birth: Stamp,
        list: char,
        mask: String,
        fact: Option<MaskFact>,
        by: String,
    },
    /// What is said of somebody or of a channel under a key, or that it is said no more.
    Metadata {
        of: Subject,
        key: MetadataKey,
        value: Option<String>,
        by: String,
    },
    /// One part of what makes a channel somebody's, or its end.
    Registration {
        channel: Folded,
        claimed: Stamp,
        clause: Clause,
        fact: Option<ClauseFact>,
        by: String,
    },
    /// What is set on a registered channel: a setting, an entry of a list or metadata, kept for good.
    Lasting(Box<Edit>),
    /// A ban from the network, or its end.
    Ban {
        kind: BanKind,
        mask: String,
        fact: Option<BanFact>,
        by: String,
    },
    /// What somebody has told operators, or that it is closed.
    Complaint {
        id: Stamp,
        fact: Option<Box<Complaint>>,
        by: String,
    },
    /// What is said of an account, or that it is not said any more.
    Account {
        account: AccountId,
        field: Field,
        fact: Option<AccountFact>,
        by: String,
    },
    /// How far somebody has read.
    Read {
        account: AccountId,
        place: Folded,
        time: Timestamp,
    },
    Message(Message),
    Redact(Redaction),
    /// What happened on a channel, for those who ask later.
    Happening(Happening),
    /// A fact of a kind that this version does not know, kept as the line it came as: servers beyond this
    /// one may know it, and have to find the same facts wherever they ask. Its line names the key.
    Foreign {
        key: String,
        is_gone: bool,
        line: String,
    },
    /// Something that this version cannot read: passed on as the line it came as, and no fact.
    Unknown {
        line: String,
    },
}

/// What a fact is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Server(ServerId),
    User(UserId),
    Member(Folded, UserId),
    Setting(Folded, Stamp, Item),
    Status(Folded, Stamp, UserId, char),
    Mask(Folded, Stamp, char, String),
    Metadata(Subject, MetadataKey),
    Registration(Folded, Stamp, Clause),
    /// What this version does not know.
    Foreign(String),
    Ban(BanKind, String),
    Complaint(Stamp),
    Account(AccountId, Field),
    Read(AccountId, Folded),
}

/// What a fact says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Server(ServerFact),
    User(UserFact),
    Member(MemberFact),
    Setting(Setting),
    Status(StatusFact),
    Mask(MaskFact),
    Metadata(String),
    Registration(ClauseFact),
    /// The line that said it.
    Foreign(String),
    Ban(BanFact),
    Complaint(Complaint),
    Account(AccountFact),
    Read(Timestamp),
}

impl Key {
    /// Whether only one server ever writes this: that of the user, or the one that it is about.
    pub fn is_owned(&self) -> bool {
        matches!(self, Key::Server(_) | Key::User(_) | Key::Member(..) | Key::Metadata(Subject::User(_), _))
    }

    /// The channel that this is about.
    pub fn channel(&self) -> Option<&Folded> {
        match self {
            Key::Member(channel, _)
            | Key::Setting(channel, ..)
            | Key::Status(channel, ..)
            | Key::Mask(channel, ..)
            | Key::Metadata(Subject::Channel(channel, _), _)
            | Key::Registration(channel, ..) => Some(channel),
            Key::Server(_)
            | Key::User(_)
            | Key::Metadata(Subject::User(_), _)
            | Key::Foreign(_)
            | Key::Ban(..)
            | Key::Complaint(_)
            | Key::Account(..)
            | Key::Read(..) => None,
        }
    }
}

impl Edit {
    pub fn stream(&self) -> Stream {
        match self {
            Edit::Message(_) | Edit::Redact(_) | Edit::Happening(_) => Stream::Message,
            Edit::Registration { .. } | Edit::Lasting(_) => Stream::Durable,
            Edit::Ban { .. } | Edit::Complaint { .. } => Stream::Durable,
            Edit::Account { .. } | Edit::Read { .. } => Stream::Durable,
            _ => Stream::Session,
        }
    }

    /// The fact that this writes: its key, and its value unless it is removed. Messages write none.
    pub fn fact(&self, writer: ServerId) -> Option<(Key, Option<Value>)> {
        Some(match self {
            Edit::Server(fact) => (Key::Server(writer), Some(Value::Server(fact.clone()))),
            Edit::Goodbye { .. } => (Key::Server(writer), None),
            Edit::User { user, fact } => (Key::User(*user), Some(Value::User(fact.clone()))),
            Edit::Quit { user, .. } => (Key::User(*user), None),
            Edit::Join { user, channel, fact } => {
                (Key::Member(channel.clone(), *user), Some(Value::Member(fact.clone())))
            }
            Edit::Part { user, channel, .. } | Edit::Kick { user, channel, .. } => {
                (Key::Member(channel.clone(), *user), None)
            }
            Edit::Setting { channel, birth, item, value, .. } => {
                (Key::Setting(channel.clone(), *birth, *item), value.clone().map(Value::Setting))
            }
            Edit::Status { channel, birth, user, letter, fact, .. } => {
                (Key::Status(channel.clone(), *birth, *user, *letter), Some(Value::Status(fact.clone())))
            }
            Edit::Mask { channel, birth, list, mask, fact, .. } => {
                (Key::Mask(channel.clone(), *birth, *list, mask.clone()), fact.clone().map(Value::Mask))
            }
            Edit::Registration { channel, claimed, clause, fact, .. } => {
                (Key::Registration(channel.clone(), *claimed, *clause), fact.clone().map(Value::Registration))
            }
            Edit::Lasting(edit) => return edit.fact(writer),
            Edit::Metadata { of, key, value, .. } => {
                (Key::Metadata(of.clone(), key.clone()), value.clone().map(Value::Metadata))
            }
            Edit::Foreign { key, is_gone, line } => {
                (Key::Foreign(key.clone()), (!is_gone).then(|| Value::Foreign(line.clone())))
            }
            Edit::Ban { kind, mask, fact, .. } => {
                (Key::Ban(*kind, mask.clone()), fact.clone().map(Value::Ban))
            }
            Edit::Complaint { id, fact, .. } => {
                (Key::Complaint(*id), fact.as_ref().map(|fact| Value::Complaint(fact.as_ref().clone())))
            }
            Edit::Account { account, field, fact, .. } => {
                (Key::Account(*account, field.clone()), fact.clone().map(Value::Account))
            }
            Edit::Read { account, place, time } => {
                (Key::Read(*account, place.clone()), Some(Value::Read(*time)))
            }
            Edit::Message(_) | Edit::Redact(_) | Edit::Happening(_) | Edit::Unknown { .. } => return None,
        })
    }

    /// What it says, whether or not for good.
    pub fn plain(&self) -> &Edit {
        match self {
            Edit::Lasting(edit) => edit,
            edit => edit,
        }
    }

    /// What can be set on a channel, as it is set on a registered one.
    pub fn lasting(self) -> Option<Edit> {
        let is_set = matches!(
            self,
            Edit::Setting { .. } | Edit::Mask { .. } | Edit::Metadata { of: Subject::Channel(..), .. }
        );
        is_set.then(|| Edit::Lasting(Box::new(self)))
    }

    /// The channel that this is about, if it is about a channel and nothing else.
    pub fn channel(&self) -> Option<&Folded> {
        match self {
            Edit::Join { channel, .. }
            | Edit::Part { channel, .. }
            | Edit::Kick { channel, .. }
            | Edit::Setting { channel, .. }
            | Edit::Status { channel, .. }
            | Edit::Mask { channel, .. }
            | Edit::Metadata { of: Subject::Channel(channel, _), .. }
            | Edit::Registration { channel, .. } => Some(channel),
            Edit::Lasting(edit) => edit.channel(),
            Edit::Server(_)
            | Edit::Goodbye { .. }
            | Edit::User { .. }
            | Edit::Quit { .. }
            | Edit::Metadata { of: Subject::User(_), .. }
            | Edit::Ban { .. }
            | Edit::Complaint { .. }
            | Edit::Account { .. }
            | Edit::Read { .. }
            | Edit::Message(_)
            | Edit::Redact(_)
            | Edit::Happening(_)
            | Edit::Foreign { .. }
            | Edit::Unknown { .. } => None,
        }
    }

    /// Who sets something, as a source.
    pub fn set_by(&self) -> Option<&str> {
        match self {
            Edit::Setting { by, .. } | Edit::Status { by, .. } | Edit::Mask { by, .. } => Some(by),
            Edit::Lasting(edit) => edit.set_by(),
            _ => None,
        }
    }

    /// The user whom only their own server may write of.
    pub fn owned(&self) -> Option<UserId> {
        match self {
            Edit::User { user, .. }
            | Edit::Quit { user, .. }
            | Edit::Join { user, .. }
            | Edit::Part { user, .. }
            | Edit::Kick { user, .. }
            | Edit::Metadata { of: Subject::User(user), .. } => Some(*user),
            Edit::Message(message) => Some(message.sender),
            Edit::Redact(redaction) => Some(redaction.sender),
            Edit::Happening(happening) => happening.user,
            Edit::Server(_)
            | Edit::Goodbye { .. }
            | Edit::Setting { .. }
            | Edit::Status { .. }
            | Edit::Mask { .. }
            | Edit::Metadata { of: Subject::Channel(..), .. }
            | Edit::Registration { .. }
            | Edit::Lasting(_)
            | Edit::Foreign { .. }
            | Edit::Ban { .. }
            | Edit::Complaint { .. }
            | Edit::Account { .. }
            | Edit::Read { .. }
            | Edit::Unknown { .. } => None,
        }
    }

    /// Whether the line that carries this is nobody's to read, nor to guess at.
    pub fn is_secret(&self) -> bool {
        let holds_secret =
            |fact: &AccountFact| matches!(fact, AccountFact::Password(_) | AccountFact::Device(_));
        match self {
            Edit::Account { fact: Some(fact), .. } => holds_secret(fact),
            // What cannot be read here may be one.
            Edit::Foreign { .. } | Edit::Unknown { .. } => true,
            _ => false,
        }
    }

    /// Whether whoever wrote this had the right to: nobody writes of another server's users.
    pub fn is_rightful(&self, writer: ServerId) -> bool {
        self.owned().is_none_or(|user| user.server() == writer)
    }
}

/// A fact as an edit that writes it, to be sent to a server that lacks it.
pub fn edit_of(key: &Key, value: &Value) -> Option<Edit> {
    let by = String::new;
    Some(match (key.clone(), value.clone()) {
        (Key::Server(_), Value::Server(fact)) => Edit::Server(fact),
        (Key::User(user), Value::User(fact)) => Edit::User { user, fact },
        (Key::Member(channel, user), Value::Member(fact)) => Edit::Join { user, channel, fact },
        (Key::Setting(channel, birth, item), Value::Setting(value)) => {
            Edit::Setting { channel, birth, item, value: Some(value), by: by() }
        }
        (Key::Status(channel, birth, user, letter), Value::Status(fact)) => {
            Edit::Status { channel, birth, user, letter, fact, by: by() }
        }
        (Key::Mask(channel, birth, list, mask), Value::Mask(fact)) => {
            Edit::Mask { channel, birth, list, mask, fact: Some(fact), by: by() }
        }
        (Key::Metadata(of, key), Value::Metadata(value)) => {
            Edit::Metadata { of, key, value: Some(value), by: by() }
        }
        (Key::Registration(channel, claimed, clause), Value::Registration(fact)) => {
            Edit::Registration { channel, claimed, clause, fact: Some(fact), by: by() }
        }
        (Key::Foreign(key), Value::Foreign(line)) => Edit::Foreign { key, is_gone: false, line },
        (Key::Ban(kind, mask), Value::Ban(fact)) => {
            let by = fact.by.clone();
            Edit::Ban { kind, mask, fact: Some(fact), by }
        }
        (Key::Complaint(id), Value::Complaint(fact)) => {
            Edit::Complaint { id, fact: Some(Box::new(fact)), by: by() }
        }
        (Key::Account(account, field), Value::Account(fact)) => {
            Edit::Account { account, field, fact: Some(fact), by: by() }
        }
        (Key::Read(account, place), Value::Read(time)) => Edit::Read { account, place, time },
        _ => return None,
    })
}
