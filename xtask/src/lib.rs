//! Forebay's chores, behind `cargo xtask`: the whole test, tidy, licences, private services, benchmarks, recorded histories,
//! killed processes.
//!
//! It is a library too, so that tests can ask for a service ([`services::url`]) and call the rules ([`tidy::check`]). It
//! imports nothing of ours and little of others': it is compiled before everything else.

#![allow(clippy::print_stderr, reason = "a command that talks to the person at the terminal")]

pub mod bench;
pub mod cargo;
pub mod clients;
pub mod crash;
pub mod deny;
mod error;
pub mod fuzz;
pub mod needs;
pub mod process;
pub mod same;
pub mod services;
pub mod test;
pub mod tidy;
pub mod verify;

pub use error::Error;
