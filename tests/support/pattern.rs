//! Lines with placeholders: whether what was heard is what was expected, and how a transcript would write it.

use std::collections::BTreeMap;

use folkmoot::wire::names::UserId;

use crate::support::script;

/// What the placeholders of a transcript stand for, as far as they have been met.
///
/// `{time}` stands for a value of that shape, and for the same one wherever it is repeated; `{time2}` is another.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<String, String>);

type HasShape = fn(&str) -> bool;

/// Every shape, and what has it.
const SHAPES: &[(&str, HasShape)] = &[
    ("time", is_server_time),
    ("unix", |text| text.len() == 10 && is_number(text)),
    ("number", is_number),
    ("msgid", |text| is_word(text) && !text.contains(';')),
    ("batch", |text| is_word(text) && !text.contains(';')),
    ("code", is_word),
    ("uid", |text| UserId::parse(text).is_some()),
    ("fingerprint", |text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())),
    ("host", |text| is_word(text) && !text.contains(['@', '!'])),
    // Whatever it is, and another thing each time.
    ("any", |_| true),
];

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(' ')
}

/// `2026-11-21T06:56:05.123Z`
fn is_server_time(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == form,
        })
}

enum Piece<'t> {
    Text(&'t str),
    Placeholder { name: &'t str, has_shape: HasShape },
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(start) = rest[from..].find('{').map(|start| from + start) {
        let inside = rest[start + 1..].split_once('}').map(|(inside, _)| inside);
        let shape = inside.and_then(|name| {
            let shape = name.trim_end_matches(|c: char| c.is_ascii_digit());
            SHAPES.iter().find(|(known, _)| *known == shape).map(|(_, has_shape)| (name, *has_shape))
        });
        match shape {
            Some((name, has_shape)) => {
                pieces.push(Piece::Text(&rest[..start]));
                pieces.push(Piece::Placeholder { name, has_shape });
                rest = &rest[start + name.len() + 2..];
                from = 0;
            }
            // A brace that means itself, as in a nick.
            None => from = start + 1,
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

impl Values {
    /// Whether this line is the expected one; if so, its placeholders are known from now on. A source may be given by
    /// its nick alone, and spaces at the end, which nobody sees, do not count.
    pub fn matches(&mut self, expected: &str, line: &str) -> bool {
        let expected = String::from_utf8_lossy(&script::said(expected.trim_end())).into_owned();
        let line = line.trim_end();
        for form in [line.to_string(), with_short_source(line)] {
            let mut values = self.clone();
            if values.fit(&pieces(&expected), &form) {
                *self = values;
                return true;
            }
        }
        false
    }

    fn fit(&mut self, pieces: &[Piece], text: &str) -> bool {
        match pieces {
            [] => text.is_empty(),
            [Piece::Text(start), rest @ ..] => {
                text.strip_prefix(start).is_some_and(|text| self.fit(rest, text))
            }
            [Piece::Placeholder { name: "any", .. }, rest @ ..] => {
                cuts(text).any(|cut| self.fit(rest, &text[cut..]))
            }
            [Piece::Placeholder { name, has_shape }, rest @ ..] => {
                if let Some(value) = self.0.get(*name).cloned() {
                    return text.strip_prefix(&value).is_some_and(|text| self.fit(rest, text));
                }
                cuts(text).filter(|cut| has_shape(&text[..*cut])).any(|cut| {
                    let mut values = self.clone();
                    values.0.insert(name.to_string(), text[..cut].to_string());
                    let fits = values.fit(rest, &text[cut..]);
                    if fits {
                        *self = values;
                    }
                    fits
                })
            }
        }
    }

    /// A line that is said, with the values of the placeholders in it.
    pub fn fill_in(&self, text: &str) -> Result<String, String> {
        let piece = |piece| match piece {
            Piece::Text(text) => Ok(text.to_string()),
            Piece::Placeholder { name, .. } => {
                self.0.get(name).cloned().ok_or_else(|| format!("nobody has heard a {{{name}}} yet"))
            }
        };
        pieces(text).into_iter().map(piece).collect()
    }

    /// The line as a transcript would write it: sources by their nick, and placeholders for what differs from run to
    /// run.
    pub fn write(&mut self, line: &str) -> String {
        let line = with_short_source(line.trim_end());
        let (tags, body) = split_tags(&line);
        let tags: Vec<String> = tags.split(';').map(|tag| self.write_tag(tag)).collect();
        let mut is_batch = false;
        let words = body.split(' ').enumerate().map(|(place, word)| {
            is_batch |= word == "BATCH" && place == usize::from(body.starts_with(':'));
            let (sign, bare) = word.split_at(usize::from(word.starts_with([':', '+', '-'])));
            match bare {
                _ if is_batch && place == 2 && !sign.is_empty() => {
                    format!("{sign}{}", self.name("batch", bare))
                }
                _ if bare.len() == 10 && is_number(bare) => format!("{sign}{}", self.name("unix", bare)),
                // What a line is about may be a message that came before.
                _ if self.is_known("msgid", bare) => format!("{sign}{}", self.name("msgid", bare)),
                _ if UserId::parse(bare).is_some() => format!("{sign}{}", self.name("uid", bare)),
                _ => word.to_string(),
            }
        });
        let body = short_runs(&words.collect::<Vec<String>>().join(" "));
        if line.starts_with('@') { format!("@{} {body}", tags.join(";")) } else { body }
    }

    fn write_tag(&mut self, tag: &str) -> String {
        match tag.split_once('=') {
            Some((key @ ("time" | "msgid" | "batch"), value)) => format!("{key}={}", self.name(key, value)),
            _ => tag.to_string(),
        }
    }

    fn is_known(&self, shape: &str, value: &str) -> bool {
        self.0.iter().any(|(name, known)| name.starts_with(shape) && known == value)
    }

    /// The placeholder for a value: the one that it had before, or the next that is free.
    fn name(&mut self, shape: &str, value: &str) -> String {
        let is_its = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()) == shape;
        if let Some((name, _)) = self.0.iter().find(|(name, known)| is_its(name) && *known == value) {
            return format!("{{{name}}}");
        }
        let names = std::iter::once(shape.to_string()).chain((2..).map(|number| format!("{shape}{number}")));
        let name = names.into_iter().find(|name| !self.0.contains_key(name)).expect("numbers do not end");
        self.0.insert(name.clone(), value.to_string());
        format!("{{{name}}}")
    }
}

/// `{80 x}` for x said 80 times.
fn short_runs(text: &str) -> String {
    let mut short = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut count = 1;
        while letters.next_if_eq(&letter).is_some() {
            count += 1;
        }
        match count {
            0..20 => short.extend(std::iter::repeat_n(letter, count)),
            _ => short.push_str(&format!("{{{count} {letter}}}")),
        }
    }
    short
}

/// Every place where a text can be cut, its ends included.
fn cuts(text: &str) -> impl Iterator<Item = usize> + '_ {
    (0..=text.len()).filter(|place| text.is_char_boundary(*place))
}

/// Tags without `@`, and the rest without the space between.
fn split_tags(line: &str) -> (&str, &str) {
    line.strip_prefix('@').and_then(|line| line.split_once(' ')).unwrap_or(("", line))
}

/// `:alice!alice@host JOIN` as `:alice JOIN`.
fn with_short_source(line: &str) -> String {
    let (_, body) = split_tags(line);
    let tags = &line[..line.len() - body.len()];
    let source = body.strip_prefix(':').and_then(|body| body.split_once(' '));
    match source.and_then(|(source, rest)| Some((source.split_once('!')?.0, rest))) {
        Some((nick, rest)) => format!("{tags}:{nick} {rest}"),
        None => line.to_string(),
    }
}
