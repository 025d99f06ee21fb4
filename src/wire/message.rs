//! One message: its tags, source, command and parameters, read from a line or written to one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

/// A line, taken apart; borrows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub tags: Tags<'a>,
    pub source: Option<&'a str>,
    pub command: &'a str,
    pub params: Vec<&'a str>,
}

impl<'a> Message<'a> {
    /// `None` for a line that has no command.
    ///
    /// As lenient as IRC servers are: spaces may be many, and parameters too; a line's length bounds them.
    pub fn parse(line: &'a str) -> Option<Message<'a>> {
        let mut rest = line.trim_start_matches(' ');
        let mut tags = Tags::default();
        if let Some(tagged) = rest.strip_prefix('@') {
            let (text, after) = first_word(tagged);
            tags = Tags::parse(text);
            rest = after;
        }
        let mut source = None;
        if let Some(sourced) = rest.strip_prefix(':') {
            let (text, after) = first_word(sourced);
            source = Some(text).filter(|text| !text.is_empty());
            rest = after;
        }
        let (command, mut rest) = first_word(rest);
        if command.is_empty() {
            return None;
        }
        let mut params = Vec::new();
        while !rest.is_empty() {
            let (param, after) = match rest.strip_prefix(':') {
                Some(trailing) => (trailing, ""),
                None => first_word(rest),
            };
            params.push(param);
            rest = after;
        }
        Some(Message { tags, source, command, params })
    }
}

/// Up to the next space, and what follows it without further spaces.
fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (word, rest.trim_start_matches(' '))
}

/// The tags of a message, by key; of several with one key, the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Tags<'a> {
    /// Reads what stands between `@` and space; tags with impossible keys are passed over.
    fn parse(text: &'a str) -> Tags<'a> {
        let tags = text.split(';').map(|tag| tag.split_once('=').unwrap_or((tag, "")));
        Tags(tags.filter(|(key, _)| is_tag_key(key)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value as it was meant; a tag without a value has an empty one.
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        self.0.get(key).map(|raw| unescape_tag_value(raw))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        self.0.iter().map(|(key, raw)| (*key, unescape_tag_value(raw)))
    }
}

/// Whether this is a key as message-tags has it: `[+][vendor/]name`.
pub fn is_tag_key(key: &str) -> bool {
    let key = key.strip_prefix('+').unwrap_or(key);
    let (vendor, name) = key.split_once('/').map_or((None, key), |(vendor, name)| (Some(vendor), name));
    let is_made_of = |text: &str, fit: fn(u8) -> bool| !text.is_empty() && text.bytes().all(fit);
    is_made_of(name, |b| b.is_ascii_alphanumeric() || b == b'-')
        && vendor
            .is_none_or(|vendor| is_made_of(vendor, |b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'))
}

/// Makes any text fit to be the value of a tag.
pub fn escape_tag_value(value: &str) -> Cow<'_, str> {
    if !value.bytes().any(|byte| matches!(byte, b';' | b' ' | b'\\' | b'\r' | b'\n' | 0)) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            ';' => escaped.push_str("\\:"),
            ' ' => escaped.push_str("\\s"),
            '\\' => escaped.push_str("\\\\"),
            '\r' => escaped.push_str("\\r"),
            '\n' => escaped.push_str("\\n"),
            // There is no way to write it, and nothing is lost with it.
            '\0' => {}
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

pub fn unescape_tag_value(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|escaped| match escaped {
                ':' => ';',
                's' => ' ',
                'r' => '\r',
                'n' => '\n',
                other => other,
            })),
            c => value.push(c),
        }
    }
    Cow::Owned(value)
}

/// One message being written: whatever goes in, one line comes out.
///
/// ```
/// # use folkmoot::wire::message::Draft;
/// let draft = Draft::new("PRIVMSG").source("alice").param("#green").param("good morning");
/// assert_eq!(draft.line(), ":alice PRIVMSG #green :good morning");
/// ```
#[derive(Clone, Debug)]
pub struct Draft {
    /// Each followed by a semicolon.
    tags: String,
    source: String,
    /// The command and the parameters, each behind one space, none yet behind a colon.
    body: String,
    /// Where in the body the last parameter begins.
    last: Option<usize>,
    /// The last parameter gets a colon whether it needs one or not.
    colon: bool,
}

impl Draft {
    pub fn new(command: &str) -> Draft {
        let mut draft = Draft {
            tags: String::new(),
            source: String::new(),
            body: String::with_capacity(128),
            last: None,
            colon: false,
        };
        write_into(&mut draft.body, &NO_SPACES, command);
        draft
    }

    /// Whether this is the command.
    pub fn is(&self, command: &str) -> bool {
        self.body.split(' ').next() == Some(command)
    }

    /// Tags stand in the order in which they are given. An empty value is none.
    pub fn tag(mut self, key: &str, value: &str) -> Draft {
        debug_assert!(is_tag_key(key), "not a key: {key:?}");
        self.make_room_for_tags();
        self.tags.push_str(key);
        if !value.is_empty() {
            self.tags.push('=');
            self.tags.push_str(&escape_tag_value(value));
        }
        self.tags.push(';');
        self
    }

    /// The same with a value that is made of nothing that a tag could not hold: it is written where it is to stand.
    pub fn tag_shown(mut self, key: &str, value: impl Display) -> Draft {
        debug_assert!(is_tag_key(key), "not a key: {key:?}");
        self.make_room_for_tags();
        write!(self.tags, "{key}={value};").expect("a String takes everything");
        self
    }

    /// The same, or nothing where there is no value.
    pub fn tag_unless_empty(self, key: &str, value: &str) -> Draft {
        if value.is_empty() { self } else { self.tag(key, value) }
    }

    pub fn source(mut self, source: impl Display) -> Draft {
        self.source.clear();
        write_into(&mut self.source, &NO_SPACES, source);
        self
    }

    /// The next parameter. Only the last can hold anything: one that turns out to stand before
    /// another is made a single word.
    pub fn param(mut self, param: impl Display) -> Draft {
        self.make_last_a_word();
        self.body.push(' ');
        self.last = Some(self.body.len());
        self.colon = false;
        write_into(&mut self.body, &NO_LINE_ENDS, param);
        self
    }

    /// The last parameter, behind a colon even where it needs none: what clients expect of text.
    pub fn trailing(self, text: impl Display) -> Draft {
        let mut draft = self.param(text);
        draft.colon = true;
        draft
    }

    /// How many bytes the tags take by now, each with the sign that ends it.
    pub fn tags_bytes(&self) -> usize {
        self.tags.len()
    }

    /// The line, without its line end.
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(self.tags.len() + self.source.len() + self.body.len() + 5);
        if let Some(tags) = self.tags.strip_suffix(';') {
            line.extend(["@", tags, " "]);
        }
        if !self.source.is_empty() {
            line.extend([":", &self.source, " "]);
        }
        match self.last {
            Some(last) if self.colon || !is_word(&self.body[last..]) => {
                line.extend([&self.body[..last], ":", &self.body[last..]]);
            }
            _ => line.push_str(&self.body),
        }
        line
    }

    /// Enough for those of most lines, that it need not grow with each.
    fn make_room_for_tags(&mut self) {
        if self.tags.is_empty() {
            self.tags.reserve(96);
        }
    }

    fn make_last_a_word(&mut self) {
        let Some(last) = self.last else { return };
        if is_word(&self.body[last..]) {
            return;
        }
        let raw = self.body.split_off(last);
        let word = raw.trim_start_matches([':', ' ']);
        write_into(&mut self.body, &NO_SPACES, if word.is_empty() { "*" } else { word });
    }
}

/// Whether a parameter can stand before others.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(':') && !text.contains(' ')
}

const NO_LINE_ENDS: [char; 3] = ['\r', '\n', '\0'];
const NO_SPACES: [char; 4] = ['\r', '\n', '\0', ' '];

/// Appends a value, without the characters that may not stand there.
fn write_into(line: &mut String, unwanted: &'static [char], value: impl Display) {
    struct Without<'a> {
        line: &'a mut String,
        unwanted: &'static [char],
    }
    impl Write for Without<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // All that is unwanted is below every letter, and most text has nothing there: all of it looked at without
            // a branch, some bytes at a time.
            let last = if self.unwanted.contains(&' ') { b' ' } else { b'\r' };
            match text.bytes().fold(false, |is_found, byte| is_found | (byte <= last)) {
                false => self.line.push_str(text),
                true => self.line.extend(text.split(self.unwanted)),
            }
            Ok(())
        }
    }
    write!(Without { line, unwanted }, "{value}").expect("a String takes everything");
}

/// Text that can stand in a line: for whoever writes one without a `Draft`.
pub fn without_line_ends(text: String) -> String {
    let is_unfit = |byte: u8| byte <= b'\r' && NO_LINE_ENDS.contains(&char::from(byte));
    if text.bytes().any(is_unfit) { text.split(NO_LINE_ENDS).collect() } else { text }
}

/// The longest line that clients need take, without tags and line end.
pub const BODY_BYTES_MAX: usize = 510;

/// As much of the text as fits, in whole characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A line that is not too long: of its text whole characters, of what stands before that whole words.
pub fn cut_line(line: &str) -> &str {
    if line.len() <= BODY_BYTES_MAX {
        return line;
    }
    let fit = cut(line, BODY_BYTES_MAX);
    let has_text = line.find(" :").is_some_and(|text| text < fit.len());
    match fit.rfind(' ').filter(|_| !has_text) {
        Some(space) => &fit[..space],
        None => fit,
    }
}

/// A text on as many lines as it takes: broken at spaces, or within words that are too long for any line.
pub fn wrap(text: &str, bytes_max: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.len() > bytes_max {
        let fit = cut(rest, bytes_max);
        // A space right behind what fits is as good as one within it.
        let end = match rest[fit.len()..].starts_with(' ') {
            true => fit.len(),
            false => fit.rfind(' ').filter(|space| *space > 0).unwrap_or(fit.len()),
        };
        if end == 0 {
            break;
        }
        lines.push(&rest[..end]);
        rest = rest[end..].strip_prefix(' ').unwrap_or(&rest[end..]);
    }
    lines.push(rest);
    lines
}

/// Words with spaces between them, on as many lines as it takes; a word that is too long for any stands alone.
pub fn fill(words: impl IntoIterator<Item = impl AsRef<str>>, bytes_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let word = word.as_ref();
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= bytes_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => {
                let mut line = String::with_capacity(bytes_max.min(BODY_BYTES_MAX).max(word.len()));
                line.push_str(word);
                lines.push(line);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> (Option<&str>, &str, Vec<&str>) {
        let message = Message::parse(line).unwrap_or_else(|| panic!("{line:?} has a command"));
        (message.source, message.command, message.params)
    }

    /// Proves: several spaces
    #[test]
    fn what_is_cut_is_cut_between_words_and_in_the_text_between_characters() {
        let text = format!(":hall.lan 332 alice #green :{}", "é".repeat(300));
        assert!(text.starts_with(cut_line(&text)) && (509..=510).contains(&cut_line(&text).len()));
        let words = format!(":hall.lan 367 alice #green {} bob!bob@host 17", "m".repeat(480));
        assert_eq!(cut_line(&words).len(), ":hall.lan 367 alice #green ".len() + 480);
        assert_eq!(cut_line("PING :a b"), "PING :a b");
    }

    #[test]
    fn a_text_takes_as_many_lines_as_it_needs_and_loses_nothing() {
        for (text, lines) in [
            ("", &[""][..]),
            ("one two three", &["one two", "three"]),
            ("one two ", &["one two "]),
            ("onetwothree", &["onetwoth", "ree"]),
            ("ééééé", &["éééé", "é"]),
            ("a  b", &["a  b"]),
        ] {
            assert_eq!(wrap(text, 8), lines, "{text}");
        }
    }

    #[test]
    fn a_line_comes_apart_as_the_rfc_says() {
        for (line, source, command, params) in [
            ("PING", None, "PING", &[][..]),
            ("  PING   a  ", None, "PING", &["a"]),
            (":irc.lan CAP  * LS :a  b ", Some("irc.lan"), "CAP", &["*", "LS", "a  b "]),
            ("@a=b  :s  TAGMSG x", Some("s"), "TAGMSG", &["x"]),
            ("PRIVMSG #a :", None, "PRIVMSG", &["#a", ""]),
            ("PRIVMSG #a ::)", None, "PRIVMSG", &["#a", ":)"]),
            ("PRIVMSG #a b:c", None, "PRIVMSG", &["#a", "b:c"]),
            (": PING", None, "PING", &[]),
            (
                "X 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 :17 18",
                None,
                "X",
                &[
                    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
                    "17 18",
                ],
            ),
        ] {
            assert_eq!(parsed(line), (source, command, params.to_vec()), "{line:?}");
        }
    }

    /// Proves: empty line
    #[test]
    fn a_line_without_a_command_is_no_message() {
        for line in ["", "   ", "@a=b", "@a=b ", ":alice", ":alice ", "@a :b  "] {
            assert_eq!(Message::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn tags_are_read_as_they_were_meant() {
        let message = Message::parse(
            r"@a=1;b;c=;+draft/reply=x\:y\sz\\\r\n;e=\q\;a=2;=v;bad_key=1;;x/y/z=1;+=1;/k=1;example.com/k=\\s T",
        )
        .unwrap();
        let tags: Vec<(&str, Cow<str>)> = message.tags.iter().collect();
        let wanted = [
            ("+draft/reply", "x;y z\\\r\n"),
            ("a", "2"),
            ("b", ""),
            ("c", ""),
            ("e", "q"),
            ("example.com/k", "\\s"),
        ];
        assert_eq!(tags, wanted.map(|(key, value)| (key, Cow::Borrowed(value))));
        assert_eq!(message.tags.get("a").as_deref(), Some("2"));
        assert_eq!(message.tags.get("bad_key"), None);
    }

    #[test]
    fn a_draft_is_always_one_line() {
        let draft = || Draft::new("X");
        for (draft, line) in [
            (draft(), "X"),
            (draft().param("a"), "X a"),
            (draft().param("a b"), "X :a b"),
            (draft().param(""), "X :"),
            (draft().param(":"), "X ::"),
            (draft().trailing("a"), "X :a"),
            (draft().trailing("a b").param(7), "X ab 7"),
            (draft().param("").param(" ").param(":: c").param("d"), "X * * c d"),
            (draft().param("a\r\nQUIT\0"), "X aQUIT"),
            (draft().source("s t\n").tag("k", "").tag("l", "a;b \r\n\\\0"), "@k;l=a\\:b\\s\\r\\n\\\\ :st X"),
            (draft().source(""), "X"),
        ] {
            assert_eq!(draft.line(), line);
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let mut seed = 7u64;
        let mut dice = |sides: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % sides
        };
        for _ in 0..2000 {
            let mut text = |alphabet: &[&str], least: usize| -> String {
                (0..least + dice(6)).map(|_| alphabet[dice(alphabet.len())]).collect()
            };
            let anything = ["a", "é", ":", " ", ";", "\\", "=", "@", "s", "\u{1}", ","];
            let tags: BTreeMap<String, String> = (0..text(&["x"], 0).len())
                .map(|_| (text(&["a", "b", "-"], 1), text(&[&anything[..], &["\r", "\n"]].concat(), 0)))
                .collect();
            let source = text(&["a", "!", "@", ":", "é"], 0);
            let words: Vec<String> =
                (0..text(&["x"], 0).len()).map(|_| text(&["b", "é", "@", ";"], 1) + ":").collect();
            let last = text(&anything, 0);

            let mut draft = Draft::new("CMD").source(&source);
            draft = tags.iter().fold(draft, |draft, (key, value)| draft.tag(key, value));
            draft = words.iter().fold(draft, |draft, word| draft.param(word)).param(&last);
            let line = draft.line();
            let message = Message::parse(&line).unwrap();

            let tags_read: BTreeMap<String, String> =
                message.tags.iter().map(|(key, value)| (key.to_string(), value.into_owned())).collect();
            assert_eq!(tags_read, tags, "{line:?}");
            assert_eq!(message.source.unwrap_or_default(), source, "{line:?}");
            assert_eq!(message.command, "CMD");
            let (last_read, words_read) = message.params.split_last().unwrap();
            assert_eq!(words_read, words, "{line:?}");
            assert_eq!(*last_read, last, "{line:?}");
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        for (bytes_max, text) in
            [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (6, "aé"), (7, "aé🦀"), (99, "aé🦀")]
        {
            assert_eq!(cut("aé🦀", bytes_max), text);
        }
    }

    #[test]
    fn words_are_never_split_between_lines() {
        let filled = |text: &str, room| fill(text.split(' ').map(String::from), room);
        assert_eq!(filled("ab cd ef", 5), ["ab cd", "ef"]);
        assert_eq!(filled("ab cd ef", 4), ["ab", "cd", "ef"]);
        assert_eq!(filled("a toolong b", 3), ["a", "toolong", "b"]);
        assert_eq!(fill([""; 0], 5), [""; 0]);
    }
}
