//! The log: one order, nothing skipped silently, who is waited for.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use forebay::log::{BATCH_MAX, Cursor, Epoch, InstanceId, LIVE_FOR, Verb};
use forebay::value::Position;

use super::{Subject, driven, ms, of_key, of_tag, waits};

pub(super) async fn check<M: Future<Output = Subject>>(make: &impl Fn() -> M) {
    records_are_told_in_order(make().await).await;
    a_long_log_is_told_in_batches(make().await).await;
    a_place_that_is_not_known_is_a_gap(make().await).await;
    a_read_waits_for_news(make().await).await;
    live_instances_are_waited_for(make().await).await;
}

async fn records_are_told_in_order(subject: Subject) {
    let Subject { tier, other, .. } = &subject;
    let start = tier.append(&[]).await.unwrap();
    let records = [of_tag("a"), of_key("k", Verb::Expire), of_tag("b"), of_key("k", Verb::Invalidate)];
    let first = tier.append(&records[..1]).await.unwrap();
    assert_eq!(first, Cursor { position: start.position.next(), ..start });
    let last = other.invalidate(&records[1..]).await.unwrap();
    assert_eq!(last.position.number(), start.position.number() + 4);
    for (from, skipped) in [(start, 0), (first, 1), (last, 4)] {
        let batch = driven(&subject, tier.read(from, Duration::ZERO)).await.unwrap();
        assert!(!batch.gap && batch.caught_up());
        assert_eq!((batch.epoch, batch.end, batch.tail), (start.epoch, last.position, last.position));
        assert_eq!(batch.records.len(), 4 - skipped);
        for (at, (position, told)) in batch.records.iter().enumerate() {
            assert_eq!(position.number(), start.position.number() + 1 + (at + skipped) as u64);
            assert_eq!(*told, records[at + skipped]);
        }
    }
}

async fn a_long_log_is_told_in_batches(subject: Subject) {
    let Subject { tier, .. } = &subject;
    let start = tier.append(&[]).await.unwrap();
    let many: Vec<_> = (0..BATCH_MAX + 10).map(|number| of_tag(&format!("{number}"))).collect();
    for some in many.chunks(tier.capabilities().batch_max.min(500)) {
        tier.append(some).await.unwrap();
    }
    let mut cursor = start;
    let mut told = Vec::new();
    loop {
        let batch = tier.read(cursor, Duration::ZERO).await.unwrap();
        assert!(!batch.gap && batch.records.len() <= BATCH_MAX);
        assert_eq!(batch.begin(), cursor.position);
        cursor = batch.cursor();
        let is_end = batch.caught_up();
        told.extend(batch.records.into_iter().map(|(_, record)| record));
        if is_end {
            break;
        }
    }
    assert_eq!(told, many);
}

async fn a_place_that_is_not_known_is_a_gap(subject: Subject) {
    let Subject { tier, .. } = &subject;
    let tail = tier.append(&[of_tag("a"), of_tag("b")]).await.unwrap();
    let ahead = Cursor { position: tail.position.next(), ..tail };
    let epoch = Cursor { epoch: Epoch(tail.epoch.0 + 1), ..tail };
    for from in [Cursor::NOWHERE, ahead, epoch] {
        let batch = tier.read(from, ms(1_000)).await.unwrap();
        assert!(batch.gap, "{from:?}");
        assert_eq!((batch.epoch, batch.end, batch.tail), (tail.epoch, tail.position, tail.position));
        assert!(batch.begin() <= tail.position);
        // All that is kept is told, up to the tail.
        assert_eq!(batch.records.last().map(|(last, _)| *last), Some(tail.position));
    }
}

async fn a_read_waits_for_news(subject: Subject) {
    let Subject { tier, other, .. } = &subject;
    let tail = tier.append(&[of_tag("a")]).await.unwrap();
    let beat = driven(&subject, tier.read(tail, ms(250))).await.unwrap();
    assert!(beat.records.is_empty() && !beat.gap && beat.caught_up());
    assert_eq!(beat.cursor(), tail, "a heartbeat");
    let mut reading = pin!(tier.read(tail, ms(4_000)));
    assert!(waits(&mut reading).await, "there is no news");
    let next = other.append(&[of_tag("b")]).await.unwrap();
    let news = driven(&subject, reading).await.unwrap();
    assert_eq!((news.cursor(), news.records.len()), (next, 1));
    // Once an append has answered, a read that begins tells it, without a wait.
    let mut reading = pin!(tier.read(tail, ms(4_000)));
    let news = std::future::poll_fn(|context| reading.as_mut().poll(context)).await.unwrap();
    assert_eq!(news.records.len(), 1);
}

async fn live_instances_are_waited_for(subject: Subject) {
    let Subject { tier, other, pass, .. } = &subject;
    // Of the time before it nobody can be known.
    pass(LIVE_FOR).await;
    let place = tier.append(&[of_tag("a")]).await.unwrap();
    let asked = |place, wait| tier.acknowledged(place, wait);
    assert!(driven(&subject, asked(place, ms(0))).await.unwrap(), "nobody is live");
    let (a, b) = (InstanceId(1), InstanceId(2));
    tier.acknowledge(a, place).await.unwrap();
    other.acknowledge(b, Cursor { position: Position::START, ..place }).await.unwrap();
    assert!(!driven(&subject, asked(place, ms(100))).await.unwrap(), "one has not applied it");
    let mut asking = pin!(asked(place, ms(1_000)));
    assert!(waits(&mut asking).await);
    other.acknowledge(b, place).await.unwrap();
    assert!(driven(&subject, asking).await.unwrap(), "now it has");
    // An earlier place, or one of another epoch, says no more than that it lives.
    other.acknowledge(b, Cursor { position: Position::START, ..place }).await.unwrap();
    assert!(driven(&subject, asked(place, ms(0))).await.unwrap());

    let next = tier.append(&[of_tag("b")]).await.unwrap();
    tier.acknowledge(a, next).await.unwrap();
    assert!(!driven(&subject, asked(next, ms(0))).await.unwrap());
    // Who is silent is waited for as long as it is live.
    assert!(driven(&subject, asked(next, LIVE_FOR + ms(500))).await.unwrap());
    let ahead = Cursor { position: next.position.next(), ..next };
    assert!(!driven(&subject, asked(ahead, ms(0))).await.unwrap(), "nothing stands there");
    let earlier = Cursor { epoch: Epoch(next.epoch.0 - 1), ..next };
    assert!(!driven(&subject, asked(earlier, ms(0))).await.unwrap(), "it may be lost");
}
