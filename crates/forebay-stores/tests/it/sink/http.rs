//! Requests as sinks, before an origin that answers by a script.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay::value::Value;
use forebay::writes::Change;
use forebay::{BehindOptions, Blob, Forebay, Sink as _, Writes, load_one, secs};
use forebay_stores::journal::{FileJournal, JournalOptions};
use forebay_stores::sink::http::{HttpSink, HttpSinkOptions};
use forebay_stores::source::http::address::AddressPolicy;
use forebay_stores::source::http::{Many, OpenError, UrlTemplate};

use super::{apply, delete, put, write};
use crate::http::stage::{Origin, Says, says};

fn options(url: &str) -> HttpSinkOptions {
    let template = UrlTemplate::parse(url, &["code"], Many::Joined).unwrap();
    let addresses = AddressPolicy { allow_private: true, allowed: Vec::new() };
    HttpSinkOptions { addresses, ..HttpSinkOptions::new(template) }
}

fn open(options: HttpSinkOptions) -> HttpSink {
    HttpSink::open(options, Clock::default()).unwrap()
}

#[tokio::test]
async fn a_value_is_put_and_a_key_deleted_where_its_url_is() {
    let origin = Origin::start(|_, _| says("204 No Content", &[], "")).await;
    let headers = vec![("Authorization".to_owned(), "Bearer t".to_owned())];
    let sink =
        open(HttpSinkOptions { headers, idempotency_key: true, ..options(&origin.url("/users/{code}?v=1")) });
    let page = write(2, "b/c", Change::Put(Value::from(Blob::new("<p>", "text/html"))));
    assert_eq!(apply(&sink, &[put(1, "a", r#"{"n":1}"#), page, delete(3, "d")]).await, ["ok", "ok", "ok"]);
    let mut asked = origin.asked();
    asked.sort_by(|a, b| a.target.cmp(&b.target));
    let told = asked.iter().map(|one| (one.method.as_str(), one.target.as_str(), one.body.as_str()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("PUT", "/users/a?v=1", r#"{"n":1}"#),
            ("PUT", "/users/b%2Fc?v=1", "<p>"),
            ("DELETE", "/users/d?v=1", ""),
        ]
    );
    for (place, (content_type, id)) in
        [("application/json", 1), ("text/html", 2), ("", 3)].into_iter().enumerate()
    {
        let one = &asked[place];
        assert_eq!(one.header("content-type"), content_type, "{one:?}");
        assert_eq!(one.header("idempotency-key"), format!("\"{id:032x}\""), "{one:?}");
        assert_eq!(one.header("authorization"), "Bearer t");
    }
}

#[tokio::test]
async fn what_an_answer_tells_of_a_write() {
    let sink_of = |status: &'static str, idempotency_key| async move {
        let origin = Origin::start(move |_, _| says(status, &["location: http://127.0.0.1:1/"], "no")).await;
        let sink = open(HttpSinkOptions { idempotency_key, ..options(&origin.url("/{code}")) });
        (apply(&sink, &[put(1, "a", "{}"), delete(2, "b")]).await, origin)
    };
    for (status, put, delete) in [
        ("200 OK", "ok", "ok"),
        ("201 Created", "ok", "ok"),
        ("404 Not Found", "Refused", "ok"),
        ("410 Gone", "Refused", "ok"),
        ("400 Bad Request", "Refused", "Refused"),
        ("403 Forbidden", "Refused", "Refused"),
        ("409 Conflict", "Refused", "Refused"),
        ("422 Unprocessable Entity", "Refused", "Refused"),
        ("302 Found", "Refused", "Refused"),
        ("307 Temporary Redirect", "Refused", "Refused"),
        ("408 Request Timeout", "Failed", "Failed"),
        ("425 Too Early", "Failed", "Failed"),
        ("429 Too Many Requests", "Failed", "Failed"),
        ("503 Service Unavailable", "Unknown", "Unknown"),
        ("500 Internal Server Error", "Unknown", "Unknown"),
        ("502 Bad Gateway", "Unknown", "Unknown"),
        ("501 Not Implemented", "Refused", "Refused"),
    ] {
        let (told, origin) = sink_of(status, false).await;
        let ends = [put, delete].map(|end| {
            if end == "ok" { end.into() } else { format!("{end}: {} answered {status}", origin.url("")) }
        });
        // A refusal for want of a right tells what to do about it.
        assert!(told.iter().zip(&ends).all(|(told, end)| told.starts_with(end)), "{status}: {told:?}");
        assert!(origin.asked().iter().all(|asked| asked.header("idempotency-key").is_empty()));
    }
    let (told, _origin) = sink_of("409 Conflict", true).await;
    assert!(told[0].starts_with("Unknown: "), "an attempt with the same id is under way: {told:?}");
}

#[tokio::test]
async fn what_is_accepted_is_not_applied_unless_that_is_declared() {
    let origin = Origin::start(|_, _| says("202 Accepted", &[], "")).await;
    let sink = open(options(&origin.url("/{code}")));
    let told = apply(&sink, &[put(1, "a", "{}"), delete(2, "b")]).await;
    assert!(told.iter().all(|told| told.starts_with("Unknown: ")), "{told:?}");
    assert!(told[0].contains("202 Accepted") && told[0].contains("`accepted = true`"), "{told:?}");
    let sink = open(HttpSinkOptions { accepted: true, ..options(&origin.url("/{code}")) });
    assert_eq!(apply(&sink, &[put(1, "a", "{}"), delete(2, "b")]).await, ["ok", "ok"]);
}

#[tokio::test]
async fn what_is_said_to_be_under_way_again_and_again_is_refused() {
    for status in ["409 Conflict", "202 Accepted"] {
        // A failure in between is not counted, and ends nothing.
        let origin = Origin::start(move |number, _| match number {
            10 => says("503 Service Unavailable", &[], ""),
            _ => says(status, &[], ""),
        })
        .await;
        let sink = open(HttpSinkOptions { idempotency_key: true, ..options(&origin.url("/{code}")) });
        for (id, most) in [(1, 21), (2, 20)] {
            for number in 1..=most {
                let told = apply(&sink, &[put(id, "a", "{}")]).await;
                let ends = if number == most { "Refused: " } else { "Unknown: " };
                assert!(told[0].starts_with(ends), "{status}, {number} of write {id}: {told:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_does_not_come_to_an_answer_is_told_apart() {
    let silent = Origin::start(|_, _| Says::Nothing).await;
    let cut = Origin::start(|_, _| Says::Bytes(b"HTTP/1.1 2".to_vec())).await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (url, end) in [
        (silent.url("/{code}"), "Unknown: "),
        (cut.url("/{code}"), "Unknown: "),
        (format!("http://{nobody}/{{code}}"), "Failed: "),
    ] {
        let sink = open(HttpSinkOptions { timeout: Duration::from_millis(300), ..options(&url) });
        let told = apply(&sink, &[put(1, "a", "{}")]).await;
        assert!(told[0].starts_with(end), "{url}: {told:?}");
    }
    let url = UrlTemplate::parse(&silent.url("/{code}"), &["code"], Many::Joined).unwrap();
    let told = apply(&open(HttpSinkOptions::new(url)), &[put(1, "a", "{}")]).await;
    assert!(told[0].starts_with("Failed: ") && told[0].contains("is not asked"), "{told:?}");
}

#[tokio::test]
async fn what_no_request_can_be_made_of_is_refused_alone() {
    let origin = Origin::start(|_, _| says("200 OK", &[], "")).await;
    let sink = open(options(&origin.url("/{code}/x")));
    let number = write(2, "b", Change::Put(Value::Counter(1)));
    let field = write(3, "c", Change::Fields(vec![]));
    let told = apply(&sink, &[put(1, "..", "{}"), number, field, put(4, "d", "{}")]).await;
    for (told, reason) in
        told.iter().zip(["no url can be made", "of the kind counter", "fields of a hash", "ok"])
    {
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(origin.targets(), ["/d/x"]);
    let many = UrlTemplate::parse(&origin.url("/?codes={keys}"), &["code"], Many::Joined).unwrap();
    let refused = HttpSink::open(HttpSinkOptions::new(many), Clock::default());
    assert!(matches!(refused, Err(OpenError::ManyKeys)));
}

#[tokio::test]
async fn what_cannot_be_sent_as_what_it_says_it_is_is_told_beforehand() {
    let origin = Origin::start(|_, _| says("200 OK", &[], "")).await;
    let sink = open(options(&origin.url("/{code}/x")));
    let value = |bytes: &str, content_type: &str| Change::Put(Value::from(Blob::new(bytes, content_type)));
    for (code, change, told) in [
        ("a", value("{}", "application/json"), "ok"),
        ("a", value("plain", "application/json"), "it is no JSON, which its content type says"),
        ("a", value("", "Application/JSON; charset=utf-8"), "it is no JSON"),
        ("a", value("{} {}", "application/problem+json"), "it is no JSON"),
        ("a", value("plain", "text/plain"), "ok"),
        ("a", Change::Put(Value::from(Blob::opaque([0, 159]))), "ok"),
        ("a", value("plain", "text/\u{1}"), "its content type is no text"),
        ("a", Change::Delete, "ok"),
        ("..", Change::Delete, "no url can be made"),
        ("a", Change::Put(Value::Counter(1)), "of the kind counter"),
        ("a", Change::Fields(vec![]), "fields of a hash"),
    ] {
        let write = write(1, code, change);
        let checked = match sink.check("users", &write.key, &write.change) {
            Ok(()) => "ok".to_owned(),
            Err(unfit) => unfit.to_string(),
        };
        assert!(checked.starts_with(told) || checked.contains(told), "{write:?}: {checked}");
    }
    assert!(origin.asked().is_empty(), "nobody is asked");
    assert_eq!(apply(&sink, &[write(1, "a", Change::Put(Value::from(Blob::opaque("x"))))]).await, ["ok"]);
    assert_eq!(origin.asked()[0].header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn writes_go_beside_one_another_within_the_connections() {
    let origin = Origin::start(|_, _| says("200 OK", &[], "")).await;
    let sink = open(HttpSinkOptions { connections: 3, ..options(&origin.url("/{code}")) });
    let writes: Vec<_> = (0..20).map(|number| put(number, &number.to_string(), "{}")).collect();
    assert!(apply(&sink, &writes).await.iter().all(|told| told == "ok"));
    assert_eq!(origin.asked().len(), 20);
    assert!(origin.connections().0 <= 3, "{:?}", origin.connections());
}

#[tokio::test]
async fn a_write_behind_is_made_again_with_its_id_until_it_is_answered() {
    let origin = Origin::start(|number, _| match number {
        0 => says("500 Internal Server Error", &[], ""),
        1 => Says::Bytes(b"HTTP/1.1 2".to_vec()),
        _ => says("200 OK", &[], ""),
    })
    .await;
    let sink = HttpSinkOptions {
        idempotency_key: true,
        timeout: Duration::from_millis(300),
        ..options(&origin.url("/{code}"))
    };
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(folder.path().join("journal"), JournalOptions::default()).await.unwrap();
    let waits = BehindOptions { pause_first: Duration::from_millis(1), ..BehindOptions::default() };
    let none = |_: String| async { Ok::<Option<Blob>, std::convert::Infallible>(None) };
    let users = Forebay::new()
        .unwrap()
        .namespace::<Blob>("users")
        .key("user:{code}")
        .ttl(secs(60))
        .source(load_one(none))
        .writes(Writes::Behind)
        .sink(open(sink))
        .behind(Arc::new(journal), waits)
        .build()
        .unwrap();
    users.set("a", Blob::json("{}"), 2).await.unwrap();
    assert!(users.flush_writes(secs(10)).await);
    let asked = origin.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|one| one.header("idempotency-key") == asked[0].header("idempotency-key")));
}
