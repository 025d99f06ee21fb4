//! What one server may have another do that alone may do it: how each is written, read and done.

use crate::engine::event::ConnId;
use crate::engine::follow::Deed;
use crate::engine::merge::Stamp;
use crate::engine::network::Edit;
use crate::engine::peer::{Guise, Passing};
use crate::engine::turn::{Outcome, Turn};
use crate::engine::{Engine, command};
use crate::wire::fold::Folded;
use crate::wire::message::Draft;
use crate::wire::names::{ChannelName, Nick, ServerId, ServerName, UserId, Word};
use crate::wire::numeric;

/// Something that only one server may do. `by` is the nick!user@host of the person who wants it.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Take somebody off a channel: the very join that is named, and no later one.
    Kick { channel: Folded, user: UserId, joined: Stamp, by: String, reason: String },
    /// End a user's connection.
    Kill { user: UserId, by: String, reason: String },
    /// Let somebody past a channel's key, limit and invite-only mode, and have everyone told who wants to know.
    Invite { user: UserId, channel: ChannelName, birth: Stamp, by: String },
    /// End a connection that goes by the nick that was claimed then, by the wish of whose nick it is.
    Ghost { user: UserId, claimed: Stamp, by: String },
    /// Rename somebody who goes by the nick that was claimed then.
    Nick { user: UserId, claimed: Stamp, nick: Nick, by: String },
    /// Bring somebody to a channel, whatever bars them from it.
    Join { user: UserId, channel: ChannelName, by: String },
    /// Have somebody leave a channel: the very join that is named, and no later one.
    Part { user: UserId, channel: Folded, joined: Stamp, by: String, reason: Option<String> },
    /// Call a server, and tell the operator who wanted it what comes of it.
    Call { server: ServerName, user: UserId, by: String },
    /// Cut the link to a neighbour.
    Cut { peer: ServerId, by: String, reason: String },
    /// Show somebody otherwise than they came.
    Guise { user: UserId, guise: Guise, by: String },
    /// Say something to somebody in the name of the server that wants it said.
    Tell { user: UserId, text: String },
    /// Say whether somebody may write to a person who keeps people away.
    Write { user: UserId, by: UserId },
}

impl Act {
    pub fn write(&self, draft: Draft) -> Draft {
        match self {
            Act::Kick { channel, user, joined, by, reason } => {
                draft.param("KICK").param(channel).param(user).param(joined).param(by).trailing(reason)
            }
            Act::Kill { user, by, reason } => draft.param("KILL").param(user).param(by).trailing(reason),
            Act::Invite { user, channel, birth, by } => {
                draft.param("INVITE").param(user).param(channel).param(birth).param(by)
            }
            Act::Ghost { user, claimed, by } => draft.param("GHOST").param(user).param(claimed).param(by),
            Act::Nick { user, claimed, nick, by } => {
                draft.param("NICK").param(user).param(claimed).param(nick).param(by)
            }
            Act::Join { user, channel, by } => draft.param("JOIN").param(user).param(channel).param(by),
            Act::Part { user, channel, joined, by, reason } => {
                let draft = draft.param("PART").param(user).param(channel).param(joined).param(by);
                match reason {
                    Some(reason) => draft.trailing(reason),
                    None => draft,
                }
            }
            Act::Call { server, user, by } => draft.param("CALL").param(server).param(user).param(by),
            Act::Guise { user, guise, by } => guise.write(draft, *user, by),
            Act::Write { user, by } => draft.param("WRITE").param(user).param(by),
            Act::Tell { user, text } => draft.param("TELL").param(user).trailing(text),
            Act::Cut { peer, by, reason } => draft.param("CUT").param(peer).param(by).trailing(reason),
        }
    }

    pub fn read(params: &[&str]) -> Option<Act> {
        Some(match *params {
            ["KICK", channel, user, joined, by, reason, ..] => Act::Kick {
                channel: ChannelName::from_peer(channel)?.folded(),
                user: UserId::parse(user)?,
                joined: Stamp::parse(joined)?,
                by: by.to_string(),
                reason: reason.to_string(),
            },
            ["KILL", user, by, reason, ..] => {
                Act::Kill { user: UserId::parse(user)?, by: by.to_string(), reason: reason.to_string() }
            }
            ["INVITE", user, channel, birth, by, ..] => Act::Invite {
                user: UserId::parse(user)?,
                channel: ChannelName::from_peer(channel)?,
                birth: Stamp::parse(birth)?,
                by: by.to_string(),
            },
            ["GHOST", user, claimed, by, ..] => {
                Act::Ghost { user: UserId::parse(user)?, claimed: Stamp::parse(claimed)?, by: by.to_string() }
            }
            ["NICK", user, claimed, nick, by, ..] => Act::Nick {
                user: UserId::parse(user)?,
                claimed: Stamp::parse(claimed)?,
                nick: Nick::from_peer(nick)?,
                by: by.to_string(),
            },
            ["JOIN", user, channel, by, ..] => Act::Join {
                user: UserId::parse(user)?,
                channel: ChannelName::from_peer(channel)?,
                by: by.to_string(),
            },
            ["PART", user, channel, joined, by, ref reason @ ..] => Act::Part {
                user: UserId::parse(user)?,
                channel: ChannelName::from_peer(channel)?.folded(),
                joined: Stamp::parse(joined)?,
                by: by.to_string(),
                reason: reason.first().map(|reason| reason.to_string()),
            },
            ["CALL", server, user, by, ..] => Act::Call {
                server: ServerName::parse(server)?,
                user: UserId::parse(user)?,
                by: by.to_string(),
            },
            ["WRITE", user, by, ..] => Act::Write { user: UserId::parse(user)?, by: UserId::parse(by)? },
            ["TELL", user, text, ..] => Act::Tell { user: UserId::parse(user)?, text: text.to_string() },
            [name @ ("HOST" | "USERNAME" | "REALNAME"), user, by, value, ..] => {
                let guise = Guise::read(name, value)?;
                Act::Guise { user: UserId::parse(user)?, guise, by: by.to_string() }
            }
            ["CUT", peer, by, reason, ..] => {
                Act::Cut { peer: ServerId::parse(peer)?, by: by.to_string(), reason: reason.to_string() }
            }
            _ => return None,
        })
    }
}

impl Engine {
    /// Does what another server, or this one, asked of this one. Whom it was about and who has gone meanwhile is no
    /// reason for a no: that they should go has come true.
    pub(in crate::engine) fn act(&mut self, from: ServerId, act: Act) -> Outcome {
        match act {
            Act::Kick { channel, user, joined, by, reason } => {
                if self.has_joined(&channel, user, joined) {
                    self.write(Edit::Kick { user, channel, by, reason }, false);
                }
            }
            Act::Kill { user, by, reason } => self.kill(from, user, &by, &reason),
            Act::Invite { user, channel, birth, by } => {
                let person = self.sessions.person_mut(user).ok_or_else(|| numeric::no_such_nick(user))?;
                person.invited.insert(channel.folded(), birth);
                self.pass(Passing::Invite { by, user, channel });
            }
            Act::Ghost { user, claimed, by } => {
                let is_meant = self.network.user(user).is_some_and(|known| known.fact.claimed == claimed);
                if is_meant {
                    let by = by.split('!').next().unwrap_or_default();
                    self.end_person(user, &format!("GHOST by {by}"));
                }
            }
            Act::Nick { user, claimed, nick, by } => {
                let known = self.network.user(user).filter(|known| known.fact.claimed == claimed);
                if known.is_none() {
                    // They go by another name now, and it was not this person by that name who was meant.
                    return Err(numeric::no_such_nick(user).into());
                }
                let whom = self.shown(user);
                match self.conn_of(user) {
                    Ok(conn) => command::rename(&mut Turn::new(self, conn), nick.as_str())?,
                    Err(_) => self.rename_unattended(user, &nick)?,
                }
                self.record_forced(from, 'v', &format!("{by} renamed {whom} to {nick}"), None);
                self.tell_forced(user, &by, &whom, &format!("An operator changed your nick to {nick}"));
            }
            Act::Join { user, channel, by } => {
                let whom = self.shown(user);
                match self.conn_of(user) {
                    Ok(conn) => command::bring(&mut Turn::new(self, conn), channel.as_str())?,
                    Err(_) => self.bring_unattended(user, &channel)?,
                }
                self.record_forced(from, 'v', &format!("{by} brought {whom} to {channel}"), None);
                self.tell_forced(user, &by, &whom, &format!("An operator brought you to {channel}"));
            }
            Act::Part { user, channel, joined, by, reason } => {
                if self.has_joined(&channel, user, joined) {
                    let whom = self.shown(user);
                    let name = self.network.channel(&channel).map(|known| known.name.clone());
                    let shown = name.map_or(channel.to_string(), |name| name.to_string());
                    self.write(Edit::Part { user, channel, reason: reason.clone() }, false);
                    let what = format!("{by} removed {whom} from {shown}");
                    self.record_forced(from, 'v', &what, reason.as_deref());
                    self.tell_forced(user, &by, &whom, &format!("An operator had you leave {shown}"));
                }
            }
            Act::Guise { user, guise, by } => self.put_on(from, user, guise, &by)?,
            Act::Write { user, by } => self.let_write(user, by)?,
            Act::Tell { user, text } => {
                let conn = self.conn_of(user)?;
                Turn::new(self, conn).notice_from(from, &text);
            }
            Act::Call { server, user, by } => {
                let address = self.call_now(server.as_str(), user).map_err(|fault| fault.refusal(&server))?;
                self.record_forced(from, 'l', &format!("{by} has called {server} at={address}"), None);
            }
            Act::Cut { peer, by, reason } => {
                let name = Word::echo(self.network.server_name(peer));
                let why = format!("SQUIT by {}: {reason}", by.split('!').next().unwrap_or_default());
                if !self.drop_link(peer, &why) {
                    let text = format!("{} has no link to {name} any more", self.identity.name);
                    return Err(numeric::unknown_error(Word::echo("SQUIT"), &text).into());
                }
                self.record_forced(from, 'l', &format!("{by} cut the link to {name}"), Some(&reason));
            }
        }
        Ok(())
    }

    fn kill(&mut self, from: ServerId, user: UserId, by: &str, reason: &str) {
        let conns = self.sessions.conns_of(user).to_vec();
        let killer = by.split('!').next().unwrap_or_default();
        if let Some(killed) = self.network.user(user) {
            let body = format!(":{by} KILL {} :{reason}", killed.nick);
            let spoken = self.spoken_from(by, body);
            self.say(conns, spoken);
        }
        let what = format!("{by} killed {}", self.shown(user));
        self.record_forced(from, 'k', &what, Some(reason));
        self.end_person(user, &format!("Killed ({killer} ({reason}))"));
    }

    /// Whether somebody is still where they were when it was asked for.
    fn has_joined(&self, channel: &Folded, user: UserId, joined: Stamp) -> bool {
        let member = self.network.channel(channel).and_then(|channel| channel.member(user));
        member.is_some_and(|member| member.fact.joined == joined)
    }

    /// A connection of somebody who is to be here, and may have gone or be here without one.
    pub(super) fn conn_of(&self, user: UserId) -> Result<ConnId, numeric::Numeric> {
        self.sessions.conns_of(user).first().copied().ok_or_else(|| numeric::no_such_nick(user))
    }

    fn shown(&self, user: UserId) -> String {
        self.network.user(user).map_or(user.to_string(), |user| user.prefix())
    }

    /// Everything done by force is on record where it is done.
    pub(super) fn record_forced(&mut self, from: ServerId, topic: char, what: &str, why: Option<&str>) {
        self.record(log::Level::Info, &Deed { topic, what, why, from });
    }

    /// Whoever has not done it to themselves is told what happened to them.
    fn tell_forced(&mut self, user: UserId, by: &str, whom: &str, text: &str) {
        if let Ok(conn) = self.conn_of(user)
            && by != whom
        {
            Turn::new(self, conn).notice(text);
        }
    }
}
