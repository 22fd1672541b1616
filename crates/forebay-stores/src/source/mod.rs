//! Sources: declared queries behind the engine's [`Source`](forebay::Source).

pub mod sql;
