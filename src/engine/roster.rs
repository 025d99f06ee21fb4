//! Who is on a channel and what about, in the words of NAMES and TOPIC.

use std::borrow::Cow;

use super::cap::Cap;
use super::mode;
use super::network::Channel;
use super::turn::Turn;
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::message::fill;
use crate::wire::names::Word;
use crate::wire::numeric::{self, Numeric};

impl Turn<'_> {
    /// What somebody hears of a channel that they have come to.
    pub fn introduce_to(&mut self, channel: &Folded) {
        self.present(channel);
        self.replay(channel);
        self.sync_channel_joined(channel);
    }

    /// The same for a client that has to learn a channel anew on which it was all along: what was said there it has.
    pub fn introduce_anew_to(&mut self, channel: &Folded) {
        self.present(channel);
        self.sync_channel_joined(channel);
    }

    fn present(&mut self, channel: &Folded) {
        self.tell_marker_of(channel);
        self.tell_topic(channel);
        if !self.wants(Cap::NoImplicitNames) && !self.wants(Cap::DraftNoImplicitNames) {
            self.names_of(channel);
        }
    }

    /// 353 as often as it takes, and 366. Strangers see nobody who is invisible.
    pub fn names_of(&mut self, channel: &Folded) {
        if let Some(channel) = self.network().channel(channel) {
            let numerics = self.names(channel);
            self.reply_all(numerics);
        }
    }

    fn names(&self, channel: &Channel) -> Vec<Numeric> {
        let symbol = match () {
            () if channel.has_mode('s') => '@',
            () if channel.has_mode('p') => '*',
            () => '=',
        };
        let (whole_names, all_signs) = (self.wants(Cap::UserhostInNames), self.wants(Cap::MultiPrefix));
        let is_member = channel.has(self.me());
        let (me, veil) = (self.me(), channel.veil());
        let own_status = channel.status(me);
        // Members see here whom they hear of, or they would never be told that somebody has left; operators have WHO.
        let sees_all = !veil.hides_anyone() || !is_member && self.has_right("see-all");
        let in_sight = channel
            .members()
            .filter(|(id, member)| sees_all || *id == me || veil.lets_see(own_status, member.role()));
        let mut user_of = self.network().users_in_order();
        let seen = in_sight.filter_map(|(id, member)| {
            let user = user_of(id)?;
            if !is_member && user.has_mode('i') && !self.has_right("see-all") {
                return None;
            }
            // Most people are plain members, and their nick is all there is to say.
            if member.status.is_empty() && !whole_names {
                return Some(Cow::Borrowed(user.nick.as_str()));
            }
            let mut name = signs(member.status, all_signs);
            name.push_str(&if whole_names { user.prefix() } else { user.nick.to_string() });
            Some(Cow::Owned(name))
        });
        let name = &channel.name;
        let room = self.room_in(&numeric::name_reply(symbol, name, ""));
        let lines = fill(seen, room);
        let numerics = lines.iter().map(|line| numeric::name_reply(symbol, name, line));
        numerics.chain([numeric::end_of_names(name)]).collect()
    }

    /// 332 and 333, where there is a topic.
    pub fn tell_topic(&mut self, channel: &Folded) {
        let known = self.network().channel(channel);
        let Some((name, topic)) = known.and_then(|known| Some((&known.name, known.topic.as_ref()?))) else {
            return;
        };
        let (by, at) = (Word::echo(&topic.by), topic.at.seconds());
        let numerics = [numeric::topic(name, &topic.text), numeric::topic_who_time(name, by, at)];
        self.reply_all(numerics);
    }

    /// What TOPIC answers: the topic, or that there is none.
    pub fn show_topic(&mut self, channel: &Folded) {
        match self.network().channel(channel).filter(|known| known.topic.is_none()) {
            Some(known) => self.reply(numeric::no_topic(&known.name)),
            None => self.tell_topic(channel),
        }
    }

    /// What somebody is on a channel, in signs: all of them to clients that asked, else the highest.
    pub fn signs(&self, status: Letters) -> String {
        if status.is_empty() { String::new() } else { signs(status, self.wants(Cap::MultiPrefix)) }
    }

    /// NAMES of a channel by whatever was given for its name: nobody is on one that cannot be seen.
    pub fn no_names_of(&mut self, name: &str) {
        self.reply(numeric::end_of_names(Word::echo(name)));
    }
}

fn signs(status: Letters, all: bool) -> String {
    match all {
        true => mode::prefixes(status),
        false => mode::prefix(status).map(String::from).unwrap_or_default(),
    }
}
