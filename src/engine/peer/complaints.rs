//! COMPLAINT: what somebody has told those who run the network of somebody else, with what was said there.

use super::{EventMessage, or_star, unless_star};
use crate::engine::merge::Stamp;
use crate::engine::network::{Complaint, Edit, Party};
use crate::wire::message::{Draft, Message};
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[EventMessage {
    name: "COMPLAINT",
    params_min: 2,
    read: read_complaint,
    shape: "<id> <by> [<made at, ms> <who complains> <account or *> <of whom> <account or *> <channel or *> :<reason>]",
}];

/// What is said of the place is in a tag, line by line; more than so much of it is nobody's to read.
const CONTEXT_LINES_MAX: usize = 50;

pub fn write_complaint(id: Stamp, complaint: Option<&Complaint>, by: &str) -> Draft {
    // By its key a server that knows no such fact holds it all the same.
    let draft = Draft::new("COMPLAINT").tag("key", &format!("complaint/{id}"));
    let Some(complaint) = complaint else { return draft.tag("gone", "").param(id).param(or_star(by)) };
    let Complaint { made, by: from, about, place, reason, context } = complaint;
    let mut draft = draft.tag_unless_empty("context", &context.join("\n")).param(id).param(or_star(by));
    draft = draft.param(made.0);
    for party in [from, about] {
        draft = draft.param(or_star(&party.source)).param(or_star(party.account.as_deref().unwrap_or("")));
    }
    draft.param(or_star(place.as_deref().unwrap_or(""))).trailing(reason)
}

fn read_complaint(message: &Message) -> Option<Edit> {
    let (id, by) = (Stamp::parse(message.params[0])?, unless_star(message.params[1]).to_string());
    let some = |text: &str| Some(unless_star(text).to_string()).filter(|text| !text.is_empty());
    let party = |source: &str, account: &str| Party {
        source: unless_star(source).to_string(),
        account: some(account),
    };
    let fact = match message.params[2..] {
        [] => None,
        [made, from, from_account, about, about_account, place, reason, ..] => {
            let context = message.tags.get("context").unwrap_or_default();
            Some(Complaint {
                made: Timestamp(made.parse().ok()?),
                by: party(from, from_account),
                about: party(about, about_account),
                place: some(place),
                reason: reason.to_string(),
                context: context.lines().take(CONTEXT_LINES_MAX).map(str::to_string).collect(),
            })
        }
        _ => return None,
    };
    Some(Edit::Complaint { id, fact: fact.map(Box::new), by })
}
