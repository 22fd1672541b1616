//! Tests of the chores: services as other crates' tests meet them, the rules of the tree, licences, processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod clients;
mod deny;
mod processes;
mod rules_of_code;
mod rules_of_layout;
mod services;
mod whole_tree;
