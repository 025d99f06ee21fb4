//! What clients say: one row a command, and below the rows of each file their handlers.

mod about;
mod account;
mod admin;
mod authenticate;
mod ban;
mod banlist;
mod channel;
mod chanserv;
mod chathistory;
mod end;
mod etrace;
mod force;
mod guise;
mod help;
mod knock;
mod look;
mod map;
mod markread;
mod metadata;
mod mode;
mod monitor;
mod nickserv;
mod persistence;
mod presence;
mod redact;
mod register;
mod rename;
mod report;
mod search;
mod servers;
mod silence;
mod stats;
mod talk;
mod tban;
mod trace;
mod wall;
mod webirc;
mod who;
mod whois;

pub use account::{Wanted, account_hashed, account_vouched_for};
use account::{check_email, check_new_password, may_register};
pub use admin::oper_checked;
pub use ban::duration;
use banlist::{all_bans, bans};
pub use channel::{bring, invite_to};
use chanserv::hear as hear_chanserv;
pub use look::WHOWAS_NICKS_MAX;
pub use mode::show as show_modes;
use nickserv::hear as hear_nickserv;
pub use nickserv::{identified, password_changed, put_off};
use register::rename as go_by;
pub use register::{complete, pong_answered, rename, take_nick_from_ghost};
pub use report::in_words_of as report_in_words;
use stats::letters as stats_letters;
pub use whois::whois_answered;

use super::query::Query;
use super::turn::{Outcome, Refusal, Turn};
use crate::wire::names::Word;
use crate::wire::numeric;

/// One command of clients.
pub struct Command {
    pub name: &'static str,
    pub params_min: usize,
    pub who: Who,
    pub run: fn(&mut Turn, &[&str]) -> Outcome,
    /// The parameters, as HELP shows them.
    pub usage: &'static str,
    pub help: &'static str,
}

/// Who may give a command at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Anyone,
    /// Only while registering.
    Unregistered,
    Registered,
    /// Operators whose class has this right.
    Operator(&'static str),
}

/// Every file's rows.
pub const COMMANDS: &[&[Command]] = &[
    register::COMMANDS,
    authenticate::COMMANDS,
    account::COMMANDS,
    nickserv::COMMANDS,
    talk::COMMANDS,
    redact::COMMANDS,
    rename::COMMANDS,
    report::COMMANDS,
    channel::COMMANDS,
    knock::COMMANDS,
    chathistory::COMMANDS,
    markread::COMMANDS,
    persistence::COMMANDS,
    search::COMMANDS,
    chanserv::COMMANDS,
    tban::COMMANDS,
    mode::COMMANDS,
    presence::COMMANDS,
    silence::COMMANDS,
    monitor::COMMANDS,
    metadata::COMMANDS,
    look::COMMANDS,
    who::COMMANDS,
    whois::COMMANDS,
    about::COMMANDS,
    help::COMMANDS,
    map::COMMANDS,
    servers::COMMANDS,
    stats::COMMANDS,
    banlist::COMMANDS,
    admin::COMMANDS,
    ban::COMMANDS,
    force::COMMANDS,
    guise::COMMANDS,
    webirc::COMMANDS,
    wall::COMMANDS,
    end::COMMANDS,
    etrace::COMMANDS,
    trace::COMMANDS,
];

pub fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().copied().flatten()
}

/// Finds a command by its name, in any case.
pub fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name.eq_ignore_ascii_case(name))
}

/// What any server may be asked, whoever asks.
const QUERIES: &[&[&Query]] =
    &[about::QUERIES, servers::QUERIES, stats::QUERIES, etrace::QUERIES, trace::QUERIES];

/// Finds what another server asks for one of its users.
pub fn query(name: &str) -> Option<&'static Query> {
    QUERIES.iter().copied().flatten().copied().find(|query| query.name == name)
}

/// The words of a list with commas between them. A list of nothing is as good as none.
fn at_least_one<'list>(command: &str, list: &'list str) -> Result<Vec<&'list str>, Refusal> {
    let words: Vec<&str> = list.split(',').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { Err(numeric::need_more_params(Word::echo(command)).into()) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RIGHTS;

    #[test]
    fn every_right_that_a_command_needs_can_be_given() {
        for command in all() {
            if let Who::Operator(right) = command.who {
                assert!(RIGHTS.iter().any(|(name, _)| *name == right), "{} needs {right}", command.name);
            }
        }
    }
}
