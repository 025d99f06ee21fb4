//! The settings, read again while the server runs.

use super::effect::Topic;
use super::event::{AskId, ConnId};
use super::pending::Pending;
use super::{Engine, isupport};
use crate::config::{Ack, Config};
use crate::wire::message::cut;
use crate::wire::names::Word;
use crate::wire::numeric;
use crate::wire::standard::Standard;

impl Engine {
    pub(super) fn configured(
        &mut self,
        ask: Option<AskId>,
        file: &str,
        outcome: Result<Box<Config>, String>,
    ) {
        let outcome = outcome.map(|config| self.take_config(*config));
        match &outcome {
            Ok(after_start) => {
                self.note(log::Level::Info, Topic::Server, "config read again".to_string());
                if let Some(keys) = after_start {
                    let text = format!("config changed and needs a restart for: {keys}");
                    self.note(log::Level::Warn, Topic::Server, text);
                }
            }
            Err(faults) => {
                for fault in faults.lines() {
                    self.note(log::Level::Error, Topic::Server, format!("config not taken: {fault}"));
                }
            }
        }
        if let Some(Pending::Rehash { reply }) = ask.and_then(|ask| self.asks.take(ask)) {
            self.resume(reply, |turn| {
                match outcome {
                    Ok(after_start) => {
                        turn.reply(numeric::rehashing(Word::echo(file)));
                        if let Some(keys) = after_start {
                            let text = format!("Changed, but in force only after a restart: {keys}");
                            turn.reply_standard(Standard::warn("REHASH", "RESTART_NEEDED", text));
                        }
                    }
                    Err(faults) => {
                        for fault in faults.lines() {
                            let text = format!("The config was not taken: {}", cut(fault, 380));
                            turn.reply_standard(Standard::fail("REHASH", "CONFIG_BAD", text));
                        }
                    }
                }
                Ok(())
            });
        }
    }

    /// Tells everyone here what they can do otherwise from now on.
    fn tell_isupport(&mut self, changes: &[numeric::Numeric]) {
        let registered = self.sessions.iter().filter(|session| session.user().is_some());
        let conns: Vec<ConnId> = registered.map(|session| session.conn).collect();
        conns.into_iter().for_each(|conn| self.say_isupport(conn, changes));
    }

    /// Applies what can be applied; names the keys that were changed and need a restart.
    fn take_config(&mut self, mut config: Config) -> Option<String> {
        let kept = config.keep_until_restart(&self.config);
        let before = std::mem::replace(&mut self.config, config);
        let changes = isupport::changes(&before, &self.config);
        if !changes.is_empty() {
            self.isupport = isupport::replies(&self.config).into();
            self.tell_isupport(&changes);
        }
        self.tell_offers(&before);
        if self.config.history.ack != Ack::Disk || !self.config.history.enabled {
            self.release_held();
        }
        self.look_anew(&before);
        self.know_fixed_places();
        self.network.keep_at_most(self.config.limits.events_kept, self.config.limits.messages_kept);
        self.reintroduce();
        (!kept.is_empty()).then(|| kept.join(", "))
    }

    /// Looks at everyone here anew, where what holds for them is not as it was: they may be thousands.
    fn look_anew(&mut self, before: &Config) {
        if self.config.accounts != before.accounts {
            self.touch_nicks();
            self.touch_seats();
        }
        if self.config.limits != before.limits {
            // What they may take is otherwise now, perhaps sooner.
            self.look_at_all();
        }
        if self.config.operator_class != before.operator_class {
            self.settle_hurries();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::config::{Operator, OperatorClass};
    use crate::engine::{Effect, Event, Identity, Origin, Pin};
    use crate::wire::line::Lines;
    use crate::wire::names::{ServerId, ServerName};
    use crate::wire::time::Now;

    const ADA: ConnId = ConnId(1);

    fn config(rights: &[&str]) -> Config {
        let mut config = Config::default();
        let (name, class) = ("ada".to_string(), "helper".to_string());
        config.operator.push(Operator { name, password: "any".to_string(), class, vhost: None });
        let helper = OperatorClass {
            rights: rights.iter().map(|right| right.to_string()).collect(),
            inherits: Vec::new(),
            title: "a helper".to_string(),
            visible: true,
            topics: String::new(),
        };
        config.operator_class.insert("helper".to_string(), helper);
        config
    }

    /// Reads these settings; what that means to how fast Ada may speak, if anything.
    fn reload(engine: &mut Engine, config: Config) -> Option<bool> {
        let (file, outcome) = ("folkmoot.toml".to_string(), Ok(Box::new(config)));
        let effects = engine.step(Now::default(), Event::Configured { ask: None, file, outcome });
        effects.into_iter().find_map(|effect| match effect {
            Effect::Unhurried { conn: ADA, on } => Some(on),
            _ => None,
        })
    }

    #[test]
    fn rights_that_are_given_and_taken_hold_for_operators_who_are_here() {
        let identity = Identity {
            sid: ServerId::LOWEST,
            name: ServerName::parse("hall.lan").expect("a name"),
            epoch: 1,
            secret: Vec::new(),
            pin: Pin([1; 32]),
            clock_floor_ms: 0,
            seed: [1; 32],
            version: String::new(),
        };
        let mut engine = Engine::new(config(&["kill"]), identity, Now::default());
        let address = SocketAddr::from(([10, 0, 0, 1], 40_000));
        let from = Origin::Client { address, name: None, secure: None, certificate: None };
        engine.step(Now::default(), Event::Opened { conn: ADA, from });
        let lines = Lines::from("NICK ada\nUSER ada 0 * :Ada\nOPER ada any");
        let effects = engine.step(Now::default(), Event::Lines { conn: ADA, lines });
        let ask = effects.into_iter().find_map(|effect| match effect {
            Effect::Verify { ask, .. } => Some(ask),
            _ => None,
        });
        engine.step(Now::default(), Event::Verified { ask: ask.expect("a password"), right: true });

        assert_eq!(reload(&mut engine, config(&["kill"])), None, "as it was");
        assert_eq!(reload(&mut engine, config(&["kill", "flood-exempt"])), Some(true));
        assert_eq!(reload(&mut engine, config(&["kill", "flood-exempt"])), None);
        assert_eq!(reload(&mut engine, config(&["kill"])), Some(false));
    }
}
