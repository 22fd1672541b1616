//! What every shared tier keeps, as one function that tests call: [`check_shared_tier`]; and what every store keeps: [`check_store`].
//!
//! Each rule is run on a tier of its own, which the caller makes; it panics at the first rule that does not hold. Times are
//! compared with some slack, so that a tier may keep the time of a server. Faults are not its business: the tiers it is given answer.
//!
//! `entries.rs` has the rules of entries and leases, `log.rs` those of the log, `restarts.rs` what outlives which end, `store.rs` those of stores.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a rule that does not hold ends the test"
)]

mod entries;
mod log;
mod restarts;
mod store;

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use forebay::log::{Cursor, Reach, Record, Verb};
use forebay::tier::shared::{
    Answer, Envelope, EnvelopeValue, Fill, Filled, Lease, LeaseTerms, Owner, SharedTier,
};

pub use store::{Reopens, StoreSubject, check_store};

/// Something that takes its time.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Ends a tier and begins it again; the way to it then.
pub type Begins = Box<dyn Fn() -> Later<Arc<dyn SharedTier>> + Send + Sync>;

/// A tier under test, without faults, in its first moments, and what can be done to it.
pub struct Subject {
    /// One instance's way to it.
    pub tier: Arc<dyn SharedTier>,
    /// Another's.
    pub other: Arc<dyn SharedTier>,
    /// Lets time pass, as the tier counts it.
    pub pass: Box<dyn Fn(Duration) -> Later<()> + Send + Sync>,
    /// Ends the tier in order and begins it again; the way to it then. `None` where nothing outlives that.
    pub restart: Option<Begins>,
    /// Ends it so that it must begin a new epoch; the way to it then. `None` where that cannot be done.
    pub fail_over: Option<Begins>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// Runs every rule of [`SharedTier`] and [`Log`](forebay::log::Log) on tiers that `make` makes, one for each.
///
/// # Panics
/// At the first rule that does not hold.
pub async fn check_shared_tier<M: Future<Output = Subject>>(make: impl Fn() -> M) {
    entries::check(&make).await;
    log::check(&make).await;
    restarts::check(&make).await;
}

const TERMS: LeaseTerms = LeaseTerms { time: Duration::from_secs(6), even_if_fresh: false };
const AGAIN: LeaseTerms = LeaseTerms { even_if_fresh: true, ..TERMS };
/// How much time may pass by itself while a rule is checked.
const SLACK_MS: u64 = 500;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
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

/// A value loaded just now, fresh for ten seconds and of use for twenty.
fn envelope(text: &str, noted: Cursor) -> Envelope {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    Envelope {
        value: Some(EnvelopeValue::Blob { bytes, content_type: Arc::from("text/plain") }),
        age_ms: 0,
        fresh_for_ms: 10_000,
        useless_after_ms: 20_000,
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

async fn ask(tier: &Arc<dyn SharedTier>, key: &str, terms: Option<LeaseTerms>) -> (Cursor, Answer) {
    let mut answers = tier.get(&owner(), &[key.as_bytes()], terms).await.unwrap();
    assert_eq!(answers.answers.len(), 1, "one answer a key");
    (answers.tail, answers.answers.remove(0))
}

async fn lease(tier: &Arc<dyn SharedTier>, key: &str) -> (Cursor, Lease) {
    match ask(tier, key, Some(AGAIN)).await {
        (tail, Answer::Leased { lease, .. }) => (tail, lease),
        other => panic!("no lease on {key}: {other:?}"),
    }
}

async fn fill_one(tier: &Arc<dyn SharedTier>, key: &str, lease: Lease, envelope: Envelope) -> Filled {
    let filled = tier.fill(&owner(), &[fill(key, lease, envelope)]).await.unwrap();
    assert_eq!(filled.len(), 1, "one answer a fill");
    filled[0]
}

/// Loads `key` into the tier.
async fn load(tier: &Arc<dyn SharedTier>, key: &str, change: impl FnOnce(&mut Envelope)) {
    let (tail, lease) = lease(tier, key).await;
    let mut envelope = envelope(key, tail);
    change(&mut envelope);
    assert_eq!(fill_one(tier, key, lease, envelope).await, Filled::Stored, "of {key}");
}

/// What is held of `key`.
async fn held(tier: &Arc<dyn SharedTier>, key: &str) -> Option<Envelope> {
    match ask(tier, key, None).await.1 {
        Answer::Held(envelope) => Some(envelope),
        Answer::Missing => None,
        other => panic!("an answer with a lease to who asked for none: {other:?}"),
    }
}

/// Checks that `found` lies up to [`SLACK_MS`] above `at_least`.
fn assert_about(found: u64, at_least: u64, what: &str) {
    assert!(
        (at_least..=at_least + SLACK_MS).contains(&found),
        "{what}: {found} ms is not about {at_least} ms"
    );
}

/// Runs `work`, which waits for time to pass, to its end.
async fn driven<T>(subject: &Subject, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        let polled = std::future::poll_fn(|context| {
            Poll::Ready(match work.as_mut().poll(context) {
                Poll::Ready(done) => Some(done),
                Poll::Pending => None,
            })
        });
        if let Some(done) = polled.await {
            return done;
        }
        (subject.pass)(ms(5)).await;
        tokio::task::yield_now().await;
    }
}

/// Whether `work` waits when it is asked for the first time.
async fn waits<T>(work: &mut Pin<&mut impl Future<Output = T>>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())).await
}
