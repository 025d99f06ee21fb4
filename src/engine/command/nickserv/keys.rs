//! CERT and DEVICE: what else logs in to an account than its password.

use ring::digest::{SHA256, digest};

use super::{own, say, write};
use crate::engine::network::{AccountFact, Device, Field};
use crate::engine::peer::WORD_BYTES_MAX;
use crate::engine::services::{For, ServiceWord};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::fold::fold;
use crate::wire::pin::Pin;

pub const WORDS: &[ServiceWord] = &[
    ServiceWord {
        word: "CERT",
        aliases: &[],
        params_min: 1,
        who: For::LoggedIn,
        run: certificate,
        usage: "CERT ADD [<fingerprint>] | CERT DEL <fingerprint> | CERT LIST",
        help: "Has a certificate log you in, by SASL EXTERNAL: the one that you are connected with, if you name none.",
    },
    ServiceWord {
        word: "DEVICE",
        aliases: &["APPPASSWORD"],
        params_min: 1,
        who: For::LoggedIn,
        run: device,
        usage: "DEVICE ADD <name> | DEVICE DEL <name> | DEVICE LIST",
        help: "Makes a password for one device or program, which you can take back without changing your own.",
    },
];

/// One account has at most so many of each.
const KEYS_MAX: usize = 20;

/// 120 bits, so that a plain digest is as good as any.
const PASSWORD_CHARS: usize = 24;

fn certificate(turn: &mut Turn, params: &[&str]) -> Outcome {
    let account = own(turn)?;
    let given = match params.get(1) {
        Some(text) => parse_pin(text),
        None => turn.session().certificate,
    };
    match (params[0].to_ascii_uppercase().as_str(), given) {
        ("LIST", _) if account.certificates.is_empty() => say(turn, "No certificate logs you in."),
        ("LIST", _) => {
            account.certificates.iter().try_for_each(|(pin, added)| say(turn, format!("{pin} since {added}")))
        }
        ("ADD", None) if params.len() < 2 => say(turn, "You are connected without a certificate."),
        ("ADD" | "DEL", None) => say(turn, "A fingerprint is sha256: and 64 hexadecimal digits."),
        ("ADD", Some(pin)) if account.certificates.contains_key(&pin) => {
            say(turn, format!("{pin} logs you in already."))
        }
        ("ADD", Some(pin)) if turn.network().accounts().certified(&pin).next().is_some() => {
            say(turn, "That certificate logs somebody else in.")
        }
        ("ADD", Some(_)) if account.certificates.len() >= KEYS_MAX => {
            say(turn, format!("You have {KEYS_MAX} certificates: remove one first."))
        }
        ("ADD", Some(pin)) => {
            let added = turn.now.wall;
            write(turn, account.id, Field::Certificate(pin), Some(AccountFact::Certificate { added }));
            say(turn, format!("{pin} logs you in from now on."))
        }
        ("DEL", Some(pin)) if account.certificates.contains_key(&pin) => {
            write(turn, account.id, Field::Certificate(pin), None);
            say(turn, format!("{pin} logs you in no more."))
        }
        ("DEL", Some(_)) => say(turn, "That certificate does not log you in."),
        _ => say(turn, "ADD, DEL or LIST?"),
    }
}

/// With or without what it is a digest by, and with colons as other programs print it.
fn parse_pin(text: &str) -> Option<Pin> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text).replace(':', "").to_ascii_lowercase();
    Pin::parse(&format!("sha256:{hex}"))
}

fn device(turn: &mut Turn, params: &[&str]) -> Outcome {
    let account = own(turn)?;
    let name = params.get(1).copied().unwrap_or_default();
    let known = account.devices.get(&fold(name));
    match params[0].to_ascii_uppercase().as_str() {
        "LIST" if account.devices.is_empty() => say(turn, "No device has a password of its own."),
        "LIST" => {
            let mut devices = account.devices.values();
            devices.try_for_each(|device| say(turn, format!("{} since {}", device.name, device.added)))
        }
        "ADD" | "DEL" if !is_device_name(name) => say(
            turn,
            format!("A device's name is a word of at most {WORD_BYTES_MAX} letters, digits, - and _."),
        ),
        "ADD" if known.is_some() => say(turn, "There is such a device already: remove it first."),
        "ADD" if account.devices.len() >= KEYS_MAX => {
            say(turn, format!("You have {KEYS_MAX} devices: remove one first."))
        }
        "ADD" => {
            let password = turn.engine.dice.code(PASSWORD_CHARS);
            let hashed = digest(&SHA256, password.as_bytes());
            let hashed = hashed.as_ref().try_into().expect("SHA-256 gives 32 bytes");
            let device = Device { name: name.to_string(), digest: hashed, added: turn.now.wall };
            write(turn, account.id, Field::Device(fold(name)), Some(AccountFact::Device(device)));
            say(turn, format!("The password of {name} is {password}: it is shown this once."))
        }
        "DEL" if known.is_none() => say(turn, "There is no such device."),
        "DEL" => {
            write(turn, account.id, Field::Device(fold(name)), None);
            say(turn, format!("The password of {name} is good for nothing any more."))
        }
        _ => say(turn, "ADD, DEL or LIST?"),
    }
}

fn is_device_name(name: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    (1..=WORD_BYTES_MAX).contains(&name.len()) && name.chars().all(is_fit)
}
