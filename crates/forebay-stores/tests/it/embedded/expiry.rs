//! What has ended goes, without a look at what has not; the budget is kept; files shrink; damage is dropped; hot keys are remembered.

use bytes::Bytes;
use forebay::log::Log;
use forebay::rt::Clock;
use forebay::tier::shared::{Fill, Filled, LeaseTerms, SharedTier};
use forebay_stores::disk::{Disk, Durability, Space};

use super::{EmbeddedTier, Place, end, held, lease, load, ms, of_key, of_tag, owner};
use crate::disk::all_of;

/// Lets the tier's background work look once, and waits until `done`.
async fn swept(place: &Place, done: impl AsyncFn() -> bool) {
    let system = Clock::system();
    let began = system.now();
    while system.now().since(began) < ms(60_000) {
        place.clock.advance(ms(1_000));
        if done().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it was not swept");
}

async fn rows(disk: &Disk, space: Space) -> usize {
    disk.scan(all_of(space)).await.unwrap().rows.len()
}

fn for_ms(ms: u64) -> impl FnOnce(&mut forebay::tier::shared::Envelope) {
    move |envelope| (envelope.fresh_for_ms, envelope.useless_after_ms) = (ms, ms)
}

#[tokio::test]
async fn what_has_ended_goes_and_what_has_not_stays() {
    let place = Place::new();
    let (disk, tier) = place.open().await;
    for number in 0..600 {
        load(&tier, &format!("{number}"), "short".into(), for_ms(5_000 + number)).await;
    }
    load(&tier, "long", "long".into(), for_ms(100_000_000)).await;
    // Replaced, invalidated and lengthened ones leave no row behind.
    load(&tier, "0", "again".into(), for_ms(100_000_000)).await;
    SharedTier::invalidate(&*tier, &[of_key("1")]).await.unwrap();
    assert_eq!((rows(&disk, Space::Entries).await, rows(&disk, Space::Expiry).await), (600, 600));
    swept(&place, async || rows(&disk, Space::Entries).await == 2).await;
    assert_eq!(rows(&disk, Space::Expiry).await, 2);
    assert!(held(&tier, "long").await.is_some() && held(&tier, "0").await.is_some());
    let left = tier.stats().bytes;
    place.clock.advance(ms(100_000_000));
    swept(&place, async || rows(&disk, Space::Entries).await == 0).await;
    assert!(left > 0 && tier.stats().bytes == 0, "{left}");
    end(disk, tier).await;
}

#[tokio::test]
async fn beyond_the_budget_those_go_that_end_first() {
    let place = Place { budget_bytes: 50_000, ..Place::new() };
    let (disk, tier) = place.open().await;
    for number in 0..200_u64 {
        let ends = 1_000_000 + 1_000 * (number * 7 % 200);
        load(&tier, &format!("{number:03}"), Bytes::from(vec![b'x'; 400]), for_ms(ends)).await;
        assert!(tier.stats().bytes <= 50_000, "{number}: {:?}", tier.stats());
    }
    let mut kept = Vec::new();
    for number in 0..200_u64 {
        if held(&tier, &format!("{number:03}")).await.is_some() {
            kept.push(number * 7 % 200);
        }
    }
    assert!(kept.len() > 60, "{}", kept.len());
    let first = kept.iter().min().unwrap();
    assert!(*first >= 90, "{first} ended before others that went");
    let bytes = tier.stats().bytes;
    end(disk, tier).await;
    // What it counted is remembered.
    let (disk, tier) = place.open().await;
    assert_eq!(tier.stats().bytes, bytes);
    end(disk, tier).await;
}

fn size_on_disk(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_on_disk(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_shrinks_once_everything_has_ended() {
    let place = Place::new();
    let (disk, tier) = place.open().await;
    let mut noise = fastrand::Rng::with_seed(1);
    for number in 0..200 {
        let value: Vec<u8> = std::iter::repeat_with(|| noise.u8(..)).take(800_000).collect();
        load(&tier, &format!("{number}"), value.into(), |_| {}).await;
    }
    let full = size_on_disk(place.folder.path());
    assert!(full > 150_000_000, "{full}");
    // Journals of up to 64 MB stay until they are full.
    swept(&place, async || size_on_disk(place.folder.path()) < 80_000_000).await;
    assert_eq!(tier.stats().bytes, 0);
    load(&tier, "after", "all".into(), |_| {}).await;
    end(disk, tier).await;
    let (disk, tier) = place.open().await;
    assert!(held(&tier, "after").await.is_some());
    end(disk, tier).await;
}

#[tokio::test]
async fn a_time_of_day_that_ran_backwards_begins_a_new_epoch() {
    let mut place = Place::new();
    let (disk, tier) = place.open().await;
    load(&tier, "k", "v".into(), |_| {}).await;
    let before = tier.append(&[]).await.unwrap();
    end(disk, tier).await;
    place.unix_ms_at_zero -= 1;
    let (disk, tier) = place.open().await;
    assert_eq!(tier.append(&[]).await.unwrap().epoch.0, before.epoch.0 + 1);
    assert!(held(&tier, "k").await.is_none());
    assert_eq!((rows(&disk, Space::Entries).await, rows(&disk, Space::Expiry).await), (0, 0));
    end(disk, tier).await;
}

#[tokio::test]
async fn a_run_without_the_tier_begins_a_new_epoch() {
    let place = Place::new();
    let (disk, tier) = place.open().await;
    load(&tier, "k", "v".into(), |_| {}).await;
    end(disk, tier).await;
    // Whatever was invalidated in this run nobody has told it.
    place.disk().await.close().await.unwrap();
    let (disk, tier) = place.open().await;
    assert!(held(&tier, "k").await.is_none());
    assert_eq!(tier.append(&[]).await.unwrap().epoch.0, 2);
    end(disk, tier).await;
}

#[tokio::test]
async fn a_damaged_copy_is_dropped_and_counted() {
    let place = Place::new();
    let (disk, tier) = place.open().await;
    load(&tier, "k", "v".into(), |_| {}).await;
    load(&tier, "other", "v".into(), |_| {}).await;
    end(disk, tier).await;
    crate::disk::raw(place.folder.path(), Space::Entries, |rows| {
        let key = rows.first_key_value().unwrap().key().unwrap();
        let mut record = rows.get(&key).unwrap().unwrap().to_vec();
        record[20] ^= 1;
        rows.insert(key, record).unwrap();
    });
    let (disk, tier) = place.open().await;
    assert!(held(&tier, "k").await.is_none() && held(&tier, "other").await.is_some());
    assert_eq!(tier.stats().damaged, 1);
    load(&tier, "k", "anew".into(), |_| {}).await;
    assert!(held(&tier, "k").await.is_some());
    end(disk, tier).await;
}

#[tokio::test]
async fn a_damaged_row_of_the_index_goes_with_its_entry_and_holds_up_nothing() {
    for budget_bytes in [1 << 30, 2_000] {
        let place = Place { budget_bytes: 1 << 30, ..Place::new() };
        let (disk, tier) = place.open().await;
        for number in 0..4 {
            load(&tier, &format!("{number}"), Bytes::from(vec![b'x'; 500]), for_ms(5_000 + 1_000 * number))
                .await;
        }
        end(disk, tier).await;
        crate::disk::damage(place.folder.path(), Space::Expiry, b"");
        let place = Place { budget_bytes, ..place };
        let (disk, tier) = place.open().await;
        // Beyond the budget, what has the damaged row goes first, and a fill is none the worse for it.
        load(&tier, "new", Bytes::from(vec![b'x'; 500]), for_ms(20_000)).await;
        assert_eq!(held(&tier, "0").await.is_some(), budget_bytes > 2_000);
        assert!(held(&tier, "new").await.is_some());
        // What is counted is ahead of what is written.
        swept(&place, async || tier.stats().bytes == 0 && rows(&disk, Space::Entries).await == 0).await;
        assert_eq!((tier.stats().damaged, rows(&disk, Space::Expiry).await), (1, 0));
        end(disk, tier).await;
    }
}

#[tokio::test]
async fn a_floor_is_raised_where_too_many_groups_were_invalidated() {
    let place = Place::new();
    let (disk, tier) = place.open().await;
    load(&tier, "early", "v".into(), |_| {}).await;
    let many: Vec<_> = (0..66_000).map(|number| of_tag(&format!("{number}"))).collect();
    for some in many.chunks(1_000) {
        tier.append(some).await.unwrap();
    }
    assert!(tier.stats().groups < 1_000, "{:?}", tier.stats());
    assert!(held(&tier, "early").await.is_some(), "while it runs the log judges");
    load(&tier, "late", "v".into(), |_| {}).await;
    end(disk, tier).await;
    let (disk, tier) = place.open().await;
    assert!(held(&tier, "early").await.is_none() && held(&tier, "late").await.is_some());
    end(disk, tier).await;
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_leaves_no_lease_on_what_is_fresh() {
    let place = Place::new();
    let (disk, tier) = place.open().await;
    load(&tier, "k", "v".into(), |_| {}).await;
    let terms = LeaseTerms { time: ms(6_000), even_if_fresh: false };
    let (of, keys) = (owner(), [&b"k"[..]]);
    let mut dropped = 0;
    while dropped < 10 {
        let mut asking = std::pin::pin!(SharedTier::get(&*tier, &of, &keys, Some(terms)));
        let pending = std::future::poll_fn(|context| {
            std::task::Poll::Ready(asking.as_mut().poll(context).is_pending())
        });
        dropped += usize::from(pending.await);
    }
    assert_eq!(tier.stats().leases, 0);
    lease(&tier, "k").await;
    end(disk, tier).await;
}

/// A group takes no leases: a load that began before it was invalidated is judged when it fills, however late that is.
#[tokio::test]
async fn what_was_loaded_before_its_group_was_invalidated_is_never_stored() {
    let place = Place::new();
    let (disk, tier) = place.open().await;
    let (before, late) = lease(&tier, "late").await;
    let (_, later) = lease(&tier, "later").await;
    tier.append(&[of_tag("t")]).await.unwrap();
    let filled = |key: &str, lease, noted| {
        let mut envelope = super::envelope("old".into(), noted);
        (envelope.tags, envelope.useless_after_ms) = (vec!["t".into()], 1_000_000_000);
        Fill { key: key.as_bytes().into(), lease, envelope }
    };
    let fills = [filled("late", late, before)];
    assert_eq!(tier.fill(&owner(), &fills).await.unwrap(), [Filled::LeaseGone]);
    // A load may take long while its lease is renewed; nothing that was held then lives any more.
    for _ in 0..40 {
        assert!(tier.renew(&owner(), b"later", later, ms(6_000)).await.unwrap());
        place.clock.advance(ms(1_000));
        for _ in 0..50 {
            tokio::task::yield_now().await;
            disk.bytes().await.unwrap();
        }
    }
    assert_eq!(tier.stats().groups, 1);
    let fills = [filled("later", later, before)];
    assert_eq!(tier.fill(&owner(), &fills).await.unwrap(), [Filled::LeaseGone]);
    // With the last of those loads the mark is of no use.
    swept(&place, async || tier.stats().groups == 0).await;
    end(disk, tier).await;
    let (disk, tier) = place.open().await;
    assert!(held(&tier, "late").await.is_none() && held(&tier, "later").await.is_none());
    end(disk, tier).await;
}

/// A tier may be closed and opened again on a disk that stays open.
#[tokio::test]
async fn a_tier_that_was_closed_is_out_of_reach() {
    let place = Place::new();
    let (disk, tier) = place.open().await;
    load(&tier, "k", "v".into(), |_| {}).await;
    EmbeddedTier::close(&tier).await.unwrap();
    assert!(tier.append(&[of_tag("t")]).await.unwrap_err().may_retry());
    let again = place.tier(&disk).await;
    assert!(held(&again, "k").await.is_some());
    disk.write(forebay_stores::disk::Batch::new(), Durability::Always).await.unwrap();
    end(disk, again).await;
}
