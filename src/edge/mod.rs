//! Threads, sockets and files: no rules.

pub mod beacon;
pub mod data;
pub mod discover;
pub mod discovery;
pub mod identity;
pub mod lan;
pub mod password;
pub mod running;
pub mod settings;
