//! What goes from the store, and when: the oldest, where they are too old, too many or too large.

use rusqlite::Transaction;

use super::{Messages, whole};
use crate::config::History;
use crate::wire::time::Timestamp;

/// How many messages go at once: so many that nobody waits for it.
const PRUNED_AT_ONCE: i64 = 2_000;

/// In a stamp's number the time stands in front of so many bits.
const STAMP_COUNT_BITS: u32 = 16;

/// How many of the oldest are too old; at most so many as go at once.
fn too_old(change: &Transaction, limits: &History, now: Timestamp) -> rusqlite::Result<i64> {
    let keep_ms = u64::try_from(limits.keep.as_millis()).unwrap_or(u64::MAX);
    let oldest = whole(now.0.saturating_sub(keep_ms)) << STAMP_COUNT_BITS;
    let mut times = change.prepare_cached("SELECT time FROM message ORDER BY arrival LIMIT ?1")?;
    let mut times = times.query([PRUNED_AT_ONCE])?;
    let mut count = 0;
    while let Some(row) = times.next()?
        && row.get::<_, i64>(0)? < oldest
    {
        count += 1;
    }
    Ok(count)
}

/// How much of the file is in use.
fn bytes_used(change: &Transaction) -> rusqlite::Result<i64> {
    let number = |name: &str| change.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
}

impl Messages {
    /// Deletes some of the oldest, by when they came here, where they are older or more than there may be; true where
    /// there are more of them. So of each origin those go first that it wrote first.
    pub fn prune(
        &mut self,
        change: &Transaction,
        limits: &History,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        let first: Option<i64> =
            change.query_row("SELECT min(arrival) FROM message", [], |row| row.get(0))?;
        let Some(first) = first else { return Ok(false) };
        let count = self.arrival - first + 1;
        let beyond = |most: u64| if most > 0 { count - whole(most) } else { 0 };
        let too_large = match limits.keep_bytes {
            0 => 0,
            most => {
                let used = bytes_used(change)?;
                // As many as take up what is too much; the rest of the file is small.
                (used - whole(most)).max(0).saturating_mul(count) / used.max(1)
            }
        };
        let goes = beyond(limits.keep_messages).max(too_large).max(too_old(change, limits, now)?);
        let goes = goes.min(PRUNED_AT_ONCE);
        if goes <= 0 {
            return Ok(false);
        }
        change.execute("DELETE FROM words WHERE rowid >= ?1 AND rowid < ?2", [first, first + goes])?;
        change.execute("DELETE FROM message WHERE arrival < ?1", [first + goes])?;
        if goes < PRUNED_AT_ONCE {
            let empty = "NOT EXISTS (SELECT 1 FROM message WHERE message.place = ";
            change.execute(&format!("DELETE FROM party WHERE {empty} party.place)"), [])?;
            change.execute(&format!("DELETE FROM place WHERE {empty} place.id)"), [])?;
            self.places.clear();
        }
        Ok(goes == PRUNED_AT_ONCE)
    }
}
