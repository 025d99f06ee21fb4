//! PASSING: what is said everywhere once and kept nowhere.
