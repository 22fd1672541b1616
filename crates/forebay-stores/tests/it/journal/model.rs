//! What a journal must hold, said plainly: a list of entries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::tier::shared::{EnvelopeValue, Owner};
use forebay::writes::{JournalEntry, Operation, OperationId, Recovered};
use forebay_stores::journal::{FileJournal, JournalOptions, OpenError};

use super::disk::Disk;

/// Why a dead letter is one, and how often it was tried.
type Why = (Arc<str>, u32);

/// What a journal holds, without ages: writes that wait, in order, and dead letters by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    pub pending: Vec<Operation>,
    pub dead: Vec<(Operation, Arc<str>, u32)>,
}

impl Holds {
    /// What is held after `log`.
    pub fn of(log: &[JournalEntry]) -> Self {
        let mut all: Vec<(Operation, Option<Why>)> = Vec::new();
        for entry in log {
            let find = |all: &[(Operation, _)], wanted: &OperationId| {
                all.iter().position(|(operation, _)| operation.id == *wanted)
            };
            match entry {
                JournalEntry::Append(operation) => all.push((operation.clone(), None)),
                JournalEntry::Settle(id) => {
                    if let Some(at) = find(&all, id) {
                        all.remove(at);
                    }
                }
                JournalEntry::Park { id, reason, attempts } => {
                    if let Some(at) = find(&all, id).filter(|at| all[*at].1.is_none()) {
                        all[at].1 = Some((Arc::clone(reason), *attempts));
                    }
                }
                JournalEntry::Revive(id) => {
                    if let Some(at) = find(&all, id) {
                        all[at].1 = None;
                    }
                }
                other => panic!("no such entry: {other:?}"),
            }
        }
        let mut holds = Self::default();
        for (operation, dead) in all {
            match dead {
                None => holds.pending.push(operation),
                Some((reason, attempts)) => holds.dead.push((operation, reason, attempts)),
            }
        }
        holds.sorted()
    }

    /// Its ids, for a message.
    pub fn shown(&self) -> String {
        let pending: Vec<u128> = self.pending.iter().map(|operation| operation.id.number()).collect();
        let dead: Vec<u128> = self.dead.iter().map(|(operation, _, _)| operation.id.number()).collect();
        format!("{pending:?} and dead {dead:?}")
    }

    fn sorted(mut self) -> Self {
        self.dead.sort_by_key(|(operation, _, _)| operation.id);
        self
    }
}

impl From<Recovered> for Holds {
    fn from(recovered: Recovered) -> Self {
        let pending = recovered.pending.into_iter().map(|kept| kept.operation).collect();
        let dead = recovered.dead.into_iter().map(|kept| (kept.operation, kept.reason, kept.attempts));
        Self { pending, dead: dead.collect() }.sorted()
    }
}

pub fn owner() -> Owner {
    Owner { keyspace: "shop".into(), namespace: "orders".into() }
}

pub fn id(number: u128) -> OperationId {
    OperationId::new(number)
}

pub fn append(number: u128, key: &str, value: Option<&[u8]>) -> JournalEntry {
    let blob = |bytes: &[u8]| EnvelopeValue::Blob {
        bytes: Bytes::copy_from_slice(bytes),
        content_type: "application/json".into(),
    };
    JournalEntry::Append(Operation {
        id: id(number),
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.map(blob),
        ttl: None,
    })
}

/// An append with everything that an operation can have.
pub fn append_encoded(number: u128, key: &str, bytes: &[u8], ttl: Duration) -> JournalEntry {
    let bytes = Bytes::copy_from_slice(bytes);
    let value = Some(EnvelopeValue::Encoded { kind: "hash".into(), shape: 3, bytes });
    let key = Bytes::copy_from_slice(key.as_bytes());
    JournalEntry::Append(Operation { id: id(number), key, value, ttl: Some(ttl) })
}

pub fn settle(number: u128) -> JournalEntry {
    JournalEntry::Settle(id(number))
}

pub fn park(number: u128, reason: &str, attempts: u32) -> JournalEntry {
    JournalEntry::Park { id: id(number), reason: reason.into(), attempts }
}

pub fn revive(number: u128) -> JournalEntry {
    JournalEntry::Revive(id(number))
}

/// Segments as small as they may be, so that little makes many.
pub const SMALL: JournalOptions = JournalOptions { limit_bytes: 1 << 20, segment_bytes: 4 << 10 };

pub async fn open(disk: &Disk) -> Result<FileJournal, OpenError> {
    FileJournal::open_on(Arc::new(disk.clone()), "journal", SMALL).await
}

/// What a disk holds, and an opening that takes it.
pub async fn opened(disk: &Disk) -> Result<(FileJournal, Holds), OpenError> {
    let journal = open(disk).await?;
    let recovered = forebay::Journal::claim(&journal, &owner()).unwrap();
    Ok((journal, recovered.into()))
}

pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
