//! Time: a coarse monotonic clock of the engine's own, or one that a test drives.
//!
//! A [`Tick`] is a millisecond since the clock was made. The system's clock is asked once a millisecond by one thread, so
//! that a memory hit costs one atomic load. Wall-clock time is never asked: order and expiry do not come from it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
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
    /// The last tick that was written.
    System(Arc<Shown>),
    /// The system could give no thread: the time is asked for at every look.
    Threadless(Instant),
    Simulated(Arc<Simulated>),
}

impl Clock {
    /// The system's monotonic clock, the same for the whole process: read once a millisecond by one thread, which ends with the last
    /// clone.
    #[must_use]
    pub fn system() -> Self {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = kept.upgrade() {
            return Self(Face::System(shown));
        }
        #[expect(clippy::disallowed_methods, reason = "this is the door that the ban points to")]
        let start = Instant::now();
        let shown = Arc::new(Shown { start, now: AtomicU64::new(0), is_looked_at: AtomicBool::new(false) });
        match keep(Arc::downgrade(&shown)) {
            Ok(()) => {
                *kept = Arc::downgrade(&shown);
                Self(Face::System(shown))
            }
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
            Face::System(shown) => Tick(shown.now.load(Ordering::Relaxed)),
            Face::Threadless(start) => ticks(start.elapsed()),
            Face::Simulated(clock) => Tick(clock.now.load(Ordering::Acquire)),
        }
    }

    /// Takes over that the system's clock shows `now`: for whoever asks it anyway, such as a connection before it answers what has come.
    /// While somebody does so, the clock's own thread asks less often.
    #[inline]
    pub fn shows(&self, now: Instant) {
        if let Face::System(shown) = &self.0 {
            shown.show(now);
            if !shown.is_looked_at.load(Ordering::Relaxed) {
                shown.is_looked_at.store(true, Ordering::Relaxed);
            }
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

/// What the system's clock showed last.
#[derive(Debug)]
struct Shown {
    start: Instant,
    /// In milliseconds since `start`; it only grows.
    now: AtomicU64,
    /// Somebody else than the clock's thread has looked since that did.
    is_looked_at: AtomicBool,
}

impl Shown {
    fn show(&self, now: Instant) {
        let now = ticks(now.saturating_duration_since(self.start)).0;
        if now > self.now.load(Ordering::Relaxed) {
            self.now.fetch_max(now, Ordering::Relaxed);
        }
    }
}

/// The clock of this process, while somebody has it. Not a lock of the engine's: no schedule of the model checker depends on it.
#[expect(clippy::disallowed_types, reason = "this is the door that the bans point to")]
static KEPT: std::sync::Mutex<Weak<Shown>> = std::sync::Mutex::new(Weak::new());

/// How long the clock's thread sleeps between two looks, and how long while others look.
const TICK: Duration = Duration::from_millis(1);
const RELIEVED: Duration = Duration::from_millis(5);

/// Starts the thread that keeps the time until nobody else holds it.
#[expect(clippy::disallowed_methods, reason = "this is the door that the bans point to")]
fn keep(shown: Weak<Shown>) -> std::io::Result<()> {
    let keep = move || {
        while let Some(shown) = shown.upgrade() {
            shown.show(Instant::now());
            let is_looked_at = shown.is_looked_at.swap(false, Ordering::Relaxed);
            drop(shown);
            std::thread::sleep(if is_looked_at { RELIEVED } else { TICK });
        }
    };
    std::thread::Builder::new().name("forebay-clock".into()).spawn(keep).map(|_| ())
}

fn ticks(span: Duration) -> Tick {
    Tick(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what the system's clock shows is what is handed on")]
    fn a_look_that_is_handed_on_moves_it_forward_and_never_back() {
        let shown =
            Shown { start: Instant::now(), now: AtomicU64::new(0), is_looked_at: AtomicBool::new(false) };
        let clock = Clock(Face::System(Arc::new(shown)));
        let later = Instant::now() + Duration::from_secs(7);
        clock.shows(later);
        let then = clock.now();
        assert!(then >= Tick::from_ms(7_000));
        clock.shows(Instant::now());
        assert_eq!(clock.now(), then);
    }

    #[test]
    fn a_process_has_one() {
        let (one, other) = (Clock::system(), Clock::system());
        let (Face::System(one), Face::System(other)) = (one.0, other.0) else { return };
        assert!(Arc::ptr_eq(&one, &other));
    }
}
