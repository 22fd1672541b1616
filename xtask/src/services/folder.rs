//! The private folder of a run: short in name, since the path of a socket may have 107 bytes.
//!
//! It guarantees that the folder is gone when its owner is, and removes at the next start what an owner that was killed
//! could not.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Error;

const PREFIX: &str = "fb-";

/// The file that names the owner: its process and when that was started.
const OWNER: &str = "owner";

/// Most bytes of the system's temporary folder that leave room for a socket's name below it.
const SHORT_BYTES: usize = 48;

/// A private folder, removed when dropped.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// Makes one, after removing those whose owners are dead.
    ///
    /// Others may pass through it, so that a server of another user can live below; they cannot list it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self, Error> {
        let parent = Some(std::env::temp_dir()).filter(|folder| folder.as_os_str().len() <= SHORT_BYTES);
        let parent = parent.unwrap_or_else(|| PathBuf::from("/tmp"));
        sweep(&parent);
        let mode = fs::Permissions::from_mode(0o711);
        let mut made = tempfile::Builder::new();
        let made = made.prefix(PREFIX).permissions(mode.clone()).tempdir_in(&parent);
        let folder = Self(made.map_err(Error::io(format!("making a folder in {}", parent.display())))?);
        // The umask may have taken the right to pass through.
        fs::set_permissions(folder.path(), mode).map_err(Error::io("opening the private folder"))?;
        let owner = identity(std::process::id()).unwrap_or_default();
        fs::write(folder.path().join(OWNER), owner)
            .map_err(Error::io("naming the owner of the private folder"))?;
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes it, telling whether that worked.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn close(self) -> Result<(), Error> {
        let path = self.path().display().to_string();
        self.0.close().map_err(Error::io(format!("removing {path}")))
    }
}

/// A living process and when it was started, which together are never used twice.
fn identity(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets and may hold anything; the state follows it, the start is the twentieth field.
    let (_, after) = stat.rsplit_once(") ")?;
    let started = after.split(' ').nth(19)?;
    (!after.starts_with('Z')).then(|| format!("{process} {started}"))
}

fn sweep(parent: &Path) {
    let me = fs::metadata("/proc/self").map(|meta| meta.uid()).ok();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let path = entry.path();
        if !ours || fs::symlink_metadata(&path).map(|meta| meta.uid()).ok() != me {
            continue;
        }
        // One that names nobody yet is being made.
        let Some(owner) = fs::read_to_string(path.join(OWNER)).ok().filter(|owner| !owner.is_empty()) else {
            continue;
        };
        let process = owner.split(' ').next().and_then(|process| process.parse().ok());
        if process.and_then(identity).is_none_or(|now| now != owner) {
            // Another run may be sweeping it too.
            let _ = fs::remove_dir_all(&path);
        }
    }
}
