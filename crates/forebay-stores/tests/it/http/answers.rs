//! What becomes of answers: values, absences, parts, many at once.

use std::str::FromStr;

use forebay::value::Version;
use forebay_stores::source::http::{HttpError, HttpOptions, Many, UrlTemplate};
use forebay_stores::source::json::Pointer;

use super::stage::{Asked, Origin, Says, failure, json, key, load, open, options, says, some, text, texts};

fn pointer(text: &str) -> Option<Pointer> {
    Some(Pointer::from_str(text).unwrap())
}

#[tokio::test]
async fn an_answer_is_the_value_as_it_came() {
    let body = r#"{ "code": "a", "price": 11.2000000000000000001 }"#;
    let origin = Origin::start(move |number, _| match number {
        0 => json(body),
        1 => says("200 OK", &["content-type: text/html; charset=utf-8"], "<p>"),
        _ => says("200 OK", &[], "\u{0}\u{1}"),
    })
    .await;
    let source = open(HttpOptions {
        headers: vec![("authorization".into(), "Bearer hush".into()), ("Accept".into(), "a/b".into())],
        ..options(&origin.url("/v1/{code}?x=1"), &["code"])
    });
    let mut seen = Vec::new();
    for _ in 0..3 {
        let loaded = load(&source, &["a b"]).await.unwrap().remove(0).unwrap();
        seen.push((text(&loaded), loaded.value.as_blob().unwrap().content_type().to_owned()));
    }
    let wanted = [
        (body, "application/json"),
        ("<p>", "text/html; charset=utf-8"),
        ("\u{0}\u{1}", "application/octet-stream"),
    ];
    assert_eq!(seen, wanted.map(|(body, kind)| (body.to_owned(), kind.to_owned())));
    let asked = origin.asked();
    assert_eq!(asked[0].target, "/v1/a%20b?x=1");
    assert_eq!(asked[0].header("host"), origin.address.to_string());
    assert_eq!((asked[0].header("authorization"), asked[0].header("accept")), ("Bearer hush", "a/b"));
    assert_eq!(asked[0].header("accept-encoding"), "identity");
    assert_eq!(origin.connections().0, 1, "a connection is used again");
}

#[tokio::test]
async fn statuses_are_values_absences_or_failures() {
    let origin = Origin::start(|_, asked: &Asked| match asked.target.as_str() {
        "/ok" => json("1"),
        "/cached" => says("203 Fine", &[], "2"),
        status => says(&format!("{} X", &status[1..]), &["location: /ok"], "{}"),
    })
    .await;
    let source = open(HttpOptions {
        absent: vec![410, 204],
        retries: 0,
        ..options(&origin.url("/{code}"), &["code"])
    });
    let wanted = [some("1"), some("2"), None, None, None];
    assert_eq!(texts(&source, &["ok", "cached", "404", "410", "204"]).await, wanted);
    for (status, may_pass) in [
        (400, false),
        (401, false),
        (403, false),
        (408, true),
        (425, true),
        (429, true),
        (500, true),
        (501, false),
        (502, true),
        (503, true),
        (505, false),
        (206, false),
        (304, false),
    ] {
        let error = load(&source, &[&status.to_string()]).await.unwrap_err();
        assert_eq!(error.retry, may_pass, "{status}: {error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
    let shown = load(&source, &["401"]).await.unwrap_err().to_string();
    assert!(shown.contains("credentials"), "{shown}");
}

#[tokio::test]
async fn a_key_that_no_url_can_be_made_of_is_absent_without_a_request() {
    let origin = Origin::start(|_, _| json("1")).await;
    let source = open(options(&origin.url("/a/{code}"), &["code"]));
    assert_eq!(texts(&source, &["..", "x/../y"]).await, [None, None]);
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn a_pointer_picks_the_value() {
    let origin = Origin::start(|_, asked: &Asked| match asked.target.as_str() {
        "/a" => json(r#"{"data":[{"p":1.50},{"p":2}],"next":null}"#),
        "/b" => json(r#"{"data":[]}"#),
        "/c" => json(r#"{"data":[null]}"#),
        _ => json(r#"{"data":[1"#),
    })
    .await;
    let source =
        open(HttpOptions { pointer: pointer("/data/0"), ..options(&origin.url("/{code}"), &["code"]) });
    assert_eq!(texts(&source, &["a", "b", "c"]).await, [some(r#"{"p":1.50}"#), None, None]);
    let error = load(&source, &["d"]).await.unwrap_err();
    assert!(error.to_string().contains("no JSON"), "{error}");
    assert_eq!(origin.asked()[0].header("accept"), "application/json");
}

#[test]
fn pointers_are_those_of_rfc_6901() {
    let document = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"x":{"y":1,"y":2}}"#;
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(document).unwrap();
    for (text, wanted) in [
        ("", Some(document)),
        ("/foo", Some(r#"["bar","baz"]"#)),
        ("/foo/0", Some(r#""bar""#)),
        ("/", Some("0")),
        ("/a~1b", Some("1")),
        ("/c%d", Some("2")),
        ("/e^f", Some("3")),
        ("/g|h", Some("4")),
        ("/i\\j", Some("5")),
        ("/k\"l", Some("6")),
        ("/ ", Some("7")),
        ("/m~0n", Some("8")),
        ("/x/y", Some("2")),
        ("/foo/2", None),
        ("/foo/-", None),
        ("/foo/00", None),
        ("/foo/+1", None),
        ("/foo/99999999999999999999", None),
        ("/foo/0/0", None),
        ("/nothing", None),
    ] {
        let found = Pointer::from_str(text).unwrap().of(&raw).unwrap();
        assert_eq!(found.map(|part| part.get()), wanted, "{text}");
        // What the whole reader finds is the same.
        let whole: serde_json::Value = serde_json::from_str(document).unwrap();
        let theirs = whole.pointer(text).map(ToString::to_string);
        assert_eq!(found.map(|part| part.get().parse::<serde_json::Value>().unwrap().to_string()), theirs);
    }
    for text in ["foo", "/~", "/~2", "/a~"] {
        assert!(Pointer::from_str(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_version_is_a_member_of_the_value() {
    let origin = Origin::start(|_, asked: &Asked| match asked.target.as_str() {
        "/a" => json(r#"{"data":{"seq":9007199254740993}}"#),
        "/b" => json(r#"{"data":{"seq":null}}"#),
        _ => json(r#"{"data":{"seq":1.5}}"#),
    })
    .await;
    let options = HttpOptions {
        pointer: pointer("/data"),
        version: Some("seq".into()),
        ..options(&origin.url("/{code}"), &["code"])
    };
    let source = open(options);
    let loaded = load(&source, &["a", "b"]).await.unwrap();
    let versions: Vec<_> = loaded.into_iter().map(|loaded| loaded.unwrap().version).collect();
    assert_eq!(versions, [Some(Version(9_007_199_254_740_993)), None]);
    assert!(!load(&source, &["c"]).await.unwrap_err().retry);
}

fn many(origin: &Origin, path: &str, many: Many, keys_max: usize) -> HttpOptions {
    let url = UrlTemplate::parse(&origin.url(path), &["code"], many).unwrap();
    HttpOptions { url, keys_max, ..options(&origin.url("/"), &[]) }
}

/// An array of what was asked for, without `none`.
fn elements(asked: &Asked) -> Says {
    let query = asked.target.split_once('?').unwrap().1;
    let keys = query.split('&').flat_map(|pair| pair.split_once('=').unwrap().1.split(','));
    let shown = keys.filter(|key| *key != "none").map(|key| format!(r#"{{"n": 1.0, "code":"{key}"}}"#));
    json(&format!("[{}]", shown.collect::<Vec<_>>().join(",")))
}

#[tokio::test]
async fn one_request_serves_many_in_the_order_asked() {
    let origin = Origin::start(|_, asked| elements(asked)).await;
    let value = |code: &str| some(&format!(r#"{{"n": 1.0, "code":"{code}"}}"#));
    for (style, first) in [(Many::Joined, "/q?c=a,none,b"), (Many::Repeated, "/q?c=a&c=none&c=b")] {
        let before = origin.asked().len();
        let source = open(many(&origin, "/q?c={keys}", style, 3));
        let found = texts(&source, &["a", "none", "b", "a", "d"]).await;
        assert_eq!(found, [value("a"), None, value("b"), value("a"), value("d")]);
        let targets = origin.targets();
        assert_eq!(targets.len() - before, 2, "{targets:?}");
        assert!(targets[before..].contains(&first.to_owned()), "{targets:?}");
    }
    let long = "x".repeat(3_000);
    let keys: Vec<String> = (0..5).map(|number| format!("{long}{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let before = origin.asked().len();
    let source = open(many(&origin, "/q?c={keys}", Many::Joined, 100));
    assert!(texts(&source, &keys).await.iter().all(Option::is_some));
    assert_eq!(origin.asked().len() - before, 3, "no url is longer than it may be");
}

#[tokio::test]
async fn elements_are_matched_by_the_members_that_carry_the_key() {
    let origin = Origin::start(|_, asked: &Asked| match asked.target.as_str() {
        "/array?c=7,8" => {
            json(r#"{"items":[{"code":7},{"code":"\u0038","x":1},{"other":7},5,{"code":null},{"code":{}}]}"#)
        }
        "/object?c=7,8" => json(r#"{"items":{"7":1.10,"8":null,"9":{}}}"#),
        "/nothing?c=7,8" => json(r#"{"items":null}"#),
        "/gone?c=7,8" => says("404 None", &[], ""),
        "/twice?c=7,8" => json(r#"{"items":[{"code":7},{"code":"7"}]}"#),
        _ => json(r#"{"items":7}"#),
    })
    .await;
    let source = |path: &str| {
        let pointer = pointer("/items");
        open(HttpOptions { pointer, ..many(&origin, &format!("/{path}?c={{keys}}"), Many::Joined, 100) })
    };
    assert_eq!(
        texts(&source("array"), &["7", "8"]).await,
        [some(r#"{"code":7}"#), some(r#"{"code":"\u0038","x":1}"#)]
    );
    assert_eq!(texts(&source("object"), &["7", "8"]).await, [some("1.10"), None]);
    assert_eq!(texts(&source("nothing"), &["7", "8"]).await, [None, None]);
    assert_eq!(texts(&source("gone"), &["7", "8"]).await, [None, None]);
    for path in ["twice", "number"] {
        let error = load(&source(path), &["7", "8"]).await.unwrap_err();
        let known = error.cause.downcast_ref::<HttpError>().unwrap();
        assert!(matches!(known, HttpError::Doubled { .. } | HttpError::NotMany { .. }), "{known}");
        assert!(!error.retry);
    }
}

#[tokio::test]
async fn too_much_a_foreign_coding_and_broken_json_are_refused() {
    let origin = Origin::start(|_, asked: &Asked| match asked.target.as_str() {
        "/told" => says("200 OK", &[], &"x".repeat(101)),
        "/chunked" => Says::Bytes(
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{0}\r\n40\r\n{0}\r\n0\r\n\r\n",
                "x".repeat(64)
            )
            .into_bytes(),
        ),
        "/right" => Says::Bytes(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n".to_vec(),
        ),
        "/coded" => says("200 OK", &["content-encoding: gzip"], "x"),
        "/plain" => says("200 OK", &["content-encoding: Identity"], &"x".repeat(100)),
        "/json" => says("200 OK", &["content-type: application/problem+json; charset=utf-8"], "{"),
        _ => Says::Bytes(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n{\"a\":".to_vec(),
        ),
    })
    .await;
    let options =
        HttpOptions { size_max_bytes: 100, retries: 0, ..options(&origin.url("/{code}"), &["code"]) };
    let source = open(options);
    assert_eq!(texts(&source, &["plain", "right"]).await, [some(&"x".repeat(100)), some("abc")]);
    for (path, told, may_pass) in [
        ("told", "more than 100 bytes", false),
        ("chunked", "more than 100 bytes", false),
        ("coded", "`gzip`", false),
        ("json", "no JSON", false),
        ("cut", "no JSON", true),
    ] {
        let error = load(&source, &[path]).await.unwrap_err();
        assert!(error.to_string().contains(told), "{path}: {error}");
        assert_eq!(error.retry, may_pass, "{path}: {error}");
    }
}

/// Where the connection ends the body ends: nobody can tell whether it was cut, but by the body itself.
#[tokio::test]
async fn an_answer_without_an_end_is_taken_only_where_it_shows_that_it_is_whole() {
    let origin = Origin::start(|_, asked: &Asked| {
        let (kind, body) = match asked.target.as_str() {
            "/object" => ("application/json", r#"{"a":1}"#),
            "/string" => ("application/json", r#""a""#),
            "/number" => ("application/json", "12"),
            _ => ("text/plain", "half of it"),
        };
        Says::Bytes(
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\n\r\n{body}")
                .into_bytes(),
        )
    })
    .await;
    let source = open(HttpOptions { retries: 0, ..options(&origin.url("/{code}"), &["code"]) });
    assert_eq!(texts(&source, &["object", "string"]).await, [some(r#"{"a":1}"#), some("\"a\"")]);
    for path in ["number", "text"] {
        let error = load(&source, &[path]).await.unwrap_err();
        let known = error.cause.downcast_ref::<HttpError>().unwrap();
        assert!(matches!(known, HttpError::NoEnd { .. }) && !error.retry, "{path}: {known}");
    }
}

#[tokio::test]
async fn secrets_are_not_shown() {
    let origin = Origin::start(|_, _| says("500 No", &[], "")).await;
    let options = HttpOptions {
        headers: vec![("x-key".into(), "hush".into())],
        retries: 0,
        ..options(&origin.url("/{code}?token=hush"), &["code"])
    };
    let shown = format!("{options:?}");
    let source = open(options);
    let (error, _) = failure(&source).await;
    let shown = format!("{shown} {source:?} {error} {error:?}");
    assert!(shown.contains("x-key") && !shown.contains("hush"), "{shown}");
    for (name, value) in [("host", "x"), ("a b", "x"), ("x", "a\nb"), ("Content-Length", "1")] {
        assert!(HttpOptions::check_header(name, value).is_err(), "{name}");
    }
    assert_eq!(key("a").params.len(), 1);
}
