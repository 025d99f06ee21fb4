//! Reads arguments, starts, waits for a signal.

fn main() {}
