//! WEBIRC: a gateway says for whom it connects, before anything else.

use std::net::{IpAddr, SocketAddr};

use super::{Command, Who};
use crate::config::GatewayProtocol;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Topic};
use crate::engine::event::ConnId;
use crate::engine::pending::{Arrival, Pending};
use crate::engine::session::{Gated, Registration};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::unescape_tag_value;
use crate::wire::names::is_host_name;

pub const COMMANDS: &[Command] = &[Command {
    name: "WEBIRC",
    params_min: 4,
    who: Who::Unregistered,
    run: webirc,
    usage: "<password> <gateway> <host> <address> [:<options>]",
    help: "Says, as the first line of a gateway that the settings name, for whom it connects.",
}];

/// Whatever is wrong ends the connection, since the gateway would go on with somebody who is not who they seem.
fn webirc(turn: &mut Turn, params: &[&str]) -> Outcome {
    let [password, called, host, address, options @ ..] = params else { return Ok(()) };
    if turn.registration().is_some_and(|registration| !is_first(registration)) {
        return refuse(turn, "WEBIRC must be the first that is said, and once");
    }
    let from = turn.session().address;
    let known = turn.config().gateway.iter();
    let here = known.filter(|known| known.speaks == GatewayProtocol::Webirc && known.is_at(from.ip()));
    // Several may be at one address, as on one machine; then the name tells which.
    let Some(gateway) = here.max_by_key(|known| known.name == **called).cloned() else {
        return refuse(turn, "WEBIRC is not allowed from your address");
    };
    if gateway.certificate.is_some() && gateway.certificate != turn.session().certificate {
        return refuse(turn, "Invalid WebIRC certificate");
    }
    let Ok(address) = address.parse::<IpAddr>() else { return refuse(turn, "Invalid WebIRC address") };
    let options = Options::parse(options);
    let arrival = Arrival {
        address: SocketAddr::new(address.to_canonical(), options.remote_port.unwrap_or(0)),
        // Without a name for it, the address stands in its place.
        name: is_host_name(host).then(|| host.to_string()),
        is_secure: options.is_secure,
        gateway: gateway.name,
    };
    if let Some(registration) = turn.registration() {
        registration.gated = Gated::Checking;
    }
    if gateway.password.is_empty() {
        // Its certificate has said who it is; the settings have one or the other.
        let conn = turn.conn;
        turn.engine.webirc_checked(conn, arrival, true);
        return Ok(());
    }
    let pending = Pending::Webirc { conn: turn.conn, arrival };
    turn.verify(password.to_string(), gateway.password, pending);
    Ok(())
}

fn is_first(said: &Registration) -> bool {
    said.gated == Gated::No
        && said.nick.is_none()
        && said.username.is_none()
        && said.password.is_none()
        && !said.negotiating
}

fn refuse(turn: &mut Turn, why: &str) -> Outcome {
    let text = format!("conn={} {} gave WEBIRC: {why}", turn.conn.0, turn.session().address);
    turn.note(log::Level::Warn, Topic::Client, text);
    turn.close(why);
    Ok(())
}

/// What else the gateway says of the client's connection to it.
#[derive(Debug, Default, PartialEq)]
struct Options {
    is_secure: bool,
    remote_port: Option<u16>,
}

impl Options {
    /// They stand in one parameter, or where the gateway forgot the colon in several; others are passed over.
    fn parse(params: &[&str]) -> Options {
        let mut options = Options::default();
        for option in params.iter().flat_map(|param| param.split(' ')) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                // Whatever its value: it has none yet.
                "secure" => options.is_secure = true,
                "remote-port" => options.remote_port = unescape_tag_value(value).parse().ok(),
                _ => {}
            }
        }
        options
    }
}

impl Engine {
    /// A gateway's password was checked.
    pub(in crate::engine) fn webirc_checked(&mut self, conn: ConnId, arrival: Arrival, is_right: bool) {
        if !self.is_registering(conn) {
            return;
        }
        if !is_right {
            let _ = refuse(&mut Turn::new(self, conn), "Invalid WebIRC password");
            return;
        }
        let from = arrival.address.ip();
        let ask = self.ask(Pending::Arriving { conn, arrival });
        self.effects.push(Effect::Count { ask, conn, from });
    }

    /// From now on it is somebody else who is connected, if they may.
    pub(in crate::engine) fn arrived(&mut self, conn: ConnId, arrival: Arrival, refused: Option<String>) {
        if !self.is_registering(conn) {
            return;
        }
        if let Some(why) = refused {
            let _ = refuse(&mut Turn::new(self, conn), &why);
            return;
        }
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let before = std::mem::replace(&mut session.address, arrival.address);
        session.name = arrival.name;
        // It is the gateway's own.
        session.certificate = None;
        // Secure is what is so all the way.
        session.secure = session.secure.take().filter(|_| arrival.is_secure);
        let text = format!("conn={} is for {} by={} at={before}", conn.0, arrival.address, arrival.gateway);
        if let Some(registration) = session.registration() {
            registration.gated = Gated::By(arrival.gateway);
        }
        self.note(log::Level::Info, Topic::Client, text);
        if self.turn_away_address(conn) {
            return;
        }
        let mut turn = Turn::new(self, conn);
        if let Err(refusal) = super::complete(&mut turn) {
            turn.refuse(refusal);
        }
    }

    fn is_registering(&mut self, conn: ConnId) -> bool {
        self.sessions.get_mut(conn).is_some_and(|session| session.registration().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_whatever_else_there_is() {
        for (params, is_secure, remote_port) in [
            (&[][..], false, None),
            (&["secure"], true, None),
            (&["secure=examplevalue local-port=6697 remote-port=21726"], true, Some(21726)),
            (&["secure", "remote-port=21726", "new=a\\sb"], true, Some(21726)),
            (&["remote-port=70000 insecure"], false, None),
        ] {
            assert_eq!(Options::parse(params), Options { is_secure, remote_port }, "{params:?}");
        }
    }
}
