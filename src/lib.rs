//! Folkmoot: a federated chat server that speaks IRC to clients and heals its own links.

/// The program's version and revision, as one word.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-", env!("FOLKMOOT_REVISION"));

// Some of what tests share names the program as those outside of it do.
#[cfg(test)]
extern crate self as folkmoot;

/// What an admin may set.
pub mod config;
/// Faults that tests can plant; none in any build that is used.
pub mod defect;
/// Threads, sockets and files: no rules.
pub mod edge;
/// The rules: events in, effects out; no socket, clock or dice.
pub mod engine;
/// Many clients on any IRC server, and what that costs it.
pub mod load;
/// Text and values: nothing about who is connected.
pub mod wire;
