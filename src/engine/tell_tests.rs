//! What is told of accounts and hosts: nobody can change theirs by a command yet, so these tests do.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::network::{Edit, UserFact};
use super::{ConnId, Effect, Engine, Event, Identity, Origin};
use crate::config::Config;
use crate::wire::line::Lines;
use crate::wire::time::Now;

/// A server, and people on it by their nicks.
struct Hall {
    engine: Engine,
    conns: BTreeMap<String, ConnId>,
}

impl Hall {
    fn new() -> Hall {
        let identity = Identity::of_hall();
        let engine = Engine::new(Config::default(), identity, Now::default());
        Hall { engine, conns: BTreeMap::new() }
    }

    fn come(&mut self, nick: &str, caps: &str) {
        let conn = ConnId(self.conns.len() as u64 + 1);
        let address = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let from = Origin::Client { address, name: None, secure: None, certificate: None };
        self.conns.insert(nick.to_string(), conn);
        self.engine.step(Now::default(), Event::Opened { conn, from });
        for line in [&format!("CAP REQ :{caps}"), &format!("NICK {nick}"), "USER x 0 * :x", "CAP END"] {
            self.say(nick, line);
        }
    }

    /// Answers with every line that anybody hears of it, behind whoever does.
    fn say(&mut self, nick: &str, line: &str) -> Vec<String> {
        let event = Event::Lines { conn: self.conns[nick], lines: Lines::from(line) };
        let effects = self.engine.step(Now::default(), event);
        self.heard(&effects)
    }

    /// Makes an account, and logs somebody in to it.
    fn log_in(&mut self, nick: &str, account: &str) -> Vec<String> {
        let account = super::logins::make_account(&mut self.engine, account);
        self.engine.step(Now::default(), Event::Tick);
        self.alter(nick, |fact| fact.account = Some(account))
    }

    /// Has somebody's own server say another thing of them.
    fn alter(&mut self, nick: &str, how: impl FnOnce(&mut UserFact)) -> Vec<String> {
        let user = self.engine.network.user_called(nick).expect("somebody is called so");
        let (id, mut fact) = (user.id, user.fact.clone());
        how(&mut fact);
        self.engine.write(Edit::User { user: id, fact }, false);
        let effects = self.engine.step(Now::default(), Event::Tick);
        self.heard(&effects)
    }

    fn heard(&self, effects: &[Effect]) -> Vec<String> {
        let mut heard = Vec::new();
        for (nick, conn) in &self.conns {
            for effect in effects {
                let line = match effect {
                    Effect::Send { to, line } if to == conn => line.to_string(),
                    Effect::SendAll { to, line } if to.contains(conn) => line.to_string(),
                    _ => continue,
                };
                heard.push(format!("{nick} {line}"));
            }
        }
        heard
    }
}

const BOB: &str = ":bob!x@127.0.0.1";

/// Proves: account-notify, account-tag, extended-monitor
#[test]
fn who_logs_in_is_told_of_to_themselves_and_to_those_who_know_or_watch_them() {
    let mut hall = Hall::new();
    hall.come("ann", "account-notify account-tag");
    hall.come("bob", "account-notify");
    hall.come("cyd", "account-tag");
    hall.come("dan", "account-notify extended-monitor");
    hall.come("eve", "account-notify");
    for nick in ["ann", "bob", "cyd"] {
        hall.say(nick, "JOIN #green");
    }
    hall.say("dan", "MONITOR + bob");
    hall.say("eve", "MONITOR + bob");
    let told = |tag: &str, account: &str| {
        let line = format!("{BOB} ACCOUNT {account}");
        [format!("ann {tag}{line}"), format!("bob {line}"), format!("dan {line}")]
    };
    // The tag is what somebody was until then.
    let logged_in = |account: &str| {
        format!("bob :hall.lan 900 bob {} {account} :You are now logged in as {account}", &BOB[1..])
    };
    let logged_out = format!("bob :hall.lan 901 bob {} :You are now logged out", &BOB[1..]);
    let and = |own: String, told: [String; 3]| {
        let [ann, bob, dan] = told;
        [ann, own, bob, dan]
    };
    assert_eq!(hall.log_in("bob", "rob"), and(logged_in("rob"), told("", "rob")));
    assert_eq!(hall.log_in("bob", "bobby"), and(logged_in("bobby"), told("@account=rob ", "bobby")));
    assert_eq!(hall.alter("bob", |fact| fact.account = None), and(logged_out, told("@account=bobby ", "*")));
}

/// Proves: account-tag
#[test]
fn whatever_a_person_does_names_their_account() {
    let mut hall = Hall::new();
    hall.come("ann", "account-tag invite-notify setname away-notify echo-message");
    hall.come("bob", "setname");
    hall.come("cyd", "");
    hall.say("ann", "JOIN #green");
    hall.log_in("bob", "rob");
    hall.say("bob", "JOIN #blue");
    for line in [
        "JOIN #green",
        "MODE #blue +s",
        "PRIVMSG #green :hello",
        "NOTICE ann :hello",
        "AWAY :out",
        "SETNAME :Robert",
        "NICK rob",
        "NICK bob",
        "PART #green",
        "INVITE ann #blue",
        "JOIN #green",
        "QUIT :bye",
    ] {
        let heard = hall.say("bob", line);
        let by_ann = heard.iter().filter_map(|line| line.strip_prefix("ann "));
        let by_ann: Vec<&str> = by_ann.collect();
        let is_named = |line: &&str| line.starts_with("@account=rob :");
        assert!(by_ann.iter().all(is_named), "{line}: {heard:?}");
        assert!(!by_ann.is_empty() || line.starts_with("MODE"), "{line}: {heard:?}");
        assert!(heard.iter().all(|line| !line.starts_with("cyd @")), "{line}: {heard:?}");
    }
    // Nobody without an account has one named.
    let heard = hall.say("cyd", "PRIVMSG ann :hello");
    assert_eq!(heard, ["ann :cyd!x@127.0.0.1 PRIVMSG ann :hello"]);
}

/// Proves: extended-join, WHOX, RPL_WHOISACCOUNT, RPL_WHOSPCRPL
#[test]
fn an_account_shows_in_joins_and_in_what_is_asked_of_somebody() {
    let mut hall = Hall::new();
    hall.come("ann", "extended-join");
    hall.come("bob", "extended-join");
    hall.say("ann", "JOIN #green");
    let heard = hall.say("bob", "JOIN #green");
    assert!(heard.contains(&format!("ann {BOB} JOIN #green * :x")), "{heard:?}");
    hall.say("bob", "PART #green");
    hall.log_in("bob", "rob");
    let heard = hall.say("bob", "JOIN #green");
    for nick in ["ann", "bob"] {
        assert!(heard.contains(&format!("{nick} {BOB} JOIN #green rob :x")), "{heard:?}");
    }
    let heard = hall.say("ann", "WHO bob %na");
    assert_eq!(heard[0], "ann :hall.lan 354 ann bob rob");
    let heard = hall.say("ann", "WHOIS bob");
    assert!(heard.contains(&"ann :hall.lan 330 ann bob rob :is logged in as".to_string()), "{heard:?}");
}

/// Proves: chghost, extended-monitor, CHGHOST
#[test]
fn another_host_is_told_of_to_themselves_and_to_those_who_know_or_watch_them() {
    let mut hall = Hall::new();
    hall.come("ann", "chghost");
    hall.come("bob", "chghost");
    hall.come("dan", "chghost extended-monitor");
    hall.come("eve", "chghost");
    hall.come("fay", "extended-monitor");
    for nick in ["ann", "bob"] {
        hall.say(nick, "JOIN #green");
    }
    for nick in ["dan", "eve", "fay"] {
        hall.say(nick, "MONITOR + bob");
    }
    let heard = hall.alter("bob", |fact| {
        fact.host = "barn.lan".to_string();
        fact.username = "rob".to_string();
    });
    for nick in ["ann", "bob", "dan"] {
        assert!(heard.contains(&format!("{nick} {BOB} CHGHOST rob barn.lan")), "{heard:?}");
    }
    assert!(!heard.iter().any(|line| line.starts_with("eve") || line.starts_with("fay")), "{heard:?}");
}
