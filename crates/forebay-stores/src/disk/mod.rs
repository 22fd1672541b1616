//! A folder on disk as ordered, durable maps of bytes: what the embedded tier, and stores, are built on.
//!
//! It is: atomic batches in one order, group commit, reads of one moment, prefix scans, records that are checked when they are
//! read, one owner for a folder, backups while it runs. It is not: a rule of caching or of a kind, nor shared by processes.
//!
//! - A write that was answered survives the end of the process, however that ends; with [`Durability::Always`] also that of
//!   the machine. What was not answered may be there or not, all of a batch or none.
//! - Writes take effect in the order of the calls, and what was answered is in every read that begins.
//! - What is damaged is found when it is read, or when the folder is opened, and named; it is never left out silently.
//! - After a write or a sync that failed, nothing more is written until the folder is opened again. Reads go on.
//!
//! `rows.rs` has spaces, batches and views; `store.rs` the store behind them; `writer.rs` the thread that writes, `pool.rs` those
//! that read; `folder.rs` the files around the store, `record.rs` the form of a record, `backup.rs` that of a backup.

mod backup;
mod error;
mod folder;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod memory;
mod pool;
mod record;
mod rows;
mod store;
mod writer;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::atomic::{AtomicBool, AtomicU64, Ordering};
use forebay::rt::{Clock, Mutex};
use tokio::sync::{Semaphore, oneshot};

pub use backup::Backup;
pub use error::DiskError;
pub use rows::{Batch, Changes, KEY_BYTES_MAX, Page, Scan, Space, VALUE_BYTES_MAX, View};

use folder::{Folder, ProgressFile};
use memory::Rows;
use pool::Pool;
use rows::Overlay;
use store::Store;
use writer::{Asked, GROUP_KEY, Job, Writer};

/// The format of folders that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
/// What blocks of tables may take in memory unless it is said, in bytes.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of writes that wait for the writer; beyond it callers wait for their turn.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// What one write counts for at the least, in bytes: it bounds how many of them wait.
const QUEUE_UNIT_BYTES: usize = 4 * 1024;
const QUEUE_PLACES: usize = QUEUE_BYTES / QUEUE_UNIT_BYTES;
/// Threads that read.
const READERS: usize = 4;
/// The row that says which run of which machine has the folder.
const RUN_KEY: &[u8] = b"run";
/// The row that is written after a compaction, so that there are commits after it.
const COMPACTED_KEY: &[u8] = b"compacted";
/// What stands in it before the name of the machine's start: whether it ended well, and the number of the run.
const RUN_BYTES: usize = 9;

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After a sync: it survives a power failure. All who wait share one sync.
    Always,
    /// Once the system has it, which syncs it within this time.
    Interval(Duration),
    /// Once the system has it, which writes it to disk when it likes. It survives the end of this process.
    OsWritten,
}

/// What the machine says of itself, to find out what survived since the folder was used last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Differs after every start of the machine; empty where it cannot be known, which counts as a start.
    pub boot_id: String,
    /// The time of day, in milliseconds since 1970.
    pub unix_ms: u64,
}

impl Machine {
    /// Asks the machine. Its start is known on Linux; elsewhere only a clean end keeps what was not synced.
    #[must_use]
    pub fn ask() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        #[expect(
            clippy::disallowed_methods,
            reason = "asked once, when the folder is opened; no order comes from it"
        )]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self { boot_id: boot_id.trim().to_owned(), unix_ms }
    }
}

/// How a folder is opened.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// What blocks of tables may take in memory, in bytes. Default 16 MiB. Beside it each of the six spaces holds up to 16 MiB of
    /// what was written last.
    pub cache_bytes: u64,
    /// How long a caller waits for an answer before it is told that there is none. Default 5 s.
    pub answer_within: Duration,
    /// What the machine says of itself; default: it is asked. Tests play another.
    pub machine: Option<Machine>,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES, answer_within: Duration::from_secs(5), machine: None }
    }
}

/// What was found when a disk was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Nothing was there.
    pub is_new: bool,
    /// Everything is there that was ever answered: it was closed, or the machine has run on since. Otherwise it is only sure
    /// of what was synced.
    pub kept_all: bool,
    /// How often the folder was opened before: what was written when it was opened for the `n`th time was written in run `n`.
    pub run: u64,
    /// The machine, as of then.
    pub machine: Machine,
}

/// What a disk has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Groups of writes that were committed; of a disk in memory, writes.
    pub groups: u64,
    /// Syncs.
    pub syncs: u64,
    /// Nothing more is written, since a write has failed.
    pub is_poisoned: bool,
}

#[derive(Debug, Default)]
struct Status {
    groups: AtomicU64,
    syncs: AtomicU64,
    poisoned: AtomicBool,
    closed: AtomicBool,
}

/// A disk: a folder that this process owns, or its like in memory. Clones are the same disk.
///
/// A folder is free again once [`close`](Self::close) has answered, or some time after the last clone was dropped.
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    backing: Backing,
    opened: Opened,
    status: Arc<Status>,
}

enum Backing {
    Memory(Mutex<Rows>),
    Folder(Threads),
}

/// The way to the threads of a folder.
struct Threads {
    path: PathBuf,
    jobs: SyncSender<Job>,
    places: Arc<Semaphore>,
    /// Those that read, and the one that compacts and backs up.
    pools: Arc<[Pool; 2]>,
    clock: Clock,
    answer_within: Duration,
}

impl Disk {
    /// Opens the folder, and makes it where there is none.
    ///
    /// # Errors
    /// [`DiskError::InUse`], [`DiskError::NotOurs`], [`DiskError::NewerFormat`], [`DiskError::Damaged`] where it lacks what was
    /// answered, [`DiskError::Io`].
    pub async fn open(folder: impl AsRef<Path>, options: DiskOptions) -> Result<Self, DiskError> {
        let path = folder.as_ref().to_owned();
        let (reply, opened) = oneshot::channel();
        let thread = std::thread::Builder::new().name("forebay-disk-writer".into());
        let place = path.clone();
        let run = move || open_and_write(&place, options, reply);
        thread.spawn(run).map_err(DiskError::io("start a thread for", &path))?;
        opened.await.unwrap_or_else(|_| {
            let problem =
                "the store panicked when it was opened; restore a backup, or move it away to begin anew";
            Err(DiskError::Damaged { place: path.display().to_string(), problem: problem.into() })
        })
    }

    /// A disk without a folder: the same to its users, and gone with the process.
    #[must_use]
    pub fn memory() -> Self {
        Self::memory_on(Machine::ask())
    }

    /// A disk without a folder, on a machine that says this of itself.
    #[must_use]
    pub fn memory_on(machine: Machine) -> Self {
        let opened = Opened { is_new: true, kept_all: true, run: 1, machine };
        Self(Arc::new(Inner { backing: Backing::Memory(Mutex::default()), opened, status: Arc::default() }))
    }

    /// Whether it has no folder.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        matches!(self.0.backing, Backing::Memory(_))
    }

    /// What was found when it was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.0.opened
    }

    /// Carries out a batch, all of it or nothing.
    ///
    /// # Errors
    /// [`DiskError::Refused`] where a row is too large; otherwise as [`change`](Self::change).
    pub async fn write(&self, batch: Batch, durability: Durability) -> Result<(), DiskError> {
        self.change(batch.bytes(), durability, |changes| changes.apply(batch)).await
    }

    /// Takes a step that reads and changes rows, at one moment between all other writes; what it returns. Where it fails it
    /// changes nothing. It runs on the thread of the writer: it should be quick, and must not wait for anything.
    ///
    /// `bytes` is about what it will write; it counts in the queue. A caller who goes away does not undo it.
    ///
    /// # Errors
    /// What the step returns; [`DiskError::Poisoned`] or [`DiskError::Timeout`] with an unknown outcome.
    pub async fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        durability: Durability,
        step: impl FnOnce(&mut Changes<'_>) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        match &self.0.backing {
            Backing::Memory(_) => self.change_for_sure(bytes, durability, step).await,
            Backing::Folder(threads) => threads.in_time(self.change_for_sure(bytes, durability, step)).await,
        }
    }

    /// As [`change`](Self::change), for who must know what became of it: waits for the answer however long that takes.
    ///
    /// # Errors
    /// As [`change`](Self::change), but for [`DiskError::Timeout`].
    pub async fn change_for_sure<T: Send + 'static>(
        &self,
        bytes: usize,
        durability: Durability,
        step: impl FnOnce(&mut Changes<'_>) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        let threads = match &self.0.backing {
            Backing::Memory(rows) => return self.change_memory(rows, step),
            Backing::Folder(threads) => threads,
        };
        let units = bytes.div_ceil(QUEUE_UNIT_BYTES).clamp(1, QUEUE_PLACES);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let places = Arc::clone(&threads.places).acquire_many_owned(units).await;
        let places = places.map_err(|_| DiskError::Closed)?;
        let (asked, answer) = Asked::new(step, durability);
        // Whoever has a permit finds a place.
        threads.jobs.try_send(Job::Write(Box::new(asked), places)).map_err(|_| DiskError::Closed)?;
        answer.await.unwrap_or(Err(DiskError::Closed))
    }

    fn change_memory<T>(
        &self,
        rows: &Mutex<Rows>,
        step: impl FnOnce(&mut Changes<'_>) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        self.is_open()?;
        let mut rows = rows.lock();
        let nothing = Overlay::default();
        let mut changes = Changes::new(&*rows, &nothing);
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| step(&mut changes)));
        let done = done.unwrap_or_else(|_| Err(pool::panicked()))?;
        let (own, then) = changes.done();
        rows.commit(&own);
        self.0.status.groups.fetch_add(1, Ordering::Relaxed);
        then.into_iter().for_each(|then| then());
        Ok(done)
    }

    /// Reads at one moment, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// What the reading returns; [`DiskError::Timeout`].
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        match &self.0.backing {
            Backing::Memory(rows) => {
                self.is_open()?;
                read(&View::new(&*rows.lock()))
            }
            Backing::Folder(threads) => {
                let [readers, _] = &*threads.pools;
                threads.in_time(readers.run(move |store| read(&View::new(&store.snapshot())))).await
            }
        }
    }

    /// The content of the row at `key`.
    ///
    /// # Errors
    /// As [`View::get`].
    pub async fn get(&self, space: Space, key: impl Into<Bytes>) -> Result<Option<Bytes>, DiskError> {
        let key = key.into();
        self.read(move |view| view.get(space, &key)).await
    }

    /// The rows that `scan` asks for.
    ///
    /// # Errors
    /// As [`View::scan`].
    pub async fn scan(&self, scan: Scan) -> Result<Page, DiskError> {
        self.read(move |view| view.scan(&scan)).await
    }

    /// Forgets all rows of these spaces. Once it is answered the system has it.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub async fn clear(&self, spaces: &[Space]) -> Result<(), DiskError> {
        match &self.0.backing {
            Backing::Memory(rows) => {
                self.is_open()?;
                let mut rows = rows.lock();
                spaces.iter().for_each(|space| rows.clear(*space));
                Ok(())
            }
            Backing::Folder(threads) => threads.ask(|reply| Job::Clear(spaces.to_vec(), reply)).await,
        }
    }

    /// Gives back the room of what was deleted or replaced in these spaces. It reads and writes all of them once, beside
    /// everything else; its caller waits for as long as that takes.
    ///
    /// # Errors
    /// [`DiskError::Unreadable`], [`DiskError::Closed`].
    pub async fn compact(&self, spaces: &[Space]) -> Result<(), DiskError> {
        let Backing::Folder(threads) = &self.0.backing else { return self.is_open() };
        let [_, upkeep] = &*threads.pools;
        let spaces = spaces.to_vec();
        upkeep.run(move |store| store.compact(&spaces)).await?;
        for _ in 0..2 {
            let step = |changes: &mut Changes<'_>| changes.put(Space::State, COMPACTED_KEY, Bytes::new());
            self.change(0, Durability::OsWritten, step).await?;
        }
        upkeep.run(Store::flush).await
    }

    /// Writes what stores hold, as of one moment, to the folder `to`, which must be empty or not there; writes go on. Copies are
    /// not among it.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] names a record that cannot be backed up; [`DiskError::Io`]; [`DiskError::Stopped`] where the disk is
    /// closed meanwhile; [`DiskError::Refused`] where `to` is not empty, or the disk has no folder.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<Backup, DiskError> {
        let Backing::Folder(threads) = &self.0.backing else {
            return Err(DiskError::Refused { problem: "a disk in memory has nothing to back up".into() });
        };
        let [_, upkeep] = &*threads.pools;
        let to = to.as_ref().to_owned();
        let status = Arc::clone(&self.0.status);
        upkeep.run(move |store| backup::write(store, &to, &|| status.closed.load(Ordering::Acquire))).await
    }

    /// Makes a folder of the backup `from` at `to`, which must be empty or not there. Until it has finished, `to` cannot be opened.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] where the backup is not whole, before anything is written; [`DiskError::Io`];
    /// [`DiskError::Refused`] where `to` is not empty.
    pub async fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Backup, DiskError> {
        let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
        let (reply, restored) = oneshot::channel();
        let thread = std::thread::Builder::new().name("forebay-disk-restore".into());
        let place = to.clone();
        let restore = move || {
            // Whoever asked may be gone.
            let _ = reply.send(backup::restore(&from, &to));
        };
        thread.spawn(restore).map_err(DiskError::io("start a thread for", place))?;
        restored.await.unwrap_or(Err(DiskError::Closed))
    }

    /// What it has done since it was opened; waits for nothing.
    #[must_use]
    pub fn stats(&self) -> DiskStats {
        let status = &self.0.status;
        DiskStats {
            groups: status.groups.load(Ordering::Relaxed),
            syncs: status.syncs.load(Ordering::Relaxed),
            is_poisoned: status.poisoned.load(Ordering::Acquire),
        }
    }

    /// What its files take, in bytes; of a disk in memory, keys and contents.
    ///
    /// # Errors
    /// [`DiskError::Timeout`], [`DiskError::Closed`].
    pub async fn bytes(&self) -> Result<u64, DiskError> {
        match &self.0.backing {
            Backing::Memory(rows) => Ok(rows.lock().bytes()),
            Backing::Folder(threads) => {
                let [readers, _] = &*threads.pools;
                threads.in_time(readers.run(|store| Ok(store.bytes()))).await
            }
        }
    }

    /// What the tables of these spaces take, in bytes, without journals; of a disk in memory, all that it holds.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub async fn table_bytes(&self, spaces: &[Space]) -> Result<u64, DiskError> {
        let Backing::Folder(threads) = &self.0.backing else { return self.bytes().await };
        let ([readers, _], spaces) = (&*threads.pools, spaces.to_vec());
        threads.in_time(readers.run(move |store| store.table_bytes(&spaces))).await
    }

    /// Does what writes are queued, syncs, ends a backup that is under way, and gives the folder free once what reads has ended.
    /// Later calls, also of clones, are refused.
    ///
    /// # Errors
    /// [`DiskError::Poisoned`] where it could not be synced; the folder is free all the same. [`DiskError::Timeout`] where something
    /// that reads, or a compaction, has not ended yet: what was written is synced before it is waited for.
    pub async fn close(&self) -> Result<(), DiskError> {
        match &self.0.backing {
            Backing::Memory(_) => {
                self.0.status.closed.store(true, Ordering::Release);
                Ok(())
            }
            Backing::Folder(threads) => threads.ask(Job::Close).await,
        }
    }

    fn is_open(&self) -> Result<(), DiskError> {
        if self.0.status.closed.load(Ordering::Acquire) { Err(DiskError::Closed) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let folder = match &self.0.backing {
            Backing::Memory(_) => None,
            Backing::Folder(threads) => Some(&threads.path),
        };
        f.debug_struct("Disk").field("folder", &folder).finish_non_exhaustive()
    }
}

impl Threads {
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, DiskError>>) -> Result<T, DiskError> {
        let late = DiskError::Timeout { after: self.answer_within };
        self.clock.timeout(self.answer_within, work).await.unwrap_or(Err(late))
    }

    /// Asks the writer for what is no write, after all that was asked for before.
    async fn ask(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<(), DiskError>>) -> Job,
    ) -> Result<(), DiskError> {
        let asked = async {
            // Its place is held until it is answered.
            let _place = self.places.acquire().await.map_err(|_| DiskError::Closed)?;
            let (reply, answer) = oneshot::channel();
            self.jobs.try_send(job(reply)).map_err(|_| DiskError::Closed)?;
            answer.await.unwrap_or(Err(DiskError::Closed))
        };
        self.in_time(asked).await
    }
}

/// Which run of which machine has the folder, and whether it has ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    is_clean: bool,
    number: u64,
    boot_id: String,
}

impl Run {
    fn read(store: &Store) -> Result<Option<Self>, DiskError> {
        let Some(content) = rows::Base::get(store, Space::State, RUN_KEY)? else { return Ok(None) };
        let Some((&[clean, ref number @ ..], boot_id)) = content.split_first_chunk::<RUN_BYTES>() else {
            return Err(DiskError::record(Space::State, RUN_KEY, "it is cut short; restore a backup"));
        };
        let boot_id = String::from_utf8_lossy(boot_id).into_owned();
        Ok(Some(Self { is_clean: clean == 1, number: u64::from_le_bytes(*number), boot_id }))
    }

    fn put(&self, changes: &mut Overlay) {
        let number = self.number.to_le_bytes();
        let content = [&[u8::from(self.is_clean)][..], &number, self.boot_id.as_bytes()].concat();
        changes.set(Space::State, Bytes::from_static(RUN_KEY), Some(content.into()));
    }
}

/// What the thread of the writer does: it opens the folder, tells so, and writes.
fn open_and_write(path: &Path, options: DiskOptions, reply: oneshot::Sender<Result<Disk, DiskError>>) {
    match prepare(path, options) {
        Ok((disk, writer, queue)) => {
            // Where nobody waits for it any more the queue is closed at once, and so is the folder.
            let _ = reply.send(Ok(disk));
            writer.work(&queue);
        }
        Err(error) => {
            let _ = reply.send(Err(error));
        }
    }
}

type Prepared = (Disk, Writer, std::sync::mpsc::Receiver<Job>);

fn prepare(path: &Path, options: DiskOptions) -> Result<Prepared, DiskError> {
    let machine = options.machine.unwrap_or_else(Machine::ask);
    let folder = Folder::own(path, &machine)?;
    let store = Store::open(&folder.data(), options.cache_bytes)?;
    let before = Run::read(&store)?;
    let has_run_on = |run: &Run| run.is_clean || (!run.boot_id.is_empty() && run.boot_id == machine.boot_id);
    let kept_all = before.as_ref().is_none_or(has_run_on);
    let (progress_file, progress) = reached(&folder, &store, kept_all)?;
    // The names of the store and of the file of the progress, which may be new.
    folder.sync()?;
    let number = before.map_or(0, |run| run.number) + 1;
    let opened = Opened { is_new: folder.is_new, kept_all, run: number, machine };

    let status = Arc::<Status>::default();
    let (readers, mut threads) = Pool::start("disk-reader", READERS, &store)?;
    let (upkeep, more) = Pool::start("disk-upkeep", 1, &store)?;
    threads.extend(more);
    let pools = Arc::new([readers, upkeep]);
    let run = Run { is_clean: false, number, boot_id: opened.machine.boot_id.clone() };
    let clock = Clock::system();
    let mut writer = Writer {
        store,
        folder,
        progress_file,
        progress,
        run,
        clock: clock.clone(),
        status: Arc::clone(&status),
        pools: Arc::clone(&pools),
        threads,
        sync_due: None,
        poisoned: None,
    };
    writer.begin()?;
    // Last: what is made of a folder until then was never used.
    writer.folder.finish()?;
    let (jobs, queue) = sync_channel(QUEUE_PLACES);
    let threads = Threads {
        path: path.to_owned(),
        jobs,
        places: Arc::new(Semaphore::new(QUEUE_PLACES)),
        pools,
        clock,
        answer_within: options.answer_within,
    };
    let disk = Disk(Arc::new(Inner { backing: Backing::Folder(threads), opened, status }));
    Ok((disk, writer, queue))
}

/// How far the store was written, after a look whether all of it is there.
fn reached(
    folder: &Folder,
    store: &Store,
    kept_all: bool,
) -> Result<(ProgressFile, folder::Progress), DiskError> {
    let (file, said) = ProgressFile::open(folder.path())?;
    let group = rows::Base::get(store, Space::State, GROUP_KEY)?;
    let group = group.and_then(|group| group[..].try_into().ok()).map_or(0, u64::from_le_bytes);
    let expected = if kept_all { said.handed } else { said.synced };
    if group < expected {
        return Err(DiskError::Damaged {
            place: format!("the journal of {}", folder.path().display()),
            problem: format!(
                "its last {} groups of writes are missing; restore a backup, or delete the file `progress` to go on without them",
                expected - group
            ),
        });
    }
    Ok((file, folder::Progress { handed: group, synced: group.min(said.synced) }))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use forebay::rt::atomic::Ordering;
    use forebay::rt::{Clock, Tasks};

    use super::{Backing, Batch, Disk, DiskError, DiskOptions, Durability, Space};

    #[tokio::test]
    async fn what_closes_syncs_before_it_waits_and_ends_a_backup() {
        let (folder, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let disk = Disk::open(folder.path(), DiskOptions::default()).await.unwrap();
        let mut batch = Batch::new();
        batch.put(Space::Stores, "a", "1");
        disk.write(batch, Durability::Interval(Duration::from_secs(3_600))).await.unwrap();
        let synced = disk.stats().syncs;
        let (tasks, (go, wait)) = (Tasks::current().unwrap(), sync_channel(1));
        let (busy, backed) = (disk.clone(), disk.clone());
        let (place, (told, outcome)) = (to.path().join("one"), tokio::sync::oneshot::channel());
        let backup = place.clone();
        tasks.spawn(async move {
            let Backing::Folder(threads) = &busy.0.backing else { panic!("it has a folder") };
            let work = threads.pools[1].run(move |_| wait.recv().map_err(|_| DiskError::Closed));
            let (worked, backed) = tokio::join!(work, backed.backup(&backup));
            worked.unwrap();
            told.send(backed).unwrap();
        });
        tokio::task::yield_now().await;
        let (closing, (closed, ended)) = (disk.clone(), tokio::sync::oneshot::channel());
        tasks.spawn(async move { closed.send(closing.close().await).unwrap() });
        let is_synced = async {
            while disk.stats().syncs < synced + 2 || !disk.0.status.closed.load(Ordering::Acquire) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = Clock::system().timeout(Duration::from_secs(4), is_synced).await;
        go.send(()).unwrap();
        assert!(in_time.is_ok(), "the sync waits for what is busy");
        let backed = outcome.await.unwrap();
        assert!(matches!(backed, Err(DiskError::Stopped)), "{backed:?}");
        ended.await.unwrap().unwrap();
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0, "half a backup is left");
        let refused = Disk::restore(&place, to.path().join("restored")).await;
        assert!(matches!(refused, Err(DiskError::Damaged { .. })), "{refused:?}");
    }
}
