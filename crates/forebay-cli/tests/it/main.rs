//! The `forebay` binary, started for real in a fresh folder on free ports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    unreachable_pub,
    reason = "tests may stop at the first surprise"
)]

mod apps;
mod bench;
mod check;
mod demo;
mod docs;
mod init;
mod jobs;
mod kept;
mod keys;
mod operators;
mod reload;
mod running;
mod secret;
mod start;
mod stats;
mod tls;
mod token;
mod warm;
