//! What a client is told as it arrives: 001 to 005, who is here, the message of the day.

use super::cap::Cap;
use super::network::Census;
use super::turn::Turn;
use super::{Engine, isupport};
use crate::wire::message::wrap;
use crate::wire::numeric::{self, Numeric};
use crate::wire::time::Timestamp;

impl Turn<'_> {
    pub fn welcome(&mut self) {
        let network = self.config().network.name.clone();
        let (server, version) = (self.server_name().to_string(), self.engine.identity.version.clone());
        let started = readable(self.engine.started.wall);
        let prefix = self.prefix();
        self.reply(numeric::welcome(&network, &prefix));
        self.reply(numeric::your_host(&server, &version));
        self.reply(numeric::created(&started));
        self.reply(isupport::my_info(&server, &version));
        self.say_isupport();
        if self.wants(Cap::DraftWhoami) && self.wants(Cap::Chghost) {
            // What follows tells of every change of it.
            let line = format!(":{} SETNAME :{}", self.prefix(), self.user().fact.realname);
            self.say(line);
        }
        self.engine.count_users();
        let counts = lusers(self.engine);
        self.reply_all(counts);
        self.welcome_with_metadata();
        self.welcome_with_persistence();
        self.motd();
    }

    /// 005, with every token.
    pub fn say_isupport(&mut self) {
        let lines = self.engine.isupport.clone();
        self.engine.say_isupport(self.conn, &lines);
    }

    fn motd(&mut self) {
        let lines = motd(self.engine);
        self.reply_all(lines);
    }
}

/// How many are here, as LUSERS counts them.
pub fn lusers(engine: &Engine) -> Vec<Numeric> {
    let network = &engine.network;
    let Census { people: all, invisible, operators, channels } = network.census();
    let servers = network.servers().count();
    let unknown = engine.sessions.unknown();
    let (here, links) = (engine.sessions.registered(), engine.links.up().count());
    let (here_max, all_max) = (engine.tally.users_local_max, engine.tally.users_network_max);
    let mut lines = vec![numeric::luser_client(all - invisible, invisible, servers)];
    if operators > 0 {
        lines.push(numeric::luser_op(operators));
    }
    if unknown > 0 {
        lines.push(numeric::luser_unknown(unknown));
    }
    if channels > 0 {
        lines.push(numeric::luser_channels(channels));
    }
    lines.push(numeric::luser_me(here, links));
    lines.push(numeric::local_users(here, here.max(here_max)));
    lines.push(numeric::global_users(all, all.max(all_max)));
    lines
}

/// How long its lines are at most: the longest names of server and nick have room before it.
const MOTD_BYTES: usize = 340;

/// The message of the day.
pub fn motd(engine: &Engine) -> Vec<Numeric> {
    let Some(text) = &engine.config.server.motd_text else { return vec![numeric::no_motd()] };
    let start = numeric::motd_start(engine.identity.name.as_str());
    std::iter::once(start)
        .chain(text.lines().flat_map(|line| wrap(line, MOTD_BYTES)).map(numeric::motd))
        .chain([numeric::end_of_motd()])
        .collect()
}

/// What is asked of people here.
pub fn rules(engine: &Engine) -> Vec<Numeric> {
    let Some(text) = &engine.config.server.rules_text else { return vec![numeric::no_rules()] };
    let start = numeric::rules_start(engine.identity.name.as_str());
    let lines = text.lines().flat_map(|line| wrap(line, MOTD_BYTES)).map(numeric::rules);
    std::iter::once(start).chain(lines).chain([numeric::end_of_rules()]).collect()
}

impl Engine {
    /// What time it was when the steady clock stood there.
    pub(super) fn wall_at(&self, steady_ms: u64) -> Timestamp {
        Timestamp(self.now.wall.0.saturating_sub(self.now.steady_ms.saturating_sub(steady_ms)))
    }

    /// Keeps the highest numbers of users so far.
    pub(super) fn count_users(&mut self) {
        let (here, all) = (self.sessions.registered(), self.network.census().people);
        self.tally.users_local_max = self.tally.users_local_max.max(here);
        self.tally.users_network_max = self.tally.users_network_max.max(all);
    }
}

/// A point in time for people: `2026-11-21 06:56:05 UTC`.
pub fn readable(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} {} UTC", &text[..10], &text[11..19])
}
