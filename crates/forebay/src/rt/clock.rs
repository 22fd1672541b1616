//! Time: a coarse monotonic clock of the engine's own, or one that a test drives.
//!
//! A [`Tick`] is a millisecond since the clock was made. The system's clock is asked once a millisecond by one thread, so
//! that a memory hit costs one atomic load. Wall-clock time is never asked: order and expiry do not come from it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Mutex;

/// What a sleep lasts whose end cannot be told: thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A point in time: milliseconds since the clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The tick `ms` milliseconds after the clock was made.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the clock was made.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The tick `span` later; the end of time where that overflows.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The tick `span` earlier; the beginning of time where that is before it.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero where it is later than this.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// What was waited for did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not done in time")]
pub struct Elapsed;

/// A monotonic clock; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Face);

#[derive(Clone, Debug)]
enum Face {
    /// The last tick that the clock's thread wrote.
    System(Arc<AtomicU64>),
    /// The system could give no thread: the time is asked for at every look.
    Threadless(Instant),
    Simulated(Arc<Simulated>),
}

impl Clock {
    /// The system's monotonic clock, read once a millisecond by a thread that ends with the last clone.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the door that the ban points to")]
        let start = Instant::now();
        let now = Arc::new(AtomicU64::new(0));
        match tick_every_ms(start, Arc::downgrade(&now)) {
            Ok(()) => Self(Face::System(now)),
            Err(_) => Self(Face::Threadless(start)),
        }
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    #[must_use]
    pub fn simulated() -> Self {
        Self(Face::Simulated(Arc::default()))
    }

    /// The present, to the millisecond.
    #[must_use]
    pub fn now(&self) -> Tick {
        match &self.0 {
            Face::System(now) => Tick(now.load(Ordering::Relaxed)),
            Face::Threadless(start) => since(*start),
            Face::Simulated(clock) => Tick(clock.now.load(Ordering::Acquire)),
        }
    }

    /// Moves a simulated clock forward and wakes who slept until then, in the order of their ends and, within one tick, in
    /// the order in which they began to wait; a system clock moves by itself.
    pub fn advance(&self, span: Duration) {
        if let Face::Simulated(clock) = &self.0 {
            clock.advance(span);
        }
    }

    /// Waits for `span`, counted from this call.
    pub fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + use<> {
        let face = self.0.clone();
        let until = self.now().after(span).0;
        #[expect(clippy::disallowed_methods, reason = "this is the door that the ban points to")]
        let now = Instant::now();
        let due = now.checked_add(span).unwrap_or(now + FAR);
        async move {
            match face {
                Face::System(_) | Face::Threadless(_) => tokio::time::sleep_until(due.into()).await,
                Face::Simulated(clock) => Sleep { clock, until, place: None }.await,
            }
        }
    }

    /// Waits for `work`, at most for `span`; late work is dropped.
    ///
    /// # Errors
    /// [`Elapsed`] when `span` ends first.
    pub async fn timeout<T>(&self, span: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let begun = self.now();
        let mut work = std::pin::pin!(work);
        // Made once it is seen that the work takes time: what is done at once needs none.
        let mut late = std::pin::pin!(None);
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            if late.is_none() {
                late.set(Some(self.sleep(span.saturating_sub(self.now().since(begun)))));
            }
            match late.as_mut().as_pin_mut() {
                Some(late) => late.poll(context).map(|()| Err(Elapsed)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// A clock that a test drives, and who sleeps by it.
#[derive(Debug, Default)]
struct Simulated {
    now: AtomicU64,
    sleepers: Mutex<Sleepers>,
}

#[derive(Debug, Default)]
struct Sleepers {
    /// By the end of the sleep and a number that grows.
    by_end: BTreeMap<(u64, u64), Waker>,
    made: u64,
}

impl Simulated {
    fn advance(&self, span: Duration) {
        let mut sleepers = self.sleepers.lock();
        let now = Tick(self.now.load(Ordering::Acquire)).after(span).0;
        self.now.store(now, Ordering::Release);
        let later = sleepers.by_end.split_off(&(now.saturating_add(1), 0));
        let woken = std::mem::replace(&mut sleepers.by_end, later);
        drop(sleepers);
        for waker in woken.into_values() {
            waker.wake();
        }
    }
}

/// A sleep by a simulated clock.
#[derive(Debug)]
struct Sleep {
    clock: Arc<Simulated>,
    until: u64,
    /// Its place among the sleepers, once it has one.
    place: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = Arc::clone(&self.clock);
        // The lock is what `advance` changes the time under: a sleeper either sees the new time or is woken by it.
        let mut sleepers = clock.sleepers.lock();
        if clock.now.load(Ordering::Acquire) >= self.until {
            return Poll::Ready(());
        }
        let until = self.until;
        let place = *self.place.get_or_insert_with(|| {
            sleepers.made += 1;
            (until, sleepers.made)
        });
        sleepers.by_end.insert(place, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.clock.sleepers.lock().by_end.remove(&place);
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// Starts the thread that writes the time into `now` until nobody else holds it.
fn tick_every_ms(start: Instant, now: Weak<AtomicU64>) -> std::io::Result<()> {
    let tick = move || {
        while let Some(now) = now.upgrade() {
            now.store(since(start).0, Ordering::Relaxed);
            drop(now);
            #[expect(clippy::disallowed_methods, reason = "this is the door that the ban points to")]
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    std::thread::Builder::new().name("forebay-clock".into()).spawn(tick).map(|_| ())
}

fn since(start: Instant) -> Tick {
    Tick(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
}
