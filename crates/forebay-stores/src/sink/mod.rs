//! Sinks: declared statements and requests behind the engine's [`Sink`](forebay::Sink).

pub mod http;
pub mod sql;
