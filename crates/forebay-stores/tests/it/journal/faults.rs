//! Each call to the disk fails once, or from then on: what was confirmed is there, nothing that was refused is, and of what nobody
//! knows a prefix at most. The same when the power goes.

use forebay::Journal as _;
use forebay::tier::shared::Owner;
use forebay::writes::{JournalEntry, JournalError};
use forebay_stores::journal::{FileJournal, OpenError};

use super::disk::{Disk, Fault, Plan};
use super::model::{Holds, append, open, opened, owner, park, revive, run, settle};

/// What was told of the commits of a script.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Entries that were confirmed.
    confirmed: Vec<JournalEntry>,
    /// The commit that nobody knows about.
    unknown: Vec<JournalEntry>,
    refused: usize,
}

impl Told {
    fn note(&mut self, entries: &[JournalEntry], done: Result<(), JournalError>) {
        match done {
            Ok(()) => {
                assert!(self.unknown.is_empty(), "a journal went on after a failed sync");
                self.confirmed.extend_from_slice(entries);
            }
            Err(JournalError::Unconfirmed { .. }) => {
                assert!(self.unknown.is_empty(), "a journal went on after a failed sync");
                self.unknown = entries.to_vec();
            }
            Err(JournalError::Failed { .. } | JournalError::Poisoned) => self.refused += 1,
            Err(error) => panic!("{error}"),
        }
    }

    fn shown(&self) -> String {
        let unknown = Holds::of(&[&self.confirmed[..], &self.unknown].concat());
        format!(
            "{}, and {} entries, which would make {}",
            Holds::of(&self.confirmed).shown(),
            self.unknown.len(),
            unknown.shown()
        )
    }

    /// Whether a journal may hold this.
    fn allows(&self, holds: &Holds) -> bool {
        (0..=self.unknown.len()).any(|prefix| {
            let log = [&self.confirmed, &self.unknown[..prefix]].concat();
            Holds::of(&log) == *holds
        })
    }
}

/// Commits that fill several segments, leave little in the first, and so have it copied on.
fn script() -> Vec<Vec<JournalEntry>> {
    let value = vec![7; 600];
    let mut commits = vec![
        vec![append(1, "a", Some(b"{}")), append(2, "b", None)],
        vec![park(2, "the table is gone", 3)],
        vec![append(3, "c", Some(&[0; 2_000]))],
        vec![revive(2), park(1, "no", 1), settle(99)],
    ];
    for number in 10..50_u128 {
        let mut commit = vec![append(number, "k", Some(&value))];
        if number > 12 {
            commit.push(settle(number - 2));
        }
        commits.push(commit);
    }
    commits.push(vec![settle(3), revive(1)]);
    commits
}

async fn play(journal: &FileJournal, told: &mut Told) {
    for commit in script() {
        let done = journal.commit(&commit).await;
        told.note(&commit, done);
    }
}

/// Checks that `disk`, which works again, has what was told, and can go on.
async fn check(disk: &Disk, told: &Told, when: &str) {
    let (journal, holds) = opened(disk).await.unwrap_or_else(|error| panic!("{when}: {error}"));
    assert!(told.allows(&holds), "{when}: {}\nfrom {}", holds.shown(), told.shown());
    journal.commit(&[append(1_000, "z", None)]).await.unwrap();
    drop(journal);
    let (_, again) = opened(disk).await.unwrap();
    assert_eq!(again.pending.len(), holds.pending.len() + 1, "{when}");
    // What was found is on the disk by then, also what was left in memory by a sync that failed.
    for seed in 0..3 {
        let lost = disk.power_loss(&mut fastrand::Rng::with_seed(seed));
        let (_, holds) = opened(&lost).await.unwrap_or_else(|error| panic!("{when}: later, {error}"));
        assert_eq!(holds, again, "{when}: found, and lost later");
    }
}

#[test]
fn each_call_fails_once_or_for_ever() {
    let mut seen = (0, 0, 0);
    for fault in [Fault::Eio, Fault::Enospc, Fault::Short, Fault::WrittenAndFailed] {
        for lasts in [false, true] {
            for at in 1.. {
                let disk = Disk::default();
                disk.plan(Some(Plan { at, fault, lasts }));
                let when = format!("call {at}, {fault:?}, for ever: {lasts}");
                let mut told = Told::default();
                let met = run(async {
                    match open(&disk).await {
                        Ok(journal) => {
                            journal.claim(&owner()).unwrap();
                            play(&journal, &mut told).await;
                        }
                        Err(error) => assert!(matches!(error, OpenError::Disk { .. }), "{when}: {error}"),
                    }
                    let (_, met) = disk.calls();
                    disk.plan(None);
                    let mut random = fastrand::Rng::with_seed(u64::try_from(at).unwrap());
                    for _ in 0..4 {
                        check(&disk.power_loss(&mut random), &told, &format!("{when}, power loss")).await;
                    }
                    check(&disk, &told, &when).await;
                    met
                });
                if fault == Fault::Short {
                    assert_eq!(told.confirmed, script().concat(), "{when}: a short write goes on");
                }
                seen.0 += usize::from(!told.unknown.is_empty());
                seen.1 += told.refused;
                seen.2 += 1;
                if met == 0 {
                    assert_eq!(told.refused, 0);
                    break;
                }
            }
        }
    }
    assert!(seen.0 > 100 && seen.1 > 1_000 && seen.2 > 1_000, "{seen:?}");
}

#[test]
fn the_power_goes_at_any_call() {
    let mut random = fastrand::Rng::with_seed(4);
    let disk = Disk::default();
    run(async {
        let mut told = Told::default();
        {
            let journal = open(&disk).await.unwrap();
            journal.claim(&owner()).unwrap();
            play(&journal, &mut told).await;
        }
        assert_eq!(told.refused, 0);
        let (calls, _) = disk.calls();
        for at in 1..=calls {
            // The machine stops within this call: from here on nothing is done.
            let disk = Disk::default();
            disk.plan(Some(Plan { at, fault: Fault::Eio, lasts: true }));
            let mut told = Told::default();
            if let Ok(journal) = open(&disk).await {
                journal.claim(&owner()).unwrap();
                play(&journal, &mut told).await;
            }
            for _ in 0..8 {
                check(&disk.power_loss(&mut random), &told, &format!("call {at}")).await;
            }
        }
    });
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    run(async {
        let disk = Disk::default();
        let mut told = Told::default();
        let journal = open(&disk).await.unwrap();
        journal.claim(&owner()).unwrap();
        disk.room(Some(24 << 10));
        let mut taken = Vec::new();
        for number in 1..100_u128 {
            let commit = [append(number, "k", Some(&[1; 700]))];
            let done = journal.commit(&commit).await;
            if done.is_ok() {
                taken.push(number);
            }
            told.note(&commit, done);
        }
        assert!(told.refused > 50 && told.unknown.is_empty(), "{} refused", told.refused);
        // The disk is full to the last byte, by others too: settling goes on nevertheless.
        disk.room(Some(disk.taken()));
        for number in &taken {
            let commit = [settle(*number)];
            journal.commit(&commit).await.unwrap();
            told.note(&commit, Ok(()));
        }
        let commit = [append(200, "k", Some(&[1; 700]))];
        let done = journal.commit(&commit).await;
        assert!(done.is_ok(), "{done:?}");
        told.note(&commit, done);
        drop(journal);
        check(&disk, &told, "a full disk").await;
    });
}

/// Whenever the process ends, also right after what was held was copied on, it is known whose the writes are.
#[test]
fn nobody_else_can_claim_what_a_journal_holds() {
    let other = Owner { keyspace: "shop".into(), namespace: "prices".into() };
    let (mut holding, mut at) = (0, 0);
    loop {
        at += 1;
        let disk = Disk::default();
        disk.plan(Some(Plan { at, fault: Fault::Eio, lasts: true }));
        run(async {
            if let Ok((journal, _)) = opened(&disk).await {
                play(&journal, &mut Told::default()).await;
            }
        });
        let (_, met) = disk.calls();
        let left = disk.copy();
        let claimed = run(async {
            let journal = open(&left).await.unwrap();
            let claimed = journal.claim(&other);
            let holds = journal.claim(&owner()).is_ok_and(|found| !found.pending.is_empty());
            claimed
                .map(|found| assert!(found.pending.is_empty() && found.dead.is_empty(), "call {at}"))
                .is_err()
                && holds
        });
        holding += usize::from(claimed);
        if met == 0 {
            break;
        }
    }
    assert!(holding > 100, "{holding} of {at} journals held something");
}
