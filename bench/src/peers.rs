//! What ours is compared with: the peers' versions, as the lock file has them.

use std::io::Write;

use crate::error::Error;

const LOCK: &str = include_str!("../../Cargo.lock");

/// Writes the versions of `crates` as a note.
pub(crate) fn note(out: &mut dyn Write, crates: &[&str]) -> Result<(), Error> {
    let versions: Vec<String> = crates.iter().map(|name| format!("{name} {}", version(name))).collect();
    writeln!(out, "# peers: {}", versions.join(", "))?;
    Ok(())
}

/// The version of a crate in the lock file.
fn version(name: &str) -> &'static str {
    let head = format!("name = \"{name}\"\nversion = \"");
    LOCK.split_once(&head)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("of unknown version", |(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_lock_file_tells_every_peers_version() {
        for name in ["moka", "quick_cache", "foyer-memory"] {
            assert!(version(name).starts_with("0."), "{name} {}", version(name));
        }
        assert_eq!(version("no-such-crate"), "of unknown version");
    }
}
