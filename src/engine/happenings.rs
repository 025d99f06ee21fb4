//! What of that which this server writes is an event of a channel, to be kept for those who ask what happened there.

use std::collections::BTreeMap;

use super::Engine;
use super::effect::Effect;
use super::mode;
use super::network::{
    Channel, Edit, Happening, Leaving, ModeDelta, ModeValue, Neighbour, News, Quit, Role, Setting, User, What,
};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::message::BODY_BYTES_MAX;
use crate::wire::names::{ChannelName, UserId};

/// Whoever has any status sees those whom a channel hides from all others.
const LEAST_STATUS: char = 'v';

/// Parts of one act of MODE that are still to come, by channel and by whom.
pub type HeldDeltas = BTreeMap<(Folded, String), Vec<ModeDelta>>;

/// What somebody is given as they come, for others who are there.
pub fn given(status: Letters, user: UserId) -> Vec<ModeDelta> {
    let value = Some(ModeValue::Member(user));
    status.iter().map(|letter| ModeDelta { on: true, letter, value: value.clone() }).collect()
}

impl Engine {
    /// What of this news is to be kept. It is news of a change that this server has written, and not yet told.
    pub(super) fn happenings_of(&mut self, news: &[News]) -> Vec<Happening> {
        if !self.keeps_history() || !self.config.history.events || self.is_stopping {
            return Vec::new();
        }
        let mut happenings = Vec::new();
        for one in news {
            match one {
                News::Joined { channel, user, status, split: None } => {
                    happenings.extend(self.joining(channel, *user));
                    let is_alone = self.network.channel(channel).is_none_or(|it| it.members_count() < 2);
                    if !is_alone {
                        let by = self.identity.name.to_string();
                        happenings.extend(self.setting_of_modes(channel, &by, &given(*status, *user)));
                    }
                }
                News::Left { channel, user, source, nick, was, how, .. } => {
                    let (source, what) = match how {
                        Leaving::Parted { reason } => {
                            (source.clone(), What::Parted { reason: reason.clone() })
                        }
                        Leaving::Kicked { by, reason } => {
                            (by.clone(), What::Kicked { nick: nick.to_string(), reason: reason.clone() })
                        }
                    };
                    happenings.extend(self.happening(channel, Some((*user, *was)), source, what));
                }
                News::Quit(quit @ Quit { split: None, .. }) => {
                    for (channel, was) in &quit.channels {
                        let what = What::Quit { reason: quit.reason.clone() };
                        let about = Some((quit.user, *was));
                        let happening = self.happening(channel, about, quit.source.clone(), what);
                        happenings.extend(
                            happening
                                .map(|happening| Happening { account: quit.account.clone(), ..happening }),
                        );
                    }
                }
                News::Renamed { who, from, new, .. } => {
                    for channel in &who.on {
                        let role = self.role_of(channel, who.user);
                        let what = What::Renamed { nick: new.to_string() };
                        happenings.extend(self.happening(
                            channel,
                            Some((who.user, role)),
                            from.clone(),
                            what,
                        ));
                    }
                }
                // Those with a status have seen them come.
                News::Silence { channel, user, is_silent: false } => {
                    let is_shown = |known: &Channel| {
                        known.veil().hides_anyone() && known.veil().shows(self.role_of(channel, *user))
                    };
                    let is_news = self.network.channel(channel).is_some_and(is_shown);
                    let joining = self.joining(channel, *user).filter(|_| is_news);
                    happenings.extend(joining.map(|joined| Happening { is_for_plain: true, ..joined }));
                }
                News::Modes { channel, by, deltas, more } => {
                    let key = (channel.clone(), by.clone());
                    self.held_deltas.entry(key.clone()).or_default().extend(deltas.iter().cloned());
                    if !more {
                        let deltas = self.held_deltas.remove(&key).unwrap_or_default();
                        happenings.extend(self.setting_of_modes(channel, by, &deltas));
                    }
                }
                News::Topic { channel, by, topic } => {
                    let text = topic.as_ref().map_or(String::new(), |topic| topic.text.clone());
                    happenings.extend(self.happening(channel, None, by.clone(), What::Topic { text }));
                }
                _ => {}
            }
        }
        happenings
    }

    /// What a channel is called from now on, as an event; of an edit that is about to be written.
    pub(super) fn renaming(&self, edit: &Edit) -> Option<Happening> {
        let is_kept = self.keeps_history() && self.config.history.events;
        let Edit::Setting { channel, value: Some(Setting::Name(to)), by, .. } = edit else { return None };
        let from = self.network.channel(channel)?.name.to_string();
        let what = What::Recalled { from, name: to.name.to_string(), reason: to.reason.clone() };
        self.happening(channel, None, by.clone(), what).filter(|_| is_kept)
    }

    /// What of news that another server's writing has brought is to be kept: one of this server's users has had to give up
    /// a nick.
    pub(super) fn forced_happenings_of(&mut self, news: &[News]) -> Vec<Happening> {
        let is_own = |who: &Neighbour| who.user.server() == self.identity.sid;
        let forced = |one: &&News| matches!(one, News::Renamed { who, .. } if is_own(who));
        let forced: Vec<News> = news.iter().filter(forced).cloned().collect();
        if forced.is_empty() { Vec::new() } else { self.happenings_of(&forced) }
    }

    /// Has what an act of MODE has set kept of which the end never came.
    pub(super) fn write_held_deltas(&mut self) {
        for ((channel, by), deltas) in std::mem::take(&mut self.held_deltas) {
            let happenings = self.setting_of_modes(&channel, &by, &deltas);
            self.write_happenings(happenings);
        }
    }

    /// Has it kept on every server. What one line brings about on many channels costs whoever says it as much as if they
    /// had said something on each.
    pub(super) fn write_happenings(&mut self, happenings: Vec<Happening>) {
        let more = u32::try_from(happenings.len()).unwrap_or(u32::MAX).saturating_sub(1);
        if let Some(conn) = self.voice.filter(|_| more > 0) {
            self.effects.push(Effect::Charge { conn, lines: more });
        }
        happenings.into_iter().for_each(|happening| self.write(Edit::Happening(happening), false));
    }

    fn joining(&self, channel: &Folded, user: UserId) -> Option<Happening> {
        let known = self.network.user(user)?;
        let what = What::Joined { realname: known.fact.realname.clone() };
        self.happening(channel, Some((user, self.role_of(channel, user))), known.prefix(), what)
    }

    fn role_of(&self, channel: &Folded, user: UserId) -> Role {
        let member = self.network.channel(channel).and_then(|channel| channel.member(user));
        member.map(|member| member.role()).unwrap_or_default()
    }

    /// Something that happened to somebody who is this on a channel, or to the channel itself.
    fn happening(
        &self,
        channel: &Folded,
        about: Option<(UserId, Role)>,
        source: String,
        what: What,
    ) -> Option<Happening> {
        let known = self.network.channel(channel);
        let is_shown = |role: Role| known.is_none_or(|channel| channel.veil().shows(role));
        let doer = match (&what, about) {
            (What::Kicked { .. }, _) | (_, None) => {
                self.network.user_called(source.split('!').next().unwrap_or_default())
            }
            (_, Some((user, _))) => self.network.user(user),
        };
        let apart = about.map(|(user, _)| user).or(doer.map(|user| user.id));
        if !self.concerns_anybody(channel, apart) {
            return None;
        }
        let account = doer.and_then(|user: &User| user.account.clone());
        Some(Happening {
            user: about.map(|(user, _)| user),
            account,
            channel: match known {
                Some(channel) => channel.made_as.clone(),
                None => ChannelName::from_peer(channel.as_str())?,
            },
            least: about.filter(|(_, role)| !is_shown(*role)).map(|_| LEAST_STATUS),
            // Of a channel that nobody is on any more it cannot be told.
            is_closed: known.is_none_or(Channel::is_closed),
            is_for_plain: false,
            source,
            what,
        })
    }

    /// Whether anybody beside whoever did it could ever want to know: whoever makes channels and leaves them would fill
    /// every disk.
    fn concerns_anybody(&self, channel: &Folded, apart: Option<UserId>) -> bool {
        self.network.registrations().get(channel).is_some()
            || self.network.channel(channel).is_some_and(|known| match apart {
                Some(_) => known.has_others_than(apart),
                // A server sets what is set on every channel that somebody makes.
                None => known.members_count() > 1,
            })
    }

    fn setting_of_modes(&self, channel: &Folded, by: &str, deltas: &[ModeDelta]) -> Vec<Happening> {
        let Some(known) = self.network.channel(channel) else { return Vec::new() };
        let room = BODY_BYTES_MAX.saturating_sub(format!(":{by} MODE {} ", known.name).len());
        // A key is for those who were there; what it was may open another channel, or this one again.
        let without_key = |(on, letter, value): (bool, char, String)| {
            let value = if letter == 'k' { "*".to_string() } else { value };
            (on, letter, value)
        };
        let words = deltas.iter().filter_map(|delta| self.word_of(delta)).map(without_key);
        let lines = mode::lines(words, self.config.limits.modes_per_line, room).into_iter();
        lines.filter_map(|line| self.happening(channel, None, by.to_string(), What::Modes { line })).collect()
    }

    /// A letter of a line of MODE, with its value as clients hear it.
    pub(super) fn word_of(&self, delta: &ModeDelta) -> Option<(bool, char, String)> {
        let is_limit = mode::channel_mode(delta.letter).is_some_and(|mode| mode.kind == mode::Kind::Limit);
        let value = match &delta.value {
            // A limit is taken away without saying which it was; a key is not.
            _ if is_limit && !delta.on => String::new(),
            None => String::new(),
            Some(ModeValue::Text(text)) => text.clone(),
            Some(ModeValue::Member(user)) => self.network.user(*user)?.nick.to_string(),
        };
        Some((delta.on, delta.letter, value))
    }
}
