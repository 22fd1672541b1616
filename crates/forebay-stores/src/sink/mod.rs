//! Sinks: declared statements behind the engine's [`Sink`](forebay::Sink).

pub mod sql;
