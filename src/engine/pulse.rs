//! What a tick brings: pings, timeouts, expiries.

use std::time::Duration;

use super::Engine;
use super::effect::{Effect, Topic};
use super::event::ConnId;
use super::links::LinkStage;
use super::merge::Stream;
use super::network::Reach;
use super::session::Stage;

/// How often each end of a link says something, whatever else is said; and how long a link may be silent, or leave
/// us without a sign that we are heard, before it counts as dead.
const LINK_PING_EVERY_MS: u64 = 5_000;
const LINK_DEAD_AFTER_MS: u64 = 20_000;

/// How long two servers may take to accept each other.
const GREET_WITHIN_MS: u64 = 10_000;

/// How long a peer may take then until it has said what it has, which it does first.
const HAVE_WITHIN_MS: u64 = 30_000;

/// How often the map is told anew, for whoever missed a change.
const ROUTES_EVERY_MS: u64 = 30_000;

/// How often it is looked for channels' settings that nobody can see again, and how long nobody must have
/// been on the channel: somebody out of reach may come back to it.
const FORGET_EVERY_MS: u64 = 60_000;
const FORGET_AFTER_MS: u64 = 24 * 3_600_000;
/// So long where nobody is out of reach.
const FORGET_AFTER_IN_SIGHT_MS: u64 = 10 * 60_000;

/// A bound on all stamps is put on disk before they reach it, so that none is given out again after a crash: so
/// far ahead of them, and anew when they have come so near. Whoever writes nothing writes nothing to disk either.
pub const CLOCK_BOUND_AHEAD_MS: u64 = 5_000;
const CLOCK_BOUND_NEAR_MS: u64 = 2_000;

impl Engine {
    pub(super) fn pulse(&mut self) {
        self.tell_held_modes();
        self.write_held_deltas();
        // What is of people who have yet to be shown comes behind them.
        if !self.network.is_turning() {
            self.tell_late();
        }
        self.expire_reach();
        let due = self.sessions.looks.take_due(self.now.steady_ms);
        self.check_sessions(&due);
        self.expire_absences();
        self.check_batches(&due);
        self.release_late_lines(&due);
        self.look_again(&due);
        self.check_links();
        self.end_quarantines();
        self.expire_pulls();
        self.retell_again();
        self.note_heard();
        self.hand_over_again();
        self.call_places();
        self.chase_asks();
        self.chase_pipes();
        self.expire_secrets();
        self.forget_barren();
        self.remove_expired_entries();
        self.tally.users_local_max = self.tally.users_local_max.max(self.sessions.registered());
    }

    fn check_sessions(&mut self, due: &[ConnId]) {
        let now_ms = self.now.steady_ms;
        let limits = &self.config.limits;
        let (register_ms, ping_ms, pong_ms) = (
            limits.register_within.as_millis() as u64,
            limits.ping_after.as_millis() as u64,
            limits.pong_within.as_millis() as u64,
        );
        let mut late: Vec<(ConnId, String)> = Vec::new();
        let mut silent: Vec<ConnId> = Vec::new();
        for session in due.iter().filter_map(|conn| self.sessions.get(*conn)) {
            match (&session.stage, session.pinged_ms) {
                (Stage::Registering(_), _) if now_ms >= session.opened_ms + register_ms => {
                    late.push((session.conn, "Registration timed out".to_string()));
                }
                (Stage::Registered(_), Some(pinged_ms)) if now_ms >= pinged_ms + pong_ms => {
                    let seconds = (now_ms - session.heard_ms) / 1000;
                    late.push((session.conn, format!("Ping timeout: {seconds} seconds")));
                }
                (Stage::Registered(_), None) if now_ms >= session.heard_ms + ping_ms => {
                    silent.push(session.conn)
                }
                _ => {}
            }
        }
        for (conn, why) in late {
            self.lose_client(conn, &why);
        }
        let line: std::sync::Arc<str> = format!("PING :{}", self.identity.name).into();
        for conn in silent {
            if let Some(session) = self.sessions.get_mut(conn) {
                session.pinged_ms = Some(now_ms);
            }
            self.effects.push(Effect::Send { to: conn, line: line.clone() });
        }
    }

    /// Has all of them looked at in the next tick.
    pub(super) fn look_at_all(&mut self) {
        let conns: Vec<ConnId> = self.sessions.iter().map(|session| session.conn).collect();
        conns.into_iter().for_each(|conn| self.sessions.looks.soon(conn));
    }

    /// Has each looked at again when the first of what it has begun will have taken too long.
    fn look_again(&mut self, due: &[ConnId]) {
        let now_ms = self.now.steady_ms;
        let limits = &self.config.limits;
        let within = |since_ms: u64, within: Duration| since_ms + within.as_millis() as u64;
        for conn in due {
            let Some(session) = self.sessions.get(*conn) else { continue };
            let stage_ms = match (&session.stage, session.pinged_ms) {
                (Stage::Registering(_), _) => Some(within(session.opened_ms, limits.register_within)),
                (Stage::Registered(_), Some(pinged_ms)) => Some(within(pinged_ms, limits.pong_within)),
                (Stage::Registered(_), None) => Some(within(session.heard_ms, limits.ping_after)),
                _ => None,
            };
            let next_ms = [stage_ms, session.batches.late_ms(), session.held.late_ms()];
            if let Some(at_ms) = next_ms.into_iter().flatten().min() {
                self.sessions.looks.at(*conn, at_ms.max(now_ms + 1));
            }
        }
    }

    fn check_links(&mut self) {
        let now_ms = self.now.steady_ms;
        let mut dead: Vec<(ConnId, &str)> = Vec::new();
        let mut due: Vec<ConnId> = Vec::new();
        let mut suspicions: Vec<(String, bool)> = Vec::new();
        let mut costs_changed = false;
        for link in self.links.by_conn.values_mut().filter(|link| link.stage != LinkStage::Closing) {
            if !link.is_accepted() {
                if now_ms >= link.opened_ms + GREET_WITHIN_MS {
                    dead.push((link.conn, "the greeting took too long"));
                }
                continue;
            }
            if link.suspicion.silent_ms(now_ms) >= LINK_DEAD_AFTER_MS {
                dead.push((link.conn, "no sign of life"));
                continue;
            }
            if link.hearing.is_missing(now_ms, LINK_DEAD_AFTER_MS) {
                dead.push((link.conn, "it does not hear us: no PING was answered"));
                continue;
            }
            let has_told = Stream::OF_FACTS.iter().all(|stream| link.known.told.contains(stream));
            if !has_told && now_ms >= link.opened_ms + HAVE_WITHIN_MS {
                dead.push((link.conn, "it does not say what it has"));
                continue;
            }
            if now_ms >= link.pinged_ms + LINK_PING_EVERY_MS {
                due.push(link.conn);
            }
            // Traffic leaves a link that may be dead while it is not yet certain, so that nobody waits for that.
            let before = (link.cost.value(), link.cost.is_suspected());
            link.cost.settle(link.suspicion.is_suspected(now_ms), now_ms);
            costs_changed |= link.cost.value() != before.0 && link.stage == LinkStage::Up;
            if link.cost.is_suspected() != before.1 {
                suspicions.push((link.label(), link.cost.is_suspected()));
            }
        }
        for (label, is_suspected) in suspicions {
            let what = if is_suspected {
                "is silent for longer than usual: other ways are preferred"
            } else {
                "is heard as usual again"
            };
            self.note(log::Level::Info, Topic::Link, format!("{label} {what}"));
        }
        dead.into_iter().for_each(|(conn, why)| self.close_link(conn, why));
        due.into_iter().for_each(|conn| self.send_ping(conn));
        if costs_changed {
            self.publish_route();
        }
        if now_ms >= self.route_told_ms + ROUTES_EVERY_MS && self.links.up().next().is_some() {
            self.route_told_ms = now_ms;
            self.publish_route();
            self.tell_all_have();
            self.tell_state();
            self.tell_chains();
        }
    }

    pub(super) fn bound_clock(&mut self) {
        let stamped_ms = self.clock.ms();
        if !self.is_stopping && stamped_ms + CLOCK_BOUND_NEAR_MS > self.clock_bound_ms {
            self.clock_bound_ms = stamped_ms + CLOCK_BOUND_AHEAD_MS;
            self.effects.push(Effect::KeepClock { ms: self.clock_bound_ms });
        }
    }

    /// Removes what this server has set on channels that are no more, and bans that are over.
    fn forget_barren(&mut self) {
        let now_ms = self.now.steady_ms;
        let is_due = now_ms >= self.forgot_ms + FORGET_EVERY_MS;
        if is_due {
            self.forgot_ms = now_ms;
            self.remove_expired_bans();
        }
        if !is_due && !self.has_more_to_forget {
            return;
        }
        let all_in_sight = self.network.reaches().all(|(_, reach)| reach == Reach::Reachable);
        let after_ms = if all_in_sight { FORGET_AFTER_IN_SIGHT_MS } else { FORGET_AFTER_MS };
        let (edits, has_more) = self.network.barren_facts(now_ms, after_ms);
        self.has_more_to_forget = has_more;
        edits.into_iter().for_each(|edit| self.write(edit, false));
    }
}
