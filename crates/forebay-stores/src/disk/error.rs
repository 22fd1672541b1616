//! Why the disk did not do what it was asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forebay::error::Cause;

use super::{FORMAT, Space};

/// Why the disk did not do what it was asked. Messages are for the operator: they name files.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// A file or folder cannot be used.
    #[error("cannot {what} {path}: {cause}", path = path.display())]
    Io {
        /// What was tried, such as `read`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: Arc<std::io::Error>,
    },
    /// Another process owns the folder, or this one has it open already.
    #[error("{folder} is in use by {holder}: stop that process, or give this one a folder of its own", folder = folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Who has it, and since when.
        holder: String,
    },
    /// The folder has other files in it, or what a restore that did not finish left behind.
    #[error("{folder} is not empty and is no folder of Forebay's: give an empty one, or delete what is there", folder = folder.display())]
    NotOurs {
        /// The folder.
        folder: PathBuf,
    },
    /// A later version has written the folder.
    #[error("{folder} has format {found} and this version reads up to {FORMAT}: run the version that wrote it", folder = folder.display())]
    NewerFormat {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// What was read is not what was written.
    #[error("{place} is damaged: {problem}")]
    Damaged {
        /// Which record or file.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A write or a sync has failed, so that nobody knows what is on disk; nothing more is written until the folder is opened again.
    #[error(
        "the disk takes no more writes since one has failed: see to its space and its health, then restart ({cause})"
    )]
    Poisoned {
        /// What failed.
        #[source]
        cause: Cause,
    },
    /// What was asked for cannot be done; nothing was.
    #[error("the disk refused: {problem}")]
    Refused {
        /// What it refused, and what to do.
        problem: String,
    },
    /// It did not answer in time: the write may have been done, or may yet be.
    #[error("the disk did not answer within {after:?}: see whether it is overloaded")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// It cannot be read.
    #[error("the disk cannot be read: {cause}")]
    Unreadable {
        /// What the store said.
        #[source]
        cause: Cause,
    },
    /// It was closed while it was backed up. What was written is no backup.
    #[error("the disk was closed before its backup had ended: there is none; take another")]
    Stopped,
    /// It was closed.
    #[error("the disk was closed: open it again")]
    Closed,
}

impl DiskError {
    /// Whether what was asked for may have been done, or may yet be.
    #[must_use]
    pub fn unknown_outcome(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Poisoned { .. } | Self::Closed)
    }

    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { what, path, cause: Arc::new(cause) }
    }

    pub(super) fn unreadable(cause: fjall::Error) -> Self {
        Self::Unreadable { cause: Arc::new(cause) }
    }

    pub(super) fn record(space: Space, key: &[u8], problem: &str) -> Self {
        Self::Damaged {
            place: format!("the record {:?} of {}", key.escape_ascii().to_string(), space.name()),
            problem: problem.to_owned(),
        }
    }
}
