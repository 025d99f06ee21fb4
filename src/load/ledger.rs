//! Who has heard what: every line once, and each sender's lines in their order.

/// What went wrong on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Faults {
    pub lost: u64,
    pub doubled: u64,
    pub misordered: u64,
}

impl Faults {
    pub fn is_none(&self) -> bool {
        *self == Faults::default()
    }

    pub fn add(&mut self, more: Faults) {
        self.lost += more.lost;
        self.doubled += more.doubled;
        self.misordered += more.misordered;
    }
}

/// What one listener has heard of one sender, whose lines are numbered from 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hearing {
    /// The number that comes next if nothing is wrong.
    next: u64,
    /// How many below that have not come.
    gaps: u64,
}

/// What a line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    New,
    /// Later lines were there before it.
    Late,
    Again,
}

impl Hearing {
    /// A line was heard. One that came too late and one that came twice are told apart by whether anything is missing, so
    /// where both happen at once the two counts may be exchanged; that there is a fault never escapes.
    pub fn hear(&mut self, number: u64) -> Heard {
        if number >= self.next {
            self.gaps += number - self.next;
            self.next = number + 1;
            Heard::New
        } else if self.gaps > 0 {
            self.gaps -= 1;
            Heard::Late
        } else {
            Heard::Again
        }
    }

    /// How many of the lines that were said never came.
    pub fn missing(&self, said: u64) -> u64 {
        self.gaps + said.saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: &[u64]) -> (Hearing, Vec<Heard>) {
        let mut hearing = Hearing::default();
        let heard = numbers.iter().map(|number| hearing.hear(*number)).collect();
        (hearing, heard)
    }

    #[test]
    fn lines_in_order_are_all_new() {
        let (hearing, heard) = after(&[0, 1, 2]);
        assert_eq!(heard, [Heard::New; 3]);
        assert_eq!(hearing.missing(3), 0);
        assert_eq!(hearing.missing(5), 2);
    }

    #[test]
    fn what_is_left_out_is_missing_until_it_comes_late() {
        let (mut hearing, _) = after(&[0, 3]);
        assert_eq!(hearing.missing(4), 2);
        assert_eq!(hearing.hear(1), Heard::Late);
        assert_eq!(hearing.missing(4), 1);
    }

    #[test]
    fn what_comes_twice_is_noticed() {
        assert_eq!(after(&[0, 1, 1]).1, [Heard::New, Heard::New, Heard::Again]);
    }
}
