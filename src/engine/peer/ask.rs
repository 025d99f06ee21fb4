//! ASK and ANSWER: what one server wants of another, carried through however many hops.
