//! Which names are the same name: `ascii` casemapping, as 005 says.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A name with its case folded away: two names are the same name if these are equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folded(Arc<str>);

/// Folds the 26 letters of ASCII and nothing else, so that no two servers can disagree.
pub fn fold(name: &str) -> Folded {
    let mut folded: Arc<str> = name.into();
    Arc::get_mut(&mut folded).expect("nobody else has it yet").make_ascii_lowercase();
    Folded(folded)
}

impl Folded {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Folded {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_touches_ascii_letters_only() {
        for (name, folded) in [("Alice", "alice"), ("[Away]", "[away]"), ("A~B", "a~b"), ("ÉTÉ", "ÉtÉ")] {
            assert_eq!(fold(name).as_str(), folded, "{name}");
        }
    }
}
