//! What a process keeps on disk for its namespaces: their stores, on one disk for each data folder that has any, the journals of
//! those that write behind, and copies, on one disk for all.
//!
//! It guarantees that a folder has one owner: a second process on it does not start, and is told who has it. Copies that cannot be read are
//! set aside and never keep a process from its start; stores and journals are the truth, and damaged ones do. So the two have disks of
//! their own. What is on a disk is
//! `forebay-stores`' matter; what is written, and when, the engine's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay::rt::Clock;
use forebay::tier::shared::SharedTier;
use forebay::tier::store::Store;
use forebay_stores::disk::{Backup, Disk, DiskError, DiskOptions};
use forebay_stores::journal::{self, FileJournal, JournalOptions};
use forebay_stores::tier::embedded::{EmbeddedOptions, EmbeddedTier};
use forebay_stores::tier::store::{EmbeddedStore, StoreOptions};

use crate::configuration::{Deployment, Keyspace};
use crate::observe::{DiskOf, JournalOf};

/// The disks of a process that are open.
#[derive(Debug, Default)]
pub struct Disks {
    /// By the data folder that they lie in.
    stores: BTreeMap<PathBuf, Stored>,
    /// With the folders that they lie in.
    journals: Vec<(PathBuf, Arc<FileJournal>)>,
    copies: Option<Copies>,
}

/// What was open at some time.
#[derive(Debug)]
pub(crate) struct Mark {
    stores: Vec<PathBuf>,
    journals: usize,
}

#[derive(Debug)]
struct Copies {
    disk: Disk,
    tier: Arc<EmbeddedTier>,
}

/// Why stores were not backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to back up.
    #[error("there are no stores in {}: name the data folder of a server that has some (`--data DIR`)", .folder.display())]
    NoStores {
        /// Where they would be.
        folder: PathBuf,
    },
    /// A process has them.
    #[error("{} is in use by {holder}: stop that process first, and start it again when this is done", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Who has it, and since when.
        holder: String,
    },
    /// What the disk said, and what to do.
    #[error(transparent)]
    Disk(DiskError),
}

impl From<DiskError> for BackupError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::InUse { folder, holder } => Self::InUse { folder, holder },
            error => Self::Disk(error),
        }
    }
}

/// Writes what the stores of the data folder `data` hold to the folder `to`, which must be empty or not there. Nobody else may have them
/// open.
///
/// # Errors
/// Where there are none, or another process has them; what the disk says otherwise. A backup that was not finished is no backup, and
/// cannot be restored.
pub async fn backup(data: &Path, to: &Path) -> Result<Backup, BackupError> {
    let folder = stores_of(data);
    // Opened, it would be made.
    if !folder.is_dir() {
        return Err(BackupError::NoStores { folder });
    }
    let disk = Disk::open(folder, DiskOptions::default()).await?;
    let written = disk.backup(to).await;
    let closed = disk.close().await;
    let written = written?;
    closed?;
    Ok(written)
}

/// Makes the stores of the data folder `data`, which must have none, of the backup in `from`.
///
/// # Errors
/// What the disk says: the backup is not whole, or there are stores already.
pub async fn restore(from: &Path, data: &Path) -> Result<Backup, BackupError> {
    Ok(Disk::restore(from, stores_of(data)).await?)
}

#[derive(Debug)]
struct Stored {
    disk: Disk,
    store: Arc<EmbeddedStore>,
}

/// The stores of a keyspace, to be backed up.
#[derive(Debug)]
pub(crate) struct StoresOf {
    pub(crate) data: PathBuf,
    pub(crate) disk: Disk,
}

/// Where the disk of a data folder's stores is.
#[must_use]
pub fn stores_of(data: &Path) -> PathBuf {
    data.join("stores")
}

/// Where the disk of a process' copies is.
#[must_use]
pub fn copies_of(data: &Path) -> PathBuf {
    data.join("cache")
}

/// Where copies are put that cannot be read, in the place of those that were put there before.
#[must_use]
pub fn set_aside_of(data: &Path) -> PathBuf {
    data.join("cache.damaged")
}

/// Where the journal is of a namespace that writes behind, of a keyspace that keeps its files in `data`.
#[must_use]
pub fn journal_of(data: &Path, keyspace: &str, namespace: &str) -> PathBuf {
    data.join("journal").join(keyspace).join(namespace)
}

impl Disks {
    /// The store of the namespaces that keep their files in `data`, opened where it is not yet. Its values end by `clock`.
    ///
    /// # Errors
    /// What keeps the disk from being opened, such as another process that has it.
    pub(crate) async fn store(&mut self, data: &Path, clock: &Clock) -> Result<Arc<dyn Store>, DiskError> {
        if let Some(stored) = self.stores.get(data) {
            return Ok(Arc::<EmbeddedStore>::clone(&stored.store));
        }
        let disk = Disk::open(stores_of(data), DiskOptions::default()).await?;
        let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
        let store = Arc::new(EmbeddedStore::open(disk.clone(), options)?);
        self.stores.insert(data.to_owned(), Stored { disk, store: Arc::clone(&store) });
        Ok(store)
    }

    /// The tier of copies between memory and the sources, in `data`. Its entries end by `clock`.
    ///
    /// # Errors
    /// What keeps the disk from being opened, such as another process that has it. Damage does not: what is damaged is set aside.
    pub(crate) async fn tier(
        &mut self,
        data: &Path,
        clock: &Clock,
    ) -> Result<Arc<dyn SharedTier>, DiskError> {
        let folder = copies_of(data);
        let opened = match open_copies(&folder, clock).await {
            Err(error) if is_beyond_reading(&error) => {
                let aside = set_aside_of(data);
                tracing::warn!(
                    folder = %folder.display(), aside = %aside.display(), %error,
                    "the copies on disk cannot be read; they are set aside, and the cache begins anew"
                );
                set_aside(&folder, &aside)?;
                open_copies(&folder, clock).await?
            }
            opened => opened?,
        };
        let tier = Arc::clone(&opened.tier);
        self.copies = Some(opened);
        Ok(tier)
    }

    /// The journal in `folder`.
    ///
    /// # Errors
    /// What keeps it from being opened, such as another process that has it.
    pub(crate) async fn journal(&mut self, folder: PathBuf) -> Result<Arc<FileJournal>, journal::OpenError> {
        let journal = Arc::new(FileJournal::open(&folder, JournalOptions::default()).await?);
        self.journals.push((folder, Arc::clone(&journal)));
        Ok(journal)
    }

    /// The disks of the stores of `deployment`'s keyspaces, by the numbers of those that have any.
    pub(crate) fn of_stores(&self, deployment: &Deployment) -> BTreeMap<u32, StoresOf> {
        let of = |keyspace: &Keyspace| {
            let stored = self.stores.get(&keyspace.data)?;
            let stores = StoresOf { data: keyspace.data.clone(), disk: stored.disk.clone() };
            Some((u32::from(keyspace.db), stores))
        };
        deployment.keyspaces.iter().filter_map(of).collect()
    }

    /// All of them that `deployment` has, as they are looked at.
    pub(crate) fn seen(&self, deployment: &Deployment) -> Vec<DiskOf> {
        let copies = self.copies.iter().map(|Copies { disk, .. }| ("copies", "", disk));
        let stores = self.stores.iter().map(|(data, Stored { disk, .. })| {
            let first = deployment.keyspaces.iter().find(|keyspace| keyspace.data == *data);
            ("stores", first.map_or("", |keyspace| &keyspace.name), disk)
        });
        let seen = |(what, keyspace, disk): (_, &str, &Disk)| {
            let (keyspace, disk) = (keyspace.into(), disk.clone());
            DiskOf { what, keyspace, disk }
        };
        copies.chain(stores).map(seen).collect()
    }

    /// How much is open now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { stores: self.stores.keys().cloned().collect(), journals: self.journals.len() }
    }

    /// Closes what was opened since `mark`, of which nothing is in use any more.
    pub(crate) async fn close_since(&mut self, mark: Mark) {
        let Mark { stores, journals } = mark;
        let journals = self.journals.split_off(journals.min(self.journals.len()));
        let (kept, opened) =
            std::mem::take(&mut self.stores).into_iter().partition(|(data, _)| stores.contains(data));
        self.stores = kept;
        Self { stores: opened, journals, copies: None }.close().await;
    }

    /// The journals of `deployment`'s namespaces, as they are looked at.
    pub(crate) fn seen_journals(&self, deployment: &Deployment) -> Vec<JournalOf> {
        let mut seen = Vec::new();
        for keyspace in &deployment.keyspaces {
            for name in keyspace.namespaces.keys() {
                let folder = journal_of(&keyspace.data, &keyspace.name, name);
                if let Some((_, journal)) = self.journals.iter().rev().find(|(known, _)| *known == folder) {
                    let (keyspace, namespace) = (keyspace.name.as_str().into(), name.as_str().into());
                    seen.push(JournalOf { keyspace, namespace, health: journal.health() });
                }
            }
        }
        seen
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.stores.is_empty() && self.journals.is_empty() && self.copies.is_none()
    }

    /// Writes what is queued, syncs it, and gives the folders free. Whoever still writes is refused.
    pub(crate) async fn close(self) {
        for (_, journal) in self.journals {
            // Where somebody still writes, its folder is given free when that has ended.
            if let Some(journal) = Arc::into_inner(journal) {
                journal.close().await;
            }
        }
        for (data, Stored { disk, store }) in self.stores {
            drop(store);
            if let Err(error) = disk.close().await {
                tracing::error!(data = %data.display(), %error, "the stores were not closed well");
            }
        }
        // Last: what is the truth does not wait for copies.
        if let Some(Copies { disk, tier }) = self.copies {
            let ended = tier.close().await;
            if let Err(error) = ended.and(disk.close().await) {
                tracing::warn!(%error, "the copies on disk were not closed well: the next start may begin without them");
            }
        }
    }
}

/// Opens the copies in `folder`, which is given free again where they cannot be read.
async fn open_copies(folder: &Path, clock: &Clock) -> Result<Copies, DiskError> {
    let disk = Disk::open(folder, DiskOptions::default()).await?;
    let options = EmbeddedOptions { clock: clock.clone(), ..EmbeddedOptions::default() };
    match EmbeddedTier::open(disk.clone(), options).await {
        Ok(tier) => Ok(Copies { disk, tier: Arc::new(tier) }),
        Err(error) => {
            // That it was not closed well is no matter: it is set aside, or the start fails.
            let _ = disk.close().await;
            Err(error)
        }
    }
}

/// Whether what is on a disk will not be read by any try of this version.
fn is_beyond_reading(error: &DiskError) -> bool {
    match error {
        DiskError::Damaged { .. } | DiskError::Unreadable { .. } | DiskError::NewerFormat { .. } => true,
        // It has lost its `format`; without a lock it never was a disk, and its files are somebody's.
        DiskError::NotOurs { folder } => folder.join("lock").is_file(),
        _ => false,
    }
}

fn set_aside(folder: &Path, aside: &Path) -> Result<(), DiskError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |cause| DiskError::Io { what, path, cause: Arc::new(cause) }
    };
    if aside.exists() {
        std::fs::remove_dir_all(aside).map_err(failed("remove", aside))?;
    }
    std::fs::rename(folder, aside).map_err(failed("set aside", folder))
}
