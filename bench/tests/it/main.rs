//! The benchmarks run, and their lines are what `--help` promises. Nothing here judges speed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may stop at the first surprise"
)]

mod arguments;
mod engine;
mod hit;
mod line;
mod observe;
mod race;
mod server;

use std::process::{Command, Output};

/// Runs the benchmarks' own binary.
fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forebay-bench")).args(arguments).output().unwrap()
}

/// The lines that it prints when all is well.
fn lines(arguments: &[&str]) -> Vec<String> {
    let output = bench(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?} ended with {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
