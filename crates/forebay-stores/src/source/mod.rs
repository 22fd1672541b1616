//! Sources: declared queries and requests behind the engine's [`Source`](forebay::Source), and what is made of several.

pub mod episodes;
pub mod http;
pub mod json;
pub mod merge;
pub mod sql;
