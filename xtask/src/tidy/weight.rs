//! `cargo add forebay` stays light.

use std::collections::BTreeSet;
use std::path::Path;

use super::Finding;
use crate::{Error, cargo};

/// Crates that the library without features may pull in, itself included.
const CRATES: usize = 40;

/// Counts the crates below the library.
///
/// # Errors
/// When cargo cannot tell them without a network.
pub(super) fn check(root: &Path) -> Result<Option<Finding>, Error> {
    let arguments =
        ["tree", "-p", "forebay", "-e", "normal", "--no-default-features", "--offline", "--prefix", "none"];
    let listed =
        cargo::output(cargo::command(root).args(arguments), "run `cargo fetch` once, with a network")?;
    Ok(judge(&listed))
}

fn judge(listed: &str) -> Option<Finding> {
    let crates: BTreeSet<&str> =
        listed.lines().filter_map(|line| line.split(" (").next()).filter(|l| !l.is_empty()).collect();
    let what = format!("the library alone pulls in {} crates, fewer than {CRATES} are allowed", crates.len());
    let mend = "put the newest dependency behind a feature, or do without it";
    (crates.len() >= CRATES).then(|| Finding::new("crates/forebay/Cargo.toml", 1, "weight", what, mend))
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn forty_crates_are_too_many_and_repeats_count_once() {
        let mut listed: String = (0..39).map(|n| format!("crate{n} v1.0.0 (/somewhere)\n")).collect();
        listed.push_str("crate1 v1.0.0 (*)\n");
        assert_eq!(judge(&listed), None);
        listed.push_str("one-more v1.0.0\n");
        assert!(judge(&listed).is_some());
    }
}
