//! What tests share: transcripts, and the stages that they are played on. Each test takes the stage it
//! plays on (`simulated.rs` or `process.rs`) by its path, so that none carries what it does not use.

pub mod pattern;
pub mod play;
pub mod script;
pub mod stage;
