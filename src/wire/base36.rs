//! Numbers in base 36, as short as text can have them: digits, then lower-case letters.

use std::fmt;

/// A number as text; read back by `parse`.
pub fn encode(number: u64) -> String {
    with_digits(number, str::to_string)
}

/// A number that is written in the midst of other text, without a text of its own.
pub struct Base36(pub u64);

impl fmt::Display for Base36 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_digits(self.0, |digits| f.write_str(digits))
    }
}

fn with_digits<T>(mut number: u64, take: impl FnOnce(&str) -> T) -> T {
    // 2^64 - 1 has 13 digits.
    let mut digits = [0; 13];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize];
        number /= 36;
        if number == 0 {
            break;
        }
    }
    take(std::str::from_utf8(&digits[start..]).expect("made of ASCII only"))
}

/// Takes exactly what `encode` writes, so that equal numbers are equal as text, too.
pub fn parse(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        && (text == "0" || !text.starts_with('0'));
    if canonical { u64::from_str_radix(text, 36).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_text() {
        for (number, text) in [
            (0, "0"),
            (35, "z"),
            (36, "10"),
            (7201, "5k1"),
            (u64::MAX, "3w5e11264sgsf"),
            (1 << 48, "2rrvthnxts"),
        ] {
            assert_eq!(encode(number), text);
            assert_eq!(Base36(number).to_string(), text);
            assert_eq!(parse(text), Some(number));
        }
        for text in ["", "+1", "-1", "01", "00", "Z", "1 ", "é", "3w5e11264sgsg"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
