//! Which capabilities a connection is offered, with which values, and what is said when that changes.

use super::Engine;
use super::cap::{Cap, Caps};
use super::event::ConnId;
use super::outgoing::{Outgoing, Spoken};
use super::sasl::Mechanism;
use super::session::{Session, Stage};
use crate::config::{Config, Registration};
use crate::wire::message::{BODY_BYTES_MAX, fill};

/// One capability, as it is offered on one kind of connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub cap: Cap,
    pub value: Option<String>,
}

impl Offer {
    /// With its value, for those who agreed on 302.
    pub fn shown(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.cap.name()),
            None => self.cap.name().to_string(),
        }
    }
}

/// What of a connection decides what is offered on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Plain,
    Tls,
    /// Over TLS, by somebody who has shown a certificate.
    Certified,
}

impl Way {
    const ALL: [Way; 3] = [Way::Plain, Way::Tls, Way::Certified];

    pub fn of(session: &Session) -> Way {
        match (session.certificate, &session.secure) {
            (Some(_), _) => Way::Certified,
            (None, Some(_)) => Way::Tls,
            (None, None) => Way::Plain,
        }
    }
}

/// Everything that is offered on such a connection.
pub fn offers(config: &Config, way: Way) -> Vec<Offer> {
    let is_withheld = |cap: &Cap| {
        // Whoever agrees on 302 has this one without asking.
        *cap != Cap::CapNotify && config.server.withheld_capabilities.iter().any(|name| name == cap.name())
    };
    // Where nothing is kept there is nothing to be asked for.
    let is_there = |cap: &Cap| config.history.enabled || !cap.is_of_history();
    let caps = Cap::ALL.iter().copied().filter(|cap| !is_withheld(cap) && is_there(cap));
    let offers = caps.filter_map(|cap| match cap {
        // Operators register by the same words, and know it.
        Cap::DraftAccountRegistration if config.accounts.registration != Registration::Open => None,
        Cap::Sts => sts(config, way != Way::Plain).map(|value| Offer { cap, value: Some(value) }),
        Cap::Sasl => Some(Offer { cap, value: Some(Mechanism::names(config, way)) }),
        _ => Some(Offer { cap, value: cap.value(config) }),
    });
    offers.collect()
}

/// The way to the encrypted door where there is none of it yet, and for how long to come by no other where there is.
fn sts(config: &Config, is_secure: bool) -> Option<String> {
    let tls = &config.tls;
    tls.sts.then(|| match is_secure {
        true => format!("duration={}", tls.sts_duration.as_secs()),
        false => format!("port={}", tls.sts_port),
    })
}

/// Whether a client may ask for it.
pub fn may_request(config: &Config, session: &Session, cap: Cap) -> bool {
    // It binds whoever reads it, and is nothing to be agreed upon.
    cap != Cap::Sts && offers(config, Way::of(session)).iter().any(|offer| offer.cap == cap)
}

/// What a client that knows only the first version of CAP is told: no values, nothing that is one, and all of it on one
/// line. Where that is too short, drafts are left out first.
pub fn names_on_one_line(offers: &[Offer], bytes_max: usize) -> String {
    let names = offers.iter().filter(|offer| offer.cap != Cap::Sts).map(|offer| offer.cap.name());
    let (drafts, settled): (Vec<_>, Vec<_>) = names.partition(|name| name.contains('/'));
    let names = settled.into_iter().chain(drafts).map(str::to_string);
    fill(names, bytes_max).into_iter().next().unwrap_or_default()
}

/// What has to be said of a change: what is there now, or otherwise, and what is gone.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    new: Vec<Offer>,
    gone: Vec<Cap>,
}

fn difference(before: &[Offer], now: &[Offer]) -> Difference {
    let new = now.iter().filter(|offer| !before.contains(offer)).cloned().collect();
    let is_gone = |cap: &Cap| !now.iter().any(|offer| offer.cap == *cap);
    // This one ends when its time is over, and cannot be taken back.
    let gone = before.iter().map(|offer| offer.cap).filter(|cap| *cap != Cap::Sts && is_gone(cap));
    Difference { new, gone: gone.collect() }
}

impl Engine {
    /// Tells clients of capabilities that have come, changed or gone since the settings were these; nobody keeps what is
    /// not offered any more.
    pub(super) fn tell_offers(&mut self, before: &Config) {
        let differences = Way::ALL.map(|way| difference(&offers(before, way), &offers(&self.config, way)));
        if differences.iter().all(|difference| *difference == Difference::default()) {
            return;
        }
        let conns: Vec<ConnId> = self.sessions.iter().map(|session| session.conn).collect();
        let mut told_elsewhere = Vec::new();
        for conn in conns {
            let session = self.sessions.get_mut(conn);
            // What a guest may have is what its home offers.
            let Some(session) = session.filter(|session| !matches!(session.stage, Stage::Guest)) else {
                continue;
            };
            let difference = &differences[Way::of(session) as usize];
            let mut caps = session.caps;
            difference.gone.iter().for_each(|cap| caps.set(*cap, false));
            if !difference.gone.is_empty() {
                told_elsewhere.push(conn);
            }
            self.sessions.set_caps(conn, caps);
            let Some(session) = self.sessions.get(conn) else { continue };
            if !session.wants(Cap::CapNotify) {
                continue;
            }
            let is_302 = session.cap_version >= 302;
            let had: Caps = session.caps;
            let new = difference.new.iter().filter(|offer| {
                // A value is all that is new of what a client has already.
                is_302 || (offer.value.is_none() && !had.has(offer.cap))
            });
            let new: Vec<String> =
                new.map(|offer| if is_302 { offer.shown() } else { offer.cap.name().to_string() }).collect();
            let gone: Vec<String> = difference.gone.iter().map(|cap| cap.name().to_string()).collect();
            let user = session.user().and_then(|user| self.network.user(user));
            let called = user.map_or("*", |user| user.nick.as_str());
            let mut lines = Vec::new();
            for (subcommand, names) in [("NEW", new), ("DEL", gone)] {
                let start = format!(":{} CAP {called} {subcommand} :", self.identity.name);
                let room = BODY_BYTES_MAX - start.len();
                lines.extend(fill(names, room).iter().map(|names| format!("{start}{names}")));
            }
            for line in lines {
                self.outgoing.push(Outgoing { to: conn.into(), spoken: Spoken::new(self.now.wall, line) });
            }
        }
        told_elsewhere.into_iter().for_each(|conn| self.tell_host_of_caps(conn));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(offers: &[Offer]) -> Vec<String> {
        offers.iter().map(Offer::shown).collect()
    }

    /// Proves: sts
    #[test]
    fn the_way_to_tls_is_told_where_there_is_none_and_how_long_it_binds_where_there_is() {
        let mut config = Config::default();
        for way in Way::ALL {
            assert!(!offers(&config, way).iter().any(|offer| offer.cap == Cap::Sts));
        }
        config.tls.sts = true;
        config.tls.sts_port = 7000;
        config.tls.sts_duration = Duration::from_secs(3600);
        assert!(names(&offers(&config, Way::Plain)).contains(&"sts=port=7000".to_string()));
        assert!(names(&offers(&config, Way::Tls)).contains(&"sts=duration=3600".to_string()));
        assert!(!names_on_one_line(&offers(&config, Way::Tls), 500).contains("sts"));
    }

    #[test]
    fn what_comes_is_told_with_its_value_and_sts_never_goes() {
        let (mut before, now) = (Config::default(), Config::default());
        before.tls.sts = true;
        before.server.withheld_capabilities =
            ["echo-message", "cap-notify", "no-such-thing"].map(str::to_string).to_vec();
        let after = difference(&offers(&before, Way::Tls), &offers(&now, Way::Tls));
        assert_eq!((names(&after.new), after.gone), (vec!["echo-message".to_string()], vec![]));
        let back = difference(&offers(&now, Way::Tls), &offers(&before, Way::Tls));
        let sts = format!("sts=duration={}", 30 * 86_400);
        assert_eq!((names(&back.new), back.gone), (vec![sts], vec![Cap::EchoMessage]));
    }

    #[test]
    fn a_certificate_logs_in_only_where_one_was_shown() {
        let mechanisms = |way| {
            let sasl = offers(&Config::default(), way).into_iter().find(|offer| offer.cap == Cap::Sasl);
            sasl.and_then(|offer| offer.value).unwrap_or_default()
        };
        assert_eq!(mechanisms(Way::Certified), "PLAIN,EXTERNAL,SCRAM-SHA-256");
        for way in [Way::Plain, Way::Tls] {
            assert_eq!(mechanisms(way), "PLAIN,SCRAM-SHA-256");
        }
    }

    #[test]
    fn old_clients_get_whole_names_and_drafts_only_where_there_is_room() {
        let all = offers(&Config::default(), Way::Plain);
        let line = names_on_one_line(&all, 420);
        assert!(line.len() <= 420 && line.split(' ').all(|name| Cap::find(name).is_some()), "{line}");
        let short = names_on_one_line(&all, 200);
        assert!(!short.contains("draft/"), "{short}");
    }
}
