//! Changes, sent on to each peer that has not had them.

use std::sync::Arc;

use super::Engine;
use super::effect::Effect;
use super::event::ConnId;
use super::merge::Stream;
use super::network::Change;
use super::peer;

impl Engine {
    /// Passes a change down its origin's tree: one copy for each server, though links are redundant.
    /// Whoever misses it pulls it.
    pub(super) fn forward(&mut self, change: &Arc<Change>, from: Option<ConnId>, line: Option<Arc<str>>) {
        let dot = change.dot;
        let mut to = Vec::new();
        for link in self.links.by_conn.values_mut().filter(|link| link.is_accepted()) {
            let Some(sid) = link.sid() else { continue };
            let has_it = Some(link.conn) == from || link.known.of(dot.stream).covers(dot);
            if !has_it && self.routes.is_child(dot.origin.server, sid) {
                link.known.of_mut(dot.stream).raise(dot.origin, dot.seq);
                to.push(link.conn);
            }
        }
        if !to.is_empty() && dot.origin == self.origin_of(Stream::Durable) && dot.stream == Stream::Durable {
            self.network.tell_durable(dot.seq);
        }
        if !to.is_empty() {
            let line = line.unwrap_or_else(|| peer::write_change(change).into());
            match change.edit.is_secret() {
                true => {
                    self.effects.extend(to.into_iter().map(|to| Effect::SendApart { to, line: line.clone() }))
                }
                false => self.effects.push(Effect::SendAll { to, line }),
            }
        }
    }
}
