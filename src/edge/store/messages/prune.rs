//! What goes from the store, and when: the oldest, where they are too old, too many or too large.

use rusqlite::Transaction;

use super::{Messages, whole};
use crate::config::History;
use crate::wire::time::Timestamp;

/// How many messages go at once: so many that nobody waits for it.
const PRUNED_AT_ONCE: i64 = 2_000;

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
    /// first that it wrote first.
    pub fn prune(
        &mut self,
        change: &Transaction,
        limits: &History,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        let keep_ms = u64::try_from(limits.keep.as_millis()).unwrap_or(u64::MAX);
        let oldest = whole(now.0.saturating_sub(keep_ms)) << STAMP_COUNT_BITS;
        let too_old = "SELECT arrival FROM message WHERE time < ?1 ORDER BY time LIMIT ?2";
        let mut gone = self.let_go(change, too_old, [oldest, PRUNED_AT_ONCE])?;
        if gone == 0 {
            let goes = self.too_many(change, limits)?.min(PRUNED_AT_ONCE);
            let first = "SELECT arrival FROM message WHERE ?1 ORDER BY arrival LIMIT ?2";
            gone = self.let_go(change, first, [1, goes.max(0)])?;
        }
        if 0 < gone && gone < PRUNED_AT_ONCE {
            let empty = "NOT EXISTS (SELECT 1 FROM message WHERE message.place = ";
            change.execute(&format!("DELETE FROM party WHERE {empty} party.place)"), [])?;
            change.execute(&format!("DELETE FROM place WHERE {empty} place.id)"), [])?;
            self.places.clear();
        }
        Ok(gone == PRUNED_AT_ONCE)
    }

    /// How many there are more than there may be.
    fn too_many(&self, change: &Transaction, limits: &History) -> rusqlite::Result<i64> {
        let beyond = match limits.keep_messages {
            0 => 0,
            most => self.count - whole(most),
        };
        let too_large = match limits.keep_bytes {
            0 => 0,
            most => {
                let used = bytes_used(change)?;
                // As many as take up what is too much; the rest of the file is small.
                (used - whole(most)).max(0).saturating_mul(self.count) / used.max(1)
            }
        };
        Ok(beyond.max(too_large))
    }

    /// Deletes the messages that are chosen; says how many.
    fn let_go(&mut self, change: &Transaction, chosen: &str, values: [i64; 2]) -> rusqlite::Result<i64> {
        change.prepare_cached(&format!("DELETE FROM words WHERE rowid IN ({chosen})"))?.execute(values)?;
        let sql = format!("DELETE FROM message WHERE arrival IN ({chosen})");
        let gone = change.prepare_cached(&sql)?.execute(values)? as i64;
        self.count -= gone;
        Ok(gone)
    }
}
