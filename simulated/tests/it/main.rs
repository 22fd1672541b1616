//! The simulated tier keeps the contracts, and its faults happen.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may stop at the first surprise"
)]

mod conformance;
mod faults;
mod leases;
mod log;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::log::{Cursor, Reach, Record, Verb};
use forebay::rt::Clock;
use forebay::tier::shared::{Answer, Envelope, EnvelopeValue, Fill, Lease, LeaseTerms, Owner, SharedTier};
use forebay_simulated::{Link, SimulatedTier};

const TERMS: LeaseTerms = LeaseTerms { time: Duration::from_secs(6), even_if_fresh: false };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A tier, its clock, and the links of two instances.
fn stage(seed: u64) -> (SimulatedTier, Clock, Link, Link) {
    let clock = Clock::simulated();
    let tier = SimulatedTier::new(clock.clone(), seed);
    let (a, b) = (tier.link(1), tier.link(2));
    (tier, clock, a, b)
}

/// Runs `work` to its end, moving the clock a millisecond whenever it waits.
async fn driven<T>(clock: &Clock, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::task::yield_now() => clock.advance(ms(1)),
        }
    }
}

fn owner() -> Owner {
    Owner { keyspace: Arc::from("shop"), namespace: Arc::from("price") }
}

fn record(reach: Reach, verb: Verb) -> Record {
    Record { keyspace: Arc::from("shop"), reach, verb }
}

fn of_key(key: &str, verb: Verb) -> Record {
    record(Reach::Key { namespace: Arc::from("price"), key: key.as_bytes().into() }, verb)
}

fn of_tag(tag: &str) -> Record {
    record(Reach::Tag(Arc::from(tag)), Verb::Invalidate)
}

/// A value loaded just now, fresh for a second and of use for two.
fn envelope(text: &str, noted: Cursor) -> Envelope {
    let value = EnvelopeValue::Blob {
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        content_type: Arc::from("text/plain"),
    };
    Envelope {
        value: Some(value),
        age_ms: 0,
        fresh_for_ms: 1_000,
        useless_after_ms: 2_000,
        noted,
        tags: Vec::new(),
        version: None,
        shape: 0,
        expired: false,
    }
}

fn fill(key: &str, lease: Lease, envelope: Envelope) -> Fill {
    Fill { key: key.as_bytes().into(), lease, envelope }
}

async fn get(link: &Link, key: &str) -> (Cursor, Answer) {
    let mut answers = link.get(&owner(), &[key.as_bytes()], Some(TERMS)).await.unwrap();
    (answers.tail, answers.answers.remove(0))
}

async fn lease(link: &Link, key: &str) -> (Cursor, Lease) {
    match get(link, key).await {
        (tail, Answer::Leased { lease, .. }) => (tail, lease),
        other => panic!("no lease: {other:?}"),
    }
}

/// Loads `key` as `text` into the tier.
async fn load(link: &Link, key: &str, text: &str) {
    let (tail, lease) = lease(link, key).await;
    let filled = link.fill(&owner(), &[fill(key, lease, envelope(text, tail))]).await.unwrap();
    assert_eq!(filled, [forebay::tier::shared::Filled::Stored]);
}
