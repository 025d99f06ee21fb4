//! Why servers come to agree: what counts is what has been written and not yet superseded by
//! something that had seen it. Nothing here knows what is merged.

mod dot;
mod dots;
mod early;
mod facts;
mod stamp;
mod sums;

pub use dot::{Dot, Origin, Stream, Vector};
pub use dots::Dots;
pub use early::{EARLY_MAX, Early, Named};
pub use facts::{Answer, Fact, Facts, Write};
pub use stamp::{Clock, Stamp};
pub use sums::{Counting, Digested};
