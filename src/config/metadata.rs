//! `[metadata]`: what people may say of themselves and of their channels for programs to read.

use super::section::Section;

/// How long a key may be: a value as long as may be fits beside it on one line, behind the longest names.
pub const METADATA_KEY_BYTES_MAX: usize = 32;

/// `[metadata]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// How many keys a person, or a channel, may have.
    pub keys: usize,
    pub value_bytes: usize,
    /// To how many keys one client may subscribe.
    pub subscriptions: usize,
}

impl Default for Metadata {
    fn default() -> Metadata {
        Metadata { keys: 20, value_bytes: 300, subscriptions: 50 }
    }
}

impl Section<'_, '_, '_> {
    pub(super) fn metadata(&mut self) {
        let mut metadata = std::mem::take(&mut self.reader.reading.config.metadata);
        self.number("keys", &mut metadata.keys, 0, 100);
        self.number("value_bytes", &mut metadata.value_bytes, 16, 300);
        self.number("subscriptions", &mut metadata.subscriptions, 1, 200);
        self.reader.reading.config.metadata = metadata;
    }
}
