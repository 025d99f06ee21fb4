//! Threads, sockets and files: no rules.

pub mod beacon;
pub mod data;
pub mod identity;
pub mod password;
pub mod running;
pub mod settings;
