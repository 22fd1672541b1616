//! Whether a run changed the checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::cargo;

/// The state of what git would commit: files that differ from the last commit, with when each was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checkout(BTreeMap<String, Option<SystemTime>>);

impl Checkout {
    /// Looks at the checkout at `root`; `None` where there is none.
    pub(super) fn look(root: &Path) -> Option<Self> {
        let status =
            cargo::git(root, &["status", "--porcelain", "-z", "--untracked-files=all", "--no-renames"])?;
        let entries = status.split('\0').filter_map(|entry| Some((entry.get(..2)?, entry.get(3..)?)));
        let state = |(code, path): (&str, &str)| {
            let written = fs::metadata(root.join(path)).and_then(|meta| meta.modified()).ok();
            (format!("{code} {path}"), written)
        };
        Some(Self(entries.map(state).collect()))
    }

    /// The files whose state is another in `after`.
    pub(super) fn changes(&self, after: &Self) -> BTreeSet<String> {
        let differ = |entry: &&String| self.0.get(*entry) != after.0.get(*entry);
        self.0
            .keys()
            .chain(after.0.keys())
            .filter(differ)
            .filter_map(|entry| entry.get(3..).map(str::to_owned))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::Checkout;
    use crate::cargo;

    #[test]
    fn new_changed_and_further_changed_files_are_named_and_ignored_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(Checkout::look(folder.path()), None, "there is no checkout yet");
        write(".gitignore", "ignored\n");
        write("committed", "1");
        for arguments in [
            &["init", "--quiet"][..],
            &["add", "."],
            &["-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "--quiet", "-m", "first"],
        ] {
            cargo::git(folder.path(), arguments).unwrap();
        }
        write("edited before", "1");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let edited = fs::File::options().write(true).open(folder.path().join("edited before")).unwrap();
        edited.set_modified(long_ago).unwrap();
        let before = Checkout::look(folder.path()).unwrap();
        assert_eq!(before.changes(&Checkout::look(folder.path()).unwrap()).len(), 0);
        write("ignored", "1");
        write("committed", "2");
        write("new", "1");
        write("edited before", "2");
        let after = Checkout::look(folder.path()).unwrap();
        let changed: Vec<String> = before.changes(&after).into_iter().collect();
        assert_eq!(changed, ["committed", "edited before", "new"]);
    }
}
