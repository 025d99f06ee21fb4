//! What the rest of the program may know of the engine: copied out, then the lock is let go.

use crate::wire::names::ServerId;

/// What a server tells its LAN of itself while it runs: little, and found without going through the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub epoch: u32,
    pub description: String,
    /// Users now, and how many there may be.
    pub users: usize,
    pub clients_max: usize,
}

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
    /// A digest of what has been heard of each server; where it is equal, so is the view.
    pub seen_hash: u64,
    /// A digest of the whole shared state; equal on two servers that have heard the same.
    pub state_hash: u64,
}
