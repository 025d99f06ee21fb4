//! What clients might say, from the nearly right to the senseless, and what servers are held to whatever it was.

pub mod lines;
pub mod shrink;
pub mod town;
mod valid;
