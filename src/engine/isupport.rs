//! stub
use crate::config::Config;
use crate::wire::names::Word;
use crate::wire::numeric::{self, Numeric, Words};
pub fn replies(_: &Config) -> Vec<Numeric> {
    vec![]
}
pub fn my_info(server: &str, version: &str) -> Numeric {
    numeric::my_info(Word::echo(server), Word::echo(version), &Words::from("x"))
}
