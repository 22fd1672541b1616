//! The disk against a map: batches, steps, scans with every limit and cursor, clears, compactions and restarts.

use std::collections::BTreeMap;

use bytes::Bytes;
use forebay_stores::disk::{Batch, Disk, Durability, Page, Scan, Space};
use proptest::prelude::*;

use super::open;

type Model = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Deed {
    Write(Vec<(Space, Vec<u8>, Option<Vec<u8>>)>, Durability),
    /// Reads what was just changed within one step.
    Step(Vec<(Space, Vec<u8>, Option<Vec<u8>>)>),
    Scan {
        space: Space,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: usize,
    },
    Clear(Space),
    Compact,
    Reopen,
}

fn space() -> impl Strategy<Value = Space> {
    prop_oneof![Just(Space::Entries), Just(Space::Stores)]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0), Just(b'a'), Just(0xff)], 0..4)
}

fn changes() -> impl Strategy<Value = Vec<(Space, Vec<u8>, Option<Vec<u8>>)>> {
    let content = prop::option::of(prop::collection::vec(any::<u8>(), 0..6));
    // The store has no row without a key.
    let key = key().prop_map(|mut key| {
        key.push(1);
        key
    });
    prop::collection::vec((space(), key, content), 0..6)
}

fn deed() -> impl Strategy<Value = Deed> {
    let durability = prop_oneof![Just(Durability::Always), Just(Durability::OsWritten)];
    prop_oneof![
        8 => (changes(), durability).prop_map(|(changes, durability)| Deed::Write(changes, durability)),
        4 => changes().prop_map(Deed::Step),
        8 => (space(), key(), prop::option::of(key()), 0..7_usize)
            .prop_map(|(space, prefix, after, limit)| Deed::Scan { space, prefix, after, limit }),
        1 => space().prop_map(Deed::Clear),
        1 => Just(Deed::Compact),
        1 => Just(Deed::Reopen),
    ]
}

fn apply(model: &mut Model, changes: Vec<(Space, Vec<u8>, Option<Vec<u8>>)>) {
    for (space, key, content) in changes {
        match content {
            Some(content) => model.insert((space, key), content),
            None => model.remove(&(space, key)),
        };
    }
}

fn expected(model: &Model, scan: &Scan) -> Page {
    let rows = model.iter().filter(|((space, key), _)| {
        *space == scan.space
            && key.starts_with(&scan.prefix)
            && scan.after.as_ref().is_none_or(|after| key[..] > after[..])
    });
    let mut rows: Vec<_> =
        rows.map(|((_, key), content)| (Bytes::from(key.clone()), Bytes::from(content.clone()))).collect();
    let more = rows.len() > scan.limit;
    rows.truncate(scan.limit);
    Page { rows, more }
}

fn all(space: Space) -> Scan {
    super::all_of(space)
}

async fn run(mut disk: Disk, folder: Option<&tempfile::TempDir>, deeds: Vec<Deed>) {
    let mut model = Model::new();
    for deed in deeds {
        match deed {
            Deed::Write(changes, durability) => {
                let mut batch = Batch::new();
                for (space, key, content) in &changes {
                    match content {
                        Some(content) => batch.put(*space, key.clone(), content.clone()),
                        None => batch.delete(*space, key.clone()),
                    };
                }
                disk.write(batch, durability).await.unwrap();
                apply(&mut model, changes);
            }
            Deed::Step(changes) => {
                let before = model.clone();
                apply(&mut model, changes.clone());
                let after = model.clone();
                let step = move |of: &mut forebay_stores::disk::Changes<'_>| {
                    assert_eq!(of.scan(&all(Space::Stores))?, expected(&before, &all(Space::Stores)));
                    for (space, key, content) in changes {
                        match content {
                            Some(content) => of.put(space, key, content)?,
                            None => of.delete(space, key)?,
                        }
                    }
                    Ok((of.scan(&all(Space::Stores))?, expected(&after, &all(Space::Stores))))
                };
                let (found, expected) = disk.change(64, Durability::OsWritten, step).await.unwrap();
                assert_eq!(found, expected);
            }
            Deed::Scan { space, prefix, after, limit } => {
                let scan = Scan { space, prefix: prefix.into(), after: after.map(Bytes::from), limit };
                assert_eq!(disk.scan(scan.clone()).await.unwrap(), expected(&model, &scan));
            }
            Deed::Clear(space) => {
                disk.clear(&[space]).await.unwrap();
                model.retain(|(of, _), _| *of != space);
            }
            Deed::Compact => disk.compact(&[Space::Entries, Space::Stores]).await.unwrap(),
            Deed::Reopen => {
                if let Some(folder) = folder {
                    disk.close().await.unwrap();
                    disk = open(folder.path()).await;
                }
            }
        }
    }
    for space in [Space::Entries, Space::Stores] {
        assert_eq!(disk.scan(all(space)).await.unwrap(), expected(&model, &all(space)));
    }
    disk.close().await.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_folder_is_a_map(deeds in prop::collection::vec(deed(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        runtime().block_on(async { run(open(folder.path()).await, Some(&folder), deeds).await });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_a_map(deeds in prop::collection::vec(deed(), 1..40)) {
        runtime().block_on(run(Disk::memory(), None, deeds));
    }
}
