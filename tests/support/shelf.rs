//! The messages on a server's disk in a simulation, in memory: what `edge/store` does, without a file.

use std::collections::{BTreeMap, BTreeSet};

use folkmoot::engine::{
    Conversation, Entry, Kind, MessageRow, Place, Point, Query, Record, Sought, StoredTalk, blanked, row_of,
};

#[derive(Clone, Default)]
pub struct Shelf {
    /// By arrival.
    rows: BTreeMap<u64, MessageRow>,
    by_dot: BTreeMap<(String, u64), u64>,
    /// What came late.
    late: BTreeSet<u64>,
    tips: BTreeMap<String, u64>,
    /// What was taken back before it came.
    taken_back: BTreeSet<(String, u64)>,
    arrivals: u64,
}

impl Shelf {
    pub fn put(&mut self, entry: &Entry) {
        match entry {
            Entry::Said { change, line, is_late } => {
                self.put_message(row_of(change, line.as_ref()), *is_late);
            }
            Entry::Skipped { origin, tip } => {
                let origin = origin.to_string();
                let known = self.tips.entry(origin.clone()).or_default();
                if *tip > *known {
                    *known = *tip;
                    self.taken_back.retain(|(of, seq)| *of != origin || seq > tip);
                }
                self.raise(&origin);
            }
            Entry::Forgotten { origin } => {
                let origin = origin.to_string();
                self.rows.retain(|_, row| row.origin != origin);
                self.by_dot.retain(|(of, _), _| *of != origin);
                self.tips.remove(&origin);
                self.taken_back.retain(|(of, _)| *of != origin);
            }
        }
    }

    fn put_message(&mut self, mut row: MessageRow, is_late: bool) {
        let dot = (row.origin.clone(), row.seq);
        self.tips.entry(row.origin.clone()).or_default();
        if self.taken_back.remove(&dot)
            && let Some(line) = blanked(&row.line)
        {
            (row.line, row.kind, row.text) = (line.into(), Kind::Blank, None);
        }
        if let Some(of) = row.takes_back.clone() {
            match self.by_dot.get(&of).and_then(|arrival| self.rows.get_mut(arrival)) {
                Some(message) => {
                    if let Some(line) = blanked(&message.line) {
                        (message.line, message.kind, message.text) = (line.into(), Kind::Blank, None);
                    }
                    row.conversation = message.conversation.clone();
                }
                None if of.1 > self.tips.get(&of.0).copied().unwrap_or(0) => {
                    self.taken_back.insert(of);
                }
                None => {}
            }
        }
        if !self.by_dot.contains_key(&dot) {
            self.arrivals += 1;
            self.by_dot.insert(dot.clone(), self.arrivals);
            self.rows.insert(self.arrivals, row);
            if is_late {
                self.late.insert(self.arrivals);
            }
        }
        self.raise(&dot.0);
    }

    fn raise(&mut self, origin: &str) {
        let Some(tip) = self.tips.get_mut(origin) else { return };
        while self.by_dot.contains_key(&(origin.to_string(), *tip + 1)) {
            *tip += 1;
        }
    }

    /// What a server finds as it starts.
    pub fn stored(&self, recent_max: usize) -> StoredTalk {
        let mut latest: Vec<&MessageRow> = self.rows.values().rev().take(recent_max).collect();
        latest.sort_by(|a, b| (&a.origin, a.seq).cmp(&(&b.origin, b.seq)));
        StoredTalk {
            tips: self.tips.iter().map(|(origin, tip)| (origin.clone(), *tip)).collect(),
            recent: latest.into_iter().map(|row| row.line.to_string()).collect(),
            taken_back: self.taken_back.iter().cloned().collect(),
        }
    }

    pub fn recall(&self, query: &Query) -> Vec<Record> {
        match query {
            Query::Between { target, after, before, newest_first, most, events } => {
                let target = Some(target.clone());
                let Some(mut found) = self.between(target.as_ref(), after, before) else { return Vec::new() };
                found.retain(|(_, row)| match events {
                    true => row.kind != Kind::Other,
                    false => row.kind == Kind::Text,
                });
                let beyond = found.len().saturating_sub(*most);
                match newest_first {
                    true => drop(found.drain(..beyond)),
                    false => found.truncate(*most),
                }
                found.into_iter().filter_map(record).collect()
            }
            Query::Targets { channels, parties, after, of_each, most } => {
                let Some(between) = self.between(None, after, &None) else { return Vec::new() };
                let is_wanted = |conversation: &Conversation| match conversation {
                    Conversation::Channel(name) => channels.contains(name),
                    private => private.parties().any(|party| parties.contains(party)),
                };
                let mut latest: BTreeMap<Conversation, Vec<(u64, &MessageRow)>> = BTreeMap::new();
                for (arrival, row) in
                    self.sorted().into_iter().rev().filter(|(_, row)| row.kind == Kind::Text)
                {
                    if let Some(of) = row.conversation.clone().filter(is_wanted) {
                        latest.entry(of).or_default().push((arrival, row));
                    }
                }
                let mut latest: Vec<_> =
                    latest.into_values().filter(|texts| between.contains(&texts[0])).collect();
                latest.sort_by(|a, b| b[0].1.place.cmp(&a[0].1.place));
                let texts = latest.into_iter().take(*most).flat_map(|texts| texts.into_iter().take(*of_each));
                let mut texts: Vec<_> = texts.collect();
                texts.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place));
                texts.into_iter().filter_map(record).collect()
            }
            Query::Late { target, arrived_after, before, most } => {
                let found = self.between(Some(target), &None, &Some(before.clone())).unwrap_or_default();
                let mut found: Vec<_> = found
                    .into_iter()
                    .filter(|(arrival, row)| {
                        arrival > arrived_after && row.kind == Kind::Text && self.late.contains(arrival)
                    })
                    .collect();
                found.sort_by_key(|(arrival, _)| *arrival);
                found.into_iter().take(*most).filter_map(record).collect()
            }
            Query::Search { words, places, parties, from, after, before, newest_first, most } => {
                let mut found = self.between(None, after, before).unwrap_or_default();
                found.retain(|(_, row)| {
                    let is_there = row.conversation.as_ref().is_some_and(|of| {
                        places.contains(of) || of.parties().any(|party| parties.contains(party))
                    });
                    is_there && row.kind == Kind::Text && has_words(row, words)
                });
                let mut found: Vec<Record> = found.into_iter().filter_map(record).collect();
                found.retain(|record| from.as_ref().is_none_or(|from| record.is_from(from)));
                let beyond = found.len().saturating_sub(*most);
                match newest_first {
                    true => drop(found.drain(..beyond)),
                    false => found.truncate(*most),
                }
                found
            }
            Query::Message { dot } => {
                let arrival = self.by_dot.get(&(dot.origin.to_string(), dot.seq));
                let found = arrival.map(|arrival| (*arrival, &self.rows[arrival]));
                found.into_iter().filter_map(record).collect()
            }
            Query::Range { origin, first, last, most } => {
                let origin = origin.to_string();
                let dots = self.by_dot.range((origin.clone(), *first)..=(origin, *last));
                dots.take(*most).filter_map(|(_, arrival)| record((*arrival, &self.rows[arrival]))).collect()
            }
        }
    }

    /// All that is here, in the order in which it was said: what it is, and the line without what nobody else has to hold
    /// alike.
    #[allow(dead_code)]
    pub fn all(&self) -> Vec<(Place, Kind, Option<String>, String)> {
        let all = self.sorted().into_iter().map(|(_, row)| {
            let (tags, rest) = row.line.split_once(' ').unwrap_or_default();
            let tags: Vec<&str> = tags.split(';').filter(|tag| !tag.starts_with("after=")).collect();
            let place = row.conversation.as_ref().map(Conversation::key);
            (row.place.clone(), row.kind, place, format!("{} {rest}", tags.join(";")))
        });
        all.collect()
    }

    /// Everything, by when it was said.
    fn sorted(&self) -> Vec<(u64, &MessageRow)> {
        let mut all: Vec<_> = self.rows.iter().map(|(arrival, row)| (*arrival, row)).collect();
        all.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place));
        all
    }

    fn between(
        &self,
        target: Option<&Conversation>,
        after: &Option<Point>,
        before: &Option<Point>,
    ) -> Option<Vec<(u64, &MessageRow)>> {
        let resolve = |point: &Option<Point>, is_end: bool| -> Option<Option<Place>> {
            let Some(point) = point else { return Some(None) };
            match if is_end { point.end() } else { point.start() } {
                Ok(place) => Some(Some(place)),
                Err(dot) => {
                    let arrival = self.by_dot.get(&(dot.origin.to_string(), dot.seq))?;
                    let row = &self.rows[arrival];
                    let is_there = target.is_none() || row.conversation.as_ref() == target;
                    is_there.then(|| Some(row.place.clone()))
                }
            }
        };
        let (after, before) = (resolve(after, true)?, resolve(before, false)?);
        let mut found = self.sorted();
        found.retain(|(_, row)| {
            (target.is_none() || row.conversation.as_ref() == target)
                && after.as_ref().is_none_or(|after| row.place > *after)
                && before.as_ref().is_none_or(|before| row.place < *before)
        });
        Some(found)
    }
}

fn record((arrival, row): (u64, &MessageRow)) -> Option<Record> {
    Record::read(arrival, row.line.to_string())
}

/// Whether a text has all of these words.
fn has_words(row: &MessageRow, words: &[Sought]) -> bool {
    let text = row.text.as_deref().unwrap_or_default().to_lowercase();
    let of_text: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    words.iter().all(|Sought { word, is_beginning }| {
        let word = word.to_lowercase();
        of_text.iter().any(|of_text| *of_text == word || *is_beginning && of_text.starts_with(&word))
    })
}
