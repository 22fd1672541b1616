//! The corpora are replayed, some thousand inputs are made of them, and each invariant is seen to fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may stop at the first surprise"
)]

mod corpora;
mod planted;
