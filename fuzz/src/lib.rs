//! What attacks the parsers of Forebay: everything that reads bytes which others have written.
//!
//! **It is** a table of targets ([`targets::ALL`]), one for each parser; the invariants that they share (the same result however the
//! input is cut, [`split`]; no more memory than the input can ask for, [`allocation`]); a corpus of inputs for each ([`corpus`]), which
//! the tests replay; and the runner that makes new inputs of them for as long as it is let ([`hunt`]).
//!
//! **It is not** a test of what parsers answer: that is with the parsers. Here whatever the input, something must *hold*.

pub mod allocation;
pub mod corpus;
mod fault;
pub mod hunt;
pub mod mutate;
mod seen;
pub mod split;
mod target;
pub mod targets;

pub use fault::Fault;
pub use seen::Seen;
pub use target::{Attack, Large, Target};
