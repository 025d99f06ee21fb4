//! Bytes to lines and back: framing, length limits, and what a broken line costs (itself only).

use std::ops::Range;

/// What is wrong with a line as bytes, before anybody asks what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault<'t> {
    /// Tags or body longer than allowed; the line was thrown away as it came.
    TooLong,
    /// Not UTF-8, which this network requires (UTF8ONLY); as much of it as is, up to the first byte that is not.
    NotUtf8(&'t str),
}

/// All whole lines of one recv, in one buffer, without their line ends.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    text: String,
    lines: Vec<Line>,
    weight: usize,
}

/// One line, by where in the text it stands.
#[derive(Clone, Debug)]
enum Line {
    Whole(Range<usize>),
    TooLong,
    NotUtf8(Range<usize>),
}

impl Lines {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Result<&str, LineFault<'_>>> {
        self.lines.iter().map(|line| match line {
            Line::Whole(place) => Ok(&self.text[place.clone()]),
            Line::TooLong => Err(LineFault::TooLong),
            Line::NotUtf8(place) => Err(LineFault::NotUtf8(&self.text[place.clone()])),
        })
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// What whoever hands them on thinks of them; it goes with them.
    pub fn weigh(&mut self, weight: usize) {
        self.weight = weight;
    }

    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The same in pieces of so many lines at most.
    pub fn in_pieces(&self, lines_max: usize) -> impl Iterator<Item = Lines> {
        self.lines.chunks(lines_max).map(|lines| {
            let mut piece = Lines::default();
            for line in lines {
                let line = match line {
                    Line::Whole(place) => Line::Whole(piece.hold(&self.text[place.clone()])),
                    Line::NotUtf8(place) => Line::NotUtf8(piece.hold(&self.text[place.clone()])),
                    Line::TooLong => Line::TooLong,
                };
                piece.lines.push(line);
            }
            piece
        })
    }

    /// Takes in one whole line as it came, whatever is wrong with it. Empty lines mean nothing and leave no trace.
    fn take(&mut self, raw: &[u8], limits: Limits) {
        if raw.is_empty() {
            return;
        }
        if limits.are_exceeded_by(raw) {
            return self.lines.push(Line::TooLong);
        }
        match std::str::from_utf8(raw) {
            Ok(text) => self.add(text),
            Err(fault) => {
                let readable = std::str::from_utf8(&raw[..fault.valid_up_to()]).expect("valid up to there");
                let place = self.hold(readable);
                self.lines.push(Line::NotUtf8(place));
            }
        }
    }

    fn add(&mut self, text: &str) {
        let place = self.hold(text);
        if !place.is_empty() {
            self.lines.push(Line::Whole(place));
        }
    }

    /// NUL is dropped here: it may not stand in a message, carries no meaning in one, and gone from the
    /// start it need not be thought of by anybody who looks at a line later.
    fn hold(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.extend(text.split('\0'));
        start..self.text.len()
    }
}

/// Lines from text, one per line end; for tests and for whoever already has text.
impl From<&str> for Lines {
    fn from(text: &str) -> Lines {
        let mut lines = Lines::default();
        text.lines().for_each(|line| lines.add(line));
        lines
    }
}

/// How long a line may be; its tags are counted apart, so that they never cost anyone words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the `@` to the space behind the last tag, both counted.
    pub tags_bytes_max: usize,
    /// Everything after that, with two bytes for the line end, whichever was sent.
    pub body_bytes_max: usize,
}

impl Limits {
    /// What IRC allows a client, and message-tags with it: 4094 bytes of tags between `@` and space.
    pub const CLIENT: Limits = Limits { tags_bytes_max: 4096, body_bytes_max: 512 };
    /// What servers may send each other.
    pub const PEER: Limits = Limits { tags_bytes_max: 8191, body_bytes_max: 4096 };

    /// No line that keeps the limits is longer than this, without its line end.
    fn held_bytes_max(self) -> usize {
        self.tags_bytes_max + self.body_bytes_max - 2
    }

    fn are_exceeded_by(self, raw: &[u8]) -> bool {
        let tags_bytes = match raw.first() {
            Some(b'@') => raw.iter().position(|&byte| byte == b' ').map_or(raw.len(), |space| space + 1),
            _ => 0,
        };
        tags_bytes > self.tags_bytes_max || raw.len() - tags_bytes + 2 > self.body_bytes_max
    }
}

/// Cuts what is received into lines, and carries over what is not yet a whole one.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    /// The beginning of a line whose end has not come; no heap while there is none.
    begun: Vec<u8>,
    /// The line being received is too long: that has been said, and the rest of it goes nowhere.
    discarding: bool,
}

impl Framer {
    pub fn new(limits: Limits) -> Framer {
        Framer { limits, begun: Vec::new(), discarding: false }
    }

    /// Everything that became whole by these bytes. How they were cut up by the network makes no difference.
    ///
    /// CR ends a line as LF does, so CR LF is an end and an empty line, which is nothing.
    pub fn push(&mut self, received: &[u8]) -> Lines {
        self.push_until(received, |_| false).0
    }

    /// The same, but goes no further than to the end of a line that is the last, and says what was not looked at any
    /// more.
    pub fn push_until<'r>(
        &mut self,
        received: &'r [u8],
        is_last: impl Fn(&str) -> bool,
    ) -> (Lines, Option<&'r [u8]>) {
        let mut lines = Lines::default();
        let mut rest = received;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') {
            let before = lines.lines.len();
            self.end_line(&rest[..end], &mut lines);
            rest = &rest[end + 1..];
            if let Some(Line::Whole(place)) = lines.lines.get(before)
                && is_last(&lines.text[place.clone()])
            {
                return (lines, Some(rest));
            }
        }
        self.carry(rest, &mut lines);
        (lines, None)
    }

    fn end_line(&mut self, piece: &[u8], lines: &mut Lines) {
        if self.begun.is_empty() && !self.discarding {
            return lines.take(piece, self.limits);
        }
        self.carry(piece, lines);
        if !std::mem::take(&mut self.discarding) {
            lines.take(&std::mem::take(&mut self.begun), self.limits);
        }
    }

    fn carry(&mut self, piece: &[u8], lines: &mut Lines) {
        if self.discarding {
            return;
        }
        let bytes = self.begun.len() + piece.len();
        let bytes_max = self.limits.held_bytes_max();
        if bytes > bytes_max {
            self.begun = Vec::new();
            self.discarding = true;
            lines.lines.push(Line::TooLong);
            return;
        }
        // Doubling, as Vec does by itself, but never past what a line may be.
        if bytes > self.begun.capacity() {
            let capacity = (2 * self.begun.capacity()).clamp(bytes, bytes_max);
            self.begun.reserve_exact(capacity - self.begun.len());
        }
        self.begun.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has become of each line: `Err` with what can be read of it, if anything.
    fn owned(lines: &Lines) -> Vec<Result<String, Option<String>>> {
        let owned = |line: Result<&str, LineFault>| match line {
            Ok(text) => Ok(text.to_string()),
            Err(LineFault::TooLong) => Err(None),
            Err(LineFault::NotUtf8(readable)) => Err(Some(readable.to_string())),
        };
        lines.iter().map(owned).collect()
    }

    #[test]
    fn pieces_are_the_whole_whatever_is_wrong_with_its_lines() {
        let limits = Limits { tags_bytes_max: 0, body_bytes_max: 7 };
        let lines = Framer::new(limits).push(b"one\ntoo long\ntwo\nba\xffd\nthree\n");
        for lines_max in 1..7 {
            let pieces: Vec<Lines> = lines.in_pieces(lines_max).collect();
            assert_eq!(pieces.len(), 5_usize.div_ceil(lines_max));
            assert_eq!(pieces.iter().flat_map(owned).collect::<Vec<_>>(), owned(&lines), "{lines_max}");
        }
    }

    fn framed<'a>(
        limits: Limits,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<Result<String, Option<String>>> {
        let mut framer = Framer::new(limits);
        pieces.into_iter().flat_map(|piece| owned(&framer.push(piece))).collect()
    }

    fn text(line: &str) -> Result<String, Option<String>> {
        Ok(line.to_string())
    }

    /// Proves: line end without CR, empty line
    #[test]
    fn either_line_end_ends_a_line_and_empty_ones_are_nothing() {
        let lines = framed(Limits::CLIENT, [&b"A\r\nB\nC\rD\r\r\n\n\nE"[..], b"F\r", b"\n\0\nG\0H\n"]);
        assert_eq!(lines, ["A", "B", "C", "D", "EF", "GH"].map(text));
    }

    #[test]
    fn a_broken_line_costs_only_itself() {
        let lines = framed(
            Limits::CLIENT,
            [&b"A\na\0b\xff\xfec\nB\n"[..], &[b'x'; 600], b"\nC\n", &[b'x'; 6000], b"y\nD\n"],
        );
        let wanted =
            [text("A"), Err(Some("ab".to_string())), text("B"), Err(None), text("C"), Err(None), text("D")];
        assert_eq!(lines, wanted);
    }

    /// Proves: line of 512 bytes
    #[test]
    fn tags_and_body_have_limits_of_their_own() {
        let line =
            |tag_data: usize, body: usize| format!("@{} {}\r\n", "t".repeat(tag_data), "b".repeat(body));
        for (line, fits) in [
            (line(4094, 510), true),
            (line(4095, 1), false),
            (line(1, 511), false),
            (format!("{}\n", "b".repeat(510)), true),
            (format!("{}\n", "b".repeat(511)), false),
            (format!("@{}\n", "t".repeat(4095)), true),
            (format!("@{}\n", "t".repeat(4096)), false),
        ] {
            let whole = framed(Limits::CLIENT, [line.as_bytes()]);
            assert_eq!(whole.len(), 1);
            assert_eq!(whole[0].is_ok(), fits, "{} bytes", line.len());
        }
    }

    #[test]
    fn how_bytes_are_cut_up_makes_no_difference() {
        let limits = Limits { tags_bytes_max: 8, body_bytes_max: 10 };
        let mut seed = 1u64;
        let mut dice = |sides: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % sides
        };
        for _ in 0..500 {
            let alphabet = [
                &b"a"[..],
                b"bc",
                "é".as_bytes(),
                b"\xc3",
                b"@",
                b" ",
                b"\r",
                b"\n",
                b"\r\n",
                b"\0",
                b"aaaaaaa",
            ];
            let bytes: Vec<u8> =
                (0..dice(60)).flat_map(|_| alphabet[dice(alphabet.len())]).copied().collect();
            let whole = framed(limits, [&bytes[..]]);
            assert_eq!(framed(limits, bytes.chunks(1)), whole);
            let (cut, size) = (dice(bytes.len() + 1), 1 + dice(9));
            let pieces = std::iter::once(&bytes[..cut]).chain(bytes[cut..].chunks(size));
            assert_eq!(framed(limits, pieces), whole);
        }
    }

    #[test]
    fn what_comes_after_the_last_line_is_not_looked_at() {
        let is_last = |line: &str| line == "STOP";
        let mut framer = Framer::new(Limits::PEER);
        let (lines, rest) = framer.push_until(b"A\nSTOP it\nST", is_last);
        assert_eq!((owned(&lines), rest), (vec![text("A"), text("STOP it")], None));
        let (lines, rest) = framer.push_until(b"OP\r\nno line\n", is_last);
        assert_eq!((owned(&lines), rest), (vec![text("STOP")], Some(&b"\nno line\n"[..])));
        // `carry` may end a line as too long without there being a whole one.
        let (lines, rest) = framer.push_until(&[b'x'; 20_000], is_last);
        assert_eq!((owned(&lines), rest), (vec![Err(None)], None));
    }

    #[test]
    fn nothing_is_held_that_need_not_be() {
        let mut framer = Framer::new(Limits::PEER);
        let mut faults = 0;
        for _ in 0..1 << 20 {
            faults += framer.push(b"x").iter().count();
            assert!(framer.begun.capacity() <= Limits::PEER.held_bytes_max());
        }
        assert_eq!(faults, 1);
        assert_eq!(owned(&framer.push(b"\nA\nB")), [text("A")]);
        assert_eq!(owned(&framer.push(b"C\n")), [text("BC")]);
        assert_eq!(framer.begun.capacity(), 0);
    }
}
