//! What is asked of neighbours: whatever they are known to have, and this server has not.

use std::collections::BTreeMap;

use super::{Gap, WAITING_MAX, Wanted};
use crate::defect::{Defect, is_planted};
use crate::engine::Engine;
use crate::engine::effect::Topic;
use crate::engine::event::ConnId;
use crate::engine::links::{Link, LinkStage, Pull};
use crate::engine::merge::{Origin, Stream};
use crate::wire::base36;
use crate::wire::message::Draft;

/// How long messages that one neighbour has lost are waited for from elsewhere.
const GAP_OPEN_MS: u64 = 5_000;

/// How long a neighbour may take to answer before another is asked.
const PULL_WITHIN_MS: u64 = 10_000;

/// How long an answer may take in all, though it goes on coming: a slow link needs its time, and nobody may keep others
/// from being asked for ever.
const PULL_WHOLLY_WITHIN_MS: u64 = 300_000;

/// How many messages a neighbour is asked for at once, and how often before it has answered: so many as this server takes
/// in within a few milliseconds, since its people wait for all that stands in front of what they say.
const MESSAGES_PER_RANGE: u64 = 100;
const RANGES_PER_LINK: usize = 2;

impl Engine {
    /// Asks neighbours for what they are known to have and this server has not. Messages first:
    /// those that were said before a fact can then be heard before it.
    pub(in crate::engine) fn pull(&mut self) {
        if is_planted(Defect::GapsStay) {
            return;
        }
        self.pull_messages();
        Stream::OF_FACTS.into_iter().for_each(|stream| self.pull_facts(stream));
        self.raise_links();
    }

    /// What one neighbour does not give is asked of another. A long range is split, so that all who have it send a part.
    fn pull_messages(&mut self) {
        if !self.may_catch_up() {
            return;
        }
        let seen = self.network.seen(Stream::Message).clone();
        let mut holders: BTreeMap<Origin, Vec<(ConnId, u64)>> = BTreeMap::new();
        let gaps = &self.intake.gaps;
        let lacks = |conn, origin| gaps.get(&origin).is_some_and(|gap: &Gap| gap.without.contains(&conn));
        for link in self.links.by_conn.values().filter(|link| link.is_accepted()) {
            for (origin, _, tip) in self.lacking(link, Stream::Message) {
                if !lacks(link.conn, origin) {
                    holders.entry(origin).or_default().push((link.conn, tip));
                }
            }
        }
        for (origin, holders) in holders {
            self.pull_messages_of(origin, seen.tip(origin), &holders);
        }
    }

    fn pull_messages_of(&mut self, origin: Origin, tip: u64, holders: &[(ConnId, u64)]) {
        // No more than can wait for what comes before it.
        let end = tip + WAITING_MAX as u64;
        let mut from = tip + 1;
        loop {
            let (first, last) = self.intake.next_gap(origin, from);
            let able = holders.iter().filter(|(_, tip)| *tip >= first);
            let asked = able.map(|(conn, tip)| (self.intake.asked_of(*conn), *conn, *tip));
            let Some((_, conn, tip)) = asked.filter(|(count, ..)| *count < RANGES_PER_LINK).min() else {
                return;
            };
            if first > end {
                return;
            }
            let last = last.min(end).min(tip).min(first + MESSAGES_PER_RANGE - 1);
            let wanted = Wanted { conn, first, last, since_ms: self.now.steady_ms };
            self.intake.wanted.entry(origin).or_default().push(wanted);
            let draft = Draft::new("WANT").param("M").param(origin);
            self.send_peer(conn, draft.param(base36::encode(first)).param(base36::encode(last)));
            from = last + 1;
        }
    }

    /// A neighbour has given all that it gives of the range that it was asked for first.
    pub(super) fn messages_done(&mut self, conn: ConnId, origin: Origin) {
        let Some(ranges) = self.intake.wanted.get_mut(&origin) else { return };
        let Some(place) = ranges.iter().position(|wanted| wanted.conn == conn) else { return };
        let done = ranges.remove(place);
        if ranges.is_empty() {
            self.intake.wanted.remove(&origin);
        }
        let seen = self.network.seen(Stream::Message).tip(origin);
        let is_missing = |seq: &u64| *seq > seen && !self.intake.is_waiting(origin, *seq);
        if (done.first..=done.last).any(|seq| is_missing(&seq)) {
            self.judge_claims(conn, Stream::Message, Some(origin));
        }
    }

    fn pull_facts(&mut self, stream: Stream) {
        if self.links.accepted().any(|link| link.pulls.contains_key(&stream)) {
            return;
        }
        let missing = self.links.accepted().find(|link| self.lacks_facts_of(stream, link));
        if let Some(conn) = missing.map(|link| link.conn) {
            let now_ms = self.now.steady_ms;
            let pull = Pull { asked_ms: now_ms, came_ms: now_ms, staged: None };
            self.links.by_conn.get_mut(&conn).expect("found above").pulls.insert(stream, pull);
            // What is not on disk yet is asked for once more, lest it be taken for what can be had from here.
            let said = self.network.said(stream).clone();
            self.send_vector(conn, "WANT", stream, &said);
        }
    }

    /// Whether the other end of a link has facts that are not here.
    fn lacks_facts_of(&self, stream: Stream, link: &Link) -> bool {
        !self.lacking(link, stream).is_empty()
    }

    fn lacks_any_facts_of(&self, link: &Link) -> bool {
        Stream::OF_FACTS.into_iter().any(|stream| self.lacks_facts_of(stream, link))
    }

    /// A link whose other end has nothing that is missing here becomes part of the map.
    fn raise_links(&mut self) {
        let ready: Vec<ConnId> = self
            .links
            .by_conn
            .values()
            .filter(|link| link.stage == LinkStage::Syncing && link.pulls.is_empty())
            .filter(|link| Stream::OF_FACTS.iter().all(|stream| link.known.told.contains(stream)))
            .filter(|link| !self.lacks_any_facts_of(link))
            .map(|link| link.conn)
            .collect();
        for conn in ready {
            let now_ms = self.now.steady_ms;
            let link = self.links.by_conn.get_mut(&conn).expect("found above");
            link.stage = LinkStage::Up;
            link.up_ms = Some(now_ms);
            let (label, sid) = (link.label(), link.sid());
            let (address, pin, opened_ms) = (link.address, link.pin, link.opened_ms);
            self.publish_route();
            let users = sid.map_or(0, |sid| self.network.users_of(sid).count());
            let took_ms = now_ms.saturating_sub(opened_ms);
            let text = format!(
                "{label} linked conn={} address={address} pin={pin} users={users} took_ms={took_ms}",
                conn.0
            );
            self.note(log::Level::Info, Topic::Link, text);
        }
    }

    /// A neighbour that did not answer in time is asked no longer.
    pub(in crate::engine) fn expire_pulls(&mut self) {
        let now_ms = self.now.steady_ms;
        let is_late = |since_ms: u64| now_ms.saturating_sub(since_ms) > PULL_WITHIN_MS;
        let mut in_vain = Vec::new();
        for (origin, ranges) in &mut self.intake.wanted {
            let late = ranges.extract_if(.., |wanted| is_late(wanted.since_ms));
            in_vain.extend(late.map(|wanted| (wanted.conn, *origin)));
        }
        self.intake.wanted.retain(|_, ranges| !ranges.is_empty());
        for (conn, origin) in in_vain {
            self.judge_claims(conn, Stream::Message, Some(origin));
        }
        let late: Vec<ConnId> = self
            .links
            .by_conn
            .values()
            .filter(|link| {
                let is_too_late = |pull: &Pull| now_ms > pull.asked_ms + PULL_WHOLLY_WITHIN_MS;
                link.pulls.values().any(|pull| is_late(pull.came_ms) || is_too_late(pull))
            })
            .map(|link| link.conn)
            .collect();
        for conn in late {
            // Half an answer may still come; on a new connection it cannot be taken for a whole one.
            self.close_link(conn, "did not answer a WANT in time");
        }
        self.close_gaps();
        self.pull();
    }

    /// What was asked of a link that is gone is asked of others.
    pub(in crate::engine) fn forget_pulls_of(&mut self, conn: ConnId) {
        for ranges in self.intake.wanted.values_mut() {
            ranges.retain(|wanted| wanted.conn != conn);
        }
        self.intake.wanted.retain(|_, ranges| !ranges.is_empty());
        self.intake.vain.forget(conn);
        if !is_planted(Defect::LiesOutliveLinks) {
            self.intake.drop_waiting_of(conn);
            self.end_quarantines_by(conn);
        }
    }

    /// Goes on behind messages that nobody has any more. Not at once: another neighbour may have kept
    /// them, or they are still on their way over a slower link.
    fn close_gaps(&mut self) {
        let now_ms = self.now.steady_ms;
        let seen = self.network.seen(Stream::Message);
        self.intake.gaps.retain(|origin, gap| seen.tip(*origin) < gap.last);
        // Some of it may be coming, though slowly, from somebody who has it.
        let wanted = &self.intake.wanted;
        let is_coming = |origin: &Origin, gap: &Gap| {
            let asked = wanted.get(origin).into_iter().flatten();
            asked.into_iter().any(|range| range.first <= gap.last && !gap.without.contains(&range.conn))
        };
        let late = self
            .intake
            .gaps
            .iter()
            .filter(|(origin, gap)| now_ms >= gap.since_ms + GAP_OPEN_MS && !is_coming(origin, gap));
        for (origin, last) in late.map(|(origin, gap)| (*origin, gap.last)).collect::<Vec<_>>() {
            self.intake.gaps.remove(&origin);
            self.network.skip_messages(origin, last);
            self.chronicle_gap(origin, last);
            self.take_waiting(origin, None);
        }
    }
}
