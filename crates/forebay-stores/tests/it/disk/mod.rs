//! The disk: its owner, its format, what survives which end, what damage is found.

mod backup;
mod killed;
mod model;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay_stores::disk::{
    Batch, Changes, Disk, DiskError, DiskOptions, Durability, KEY_BYTES_MAX, Machine, Scan, Space,
};
use tokio::task::JoinSet;

pub async fn open(folder: &Path) -> Disk {
    Disk::open(folder, DiskOptions::default()).await.unwrap()
}

/// Opens it on a machine that was started under this name.
pub async fn open_after_start(folder: &Path, boot_id: &str) -> Result<Disk, DiskError> {
    let machine = Machine { boot_id: boot_id.into(), unix_ms: 1_798_761_600_000 };
    Disk::open(folder, DiskOptions { machine: Some(machine), ..DiskOptions::default() }).await
}

pub async fn put(disk: &Disk, key: &str, content: &str, durability: Durability) {
    let mut batch = Batch::new();
    batch.put(Space::Stores, key.to_owned(), content.to_owned());
    disk.write(batch, durability).await.unwrap();
}

pub async fn text(disk: &Disk, key: &str) -> Option<String> {
    let content = disk.get(Space::Stores, key.to_owned()).await.unwrap();
    content.map(|content| String::from_utf8(content.to_vec()).unwrap())
}

pub fn all_of(space: Space) -> Scan {
    Scan { space, prefix: Bytes::new(), after: None, limit: usize::MAX }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_clean_end() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    assert!(disk.opened().is_new && disk.opened().kept_all);
    put(&disk, "a", "1", Durability::Always).await;
    put(&disk, "b", "2", Durability::Interval(Duration::from_secs(60))).await;
    put(&disk, "c", "3", Durability::OsWritten).await;
    assert_eq!(text(&disk, "c").await.as_deref(), Some("3"));
    disk.close().await.unwrap();
    assert!(matches!(disk.get(Space::Stores, "a").await, Err(DiskError::Closed)));
    assert!(matches!(disk.write(Batch::new(), Durability::Always).await, Err(DiskError::Closed)));

    let disk = open_after_start(folder.path(), "another start").await.unwrap();
    assert!(!disk.opened().is_new && disk.opened().kept_all, "it was closed");
    let rows = disk.scan(all_of(Space::Stores)).await.unwrap().rows;
    let keys: Vec<_> = rows.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
}

#[tokio::test]
async fn one_sync_serves_all_who_wait_and_an_interval_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    let before = disk.stats().syncs;
    let mut writes = JoinSet::new();
    for number in 0..200 {
        let disk = disk.clone();
        writes.spawn(async move { put(&disk, &format!("{number:03}"), "x", Durability::Always).await });
    }
    writes.join_all().await;
    let syncs = disk.stats().syncs - before;
    assert!((1..=100).contains(&syncs), "{syncs} syncs for 200 writes");

    let before = disk.stats();
    put(&disk, "k", "v", Durability::OsWritten).await;
    assert_eq!(disk.stats().syncs, before.syncs);
    put(&disk, "k", "w", Durability::Interval(Duration::from_millis(20))).await;
    assert_eq!(disk.stats().syncs, before.syncs, "it was answered after the sync");
    while disk.stats().syncs == before.syncs {
        tokio::task::yield_now().await;
    }
    assert_eq!(disk.stats().syncs, before.syncs + 1);
}

#[tokio::test]
async fn an_interval_is_kept_where_writes_come_without_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    let before = disk.stats().syncs;
    let (go, wait) = std::sync::mpsc::sync_channel(1);
    let mut writes = JoinSet::new();
    let first = disk.clone();
    writes.spawn(async move {
        let step = move |_: &mut Changes<'_>| {
            wait.recv().unwrap();
            Ok(())
        };
        first.change(0, Durability::OsWritten, step).await.unwrap();
    });
    // More than are committed together wait when the writer goes on.
    let asked = Arc::new(AtomicU64::new(0));
    for _ in 0..14_000 {
        let (disk, asked) = (disk.clone(), Arc::clone(&asked));
        writes.spawn(async move {
            asked.fetch_add(1, Ordering::Relaxed);
            put(&disk, "k", "x", Durability::Interval(Duration::ZERO)).await;
        });
    }
    while asked.load(Ordering::Relaxed) < 14_000 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    writes.join_all().await;
    let syncs = disk.stats().syncs - before;
    assert!(syncs >= 3, "{syncs}");
}

#[tokio::test]
async fn a_step_sees_all_steps_before_it_and_one_that_fails_changes_nothing() {
    for disk in [Disk::memory(), open(tempfile::tempdir().unwrap().path()).await] {
        let mut steps = JoinSet::new();
        for number in 0..100_u64 {
            let disk = disk.clone();
            steps.spawn(async move {
                disk.change(8, Durability::OsWritten, move |changes| {
                    let count = changes.get(Space::Stores, b"count")?;
                    let count = count.map_or(0, |count| u64::from_be_bytes(count[..].try_into().unwrap()));
                    let next = (count + 1).to_be_bytes();
                    changes.put(Space::Stores, "count", next.to_vec())?;
                    assert_eq!(changes.get(Space::Stores, b"count")?.unwrap(), &next[..]);
                    assert_eq!(changes.scan(&all_of(Space::Stores))?.rows[0].1, &next[..]);
                    match number % 10 {
                        0 => Err(DiskError::Refused { problem: "a test".into() }),
                        5 => panic!("a test"),
                        _ => Ok(()),
                    }
                })
                .await
            });
        }
        let failed = steps.join_all().await.iter().filter(|done| done.is_err()).count();
        assert_eq!(failed, 20);
        let count = disk.get(Space::Stores, "count").await.unwrap().unwrap();
        assert_eq!(u64::from_be_bytes(count[..].try_into().unwrap()), 80);
    }
}

#[tokio::test]
async fn a_second_owner_is_told_who_the_first_is() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open_after_start(folder.path(), "a start").await.unwrap();
    let refused = Disk::open(folder.path(), DiskOptions::default()).await.unwrap_err();
    let DiskError::InUse { holder, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*holder, format!("process {} since 2027-01-01T00:00:00Z", std::process::id()));
    put(&disk, "a", "1", Durability::Always).await;
    disk.close().await.unwrap();
    assert_eq!(text(&open(folder.path()).await, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_folder_that_is_not_ours_or_newer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.txt"), "dear all").unwrap();
    let refused = Disk::open(folder.path(), DiskOptions::default()).await.unwrap_err();
    assert!(matches!(refused, DiskError::NotOurs { .. }), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "it was touched");

    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("format")).unwrap(), "forebay disk 1\n");
    std::fs::write(folder.path().join("format"), "forebay disk 2\n").unwrap();
    let refused = Disk::open(folder.path(), DiskOptions::default()).await.unwrap_err();
    assert!(refused.to_string().contains("run the version that wrote it"), "{refused}");
    std::fs::write(folder.path().join("format"), "forebay dusk 1\n").unwrap();
    let refused = Disk::open(folder.path(), DiskOptions::default()).await.unwrap_err();
    assert!(matches!(refused, DiskError::Damaged { .. }), "{refused}");
}

#[tokio::test]
async fn a_folder_whose_making_was_cut_short_is_made_again() {
    let made = tempfile::tempdir().unwrap();
    open(made.path()).await.close().await.unwrap();
    for steps in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let copy = |name: &str| std::fs::copy(made.path().join(name), folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join("lock"), "process 1").unwrap();
        if steps > 0 {
            std::fs::write(folder.path().join("unfinished"), "").unwrap();
        }
        if steps > 1 {
            std::fs::create_dir_all(folder.path().join("data/keyspaces")).unwrap();
        }
        if steps > 2 {
            copy("data/0.jnl");
            copy("data/version");
            copy("progress");
        }
        let disk = open(folder.path()).await;
        assert!(disk.opened().is_new && disk.opened().kept_all);
        put(&disk, "a", "1", Durability::Always).await;
        disk.close().await.unwrap();
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["data", "format", "lock", "progress"]);
        // Whatever it looks like, what has a format was used.
        std::fs::write(folder.path().join("unfinished"), "").unwrap();
        assert_eq!(text(&open(folder.path()).await, "a").await.as_deref(), Some("1"));
    }
}

/// The rows of a closed folder, as the store has them.
pub fn raw(folder: &Path, space: Space, change: impl FnOnce(&fjall::Keyspace)) {
    let database = fjall::Database::builder(folder.join("data")).open().unwrap();
    let keyspace = database.keyspace(space.name(), fjall::KeyspaceCreateOptions::default).unwrap();
    change(&keyspace);
    database.persist(fjall::PersistMode::SyncAll).unwrap();
}

/// Flips a bit in the first record whose key begins so.
pub fn damage(folder: &Path, space: Space, prefix: &[u8]) {
    raw(folder, space, |rows| {
        let (key, record) = rows.prefix(prefix).next().unwrap().into_inner().unwrap();
        let mut record = record.to_vec();
        record[3] ^= 1;
        rows.insert(key, record).unwrap();
    });
}

#[tokio::test]
async fn a_folder_with_a_space_that_is_no_more_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    put(&disk, "a", "1", Durability::Always).await;
    disk.close().await.unwrap();
    for round in 0..2 {
        let database = fjall::Database::builder(folder.path().join("data")).open().unwrap();
        let hot = database.keyspace("hot", fjall::KeyspaceCreateOptions::default).unwrap();
        assert_eq!(hot.get("owner").unwrap().is_some(), round > 0);
        hot.insert("owner", "list").unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
        drop((hot, database));
        let disk = open(folder.path()).await;
        assert_eq!(text(&disk, "a").await.as_deref(), Some("1"));
        put(&disk, "b", "2", Durability::Always).await;
        disk.compact(&Space::ALL).await.unwrap();
        disk.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_record_is_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    for key in ["a", "b", "c"] {
        put(&disk, key, "content", Durability::OsWritten).await;
    }
    disk.close().await.unwrap();
    raw(folder.path(), Space::Stores, |rows| {
        let mut record = rows.get("b").unwrap().unwrap().to_vec();
        *record.last_mut().unwrap() ^= 4;
        rows.insert("b", record).unwrap();
    });
    let disk = open(folder.path()).await;
    let damaged = disk.get(Space::Stores, "b").await.unwrap_err();
    assert!(damaged.to_string().contains("the record \"b\" of stores is damaged"), "{damaged}");
    assert!(matches!(disk.scan(all_of(Space::Stores)).await, Err(DiskError::Damaged { .. })));
    assert_eq!(text(&disk, "a").await.as_deref(), Some("content"));
    let after = Scan { after: Some("b".into()), ..all_of(Space::Stores) };
    assert_eq!(disk.scan(after).await.unwrap().rows.len(), 1);
    let before = disk.scan(Scan { limit: 1, ..all_of(Space::Stores) }).await.unwrap();
    assert!(before.rows.len() == 1 && before.more, "a page is not the worse for what comes after it");
    let past = disk.read(|view| view.scan_past_damage(&all_of(Space::Stores))).await.unwrap();
    let sound: Vec<bool> = past.rows.iter().map(|(_, content)| content.is_ok()).collect();
    assert_eq!(sound, [true, false, true]);
    // Written anew it is whole.
    put(&disk, "b", "again", Durability::OsWritten).await;
    assert_eq!(disk.scan(all_of(Space::Stores)).await.unwrap().rows.len(), 3);
}

#[tokio::test]
async fn a_journal_that_is_cut_or_damaged_anywhere_is_found_when_the_folder_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path()).await;
    for number in 0..4 {
        put(&disk, &format!("key {number}"), "some content", Durability::Always).await;
    }
    disk.close().await.unwrap();
    let journal = std::fs::read(folder.path().join("data/0.jnl")).unwrap();
    let end = journal.iter().rposition(|byte| *byte != 0).unwrap();
    let mut found = 0;
    for at in (0..=end).step_by(end / 40) {
        let copy = tempfile::tempdir().unwrap();
        copy_all(folder.path(), copy.path());
        let mut damaged = journal.clone();
        damaged[at] ^= 0x41;
        std::fs::write(copy.path().join("data/0.jnl"), damaged).unwrap();
        match Disk::open(copy.path(), DiskOptions::default()).await {
            Err(DiskError::Damaged { .. }) => found += 1,
            Err(other) => panic!("byte {at}: {other}"),
            Ok(disk) => {
                let page = disk.scan(all_of(Space::Stores)).await;
                assert!(page.is_ok_and(|page| page.rows.len() == 4), "byte {at} was left out silently");
            }
        }
    }
    assert!(found > 30, "{found}");
}

pub fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn rows_that_are_too_large_are_refused_and_nothing_of_their_batch_is_done() {
    for disk in [Disk::memory(), open(tempfile::tempdir().unwrap().path()).await] {
        let mut batch = Batch::new();
        batch.put(Space::Stores, "small", "1").put(Space::Stores, vec![0; 70_000], "2");
        let refused = disk.write(batch, Durability::Always).await;
        assert!(matches!(refused, Err(DiskError::Refused { .. })), "{refused:?}");
        assert_eq!(disk.get(Space::Stores, "small").await.unwrap(), None);
        put(&disk, "small", "3", Durability::Always).await;
    }
}

#[tokio::test]
async fn a_disk_whose_readers_hang_is_told_of_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = DiskOptions { answer_within: Duration::from_millis(50), ..DiskOptions::default() };
    let disk = Disk::open(folder.path(), options).await.unwrap();
    assert!(disk.bytes().await.unwrap() > 0);
    // More than there are readers.
    let mut reads = JoinSet::new();
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = Arc::new(forebay::rt::Mutex::new(wait));
    for _ in 0..64 {
        let (disk, wait) = (disk.clone(), Arc::clone(&wait));
        reads.spawn(async move {
            disk.read(move |_| {
                // Ends once nobody can say so any more.
                let _ = wait.lock().recv();
                Ok(())
            })
            .await
        });
    }
    let is_told = async {
        // Until every reader has begun one of these.
        loop {
            match disk.bytes().await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    let told = forebay::rt::Clock::system()
        .timeout(Duration::from_secs(10), is_told)
        .await
        .expect("it is waited for");
    assert!(matches!(told, DiskError::Timeout { .. }), "{told:?}");
    assert!(!disk.stats().is_poisoned);
    drop(go);
    while let Some(read) = reads.join_next().await {
        // Those that hung were given up.
        let _ = read.unwrap();
    }
    disk.close().await.unwrap();
}

/// No row has a key beyond the limit: it is not written, and nothing is found there, however long it is.
#[tokio::test]
async fn keys_beyond_the_limit_are_refused_and_never_found() {
    let folder = tempfile::tempdir().unwrap();
    for disk in [Disk::memory(), open(folder.path()).await] {
        let longest = "k".repeat(KEY_BYTES_MAX);
        put(&disk, "a", "1", Durability::OsWritten).await;
        put(&disk, &longest, "longest", Durability::OsWritten).await;
        put(&disk, "z", "2", Durability::OsWritten).await;
        assert_eq!(text(&disk, &longest).await.as_deref(), Some("longest"));
        for more in [1, 5_535, 5_536, 100_000] {
            let long = format!("{longest}{}", "k".repeat(more));
            let mut batch = Batch::new();
            batch.put(Space::Stores, long.clone(), "no");
            let refused = disk.write(batch, Durability::OsWritten).await;
            assert!(matches!(refused, Err(DiskError::Refused { .. })), "{more}: {refused:?}");
            assert_eq!(text(&disk, &long).await, None, "{more}");
            let found =
                disk.scan(Scan { prefix: long.clone().into(), ..all_of(Space::Stores) }).await.unwrap();
            assert!(found.rows.is_empty() && !found.more, "{more}");
            let after = Scan { after: Some(long.into()), ..all_of(Space::Stores) };
            let found = disk.scan(after).await.unwrap().rows;
            assert_eq!(found, [(Bytes::from("z"), Bytes::from("2"))], "{more}");
            let before = Scan { after: Some("j".repeat(100_000).into()), ..all_of(Space::Stores) };
            assert_eq!(disk.scan(before).await.unwrap().rows.len(), 2, "{more}");
        }
        disk.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_scan_ends_where_its_rows_have_so_many_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for disk in [open(folder.path()).await, Disk::memory()] {
        let mut batch = Batch::new();
        for number in 0..9 {
            batch.put(Space::Stores, format!("{number}"), vec![b'x'; 999]);
        }
        disk.write(batch, Durability::OsWritten).await.unwrap();
        let page = |after: Option<Bytes>, bytes_max: usize| {
            let length = |_: &[u8], content: Result<Bytes, DiskError>| content.unwrap().len();
            let scan = Scan { after, ..all_of(Space::Stores) };
            disk.read(move |view| view.scan_as(&scan, bytes_max, length))
        };
        let lengths = |number: std::ops::Range<u8>| {
            number.map(|number| (Bytes::from(number.to_string()), 999)).collect::<Vec<_>>()
        };
        // Each takes 1,000 bytes with its key; one is read whatever it takes.
        for (after, bytes_max, rows, more) in [
            (None, 1, 0..1, true),
            (None, 2_000, 0..2, true),
            (None, 2_001, 0..3, true),
            (Some("2".into()), 6_000, 3..9, false),
            (Some("2".into()), usize::MAX, 3..9, false),
        ] {
            let found = page(after, bytes_max).await.unwrap();
            assert_eq!((found.rows, found.more), (lengths(rows), more), "{bytes_max}");
        }
        disk.close().await.unwrap();
    }
}
