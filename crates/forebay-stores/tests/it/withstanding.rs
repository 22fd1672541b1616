//! What every source must withstand: each fault of the proxy, with the engine on top.
//!
//! The goals are asserted five times over, since the machine of a test may be busy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use forebay::observe::{Freshness, Why};
use forebay::rt::{Clock, Mutex};
use forebay::{Blob, BreakerOptions, Error, Forebay, Namespace, Policy, Source};
use forebay_stores::source::episodes::Episodes;

use forebay_simulated::proxy::{Fault, Proxy};

/// A load of these tests takes no longer.
pub const LOAD: Duration = Duration::from_millis(150);
/// What is loaded in these tests is fresh no longer.
const TTL: Duration = Duration::from_millis(100);
/// The breaker opens within, and a source is used again after a fault within.
const GOAL: Duration = Duration::from_secs(1);
const PATIENCE: u32 = 5;
/// So many failures open the breaker, and it stays open for so long: longer than what is left of a load takes on a busy machine.
const FAILURES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Lines of the log, as a test reads them.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Those of this thread, from now on until the guard is dropped.
    pub fn of_this_thread() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// How many hold `told`.
    pub fn with(&self, told: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock()).lines().filter(|line| line.contains(told)).count()
    }
}

fn namespace(engine: &Forebay, name: &str, stale: Duration, source: impl Source) -> Namespace<Blob> {
    let policy = Policy {
        absent_ttl: Duration::ZERO,
        stale_if_error: stale,
        load_timeout: LOAD,
        soft_timeout: LOAD / 2,
        breaker: BreakerOptions { failures: FAILURES, successes: 1, pause: PAUSE },
        ..Policy::new(TTL)
    };
    engine
        .namespace::<Blob>(name)
        .key(&format!("{name}:{{code}}"))
        .policy(policy)
        .source(source)
        .build()
        .unwrap()
}

/// Loads `held`, which exists, through `proxy` under every fault: by `strict`, which never answers stale, and by `lenient`, which does.
///
/// Runs on a runtime of one thread, whose log it reads.
pub async fn withstand(proxy: &Proxy, held: &str, strict: impl Source, lenient: impl Source) {
    let (lines, _guard) = Lines::of_this_thread();
    let clock = Clock::default();
    let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
    let strict = namespace(&engine, "strict", Duration::ZERO, Episodes::new(Arc::new(strict), clock.clone()));
    let lenient = namespace(
        &engine,
        "lenient",
        Duration::from_secs(3_600),
        Episodes::new(Arc::new(lenient), clock.clone()),
    );
    for (episode, fault) in (1..).zip(Fault::DEADLY) {
        for namespace in [&strict, &lenient] {
            recovers(namespace, held, &clock).await;
        }
        clock.sleep(TTL + Duration::from_millis(5)).await;
        proxy.set(fault);
        breaks(&engine, &strict, &clock, fault).await;
        let (value, outcome) = lenient.get_with_outcome(held).await.unwrap();
        assert!(
            value.is_some() && matches!(outcome.freshness, Freshness::Stale(_)),
            "{fault:?}: {outcome:?}"
        );
        assert_ne!(outcome.freshness, Freshness::Stale(Why::Revalidating));
        let failure = strict.get(held).await.unwrap_err();
        assert!(failure.may_retry(), "{fault:?}: no stale answer where none is declared: {failure}");
        proxy.set(Fault::None);
        recovers(&strict, held, &clock).await;
        let told = lines.with("the source fails");
        let of_strict = lines.with("namespace=\"strict\"");
        assert_eq!(of_strict, 2 * episode, "{fault:?}: a line at the beginning and one at the end: {told}");
    }
}

/// Reads until the breaker is open: each read ends in time, and says that it may be tried again. Each read is one load, and it has
/// failed, as the breaker sees it, when nothing goes on beside any more: a reader may be told by its own deadline before that.
async fn breaks(engine: &Forebay, namespace: &Namespace<Blob>, clock: &Clock, fault: Fault) {
    let began = clock.now();
    for number in 0.. {
        engine.idle().await;
        let asked = clock.now();
        let failure = namespace.get(format!("n{number}")).await.expect_err("nothing is answered");
        let took = clock.now().since(asked);
        assert!(took < LOAD * PATIENCE, "{fault:?}: a read took {took:?}: {failure}");
        assert!(failure.may_retry(), "{fault:?}: {failure:?}");
        if matches!(failure, Error::BreakerOpen { .. }) {
            assert_eq!(number, FAILURES, "{fault:?}: open after {number} reads");
            break;
        }
    }
    let took = clock.now().since(began);
    assert!(took < GOAL * PATIENCE, "{fault:?}: the breaker opened after {took:?}");
}

/// Reads until the source is used again.
async fn recovers(namespace: &Namespace<Blob>, held: &str, clock: &Clock) {
    let began = clock.now();
    loop {
        if let Ok((Some(_), outcome)) = namespace.get_with_outcome(held).await
            && outcome.freshness == Freshness::Fresh
        {
            return;
        }
        let took = clock.now().since(began);
        assert!(took < GOAL * PATIENCE, "not used again after {took:?}");
        clock.sleep(Duration::from_millis(5)).await;
    }
}
