//! A line on its way out: written once, then tagged for each set of capabilities among those who hear it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::bundle;
use super::cap::Caps;
use super::effect::Effect;
use super::event::ConnId;
use super::sessions::Sessions;
use crate::wire::message::{cut_line, escape_tag_value};
use crate::wire::time::Timestamp;

/// A line with every tag that anyone might see.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// The tag that comes first, written out for those only who see it.
    time: Timestamp,
    tags: Vec<(Cow<'static, str>, String)>,
    body: String,
    is_delivery: bool,
}

impl Spoken {
    pub fn new(time: Timestamp, mut body: String) -> Spoken {
        body.truncate(cut_line(&body).len());
        Spoken { time, tags: Vec::new(), body, is_delivery: false }
    }

    /// Other words with the same tags.
    pub fn with_body(&self, mut body: String) -> Spoken {
        body.truncate(cut_line(&body).len());
        Spoken { body, ..self.clone() }
    }

    /// A message as it comes to whom it is for: also where they sent it themselves, that is no reply to them.
    #[must_use]
    pub fn delivered(self) -> Spoken {
        Spoken { is_delivery: true, ..self }
    }

    pub fn is_delivery(&self) -> bool {
        self.is_delivery
    }

    /// Whether a server says it in its own name.
    pub fn is_from(&self, server: &str) -> bool {
        let source = self.body.strip_prefix(':').and_then(|body| body.strip_prefix(server));
        source.is_some_and(|rest| rest.starts_with(' '))
    }

    /// What a line that begins (`+`) or ends (`-`) a batch calls it.
    pub fn batch_named(&self, sign: char) -> Option<&str> {
        let mut words = self.body.split(' ').skip(1);
        words.next().filter(|command| *command == "BATCH")?;
        words.next()?.strip_prefix(sign)
    }

    #[must_use]
    pub fn tagged(mut self, tag: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Spoken {
        self.tags.push((tag.into(), value.into()));
        self
    }

    #[must_use]
    pub fn tagged_if(self, tag: &'static str, value: Option<&str>) -> Spoken {
        match value {
            Some(value) => self.tagged(tag, value),
            None => self,
        }
    }

    /// The line as part of a batch, unless it is part of one within that already.
    #[must_use]
    pub fn in_batch(self, batch: &str) -> Spoken {
        let has_one = self.tags.iter().any(|(tag, _)| tag == "batch");
        if has_one { self } else { self.tagged("batch", batch) }
    }

    /// The same for the last of them, who may have the words themselves.
    fn into_line(self, caps: Caps) -> Arc<str> {
        if caps == Caps::default() { self.body.into() } else { self.render(caps).into() }
    }

    /// The line as a client with these capabilities gets it.
    pub fn render(&self, caps: Caps) -> String {
        let mut line = String::with_capacity(self.body.len() + 64);
        if caps.let_through("time") {
            push_tag(&mut line, "time", &self.time.to_string());
        }
        // Those of clients come last: they may be long, and nothing of the server's may fall off behind them.
        for is_clients in [false, true] {
            let tags = self.tags.iter().filter(|(tag, _)| tag.starts_with('+') == is_clients);
            tags.filter(|(tag, _)| caps.let_through(tag))
                .for_each(|(tag, value)| push_tag(&mut line, tag, value));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&self.body);
        line
    }
}

fn push_tag(line: &mut String, tag: &str, value: &str) {
    line.push(if line.is_empty() { '@' } else { ';' });
    line.push_str(tag);
    if !value.is_empty() {
        line.push('=');
        line.push_str(&escape_tag_value(value));
    }
}

/// Who hears a line.
#[derive(Clone, Debug)]
pub enum Audience {
    One(ConnId),
    These(Vec<ConnId>),
    /// Everyone who is on any of these lists, which many lines have in common.
    AnyOf(Vec<Arc<[ConnId]>>),
}

impl Audience {
    pub fn is_empty(&self) -> bool {
        match self {
            Audience::One(_) => false,
            Audience::These(conns) => conns.is_empty(),
            Audience::AnyOf(lists) => lists.iter().all(|list| list.is_empty()),
        }
    }

    pub fn has(&self, conn: ConnId) -> bool {
        match self {
            Audience::One(one) => *one == conn,
            Audience::These(conns) => conns.contains(&conn),
            Audience::AnyOf(lists) => lists.iter().any(|list| list.contains(&conn)),
        }
    }

    /// Everyone who hears any of these lines.
    pub fn all_of(audiences: &[Audience]) -> Vec<ConnId> {
        let (mut all, mut lists) = (Vec::new(), BTreeSet::new());
        for audience in audiences {
            match audience {
                Audience::One(conn) => all.push(*conn),
                Audience::These(conns) => all.extend(conns),
                Audience::AnyOf(any) => {
                    let new = any.iter().filter(|list| lists.insert(list.as_ptr()));
                    new.for_each(|list| all.extend(list.iter()));
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Leaves only those for whom this holds.
    pub fn retain(&mut self, holds: impl Fn(ConnId) -> bool) {
        match self {
            Audience::One(one) if holds(*one) => {}
            Audience::One(_) => *self = Audience::These(Vec::new()),
            Audience::These(conns) => conns.retain(|conn| holds(*conn)),
            Audience::AnyOf(lists) => {
                let all: BTreeSet<ConnId> = lists.iter().flat_map(|list| list.iter().copied()).collect();
                *self = Audience::These(all.into_iter().filter(|conn| holds(*conn)).collect());
            }
        }
    }
}

impl From<ConnId> for Audience {
    fn from(conn: ConnId) -> Audience {
        Audience::One(conn)
    }
}

impl From<Arc<[ConnId]>> for Audience {
    fn from(list: Arc<[ConnId]>) -> Audience {
        Audience::AnyOf(vec![list])
    }
}

impl From<Vec<ConnId>> for Audience {
    fn from(conns: Vec<ConnId>) -> Audience {
        Audience::These(conns)
    }
}

/// A line and who hears it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub to: Audience,
    pub spoken: Spoken,
}

impl Outgoing {
    /// One effect for each form that a line takes; or for each set of people who hear the same, where many hear much.
    pub fn all_into_effects(all: Vec<Outgoing>, sessions: &Sessions, effects: &mut Vec<Effect>) {
        if all.iter().any(|outgoing| matches!(outgoing.to, Audience::AnyOf(_))) {
            return bundle::into_effects(&all, sessions, effects);
        }
        effects.reserve(all.len());
        // Of a long answer all lines are for one.
        let mut last = None;
        for outgoing in all {
            outgoing.into_effects(sessions, &mut last, effects);
        }
    }

    fn into_effects(self, sessions: &Sessions, last: &mut Option<(ConnId, Caps)>, effects: &mut Vec<Effect>) {
        let caps_of = |conn| sessions.caps_of(conn).of_tags();
        let alone = match &self.to {
            Audience::One(conn) => Some(*conn),
            Audience::These(conns) => <[ConnId; 1]>::try_from(&conns[..]).ok().map(|[conn]| conn),
            Audience::AnyOf(_) => None,
        };
        if let Some(to) = alone {
            let caps = match *last {
                Some((conn, caps)) if conn == to => caps,
                _ => caps_of(to),
            };
            *last = Some((to, caps));
            let line = self.spoken.into_line(caps);
            effects.push(Effect::Send { to, line });
            return;
        }
        let Audience::These(conns) = self.to else { return };
        // Few, and mostly the one that the neighbour in the list has as well.
        let mut forms: Vec<(Caps, Vec<ConnId>)> = Vec::new();
        let most = conns.len();
        for conn in conns {
            let caps = caps_of(conn);
            match forms.iter_mut().find(|(form, _)| *form == caps) {
                Some((_, to)) => to.push(conn),
                None => {
                    let mut to = Vec::with_capacity(if forms.is_empty() { most } else { 0 });
                    to.push(conn);
                    forms.push((caps, to));
                }
            }
        }
        for (caps, to) in forms {
            let line: Arc<str> = self.spoken.render(caps).into();
            effects.push(Effect::SendAll { to, line });
        }
    }
}
