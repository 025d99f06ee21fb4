//! What operators are told of while it happens: the topics that each follows, and what is said of them.

use super::effect::Topic;
use super::merge::Stamp;
use super::network::{Change, Edit, Quit};
use super::outgoing::{Outgoing, Spoken};
use super::peer::Passing;
use super::turn::{Outcome, Turn};
use super::{Engine, command};
use crate::config::{TOPICS, TOPICS_USUAL};
use crate::wire::letters::Letters;
use crate::wire::message::{BODY_BYTES_MAX, cut};
use crate::wire::names::{Nick, ServerId, UserId, Word};
use crate::wire::numeric::{self, Words};

/// Something that was done with an operator's rights.
pub struct Deed<'d> {
    pub topic: char,
    /// Who did what to whom.
    pub what: &'d str,
    pub why: Option<&'d str>,
    /// Whose operator wanted it, where that is another server.
    pub from: ServerId,
}

impl Turn<'_> {
    /// Follows what `change` says, as in `kc` or `+k-l`; the usual topics where it says nothing. Nobody follows who is
    /// no operator.
    pub fn follow(&mut self, change: Option<&str>) -> Outcome {
        let mut topics = self.session().topics;
        let (mut on, mut unknown) = (true, None);
        let usual = if topics.is_empty() { TOPICS_USUAL } else { "" };
        for letter in change.filter(|change| !change.is_empty()).unwrap_or(usual).chars() {
            match letter {
                '+' => on = true,
                '-' => on = false,
                '*' => topics = if on { all() } else { Letters::NONE },
                _ if TOPICS.iter().any(|topic| topic.letter == letter) => topics = topics.set(letter, on),
                _ => unknown = unknown.or(Some(letter)),
            }
        }
        self.engine.sessions.set_topics(self.conn, topics);
        match unknown {
            Some(letter) => Err(numeric::unknown_topic(Word::from(letter)).into()),
            None => Ok(()),
        }
    }

    /// What an operator of this class follows from the start.
    pub fn follow_as(&mut self, class: &str) {
        let class = self.config().operator_class.get(class);
        let topics = class.and_then(|class| Letters::parse(&class.topics)).unwrap_or_default();
        self.engine.sessions.set_topics(self.conn, topics);
    }

    /// 008, to whoever follows anything.
    pub fn show_topics(&mut self) {
        let topics = self.session().topics;
        if !topics.is_empty() {
            self.reply(numeric::topics(&Words::from(format!("+{topics}").as_str())));
        }
    }
}

fn all() -> Letters {
    TOPICS.iter().map(|topic| topic.letter).collect()
}

impl Engine {
    /// Writes down what was done with an operator's rights, and tells whoever follows that, on every server.
    pub(super) fn record(&mut self, level: log::Level, deed: &Deed) {
        let (mut entry, mut told) = (deed.what.to_string(), deed.what.to_string());
        if let Some(why) = deed.why {
            entry.push_str(&format!(" why=\"{why}\""));
            told.push_str(&format!(": {why}"));
        }
        if deed.from != self.identity.sid {
            entry.push_str(&format!(" from={}", self.network.server_name(deed.from)));
        }
        self.note(level, Topic::Operator, entry);
        let server = self.identity.name.to_string();
        // Cut here, so that all are told the same.
        let text = cut(&told, BODY_BYTES_MAX / 2 + 128).to_string();
        self.pass(Passing::Told { server, topic: deed.topic, text });
    }

    /// Tells operators here who follow a topic, in the name of the server where it happened.
    pub(super) fn tell_followers(&mut self, topic: char, server: &str, text: &str) {
        let told = self.sessions.followers(topic).filter_map(|session| {
            let user = self
                .network
                .user(session.user()?)
                .filter(|user| user.is_operator() && session.is_operator)?;
            let body = format!(":{server} NOTICE {} :*** {text}", user.nick);
            Some(Outgoing { to: session.conn.into(), spoken: Spoken::new(self.now.wall, body) })
        });
        let told: Vec<Outgoing> = told.collect();
        self.outgoing.extend(told);
    }

    /// As `tell_followers`, of what happened here and is of no interest to other servers.
    pub(super) fn tell_followers_here(&mut self, topic: char, text: &str) {
        let server = self.identity.name.to_string();
        self.tell_followers(topic, &server, text);
    }

    /// What people tell operators of others; every server hears of it by the fact itself.
    pub(super) fn tell_complaint(&mut self, id: Stamp, by: &str) {
        let text = match self.network.complaint(id) {
            Some(complaint) => format!("{}: {}", command::report_in_words(id, complaint), complaint.reason),
            None => format!("{by} closed the report {id}"),
        };
        self.tell_followers_here('p', cut(&text, BODY_BYTES_MAX / 2 + 128));
        self.note(log::Level::Info, Topic::Operator, text);
    }

    /// What happens to people has a letter for those of this server, and its capital for those of others.
    fn tell_of_user(&mut self, user: UserId, topic: char, text: &str) {
        let topic = if user.server() == self.identity.sid { topic } else { topic.to_ascii_uppercase() };
        let server = self.network.server_name(user.server()).to_string();
        self.tell_followers(topic, &server, text);
    }

    /// Whom this change would introduce.
    pub(super) fn newcomer(&self, change: &Change) -> Option<UserId> {
        match &change.edit {
            Edit::User { user, .. } if self.network.user_even_unseen(*user).is_none() => Some(*user),
            _ => None,
        }
    }

    pub(super) fn tell_connected(&mut self, user: UserId) {
        let Some(known) = self.network.user(user) else { return };
        let fact = &known.fact;
        let text = format!(
            "Client connecting: {} ({}@{}) [{}] [{}]",
            known.nick, fact.username, fact.host, fact.address, fact.realname
        );
        self.tell_of_user(user, 'c', &text);
    }

    pub(super) fn tell_exiting(&mut self, quit: &Quit) {
        if quit.split.is_none() {
            let text =
                format!("Client exiting: {} ({}@{}) [{}]", quit.nick, quit.username, quit.host, quit.reason);
            self.tell_of_user(quit.user, 'q', &text);
        }
    }

    pub(super) fn tell_renamed(&mut self, user: UserId, old: &Nick, new: &Nick) {
        let Some(fact) = self.network.user(user).map(|known| &known.fact) else { return };
        let text = format!("Nick change: From {old} to {new} [{}@{}]", fact.username, fact.host);
        self.tell_of_user(user, 'n', &text);
    }

    /// Which topic an entry of the log belongs to, if any: of what admins read there, operators are told too.
    pub(super) fn topic_of_note(level: log::Level, about: Topic) -> Option<char> {
        match about {
            Topic::Link if level <= log::Level::Info => Some('l'),
            Topic::Server if level <= log::Level::Info => Some('s'),
            _ => None,
        }
    }
}
