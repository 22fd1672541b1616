//! Backups: the rows that are themselves the truth, as they were at one moment, in a form of their own.
//!
//! ```text
//! TO/rows        | space: 1 | key length: 4 | record length: 4 | key | record |, again and again; little endian
//! TO/manifest    written last: the format, the number of rows, their bytes, their XXH3-64, and a checksum of itself
//! ```
//!
//! Copies are not backed up: they would come back after what made them invalid was forgotten. A backup without a manifest, or
//! whose rows are not what it says, is refused; so is one record whose own checksum does not match.

use std::fmt::Write as _;
use std::fs::File;
use std::hash::Hasher;
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use twox_hash::XxHash3_64;

use super::folder::{is_vacant, write_format, write_whole};
use super::rows::{KEY_BYTES_MAX, Overlay, VALUE_BYTES_MAX};
use super::store::{Look, Store};
use super::{CACHE_BYTES, DiskError, Space, record};
use crate::durable;

/// What is backed up.
const SPACES: [Space; 2] = [Space::Stores, Space::StoreExpiry];
const ROWS_FILE: &str = "rows";
const MANIFEST_FILE: &str = "manifest";
const MANIFEST_WORDS: &str = "forebay backup 1";
const MANIFEST_BYTES_MAX: u64 = 1024;
const HEAD_BYTES: usize = 9;
/// About as many bytes are restored in one write.
const RESTORE_BYTES: usize = 4 * 1024 * 1024;

/// What a backup has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Rows.
    pub rows: u64,
    /// What they take in the backup, in bytes.
    pub bytes: u64,
}

/// Writes all rows of one moment to `to`, which must be empty or not there, as long as `is_stopped` does not say so. What has
/// failed leaves no rows behind.
pub(super) fn write(store: &Store, to: &Path, is_stopped: &dyn Fn() -> bool) -> Result<Backup, DiskError> {
    let look = store.snapshot();
    vacant(to)?;
    durable::make_folder(to).map_err(DiskError::io("make", to))?;
    let path = to.join(ROWS_FILE);
    let sink = Sink::create(&path)?;
    let written = write_rows(&look, sink, is_stopped).and_then(|(backup, sum)| {
        write_whole(to, MANIFEST_FILE, manifest(backup, sum).as_bytes())?;
        Ok(backup)
    });
    if written.is_err() {
        // Without a manifest they are no backup, and would only take room.
        let _ = std::fs::remove_file(&path);
    }
    written
}

fn write_rows(
    look: &Look<'_>,
    mut sink: Sink,
    is_stopped: &dyn Fn() -> bool,
) -> Result<(Backup, u64), DiskError> {
    for space in SPACES {
        let mut failed = None;
        look.walk_sealed(space, Bound::Unbounded, &mut |key, sealed| {
            // What is damaged is not carried over as if it were whole.
            let added = record::open(space, key, sealed).and_then(|_| sink.add(space, key, sealed));
            failed = if is_stopped() { Some(DiskError::Stopped) } else { added.err() };
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    if is_stopped() {
        return Err(DiskError::Stopped);
    }
    sink.finish()
}

/// Makes a folder of the backup `from` at `to`, which must be empty or not there.
pub(super) fn restore(from: &Path, to: &Path) -> Result<Backup, DiskError> {
    let said = read_manifest(from)?;
    let rows = from.join(ROWS_FILE);
    verify(&rows, said)?;
    vacant(to)?;
    durable::make_folder(to).map_err(DiskError::io("make", to))?;
    let store = Store::open(&to.join("data"), CACHE_BYTES)?;
    let mut source = Source::open(&rows)?;
    let mut changes = Overlay::default();
    while let Some((space, key, content)) = source.next()? {
        changes.set(space, key, Some(content));
        if changes.bytes() >= RESTORE_BYTES {
            store.wait_for_room()?;
            store.commit(&std::mem::take(&mut changes))?;
        }
    }
    store.wait_for_room()?;
    store.commit(&changes)?;
    store.sync()?;
    drop(store);
    // Last: a folder without it is none.
    write_format(to)?;
    Ok(said.0)
}

fn vacant(to: &Path) -> Result<(), DiskError> {
    if is_vacant(to)? {
        return Ok(());
    }
    Err(DiskError::Refused { problem: format!("{} is not empty; give an empty folder", to.display()) })
}

fn manifest(backup: Backup, sum: u64) -> String {
    let mut text =
        format!("{MANIFEST_WORDS}\nrows {}\nbytes {}\nxxh3 {sum:016x}\n", backup.rows, backup.bytes);
    let own = XxHash3_64::oneshot(text.as_bytes());
    // Writing to a string does not fail.
    let _ = writeln!(text, "manifest {own:016x}");
    text
}

fn read_manifest(from: &Path) -> Result<(Backup, u64), DiskError> {
    let path = from.join(MANIFEST_FILE);
    let damaged = |problem: &str| DiskError::Damaged {
        place: path.display().to_string(),
        problem: format!("{problem}; take another backup"),
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged("there is none, so the backup did not finish or is none"));
        }
        Err(error) => return Err(DiskError::io("read", &path)(error)),
    };
    let mut text = String::new();
    file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text).map_err(DiskError::io("read", &path))?;
    let said = |word: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        line.map(str::to_owned)
    };
    let rows = said("rows").and_then(|rows| rows.parse().ok());
    let bytes = said("bytes").and_then(|bytes| bytes.parse().ok());
    let sum = said("xxh3").and_then(|sum| u64::from_str_radix(&sum, 16).ok());
    let (Some(rows), Some(bytes), Some(sum)) = (rows, bytes, sum) else {
        return Err(damaged("it cannot be read"));
    };
    let backup = Backup { rows, bytes };
    if text != manifest(backup, sum) {
        return Err(damaged("its checksum does not match"));
    }
    Ok((backup, sum))
}

/// Reads all of it once before anything is made of it.
fn verify(rows: &Path, (said, sum): (Backup, u64)) -> Result<(), DiskError> {
    let mut source = Source::open(rows)?;
    let mut found = 0;
    while source.next()?.is_some() {
        found += 1;
    }
    let read = Backup { rows: found, bytes: source.bytes };
    if read == said && source.sum.finish() == sum {
        return Ok(());
    }
    Err(DiskError::Damaged {
        place: rows.display().to_string(),
        problem: format!(
            "it has {read:?} and its manifest says {said:?}, or its checksum does not match; take another backup"
        ),
    })
}

/// The file of rows as it is written.
struct Sink {
    file: BufWriter<File>,
    path: PathBuf,
    sum: XxHash3_64,
    backup: Backup,
}

impl Sink {
    fn create(path: &Path) -> Result<Self, DiskError> {
        let file = File::create_new(path).map_err(DiskError::io("make", path))?;
        Ok(Self {
            file: BufWriter::new(file),
            path: path.to_owned(),
            sum: XxHash3_64::new(),
            backup: Backup::default(),
        })
    }

    fn add(&mut self, space: Space, key: &[u8], sealed: &[u8]) -> Result<(), DiskError> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let head = [&[space.number()][..], &length(key), &length(sealed)].concat();
        for part in [&head[..], key, sealed] {
            self.file.write_all(part).map_err(DiskError::io("write", &self.path))?;
            self.sum.write(part);
            self.backup.bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
        }
        self.backup.rows += 1;
        Ok(())
    }

    fn finish(self) -> Result<(Backup, u64), DiskError> {
        let path = self.path;
        let file =
            self.file.into_inner().map_err(|error| DiskError::io("write", &path)(error.into_error()))?;
        file.sync_all().map_err(DiskError::io("sync", &path))?;
        Ok((self.backup, self.sum.finish()))
    }
}

/// The file of rows as it is read.
struct Source {
    file: BufReader<File>,
    path: PathBuf,
    sum: XxHash3_64,
    bytes: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Self, DiskError> {
        let file = File::open(path).map_err(DiskError::io("read", path))?;
        Ok(Self { file: BufReader::new(file), path: path.to_owned(), sum: XxHash3_64::new(), bytes: 0 })
    }

    fn next(&mut self) -> Result<Option<(Space, Bytes, Bytes)>, DiskError> {
        let mut head = [0; HEAD_BYTES];
        if self.file.read(head.get_mut(..1).unwrap_or_default()).map_err(DiskError::io("read", &self.path))?
            == 0
        {
            return Ok(None);
        }
        self.fill(head.get_mut(1..).unwrap_or_default())?;
        let [space, key @ .., s0, s1, s2, s3] = head;
        let key_bytes = usize::try_from(u32::from_le_bytes(key)).unwrap_or(usize::MAX);
        let sealed_bytes = usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).unwrap_or(usize::MAX);
        let space = Space::numbered(space)
            .filter(|_| key_bytes <= KEY_BYTES_MAX && sealed_bytes <= VALUE_BYTES_MAX + record::HEADER_BYTES);
        let Some(space) = space else { return Err(self.damaged("it has a row that cannot be")) };
        let (mut key, mut sealed) = (vec![0; key_bytes], vec![0; sealed_bytes]);
        self.fill(&mut key)?;
        self.fill(&mut sealed)?;
        for part in [&head[..], &key, &sealed] {
            self.sum.write(part);
            self.bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
        }
        let content = record::open(space, &key, &sealed)?;
        Ok(Some((space, Bytes::from(key), content)))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("it is cut short"),
            _ => DiskError::io("read", &self.path)(error),
        })
    }

    fn damaged(&self, problem: &str) -> DiskError {
        DiskError::Damaged {
            place: self.path.display().to_string(),
            problem: format!("{problem}; take another backup"),
        }
    }
}
