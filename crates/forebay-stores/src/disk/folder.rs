//! The folder of a disk: who owns it, what format it has, and how far it was written.
//!
//! ```text
//! FOLDER/format     "forebay disk 1"
//! FOLDER/lock       held by the process that owns the folder; says who that is
//! FOLDER/unfinished there while the folder is made
//! FOLDER/progress   the last groups of writes that were handed to the system, and synced
//! FOLDER/data/      the store
//! ```
//!
//! `format` is written last when a folder is made: one that has `unfinished` and no `format` was never used, and is made again.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;

use super::{DiskError, FORMAT, Machine};
use crate::durable;
use crate::lock::{self, Locked};

const FORMAT_FILE: &str = "format";
const LOCK_FILE: &str = "lock";
const UNFINISHED_FILE: &str = "unfinished";
const PROGRESS_FILE: &str = "progress";
const DATA_FOLDER: &str = "data";
/// How the format file begins.
const FORMAT_WORDS: &str = "forebay disk ";
/// The most that is read of a small file that says something.
const SMALL_BYTES_MAX: u64 = 256;

/// A folder that this process owns until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Whether nothing was in it.
    pub(super) is_new: bool,
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process, and makes it where there is none.
    pub(super) fn own(path: &Path, machine: &Machine) -> Result<Self, DiskError> {
        durable::make_folder(path).map_err(DiskError::io("make", path))?;
        let is_new = !is_made(path)?;
        let lock = lock(path, machine)?;
        // Whoever had it until now may have made it.
        let folder = Self { path: path.to_owned(), is_new: is_new && !is_made(path)?, _lock: lock };
        if folder.is_new {
            folder.begin()?;
        }
        Ok(folder)
    }

    /// Notes durably that the folder is being made, and takes away what a making left that was cut short.
    fn begin(&self) -> Result<(), DiskError> {
        let (unfinished, data) = (self.path.join(UNFINISHED_FILE), self.data());
        File::create(&unfinished).map_err(DiskError::io("write", &unfinished))?;
        self.sync()?;
        if data.exists() {
            std::fs::remove_dir_all(&data).map_err(DiskError::io("empty", &data))?;
        }
        remove_if_there(&self.path.join(PROGRESS_FILE))
    }

    /// Makes the folder one that is used, once what is new in it is there for good.
    pub(super) fn finish(&self) -> Result<(), DiskError> {
        if self.is_new {
            write_format(&self.path)?;
        }
        remove_if_there(&self.path.join(UNFINISHED_FILE))
    }

    /// The folder of the store.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join(DATA_FOLDER)
    }

    /// Makes durable which files are in it.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        durable::sync_folder(&self.path).map_err(DiskError::io("sync", &self.path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a folder that is to be filled is empty or not there.
pub(super) fn is_vacant(path: &Path) -> Result<bool, DiskError> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(DiskError::io("read", path)(error)),
    }
}

/// Whether the folder was made; an error where it is no folder of ours, or one that cannot be read.
fn is_made(path: &Path) -> Result<bool, DiskError> {
    // Before a look at the format, which another process may just be writing.
    let (mut is_bare, mut is_begun) = (true, false);
    for entry in std::fs::read_dir(path).map_err(DiskError::io("read", path))? {
        let name = entry.map_err(DiskError::io("read", path))?.file_name();
        is_begun |= name == UNFINISHED_FILE;
        // A lock whose maker died before it wrote anything else is no reason to refuse.
        is_bare &= name == LOCK_FILE || name == format!("{FORMAT_FILE}.new").as_str();
    }
    match read_small(&path.join(FORMAT_FILE))? {
        Some(words) => known_format(path, &words).map(|()| true),
        None if is_bare || is_begun => Ok(false),
        None => Err(DiskError::NotOurs { folder: path.to_owned() }),
    }
}

fn remove_if_there(path: &Path) -> Result<(), DiskError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DiskError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn known_format(path: &Path, words: &str) -> Result<(), DiskError> {
    let found = words.trim_end().strip_prefix(FORMAT_WORDS).and_then(|number| number.parse::<u32>().ok());
    match found {
        Some(found) if found > FORMAT => Err(DiskError::NewerFormat { folder: path.to_owned(), found }),
        Some(1..) => Ok(()),
        Some(0) | None => Err(DiskError::Damaged {
            place: path.join(FORMAT_FILE).display().to_string(),
            problem: "it does not say a format; restore a backup into another folder".into(),
        }),
    }
}

/// Writes what format the folder has, which makes it one.
pub(super) fn write_format(path: &Path) -> Result<(), DiskError> {
    let words = format!("{FORMAT_WORDS}{FORMAT}\n");
    write_whole(path, FORMAT_FILE, words.as_bytes())
}

/// Writes a file all or not at all, and syncs it and its folder.
pub(super) fn write_whole(folder: &Path, name: &str, content: &[u8]) -> Result<(), DiskError> {
    let (half, whole) = (folder.join(format!("{name}.new")), folder.join(name));
    let write = || {
        let mut file = File::create(&half)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&half, &whole)?;
        durable::sync_folder(folder)
    };
    write().map_err(DiskError::io("write", &whole))
}

fn lock(path: &Path, machine: &Machine) -> Result<File, DiskError> {
    let place = path.join(LOCK_FILE);
    let who = format!("process {} since {}\n", std::process::id(), utc(machine.unix_ms));
    lock::take(&place, &who).map_err(|locked| match locked {
        Locked::Taken { by } => DiskError::InUse { folder: path.to_owned(), holder: by },
        Locked::Failed(error) => DiskError::io("lock", &place)(error),
    })
}

fn read_small(path: &Path) -> Result<Option<String>, DiskError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskError::io("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(SMALL_BYTES_MAX).read_to_end(&mut bytes).map_err(DiskError::io("read", path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A time of the day as RFC 3339 says it, to the second.
fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, so that a leap day is the last of its year (H. Hinnant, "chrono-compatible date algorithms").
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// How far the store was written: the number of the last group that the system was handed, and of the last that was synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) handed: u64,
    pub(super) synced: u64,
}

/// A slot of the progress file: a count, `handed`, `synced`, and a checksum over them.
const SLOT_BYTES: usize = 32;

/// The file that remembers the progress, outside the store: a store that has lost the end of its journal does not know it.
///
/// Two slots are written in turn, so that one is whole at any time. They are not synced: what they say is never ahead of what
/// the store was told, and after a power failure they say less.
#[derive(Debug)]
pub(super) struct ProgressFile {
    file: File,
    path: PathBuf,
    written: u64,
}

impl ProgressFile {
    pub(super) fn open(folder: &Path) -> Result<(Self, Progress), DiskError> {
        let path = folder.join(PROGRESS_FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(DiskError::io("open", &path))?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(2 * SLOT_BYTES).unwrap_or(u64::MAX);
        (&mut file).take(limit).read_to_end(&mut bytes).map_err(DiskError::io("read", &path))?;
        let slots = bytes.chunks_exact(SLOT_BYTES).filter_map(read_slot);
        let (written, progress) = slots.max_by_key(|(written, _)| *written).unwrap_or_default();
        Ok((Self { file, path, written }, progress))
    }

    pub(super) fn write(&mut self, progress: Progress) -> Result<(), DiskError> {
        self.written += 1;
        let slot = slot(self.written, progress);
        let at = self.written % 2 * u64::try_from(SLOT_BYTES).unwrap_or(0);
        let written = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(&slot));
        written.map_err(DiskError::io("write", &self.path))
    }
}

fn slot(written: u64, progress: Progress) -> Vec<u8> {
    let numbers = [written, progress.handed, progress.synced];
    let mut slot: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    slot.extend_from_slice(&XxHash3_64::oneshot(&slot).to_le_bytes());
    slot
}

fn read_slot(slot: &[u8]) -> Option<(u64, Progress)> {
    let (numbers, sum) = slot.split_last_chunk::<8>()?;
    if XxHash3_64::oneshot(numbers).to_le_bytes() != *sum {
        return None;
    }
    let mut numbers = numbers.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
    let (written, handed, synced) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some((written, Progress { handed, synced }))
}

#[cfg(test)]
mod tests {
    use super::{Progress, ProgressFile, read_slot, slot, utc};

    #[test]
    fn times_are_told_as_people_write_them() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_798_761_599_999), "2026-12-31T23:59:59Z");
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, none) = ProgressFile::open(folder.path()).unwrap();
        assert_eq!(none, Progress::default());
        for number in 1..=5 {
            file.write(Progress { handed: number, synced: number - 1 }).unwrap();
        }
        let path = folder.path().join("progress");
        assert_eq!(ProgressFile::open(folder.path()).unwrap().1, Progress { handed: 5, synced: 4 });
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[32 + 9] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (mut file, before) = ProgressFile::open(folder.path()).unwrap();
        assert_eq!(before, Progress { handed: 4, synced: 3 });
        file.write(Progress { handed: 6, synced: 6 }).unwrap();
        assert_eq!(ProgressFile::open(folder.path()).unwrap().1.handed, 6);
    }

    #[test]
    fn the_form_of_a_slot_is_what_was_promised() {
        let golden = slot(1, Progress { handed: 2, synced: 3 });
        assert_eq!(golden[..24], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read_slot(&golden), Some((1, Progress { handed: 2, synced: 3 })));
    }
}
