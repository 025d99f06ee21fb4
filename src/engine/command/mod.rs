//! What clients say: one row a command, and below the rows of each file their handlers.

mod register;

use super::turn::{Outcome, Turn};

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
pub const COMMANDS: &[&[Command]] = &[register::COMMANDS];

pub fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().copied().flatten()
}

/// Finds a command by its name, in any case.
pub fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name.eq_ignore_ascii_case(name))
}
pub fn whois_answered(_: &mut Turn, _: crate::wire::names::UserId, _: Option<(u64, u64)>) -> Outcome {
    Ok(())
}
pub fn oper_checked(_: &mut Turn, _: &str, _: &str, _: bool) -> Outcome {
    Ok(())
}
