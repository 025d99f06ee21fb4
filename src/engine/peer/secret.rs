//! SECRET: a new secret of the network, on its way to every server of it.
//!
//! It is said only on links whose both ends have proven themselves, which is TLS 1.3 all the way; hop by hop each server
//! takes it if it is later than its own, and hands it on. Whoever was away proves itself by a former secret, as long as
//! that is good, and is given the current one at once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{PeerMessage, When};
use crate::engine::Engine;
use crate::engine::effect::{Effect, Secret, Topic};
use crate::engine::event::ConnId;
use crate::wire::message::{Draft, Message};

pub const MESSAGES: &[PeerMessage] = &[PeerMessage {
    name: "SECRET",
    params_min: 2,
    when: When::Accepted,
    run: secret,
    shape: "<made, ms> <secret, base64>",
}];

/// As long as a secret in a file must be, and no longer than anybody would make one.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=512;

/// A secret from further ahead than this would outlast all that are made for real.
const AHEAD_MAX_MS: u64 = 60_000;

fn secret(engine: &mut Engine, conn: ConnId, message: &Message) {
    let made_ms = message.params[0].parse::<u64>().ok();
    let made_ms = made_ms.filter(|made_ms| *made_ms <= engine.now.wall.0 + AHEAD_MAX_MS);
    let (Some(made_ms), Some(secret)) = (made_ms, read_secret(message.params[1])) else {
        return engine.note_senseless(conn, "SECRET");
    };
    let label = engine.links.by_conn.get(&conn).map_or(String::new(), |link| link.label());
    if engine.take_secret(secret, made_ms, Some(conn)) {
        let text = format!("{label} brought the network's new secret made_ms={made_ms}");
        engine.note(log::Level::Info, Topic::Link, text);
    }
}

fn read_secret(text: &str) -> Option<Secret> {
    let secret = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
    // As one line of a file, which it will be.
    let is_fit = SECRET_CHARS.contains(&secret.chars().count())
        && !secret.contains(char::is_control)
        && secret.trim() == secret;
    is_fit.then_some(Secret(secret))
}

impl Engine {
    /// The admin wants the network to have this secret from now on.
    pub(in crate::engine) fn rotate(&mut self, secret: Secret) {
        let made_ms = self.now.wall.0.max(self.secrets.made_ms + 1);
        if self.take_secret(secret, made_ms, None) {
            let links = self.links.accepted().count();
            let text = format!("the network has a new secret made_ms={made_ms} links={links}");
            self.note(log::Level::Info, Topic::Server, text);
        }
    }

    /// Takes a secret that is later than ours, and hands it on.
    fn take_secret(&mut self, secret: Secret, made_ms: u64, from: Option<ConnId>) -> bool {
        // Counted from its making, so that it is over everywhere at the same time.
        let until_ms = made_ms + self.config.network.old_secret_for.as_millis() as u64;
        if !self.secrets.replace(secret, made_ms, until_ms) {
            return false;
        }
        self.effects.push(Effect::KeepSecrets { secrets: self.secrets.clone() });
        let others: Vec<ConnId> =
            self.links.accepted().map(|link| link.conn).filter(|to| Some(*to) != from).collect();
        others.into_iter().for_each(|to| self.send_secret(to));
        true
    }

    /// Gives the secret to a peer that showed that it has another one.
    pub(super) fn send_secret_if_missing(&mut self, conn: ConnId) {
        let has_it = |link: &crate::engine::links::Link| link.holds.as_ref() == Some(&self.secrets.current);
        // The one that the network began with is nobody's to hand on: who has another has a later one.
        if self.secrets.made_ms > 0 && !self.links.by_conn.get(&conn).is_some_and(has_it) {
            self.send_secret(conn);
        }
    }

    fn send_secret(&mut self, conn: ConnId) {
        let draft =
            Draft::new("SECRET").param(self.secrets.made_ms).param(BASE64.encode(&self.secrets.current.0));
        // Nobody learns of it by what it is compressed with.
        self.effects.push(Effect::SendApart { to: conn, line: draft.line().into() });
    }

    /// Says once when a former secret is good for nothing any more.
    pub(in crate::engine) fn expire_secrets(&mut self) {
        if self.secrets.expire(self.now.wall.0) {
            self.effects.push(Effect::KeepSecrets { secrets: self.secrets.clone() });
            let text = "a former secret of the network is not taken any more".to_string();
            self.note(log::Level::Info, Topic::Server, text);
        }
    }
}
