//! A namespace's two declarations: the pattern of its keys and the rules for its values.

pub mod pattern;
mod policy;

pub use policy::{Policy, Writes};
