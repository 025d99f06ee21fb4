//! News, put into words for each client that should hear it.

use std::collections::BTreeMap;

use super::Engine;
use super::audience::Witnesses;
use super::cap::Cap;
use super::effect::Topic;
use super::event::ConnId;
use super::happenings::given;
use super::mode;
use super::network::{Channel, Edit, Field, Leaving, ModeDelta, Neighbour, News, Quit, Split, User};
use super::outgoing::{Audience, Outgoing, Spoken};
use super::sessions::Ears;
use super::whowas::Was;
use crate::defect::{Defect, is_planted};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::message::BODY_BYTES_MAX;
use crate::wire::names::{Nick, UserId};
use crate::wire::numeric;

/// Parts of one act of MODE that are still to be told as one line.
pub type HeldModes = BTreeMap<(Folded, String), Vec<ModeDelta>>;

/// Everyone who is named, in one order.
pub fn each_once(mut conns: Vec<ConnId>) -> Vec<ConnId> {
    conns.sort_unstable();
    conns.dedup();
    conns
}

impl Engine {
    pub(super) fn tell(&mut self, news: Vec<News>) {
        let mut news = news.into_iter().peekable();
        while let Some(one) = news.next() {
            self.monitors_hear(&one);
            self.seats_hear(&one);
            match one {
                News::Quit(quit) if quit.split.is_some() && is_planted(Defect::SplitUntold) => {}
                News::Quit(quit) => match quit.split.clone() {
                    None => {
                        let account = quit.account.as_ref().and_then(|name| self.network.account_named(name));
                        if let Some(account) = account.map(|account| account.id) {
                            self.former.note_source(&quit.source, account);
                        }
                        let hears = self.quit_audience(&quit);
                        self.tell_quit(&quit, hears.into(), None)
                    }
                    Some(split) => {
                        let mut quits = vec![quit];
                        while let Some(News::Quit(next)) = news.next_if(
                            |next| matches!(next, News::Quit(quit) if quit.split.as_ref() == Some(&split)),
                        ) {
                            quits.push(next);
                        }
                        self.tell_split(&split, &quits);
                    }
                },
                News::Joined { channel, user, status, split: None } => {
                    self.note_arrival(&channel);
                    self.tell_joined(&channel, user, status, None)
                }
                News::Joined { channel, user, status, split: Some(split) } => {
                    let mut joins = vec![(channel, user, status)];
                    let is_same = |next: &News| matches!(next, News::Joined { split: Some(other), .. } if *other == split);
                    while let Some(News::Joined { channel, user, status, .. }) = news.next_if(is_same) {
                        joins.push((channel, user, status));
                    }
                    self.tell_heal(&split, joins);
                }
                News::Renamed { who, from, old, new } => {
                    self.touch_nick_of(who.user);
                    let user = who.user;
                    self.remember(user, old.as_str());
                    self.tell_renamed(user, &old, &new);
                    if new == Nick::from(user) {
                        let why = numeric::nick_saved(user).line(self.identity.name.as_str(), old.as_str());
                        self.say(self.sessions.conns_of(user).to_vec(), self.spoken(why));
                    }
                    let hears = self.neighbours(&who, |_| true);
                    self.say(hears, self.spoken_by(user, format!(":{from} NICK {new}")));
                }
                News::Succeeds { from, to, on } => self.note_succession(from, to, on),
                News::Succeeded { to, on } => self.tell_succeeded(to, &on),
                News::HostChanged { who, from } => self.tell_host_changed(&who, &from),
                News::RealnameChanged { who } => {
                    let user = who.user;
                    let Some(known) = self.network.user(user) else { continue };
                    let body = format!(":{} SETNAME :{}", known.prefix(), known.fact.realname);
                    let hears = self.acquaintances(&who, Cap::Setname);
                    self.say(hears, self.spoken_by(user, body));
                }
                News::AwayChanged { who } => {
                    let user = who.user;
                    let mut hears = self.acquaintances(&who, Cap::AwayNotify);
                    let own = self.sessions.conns_of(user);
                    hears.retain(|conn| !own.contains(conn));
                    self.say_away(user, hears, None);
                    self.tell_own_away(user);
                }
                News::AccountChanged { who, before } => {
                    let user = who.user;
                    let account = before.as_ref().and_then(|name| self.network.account_named(name));
                    if let Some(account) = account.map(|account| account.id) {
                        self.former.note(user, account);
                        if let Some(source) = self.network.user(user).map(|user| user.prefix()) {
                            self.former.note_source(&source, account);
                        }
                    }
                    self.touch_nick_of(user);
                    self.tell_own_account(user);
                    let Some(known) = self.network.user(user) else { continue };
                    let account = known.account.as_deref().unwrap_or("*");
                    // Whoever logs in was nobody until then.
                    let spoken = self.spoken(format!(":{} ACCOUNT {account}", known.prefix()));
                    let spoken = spoken.tagged_if("account", before.as_deref());
                    let spoken = spoken.tagged_if("bot", known.bot_tag());
                    let hears = self.acquaintances(&who, Cap::AccountNotify);
                    self.say(hears, spoken);
                }
                // Of no interest but to those who watch for it.
                News::Arrived { user, .. } => self.touch_nick_of(user),
                News::RegistrationLost { channel, account } => {
                    self.tell_registration_lost(channel.as_str(), account);
                }
                News::SaidOfUser { who, key, value } => self.tell_said_of_user(&who, &key, value.as_deref()),
                News::SaidOfChannel { channel, .. } if self.mending.contains_key(&channel) => {}
                News::SaidOfChannel { channel, key, value } => {
                    self.tell_said_of_channel(&channel, &key, value.as_deref());
                }
                News::ModesChanged { user, before } => self.tell_user_modes(user, before),
                News::Left { how: Leaving::Kicked { .. }, user, .. }
                    if is_planted(Defect::KickUntold) && user.server() != self.identity.sid => {}
                News::Left { channel, shown, user, source, nick, was, how } => {
                    let spoken = match how {
                        Leaving::Parted { reason } => {
                            let reason = reason.map_or(String::new(), |reason| format!(" :{reason}"));
                            self.spoken_by(user, format!(":{source} PART {shown}{reason}"))
                        }
                        Leaving::Kicked { by, reason } => {
                            self.spoken_from(&by, format!(":{by} KICK {shown} {nick} :{reason}"))
                        }
                    };
                    let mut hears = self.members_who_see(&channel, user, was);
                    hears.extend(self.sessions.conns_of(user));
                    self.say(hears, spoken);
                }
                News::Silence { channel, user, is_silent } => self.tell_silence(&channel, user, is_silent),
                News::Modes { channel, by, .. } | News::Topic { channel, by, .. }
                    if self.is_told_later(&channel, &by) => {}
                News::Modes { channel, by, deltas, more } => {
                    let held = self.held_modes.entry((channel.clone(), by.clone())).or_default();
                    held.extend(deltas);
                    if !more {
                        let deltas =
                            self.held_modes.remove(&(channel.clone(), by.clone())).unwrap_or_default();
                        self.tell_turnover(&channel, &by, &deltas);
                    }
                }
                News::ChannelRenamed { channel, from, by, reason } => {
                    self.tell_channel_renamed(&channel, &from, &by, &reason)
                }
                News::Topic { channel, by, topic } => {
                    let Some(known) = self.network.channel(&channel) else { continue };
                    let text = topic.map_or(String::new(), |topic| topic.text);
                    let spoken = self.spoken_from(&by, format!(":{by} TOPIC {} :{text}", known.name));
                    self.say(self.members_here(known), spoken);
                }
                News::Said(change) => self.tell_message(&change),
                News::Happened(change) => {
                    // Of a server that is out of sight nothing was told as it happened.
                    let server = change.dot.origin.server;
                    let is_unseen = || !self.network.servers().any(|known| known.id == server);
                    if change.dot.origin != self.origin() && (is_unseen() || self.is_from_before(&change)) {
                        self.note_late(&change);
                    }
                }
                News::Redacted(change) => {
                    if let Edit::Redact(redaction) = &change.edit {
                        self.tell_redaction(&change, redaction);
                    }
                }
                News::Account { account, field, by, name, is_there, was_there } => {
                    if let Field::Metadata(key) = &field {
                        self.forget_in_profile(account, key);
                    }
                    let what = match (was_there, is_there) {
                        (false, true) => "was registered".to_string(),
                        (true, false) => "was dropped".to_string(),
                        (true, true) => format!("was changed what={field}"),
                        // Not all of it has come yet, or the rest of it goes.
                        (false, false) => continue,
                    };
                    let text = format!("account {name} {what} id={account} by={by}");
                    self.note(log::Level::Info, Topic::Account, text);
                }
                News::Ban { kind, mask, by, before, after } => {
                    self.tell_ban(kind, &mask, &by, before.as_ref(), after.as_ref());
                }
                News::Bans { set, lifted } => {
                    self.tally.bans.set += set as u64;
                    self.tally.bans.lifted += lifted as u64;
                    let text =
                        format!("bans set or lifted out of sight are in force set={set} lifted={lifted}");
                    self.note(log::Level::Info, Topic::Operator, text);
                }
                News::Complaint { id, by } => self.tell_complaint(id, &by),
                News::Read { account, place } => self.tell_read(account, &place),
                News::ServerCame { server } => {
                    let name = self.network.server_name(server).to_string();
                    self.note(
                        log::Level::Info,
                        Topic::Link,
                        format!("{name} is part of the network sid={server}"),
                    );
                }
                News::ServerWent { server, .. } if server == self.identity.sid => {}
                News::ServerWent { server, name } if self.network.server(server).is_none() => {
                    self.note(log::Level::Info, Topic::Link, format!("{name} has stopped sid={server}"));
                }
                News::ServerWent { server, name } => {
                    self.note(log::Level::Warn, Topic::Link, format!("{name} is out of reach sid={server}"));
                }
            }
        }
        self.settle_monitors();
        self.rename_channels();
    }

    /// Who changes hands is noted; watchers are told before the first thing that presumes they know.
    fn monitors_hear(&mut self, news: &News) {
        match news {
            // Each of them is noted as it is told.
            News::Quit(_) => {}
            News::Succeeds { from, to, .. } => self.monitors.succeed(*from, *to),
            News::Arrived { nick, .. } => self.monitors.unsettle(nick),
            News::Renamed { old, new, .. } => {
                self.monitors.unsettle(old);
                self.monitors.unsettle(new);
            }
            News::Joined { user, .. } | News::Left { user, .. } => {
                self.settle_monitors();
                self.note_meeting(*user);
            }
            News::ModesChanged { user, .. } => {
                self.settle_monitors();
                self.note_hiding(*user);
            }
            _ => self.settle_monitors(),
        }
    }

    /// Tells what was held back for more that never came.
    pub(super) fn tell_held_modes(&mut self) {
        for ((channel, by), deltas) in std::mem::take(&mut self.held_modes) {
            self.tell_turnover(&channel, &by, &deltas);
        }
    }

    // Who hears.

    pub(super) fn say(&mut self, to: impl Into<Audience>, spoken: Spoken) {
        let to = to.into();
        if !to.is_empty() {
            self.outgoing.push(Outgoing { to, spoken });
        }
    }

    /// Everyone on a channel who is connected here.
    pub(super) fn members_here(&self, channel: &Channel) -> Vec<ConnId> {
        self.members_here_where(channel, |_, _, _| true)
    }

    pub(super) fn members_here_where(
        &self,
        channel: &Channel,
        which: impl Fn(UserId, &Ears, Letters) -> bool,
    ) -> Vec<ConnId> {
        let mut conns = Vec::with_capacity(channel.members_count());
        for (user, member) in channel.members_of(self.identity.sid) {
            if let Some(ears) = self.sessions.ears_of(user)
                && which(user, ears, member.status)
            {
                conns.extend(ears.conns());
            }
        }
        conns
    }

    /// Everyone connected here who has asked for something to be told of people, and knows this one from a channel or
    /// watches them; and the user's own connection.
    pub(super) fn acquaintances(&self, who: &Neighbour, cap: Cap) -> Vec<ConnId> {
        let mut hears = self.neighbours(who, |conn| self.sessions.caps_of(conn).has(cap));
        hears.extend(self.network.user(who.user).into_iter().flat_map(|user| self.watchers_of(user, cap)));
        each_once(hears)
    }

    /// A user's own connection, and everyone connected here who knows them from a channel.
    pub(super) fn neighbours(&self, who: &Neighbour, which: impl Fn(ConnId) -> bool) -> Vec<ConnId> {
        let mut hears = self.sessions.conns_of(who.user).to_vec();
        for name in &who.on {
            hears.extend(self.members_who_see_member(name, who.user));
        }
        hears.retain(|conn| which(*conn));
        each_once(hears)
    }

    // What they hear.

    pub(super) fn spoken(&self, body: String) -> Spoken {
        Spoken::new(self.now.wall, body)
    }

    pub(super) fn spoken_by(&self, user: UserId, body: String) -> Spoken {
        let known = self.network.user(user);
        let account = known.and_then(|user| user.account.as_deref());
        let spoken = self.spoken(body).tagged_if("account", account);
        let spoken = spoken.tagged_if("draft/oper", known.and_then(User::operator_tag));
        spoken.tagged_if("bot", known.and_then(User::bot_tag))
    }

    /// A line from whoever a source names: a user who may be gone by now, or a server.
    pub(super) fn spoken_from(&self, source: &str, body: String) -> Spoken {
        let nick = source.split('!').next().unwrap_or_default();
        match self.network.user_called(nick) {
            Some(user) => self.spoken_by(user.id, body),
            None => self.spoken(body),
        }
    }

    fn tell_quit(&mut self, quit: &Quit, hears: Audience, batch: Option<&str>) {
        self.monitors.unsettle(&quit.nick);
        self.tell_exiting(quit);
        self.whowas.add(Was::from_quit(quit, self.network.server_name(quit.user.server()), self.now.wall));
        let spoken = self.spoken(format!(":{} QUIT :{}", quit.source, quit.reason));
        let spoken = spoken.tagged_if("account", quit.account.as_deref());
        let spoken = spoken.tagged_if("draft/oper", quit.is_operator.then_some(""));
        let spoken = spoken.tagged_if("bot", quit.is_bot.then_some("")).tagged_if("batch", batch);
        self.say(hears, spoken);
    }

    fn tell_split(&mut self, split: &Split, quits: &[Quit]) {
        let mut witnesses = Witnesses::default();
        let audiences: Vec<Audience> =
            quits.iter().map(|quit| self.split_audience(&mut witnesses, quit)).collect();
        let hears = Audience::all_of(&audiences);
        self.in_batch("netsplit", split, &hears, |engine, batch| {
            quits.iter().zip(audiences).for_each(|(quit, hears)| engine.tell_quit(quit, hears, Some(batch)));
        });
    }

    fn tell_heal(&mut self, split: &Split, joins: Vec<(Folded, UserId, Letters)>) {
        let mut witnesses = Witnesses::default();
        let audiences: Vec<Audience> = joins
            .iter()
            .map(|(name, user, _)| self.hearers_of_member(&mut witnesses, name, *user).all.into())
            .collect();
        let hears = Audience::all_of(&audiences);
        self.in_batch("netjoin", split, &hears, |engine, batch| {
            for (channel, user, status) in joins {
                if user.server() == engine.identity.sid {
                    engine.tell_joined(&channel, user, status, Some(batch));
                    // Of whom they hear depends on what they are.
                    witnesses = Witnesses::default();
                    continue;
                }
                engine.joined_with(&channel, user, status);
                let hearers = engine.hearers_of_member(&mut witnesses, &channel, user);
                engine.say_come(&channel, user, hearers.apart.map(Audience::from), Some(batch));
                engine.say_metadata_of(user, &hearers.all);
                engine.say_status(hearers.all.into(), &channel, user, status, Some(batch));
            }
        });
    }

    fn tell_joined(&mut self, channel: &Folded, user: UserId, status: Letters, batch: Option<&str>) {
        self.joined_with(channel, user, status);
        let hears = self.members_who_see_member(channel, user);
        self.say_joined(channel, user, hears.clone(), batch);
        // Who makes a channel knows from NAMES what they are.
        let own = self.sessions.conns_of(user);
        let others: Vec<ConnId> = hears.into_iter().filter(|conn| !own.contains(conn)).collect();
        self.say_status(others.into(), channel, user, status, batch);
    }

    /// Says what somebody is who has just been said to be there.
    pub(super) fn say_status(
        &mut self,
        hears: Audience,
        channel: &Folded,
        user: UserId,
        status: Letters,
        batch: Option<&str>,
    ) {
        if !status.is_empty() {
            let deltas = given(status, user);
            let by = self.identity.name.to_string();
            self.tell_modes_to(hears, channel, &by, &deltas, batch);
        }
    }

    /// Says that somebody is there now, in the words that each understands.
    pub(super) fn say_joined(
        &mut self,
        channel: &Folded,
        user: UserId,
        hears: Vec<ConnId>,
        batch: Option<&str>,
    ) {
        let apart = self.told_apart(user, &hears).map(Audience::from);
        self.say_come(channel, user, apart, batch);
        self.say_metadata_of(user, &hears);
    }

    fn say_come(&mut self, channel: &Folded, user: UserId, apart: [Audience; 3], batch: Option<&str>) {
        let (Some(known), Some(joiner)) = (self.network.channel(channel), self.network.user(user)) else {
            return;
        };
        let plain = format!(":{} JOIN {}", joiner.prefix(), known.name);
        let account = joiner.account.as_deref().unwrap_or("*");
        let extended = format!("{plain} {account} :{}", joiner.fact.realname);
        let is_away = joiner.fact.away.is_some();
        let [to_extended, to_plain, told_of_away] = apart;
        self.say(to_extended, self.spoken_by(user, extended).tagged_if("batch", batch));
        self.say(to_plain, self.spoken_by(user, plain).tagged_if("batch", batch));
        if is_away {
            self.say_away(user, told_of_away, batch);
        }
    }

    pub(super) fn say_away(&mut self, user: UserId, hears: impl Into<Audience>, batch: Option<&str>) {
        let Some(known) = self.network.user(user) else { return };
        let body = match &known.fact.away {
            Some(why) => format!(":{} AWAY :{why}", known.prefix()),
            None => format!(":{} AWAY", known.prefix()),
        };
        self.say(hears, self.spoken_by(user, body).tagged_if("batch", batch));
    }

    fn tell_user_modes(&mut self, user: UserId, before: Letters) {
        let Some(known) = self.network.user(user).filter(|_| self.sessions.person(user).is_some()) else {
            return;
        };
        let now = known.fact.modes;
        let gained: String = now.iter().filter(|letter| !before.has(*letter)).collect();
        let lost: String = before.iter().filter(|letter| !now.has(*letter)).collect();
        let mut letters = String::new();
        for (sign, part) in [('+', gained), ('-', lost)] {
            if !part.is_empty() {
                letters.push(sign);
                letters.push_str(&part);
            }
        }
        let body = format!(":{} MODE {} {letters}", known.prefix(), known.nick);
        let conns = self.sessions.conns_of(user).to_vec();
        self.say(conns.clone(), self.spoken_by(user, body));
        let is_operator = now.has('o');
        for conn in conns {
            if let Some(session) = self.sessions.get_mut(conn) {
                // Whoever is an operator again has said so on that connection.
                session.is_operator &= is_operator;
            }
            self.settle_hurry(conn);
        }
        self.settle_shield(user);
    }

    pub(super) fn tell_modes_to(
        &mut self,
        hears: impl Into<Audience>,
        channel: &Folded,
        by: &str,
        deltas: &[ModeDelta],
        batch: Option<&str>,
    ) {
        let hears = hears.into();
        let Some(known) = self.network.channel(channel) else { return };
        let start = format!(":{by} MODE {} ", known.name);
        let words = deltas.iter().filter_map(|delta| self.word_of(delta));
        let per_line = self.config.limits.modes_per_line;
        for line in mode::lines(words, per_line, BODY_BYTES_MAX.saturating_sub(start.len())) {
            let spoken = self.spoken_from(by, format!("{start}{line}")).tagged_if("batch", batch);
            self.say(hears.clone(), spoken);
        }
    }

    fn remember(&mut self, user: UserId, nick: &str) {
        if let Some(known) = self.network.user(user) {
            let server = self.network.server_name(user.server());
            self.whowas.add(Was::from_user(known, nick, server, self.now.wall));
        }
    }
}
