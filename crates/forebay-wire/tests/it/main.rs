//! The promises of RESP as Forebay speaks it, each as data: what comes in, what must come out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod commands;
mod commands_page;
mod corpus;
mod describe;
mod properties;
mod replies;
mod requests;
mod table;
