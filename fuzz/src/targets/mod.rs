//! The targets: one file for each parser under attack.

mod command;
mod declaration;
mod glob;
mod http;
mod journal;
mod named;
mod records;
mod resp_reply;
mod resp_request;

use crate::Target;

/// Every target.
pub static ALL: &[Target] = &[
    resp_request::TARGET,
    resp_reply::TARGET,
    command::TARGET,
    glob::TARGET,
    http::REQUEST,
    http::PATH,
    http::BODY,
    declaration::TARGET,
    journal::TARGET,
    records::TARGET,
];

/// The target called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}
