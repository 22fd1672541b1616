//! The declaration: from TOML text to a checked form, and what is said about it.
//!
//! A text is read along one table of options (`options`) into typed values (`raw`), and these become the checked form
//! (`checked`) in which every option has its value and every rule is kept. Parsing has no effects: variables and secret
//! files are asked for through [`Environment`], and nothing else is touched. A refused declaration gives a [`Report`] with
//! everything that is wrong, each with its line, a caret and the mend; no report and no `Debug` shows a secret.
//!
//! The language is wider than what this version serves: [`served::refuse`] tells the two apart. Opening databases and
//! preparing queries is left to [`connect`](crate::connect).

mod checked;
mod deployment;
mod explain;
pub(crate) mod fault;
mod options;
mod query;
pub(crate) mod raw;
mod reference;
mod report;
pub mod secrets;
pub mod served;
mod tokens;
pub(crate) mod units;

pub use checked::{
    Alarm, Bounds, Breaker, Budget, DEFAULT_STORE, Database, DatabaseKind, DatabaseUrl, Declaration,
    DeclaredEnvironment, Dropped, Durability, EvictionPolicy, Exists, FLUSH_INTERVAL, FreshUntil, HttpSink,
    HttpSource, Job, Kind, Loader, Membership, Memory, Missed, Mode, Namespace, NamespaceMemory, Pool, Quota,
    RowShape, Server, Shared, Sink, Source, SourceKind, SqlSink, SqlSource, Tls, Ttl, Warm, Work, Writes,
};
pub use deployment::{Deployment, Keyspace};
pub use explain::{Explanation, Said, explain, explanation};
pub(crate) use fault::Fault;
pub use query::{Lookup, Query};
pub use raw::Settings;
pub use reference::reference;
pub use report::{Error, Report, Style};
pub use secrets::{Environment, ProcessEnvironment, SecretError, Text};

/// Reads a duration as declarations write it: `3s`, `250ms`, `1h30m`.
///
/// # Errors
/// With what is wrong and what to write instead, where it is none.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    units::duration(text).map_err(|fault| format!("{fault}; {}", fault.mend()))
}
