//! Licences, banned crates and origins, judged offline by `deny.toml`, which cargo-deny reads too.
//!
//! It guarantees that every crate of the lock file's graph for the platforms in `deny.toml`, with all features, was judged.
//! Advisories need a database of their own: where cargo-deny is installed it is asked for them, otherwise that is said.

mod graph;
mod policy;
mod spdx;

use std::path::Path;
use std::process::Command;

pub use graph::Graph;
pub use policy::Policy;

use crate::process::say;
use crate::{Error, cargo, needs};

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What breaks the policy.
    pub denied: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

impl Verdict {
    /// What breaks the policy; notes are printed first.
    #[must_use]
    pub fn problems(self) -> Vec<String> {
        for note in &self.notes {
            say(format!("note: {note}"));
        }
        self.denied
    }
}

/// Judges the checkout at `root`.
///
/// # Errors
/// When `deny.toml` or the graph cannot be read.
pub fn check(root: &Path) -> Result<Verdict, Error> {
    let policy = Policy::read(root)?;
    let mut verdict = Verdict::default();
    for platform in policy.platforms() {
        let arguments = ["metadata", "--format-version=1", "--offline", "--locked", "--all-features"];
        let mut metadata = cargo::command(root);
        metadata.args(arguments).args(["--filter-platform", platform]);
        let text = cargo::output(&mut metadata, "run `cargo fetch --locked` once, with a network")?;
        judge(&policy, &Graph::parse(&text)?, &mut verdict);
    }
    for list in [&mut verdict.denied, &mut verdict.notes] {
        list.sort();
        list.dedup();
    }
    advisories(root, &mut verdict)?;
    Ok(verdict)
}

/// Judges `graph` by `policy`.
pub fn judge(policy: &Policy, graph: &Graph, verdict: &mut Verdict) {
    for package in &graph.packages {
        let who = format!("{} {}", package.name, package.version);
        if let Err(reason) = policy.judge_licence(&package.name, package.license.as_deref()) {
            verdict.denied.push(format!("{who}: {reason}"));
        }
        if let Some(reason) = policy.ban(&package.name) {
            let by = graph.dependents(&package.id).join(", ");
            verdict.denied.push(format!("{who}: banned: {reason} (pulled in by {by})"));
        }
        if let Some(source) = package.source.as_deref().filter(|source| !policy.allows_source(source)) {
            verdict.denied.push(format!("{who}: comes from {source}; only the crate registry is allowed"));
        }
    }
    verdict.notes.extend(graph.duplicates());
}

fn advisories(root: &Path, verdict: &mut Verdict) -> Result<(), Error> {
    let Some(program) = needs::find("cargo-deny") else {
        verdict.notes.push("advisories were not checked: cargo-deny is not installed".to_owned());
        return Ok(());
    };
    let mut deny = Command::new(program);
    deny.args(["--offline", "--all-features", "check", "--disable-fetch", "advisories"]).current_dir(root);
    cargo::output(&mut deny, "mend what it says, or fetch its database once: `cargo deny fetch`").map(drop)
}
