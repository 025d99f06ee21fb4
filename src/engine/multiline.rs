//! Messages of several lines, put into words: as one batch for clients that know of such, line by line for others.

use super::Engine;
use super::event::ConnId;
use super::network::Message;
use super::outgoing::{Outgoing, Spoken};
use super::session::Session;
use crate::wire::base36;

impl Engine {
    /// `first` has every tag that the message has, and `rest` those that each of its lines has as well.
    pub(super) fn say_multiline(
        &mut self,
        to: Vec<ConnId>,
        message: &Message,
        (source, target): (&str, &str),
        (first, rest): (&Spoken, &Spoken),
    ) {
        let can_take = |conn: &ConnId| self.sessions.get(*conn).is_some_and(Session::wants_multiline);
        let (whole, lines): (Vec<ConnId>, Vec<ConnId>) = to.into_iter().partition(can_take);
        let verb = message.verb.name();
        let line = |text: &str| format!(":{source} {verb} {target} :{text}");
        if !whole.is_empty() {
            self.batches_made += 1;
            let batch = base36::encode(self.batches_made);
            let start = format!(":{source} BATCH +{batch} draft/multiline {target}");
            let mut said = vec![first.with_body(start)];
            said.extend(message.pieces().map(|piece| {
                let joined = piece.is_joined.then_some("");
                let spoken = rest.with_body(line(piece.text));
                spoken.tagged("batch", batch.as_str()).tagged_if("draft/multiline-concat", joined)
            }));
            said.push(rest.with_body(format!(":{source} BATCH -{batch}")));
            self.outgoing
                .extend(said.into_iter().map(|spoken| Outgoing { to: whole.clone().into(), spoken }));
        }
        if !lines.is_empty() {
            // A blank line would be a PRIVMSG without text, which such clients never saw.
            let texts = message.pieces().map(|piece| piece.text).filter(|text| !text.is_empty());
            for (place, text) in texts.enumerate() {
                let spoken = if place == 0 { first } else { rest };
                self.outgoing
                    .push(Outgoing { to: lines.clone().into(), spoken: spoken.with_body(line(text)) });
            }
        }
    }
}
