//! What neighbours say they have: asked for where it is missing, and asked for ever more rarely where it
//! never comes.

use std::collections::BTreeMap;

use super::Fault;
use crate::engine::Engine;
use crate::engine::event::ConnId;
use crate::engine::links::Link;
use crate::engine::merge::{Origin, Stream, Vector};

/// So many origins are known of at most, runs of the past included: nobody can make up more.
pub(super) const ORIGINS_MAX: usize = 4096;

/// No run of a server is so far beyond both its latest one and the time.
const EPOCHS_AHEAD_MAX: u32 = 1 << 20;

/// After so many vain tries it is no accident any more.
const TRIES_MEANT: u32 = 3;

/// How long a claim that came to nothing is not believed: doubled with each try, up to this.
const PAUSE_MS: u64 = 1_000;
const PAUSE_MAX_MS: u64 = 3_600_000;

/// Claims that came to nothing when they were asked for.
#[derive(Debug, Default)]
pub(super) struct VainClaims(BTreeMap<(ConnId, Stream, Origin), Vain>);

#[derive(Debug)]
struct Vain {
    tries: u32,
    until_ms: u64,
}

impl VainClaims {
    pub fn forget(&mut self, conn: ConnId) {
        self.0.retain(|(vain, ..), _| *vain != conn);
    }
}

impl Engine {
    /// What a neighbour says it has and this server lacks, as far as it may be asked for: the first and the
    /// last of each origin.
    pub(super) fn lacking(&self, link: &Link, stream: Stream) -> Vec<(Origin, u64, u64)> {
        let seen = self.network.seen(stream);
        let is_false = self.is_false_relay(link);
        let beyond = link.known.of(stream).beyond(seen);
        let lacking = beyond.iter().filter_map(|(origin, last)| {
            let vain = self.intake.vain.0.get(&(link.conn, stream, origin));
            let is_vain = vain.is_some_and(|vain| self.now.steady_ms < vain.until_ms);
            let first = self.intake.first_missing(origin, stream, seen.tip(origin));
            let is_believed = !is_false || link.sid() == Some(origin.server);
            let may_ask = is_believed
                && !self.is_mine(origin, stream)
                && !is_vain
                && !self.quarantine.holds(origin, stream);
            (may_ask && first <= last).then_some((origin, first, last))
        });
        lacking.collect()
    }

    /// A neighbour was asked and has answered: what it claims to have beyond that, it does not have.
    pub(super) fn judge_claims(&mut self, conn: ConnId, stream: Stream, only: Option<Origin>) {
        let seen = self.network.seen(stream);
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        let label = link.label();
        let lacking = self.lacking(link, stream);
        let known = link.known.of(stream).clone();
        self.intake.vain.0.retain(|(at, of, origin), _| {
            (*at, *of) != (conn, stream) || known.tip(*origin) > seen.tip(*origin)
        });
        for (origin, _, last) in
            lacking.into_iter().filter(|(origin, ..)| only.is_none_or(|only| only == *origin))
        {
            let vain =
                self.intake.vain.0.entry((conn, stream, origin)).or_insert(Vain { tries: 0, until_ms: 0 });
            vain.tries += 1;
            let pause_ms = PAUSE_MAX_MS.min(PAUSE_MS << vain.tries.min(12));
            vain.until_ms = self.now.steady_ms + pause_ms;
            let tries = vain.tries;
            if tries >= TRIES_MEANT {
                let text = format!(
                    "{label} does not give what it says it has conn={} stream={} origin={origin} claimed={last} \
                     tries={tries} next_try_in_s={}",
                    conn.0,
                    stream.letter(),
                    pause_ms / 1000
                );
                self.suspect(Fault::VainClaim, &label, &text);
            }
        }
    }

    /// Whether a server can have come to a run or a generation. It counts them up from the time at which its data
    /// was made, and nobody starts so often that the time does not keep up.
    pub(super) fn is_likely_run(&self, origin: Origin) -> bool {
        let known =
            Stream::ALL.into_iter().filter_map(|stream| self.network.seen(stream).epoch(origin.server));
        let by_time = u32::try_from(self.now.wall.seconds()).unwrap_or(u32::MAX);
        let most = known.max().unwrap_or(0).max(by_time).saturating_add(EPOCHS_AHEAD_MAX);
        origin.epoch < most
    }

    /// Whether an origin may be one of those that are known; `false` is told.
    pub(super) fn has_room_for(&mut self, conn: ConnId, origin: Origin) -> bool {
        if !self.is_likely_run(origin) {
            self.note_too_many(conn, "runs");
            return false;
        }
        let streams = Stream::ALL.map(|stream| self.network.seen(stream));
        if streams.iter().any(|seen| seen.tip(origin) > 0)
            || streams.iter().all(|seen| seen.len() < ORIGINS_MAX)
        {
            return true;
        }
        self.note_too_many(conn, "origins");
        false
    }

    /// A vector that a neighbour told, as far as there is room for the origins that it names.
    pub(super) fn bounded(&mut self, conn: ConnId, mut vector: Vector) -> Vector {
        if vector.iter().any(|(origin, _)| !self.is_likely_run(origin)) {
            vector = vector.iter().filter(|(origin, _)| self.is_likely_run(*origin)).collect();
            self.note_too_many(conn, "runs");
        }
        let known = Stream::ALL.map(|stream| self.network.seen(stream));
        let is_known = |origin| known.iter().any(|seen| seen.tip(origin) > 0);
        let room = ORIGINS_MAX.saturating_sub(known.iter().map(|seen| seen.len()).max().unwrap_or(0));
        if vector.iter().filter(|(origin, _)| !is_known(*origin)).count() <= room {
            return vector;
        }
        let vector = vector.iter().filter(|(origin, _)| is_known(*origin)).collect();
        self.note_too_many(conn, "origins");
        vector
    }

    pub(super) fn note_too_many(&mut self, conn: ConnId, what: &str) {
        let label = self.links.by_conn.get(&conn).map_or(String::new(), Link::label);
        let text = format!("{label} tells of more {what} than there may be conn={}", conn.0);
        self.suspect(Fault::TooMany, &label, &text);
    }
}
