//! What a value must look like, and what its writer may have meant.

use std::time::Duration;

use argon2::password_hash::PasswordHash;

use super::{TOPICS, TOPICS_USUAL};
use crate::wire::names::{ServerId, ServerName, is_shown_host};
use crate::wire::pin::Pin;

/// What is said about any value that does not fit: what was expected, and what to write instead.
pub(super) type Fit<T> = Result<T, String>;

/// Reads `250ms`, `90s`, `5m`, `1h` and `365d`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.checked_mul(unit_ms).map(Duration::from_millis)
}

/// As `duration` reads it, in the largest unit that fits.
pub fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let fit = units.into_iter().find(|(_, unit_ms)| ms >= *unit_ms && ms.is_multiple_of(*unit_ms));
    let (unit, unit_ms) = fit.unwrap_or(("ms", 1));
    format!("{}{unit}", ms / unit_ms)
}

/// What somebody may have meant: close in spelling, and not by accident of being short.
pub(super) fn nearest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|known| (strsim::normalized_damerau_levenshtein(written, known), known))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

pub(super) fn any(_: &str) -> Fit<()> {
    Ok(())
}

pub(super) fn path(text: &str) -> Fit<()> {
    if text.contains('\0') { Err("expected the path of a file".to_string()) } else { Ok(()) }
}

pub(super) fn one_line(text: &str) -> Fit<()> {
    if text.contains(char::is_control) || text.len() > 255 {
        return Err("expected one line of at most 255 bytes, without control characters".to_string());
    }
    Ok(())
}

/// What a token says of who made it, for whom, and of whom.
pub(super) fn claim(text: &str) -> Fit<()> {
    match text.is_empty() {
        true => Err("must not be empty: tokens that anybody made, for anything, would do".to_string()),
        false => one_line(text),
    }
}

pub(super) fn word(text: &str) -> Fit<()> {
    if text.is_empty() || text.starts_with(':') || text.contains(|c: char| c.is_control() || c == ' ') {
        return Err(format!("expected one word, as OPER can give it, found \"{text}\""));
    }
    Ok(())
}

/// What WHOIS says somebody is: short enough for the longest nick before it.
pub(super) fn title(text: &str) -> Fit<()> {
    if text.is_empty() {
        return Err("must not be empty; \"an IRC operator\" is what people know".to_string());
    }
    match text.len() > 200 {
        true => Err("expected at most 200 bytes".to_string()),
        false => one_line(text),
    }
}

/// Letters of what operators are told of.
pub(super) fn topics(text: &str) -> Fit<()> {
    let is_known = |letter: &char| TOPICS.iter().any(|topic| topic.letter == *letter);
    match text.chars().find(|letter| !is_known(letter)) {
        Some(letter) => {
            let known: String = TOPICS.iter().map(|topic| topic.letter).collect();
            Err(format!("there is no topic `{letter}`; expected some of {known}, such as \"{TOPICS_USUAL}\""))
        }
        None => Ok(()),
    }
}

pub(super) fn network_name(text: &str) -> Fit<()> {
    if text.is_empty() || text.len() > 63 || text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        let instead = text.split_whitespace().collect::<String>();
        let instead = if instead.is_empty() { "Folkmoot".to_string() } else { instead };
        return Err(format!(
            "expected one word of at most 63 bytes, found \"{text}\"; perhaps \"{instead}\""
        ));
    }
    Ok(())
}

/// What clients fetch and show; it stands in 005 as one word.
pub(super) fn icon(text: &str) -> Fit<()> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_fit = |c: char| c.is_ascii_graphic() && c != '\\';
    if rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_fit)) && text.len() <= 255 {
        return Ok(());
    }
    Err(format!(
        "expected the https:// address of a picture, at most 255 bytes without spaces, found \"{text}\""
    ))
}

pub(super) fn server_name(text: &str) -> Fit<()> {
    if ServerName::parse(text).is_some() {
        return Ok(());
    }
    let fit = super::fit_server_name(text);
    Err(format!(
        "expected letters, digits, hyphens and at least one dot, at most 63 bytes, found \"{text}\"; perhaps \"{fit}\""
    ))
}

pub(super) fn host(text: &str) -> Fit<()> {
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    let is_name = text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        });
    if is_address || is_name {
        return Ok(());
    }
    Err(format!("expected a name that resolves, or an address, without a port, found \"{text}\""))
}

pub(super) fn shown_host(text: &str) -> Fit<()> {
    if is_shown_host(text) {
        return Ok(());
    }
    Err(format!(
        "expected 1 to 63 letters, digits, dots, hyphens, underscores, slashes and colons, found \"{text}\""
    ))
}

pub(super) fn sid(text: &str) -> Fit<()> {
    if ServerId::parse(text).is_some() {
        return Ok(());
    }
    let upper = text.to_ascii_uppercase();
    let instead = if ServerId::parse(&upper).is_some() { upper } else { "7FA".to_string() };
    Err(format!("expected a digit and two of 0-9 and A-Z, found \"{text}\"; perhaps \"{instead}\""))
}

pub(super) fn pin(text: &str) -> Fit<()> {
    if Pin::parse(text).is_some() {
        return Ok(());
    }
    let hex: String = text.trim_start_matches("sha256:").chars().filter(char::is_ascii_hexdigit).collect();
    let instead = match hex.len() {
        64 => format!("perhaps \"sha256:{}\"", hex.to_ascii_lowercase()),
        count => format!("this has {count} digits; the other server prints its pin when it starts"),
    };
    Err(format!("expected \"sha256:\" and 64 hexadecimal digits; {instead}"))
}

pub(super) fn password(text: &str) -> Fit<()> {
    if text.starts_with("$argon2") && !PasswordHash::new(text).is_ok_and(|hash| hash.hash.is_some()) {
        return Err(
            "this hash is damaged; copy the whole line that `folkmoot hash-password` prints".to_string()
        );
    }
    if ["$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$y$"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err("expected an argon2 hash, and this is one of another kind; make one with `folkmoot hash-password`".to_string());
    }
    Ok(())
}

pub(super) fn one_of(text: &str, choices: &[&str]) -> Fit<()> {
    if choices.contains(&text) {
        return Ok(());
    }
    let listed: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
    let instead = match nearest(text, choices.iter().copied()) {
        Some(choice) => format!("; did you mean \"{choice}\"?"),
        None => String::new(),
    };
    Err(format!("expected one of {}, found \"{text}\"{instead}", listed.join(", ")))
}

/// A host or an address, and a port.
pub(super) fn address(text: &str, usual_port: u16) -> Fit<()> {
    let wrong = |instead: String| {
        Err(format!("expected an address and a port, found \"{text}\"; perhaps \"{instead}\""))
    };
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return Ok(());
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return wrong(std::net::SocketAddr::new(address, usual_port).to_string());
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return match text.parse::<u16>() {
            Ok(port) => wrong(format!("0.0.0.0:{port}")),
            Err(_) => wrong(format!("{text}:{usual_port}")),
        };
    };
    if port.parse::<u16>().is_err() {
        return wrong(format!("{host}:{usual_port}"));
    }
    match host {
        "" | "*" => wrong(format!("0.0.0.0:{port}")),
        _ if host.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_') => Ok(()),
        _ => Err(format!(
            "expected an address and a port, found \"{text}\"; an IPv6 address stands in brackets: \"[::]:{port}\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        for (text, ms) in [
            ("250ms", Some(250)),
            ("90s", Some(90_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("365d", Some(31_536_000_000)),
            ("", None),
            ("s", None),
            ("90", None),
            ("90x", None),
            ("-1s", None),
            ("1.5s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(duration(text), ms.map(Duration::from_millis), "{text}");
            assert!(duration(text).is_none_or(|read| duration_text(read) == text), "{text}");
        }
    }
}
