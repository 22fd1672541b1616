//! The journal's door to the disk: every call that it makes there, so that each can be made to fail in a test.
//!
//! Paths come from the journal, which joins them to its folder. An implementation tells errors as the system does, and tries nothing
//! again except what was interrupted.

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::Path;

pub use crate::lock::Locked;
use crate::{durable, lock};

/// A folder on a disk, and the time of day.
pub trait Io: Send + Sync + 'static {
    /// Makes a folder that is missing, durably.
    ///
    /// # Errors
    /// As the system says.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// Takes the lock at `path` for as long as what is given lives, and leaves `who` in it.
    ///
    /// # Errors
    /// [`Locked::Taken`] where another has it.
    fn lock(&self, path: &Path, who: &str) -> Result<Box<dyn Send>, Locked>;

    /// The names in `folder`, in any order.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// The whole content of a file.
    ///
    /// # Errors
    /// As the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// An empty file; one that was there is emptied.
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn IoFile>>;

    /// Gives a file another name, in place of what has it.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes durable what files the folder has.
    ///
    /// # Errors
    /// As the system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Milliseconds since 1970 by the clock of the machine, for ages only.
    fn now_ms(&self) -> u64;
}

/// A file being written; it keeps its name when it is renamed.
pub trait IoFile: Send {
    /// Writes a beginning of `bytes` at the end; how much of it.
    ///
    /// # Errors
    /// As the system says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes durable what was written.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to its first `length` bytes.
    ///
    /// # Errors
    /// As the system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIo;

impl Io for SystemIo {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        durable::make_folder(folder)
    }

    fn lock(&self, path: &Path, who: &str) -> Result<Box<dyn Send>, Locked> {
        lock::take(path, who).map(|held| -> Box<dyn Send> { Box::new(held) })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
        names.map(|name| name.map(|name| name.to_string_lossy().into_owned())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn IoFile>> {
        Ok(Box::new(SystemFile(File::create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        durable::sync_folder(folder)
    }

    fn now_ms(&self) -> u64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "ages outlive the process: no monotonic clock tells them"
        )]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

struct SystemFile(File);

impl IoFile for SystemFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.seek(SeekFrom::Start(length)).map(drop)
    }
}
