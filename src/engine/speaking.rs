//! What somebody's words have to pass to be heard on a channel, and what becomes of them there.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use super::mode;
use super::network::{Channel, Edit, MaskFact, MemberFact, Verb};
use super::policy;
use super::turn::{Refusal, Turn};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::ChannelName;
use crate::wire::numeric;

/// On so many channels it is remembered when somebody spoke; of more, the one where it is longest ago is forgotten.
const CHANNELS_MAX: usize = 64;

/// Words that may be said.
pub struct Heard<'t> {
    pub channel: ChannelName,
    pub text: Cow<'t, str>,
    /// What one has to be at least to hear them.
    pub least: Option<char>,
}

/// How much somebody may say on a channel.
struct Limits {
    /// So many seconds have to lie between two lines.
    apart_s: Option<u64>,
    flood: Option<mode::Flood>,
}

/// When somebody lately spoke on the channels where it counts: decided by their own server, which alone hears all of it.
#[derive(Debug, Default)]
pub struct Pace {
    said_ms: BTreeMap<Folded, VecDeque<u64>>,
}

impl Pace {
    /// For how many seconds somebody has to be silent still, where there have to be so many between two lines.
    fn wait_s(&self, channel: &Folded, apart_s: u64, now_ms: u64) -> Option<u64> {
        let last_ms = *self.said_ms.get(channel)?.back()?;
        let left_ms = (last_ms + apart_s * 1000).checked_sub(now_ms).filter(|left_ms| *left_ms > 0)?;
        Some(left_ms.div_ceil(1000))
    }

    /// Notes some lines; whether there were more than so many within so many seconds.
    fn is_flood(&mut self, channel: &Folded, said: usize, most: Option<(usize, u64)>, now_ms: u64) -> bool {
        if !self.said_ms.contains_key(channel) && self.said_ms.len() >= CHANNELS_MAX {
            let oldest = self.said_ms.iter().min_by_key(|(_, said_ms)| said_ms.back().copied());
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.said_ms.remove(&oldest);
            }
        }
        let said_ms = self.said_ms.entry(channel.clone()).or_default();
        let (lines, seconds) = most.unwrap_or((1, 0));
        said_ms.extend(std::iter::repeat_n(now_ms, said.min(lines + 1)));
        while said_ms.len() > lines + 1 {
            said_ms.pop_front();
        }
        let first_ms = said_ms.front().copied().unwrap_or(now_ms);
        most.is_some() && said_ms.len() > lines && now_ms - first_ms < seconds * 1000
    }

    fn forget(&mut self, channel: &Folded) {
        self.said_ms.remove(channel);
    }
}

impl Turn<'_> {
    /// Whether the speaker may say that on a channel, to everyone or to those with a status, and in which words.
    pub fn speech<'t>(
        &mut self,
        channel: &str,
        verb: Verb,
        text: &'t str,
        least: Option<char>,
    ) -> Result<Heard<'t>, Refusal> {
        let known = self.channel(channel)?;
        let only_to = policy::may_speak(self.network(), known, self.user(), verb, text)?;
        if least.is_some() && !known.has(self.me()) {
            return Err(numeric::cannot_send_to_channel(&known.name).into());
        }
        let (shown, made_as) = (known.name.clone(), known.made_as.clone());
        let is_stripped = known.has_mode('S');
        // What is only shown for a moment, or added to what was said, is no line of its own.
        if verb != Verb::Tagmsg
            && let Some(limits) = self.limits_of(known)
        {
            let said = 1 + text.matches('\n').count();
            self.keep_pace(&shown, made_as.folded(), said, &limits)?;
        }
        let text = match is_stripped {
            true => Cow::Owned(mode::without_colours(text)),
            false => Cow::Borrowed(text),
        };
        if text.is_empty() && verb != Verb::Tagmsg {
            return Err(numeric::no_text_to_send().into());
        }
        if least.is_none() && only_to.is_none() {
            self.break_silence(&made_as.folded());
        }
        let rank = |letter: &char| mode::rank(Letters::NONE.with(*letter));
        Ok(Heard { channel: made_as, text, least: least.into_iter().chain(only_to).max_by_key(rank) })
    }

    /// Where nobody hears of the speaker before they speak, everyone does now.
    pub fn break_silence(&mut self, channel: &Folded) {
        let user = self.me();
        let member = self.network().channel(channel).and_then(|channel| channel.member(user));
        if let Some(member) = member.filter(|member| member.fact.is_silent) {
            let fact = MemberFact { is_silent: false, ..member.fact.clone() };
            self.change(Edit::Join { user, channel: channel.clone(), fact });
        }
    }

    /// How much the speaker may say on a channel: who has a status says as much as they like.
    fn limits_of(&self, channel: &Channel) -> Option<Limits> {
        let apart_s = channel.mode_value('W').and_then(|seconds| seconds.parse().ok());
        let flood = channel.mode_value('f').and_then(mode::Flood::parse);
        let is_limited = apart_s.is_some() || flood.is_some();
        (is_limited && channel.status(self.me()).is_empty()).then_some(Limits { apart_s, flood })
    }

    /// Slow mode and flood protection.
    fn keep_pace(
        &mut self,
        name: &ChannelName,
        id: Folded,
        said: usize,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let now_ms = self.now.steady_ms;
        let pace = &mut self.person_mut().pace;
        if let Some(wait_s) = limits.apart_s.and_then(|apart_s| pace.wait_s(&id, apart_s, now_ms)) {
            return Err(numeric::cannot_send_yet(name, wait_s).into());
        }
        let most = limits.flood.as_ref().map(|flood| (flood.lines, flood.seconds));
        if !pace.is_flood(&id, said, most, now_ms) {
            return Ok(());
        }
        pace.forget(&id);
        self.engine.tell_of_flood(self.conn, &format!("floods {name} and is stopped by its mode f"));
        if let Some(flood) = &limits.flood {
            self.end_flood(id, flood);
        }
        Err(numeric::cannot_send_because(name, "flood, +f").into())
    }

    /// Takes the speaker off a channel for what they said there, in the name of their own server.
    fn end_flood(&mut self, channel: Folded, flood: &mode::Flood) {
        let (user, by) = (self.me(), self.server_name().to_string());
        let Some(known) = self.network().channel(&channel) else { return };
        let (birth, is_member) = (known.birth, known.has(user));
        if flood.bans {
            let mask = format!("*!*@{}", self.user().fact.host);
            let fact = Some(MaskFact { by: by.clone(), at: self.now.wall, until: None });
            let (channel, by) = (channel.clone(), by.clone());
            self.change(Edit::Mask { channel, birth, list: 'b', mask, fact, by });
        }
        if is_member {
            let reason = format!("Flood: more than {} lines in {} seconds", flood.lines, flood.seconds);
            self.change(Edit::Kick { user, channel, by, reason });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fold::fold;

    #[test]
    fn a_flood_is_more_lines_than_so_many_within_so_many_seconds() {
        let (mut pace, green) = (Pace::default(), fold("#green"));
        let most = Some((3, 10));
        for (now_ms, is_flood) in
            [(0, false), (4_000, false), (5_000, false), (10_000, false), (14_000, false), (14_999, true)]
        {
            assert_eq!(pace.is_flood(&green, 1, most, now_ms), is_flood, "{now_ms}");
        }
        assert!(!pace.is_flood(&fold("#red"), 3, most, 15_000), "each channel for itself");
        assert!(pace.is_flood(&fold("#blue"), 4, most, 15_000), "a message may have several lines");
    }

    #[test]
    fn the_seconds_still_to_wait_are_counted_up() {
        let (mut pace, green) = (Pace::default(), fold("#green"));
        assert_eq!(pace.wait_s(&green, 10, 0), None);
        pace.is_flood(&green, 1, None, 1_000);
        for (now_ms, wait_s) in [(1_000, Some(10)), (1_001, Some(10)), (10_999, Some(1)), (11_000, None)] {
            assert_eq!(pace.wait_s(&green, 10, now_ms), wait_s, "{now_ms}");
        }
    }

    #[test]
    fn whoever_speaks_everywhere_takes_no_more_room() {
        let mut pace = Pace::default();
        for number in 0..1_000 {
            pace.is_flood(&fold(&format!("#{number}")), 1, Some((100, 10)), number);
        }
        assert_eq!(pace.said_ms.len(), CHANNELS_MAX);
        assert!(pace.said_ms.contains_key(&fold("#999")));
    }
}
