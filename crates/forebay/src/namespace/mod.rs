//! What one namespace declares: the pattern of its keys, the rules for its values, their tags.

pub mod kind;
mod overlap;
pub mod pattern;
mod policy;
mod tags;

pub use policy::{BreakerOptions, FOR_EVER, Life, Policy, Writes};
pub(crate) use tags::TagTemplate;
