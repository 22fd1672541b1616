//! Backups while writes go on, and what becomes of damaged ones.

use forebay_stores::disk::{Disk, DiskError, DiskOptions, Durability, Space};

use tokio::task::JoinSet;

use super::{all_of, open, put};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_holds_what_was_acknowledged_before_it_began_and_batches_whole() {
    let (folder, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = open(folder.path()).await;
    let (to, restored) = (backups.path().join("one"), backups.path().join("restored"));
    let writing = {
        let disk = disk.clone();
        let mut writing = JoinSet::new();
        writing.spawn(async move {
            for number in 0..3_000_u32 {
                let step = move |changes: &mut forebay_stores::disk::Changes<'_>| {
                    changes.put(Space::Stores, format!("row {number:05}"), vec![7; 500])?;
                    changes.put(Space::StoreExpiry, format!("end {number:05}"), "")?;
                    changes.put(Space::Entries, format!("copy {number:05}"), "")?;
                    changes.put(Space::Stores, "count", number.to_be_bytes().to_vec())
                };
                disk.change(600, Durability::OsWritten, step).await.unwrap();
            }
        });
        writing
    };
    let count = async || match disk.get(Space::Stores, "count").await.unwrap() {
        Some(count) => u32::from_be_bytes(count[..].try_into().unwrap()),
        None => 0,
    };
    while count().await < 500 {
        tokio::task::yield_now().await;
    }
    let before = count().await;
    let backup = disk.backup(&to).await.unwrap();
    let after = count().await;
    writing.join_all().await;
    assert!(backup.rows > 1_000, "{backup:?}");
    assert_eq!(Disk::restore(&to, &restored).await.unwrap(), backup);

    let restored = open(&restored).await;
    let rows = restored.scan(all_of(Space::Stores)).await.unwrap().rows;
    let last = restored.get(Space::Stores, "count").await.unwrap().unwrap();
    let last = u32::from_be_bytes(last[..].try_into().unwrap());
    assert!((before..=after).contains(&last), "{before} {last} {after}");
    assert_eq!(rows.len(), last as usize + 2, "a batch is there in part");
    assert_eq!(restored.scan(all_of(Space::StoreExpiry)).await.unwrap().rows.len(), last as usize + 1);
    assert_eq!(restored.scan(all_of(Space::Entries)).await.unwrap().rows.len(), 0, "copies come back stale");
    for (key, content) in rows {
        let there = disk.get(Space::Stores, key.clone()).await.unwrap().unwrap();
        assert!(key == "count" || there == content);
    }
}

/// What becomes of a copy of a backup.
type Damage = fn(&std::path::Path);

#[tokio::test]
async fn a_half_or_damaged_backup_is_refused_and_nothing_is_made_of_it() {
    let (folder, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = open(folder.path()).await;
    for number in 0..20 {
        put(&disk, &format!("{number}"), "content", Durability::OsWritten).await;
    }
    let whole = backups.path().join("whole");
    disk.backup(&whole).await.unwrap();
    let refused = disk.backup(&whole).await;
    assert!(matches!(refused, Err(DiskError::Refused { .. })), "{refused:?}");

    let damages: [(&str, Damage); 5] = [
        ("no manifest", |backup| std::fs::remove_file(backup.join("manifest")).unwrap()),
        ("a short file", |backup| {
            let rows = std::fs::read(backup.join("rows")).unwrap();
            std::fs::write(backup.join("rows"), &rows[..rows.len() - 3]).unwrap();
        }),
        ("a row less", |backup| {
            let rows = std::fs::read(backup.join("rows")).unwrap();
            // Head, key, and a record of seven bytes behind its own head.
            std::fs::write(backup.join("rows"), &rows[9 + 1 + 16..]).unwrap();
        }),
        ("a flipped bit", |backup| {
            let mut rows = std::fs::read(backup.join("rows")).unwrap();
            rows[40] ^= 1;
            std::fs::write(backup.join("rows"), rows).unwrap();
        }),
        ("another manifest", |backup| {
            let manifest = std::fs::read_to_string(backup.join("manifest")).unwrap();
            std::fs::write(backup.join("manifest"), manifest.replace("rows 20", "rows 21")).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let (copy, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        super::copy_all(&whole, copy.path());
        damage(copy.path());
        let to = to.path().join("restored");
        let refused = Disk::restore(copy.path(), &to).await;
        assert!(matches!(refused, Err(DiskError::Damaged { .. })), "{what}: {refused:?}");
        assert!(!to.exists(), "{what}");
    }
    // What a restore that did not finish leaves is no folder.
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir(to.path().join("data")).unwrap();
    let refused = Disk::open(to.path(), DiskOptions::default()).await;
    assert!(matches!(refused, Err(DiskError::NotOurs { .. })), "{refused:?}");
    let restored = backups.path().join("restored");
    Disk::restore(&whole, &restored).await.unwrap();
    assert_eq!(open(&restored).await.scan(all_of(Space::Stores)).await.unwrap().rows.len(), 20);
}

#[tokio::test]
async fn the_form_of_a_backup_is_what_was_promised() {
    let (folder, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = open(folder.path()).await;
    put(&disk, "key", "content", Durability::OsWritten).await;
    let to = backups.path().join("one");
    disk.backup(&to).await.unwrap();
    let rows = std::fs::read(to.join("rows")).unwrap();
    expect_test::expect![[r#"\x05\x03\x00\x00\x00\x10\x00\x00\x00key\x01\xa2\x1b>L\x97\x1a\xe4\x1fcontent"#]]
        .assert_eq(&rows.escape_ascii().to_string());
    let manifest = std::fs::read_to_string(to.join("manifest")).unwrap();
    expect_test::expect![[r#"
        forebay backup 1
        rows 1
        bytes 28
        xxh3 851c3adabc73c251
        manifest 3808477456101549
    "#]]
    .assert_eq(&manifest);
}
