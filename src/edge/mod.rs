//! Threads, sockets and files: no rules.

pub mod beacon;
pub mod data;
pub mod discover;
pub mod discovery;
pub mod identity;
pub mod invite;
pub mod join;
pub mod joincode;
pub mod lan;
pub mod pairing;
pub mod password;
pub mod running;
pub mod settings;
