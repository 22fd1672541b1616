//! The engine put together: keyspaces of namespaces over one memory, read through their sources.
//!
//! Start with [`Forebay::builder`] or [`Forebay::new`]; the life of a GET is in `read.rs`, that of a load in `load.rs`.

mod builder;
mod core;
mod handle;
mod keyspace;
mod load;
mod read;

pub use builder::{Builder, Forebay, NamespaceBuilder};
pub use handle::{Held, Namespace};
pub use keyspace::Keyspace;
pub use read::Read;
