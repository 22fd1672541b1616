//! Requests that are made again, other origins that are asked, and how much of both.

use std::time::Duration;

use forebay::rt::Clock;
use forebay_stores::source::http::{HealthOptions, HttpError, HttpOptions, HttpSource, Origin as Place};

use super::stage::{Asked, Origin, Says, failure, json, load, open, options, says, some, texts, until};

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    for first in ["500 No", "502 No", "503 No", "504 No", "408 No"] {
        let origin =
            Origin::start(move |number, _| if number < 2 { says(first, &[], "") } else { json("1") }).await;
        let source = open(options(&origin.url("/{code}"), &["code"]));
        assert_eq!(texts(&source, &["a"]).await, [some("1")], "{first}");
        assert_eq!(origin.asked().len(), 3);
    }
    for (status, told) in [("400 No", 400), ("403 No", 403), ("501 No", 501), ("429 No", 429)] {
        let origin = Origin::start(move |_, _| says(status, &[], "")).await;
        let source = open(options(&origin.url("/{code}"), &["code"]));
        let (error, _) = failure(&source).await;
        assert!(matches!(&error, HttpError::Status { status, .. } if status.as_u16() == told), "{error}");
        assert_eq!(origin.asked().len(), 1, "{status} is not asked again at once");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_within_the_deadline() {
    let origin = Origin::start(|number, _| match number {
        0 => says("429 Slow", &["retry-after: 1"], ""),
        1 => json("1"),
        _ => says("503 Down", &["retry-after: 60"], ""),
    })
    .await;
    let source = open(options(&origin.url("/{code}"), &["code"]));
    let clock = Clock::default();
    let began = clock.now();
    assert_eq!(texts(&source, &["a"]).await, [some("1")]);
    assert!(clock.now().since(began) >= Duration::from_millis(990), "asked again too soon");
    let began = clock.now();
    let (error, retry) = failure(&source).await;
    assert!(clock.now().since(began) < Duration::from_millis(900), "waited for what comes too late");
    let told = matches!(&error, HttpError::Status { retry_after: Some(after), .. } if after.as_secs() == 60);
    assert!(told && retry, "{error}");
    assert_eq!(origin.asked().len(), 3);
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let origin = Origin::start(|_, _| says("500 No", &[], "")).await;
    let source = open(HttpOptions { retry_budget_percent: 10, ..options(&origin.url("/{code}"), &["code"]) });
    let clock = Clock::default();
    let began = clock.now();
    for _ in 0..200 {
        assert!(load(&source, &["a"]).await.is_err());
    }
    let seconds = usize::try_from(clock.now().since(began).as_secs() + 1).unwrap();
    let retries = origin.asked().len() - 200;
    // A tenth, and three for each second that it took.
    assert!((20..=20 + 3 * (seconds + 1)).contains(&retries), "{retries} retries in {seconds} s");
}

fn also(first: &Origin, other: &Origin) -> HttpOptions {
    let failover = vec![Place::parse(&other.url("")).unwrap()];
    HttpOptions { failover, ..options(&first.url("/{code}"), &["code"]) }
}

#[tokio::test]
async fn another_origin_is_asked_when_the_first_fails_and_then_first() {
    let bad = Origin::start(|_, _| says("503 Down", &["retry-after: 60"], "")).await;
    let good = Origin::start(|_, asked: &Asked| json(&format!("\"{}\"", asked.target))).await;
    let source = open(also(&bad, &good));
    for _ in 0..6 {
        assert_eq!(texts(&source, &["a"]).await, [some("\"/a\"")]);
    }
    assert_eq!(bad.asked().len(), 3, "left alone after three failures in a row");
    assert_eq!(good.asked().len(), 6);
    let absent = Origin::start(|_, _| says("404 None", &[], "")).await;
    let source = open(also(&absent, &good));
    assert_eq!(texts(&source, &["a"]).await, [None], "an absence is an answer");
    let wrong = Origin::start(|_, _| says("403 No", &[], "")).await;
    let (error, retry) = failure(&open(also(&wrong, &good))).await;
    assert!(!retry && error.to_string().contains("403"), "{error}");
    assert_eq!(good.asked().len(), 6, "what the request is at fault for is not asked of others");
}

#[tokio::test]
async fn probes_tell_which_origin_is_well() {
    let first = Origin::start(|number, asked: &Asked| match asked.target.as_str() {
        "/health" if number < 4 => says("500 No", &[], ""),
        "/health" => says("200 OK", &[], ""),
        _ => json("1"),
    })
    .await;
    let second = Origin::start(|_, _| json("2")).await;
    let health = HealthOptions { path: "/health".into(), every: Duration::from_secs(1) };
    let options = HttpOptions { health: Some(health), ..also(&first, &second) };
    let clock = Clock::simulated();
    let source = HttpSource::open(options, &["code"], clock.clone()).unwrap();
    let asked = async |many| {
        until(|| {
            clock.advance(Duration::from_millis(100));
            first.asked().len() >= many
        })
        .await;
    };
    asked(3).await;
    assert_eq!(texts(&source, &["a"]).await, [some("2")], "before any request failed");
    asked(7).await;
    assert_eq!(texts(&source, &["a"]).await, [some("1")]);
    drop(source);
    let probes = || first.asked().len() + second.asked().len();
    until(|| first.connections().1 == 0 && second.connections().1 == 0).await;
    let ended = probes();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(probes(), ended, "probes outlive their source");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_no_failure() {
    let close = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1".to_vec();
    let origin = Origin::start(move |_, _| Says::Bytes(close.clone())).await;
    let proxy = forebay_simulated::proxy::Proxy::before(origin.address).await;
    let url = format!("http://{}/{{code}}", proxy.address);
    let source = open(HttpOptions { retries: 0, ..options(&url, &["code"]) });
    for _ in 0..3 {
        assert_eq!(texts(&source, &["a"]).await, [some("1")]);
        proxy.set(forebay_simulated::proxy::Fault::Refuse);
        proxy.closed().await;
        proxy.set(forebay_simulated::proxy::Fault::None);
        until_accepting(&proxy).await;
    }
}

/// Waits until the proxy takes connections again.
async fn until_accepting(proxy: &forebay_simulated::proxy::Proxy) {
    let clock = Clock::default();
    while tokio::net::TcpStream::connect(proxy.address).await.is_err() {
        clock.sleep(Duration::from_millis(2)).await;
    }
}
