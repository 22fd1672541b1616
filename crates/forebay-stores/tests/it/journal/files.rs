//! What lies in the folder: its format, what damage does to it, who has it, how much room it takes.

use std::time::Duration;

use forebay::Journal as _;
use forebay::tier::shared::Owner;
use forebay::writes::{JournalEntry, JournalError};
use forebay_stores::journal::{FileJournal, JournalOptions, JournalState, OpenError};

use super::disk::Disk;
use super::model::{Holds, SMALL, append, append_encoded, open, opened, owner, park, revive, run, settle};

/// One of everything that a journal can be given.
fn everything() -> Vec<Vec<JournalEntry>> {
    vec![
        vec![append(1, "order:1", Some(br#"{"total":"9.90"}"#)), append(2, "order:2", None)],
        vec![append_encoded(0xabcdef, "order:3", &[0, 1, 255], Duration::new(60, 5)), settle(1)],
        vec![park(2, "a total may not be negative", 3), append(4, "order:4", Some(b"[]"))],
        vec![park(4, "no", u32::MAX), revive(4), settle(9), append(5, "order:5", Some(b"{}"))],
    ]
}

async fn write_everything(disk: &Disk) {
    let (journal, _) = opened(disk).await.unwrap();
    for commit in everything() {
        disk.pass(1_000);
        journal.commit(&commit).await.unwrap();
    }
}

const FIRST: &str = "0000000001.journal";

/// A journal of format 1: [`everything`] in a segment that is gone, and much that was settled since, so that what is held was copied on.
/// It is not to be made anew: journals of users look like this.
const GOLDEN: [(&str, &[u8]); 2] = [
    ("0000000004.journal", include_bytes!("format-1/0000000004.journal")),
    ("0000000005.journal", include_bytes!("format-1/0000000005.journal")),
];

#[test]
fn format_1_is_read_and_written_as_it_was() {
    run(async {
        let disk = Disk::default();
        for (name, bytes) in GOLDEN {
            disk.put(name, bytes.to_vec());
        }
        let (_, holds) = opened(&disk).await.unwrap();
        assert_eq!(holds, Holds::of(&everything().concat()));

        // With the header of the golden one, which has the salt, the same commits make the same bytes.
        let golden = include_bytes!("format-1/first");
        let disk = Disk::default();
        disk.put(FIRST, golden[..32].to_vec());
        write_everything(&disk).await;
        assert_eq!(disk.bytes(FIRST), golden);
    });
}

#[test]
fn a_newer_format_is_refused_with_what_to_do() {
    run(async {
        let disk = Disk::default();
        let mut newer = include_bytes!("format-1/first").to_vec();
        newer[8] = 2;
        // The checksum of the header, as a newer version would have written it.
        let whole = twox_hash::XxHash3_128::oneshot_with_seed(0, &newer[..28]);
        newer[28..32].copy_from_slice(&whole.to_le_bytes()[..4]);
        disk.put(FIRST, newer.clone());
        let error = opened(&disk).await.unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("start the version that wrote it"), "{error}");
        assert_eq!(disk.bytes(FIRST), newer, "it is left alone");
    });
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    run(async {
        let disk = Disk::default();
        write_everything(&disk).await;
        let (_, whole) = opened(&disk).await.unwrap();
        assert_eq!(whole, Holds::of(&everything().concat()));
        let bytes = disk.bytes(FIRST);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let broken = disk.copy();
                broken.put(FIRST, flipped);
                match opened(&broken).await {
                    Ok((_, holds)) => assert_eq!(holds, whole, "byte {at}, bit {bit}: told otherwise"),
                    Err(OpenError::Damaged { path, offset, .. }) => {
                        assert!(path.ends_with(FIRST) && offset <= at as u64, "byte {at}: told {offset}");
                    }
                    Err(error) => panic!("byte {at}, bit {bit}: {error}"),
                }
            }
        }
    });
}

#[test]
fn zeros_that_were_written_are_told_from_those_of_a_disk() {
    run(async {
        let disk = Disk::default();
        let (journal, _) = opened(&disk).await.unwrap();
        journal.commit(&[append(1, "a", None)]).await.unwrap();
        let before = disk.bytes(FIRST).len();
        journal.commit(&[append(2, "b", Some(&[0; 2_000]))]).await.unwrap();
        drop(journal);
        let bytes = disk.bytes(FIRST);
        for at in before..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            let broken = disk.copy();
            broken.put(FIRST, flipped);
            let error = opened(&broken).await.unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "byte {at}: {error}");
        }
    });
}

#[test]
fn a_file_cut_short_loses_its_last_commits_and_no_other() {
    run(async {
        let disk = Disk::default();
        write_everything(&disk).await;
        let bytes = disk.bytes(FIRST);
        let mut before = Holds::default();
        let all = everything();
        let allowed: Vec<Holds> = (0..=all.len()).map(|many| Holds::of(&all[..many].concat())).collect();
        for length in 32..bytes.len() {
            let cut = disk.copy();
            cut.put(FIRST, bytes[..length].to_vec());
            let (_, holds) = opened(&cut).await.unwrap();
            assert!(allowed.contains(&holds), "cut at {length}: {holds:?}");
            let place = |holds: &Holds| allowed.iter().position(|other| other == holds);
            assert!(place(&holds) >= place(&before), "cut at {length}");
            before = holds;
        }
    });
}

#[test]
fn a_lost_segment_and_a_hole_are_told() {
    run(async {
        let disk = Disk::default();
        let (journal, _) = opened(&disk).await.unwrap();
        for number in 1..30 {
            journal.commit(&[append(number, "k", Some(&[1; 900]))]).await.unwrap();
        }
        drop(journal);
        let names: Vec<String> = disk.names().into_iter().filter(|name| name.ends_with("journal")).collect();
        assert!(names.len() > 3, "{names:?}");
        for name in &names[1..names.len() - 1] {
            let broken = disk.copy();
            forebay_stores::journal::io::Io::remove(&broken, std::path::Path::new(name)).unwrap();
            let error = opened(&broken).await.unwrap_err();
            assert!(error.to_string().contains("this segment is missing"), "{error}");
        }
        // A segment in the middle that ends early, and one that is another's.
        let cut = disk.copy();
        cut.put(&names[1], disk.bytes(&names[1])[..2_000].to_vec());
        let error = opened(&cut).await.unwrap_err();
        assert!(matches!(&error, OpenError::Damaged { path, .. } if path.ends_with(&names[1])), "{error}");
        let swapped = disk.copy();
        swapped.put(&names[1], disk.bytes(&names[2]));
        let error = opened(&swapped).await.unwrap_err();
        assert!(error.to_string().contains("has the name of another"), "{error}");
    });
}

#[test]
fn an_older_commit_that_is_lost_is_not_cut_off_with_what_came_after() {
    run(async {
        let disk = Disk::default();
        write_everything(&disk).await;
        let mut bytes = disk.bytes(FIRST);
        // The sector of a commit in the middle reads as zeros.
        let (journal, _) = opened(&disk).await.unwrap();
        journal.commit(&[append(7, "k", Some(&[3; 2_000]))]).await.unwrap();
        journal.commit(&[append(8, "k", None)]).await.unwrap();
        drop(journal);
        let longer = disk.bytes(FIRST);
        let sector = (bytes.len() + 600) / 512 * 512;
        bytes = longer;
        bytes[sector..sector + 512].fill(0);
        disk.put(FIRST, bytes);
        let error = opened(&disk).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    });
}

#[test]
fn the_room_of_what_was_settled_is_freed() {
    run(async {
        let disk = Disk::default();
        let (journal, _) = opened(&disk).await.unwrap();
        // A dead letter that nobody looks after, and much that comes and goes.
        journal.commit(&[append(1, "stuck", Some(&[1; 100])), park(1, "no", 1)]).await.unwrap();
        let mut most = 0;
        for number in 10..2_000_u128 {
            journal.commit(&[append(number, "k", Some(&[1; 500])), settle(number - 1)]).await.unwrap();
            most = most.max(disk.taken());
        }
        drop(journal);
        assert!(most < 8 * 4_096, "{most} bytes for two writes");
        let (_, holds) = opened(&disk).await.unwrap();
        assert_eq!((holds.pending.len(), holds.dead.len()), (1, 1));
    });
}

#[test]
fn a_full_journal_takes_what_is_no_append() {
    run(async {
        let disk = Disk::default();
        let (journal, _) = opened(&disk).await.unwrap();
        let mut number = 0;
        let full = loop {
            number += 1;
            match journal.commit(&[append(number, "k", Some(&[1; 10_000]))]).await {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(journal.health().state(), JournalState::Refusing);
        let limit = SMALL.limit_bytes;
        assert!(
            matches!(full, JournalError::Full { held_bytes, limit_bytes } if limit_bytes == limit && held_bytes > limit - 11_000)
        );
        let mixed = [settle(1), append(number, "k", Some(&[1; 10_000]))];
        assert!(matches!(journal.commit(&mixed).await, Err(JournalError::Full { .. })));
        journal.commit(&[settle(1), park(2, "no", 1)]).await.unwrap();
        assert_eq!(journal.health().state(), JournalState::Working);
        journal.commit(&[append(number, "k", Some(&[1; 10_000]))]).await.unwrap();
    });
}

#[test]
fn ages_outlive_the_process() {
    run(async {
        let disk = Disk::default();
        let journal = open(&disk).await.unwrap();
        journal.commit(&[append(1, "a", None), append(2, "b", None), append(3, "c", None)]).await.unwrap();
        disk.pass(5_000);
        journal.commit(&[park(2, "no", 1), park(3, "no", 1)]).await.unwrap();
        disk.pass(500);
        journal.commit(&[revive(3)]).await.unwrap();
        drop(journal);
        disk.pass(60);
        let found = open(&disk).await.unwrap().claim(&owner()).unwrap();
        let ages: Vec<u128> = found.pending.iter().map(|kept| kept.age.as_millis()).collect();
        assert_eq!(ages, [5_560, 60]);
        assert_eq!(found.dead[0].age.as_millis(), 560);
    });
}

#[test]
fn a_folder_has_one_process_and_a_journal_one_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er");
    let other = Owner { keyspace: "shop".into(), namespace: "prices".into() };
    run(async {
        let journal = FileJournal::open(&path, JournalOptions::default()).await.unwrap();
        let second = FileJournal::open(&path, JournalOptions::default()).await.unwrap_err();
        let who = format!("process {}", std::process::id());
        assert!(matches!(&second, OpenError::InUse { by, .. } if *by == who), "{second}");
        journal.claim(&owner()).unwrap();
        let claimed = journal.claim(&other).unwrap_err();
        assert!(claimed.to_string().contains("`orders` of the keyspace `shop`"), "{claimed}");
        journal.commit(&[append(1, "a", None)]).await.unwrap();
        drop(journal);
        let journal = FileJournal::open(&path, JournalOptions::default()).await.unwrap();
        let claimed = journal.claim(&other).unwrap_err();
        assert!(claimed.to_string().contains("`orders` of the keyspace `shop`"), "{claimed}");
        assert_eq!(journal.claim(&owner()).unwrap().pending.len(), 1);
        journal.commit(&[settle(1)]).await.unwrap();
        drop(journal);
        let journal = FileJournal::open(&path, JournalOptions::default()).await.unwrap();
        journal.claim(&other).expect("it holds nothing of anybody's");
    });
}

/// Journals are dropped on the threads of a runtime, also while a disk hangs.
#[test]
fn a_journal_that_is_dropped_does_not_wait_for_a_disk_that_hangs() {
    run(async {
        let disk = Disk::default();
        let (journal, _) = opened(&disk).await.unwrap();
        let go = disk.hang();
        let (done, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let watchdog = std::thread::Builder::new().spawn(move || {
            let in_time = wait.recv_timeout(Duration::from_secs(20)).is_ok();
            go.send(()).unwrap();
            in_time
        });
        let entries = [append(1, "k", None)];
        let mut commit = journal.commit(&entries);
        while disk.is_to_hang() {
            std::future::poll_fn(|context| {
                assert!(commit.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        drop(commit);
        drop(journal);
        done.send(()).unwrap();
        assert!(watchdog.unwrap().join().unwrap(), "the drop waited for the disk");
        let journal = loop {
            match open(&disk).await {
                Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                journal => break journal.unwrap(),
            }
        };
        assert_eq!(journal.claim(&owner()).unwrap().pending.len(), 1);
        journal.close().await;
        open(&disk).await.expect("it was let go");
    });
}

#[test]
fn options_out_of_their_limits_are_told() {
    run(async {
        for options in [
            JournalOptions { limit_bytes: 10, ..JournalOptions::default() },
            JournalOptions { segment_bytes: 10, ..JournalOptions::default() },
        ] {
            let error = FileJournal::open("nowhere", options).await.unwrap_err();
            assert!(matches!(error, OpenError::Options { .. }), "{error}");
        }
    });
}
