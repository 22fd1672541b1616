//! The breaker before a source: what keeps failing is left alone, then tried with care.

use std::time::Duration;

use forebay::{BreakerOptions, BreakerState, Error, Fault, Freshness, Phase, Why};

use crate::scripted::{Failure, Stage, TTL, stage, stage_with, text};

const TICK: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_secs(60);

/// Reads `count` cold keys, one after the other; all fail.
async fn fail(stage: &Stage, failure: Failure, count: usize) {
    stage.script.fail(Some(failure));
    for number in 0..count {
        stage.namespace.get(format!("failing {number}").as_str()).await.unwrap_err();
    }
}

/// How long a read is told to stay away; `None` where the source was asked.
async fn retry_after(stage: &Stage, id: &str) -> Option<Duration> {
    let loads = stage.script.loads();
    let reader = stage.reader(id.to_string());
    stage.settle().await;
    assert!(reader.is_finished(), "the source was asked, and holds the load");
    match reader.await.unwrap() {
        Err(error @ Error::BreakerOpen { retry_after, .. }) => {
            assert_eq!((error.fault(), error.may_retry()), (Fault::Source, true));
            assert_eq!(stage.script.loads(), loads, "an open breaker let a load through");
            Some(retry_after)
        }
        _ => {
            assert_eq!(stage.script.loads(), loads + 1, "the source was not asked");
            None
        }
    }
}

#[tokio::test]
async fn five_failures_open_it_and_reads_fail_at_once() {
    for failure in [Failure::Error, Failure::Panic] {
        let stage = stage();
        fail(&stage, failure, 4).await;
        assert_eq!(retry_after(&stage, "fifth").await, None);
        assert_eq!(retry_after(&stage, "a").await, Some(PAUSE));
        stage.clock.advance(PAUSE - TICK);
        assert_eq!(retry_after(&stage, "a").await, Some(TICK));
        assert_eq!(stage.script.loads(), 5);
        stage.check().await;
    }
}

#[tokio::test]
async fn it_tells_its_state_and_since_when() {
    let stage = stage();
    stage.clock.advance(PAUSE);
    let started = stage.clock.now();
    assert_eq!(stage.namespace.breaker().phase, Phase::Closed);
    fail(&stage, Failure::Error, 5).await;
    let open = BreakerState { phase: Phase::Open, since: started, opened: 1 };
    assert_eq!(stage.namespace.breaker(), open);
    stage.clock.advance(PAUSE + TICK);
    let half_open = BreakerState { phase: Phase::HalfOpen, since: started.after(PAUSE), opened: 1 };
    assert_eq!(stage.namespace.breaker(), half_open);
    stage.check().await;
}

#[tokio::test]
async fn a_success_ends_the_row() {
    let stage = stage();
    for _ in 0..3 {
        fail(&stage, Failure::Error, 4).await;
        stage.script.fail(None);
        stage.clock.advance(TTL);
        assert_eq!(retry_after(&stage, "a").await, None);
    }
    stage.check().await;
}

#[tokio::test]
async fn a_time_out_is_a_failure() {
    let stage = stage_with(|builder| builder.load_timeout(Duration::from_secs(1)));
    stage.script.hold();
    for number in 0..5 {
        let reader = stage.reader(number.to_string());
        stage.script.arrived().await;
        stage.clock.advance(Duration::from_secs(1));
        assert!(matches!(reader.await.unwrap(), Err(Error::Timeout { .. })));
    }
    stage.script.stop_holding();
    assert_eq!(retry_after(&stage, "a").await, Some(PAUSE));
    stage.check().await;
}

#[tokio::test]
async fn an_error_that_lasts_says_nothing_of_the_sources_health() {
    let stage = stage();
    fail(&stage, Failure::Lasting, 20).await;
    assert_eq!(stage.script.loads(), 20);
    stage.script.fail(None);
    assert_eq!(retry_after(&stage, "a").await, None);
    stage.check().await;
}

#[tokio::test]
async fn who_may_have_an_old_value_gets_it_without_a_load() {
    let stage = stage_with(|builder| builder.stale_if_error(PAUSE));
    stage.script.set("a", "old");
    stage.get("a").await;
    fail(&stage, Failure::Error, 5).await;
    stage.clock.advance(TTL);
    let (value, outcome) = stage.namespace.get_with_outcome("a").await.unwrap();
    assert_eq!(text(&value.unwrap()), "old");
    assert_eq!(outcome.freshness, Freshness::Stale(Why::BreakerOpen));
    assert_eq!(stage.script.loads(), 6, "the source was asked");
    assert_eq!(retry_after(&stage, "cold").await, Some(PAUSE - TTL));
    stage.check().await;
}

#[tokio::test]
async fn what_is_fresh_is_served_as_ever() {
    let stage = stage();
    stage.script.set("a", "1");
    stage.get("a").await;
    fail(&stage, Failure::Error, 5).await;
    assert_eq!(stage.outcome("a").await.freshness, Freshness::Fresh);
    stage.check().await;
}

#[tokio::test]
async fn one_probe_at_a_time_and_two_successes_close_it() {
    let stage = stage();
    fail(&stage, Failure::Error, 5).await;
    stage.clock.advance(PAUSE);
    stage.script.fail(None);
    for probe in ["first", "second"] {
        stage.script.hold();
        let reader = stage.reader(probe);
        stage.script.arrived().await;
        let beside = retry_after(&stage, "beside").await;
        assert_eq!(beside, Some(Duration::from_secs(1)), "a second load beside the {probe} probe");
        stage.script.stop_holding();
        reader.await.unwrap().unwrap();
    }
    // Closed: loads go side by side.
    stage.script.hold();
    let readers = ["a", "b", "c"].map(|id| stage.reader(id));
    for _ in 0..3 {
        stage.script.arrived().await;
    }
    stage.script.stop_holding();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    stage.check().await;
}

#[tokio::test]
async fn a_failing_probe_opens_it_for_another_pause() {
    let stage = stage();
    fail(&stage, Failure::Error, 5).await;
    for _ in 0..3 {
        stage.clock.advance(PAUSE);
        assert_eq!(retry_after(&stage, "probe").await, None);
        assert_eq!(retry_after(&stage, "a").await, Some(PAUSE));
    }
    // A good probe before a failing one counts for nothing.
    stage.clock.advance(PAUSE);
    stage.script.fail(None);
    assert_eq!(retry_after(&stage, "good").await, None);
    stage.script.fail(Some(Failure::Error));
    assert_eq!(retry_after(&stage, "bad").await, None);
    assert_eq!(retry_after(&stage, "a").await, Some(PAUSE));
    stage.check().await;
}

#[tokio::test]
async fn a_probe_that_fails_for_good_leaves_room_for_the_next() {
    let stage = stage();
    fail(&stage, Failure::Error, 5).await;
    stage.clock.advance(PAUSE);
    stage.script.fail(Some(Failure::Lasting));
    for probe in ["first", "second"] {
        assert_eq!(retry_after(&stage, probe).await, None);
    }
    stage.check().await;
}

#[tokio::test]
async fn its_options_are_heeded() {
    let options = BreakerOptions { failures: 2, successes: 1, pause: Duration::from_secs(5) };
    let stage = stage_with(|builder| builder.breaker(options));
    fail(&stage, Failure::Error, 2).await;
    assert_eq!(retry_after(&stage, "a").await, Some(options.pause));
    stage.clock.advance(options.pause);
    stage.script.fail(None);
    assert_eq!(retry_after(&stage, "probe").await, None);
    fail(&stage, Failure::Error, 1).await;
    assert_eq!(retry_after(&stage, "b").await, None, "it was not closed by one good probe");
    stage.check().await;
}

#[tokio::test]
async fn never_means_never() {
    let stage = stage_with(|builder| builder.breaker(BreakerOptions::never()));
    fail(&stage, Failure::Error, 100).await;
    assert_eq!(stage.script.loads(), 100);
    // Not one by one, as probes would go.
    stage.script.hold();
    let readers = ["a", "b", "c"].map(|id| stage.reader(id));
    for _ in 0..3 {
        stage.script.arrived().await;
    }
    stage.script.stop_holding();
    for reader in readers {
        reader.await.unwrap().unwrap_err();
    }
    stage.check().await;
}

#[tokio::test]
async fn a_refresh_leaves_the_source_alone_too() {
    let stage = stage_with(|builder| builder.stale_while_revalidate(PAUSE));
    stage.script.set("a", "old");
    stage.get("a").await;
    fail(&stage, Failure::Error, 5).await;
    stage.clock.advance(TTL);
    assert_eq!(stage.outcome("a").await.freshness, Freshness::Stale(Why::Revalidating));
    stage.settle().await;
    stage.clock.advance(Duration::from_millis(2));
    stage.settle().await;
    assert_eq!(stage.script.loads(), 6, "a refresh asked the source through an open breaker");
    stage.check().await;
}

/// Reads `ids` by one call; all fail.
async fn fail_together(stage: &Stage, ids: &[&str]) {
    let keys: Vec<String> = ids.iter().map(|id| format!("k:{id}")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    for read in stage.namespace.read_many(&keys).await {
        read.unwrap_err();
    }
}

#[tokio::test]
async fn a_failed_batch_counts_by_what_its_retries_say() {
    let stage = stage();
    stage.script.fail(Some(Failure::Error));
    fail_together(&stage, &["a", "b", "c", "d"]).await;
    assert_eq!(stage.script.queries().len(), 1 + 4);
    assert_eq!(retry_after(&stage, "fifth").await, None, "four keys that fail are five failures");
    assert_eq!(retry_after(&stage, "a").await, Some(PAUSE));

    // The batch itself counts for nothing: one good retry ends the row.
    let stage =
        stage_with(|builder| builder.breaker(BreakerOptions { failures: 2, ..BreakerOptions::default() }));
    stage.script.fail(Some(Failure::Error));
    fail_together(&stage, &["a"]).await;
    stage.script.fail_next();
    stage.namespace.get_many(["b", "c"]).await.unwrap();
    assert_eq!(stage.script.queries().len(), 1 + 3, "the retries were refused");
    stage.check().await;
}

#[tokio::test]
async fn a_batch_that_fails_as_a_probe_leaves_the_word_to_its_retries() {
    let stage = stage();
    fail(&stage, Failure::Error, 5).await;
    stage.clock.advance(PAUSE);
    stage.script.fail_next();
    stage.namespace.get_many(["a", "b"]).await.unwrap();
    assert_eq!(retry_after(&stage, "closed").await, None);
    stage.script.fail(Some(Failure::Error));
    stage.clock.advance(TTL);
    fail_together(&stage, &["c", "d", "e"]).await;
    assert_eq!(retry_after(&stage, "f").await, None);
    assert_eq!(retry_after(&stage, "g").await, None);
    assert_eq!(retry_after(&stage, "h").await, Some(PAUSE));
    stage.check().await;
}

#[tokio::test]
async fn a_batch_that_leaves_no_time_for_retries_is_one_failure() {
    let options = BreakerOptions { failures: 1, ..BreakerOptions::default() };
    let stage = stage_with(|builder| builder.breaker(options).concurrency(1).load_timeout(TTL));
    stage.script.hold();
    let first = stage.reader("first");
    stage.script.arrived().await;
    let readers = ["a", "b"].map(|id| stage.reader(id));
    stage.settle().await;
    stage.clock.advance(TTL - TICK);
    stage.script.fail(Some(Failure::Error));
    stage.script.let_go();
    first.await.unwrap().unwrap();
    stage.script.arrived().await;
    // It fails just as its time ends, before anybody looks at the clock.
    stage.script.let_go();
    stage.clock.advance(TICK);
    for reader in readers {
        reader.await.unwrap().unwrap_err();
    }
    assert_eq!(retry_after(&stage, "c").await, Some(PAUSE), "nobody counted it");
    stage.check().await;
}
