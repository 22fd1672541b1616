//! The embedded tier: its contract, restarts, expiry and budget, and engines over it.

mod conformance;
pub mod engines;
mod expiry;
mod killed;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::log::{Cursor, Reach, Record, Verb};
use forebay::rt::Clock;
use forebay::tier::shared::{
    Answer, Envelope, EnvelopeValue, Fill, Filled, Lease, LeaseTerms, Owner, SharedTier,
};
use forebay_stores::disk::{Disk, DiskOptions, Machine};
use forebay_stores::tier::embedded::{EmbeddedOptions, EmbeddedTier};

/// The time of day when a test begins.
pub const MORNING_MS: u64 = 1_798_761_600_000;

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn owner() -> Owner {
    Owner { keyspace: Arc::from("shop"), namespace: Arc::from("price") }
}

/// A folder, and the machine it is on.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub clock: Clock,
    pub boot_id: String,
    /// How much the time of day is ahead of the clock.
    pub unix_ms_at_zero: u64,
    pub budget_bytes: u64,
}

impl Place {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Clock::simulated(),
            boot_id: "first".into(),
            unix_ms_at_zero: MORNING_MS,
            budget_bytes: 1 << 30,
        }
    }

    pub async fn disk(&self) -> Disk {
        disk(self.folder.path(), &self.boot_id).await
    }

    pub async fn open(&self) -> (Disk, Arc<EmbeddedTier>) {
        let disk = self.disk().await;
        let tier = self.tier(&disk).await;
        (disk, tier)
    }

    pub async fn tier(&self, disk: &Disk) -> Arc<EmbeddedTier> {
        let options = EmbeddedOptions {
            clock: self.clock.clone(),
            unix_ms: Some(self.unix_ms_at_zero + self.clock.now().as_ms()),
            budget_bytes: self.budget_bytes,
            value_bytes_max: 1024 * 1024,
        };
        Arc::new(EmbeddedTier::open(disk.clone(), options).await.unwrap())
    }
}

pub async fn disk(folder: &Path, boot_id: &str) -> Disk {
    let machine = Machine { boot_id: boot_id.into(), unix_ms: MORNING_MS };
    Disk::open(folder, DiskOptions { machine: Some(machine), ..DiskOptions::default() }).await.unwrap()
}

pub async fn end(disk: Disk, tier: Arc<EmbeddedTier>) {
    tier.close().await.unwrap();
    drop(tier);
    disk.close().await.unwrap();
}

pub fn record(reach: Reach, verb: Verb) -> Record {
    Record { keyspace: Arc::from("shop"), reach, verb }
}

pub fn of_key(key: &str) -> Record {
    record(Reach::Key { namespace: Arc::from("price"), key: key.as_bytes().into() }, Verb::Invalidate)
}

pub fn of_tag(tag: &str) -> Record {
    record(Reach::Tag(Arc::from(tag)), Verb::Invalidate)
}

pub fn envelope(value: Bytes, noted: Cursor) -> Envelope {
    Envelope {
        value: Some(EnvelopeValue::Blob { bytes: value, content_type: Arc::from("text/plain") }),
        age_ms: 0,
        fresh_for_ms: 10_000,
        useless_after_ms: 20_000,
        noted,
        tags: Vec::new(),
        version: None,
        shape: 0,
        expired: false,
    }
}

pub async fn lease(tier: &EmbeddedTier, key: &str) -> (Cursor, Lease) {
    let terms = LeaseTerms { time: Duration::from_secs(6), even_if_fresh: true };
    let answers = tier.get(&owner(), &[key.as_bytes()], Some(terms)).await.unwrap();
    match answers.answers[..] {
        [Answer::Leased { lease, .. }] => (answers.tail, lease),
        ref other => panic!("{other:?}"),
    }
}

/// Loads `key` into the tier; `change` makes of the envelope what it should be.
pub async fn load(tier: &EmbeddedTier, key: &str, value: Bytes, change: impl FnOnce(&mut Envelope)) {
    let (tail, lease) = lease(tier, key).await;
    let mut envelope = envelope(value, tail);
    change(&mut envelope);
    let fills = [Fill { key: key.as_bytes().into(), lease, envelope }];
    assert_eq!(tier.fill(&owner(), &fills).await.unwrap(), [Filled::Stored]);
}

pub async fn held(tier: &EmbeddedTier, key: &str) -> Option<Envelope> {
    match tier.get(&owner(), &[key.as_bytes()], None).await.unwrap().answers.remove(0) {
        Answer::Held(envelope) => Some(envelope),
        _ => None,
    }
}
