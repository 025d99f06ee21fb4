//! `[history]`: whether what people say is kept for those who come later.

use super::section::Section;

/// `[history]`
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub enabled: bool,
}

impl Default for History {
    fn default() -> History {
        History { enabled: true }
    }
}

impl Section<'_, '_, '_> {
    pub(super) fn history(&mut self) {
        let mut history = std::mem::take(&mut self.reader.reading.config.history);
        self.flag("enabled", &mut history.enabled);
        self.without_effect(&["keep", "keep_messages"]);
        self.reader.reading.config.history = history;
    }
}
