//! Connections: proven by TLS, bounded, closed when idle, and gone with a load that nobody waits for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use forebay::rt::Clock;
use forebay_stores::source::http::{HttpError, HttpOptions, HttpSource, OpenError};

use super::stage::{AUTHORITY, Origin, Says, failure, json, load, open, options, says, some, texts};

#[tokio::test]
async fn an_origin_proves_who_it_is() {
    let origin = Origin::start_tls(|_, _| json("1")).await;
    let port = origin.address.port();
    let with = |host: &str, ca_file: Option<PathBuf>| {
        let options = options(&format!("https://{host}:{port}/{{code}}"), &["code"]);
        open(HttpOptions { ca_file, ..options })
    };
    let trusted = || Some(PathBuf::from(AUTHORITY));
    assert_eq!(texts(&with("localhost", trusted()), &["a"]).await, [some("1")]);
    for source in [with("localhost", None), with("127.0.0.1", trusted())] {
        let (error, retry) = failure(&source).await;
        assert!(matches!(error, HttpError::Certificate { .. }) && !retry, "{error}");
    }
    let open = |path: PathBuf| {
        HttpSource::open(
            HttpOptions { ca_file: Some(path), ..options("https://h/", &[]) },
            &[],
            Clock::default(),
        )
    };
    for path in [AUTHORITY.replace("authority", "nowhere"), AUTHORITY.replace("authority", "key")] {
        assert!(matches!(open(path.into()), Err(OpenError::Tls(_))));
    }
}

/// A certificate names the hosts that it is for, and what it was compared with.
#[tokio::test]
async fn a_concealed_host_is_told_by_no_certificate() {
    let origin = Origin::start_tls(|_, _| json("1")).await;
    let base = options(&format!("https://{}/{{code}}", origin.address), &["code"]);
    let url = base.url.clone().shown_as("the origin of its url");
    let source = open(HttpOptions { url, ca_file: Some(PathBuf::from(AUTHORITY)), ..base });
    let (error, _) = failure(&source).await;
    assert!(matches!(error, HttpError::Certificate { .. }), "{error}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("127.0.0.1") && !shown.contains("localhost"), "{shown}");
}

#[tokio::test]
async fn an_origin_that_speaks_no_tls_is_told_as_such() {
    let origin = Origin::start(|_, _| Says::Bytes(b"hello\r\n".to_vec())).await;
    let url = format!("https://{}/{{code}}", origin.address);
    let options =
        HttpOptions { connect_timeout: Duration::from_millis(300), retries: 0, ..options(&url, &["code"]) };
    let (error, retry) = failure(&open(options)).await;
    assert!(matches!(error, HttpError::Unreachable { .. }) && retry, "{error}");
}

#[tokio::test]
async fn so_many_requests_are_in_flight_and_no_more() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (Arc::clone(&running), Arc::clone(&most));
    let origin = Origin::start(move |_, _| {
        let now = counted.0.fetch_add(1, Ordering::SeqCst) + 1;
        counted.1.fetch_max(now, Ordering::SeqCst);
        counted.0.fetch_sub(1, Ordering::SeqCst);
        json("1")
    })
    .await;
    let source = open(HttpOptions { connections: 3, ..options(&origin.url("/{code}"), &["code"]) });
    let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (one, other) = tokio::join!(texts(&source, &keys), texts(&source, &keys));
    assert!(one.iter().chain(&other).all(Option::is_some));
    assert!(origin.connections().0 <= 6, "{:?}", origin.connections());
    assert!(origin.connections().1 <= 3, "{:?} stay open", origin.connections());
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let origin = Origin::start(|_, _| json("1")).await;
    let options =
        HttpOptions { idle_timeout: Duration::from_millis(50), ..options(&origin.url("/{code}"), &["code"]) };
    let source = open(options);
    assert_eq!(texts(&source, &["a"]).await, [some("1")]);
    origin.until(|origin| origin.connections() == (1, 0)).await;
    assert_eq!(texts(&source, &["a"]).await, [some("1")]);
    drop(source);
    origin.until(|origin| origin.connections() == (2, 0)).await;
}

#[tokio::test]
async fn a_dropped_load_leaves_nothing_behind() {
    let origin = Origin::start(|number, _| match number {
        0..3 => Says::Nothing,
        3 => Says::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1".to_vec()),
        _ => json("1"),
    })
    .await;
    let source = open(HttpOptions { connections: 3, ..options(&origin.url("/{code}"), &["code"]) });
    let clock = Clock::default();
    for keys in [&["a", "b", "c"][..], &["d"]] {
        let dropped = clock.timeout(Duration::from_millis(100), load(&source, keys)).await;
        assert!(dropped.is_err(), "the origin answered");
        origin.until(|origin| origin.connections().1 == 0).await;
    }
    // All of its places are free again.
    assert_eq!(texts(&source, &["a", "b", "c"]).await, [some("1"), some("1"), some("1")]);
}

#[tokio::test]
async fn who_waits_too_long_for_a_connection_is_told() {
    let origin = Origin::start(|_, _| Says::Nothing).await;
    let base = options(&origin.url("/{code}"), &["code"]);
    let deadline = Duration::from_millis(200);
    let source =
        open(HttpOptions { connections: 1, retries: 0, timeout: Duration::from_secs(9), deadline, ..base });
    let (one, other) = tokio::join!(load(&source, &["a"]), load(&source, &["b"]));
    let told = [one, other].map(|ended| ended.unwrap_err()).map(|error| (error.to_string(), error.retry));
    assert!(told.iter().all(|(_, retry)| *retry), "{told:?}");
    assert!(told[0].0.contains("did not answer") && told[1].0.contains("connections"), "{told:?}");
}

#[tokio::test]
async fn a_status_without_a_value_keeps_its_connection() {
    let origin = Origin::start(|_, _| says("404 None", &[], &"x".repeat(9_000))).await;
    let source = open(options(&origin.url("/{code}"), &["code"]));
    for _ in 0..3 {
        assert_eq!(texts(&source, &["a"]).await, [None]);
    }
    assert_eq!(origin.connections().0, 1);
}
