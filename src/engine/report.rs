//! What the rest of the program may know of the engine: copied out, then the lock is let go.

use crate::wire::names::ServerId;

/// A server's state at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub epoch: u32,
    pub clients_max: usize,
    pub users_local: usize,
    pub users_network: usize,
    pub channels: usize,
    /// Every server of the network that can be reached, this one included.
    pub servers: Vec<ServerId>,
    /// Peers whose link is up.
    pub links: Vec<ServerId>,
    /// A digest of the whole shared state; equal on two servers that have heard the same.
    pub state_hash: u64,
}
