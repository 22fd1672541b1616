//! Faults happen, have the outcome that is said of them, and come again with their seed.

use forebay::log::{Cursor, Log, LogError, Verb};
use forebay::tier::shared::{Answer, SharedTier, TierError};
use forebay::value::Position;
use forebay_simulated::{ANSWER_WITHIN, Faults, Fired, Partition};

use super::{TERMS, driven, get, lease, load, ms, of_key, of_tag, owner, stage};

#[tokio::test]
async fn a_lost_answer_is_an_unknown_outcome_that_happened() {
    let (tier, clock, a, b) = stage(1);
    load(&a, "k", "old").await;
    tier.set_faults(Faults { lose_answer: 1_000, ..Faults::default() });
    let before = clock.now();
    let error = driven(&clock, a.invalidate(&[of_key("k", Verb::Invalidate)])).await.unwrap_err();
    assert!(error.unknown_outcome() && error.may_retry());
    assert_eq!(clock.now().since(before), ANSWER_WITHIN);
    tier.set_faults(Faults::default());
    lease(&b, "k").await;
    // A lease whose answer was lost is nobody's until it ends.
    tier.set_faults(Faults { lose_answer: 1_000, ..Faults::default() });
    driven(&clock, a.get(&owner(), &[b"lost"], Some(TERMS))).await.unwrap_err();
    tier.set_faults(Faults::default());
    assert!(matches!(get(&b, "lost").await.1, Answer::Busy { .. }));
    clock.advance(TERMS.time);
    lease(&b, "lost").await;
    assert_eq!(tier.fired().answers_lost, 2);
}

#[tokio::test]
async fn a_lost_request_did_not_happen_and_a_late_one_does_at_last() {
    let (tier, clock, a, b) = stage(1);
    load(&a, "k", "old").await;
    tier.set_faults(Faults { lose_request: 1_000, ..Faults::default() });
    let error = driven(&clock, a.invalidate(&[of_key("k", Verb::Invalidate)])).await.unwrap_err();
    assert!(error.unknown_outcome());
    tier.set_faults(Faults { late: 1_000, ..Faults::default() });
    let error = driven(&clock, a.invalidate(&[of_key("k", Verb::Invalidate)])).await.unwrap_err();
    assert!(error.unknown_outcome());
    tier.set_faults(Faults::default());
    assert!(matches!(get(&b, "k").await.1, Answer::Held(_)), "it happened before it arrived");
    clock.advance(ms(1));
    lease(&b, "k").await;
    assert_eq!((tier.fired().requests_lost, tier.fired().late), (1, 1));
}

#[tokio::test]
async fn a_refused_connection_is_known_to_have_done_nothing() {
    let (tier, _, a, b) = stage(1);
    tier.set_faults(Faults { refuse: 1_000, ..Faults::default() });
    let error = a.append(&[of_tag("t")]).await.unwrap_err();
    assert!(matches!(error, LogError::Unreachable { sent: false, .. }) && !error.unknown_outcome());
    tier.set_faults(Faults::default());
    assert_eq!(b.append(&[]).await.unwrap().position, Position::START);
}

#[tokio::test]
async fn a_partition_cuts_one_instance_off() {
    let (tier, clock, a, b) = stage(1);
    tier.partition(1, Some(Partition::Refused));
    assert!(matches!(get_error(a.get(&owner(), &[b"k"], None).await), TierError::Unreachable { .. }));
    tier.partition(1, Some(Partition::Requests));
    let error = driven(&clock, a.append(&[of_tag("t")])).await.unwrap_err();
    assert!(error.unknown_outcome());
    assert_eq!(b.append(&[]).await.unwrap().position, Position::START);
    tier.partition(1, Some(Partition::Answers));
    driven(&clock, a.append(&[of_tag("t")])).await.unwrap_err();
    assert_eq!(b.append(&[]).await.unwrap().position, Position::new(1));
    tier.partition(1, None);
    assert_eq!(a.append(&[of_tag("t")]).await.unwrap().position, Position::new(2));
}

fn get_error<T: std::fmt::Debug>(result: Result<T, TierError>) -> TierError {
    result.unwrap_err()
}

/// Two instances at work under every fault; what they saw and what happened.
async fn run(seed: u64) -> (Vec<String>, Fired) {
    let (tier, clock, a, b) = stage(seed);
    let chances =
        Faults { delay_ms_max: 20, refuse: 50, lose_request: 50, lose_answer: 50, late: 50, repeat: 200 };
    tier.set_faults(chances);
    let mut seen = Vec::new();
    let mut cursor = Cursor::NOWHERE;
    for round in 0_usize..200 {
        let key = (round % 7).to_string();
        let work = async {
            let records = [of_key(&key, Verb::Invalidate), of_tag(&key)];
            let (got, told) =
                tokio::join!(async { a.get(&owner(), &[key.as_bytes()], Some(TERMS)).await }, async {
                    b.invalidate(&records).await
                },);
            format!("{got:?} {told:?}")
        };
        seen.push(driven(&clock, work).await);
        if let Ok(batch) = driven(&clock, b.read(cursor, ms(0))).await {
            cursor = batch.cursor();
            seen.push(format!("{batch:?}"));
        }
        match round {
            60 | 120 => tier.restart(3),
            150 => tier.trim(4),
            _ => {}
        }
    }
    (seen, tier.fired())
}

#[tokio::test]
async fn the_same_seed_meets_the_same_faults() {
    let (seen, fired) = run(42).await;
    assert_eq!((&seen, fired), (&run(42).await.0, run(42).await.1));
    assert_ne!(seen, run(43).await.0);
    let counts = [
        fired.delayed,
        fired.refused,
        fired.requests_lost,
        fired.answers_lost,
        fired.late,
        fired.repeated,
        fired.gaps,
        fired.leases_taken,
    ];
    assert!(counts.iter().all(|count| *count > 3), "not every fault happened: {fired:?}");
}
