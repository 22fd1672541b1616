//! The log: one order, gaps that are told, epochs, and who is waited for.

use forebay::log::{BATCH_MAX, Cursor, Epoch, InstanceId, LIVE_FOR, Log, Verb};
use forebay::rt::Clock;
use forebay::tier::shared::{Filled, SharedTier};
use forebay::value::Position;
use forebay_simulated::Faults;

use super::{driven, envelope, fill, get, lease, load, ms, of_key, of_tag, owner, stage};

fn at(epoch: u64, position: u64) -> Cursor {
    Cursor { epoch: Epoch(epoch), position: Position::new(position) }
}

#[tokio::test]
async fn readers_get_every_record_in_order() {
    let (_, clock, a, b) = stage(1);
    let count = BATCH_MAX as u64 + 10;
    for number in 0..count {
        let records = [of_tag(&format!("t{number}"))];
        assert_eq!(a.append(&records).await.unwrap(), at(1, number + 1));
    }
    let first = b.read(at(1, 0), ms(0)).await.unwrap();
    assert!(!first.gap && !first.caught_up());
    let second = b.read(first.cursor(), ms(0)).await.unwrap();
    assert!(second.caught_up());
    for (number, (position, record)) in (0..).zip(first.records.iter().chain(&second.records)) {
        assert_eq!((*position, record), (Position::new(number + 1), &of_tag(&format!("t{number}"))));
    }
    assert_eq!(first.records.len() + second.records.len(), usize::try_from(count).unwrap());
    // An empty batch is the heartbeat; a record ends the wait.
    let before = clock.now();
    let beat = driven(&clock, b.read(second.cursor(), ms(100))).await.unwrap();
    assert!(beat.records.is_empty() && !beat.gap && beat.cursor() == second.cursor());
    assert_eq!(clock.now().since(before), ms(100));
    let records = [of_tag("news")];
    let (news, _) = tokio::join!(b.read(second.cursor(), ms(100)), a.append(&records));
    assert_eq!(news.unwrap().records.len(), 1);
}

#[tokio::test]
async fn what_was_trimmed_is_a_gap() {
    let (tier, _, a, _) = stage(1);
    a.append(&[of_tag("1"), of_tag("2"), of_tag("3"), of_tag("4")]).await.unwrap();
    tier.trim(2);
    let batch = a.read(at(1, 1), ms(0)).await.unwrap();
    assert!(batch.gap, "record 2 was skipped silently");
    assert_eq!((batch.begin(), batch.end, batch.records.len()), (Position::new(2), Position::new(4), 2));
    let batch = a.read(at(1, 2), ms(0)).await.unwrap();
    assert!(!batch.gap, "3 and 4 are kept");
    let batch = a.read(Cursor::NOWHERE, ms(0)).await.unwrap();
    assert!(batch.gap && batch.records.len() == 2);
    tier.trim(0);
    let batch = a.read(at(1, 3), ms(0)).await.unwrap();
    assert_eq!((batch.gap, batch.begin(), batch.end), (true, Position::new(4), Position::new(4)));
    assert!(!a.read(at(1, 4), ms(0)).await.unwrap().gap);
}

#[tokio::test]
async fn a_new_epoch_is_a_gap_and_holds_nothing_of_the_old() {
    let (tier, _, a, b) = stage(1);
    load(&a, "held", "old").await;
    let (tail, leased) = lease(&a, "leased").await;
    a.append(&[of_tag("1"), of_tag("2"), of_tag("3")]).await.unwrap();
    tier.restart(2);
    assert_eq!(a.append(&[of_tag("again")]).await.unwrap(), at(2, 2));
    let batch = b.read(at(1, 1), ms(0)).await.unwrap();
    assert!(batch.gap, "a position of another epoch was believed");
    assert_eq!((batch.epoch, batch.end, batch.records.len()), (Epoch(2), Position::new(2), 2));
    let old = fill("leased", leased, envelope("old", tail));
    assert_eq!(a.fill(&owner(), &[old]).await.unwrap(), [Filled::LeaseGone]);
    let (tail, _) = lease(&b, "held").await;
    assert_eq!(tail, at(2, 2));
    assert_eq!((tier.fired().restarts, tier.fired().records_lost), (1, 2));
}

#[tokio::test]
async fn a_fill_that_noted_another_epoch_is_refused() {
    let (tier, _, a, _) = stage(1);
    let (old, _) = get(&a, "k").await;
    tier.restart(0);
    let (_, leased) = lease(&a, "k").await;
    assert_eq!(
        a.fill(&owner(), &[fill("k", leased, envelope("v", old))]).await.unwrap(),
        [Filled::LeaseGone]
    );
}

#[tokio::test]
async fn records_are_told_again_and_never_skipped() {
    let (tier, _, a, b) = stage(7);
    tier.set_faults(Faults { repeat: 500, ..Faults::default() });
    let mut cursor = at(1, 0);
    for number in 1..=100 {
        a.append(&[of_key(&number.to_string(), Verb::Invalidate)]).await.unwrap();
        let batch = b.read(cursor, ms(0)).await.unwrap();
        assert!(batch.begin() <= cursor.position && !batch.gap);
        assert_eq!(batch.end, Position::new(number));
        let positions: Vec<u64> = batch.records.iter().map(|(position, _)| position.number()).collect();
        let expected: Vec<u64> = (batch.begin().number() + 1..=number).collect();
        assert_eq!(positions, expected);
        cursor = batch.cursor();
    }
    assert!(tier.fired().repeated > 20, "{:?}", tier.fired());
}

async fn confirmed(log: &impl Log, clock: &Clock, place: Cursor, wait_ms: u64) -> (bool, u64) {
    let before = clock.now();
    let said = driven(clock, log.acknowledged(place, ms(wait_ms))).await.unwrap();
    (said, u64::try_from(clock.now().since(before).as_millis()).unwrap())
}

#[tokio::test]
async fn who_lives_is_waited_for_and_who_fell_silent_is_not() {
    let (tier, clock, a, b) = stage(1);
    let (first, second) = (InstanceId(1), InstanceId(2));
    let place = a.append(&[of_tag("t")]).await.unwrap();
    a.acknowledge(first, place).await.unwrap();
    b.acknowledge(second, at(1, 0)).await.unwrap();
    assert_eq!(confirmed(&a, &clock, place, 500).await, (false, 500));
    let (said, _) =
        tokio::join!(driven(&clock, a.acknowledged(place, ms(500))), b.acknowledge(second, place));
    assert!(said.unwrap());
    b.acknowledge(second, at(1, 0)).await.unwrap();
    assert!(confirmed(&a, &clock, place, 0).await.0, "an acknowledgement was taken back");
    // One that applied nothing more falls silent.
    let next = a.append(&[of_tag("u")]).await.unwrap();
    a.acknowledge(first, next).await.unwrap();
    b.acknowledge(second, place).await.unwrap();
    let (said, after_ms) = confirmed(&a, &clock, next, 5_000).await;
    assert!(said && (1_999..=2_100).contains(&after_ms), "{said} after {after_ms} ms");
    assert!(!confirmed(&a, &clock, at(1, 99), 0).await.0, "nothing stands there");

    // In a new epoch those of the one before may still trust what they hold.
    tier.restart(1);
    let place = a.append(&[of_tag("v")]).await.unwrap();
    a.acknowledge(first, place).await.unwrap();
    assert!(!confirmed(&a, &clock, place, 1_000).await.0);
    assert!(!confirmed(&a, &clock, next, 5_000).await.0, "of an earlier epoch");
    clock.advance(LIVE_FOR);
    assert!(confirmed(&a, &clock, place, 0).await.0);
}
