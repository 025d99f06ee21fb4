//! Folkmoot: a federated chat server that speaks IRC to clients and heals its own links.

/// What an admin may set.
pub mod config;
/// Threads, sockets and files: no rules.
pub mod edge;
/// The rules: events in, effects out; no socket, clock or dice.
pub mod engine;
/// Text and values: nothing about who is connected.
pub mod wire;
