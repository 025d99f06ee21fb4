//! Finds what was said by its words.

use rusqlite::{Connection, ToSql, params_from_iter};

use super::{bounds, place_called, places_of};
use crate::engine::{Kind, Query, Record, Sought};
use crate::wire::fold::Folded;

/// How many messages are looked at for one answer at most, so that no search takes for ever: of those with the words,
/// wherever they were said, the ones that came last.
const LOOKED_AT_MAX: usize = 100_000;

pub fn find(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Record>> {
    let Query::Search { words, places: conversations, parties, from, after, before, newest_first, most } =
        query
    else {
        return Ok(Vec::new());
    };
    let mut places = places_of(connection, parties)?;
    for conversation in conversations {
        places.extend(place_called(connection, &conversation.key())?);
    }
    places.sort_unstable();
    places.dedup();
    let Some((after, before)) = bounds(connection, None, after, before)? else { return Ok(Vec::new()) };
    let mut search = Search {
        connection,
        values: vec![&after.0, &after.1, &before.0, &before.1],
        newest_first: *newest_first,
        from: from.as_ref(),
        most: *most,
        looked_at: 0,
        found: Vec::new(),
    };
    let matching = matching(words);
    match words.is_empty() {
        true => places.iter().try_for_each(|place| search.look_through(place))?,
        false => search.look_for(&places, &matching)?,
    }
    Ok(search.found)
}

/// A search while it runs.
struct Search<'s> {
    connection: &'s Connection,
    /// Between which places in the order of things something has to have been said.
    values: Vec<&'s dyn ToSql>,
    newest_first: bool,
    from: Option<&'s Folded>,
    most: usize,
    looked_at: usize,
    found: Vec<Record>,
}

const IS_IN_TIME: &str = "(time, server) > (?1, ?2) AND (time, server) < (?3, ?4)";

impl Search<'_> {
    fn order(&self) -> &'static str {
        if self.newest_first { "DESC" } else { "ASC" }
    }

    /// All of one place, by when it was said.
    fn look_through(&mut self, place: &i64) -> rusqlite::Result<()> {
        let order = self.order();
        let sql = format!(
            "SELECT arrival, line FROM message WHERE {IS_IN_TIME} AND place = ?5 AND kind = {}
             ORDER BY time {order}, server {order}",
            Kind::Text.number()
        );
        self.take(&sql, &[place])
    }

    /// What has these words, by when it was said, of what came here last.
    fn look_for(&mut self, places: &[i64], matching: &str) -> rusqlite::Result<()> {
        // Numbers of this server's own making, so they can stand in the text.
        let places: Vec<String> = places.iter().map(i64::to_string).collect();
        let order = self.order();
        let sql = format!(
            "SELECT arrival, line FROM (
                 SELECT rowid AS found FROM words WHERE words MATCH ?5 ORDER BY rowid DESC LIMIT {LOOKED_AT_MAX}
             ) CROSS JOIN message ON arrival = found
             WHERE {IS_IN_TIME} AND place IN ({}) AND kind = {} ORDER BY time {order}, server {order}",
            places.join(","),
            Kind::Text.number(),
        );
        self.take(&sql, &[&matching])
    }

    fn take(&mut self, sql: &str, more: &[&dyn ToSql]) -> rusqlite::Result<()> {
        let values: Vec<&dyn ToSql> = self.values.iter().chain(more).copied().collect();
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let before = self.found.len();
        for row in rows {
            let (arrival, line) = row?;
            let record = Record::read(arrival as u64, line);
            let is_from = |record: &Record| self.from.is_none_or(|from| record.is_from(from));
            self.found.extend(record.filter(is_from));
            self.looked_at += 1;
            if self.found.len() - before >= self.most || self.looked_at >= LOOKED_AT_MAX {
                break;
            }
        }
        self.found.sort_by_key(Record::said);
        let beyond = self.found.len().saturating_sub(self.most);
        match self.newest_first {
            true => drop(self.found.drain(..beyond)),
            false => self.found.truncate(self.most),
        }
        Ok(())
    }
}

/// What FTS5 is asked: every word in quotes, so that none of it is a command.
fn matching(words: &[Sought]) -> String {
    let words = words.iter().map(|Sought { word, is_beginning }| {
        let star = if *is_beginning { "*" } else { "" };
        format!("\"{}\"{star}", word.replace('"', ""))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_never_commands() {
        let words = [("or", false), ("NEAR", true), ("a\"b", false), ("ça", true)]
            .map(|(word, is_beginning)| Sought { word: word.to_string(), is_beginning });
        assert_eq!(matching(&words), "\"or\" \"NEAR\"* \"ab\" \"ça\"*");
    }
}
