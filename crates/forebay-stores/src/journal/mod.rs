//! Journals on the disk: what was written behind and is not applied yet outlives the process, and the loss of power.
//!
//! A [`FileJournal`] keeps the contract of [`Journal`]: when a commit has answered ok it is on the disk; a prefix of the others
//! is found at the next opening; after a failed sync nothing more is taken. It guarantees that what is found is what was written:
//! everything has a checksum, and what is damaged is told with its place and never passed over. One process has a folder at a
//! time. The room of what was settled is freed. The format is in `frame.rs`; later versions read it.
//!
//! What is journaled, and when, is the engine's business. A thread of the journal's own does all that waits for the disk.
//!
//! ```
//! use forebay_stores::journal::{FileJournal, JournalOptions};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("orders");
//! let journal = FileJournal::open(&folder, JournalOptions::default()).await?;
//! // `.writes(Writes::Behind).sink(sink).behind(Arc::new(journal), BehindOptions::default())` on the builder of a namespace.
//! # let second = FileJournal::open(&folder, JournalOptions::default()).await;
//! # assert!(second.unwrap_err().to_string().contains("belongs to process"));
//! journal.close().await;
//! # Ok(()) }
//! ```

mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod held;
pub mod io;
mod log;
mod open;
mod segment;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use forebay::error::Cause;
use forebay::rt::planted::Seedling;
use forebay::rt::{Clock, Mutex};
use forebay::tier::shared::Owner;
use forebay::writes::{
    Committing, Journal, JournalEntry, JournalError, Kept, KeptDead, Operation, Recovered,
};
use tokio::sync::{mpsc, oneshot};

use self::frame::Dead;
use self::io::{Io, SystemIo};
use self::open::Opened;

/// How a journal behaves. [`Default`] is every option at its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// The most that it holds, in bytes, as [`Operation::weight_bytes`] counts; beyond it what is to be appended is refused as
    /// [`JournalError::Full`]. Default 256 MiB; 1 KiB to 2 GiB. On the disk it takes up to twice as much, and four segments.
    pub limit_bytes: u64,
    /// How long a segment grows before the next is begun, in bytes. As much is kept free for settling writes on a full disk. Default
    /// 4 MiB; 4 KiB to 1 GiB.
    pub segment_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { limit_bytes: 256 << 20, segment_bytes: 4 << 20 }
    }
}

impl JournalOptions {
    /// What is out of its limits, and what to write instead.
    fn problem(&self) -> Option<&'static str> {
        if !((1 << 10)..=(2 << 30)).contains(&self.limit_bytes) {
            return Some("the limit of a journal must be 1 KiB to 2 GiB");
        }
        if !((4 << 10)..=(1 << 30)).contains(&self.segment_bytes) {
            return Some("the segments of a journal must be 4 KiB to 1 GiB");
        }
        None
    }
}

/// Why a journal was not opened. Nothing in its folder was changed that was ever confirmed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it, or another opening of this one.
    #[error(
        "the journal in {} belongs to {by}: stop it, or give this one a folder of its own", .folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Who has it.
        by: String,
    },
    /// What is in it is not what was written.
    #[error(
        "the journal is damaged: {}, byte {offset}: {problem}. Bring the folder back from a copy; or move it away, and the writes in it are lost", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A newer version wrote it.
    #[error(
        "the journal in {} is of format {found}, and this version reads up to {known}: start the version that wrote it", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
        /// The newest that can be read.
        known: u8,
    },
    /// The disk failed, or has no room.
    #[error("the journal cannot be opened: {}: {cause}; see that the disk has room and works", .path.display())]
    Disk {
        /// The file, or the folder.
        path: PathBuf,
        /// What the system said.
        cause: Arc<std::io::Error>,
    },
    /// An option is out of its limits.
    #[error("{problem}")]
    Options {
        /// Which, and what to write instead.
        problem: &'static str,
    },
}

impl OpenError {
    fn damaged(path: &Path, offset: u64, problem: &'static str) -> Self {
        Self::Damaged { path: path.to_path_buf(), offset, problem }
    }
}

/// What was found at the opening, until somebody claims it.
#[derive(Debug, Default)]
struct Found {
    pending: Vec<FoundPending>,
    dead: Vec<FoundDead>,
    /// Whose the writes are.
    owner: Option<Owner>,
}

#[derive(Debug)]
struct FoundPending {
    operation: Operation,
    written_ms: u64,
}

#[derive(Debug)]
struct FoundDead {
    operation: Operation,
    dead: Dead,
}

/// Whether it was claimed.
#[derive(Debug)]
enum Claim {
    Unclaimed(Found),
    By(Owner),
}

/// A commit on its way to the writer.
struct Request {
    entries: Vec<JournalEntry>,
    owner: Option<Owner>,
    answer: oneshot::Sender<Result<(), JournalError>>,
}

/// How many commits wait for the writer at most: one whose caller is gone, and the one after it.
const REQUESTS: usize = 2;

/// The writer ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the thread that writes the journal has ended")]
struct WriterEnded;

/// How long the end of a commit that is under way is waited for where the journal is dropped.
const DROP_WAITS: Duration = Duration::from_millis(100);
/// How long it rests meanwhile before it looks again.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// A journal in a folder on the disk.
///
/// Dropped, it lets the folder go once the commit that is under way has ended. Where that takes longer than a moment, as on a disk
/// that hangs, nobody waits for it: [`close`](Self::close) does.
pub struct FileJournal {
    io: Arc<dyn Io>,
    claim: Mutex<Claim>,
    /// `None` once it is being dropped.
    requests: Option<mpsc::Sender<Request>>,
    /// Told nothing, and closed once the folder was let go.
    ended: Option<oneshot::Receiver<()>>,
    health: JournalHealth,
}

/// What is to be seen of a journal, apart from it.
#[derive(Clone, Debug, Default)]
pub struct JournalHealth(Arc<AtomicU8>);

/// How a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// It took what it was given last.
    Working,
    /// It could not take what it was given last: it is full until writes are applied, or its disk is.
    Refusing,
    /// It has failed, and takes nothing more before a restart.
    Failed,
}

impl JournalHealth {
    /// How it is now.
    #[must_use]
    pub fn state(&self) -> JournalState {
        match self.0.load(Ordering::Relaxed) {
            1 => JournalState::Refusing,
            2 => JournalState::Failed,
            _ => JournalState::Working,
        }
    }

    /// Notes how a commit ended.
    fn note(&self, is_done: bool, is_poisoned: bool) {
        let state = match (is_poisoned, is_done) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        };
        self.0.store(state, Ordering::Relaxed);
    }
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileJournal").field("claim", &*self.claim.lock()).finish_non_exhaustive()
    }
}

impl FileJournal {
    /// Opens the journal in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// Where another process has it, it is damaged or newer, or the disk fails.
    pub async fn open(folder: impl Into<PathBuf>, options: JournalOptions) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(SystemIo), folder, options).await
    }

    /// [`open`](Self::open), through an [`Io`] that may do what no disk does.
    ///
    /// # Errors
    /// As there.
    pub async fn open_on(
        io: Arc<dyn Io>,
        folder: impl Into<PathBuf>,
        options: JournalOptions,
    ) -> Result<Self, OpenError> {
        let folder = folder.into();
        let (requests, received) = mpsc::channel(REQUESTS);
        let (tell, told) = oneshot::channel();
        let (disk, at) = (Arc::clone(&io), folder.clone());
        let (end, ended) = oneshot::channel();
        let writer = std::thread::Builder::new().name("forebay-journal".into());
        let seedling = Seedling::of_this_thread();
        let health = JournalHealth::default();
        let noted = health.clone();
        let writer = writer.spawn(move || {
            seedling.plant();
            match open::open(disk, at, options) {
                Ok(Opened { log, found, lock }) => {
                    if tell.send(Ok(found)).is_ok() {
                        write_all_of(received, log, &noted);
                    }
                    drop(lock);
                }
                Err(error) => drop(tell.send(Err(error))),
            }
            drop::<oneshot::Sender<()>>(end);
        });
        let failed = |cause| OpenError::Disk { path: folder.clone(), cause: Arc::new(cause) };
        writer.map_err(failed)?;
        let found = told.await.unwrap_or_else(|_| Err(failed(std::io::Error::other(WriterEnded))))?;
        let claim = Mutex::new(Claim::Unclaimed(found));
        Ok(Self { io, claim, requests: Some(requests), ended: Some(ended), health })
    }

    /// How it is, to be seen wherever the journal goes.
    #[must_use]
    pub fn health(&self) -> JournalHealth {
        self.health.clone()
    }

    /// Ends the journal: the commit that is under way is done, and the folder is let go.
    pub async fn close(mut self) {
        self.requests = None;
        if let Some(ended) = self.ended.take() {
            // It is closed, not told.
            let _ = ended.await;
        }
    }

    fn owner(&self) -> Option<Owner> {
        match &*self.claim.lock() {
            Claim::Unclaimed(_) => None,
            Claim::By(owner) => Some(owner.clone()),
        }
    }

    async fn committed(&self, entries: &[JournalEntry]) -> Result<(), JournalError> {
        let Some(requests) = &self.requests else { return Err(JournalError::Poisoned) };
        let (answer, told) = oneshot::channel();
        let request = Request { entries: entries.to_vec(), owner: self.owner(), answer };
        requests.send(request).await.map_err(|_| JournalError::Poisoned)?;
        let lost = || JournalError::Unconfirmed { cause: Arc::new(WriterEnded) as Cause };
        told.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// Writes what it is sent until nobody can send anything any more.
fn write_all_of(mut requests: mpsc::Receiver<Request>, mut log: log::Log, health: &JournalHealth) {
    log.free();
    while let Some(Request { entries, owner, answer }) = requests.blocking_recv() {
        let done = log.commit(&entries, owner.as_ref());
        let is_done = done.is_ok();
        health.note(is_done, log.is_poisoned);
        // Whoever asked may be gone.
        let _ = answer.send(done);
        if is_done {
            log.free();
        }
    }
}

impl Journal for FileJournal {
    fn claim(&self, owner: &Owner) -> Result<Recovered, JournalError> {
        let mut claim = self.claim.lock();
        let by = |owner: &Owner| JournalError::InUse {
            by: format!("the namespace `{}` of the keyspace `{}`", owner.namespace, owner.keyspace),
        };
        let found = match &mut *claim {
            Claim::By(owner) => return Err(by(owner)),
            Claim::Unclaimed(found) => found,
        };
        let holds = !found.pending.is_empty() || !found.dead.is_empty();
        if let Some(other) = found.owner.as_ref().filter(|other| holds && *other != owner) {
            return Err(by(other));
        }
        let found = std::mem::take(found);
        *claim = Claim::By(owner.clone());
        let now_ms = self.io.now_ms();
        let age = |then_ms: u64| Duration::from_millis(now_ms.saturating_sub(then_ms));
        let kept = |FoundPending { operation, written_ms }| Kept { operation, age: age(written_ms) };
        let dead = |FoundDead { operation, dead: Dead { parked_ms, attempts, reason } }| KeptDead {
            operation,
            age: age(parked_ms),
            reason,
            attempts,
        };
        Ok(Recovered {
            pending: found.pending.into_iter().map(kept).collect(),
            dead: found.dead.into_iter().map(dead).collect(),
        })
    }

    fn commit<'a>(&'a self, entries: &'a [JournalEntry]) -> Committing<'a> {
        Box::pin(self.committed(entries))
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        self.requests = None;
        let Some(mut ended) = self.ended.take() else { return };
        let clock = Clock::system();
        let until = clock.now().after(DROP_WAITS);
        // The thread may be one of a runtime, which has other work.
        while ended.try_recv() == Err(oneshot::error::TryRecvError::Empty) && clock.now() < until {
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }
}
