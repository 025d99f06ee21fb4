//! What a crowd is about to say, gathered without an allocation for each line.

/// Lines and who says them, in the order in which they are to be sent.
#[derive(Default)]
pub struct Says {
    text: Vec<u8>,
    /// Who says the line that ends here in the text.
    by: Vec<(usize, usize)>,
}

impl Says {
    /// This client says a line; the line end is added.
    pub fn say(&mut self, client: usize, parts: &[&[u8]]) {
        for part in parts {
            self.text.extend_from_slice(part);
        }
        self.text.extend_from_slice(b"\r\n");
        self.by.push((client, self.text.len()));
    }

    /// Every line with the client who says it.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = 0;
        self.by.iter().map(move |&(client, end)| {
            let line = &self.text[start..end];
            start = end;
            (client, line)
        })
    }

    pub fn clear(&mut self) {
        self.text.clear();
        self.by.clear();
    }
}

/// A number as text, in a buffer of its own.
pub struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    pub fn of(mut number: u64) -> Digits {
        let mut digits = Digits { bytes: [0; 20], start: 20 };
        loop {
            digits.start -= 1;
            digits.bytes[digits.start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_said() {
        let mut says = Says::default();
        says.say(7, &[b"PRIVMSG #a :", Digits::of(1205).as_bytes()]);
        says.say(2, &[b"PART #a"]);
        let said: Vec<_> = says.iter().collect();
        assert_eq!(said, [(7, &b"PRIVMSG #a :1205\r\n"[..]), (2, b"PART #a\r\n")]);
        says.clear();
        assert_eq!(says.iter().count(), 0);
    }

    #[test]
    fn any_number_has_digits() {
        for number in [0, 9, 10, u64::MAX] {
            assert_eq!(Digits::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
