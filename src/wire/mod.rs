//! Text and values: everything that can be said about a line without knowing who is connected.

pub mod base36;
pub mod cidr;
pub mod crc32c;
pub mod dns;
pub mod fold;
pub mod letters;
pub mod line;
pub mod mask;
pub mod message;
pub mod names;
pub mod numeric;
pub mod pin;
pub mod proxy;
pub mod standard;
pub mod time;
