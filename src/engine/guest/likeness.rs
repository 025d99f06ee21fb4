//! What a guest's client knows of the person that it is, by the time that their home is lost; and what it is told when that
//! is otherwise.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Engine;
use crate::engine::command::show_modes;
use crate::engine::event::ConnId;
use crate::engine::merge::Stamp;
use crate::engine::network::{Channel, Metadata, UserFact};
use crate::engine::turn::Turn;
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::{ChannelName, Nick, UserId};
use crate::wire::time::Timestamp;

/// A person as they were.
#[derive(Clone, Debug)]
pub struct Likeness {
    pub fact: UserFact,
    /// What they were called.
    pub nick: Nick,
    pub channels: Vec<Room>,
    pub since: Timestamp,
    /// What their server is called.
    home: String,
}

/// A channel as somebody on it saw it.
#[derive(Clone, Debug)]
pub struct Room {
    pub id: Folded,
    pub name: ChannelName,
    /// The name that it was made with, and when.
    pub made_as: ChannelName,
    pub birth: Stamp,
    /// What they were there.
    pub status: Letters,
    topic: Option<String>,
    modes: BTreeMap<char, Option<String>>,
    metadata: Metadata,
    members: BTreeMap<UserId, Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    nick: Nick,
    prefix: String,
    status: Letters,
    metadata: Metadata,
}

impl Engine {
    /// Somebody as they are, seen or not.
    pub(super) fn likeness(&self, user: UserId) -> Option<Likeness> {
        let known = self.network.user_even_unseen(user)?;
        let channels = known.channels.iter().filter_map(|id| self.network.channel(id));
        Some(Likeness {
            fact: known.fact.clone(),
            nick: known.nick.clone(),
            channels: channels.map(|channel| self.room_as_seen(channel, user)).collect(),
            since: self.now.wall,
            home: self.network.server_name(user.server()).to_string(),
        })
    }

    fn room_as_seen(&self, channel: &Channel, viewer: UserId) -> Room {
        let members = channel.members().filter(|(member, _)| channel.lets_see(viewer, *member));
        let members = members.filter_map(|(member, as_member)| {
            let known = self.network.user(member)?;
            let seen = Seen {
                nick: known.nick.clone(),
                prefix: known.prefix(),
                status: as_member.status,
                metadata: known.metadata.clone(),
            };
            Some((member, seen))
        });
        Room {
            id: channel.id(),
            name: channel.name.clone(),
            made_as: channel.made_as.clone(),
            birth: channel.birth,
            status: channel.status(viewer),
            topic: channel.topic.as_ref().map(|topic| topic.text.clone()),
            modes: channel.modes.clone(),
            metadata: channel.metadata.clone(),
            members: members.collect(),
        }
    }

    /// The same of somebody else on those of the channels that they are on as well; of the others as it was.
    pub(super) fn likeness_where_shared(&self, before: Likeness, user: UserId) -> Likeness {
        let Some(known) = self.network.user(user) else { return before };
        let room_now = |room: Room| {
            let channel = known.channels.get(&room.id).and_then(|id| self.network.channel(id));
            channel.map(|channel| self.room_as_seen(channel, user)).unwrap_or(room)
        };
        Likeness {
            fact: known.fact.clone(),
            nick: known.nick.clone(),
            channels: before.channels.into_iter().map(room_now).collect(),
            since: before.since,
            home: before.home,
        }
    }

    /// Tells a client what is otherwise than it was, for somebody who was another user of the same name then.
    /// Not `whole`: only of channels that they are on now as they were then.
    pub(super) fn tell_unlike(
        &mut self,
        conn: ConnId,
        before: &Likeness,
        (formers, user): (&[UserId], UserId),
        whole: bool,
    ) {
        let Some(known) = self.network.user(user) else { return };
        let (nick, prefix, known_modes) = (known.nick.clone(), known.prefix(), known.fact.modes);
        let as_now = |member: UserId| if formers.contains(&member) { user } else { member };
        let now: BTreeMap<Folded, Room> = known
            .channels
            .iter()
            .filter_map(|id| self.network.channel(id))
            .map(|channel| (channel.id(), self.room_as_seen(channel, user)))
            .collect();
        // Those who have gone, first: their nicks may be others' by now.
        let (mut quits, mut lines) = (Vec::new(), Vec::new());
        let mut gone = BTreeSet::new();
        let mut renamed = BTreeSet::new();
        let why = format!("{} {}", self.identity.name, before.home);
        for room in before.channels.iter().filter(|room| whole || now.contains_key(&room.id)) {
            for (member, seen) in &room.members {
                let member = as_now(*member);
                let is_here = now.get(&room.id).is_some_and(|now| now.members.contains_key(&member));
                match self.network.user(member) {
                    None => {
                        if gone.insert(member) {
                            quits.push(format!(":{} QUIT :{why}", seen.prefix));
                        }
                    }
                    Some(_) if !is_here && member != user => {
                        lines.push(format!(":{} PART {}", seen.prefix, room.name));
                    }
                    Some(known) if known.nick != seen.nick => {
                        if renamed.insert(member) {
                            lines.push(format!(":{} NICK {}", seen.prefix, known.nick));
                        }
                    }
                    Some(_) => {}
                }
            }
        }
        if before.nick != nick && !renamed.contains(&user) {
            let old = prefix.replacen(nick.as_str(), before.nick.as_str(), 1);
            lines.push(format!(":{old} NICK {nick}"));
        }
        if before.fact.modes != known_modes {
            let lost: String = before.fact.modes.iter().filter(|letter| !known_modes.has(*letter)).collect();
            let gained: String =
                known_modes.iter().filter(|letter| !before.fact.modes.has(*letter)).collect();
            for (sign, letters) in
                [('+', gained), ('-', lost)].into_iter().filter(|(_, letters)| !letters.is_empty())
            {
                lines.push(format!(":{prefix} MODE {nick} {sign}{letters}"));
            }
        }
        for line in quits.into_iter().chain(lines) {
            self.say(vec![conn], self.spoken(line));
        }
        for (id, room) in &now {
            let Some(was) = before.channels.iter().find(|was| was.id == *id) else {
                if !whole {
                    continue;
                }
                self.say_joined(id, user, vec![conn], None);
                Turn::new(self, conn).introduce_anew_to(id);
                continue;
            };
            self.tell_unlike_room(conn, was, room, (formers, user));
        }
    }

    fn tell_unlike_room(
        &mut self,
        conn: ConnId,
        was: &Room,
        room: &Room,
        (formers, user): (&[UserId], UserId),
    ) {
        let server = self.identity.name.to_string();
        for (member, seen) in &room.members {
            let before = was.members.get(member);
            let as_former = || formers.iter().find_map(|former| was.members.get(former));
            let before = before.or_else(|| as_former().filter(|_| *member == user));
            match before {
                None => self.say_joined(&room.id, *member, vec![conn], None),
                Some(before) if *member != user => {
                    self.tell_said_otherwise_of_user(conn, *member, &before.metadata);
                }
                Some(_) => {}
            }
            let before = before.map_or(Letters::NONE, |before| before.status);
            let gained = seen.status.iter().filter(|letter| !before.has(*letter)).map(|letter| ('+', letter));
            let lost = before.iter().filter(|letter| !seen.status.has(*letter)).map(|letter| ('-', letter));
            for (sign, letter) in gained.chain(lost) {
                let line = format!(":{server} MODE {} {sign}{letter} {}", room.name, seen.nick);
                self.say(vec![conn], self.spoken(line));
            }
        }
        if was.topic != room.topic {
            let topic = room.topic.as_deref().unwrap_or_default();
            self.say(vec![conn], self.spoken(format!(":{server} TOPIC {} :{topic}", room.name)));
        }
        self.tell_said_otherwise_of_channel(conn, &room.id, &was.metadata);
        if was.modes != room.modes
            && let Some(channel) = self.network.channel(&room.id).cloned()
        {
            show_modes(&mut Turn::new(self, conn), &channel);
        }
    }
}
