//! What goes from the store, and when: the oldest, where they are too old, too many or too large; events of channels
//! before what was said.

use rusqlite::{Transaction, params, params_from_iter};

use super::{Messages, emptied, whole};
use crate::config::History;
use crate::engine::Kind;
use crate::wire::time::Timestamp;

/// How many messages go at once: so many that nobody waits for it.
const PRUNED_AT_ONCE: i64 = 2_000;

/// Where there is no room for all, one in so many of what is kept is an event of a channel at most: however many people
/// come and go, it takes little of the room from what was said.
const EVENTS_ONE_IN: i64 = 4;

/// So many times the messages that may be kept there are rows at most, with what is left of events.
const ROWS_PER_MESSAGE: i64 = 2;

/// What is left of so many events in a row goes as one; of fewer it stays as long as it may, since each gap in what a
/// server has written keeps those waiting that ask for it.
const RUN_MIN: usize = 100;

/// In a stamp's number the time stands in front of so many bits.
const STAMP_COUNT_BITS: u32 = 16;

/// How much of the file is in use.
fn bytes_used(change: &Transaction) -> rusqlite::Result<i64> {
    let number = |name: &str| change.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
}

impl Messages {
    /// Deletes some of what is older than there may be, by when it was said, or else some of the oldest, by when they
    /// came here, where there are more than there may be; true where there are more of them. So of each origin those go
    /// first that it wrote first. Where they are too many, events go before that, but leave their places behind: a server
    /// that asks for all that one has written would else come to a gap at each of them. Where they are too large that
    /// would be of no use: a row that says less takes the same page.
    pub fn prune(
        &mut self,
        change: &Transaction,
        limits: &History,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        let keep_ms = u64::try_from(limits.keep.as_millis()).unwrap_or(u64::MAX);
        let oldest = whole(now.0.saturating_sub(keep_ms)) << STAMP_COUNT_BITS;
        let too_old = "SELECT arrival FROM message WHERE time < ?1 ORDER BY time LIMIT ?2";
        let mut gone = self.let_go(change, too_old, &[oldest, PRUNED_AT_ONCE])?;
        if gone == 0 {
            let too_many = self.beyond(limits).clamp(0, PRUNED_AT_ONCE);
            let too_large = self.too_large(change, limits)?.min(PRUNED_AT_ONCE);
            let events = self.empty_events(change, too_many)?;
            gone = events + self.let_go_first(change, too_large.max(too_many - events))?;
            let most = whole(limits.keep_messages).saturating_mul(ROWS_PER_MESSAGE);
            let crowd = if most == 0 { 0 } else { (self.count - most).clamp(0, PRUNED_AT_ONCE) };
            let runs = self.let_go_runs(change, crowd)?;
            gone += runs + self.let_go_first(change, (crowd - runs).max(0))?;
        }
        let has_more = gone >= PRUNED_AT_ONCE || gone > 0 && self.beyond(limits) > 0;
        if 0 < gone && !has_more {
            let empty = "NOT EXISTS (SELECT 1 FROM message WHERE message.place = ";
            change.execute(&format!("DELETE FROM party WHERE {empty} party.place)"), [])?;
            change.execute(&format!("DELETE FROM place WHERE {empty} place.id)"), [])?;
            self.places.clear();
        }
        Ok(has_more)
    }

    /// How many more messages and events there are than there may be.
    fn beyond(&self, limits: &History) -> i64 {
        match limits.keep_messages {
            0 => 0,
            most => self.count - self.emptied - whole(most),
        }
    }

    /// How many take up what is too much; the rest of the file is small.
    fn too_large(&self, change: &Transaction, limits: &History) -> rusqlite::Result<i64> {
        if limits.keep_bytes == 0 {
            return Ok(0);
        }
        let used = bytes_used(change)?;
        Ok((used - whole(limits.keep_bytes)).max(0).saturating_mul(self.count) / used.max(1))
    }

    fn let_go_first(&mut self, change: &Transaction, most: i64) -> rusqlite::Result<i64> {
        self.let_go(change, "SELECT arrival FROM message ORDER BY arrival LIMIT ?1", &[most])
    }

    /// Deletes what is left of events, so many rows at most and the first of them, where it stands together: so a flood of
    /// events takes no room from what was said.
    fn let_go_runs(&mut self, change: &Transaction, most: i64) -> rusqlite::Result<i64> {
        let sql = "SELECT origin, seq, arrival FROM message INDEXED BY message_event
             WHERE kind >= 5 AND kind = ?1 ORDER BY arrival LIMIT ?2";
        let mut first = change.prepare_cached(sql)?;
        let rows = first.query_map([Kind::Emptied.number(), most], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })?;
        let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        rows.sort_unstable();
        let runs = rows.chunk_by(|(origin, seq, _), next| (*origin, *seq + 1) == (next.0, next.1));
        let mut gone = 0;
        for (_, _, arrival) in runs.filter(|run| run.len() >= RUN_MIN).flatten() {
            gone += self.let_go(change, "SELECT ?1", &[*arrival])?;
        }
        Ok(gone)
    }

    /// Takes what they say away from the first events, as far as there are too many of them among what stays when so many
    /// go; says from how many.
    fn empty_events(&mut self, change: &Transaction, goes: i64) -> rusqlite::Result<i64> {
        let stays = self.count - self.emptied - goes;
        let most = (self.events - stays / EVENTS_ONE_IN).min(goes).max(0);
        let sql = "SELECT arrival, line FROM message INDEXED BY message_event
             WHERE kind >= 5 AND kind = ?1 ORDER BY arrival LIMIT ?2";
        let mut first = change.prepare_cached(sql)?;
        let rows = first.query_map([Kind::Happening.number(), most], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
        let sql = "UPDATE message SET line = ?2, kind = ?3, place = NULL, late = 0 WHERE arrival = ?1";
        let mut empty = change.prepare_cached(sql)?;
        for (arrival, line) in &rows {
            // What this version cannot read says nothing to anybody either.
            let left = emptied(line).unwrap_or_else(|| line.clone());
            empty.execute(params![arrival, left, Kind::Emptied.number()])?;
        }
        let count = rows.len() as i64;
        (self.events, self.emptied) = (self.events - count, self.emptied + count);
        Ok(count)
    }

    /// Deletes the messages that are chosen; says how many.
    pub(super) fn let_go(
        &mut self,
        change: &Transaction,
        chosen: &str,
        values: &[i64],
    ) -> rusqlite::Result<i64> {
        let sql = format!("DELETE FROM words WHERE rowid IN ({chosen})");
        change.prepare_cached(&sql)?.execute(params_from_iter(values))?;
        let sql = format!("DELETE FROM message WHERE arrival IN ({chosen}) RETURNING kind");
        let mut delete = change.prepare_cached(&sql)?;
        let kinds = delete.query_map(params_from_iter(values), |row| row.get::<_, i64>(0))?;
        let mut gone = 0;
        for kind in kinds {
            let kind = kind?;
            gone += 1;
            self.events -= i64::from(kind == Kind::Happening.number());
            self.emptied -= i64::from(kind == Kind::Emptied.number());
        }
        self.count -= gone;
        Ok(gone)
    }
}
