//! Who is typing, as clients say again and again: passed on no more often than anybody needs it.

use std::collections::BTreeMap;

use crate::wire::fold::Folded;

/// Clients say the same again after three seconds at the earliest; what comes faster than this says nothing new.
const AGAIN_AFTER_MS: u64 = 2_000;

/// What one client has said lately of its typing, and where.
#[derive(Debug, Default)]
pub struct Typing {
    said: BTreeMap<Folded, (String, u64)>,
}

impl Typing {
    /// Whether it is worth passing on: it is something else than before, or that was a while ago.
    pub fn is_news(&mut self, target: Folded, state: &str, now_ms: u64) -> bool {
        self.said.retain(|_, (_, said_ms)| now_ms < *said_ms + AGAIN_AFTER_MS);
        if self.said.get(&target).is_some_and(|(said, _)| said == state) {
            return false;
        }
        self.said.insert(target, (state.to_string(), now_ms));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fold::fold;

    /// Proves: +typing
    #[test]
    fn the_same_is_said_again_after_a_while_and_something_else_at_once() {
        let mut typing = Typing::default();
        for (target, state, now_ms, is_news) in [
            ("#green", "active", 0, true),
            ("#GREEN", "active", 1_999, false),
            ("#red", "active", 1_999, true),
            ("#green", "active", 2_000, true),
            ("#green", "done", 2_100, true),
            ("#green", "done", 2_200, false),
            ("#green", "active", 2_300, true),
        ] {
            assert_eq!(typing.is_news(fold(target), state, now_ms), is_news, "{target} {state} {now_ms}");
        }
        assert!(typing.is_news(fold("bob"), "active", 9_000));
        assert_eq!(typing.said.len(), 1, "what is long past is forgotten");
    }
}
