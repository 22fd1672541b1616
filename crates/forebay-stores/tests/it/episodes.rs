//! A source that fails is told to the log once an episode.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::source::Loading;
use forebay::{LoadKey, Source, SourceError};
use forebay_stores::source::episodes::Episodes;

use crate::http::stage::load;
use crate::withstanding::Lines;

const ANSWERS: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;

/// Does as it is told.
struct Told(Arc<AtomicU8>);

impl Source for Told {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            match self.0.load(Ordering::SeqCst) {
                ANSWERS => Ok(keys.iter().map(|_| None).collect()),
                FAILS => Err(SourceError::passing(std::io::Error::other("it is down"))),
                _ => std::future::pending().await,
            }
        })
    }
}

#[tokio::test]
async fn an_episode_is_one_line_at_its_beginning_and_one_at_its_end() {
    let (lines, _guard) = Lines::of_this_thread();
    let (told, clock) = (Arc::new(AtomicU8::new(ANSWERS)), Clock::simulated());
    let source = Episodes::new(Arc::new(Told(Arc::clone(&told))), clock.clone());
    let failing = source.failing();
    assert!(load(&source, &["a"]).await.is_ok());
    assert_eq!(lines.with("test"), 0, "nothing happened");
    for (episode, how) in [(1, FAILS), (2, HANGS)] {
        told.store(how, Ordering::SeqCst);
        for _ in 0..3 {
            // A load that nobody waits for any more is dropped.
            tokio::select! {
                biased;
                ended = load(&source, &["a"]) => assert!(ended.is_err()),
                () = std::future::ready(()) => assert_eq!(how, HANGS),
            }
        }
        assert_eq!((lines.with("WARN"), lines.with("INFO")), (episode, episode - 1));
        assert_eq!(failing.since(), Some(clock.now()));
        clock.advance(Duration::from_secs(7));
        told.store(ANSWERS, Ordering::SeqCst);
        for _ in 0..2 {
            assert!(load(&source, &["a"]).await.is_ok());
            assert_eq!(failing.since(), None);
        }
        assert_eq!((lines.with("WARN"), lines.with("INFO")), (episode, episode));
        assert_eq!(lines.with("failures=3 lasted=7s"), episode);
    }
    assert_eq!((lines.with("it is down"), lines.with("did not end in time")), (1, 1));
}

/// Fails for one key.
struct ButOne;

impl Source for ButOne {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        let is_bad = keys.contains(&crate::http::stage::key("bad"));
        Box::pin(async move {
            if is_bad {
                return Err(SourceError::passing(std::io::Error::other("this one is broken")));
            }
            Ok(keys.iter().map(|_| None).collect())
        })
    }
}

#[tokio::test]
async fn one_key_that_keeps_failing_is_told_once() {
    let (lines, _guard) = Lines::of_this_thread();
    let source = Episodes::new(Arc::new(ButOne), Clock::simulated());
    for _ in 0..20 {
        assert!(load(&source, &["bad"]).await.is_err());
        assert!(load(&source, &["good"]).await.is_ok());
    }
    assert_eq!((lines.with("the source fails"), lines.with("the source answers again")), (1, 1));
    // Where others fail with it, it is the source.
    for keys in [["bad", "a"], ["bad", "b"], ["bad", "c"]] {
        assert!(load(&source, &keys).await.is_err());
    }
    assert_eq!(lines.with("the source fails"), 2);
}
