//! Whether a line is one that any client can read, whoever it goes to.

use folkmoot::wire::message::Message;

/// Tags of both sides together, `@` and the space behind them included.
const TAGS_BYTES_MAX: usize = 8_191;
/// Without the line end.
const BODY_BYTES_MAX: usize = 510;
const PARAMS_MAX: usize = 15;

/// How many parameters a command has that a server says; numerics have at least one.
const PARAMS: &[(&str, usize, usize)] = &[
    ("ACCOUNT", 1, 1),
    ("ACK", 0, 0),
    ("AWAY", 0, 1),
    ("BATCH", 1, PARAMS_MAX),
    ("CAP", 2, 4),
    ("CHGHOST", 2, 2),
    ("ERROR", 1, 1),
    ("FAIL", 3, PARAMS_MAX),
    ("INVITE", 2, 2),
    ("JOIN", 1, 3),
    ("KICK", 2, 3),
    ("KILL", 2, 2),
    ("MODE", 2, PARAMS_MAX),
    ("NICK", 1, 1),
    ("NOTE", 3, PARAMS_MAX),
    ("NOTICE", 2, 2),
    ("PART", 1, 2),
    ("PING", 1, 1),
    ("PONG", 2, 2),
    ("PRIVMSG", 2, 2),
    ("QUIT", 1, 1),
    ("REDACT", 2, 3),
    ("SETNAME", 1, 1),
    ("SILENCE", 2, 2),
    ("TAGMSG", 1, 1),
    ("TOPIC", 2, 2),
    ("WALLOPS", 1, 1),
    ("WARN", 3, PARAMS_MAX),
];

/// What is amiss with a line, if anything.
pub fn fault(line: &str) -> Option<String> {
    if line.contains(['\r', '\n', '\0']) {
        return Some("holds a line end or a NUL".to_string());
    }
    let (tags, body) = match line.strip_prefix('@') {
        Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
        None => ("", line),
    };
    // The sign and the space count.
    if tags.len() + 2 > TAGS_BYTES_MAX {
        return Some(format!("has {} bytes of tags", tags.len()));
    }
    if body.len() > BODY_BYTES_MAX {
        return Some(format!("has {} bytes without its tags", body.len()));
    }
    if line.starts_with('@') && !tags.split(';').all(is_tag) {
        return Some("has a tag that is none".to_string());
    }
    let before_text = body.get(1..).and_then(|rest| rest.find(" :")).map_or(body, |place| &body[..place + 1]);
    if before_text.split(' ').any(str::is_empty) {
        return Some("has an empty word".to_string());
    }
    let Some(message) = Message::parse(line) else { return Some("has no command".to_string()) };
    let is_numeric = message.command.len() == 3 && message.command.bytes().all(|byte| byte.is_ascii_digit());
    if !is_numeric && !message.command.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Some("has a command that is none".to_string());
    }
    let count = message.params.len();
    let (least, most) = match PARAMS.iter().find(|(command, ..)| *command == message.command) {
        Some((_, least, most)) => (*least, *most),
        None => (1, PARAMS_MAX),
    };
    if count < least || count > most {
        return Some(format!("has {count} parameters, where {least} to {most} are known"));
    }
    let is_bare = matches!(message.command, "PING" | "ERROR" | "AUTHENTICATE");
    match message.source {
        None if is_bare => None,
        None => Some("does not say where it comes from".to_string()),
        Some(source) if is_source(source) => None,
        Some(source) => Some(format!("comes from \"{source}\", which is nobody")),
    }
}

/// `+draft/reply=x`
fn is_tag(tag: &str) -> bool {
    let key = tag.split('=').next().unwrap_or_default();
    let name = key.strip_prefix('+').unwrap_or(key);
    let name = name.rsplit('/').next().unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `hall.lan`, or `alice!alice@host`
fn is_source(source: &str) -> bool {
    match source.split_once('!') {
        None => source.contains('.'),
        Some((nick, rest)) => {
            let (user, host) = rest.split_once('@').unwrap_or_default();
            ![nick, user, host].iter().any(|part| part.is_empty())
        }
    }
}
