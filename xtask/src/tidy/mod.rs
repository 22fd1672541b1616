//! The rules of the source tree, run as a command and as a test.
//!
//! Each rule looks at a [`Tree`] in memory and gives [`Finding`]s; it changes nothing. What a compiler or a linter already
//! refuses is left to them. `CONTRIBUTING.md` gives the rules with their reasons.

mod docs;
mod layout;
mod lengths;
mod manifest;
mod markdown;
mod marks;
mod rooms;
mod rust;
mod tests;
mod tree;
mod weight;
mod words;

use std::fmt;
use std::path::Path;

use tree::View;
pub use tree::{Content, Tree};

use crate::Error;

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub mend: String,
}

impl Finding {
    fn new(
        path: &str,
        line: usize,
        rule: &'static str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { path: path.to_owned(), line, rule, what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}; {}", self.path, self.line, self.rule, self.what, self.mend)
    }
}

type Rule = fn(&View<'_>) -> Vec<Finding>;

const RULES: &[Rule] = &[
    lengths::check,
    layout::headers,
    layout::dead_files,
    layout::machine_paths,
    layout::data,
    manifest::arrows,
    manifest::lints,
    manifest::test_binaries,
    rooms::check,
    words::check,
    docs::links,
    docs::code,
    marks::check,
    tests::check,
];

/// Every finding of every rule that needs nothing but the files, in order of place.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let view = tree.view();
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&view)).collect();
    findings.sort();
    findings.dedup();
    findings
}

/// Every finding in the checkout at `root`, the weight of the library included.
///
/// # Errors
/// When the tree cannot be read, or cargo cannot tell the library's dependencies without a network.
pub fn check_checkout(root: &Path) -> Result<Vec<Finding>, Error> {
    let mut findings = check(&Tree::read(root)?);
    findings.extend(weight::check(root)?);
    Ok(findings)
}
