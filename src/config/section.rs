//! One table of the text while it is read: finds values, checks their type, and notices keys that nobody knows.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ADMINISTRATOR;
use super::fit::{self, Fit};
use super::read::{Reading, Remark};

pub(super) type Table<'a> = DeTable<'a>;
type Value<'a> = Spanned<DeValue<'a>>;

/// Beyond this a wait is as good as for ever, and sums of times could run over.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(3650 * 86_400);

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) reading: Reading,
    /// Every key that was looked for, and so is known.
    pub(super) asked: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, reading: Reading::default(), asked: Vec::new() }
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    }

    pub(super) fn fault(&mut self, line: usize, text: String) {
        self.reading.faults.push(Remark { line, text });
    }

    pub(super) fn warning(&mut self, line: usize, text: String) {
        self.reading.warnings.push(Remark { line, text });
    }
}

/// One table, while it is read.
pub(super) struct Section<'r, 'a, 't> {
    pub(super) reader: &'r mut Reader<'a>,
    /// The table's name, empty for the file itself.
    name: String,
    table: &'t Table<'t>,
    known: Vec<&'static str>,
}

/// How a table is read, whatever its keys.
impl<'r, 'a, 't> Section<'r, 'a, 't> {
    pub(super) fn new(reader: &'r mut Reader<'a>, name: &str, table: &'t Table<'t>) -> Section<'r, 'a, 't> {
        Section { reader, name: name.to_string(), table, known: Vec::new() }
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_string() } else { format!("{}.{key}", self.name) }
    }

    pub(super) fn find(&self, key: &str) -> Option<(usize, &'t Value<'t>)> {
        let (key, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((self.reader.line(key.span().start), value))
    }

    pub(super) fn gives(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The one way to a value, so that whatever is looked for is known.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        self.known.push(key);
        self.find(key).map(|(_, value)| value)
    }

    pub(super) fn setting(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        let path = self.path(key);
        if !self.reader.asked.contains(&path) {
            self.reader.asked.push(path.clone());
        }
        let value = self.take(key)?;
        self.reader.reading.given.push(path);
        Some(value)
    }

    pub(super) fn fault_in(&mut self, key: &str, value: &Value<'_>, text: &str) {
        let line = self.reader.line(value.span().start);
        let path = self.path(key);
        self.reader.fault(line, format!("{path}: {text}"));
    }

    pub(super) fn fault_at(&mut self, key: &str, text: &str) {
        if let Some((line, _)) = self.find(key) {
            let path = self.path(key);
            self.reader.fault(line, format!("{path}: {text}"));
        }
    }

    pub(super) fn need(&mut self, key: &str) {
        if !self.gives(key) {
            // An empty table has no key to point at; its own line is not kept by the parser.
            let line = self.table.keys().map(|key| self.reader.line(key.span().start)).min().unwrap_or(1);
            let text = format!("[[{}]] needs `{key}`; add {key} = \"…\"", self.name);
            self.reader.fault(line, text);
        }
    }

    pub(super) fn warn_without_effect(&mut self, key: &str) {
        if let Some((line, _)) = self.find(key) {
            let path = self.path(key);
            self.reader.warning(line, format!("{path} has no effect in this version"));
        }
    }

    pub(super) fn warn_if_plain(&mut self, key: &str, password: &str) {
        if !password.is_empty()
            && !password.starts_with("$argon2")
            && let Some((line, _)) = self.find(key)
        {
            let path = self.path(key);
            let text = format!(
                "{path} can be read by whoever reads this file; `folkmoot hash-password` makes a hash to put here"
            );
            self.reader.warning(line, text);
        }
    }

    pub(super) fn without_effect(&mut self, keys: &[&'static str]) {
        for key in keys {
            if self.setting(key).is_some() {
                self.warn_without_effect(key);
            }
        }
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<(&'t Value<'t>, &'t str)> {
        let value = self.setting(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            let instead = match value.get_ref() {
                DeValue::Integer(number) => format!("; write {key} = \"{number}\""),
                DeValue::Boolean(flag) => format!("; write {key} = \"{flag}\""),
                _ => String::new(),
            };
            let found = found(value);
            self.fault_in(key, value, &format!("expected text in quotes, found {found}{instead}"));
        }
        Some((value, text?))
    }

    pub(super) fn text(&mut self, key: &'static str, into: &mut String, fit: impl Fn(&str) -> Fit<()>) {
        if let Some((value, text)) = self.string(key) {
            match fit(text) {
                Ok(()) => *into = text.to_string(),
                Err(why) => self.fault_in(key, value, &why),
            }
        }
    }

    /// As `text`; empty means the same as left out.
    pub(super) fn optional(
        &mut self,
        key: &'static str,
        into: &mut Option<String>,
        fit: impl Fn(&str) -> Fit<()>,
    ) {
        let mut text = String::new();
        self.text(key, &mut text, |text| if text.is_empty() { Ok(()) } else { fit(text) });
        if !text.is_empty() {
            *into = Some(text);
        }
    }

    pub(super) fn list(&mut self, key: &'static str, into: &mut Vec<String>, fit: impl Fn(&str) -> Fit<()>) {
        let Some(value) = self.setting(key) else { return };
        let Some(items) = value.get_ref().as_array() else {
            let instead = match value.get_ref().as_str() {
                Some(text) => format!("; write {key} = [\"{text}\"]"),
                None => String::new(),
            };
            let found = found(value);
            return self.fault_in(
                key,
                value,
                &format!("expected a list such as [\"…\"], found {found}{instead}"),
            );
        };
        into.clear();
        for item in items.iter() {
            match item.get_ref().as_str().map(|text| fit(text).map(|()| text)) {
                Some(Ok(text)) => into.push(text.to_string()),
                Some(Err(why)) => self.fault_in(key, item, &why),
                None => {
                    let found = found(item);
                    self.fault_in(key, item, &format!("expected text in quotes, found {found}"));
                }
            }
        }
    }

    pub(super) fn flag(&mut self, key: &'static str, into: &mut bool) {
        let Some(value) = self.setting(key) else { return };
        match value.get_ref() {
            DeValue::Boolean(flag) => *into = *flag,
            other => {
                let instead = match other.as_str().map(str::to_ascii_lowercase).as_deref() {
                    Some("true" | "yes" | "on") => "; write true, without quotes",
                    Some("false" | "no" | "off") => "; write false, without quotes",
                    _ => "",
                };
                let found = found(value);
                self.fault_in(key, value, &format!("expected true or false, found {found}{instead}"));
            }
        }
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &'static str, into: &mut T, least: u64, most: u64) {
        let Some(value) = self.setting(key) else { return };
        let DeValue::Integer(written) = value.get_ref() else {
            let instead = match value.get_ref().as_str().and_then(|text| text.parse::<u64>().ok()) {
                Some(number) => format!("; write {number}, without quotes"),
                None => String::new(),
            };
            let found = found(value);
            return self.fault_in(key, value, &format!("expected a whole number, found {found}{instead}"));
        };
        let number = i128::from_str_radix(written.as_str(), written.radix()).unwrap_or(i128::MAX);
        let nearest = number.clamp(i128::from(least), i128::from(most));
        match u64::try_from(number)
            .ok()
            .filter(|_| number == nearest)
            .and_then(|number| T::try_from(number).ok())
        {
            Some(number) => *into = number,
            None => {
                let text =
                    format!("expected a number from {least} to {most}, found {number}; nearest is {nearest}");
                self.fault_in(key, value, &text);
            }
        }
    }

    pub(super) fn duration(&mut self, key: &'static str, into: &mut Duration) {
        self.duration_within(key, into, Duration::from_millis(1), DURATION_MAX);
    }

    pub(super) fn duration_within(
        &mut self,
        key: &'static str,
        into: &mut Duration,
        least: Duration,
        most: Duration,
    ) {
        let Some(value) = self.setting(key) else { return };
        let written = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            _ => String::new(),
        };
        match (fit::duration(&written), value.get_ref().as_str()) {
            (Some(Duration::ZERO), _) if !least.is_zero() => {
                self.fault_in(key, value, "must be longer than nothing; \"1s\" is short")
            }
            (Some(duration), Some(_)) if (least..=most).contains(&duration) => *into = duration,
            (Some(_), Some(_)) => {
                let [least, most] = [least, most].map(fit::duration_text);
                let text = format!("expected a duration from \"{least}\" to \"{most}\", found \"{written}\"");
                self.fault_in(key, value, &text);
            }
            _ => {
                let digits: String = written.chars().take_while(char::is_ascii_digit).collect();
                let instead =
                    if digits.is_empty() { String::new() } else { format!("; perhaps \"{digits}s\"") };
                let found = found(value);
                let text = format!(
                    "expected a duration such as \"250ms\", \"90s\", \"5m\", \"1h\" or \"365d\", found {found}{instead}"
                );
                self.fault_in(key, value, &text);
            }
        }
    }

    pub(super) fn table(&mut self, key: &'static str, read: impl Fn(&mut Section<'_, '_, '_>)) {
        static NOTHING: std::sync::LazyLock<Table<'static>> = std::sync::LazyLock::new(Table::new);
        // Read even when left out, so that its keys are known all the same.
        let Some(value) = self.take(key) else {
            return read(&mut Section::new(self.reader, key, &NOTHING));
        };
        match value.get_ref().as_table() {
            Some(table) => {
                let mut section = Section::new(self.reader, key, table);
                read(&mut section);
                section.finish();
            }
            None => {
                self.fault_in(key, value, &format!("expected a table: write [{key}] on a line of its own"))
            }
        }
    }

    pub(super) fn tables(&mut self, key: &'static str, read: impl Fn(&mut Section<'_, '_, '_>)) {
        let Some(value) = self.take(key) else { return };
        let path = self.path(key);
        let Some(items) = value.get_ref().as_array() else {
            return self.fault_in(
                key,
                value,
                &format!("expected one table for each: write [[{path}]], with two brackets"),
            );
        };
        for item in items.iter() {
            match item.get_ref().as_table() {
                Some(table) => {
                    let mut section = Section::new(self.reader, &path, table);
                    read(&mut section);
                    section.finish();
                }
                None => self.fault_in(
                    key,
                    item,
                    &format!("expected a table: write [[{path}]] on a line of its own"),
                ),
            }
        }
    }

    /// Tables that an admin names.
    pub(super) fn classes(&mut self, key: &'static str) {
        let Some(value) = self.take(key) else { return };
        let Some(named) = value.get_ref().as_table() else {
            return self.fault_in(
                key,
                value,
                &format!("expected a table for each class: write [{key}.helper]"),
            );
        };
        let names: Vec<&str> =
            named.keys().map(|name| name.get_ref().as_ref()).chain([ADMINISTRATOR]).collect();
        for (name, value) in named.iter() {
            if let Err(why) = fit::word(name.get_ref()) {
                let line = self.reader.line(name.span().start);
                self.reader.fault(line, format!("{key}: {why}"));
            }
            let Some(table) = value.get_ref().as_table() else {
                let text = format!(
                    "expected a table: write [{key}.{name}] on a line of its own",
                    name = name.get_ref()
                );
                self.fault_in(key, value, &text);
                continue;
            };
            let mut section = Section::new(self.reader, key, table);
            let class = section.operator_class(&names);
            section.finish();
            self.reader.reading.config.operator_class.insert(name.get_ref().to_string(), class);
        }
        self.inherit();
    }

    /// Gives each class the rights of those that it names, and of those that these name.
    fn inherit(&mut self) {
        let classes = &mut self.reader.reading.config.operator_class;
        let written = classes.clone();
        for class in classes.values_mut() {
            let mut heirs = class.inherits.clone();
            let mut place = 0;
            while let Some(name) = heirs.get(place).cloned() {
                place += 1;
                let Some(other) = written.get(&name) else { continue };
                class.rights.extend(other.rights.iter().cloned());
                let further: Vec<String> =
                    other.inherits.iter().filter(|name| !heirs.contains(name)).cloned().collect();
                heirs.extend(further);
            }
            class.rights.sort();
            class.rights.dedup();
        }
    }

    /// Names every key that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let written: &str = key.get_ref();
            if self.known.contains(&written) {
                continue;
            }
            let place =
                if self.name.is_empty() { "this file".to_string() } else { format!("[{}]", self.name) };
            let instead = match fit::nearest(written, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => match self.elsewhere(written) {
                    Some(path) => format!("did you mean `{path}`?"),
                    None => format!("it has {}", self.known.join(", ")),
                },
            };
            let line = self.reader.line(key.span().start);
            self.reader.fault(line, format!("`{written}` is not a key of {place}; {instead}"));
        }
    }

    /// The same key in a table that was read before: it may only stand in the wrong place.
    pub(super) fn elsewhere(&self, written: &str) -> Option<&String> {
        self.reader.asked.iter().find(|path| path.rsplit_once('.').is_some_and(|(_, key)| key == written))
    }
}

fn found(value: &Value<'_>) -> String {
    match value.get_ref() {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(_) => "a list".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}
