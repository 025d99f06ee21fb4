//! Bytes to lines and back: framing, length limits, and what a broken line costs (itself only).

/// What is wrong with a line as bytes, before anybody asks what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Tags or body longer than allowed; the line was thrown away as it came.
    TooLong,
    /// Not UTF-8, which this network requires (UTF8ONLY).
    NotUtf8,
}

/// All whole lines of one recv, in one buffer, without their line ends.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    text: String,
    lines: Vec<Result<std::ops::Range<usize>, LineFault>>,
}

impl Lines {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Result<&str, LineFault>> {
        self.lines.iter().map(|line| line.clone().map(|range| &self.text[range]))
    }
}

/// Lines from text, one per line end; for tests and for whoever already has text.
impl From<&str> for Lines {
    fn from(text: &str) -> Lines {
        let mut lines = Lines::default();
        for line in text.lines() {
            let start = lines.text.len();
            lines.text.push_str(line);
            lines.lines.push(Ok(start..lines.text.len()));
        }
        lines
    }
}
