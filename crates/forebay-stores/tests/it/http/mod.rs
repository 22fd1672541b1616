//! Requests as sources, before an origin that answers by a script.

mod addresses;
mod answers;
mod conditional;
mod connections;
mod faults;
mod redirects;
mod retries;
pub mod stage;
mod urls;
