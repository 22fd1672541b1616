//! Random commits, openings and losses of power against a plain model.

use std::time::Duration;

use forebay::Journal as _;
use forebay::writes::{JournalEntry, JournalError};
use proptest::prelude::*;

use super::disk::Disk;
use super::model::{Holds, append, append_encoded, id, opened, revive, run, settle};

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Entry>),
    Reopen,
    LosePower(u64),
}

#[derive(Clone, Debug)]
enum Entry {
    Append {
        value: Vec<u8>,
        is_encoded: bool,
    },
    /// Of one of the last appends, counted back.
    Settle(usize),
    Park(usize, String, u32),
    Revive(usize),
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        5 => (prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            (0_usize..3_000, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
        ], any::<bool>()).prop_map(|(value, is_encoded)| Entry::Append { value, is_encoded }),
        5 => (0_usize..20).prop_map(Entry::Settle),
        1 => (0_usize..20, ".{0,20}", any::<u32>()).prop_map(|(back, why, tries)| Entry::Park(back, why, tries)),
        1 => (0_usize..20).prop_map(Entry::Revive),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => prop::collection::vec(entry(), 1..12).prop_map(Step::Commit),
        2 => Just(Step::Reopen),
        1 => any::<u64>().prop_map(Step::LosePower),
    ]
}

fn entries(wanted: &[Entry], newest: &mut u128) -> Vec<JournalEntry> {
    let mut entries = Vec::new();
    for entry in wanted {
        let back = |back: usize| newest.saturating_sub(back as u128);
        entries.push(match entry {
            Entry::Append { value, is_encoded } => {
                *newest += 1;
                let key = format!("key:{}", *newest % 7);
                match is_encoded {
                    true => append_encoded(*newest, &key, value, Duration::new(7, 9)),
                    false if value.is_empty() => append(*newest, &key, None),
                    false => append(*newest, &key, Some(value)),
                }
            }
            Entry::Settle(at) => settle(back(*at)),
            Entry::Park(at, reason, attempts) => {
                JournalEntry::Park { id: id(back(*at)), reason: reason.as_str().into(), attempts: *attempts }
            }
            Entry::Revive(at) => revive(back(*at)),
        });
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_was_committed(steps in prop::collection::vec(step(), 1..120)) {
        run(async {
            let mut disk = Disk::default();
            let (mut journal, holds) = opened(&disk).await.unwrap();
            assert_eq!(holds, Holds::default());
            let (mut log, mut newest) = (Vec::new(), 0);
            for step in steps.into_iter().chain([Step::Reopen]) {
                match step {
                    Step::Commit(wanted) => {
                        let commit = entries(&wanted, &mut newest);
                        match journal.commit(&commit).await {
                            Ok(()) => log.extend(commit),
                            Err(JournalError::Full { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        continue;
                    }
                    Step::Reopen => drop(journal),
                    Step::LosePower(seed) => {
                        drop(journal);
                        disk = disk.power_loss(&mut fastrand::Rng::with_seed(seed));
                    }
                }
                let holds;
                (journal, holds) = opened(&disk).await.unwrap();
                assert_eq!(holds, Holds::of(&log));
            }
        });
    }
}
