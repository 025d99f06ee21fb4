//! What people take back: which messages, who did so, and whom that is told.

use std::collections::{BTreeSet, VecDeque};

use super::talk::Target;
use crate::engine::merge::{Dot, Stamp};
use crate::wire::names::UserId;

/// So many are remembered, so that a message that comes after the news that it was taken back is not shown.
pub const REDACTED_MAX: usize = 10_000;

/// A message taken back. The server of whoever does so has judged whether they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    pub sender: UserId,
    /// `nick!user@host` as it was then.
    pub source: String,
    pub account: Option<String>,
    /// Where the message went to; only those hear of this.
    pub target: Target,
    /// The message, and when it was said: who came later has not seen it.
    pub message: Dot,
    pub said: Stamp,
    pub reason: Option<String>,
}

/// The messages that were taken back lately.
#[derive(Clone, Debug, Default)]
pub struct Redacted {
    dots: BTreeSet<Dot>,
    order: VecDeque<Dot>,
}

impl Redacted {
    pub fn has(&self, message: Dot) -> bool {
        self.dots.contains(&message)
    }

    pub fn iter(&self) -> impl Iterator<Item = Dot> {
        self.dots.iter().copied()
    }

    pub(super) fn add(&mut self, message: Dot) {
        if self.dots.insert(message) {
            self.order.push_back(message);
        }
        if self.order.len() > REDACTED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.dots.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use super::super::{Change, Durable, Edit, Message, Network, News, Talk, Verb};
    use crate::engine::merge::{Facts, Origin, Stream};
    use crate::wire::names::{Nick, ServerId};

    #[test]
    fn a_message_that_comes_after_the_news_that_it_was_taken_back_is_no_news() {
        let [hall, barn] = ["1HA", "2HA"].map(|sid| ServerId::parse(sid).unwrap());
        let run = |server| Origin { server, epoch: 1 };
        let nobody = Durable::new(0, Facts::default(), run(barn));
        let mut network = Network::new(barn, nobody, 9, Talk::new(9));
        let user = |server| UserId::numbered(server, 1);
        let (sender, source) = (user(hall), "ann!a@host".to_string());
        let target = Target::User { user: user(barn), nick: Nick::parse("bob", 9).unwrap() };
        let change = |server, edit| {
            let dot = Dot { origin: run(server), stream: Stream::Message, seq: 1 };
            let stamp = Stamp { ms: 7, count: 0, server };
            Arc::new(Change { dot, stamp, over: Vec::new(), after: 0, more: false, edit })
        };
        let message = Message {
            verb: Verb::Privmsg,
            sender,
            source: source.clone(),
            account: None,
            target: target.clone(),
            between: (None, None),
            text: "spam".into(),
            joints: Vec::new(),
            tags: Vec::new(),
            is_closed: false,
            is_blank: false,
        };
        let message = change(hall, Edit::Message(message));
        let (said, account, reason) = (message.stamp, None, None);
        let redaction =
            Redaction { sender: user(barn), source, account, target, message: message.dot, said, reason };
        let redaction = change(barn, Edit::Redact(redaction));
        assert!(matches!(network.apply(&redaction)[..], [News::Redacted(_)]));
        assert_eq!(network.apply(&message), []);
        assert_eq!(
            network.talk().find(message.dot),
            Some(&message),
            "others may have to hear of it from here"
        );
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let dot =
            |seq| Dot { origin: Origin { server: ServerId::LOWEST, epoch: 1 }, stream: Stream::Message, seq };
        let mut redacted = Redacted::default();
        let most = REDACTED_MAX as u64;
        (1..=most).chain([1, most + 1]).for_each(|seq| redacted.add(dot(seq)));
        assert!(!redacted.has(dot(1)) && redacted.has(dot(2)) && redacted.has(dot(most + 1)));
        assert_eq!(redacted.iter().count(), REDACTED_MAX);
    }
}
