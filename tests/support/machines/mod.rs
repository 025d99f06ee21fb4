//! Machines of their own, each a network namespace: on one LAN, or joined by cables that can be spoiled one by one.

pub mod cable;
pub mod havoc;
pub mod lan;
pub mod network;

pub use lan::{Lan, ip};
