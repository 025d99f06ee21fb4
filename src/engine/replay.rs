//! What was said before, for those whose clients do not ask for it by CHATHISTORY: shown as they come to a channel, or
//! as they ask in the way of ZNC's playback module.

use super::cap::Cap;
use super::effect::Effect;
use super::gather::{Gather, Gathered};
use super::history::{Point, Record};
use super::merge::Stamp;
use super::network::{Change, Edit, Message, Target};
use super::reading::Reading;
use super::turn::Turn;
use crate::wire::fold::{Folded, fold};
use crate::wire::message::BODY_BYTES_MAX;
use crate::wire::names::ChannelName;
use crate::wire::time::Timestamp;

/// For how long what a client has asked for holds for channels that it comes to afterwards.
const ASKED_FOR_MS: u64 = 30_000;

/// What a client has asked for before it came to its channels.
#[derive(Debug)]
pub struct Asked {
    span: Span,
    /// The targets that it named; none where it named all.
    targets: Option<Vec<Folded>>,
    until_ms: u64,
}

/// Between which times something was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Span {
    fn has(self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time > from) && self.to.is_none_or(|to| time < to)
    }
}

impl Turn<'_> {
    /// Shows the speaker what was said on a channel before they came.
    pub fn replay(&mut self, channel: &Folded) {
        if self.wants(Cap::DraftChathistory) || !self.config().history.enabled {
            return;
        }
        let Some(known) = self.network().channel(channel) else { return };
        let (Some(member), Some(reading)) = (known.member(self.me()), Reading::of_channel(self, known))
        else {
            return;
        };
        let joined = member.fact.joined;
        let (span, most) = match self.wants(Cap::ZncPlayback) {
            true => match self.asked_for([channel, &known.name.folded()]) {
                Some(span) => (span, self.config().history.most_at_once),
                None => return,
            },
            false => (Span::default(), self.config().history.replay_on_join),
        };
        if most > 0 {
            self.show(reading, span, Some(joined), most, Vec::new());
        }
    }

    /// Shows a client that is somebody's who was here all along what was said on their channels: as much as those see who
    /// come to them, or all since nobody was connected, and then what was said to the person alone, too.
    pub fn replay_missed(&mut self, channels: &[Folded], since: Option<Timestamp>) {
        if !self.wants(Cap::DraftChathistory) && !self.wants(Cap::ZncPlayback) {
            self.replay_since(channels, since);
        }
    }

    /// The same for a client that has no reason to ask, since it does not know that it has missed anything.
    pub fn replay_since(&mut self, channels: &[Folded], since: Option<Timestamp>) {
        let history = &self.config().history;
        let most = if since.is_some() { history.most_at_once } else { history.replay_on_join };
        if !history.enabled || most == 0 {
            return;
        }
        let span = Span { from: since, to: None };
        if since.is_none() {
            self.show_all(self.places_of(channels), span, most);
            return;
        }
        // With whom they spoke is asked first, since answers come in any order, and channels are shown before people.
        let channels = channels.to_vec();
        self.with_targets(Vec::new(), span, move |turn, names| {
            let people = names.iter().rev().filter(|(name, _)| !ChannelName::looks_like(name));
            let people: Vec<Reading> = people.filter_map(|(name, _)| Reading::of_place(turn, name)).collect();
            let mut places = turn.places_of(&channels);
            places.extend(people);
            turn.show_all(places, span, most);
        });
    }

    fn places_of(&self, channels: &[Folded]) -> Vec<Reading> {
        let known = channels.iter().filter_map(|channel| self.network().channel(channel));
        known.filter_map(|channel| Reading::of_channel(self, channel)).collect()
    }

    /// Shows the latest of what was said in each place, one after another.
    fn show_all(&mut self, mut places: Vec<Reading>, span: Span, most: usize) {
        places.reverse();
        if let Some(first) = places.pop() {
            self.show(first, span, None, most, places);
        }
    }

    /// What the speaker's client has lately asked for of a channel.
    fn asked_for(&self, names: [&Folded; 2]) -> Option<Span> {
        let asked = self.session().asked.as_ref().filter(|asked| self.now.steady_ms < asked.until_ms)?;
        let is_meant =
            asked.targets.as_ref().is_none_or(|targets| names.iter().any(|name| targets.contains(name)));
        is_meant.then_some(asked.span)
    }

    /// Shows the latest of what was said in a place, and then the same of the places behind it.
    fn show(&mut self, reading: Reading, span: Span, joined: Option<Stamp>, most: usize, then: Vec<Reading>) {
        let want = Gather {
            reading: reading.clone(),
            after: span.from.map(Point::Time),
            // What comes after that is heard as it is said.
            before: joined.map(Point::Stamp).filter(|_| span.to.is_none()).or(span.to.map(Point::Time)),
            newest_first: true,
            most,
            events: false,
            arrived_after: None,
            // Who comes to a channel has asked for nothing, and waits for nothing.
            holds: joined.is_none(),
        };
        // Nothing of it is a reply to what the client has labelled.
        let label = self.label.take();
        let shown = self.gather(want, move |turn, outcome| {
            if let Ok(Gathered { records, .. }) = outcome {
                turn.say_before(&reading.shown, &records);
            }
            let mut then = then;
            if let Some(next) = then.pop() {
                // Each place costs a line, as if each had been asked for by one.
                let conn = turn.conn;
                turn.engine.effects.push(Effect::Charge { conn, lines: 1 });
                turn.show(next, span, None, most, then);
            }
            Ok(())
        });
        debug_assert!(shown.is_ok(), "asking fails later, if at all");
        self.label = label;
    }

    /// What was said, with the time in words where the client shows none.
    fn say_before(&mut self, shown: &str, records: &[Record]) {
        let me = self.me();
        let knows_own = self.wants(Cap::EchoMessage) || self.wants(Cap::ZncSelfMessage);
        // A client that knows of no messages of its own would show them as said by whom they were for.
        let is_own = |message: &Message| {
            message.sender == me && matches!(message.target, Target::User { user, .. } if user != me)
        };
        let changes = records.iter().map(Record::change);
        let changes = changes.filter(|change| match &change.edit {
            Edit::Message(message) => knows_own || !is_own(message),
            _ => false,
        });
        let changes: Vec<&Change> = changes.collect();
        if changes.is_empty() {
            return;
        }
        let kind = format!("chathistory {shown}");
        self.batched(&kind, false, |turn| match turn.wants(Cap::ServerTime) {
            true => turn.play(changes),
            false => turn.play_with_times(shown, &changes),
        });
    }

    fn play_with_times(&mut self, shown: &str, changes: &[&Change]) {
        let server = self.server_name().to_string();
        // Of people it is told whoever hears it, or a client would take it for something said to them.
        let (to, about) = match ChannelName::looks_like(shown) {
            true => (shown.to_string(), String::new()),
            false => (self.called(), format!(" between you and {shown}")),
        };
        let mut day = String::new();
        for change in changes {
            let time = change.stamp.time().to_string();
            let (date, clock) = time.split_once('T').unwrap_or((&time, ""));
            if date != day {
                self.say(format!(":{server} NOTICE {to} :What was said before{about}, on {date} (UTC):"));
                day = date.to_string();
            }
            if let Edit::Message(message) = &change.edit {
                let message = with_clock(message, clock.get(..5).unwrap_or_default());
                self.play([&Change { edit: Edit::Message(message), ..(*change).clone() }]);
            }
        }
        self.say(format!(":{server} NOTICE {to} :That was said before."));
    }

    // ZNC's playback module.

    /// Takes what a client says to `*playback`: PLAY <targets> [<from> [<to>]], by seconds since 1970; or LIST.
    pub fn playback_asked(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        match words[..] {
            [command, targets, ref span @ ..] if command.eq_ignore_ascii_case("play") => {
                let time = |place: usize| span.get(place).copied().and_then(seconds);
                self.play_targets(targets, Span { from: time(0), to: time(1) });
            }
            [command, ..] if command.eq_ignore_ascii_case("list") => self.list_targets(),
            _ => {}
        }
    }

    fn play_targets(&mut self, targets: &str, span: Span) {
        let names: Option<Vec<Folded>> = (targets != "*").then(|| targets.split(',').map(fold).collect());
        let until_ms = self.now.steady_ms + ASKED_FOR_MS;
        self.session_mut().asked = Some(Asked { span, targets: names, until_ms });
        let most = self.config().history.most_at_once;
        if targets != "*" {
            let mut names: Vec<&str> = Vec::new();
            for name in targets.split(',') {
                if names.len() < most && !names.iter().any(|known| fold(known) == fold(name)) {
                    names.push(name);
                }
            }
            let places = names.into_iter().filter_map(|name| Reading::of_place(self, name)).collect();
            self.show_all(places, span, most);
            return;
        }
        let channels: Vec<Folded> = self.user().channels.iter().cloned().collect();
        self.with_targets(channels, span, move |turn, names| {
            let names = names.iter().rev();
            let places = names.filter_map(|(name, _)| Reading::of_place(turn, name)).collect();
            turn.show_all(places, span, most);
        });
    }

    fn list_targets(&mut self) {
        self.with_targets(Vec::new(), Span::default(), |turn, names| {
            for (name, time) in names {
                let (nick, user) = (turn.called(), "playback");
                let ms = time.0;
                turn.say(format!(
                    ":*playback!{user}@znc.in PRIVMSG {nick} :{name} {0}.{1:03} {0}.{1:03}",
                    ms / 1000,
                    ms % 1000
                ));
            }
        });
    }

    /// Where something was said to the speaker within that time, and when the latest of it was.
    fn with_targets(
        &mut self,
        channels: Vec<Folded>,
        span: Span,
        then: impl FnOnce(&mut Turn, Vec<(String, Timestamp)>) + Send + Sync + 'static,
    ) {
        let query = self.targets_of(channels, span.from.map(Point::Time));
        let label = self.label.take();
        self.recall(query, move |turn, answer| {
            let mut names = turn.names_of_places(answer.unwrap_or_default());
            names.retain(|(_, time)| span.has(*time));
            let beyond = names.len().saturating_sub(turn.config().history.most_at_once);
            names.drain(..beyond);
            then(turn, names);
            Ok(())
        });
        self.label = label;
    }
}

/// A message with the time of day in front of its text, where there is room for it.
fn with_clock(message: &Message, clock: &str) -> Message {
    let (start, rest) = match message.text.strip_prefix("\u{1}ACTION ") {
        Some(rest) => ("\u{1}ACTION ", rest),
        None => ("", message.text.as_str()),
    };
    let text = format!("{start}[{clock}] {rest}");
    let more = text.len() - message.text.len();
    let first = message.pieces().next().map_or(0, |piece| piece.text.len());
    // Of source and target no more than this can stand in front of it.
    let in_front = format!(":{} PRIVMSG  :", message.source).len() + crate::wire::names::CHANNEL_BYTES_MAX;
    if in_front + first + more > BODY_BYTES_MAX {
        return message.clone();
    }
    let joints = message.joints.iter().map(|joint| joint + more).collect();
    Message { text, joints, ..message.clone() }
}

/// Seconds since 1970, with a fraction or without.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let ms = format!("{fraction:0<3.3}").parse::<u64>().ok().filter(|_| is_number(fraction))?;
    let whole = whole.parse::<u64>().ok().filter(|_| is_number(whole))?;
    Some(Timestamp(whole.checked_mul(1000)?.checked_add(ms)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves: znc.in/playback
    #[test]
    fn znc_counts_seconds() {
        for (text, ms) in [
            ("1558374442", Some(1_558_374_442_000)),
            ("1558374442.5", Some(1_558_374_442_500)),
            ("1558374442.123456", Some(1_558_374_442_123)),
            ("0", Some(0)),
            ("-1", None),
            ("1.", None),
            ("", None),
            ("99999999999999999999", None),
            ("18446744073709551.999", None),
            ("yesterday", None),
        ] {
            assert_eq!(seconds(text), ms.map(Timestamp), "{text}");
        }
    }
}
