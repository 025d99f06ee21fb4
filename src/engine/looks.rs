//! When each connection has to be looked at for what it may not take for ever, so that no tick looks at all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::event::ConnId;

/// Whatever a client says meanwhile only puts off what is waited for, and is seen when it is looked at; only what begins
/// has to ask for a look.
#[derive(Debug, Default)]
pub struct Looks {
    by_time: BTreeSet<(u64, ConnId)>,
    by_conn: BTreeMap<ConnId, u64>,
}

impl Looks {
    /// In the next tick: something has begun.
    pub fn soon(&mut self, conn: ConnId) {
        self.at(conn, 0);
    }

    pub fn at(&mut self, conn: ConnId, at_ms: u64) {
        self.forget(conn);
        self.by_conn.insert(conn, at_ms);
        self.by_time.insert((at_ms, conn));
    }

    pub fn forget(&mut self, conn: ConnId) {
        if let Some(at_ms) = self.by_conn.remove(&conn) {
            self.by_time.remove(&(at_ms, conn));
        }
    }

    /// Those that are due, in the order in which they came; none of them is looked at again before somebody says when.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<ConnId> {
        let later = self.by_time.split_off(&(now_ms + 1, ConnId(0)));
        let due = std::mem::replace(&mut self.by_time, later);
        let mut due: Vec<ConnId> = due.into_iter().map(|(_, conn)| conn).collect();
        for conn in &due {
            self.by_conn.remove(conn);
        }
        due.sort_unstable();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_once_at_the_last_time_that_was_said() {
        let mut looks = Looks::default();
        looks.at(ConnId(3), 50);
        looks.at(ConnId(1), 100);
        looks.at(ConnId(2), 100);
        looks.at(ConnId(3), 101);
        looks.at(ConnId(4), 60);
        looks.forget(ConnId(4));
        assert_eq!(looks.take_due(99), []);
        assert_eq!(looks.take_due(100), [ConnId(1), ConnId(2)]);
        looks.soon(ConnId(1));
        assert_eq!(looks.take_due(100), [ConnId(1)]);
        assert_eq!(looks.take_due(101), [ConnId(3)]);
        assert!(looks.by_time.is_empty() && looks.by_conn.is_empty());
    }
}
