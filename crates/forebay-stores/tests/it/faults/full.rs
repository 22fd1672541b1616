//! A disk without room: what is to be written is refused, what was acknowledged stays, and all goes on when there is room again.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use forebay::Journal as _;
use forebay::tier::shared::Owner;
use forebay::writes::{JournalEntry, JournalError, Operation, OperationId};
use forebay_stores::disk::{Batch, Disk, DiskError, DiskOptions, Durability, Space};
use forebay_stores::journal::{FileJournal, JournalOptions};

use super::{FOLDER, library, process};
use crate::disk::all_of;

/// How the process makes its disk full: by a file that tells the library so, or by one that takes the room.
const FULL: &str = "FAULT_FULL";
/// Room that is left free of a small disk, in bytes.
const SPARE_BYTES: u64 = 1 << 20;

/// The disk of the process, which it can make full.
struct Room {
    folder: PathBuf,
    /// Told to the library; without it the disk is a small one.
    sign: Option<PathBuf>,
}

impl Room {
    fn fill(&self) {
        let Some(sign) = &self.sign else {
            let mut file = std::fs::File::create(self.folder.join("ballast")).unwrap();
            // The file system says when it is full.
            while std::io::Write::write_all(&mut file, &[7; 1 << 16]).is_ok() {}
            let length = file.metadata().unwrap().len();
            file.set_len(length.saturating_sub(SPARE_BYTES)).unwrap();
            return;
        };
        std::fs::write(sign, "").unwrap();
    }

    fn make(&self) {
        let file = self.sign.clone().unwrap_or_else(|| self.folder.join("ballast"));
        std::fs::remove_file(file).unwrap();
    }
}

async fn write(disk: &Disk, number: u32) -> Result<(), DiskError> {
    let mut batch = Batch::new();
    batch.put(Space::Stores, format!("{number:06}"), vec![b'x'; 10_000]);
    disk.write(batch, Durability::Always).await
}

async fn full_disk(room: &Room) {
    let path = room.folder.join("disk");
    let disk = Disk::open(&path, DiskOptions::default()).await.unwrap();
    for number in 0..20 {
        write(&disk, number).await.unwrap();
    }
    room.fill();
    let mut acknowledged = 20;
    let refused = loop {
        match write(&disk, acknowledged).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, DiskError::Poisoned { .. }), "{refused:?}");
    assert!(refused.to_string().contains("see to its space"), "{refused}");
    assert!(matches!(write(&disk, 0).await, Err(DiskError::Poisoned { .. })));
    let rows = disk.scan(all_of(Space::Stores)).await.unwrap().rows;
    // The one that found no room is in doubt: it may be seen.
    let in_doubt = rows.len().checked_sub(acknowledged as usize).expect("reads go on");
    assert!(in_doubt <= 1, "{} of {acknowledged}", rows.len());
    drop(disk.close().await);
    // Still full: it is opened, or says why not, and changes nothing.
    if let Ok(disk) = Disk::open(&path, DiskOptions::default()).await {
        drop(disk.close().await);
    }
    room.make();
    let disk = Disk::open(&path, DiskOptions::default()).await.unwrap();
    let rows = disk.scan(all_of(Space::Stores)).await.unwrap().rows;
    assert!(rows.len() >= acknowledged as usize, "{} of {acknowledged}", rows.len());
    write(&disk, 999_999).await.unwrap();
    disk.close().await.unwrap();
}

fn append(number: u128) -> JournalEntry {
    let key = "order:1".into();
    let value = forebay::tier::shared::EnvelopeValue::Blob {
        bytes: vec![1; 10_000].into(),
        content_type: "application/json".into(),
    };
    JournalEntry::Append(Operation { id: OperationId::new(number), key, value: Some(value), ttl: None })
}

async fn full_journal(room: &Room) {
    let path = room.folder.join("journal");
    let options = JournalOptions { segment_bytes: 64 << 10, ..JournalOptions::default() };
    let owner = Owner { keyspace: "shop".into(), namespace: "orders".into() };
    let journal = FileJournal::open(&path, options).await.unwrap();
    journal.claim(&owner).unwrap();
    for number in 1..=20 {
        journal.commit(&[append(number)]).await.unwrap();
    }
    room.fill();
    let mut acknowledged = 20;
    let refused = loop {
        match journal.commit(&[append(acknowledged + 1)]).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, JournalError::Failed { .. }), "{refused:?}");
    assert!(refused.may_retry(), "{refused}");
    if room.sign.is_none() {
        // The room in reserve is for what settles.
        journal.commit(&[JournalEntry::Settle(OperationId::new(1))]).await.unwrap();
    }
    room.make();
    journal.commit(&[append(acknowledged + 1)]).await.unwrap();
    drop(journal);
    let journal = FileJournal::open(&path, options).await.unwrap();
    let found = journal.claim(&owner).unwrap().pending.len();
    let settled = usize::from(room.sign.is_none());
    assert_eq!(found, usize::try_from(acknowledged).unwrap() + 1 - settled);
}

#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let room = Room { folder: folder.into(), sign: std::env::var_os(FULL).map(Into::into) };
    full_disk(&room).await;
    full_journal(&room).await;
    super::say("ended");
}

fn went_well(done: &Output) {
    let said = String::from_utf8_lossy(&done.stdout);
    let why = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("\nended"), "{said}{why}");
}

#[test]
fn without_room_writes_are_refused_until_there_is_some() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let mut command = process("faults::full::child", &library(place.path()), &folder);
    went_well(&command.env(FULL, place.path().join("full")).output().unwrap());
}

/// The same on a real disk of 24 MiB, where one may be mounted: for that process alone, so that it goes with it.
#[test]
fn a_small_disk_that_is_full_refuses_and_recovers() {
    let place = tempfile::tempdir().unwrap();
    let mounted = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c"]);
        let script = format!("mount -t tmpfs -o size=24m tmpfs \"$FOREBAY_TEST_FAULTS_FOLDER\" && {script}");
        command.arg(script).env(FOLDER, place.path());
        command
    };
    if !mounted("true").output().is_ok_and(|done| done.status.success()) {
        println!("# no disk may be mounted here: only calls that say so were full");
        return;
    }
    let mut command = mounted("exec \"$FOREBAY_TEST_BINARY\" faults::full::child --exact --nocapture");
    let binary: &Path = &std::env::current_exe().unwrap();
    went_well(&command.env("FOREBAY_TEST_BINARY", binary).output().unwrap());
}
