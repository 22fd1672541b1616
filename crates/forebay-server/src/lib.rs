//! The Forebay process as a library: it checks declarations, puts apps and keyspaces together, and serves them over RESP
//! and HTTP.
//!
//! The way of a declaration is `configuration` (text to a checked [`Deployment`](configuration::Deployment)) →
//! [`connect`] (can it work with its databases?), [`assembly`] (databases, sources, sinks, disks, namespaces) → [`process`] (listeners, and a
//! reload, which puts another deployment in service). The way of a request is `resp` or `http`, within
//! [`tls`] where that is declared, which ask [`access`] what its sender may, → the
//! engine. The server knows no app: they are values that `forebay-cli` hands in.

pub mod access;
pub mod app;
pub mod assembly;
pub mod configuration;
pub mod connect;
mod connections;
pub mod disks;
mod http;
pub mod jobs;
mod keys;
mod keyspaces;
mod limits;
pub mod observe;
mod panics;
pub mod problem;
pub mod process;
pub mod reloads;
pub mod request;
mod resp;
mod seldom;
pub mod sinks;
pub mod sources;
mod stop;
#[cfg(test)]
mod tests;
pub mod time;
pub mod tls;
mod waiting_writes;
mod warming;
