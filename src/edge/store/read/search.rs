//! Finds what was said by its words.

use rusqlite::{Connection, params};

use super::{bounds, place_called, places_of};
use crate::engine::{Kind, Query, Record, Sought};
use crate::wire::fold::Folded;

/// How many messages are looked at for one answer at most, so that no search takes for ever: of those with the words,
/// wherever they were said, the ones that came last.
const LOOKED_AT_MAX: usize = 100_000;

/// What has the words is looked up along with what lies between, where that is so much at most: to pass over a message
/// takes a tenth of the time that it takes to look one up by itself.
const SKIPPED_MAX: i64 = 16;

/// So many of those with the words are looked at before it is asked whether any of the others could be wanted; then twice
/// as many, and so on.
const BLOCK: usize = 1_000;

/// Answers also with whether there was more to look at.
pub fn find(connection: &Connection, query: &Query) -> rusqlite::Result<(Vec<Record>, bool)> {
    find_among(connection, query, LOOKED_AT_MAX, BLOCK)
}

fn find_among(
    connection: &Connection,
    query: &Query,
    looked_at_max: usize,
    block: usize,
) -> rusqlite::Result<(Vec<Record>, bool)> {
    let Query::Search { words, places: conversations, parties, from, after, before, newest_first, most } =
        query
    else {
        return Ok((Vec::new(), false));
    };
    let mut places = places_of(connection, parties)?;
    for conversation in conversations {
        places.extend(place_called(connection, &conversation.key())?);
    }
    places.sort_unstable();
    places.dedup();
    let Some((after, before)) = bounds(connection, None, after, before)? else {
        return Ok((Vec::new(), false));
    };
    let mut search = Search {
        connection,
        after: &after,
        before: &before,
        newest_first: *newest_first,
        from: from.as_ref(),
        most: *most,
        looked_at: 0,
        looked_at_max,
        block,
        is_cut: false,
        found: Vec::new(),
    };
    let matching = matching(words);
    match words.is_empty() {
        true => places.iter().try_for_each(|place| search.look_through(place))?,
        false => search.look_for(&places, &matching)?,
    }
    Ok((search.found, search.is_cut))
}

/// A search while it runs.
struct Search<'s> {
    connection: &'s Connection,
    /// Between which places in the order of things something has to have been said.
    after: &'s (i64, String),
    before: &'s (i64, String),
    newest_first: bool,
    from: Option<&'s Folded>,
    most: usize,
    looked_at: usize,
    looked_at_max: usize,
    block: usize,
    is_cut: bool,
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
        self.take(&sql, place)
    }

    /// What has these words, by when it was said, of what came here last.
    fn look_for(&mut self, places: &[i64], matching: &str) -> rusqlite::Result<()> {
        // What was there in the first look is to be there in the second.
        let _together = self.connection.unchecked_transaction()?;
        let matches = self.matches(matching)?;
        let mut candidates = Vec::new();
        // What came last was mostly said last.
        let (mut rest, mut size) = (matches.as_slice(), self.block);
        while let [.., _] = rest {
            let (before, block) = rest.split_at(rest.len().saturating_sub(size));
            self.look_at(block, places, &mut candidates)?;
            if self.has_newest(block[0], &mut candidates)? {
                break;
            }
            (rest, size) = (before, size * 2);
        }
        match self.newest_first {
            true => candidates.sort_unstable_by(|a, b| b.cmp(a)),
            false => candidates.sort_unstable(),
        }
        let mut line = self.connection.prepare_cached("SELECT line FROM message WHERE arrival = ?1")?;
        let mut last = None;
        for (time, arrival) in candidates {
            // Which of those that were said in one moment come first only the servers that wrote them tell.
            if self.found.len() >= self.most && last != Some(time) {
                break;
            }
            let record = Record::read(arrival as u64, line.query_row([arrival], |row| row.get(0))?);
            let is_from = |record: &Record| self.from.is_none_or(|from| record.is_from(from));
            if let Some(record) = record.filter(is_from) {
                last = Some(time);
                self.found.push(record);
            }
        }
        self.put_in_order();
        Ok(())
    }

    /// Whether nothing that came before this can be among what is wanted.
    fn has_newest(&self, first: i64, candidates: &mut [(i64, i64)]) -> rusqlite::Result<bool> {
        // Of candidates by a name some may turn out not to be theirs.
        if !self.newest_first || self.from.is_some() || candidates.len() < self.most || self.most == 0 {
            return Ok(false);
        }
        let (_, (eldest, _), _) = candidates.select_nth_unstable_by(self.most - 1, |a, b| b.cmp(a));
        let sql =
            "SELECT 1 FROM message WHERE time BETWEEN ?1 AND ?2 AND arrival < ?3 ORDER BY time DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(!statement.exists((*eldest, self.before.0, first))?)
    }

    /// Of some that have the words, when those were said that may be wanted, and where they stand. They are picked here:
    /// to hold each of them against the list of places and to sort them takes SQLite twice as long.
    fn look_at(
        &self,
        matches: &[i64],
        places: &[i64],
        candidates: &mut Vec<(i64, i64)>,
    ) -> rusqlite::Result<()> {
        // Who said it only its line tells: few of those that could be theirs are not.
        let author = self.from.map(|nick| format!(":{nick}!"));
        let sql = "SELECT arrival, time, server, place, kind, ?3 IS NULL OR instr(lower(line), ?3) > 0
             FROM message WHERE arrival BETWEEN ?1 AND ?2 ORDER BY arrival";
        let mut statement = self.connection.prepare_cached(sql)?;
        for run in matches.chunk_by(|one, next| next - one <= SKIPPED_MAX) {
            let mut rest = run;
            let mut rows = statement.query((run.first(), run.last(), &author))?;
            while let Some(row) = rows.next()? {
                let arrival: i64 = row.get(0)?;
                rest = &rest[rest.partition_point(|next| *next < arrival)..];
                if rest.first() != Some(&arrival) {
                    continue;
                }
                let (time, server) = (row.get(1)?, row.get_ref(2)?.as_str()?);
                let said: (i64, &str) = (time, server);
                let is_in_time =
                    said > (self.after.0, &self.after.1) && said < (self.before.0, &self.before.1);
                let place: Option<i64> = row.get(3)?;
                let is_there = place.is_some_and(|place| places.binary_search(&place).is_ok());
                if is_in_time && is_there && row.get::<_, i64>(4)? == Kind::Text.number() && row.get(5)? {
                    candidates.push((time, arrival));
                }
            }
        }
        Ok(())
    }

    /// Where those stand that have the words, of what came here last, the first of them first. FTS5 is asked once: for the
    /// beginning of a word it gathers all that there is before it names any.
    fn matches(&mut self, matching: &str) -> rusqlite::Result<Vec<i64>> {
        let sql = "SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid DESC LIMIT ?2";
        let limit = i64::try_from(self.looked_at_max).unwrap_or(i64::MAX).saturating_add(1);
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_map((matching, limit), |row| row.get(0))?;
        let mut found: Vec<i64> = found.collect::<rusqlite::Result<_>>()?;
        self.is_cut = found.len() > self.looked_at_max;
        found.truncate(self.looked_at_max);
        found.reverse();
        Ok(found)
    }

    fn take(&mut self, sql: &str, place: &i64) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let values = params![self.after.0, self.after.1, self.before.0, self.before.1, place];
        let rows =
            statement.query_map(values, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        let before = self.found.len();
        for row in rows {
            let (arrival, line) = row?;
            let record = Record::read(arrival as u64, line);
            let is_from = |record: &Record| self.from.is_none_or(|from| record.is_from(from));
            self.found.extend(record.filter(is_from));
            self.looked_at += 1;
            if self.found.len() - before >= self.most {
                break;
            }
            if self.looked_at >= self.looked_at_max {
                self.is_cut = true;
                break;
            }
        }
        self.put_in_order();
        Ok(())
    }

    /// Keeps what is wanted, oldest first.
    fn put_in_order(&mut self) {
        self.found.sort_by_key(Record::said);
        let beyond = self.found.len().saturating_sub(self.most);
        match self.newest_first {
            true => drop(self.found.drain(..beyond)),
            false => self.found.truncate(self.most),
        }
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

    #[test]
    fn where_there_is_too_much_to_look_at_what_came_last_counts_and_it_is_said() {
        use crate::edge::data::tests::Scratch;
        use crate::edge::store::Store;
        use crate::engine::{Conversation, Entry};
        use crate::wire::base36;
        use crate::wire::fold::fold;
        use crate::wire::time::Timestamp;

        let scratch = Scratch::new("search-bounds");
        let (mut store, _) = Store::open(&scratch.0, Timestamp(5_000), 0).unwrap();
        let entries = (1..=60_u64).map(|seq| {
            // Two came out of their time.
            let ms = match seq {
                5 => 10_000,
                57 => 15,
                _ => seq * 10,
            };
            let (dot, stamp) = (base36::encode(seq), base36::encode(ms << 16));
            let nick = if seq % 3 == 0 { "Bob" } else { "ann" };
            let line =
                format!("@dot=1AA.1.M{dot}.{stamp} :{nick}!a@host PRIVMSG 1AAAAAAAA #green :hay :bob!{seq}");
            Entry::read(&line).unwrap()
        });
        store.write([], &entries.collect::<Vec<_>>(), false).unwrap();
        let connection = Connection::open(scratch.0.join(super::super::FILE)).unwrap();
        let find = |word: &str, from: Option<&str>, newest_first, most, looked_at_max| {
            let sought = (!word.is_empty()).then(|| Sought { word: word.to_string(), is_beginning: false });
            let query = Query::Search {
                words: sought.into_iter().collect(),
                places: vec![Conversation::Channel(fold("#green"))],
                parties: Vec::new(),
                from: from.map(fold),
                after: None,
                before: None,
                newest_first,
                most,
            };
            let (found, is_cut) = find_among(&connection, &query, looked_at_max, BLOCK).unwrap();
            for block in [1, 2, 7] {
                assert_eq!(
                    find_among(&connection, &query, looked_at_max, block).unwrap(),
                    (found.clone(), is_cut)
                );
            }
            let number = |record: &Record| record.line().rsplit_once('!').unwrap().1.parse::<u64>().unwrap();
            (found.iter().map(number).collect::<Vec<u64>>(), is_cut)
        };
        assert_eq!(find("hay", None, true, 3, 100), (vec![59, 60, 5], false));
        assert_eq!(find("hay", None, false, 3, 100), (vec![1, 57, 2], false));
        assert_eq!(find("hay", None, true, 3, 60), (vec![59, 60, 5], false));
        assert_eq!(find("hay", None, true, 3, 59), (vec![59, 60, 5], true));
        assert_eq!(find("hay", None, false, 3, 10), (vec![57, 51, 52], true));
        assert_eq!(find("hay", Some("BOB"), true, 9, 10), (vec![57, 51, 54, 60], true));
        assert_eq!(find("hay", Some("bob"), false, 2, 100), (vec![57, 3], false));
        assert_eq!(find("straw", None, true, 3, 10), (vec![], false));
        assert_eq!(find("", Some("bob"), true, 9, 10), (vec![51, 54, 60], true));
        assert_eq!(find("", None, true, 3, 10), (vec![59, 60, 5], false));
    }
}
