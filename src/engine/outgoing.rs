//! A line on its way out: written once, then tagged for each set of capabilities among those who hear it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::cap::Caps;
use super::effect::Effect;
use super::event::ConnId;
use super::session::Sessions;
use crate::wire::message::{cut_line, escape_tag_value};
use crate::wire::time::Timestamp;

/// A line with every tag that anyone might see.
#[derive(Clone, Debug)]
pub struct Spoken {
    tags: Vec<(Cow<'static, str>, String)>,
    body: String,
    is_delivery: bool,
}

impl Spoken {
    pub fn new(time: Timestamp, mut body: String) -> Spoken {
        body.truncate(cut_line(&body).len());
        Spoken { tags: vec![("time".into(), time.to_string())], body, is_delivery: false }
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

    /// The line as a client with these capabilities gets it.
    pub fn render(&self, caps: Caps) -> String {
        let mut line = String::with_capacity(self.body.len() + 64);
        // Those of clients come last: they may be long, and nothing of the server's may fall off behind them.
        let (of_clients, of_server): (Vec<_>, Vec<_>) = self
            .tags
            .iter()
            .filter(|(tag, _)| caps.let_through(tag))
            .partition(|(tag, _)| tag.starts_with('+'));
        for (tag, value) in of_server.into_iter().chain(of_clients) {
            line.push(if line.is_empty() { '@' } else { ';' });
            line.push_str(tag);
            if !value.is_empty() {
                line.push('=');
                line.push_str(&escape_tag_value(value));
            }
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&self.body);
        line
    }
}

/// A line and who hears it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub to: Vec<ConnId>,
    pub spoken: Spoken,
}

impl Outgoing {
    /// One effect for each form that the line takes.
    pub fn into_effects(self, sessions: &Sessions, effects: &mut Vec<Effect>) {
        let caps_of = |conn| sessions.get(conn).map_or(Caps::default(), |session| session.caps.of_tags());
        if let [to] = self.to[..] {
            let line = self.spoken.render(caps_of(to)).into();
            effects.push(Effect::Send { to, line });
            return;
        }
        let mut forms: BTreeMap<Caps, Vec<ConnId>> = BTreeMap::new();
        for conn in self.to {
            forms.entry(caps_of(conn)).or_default().push(conn);
        }
        for (caps, to) in forms {
            let line: Arc<str> = self.spoken.render(caps).into();
            effects.push(Effect::SendAll { to, line });
        }
    }
}
