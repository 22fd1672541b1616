//! Sources: declared queries behind the engine's [`Source`](forebay::Source).

mod row;
pub mod sql;
