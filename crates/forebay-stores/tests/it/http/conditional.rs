//! What an origin may confirm instead of sending it again, and how long it says that its answers are fresh.

use std::time::Duration;

use forebay_stores::source::http::HttpOptions;
use forebay_stores::source::json::Pointer;

use super::stage::{Asked, Origin, load, open, options, says, some, text, texts};

const ETAG: &str = "etag: \"one\"";

fn confirming(asked: &Asked) -> super::stage::Says {
    if asked.header("if-none-match") == "\"one\"" {
        says("304 Not Modified", &["cache-control: max-age=9"], "")
    } else {
        says("200 OK", &[ETAG, "content-type: application/json", "cache-control: max-age=5"], r#"{"a":1.0}"#)
    }
}

#[tokio::test]
async fn a_304_is_answered_with_what_was_remembered() {
    let origin = Origin::start(|_, asked| confirming(asked)).await;
    let source = open(HttpOptions { cache_control: true, ..options(&origin.url("/{code}"), &["code"]) });
    let mut ttls = Vec::new();
    for _ in 0..3 {
        let loaded = load(&source, &["a"]).await.unwrap().remove(0).unwrap();
        assert_eq!(
            (text(&loaded).as_str(), loaded.value.as_blob().unwrap().content_type()),
            (r#"{"a":1.0}"#, "application/json")
        );
        ttls.push(loaded.ttl);
    }
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(ttls, [seconds(5), seconds(9), seconds(9)]);
    let asked: Vec<String> =
        origin.asked().iter().map(|asked| asked.header("if-none-match").into()).collect();
    assert_eq!(asked, ["", "\"one\"", "\"one\""]);
    assert_eq!(texts(&source, &["b"]).await, [some(r#"{"a":1.0}"#)]);
    assert_eq!(origin.asked()[3].header("if-none-match"), "", "each key has its own");
}

#[tokio::test]
async fn a_changed_value_takes_the_place_of_what_was_remembered() {
    let origin = Origin::start(|number, asked: &Asked| match (number, asked.header("if-none-match")) {
        (0, "") => says("200 OK", &[ETAG], "1"),
        (1, "\"one\"") => says("200 OK", &["etag: W/\"two\""], "2"),
        (2, "W/\"two\"") => says("304 Not Modified", &[], ""),
        (3, "W/\"two\"") => says("404 None", &[], ""),
        (4, "") => says("200 OK", &["etag: \"three\"", "cache-control: no-store"], "3"),
        (5, "") => says("200 OK", &[], "4"),
        other => panic!("{other:?}"),
    })
    .await;
    let source = open(options(&origin.url("/{code}"), &["code"]));
    for wanted in [some("1"), some("2"), some("2"), None, some("3"), some("4")] {
        assert_eq!(texts(&source, &["a"]).await, [wanted]);
    }
    assert!(load(&source, &["b"]).await.is_err() || origin.asked().len() == 7);
}

#[tokio::test]
async fn a_picked_part_and_its_absence_are_confirmed_too() {
    let origin = Origin::start(|_, asked| confirming(asked)).await;
    let at = |pointer: &str| {
        let pointer = Some(pointer.parse::<Pointer>().unwrap());
        open(HttpOptions { pointer, ..options(&origin.url("/{code}"), &["code"]) })
    };
    let (part, nothing) = (at("/a"), at("/b"));
    for _ in 0..2 {
        assert_eq!(texts(&part, &["a"]).await, [some("1.0")]);
        assert_eq!(texts(&nothing, &["a"]).await, [None]);
    }
    assert_eq!(origin.asked().iter().filter(|asked| asked.header("if-none-match").is_empty()).count(), 2);
}

#[tokio::test]
async fn a_time_is_relied_on_only_once_its_second_is_over() {
    const MODIFIED: &str = "last-modified: Sat, 21 Nov 2026 10:00:00 GMT";
    let origin = Origin::start(|number, asked: &Asked| match (number, asked.header("if-modified-since")) {
        (0, "") => says("200 OK", &[MODIFIED, "date: Sat, 21 Nov 2026 10:00:00 GMT"], "1"),
        (1, "") => says("200 OK", &[MODIFIED, "date: Sat, 21 Nov 2026 10:00:01 GMT"], "2"),
        (2, "Sat, 21 Nov 2026 10:00:00 GMT") => says("304 Not Modified", &[], ""),
        other => panic!("{other:?}"),
    })
    .await;
    let source = open(options(&origin.url("/{code}"), &["code"]));
    for wanted in ["1", "2", "2"] {
        assert_eq!(texts(&source, &["a"]).await, [some(wanted)]);
    }
}

/// What one origin calls by a name another may call by the same, and mean something else.
#[tokio::test]
async fn validators_are_told_to_their_origin_alone() {
    let first = Origin::start(|number, _| match number {
        1 => says("503 Down", &[], ""),
        _ => says("200 OK", &[ETAG], "1"),
    })
    .await;
    let second = Origin::start(|_, asked: &Asked| match asked.header("if-none-match") {
        "" => says("200 OK", &[ETAG], "2"),
        _ => says("304 Not Modified", &[], ""),
    })
    .await;
    let failover = vec![forebay_stores::source::http::Origin::parse(&second.url("")).unwrap()];
    let source = open(HttpOptions { failover, ..options(&first.url("/{code}"), &["code"]) });
    for wanted in ["1", "2", "1"] {
        assert_eq!(texts(&source, &["a"]).await, [some(wanted)]);
    }
    let told = |origin: &Origin| {
        origin.asked().iter().map(|asked| asked.header("if-none-match").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&first), ["", "\"one\"", ""]);
    assert_eq!(told(&second), [""]);
}

#[tokio::test]
async fn nothing_is_remembered_where_nothing_may_be() {
    let origin = Origin::start(|_, _| says("200 OK", &[ETAG], "1")).await;
    let source = open(HttpOptions { remember_bytes: 0, ..options(&origin.url("/{code}"), &["code"]) });
    for _ in 0..2 {
        assert_eq!(texts(&source, &["a"]).await, [some("1")]);
    }
    assert!(origin.asked().iter().all(|asked| asked.header("if-none-match").is_empty()));
}

#[tokio::test]
async fn cache_control_shortens_a_ttl_only_if_asked() {
    let origin = Origin::start(|_, asked: &Asked| match asked.target.as_str() {
        "/short" => says("200 OK", &["cache-control: max-age=60, s-maxage=7", "age: 3"], "1"),
        "/never" => says("200 OK", &["cache-control: no-store"], "1"),
        _ => says("200 OK", &[], "1"),
    })
    .await;
    let ttls = async |cache_control| {
        let options = HttpOptions { cache_control, ..options(&origin.url("/{code}"), &["code"]) };
        let loaded = load(&open(options), &["short", "never", "silent"]).await.unwrap();
        loaded.into_iter().map(|loaded| loaded.unwrap().ttl).collect::<Vec<_>>()
    };
    assert_eq!(ttls(true).await, [Some(Duration::from_secs(4)), Some(Duration::ZERO), None]);
    assert_eq!(ttls(false).await, [None, None, None]);
}
