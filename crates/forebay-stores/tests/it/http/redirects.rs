//! Redirects: so many, within the origin, never to an address that may not be reached.

use forebay_stores::source::http::{HttpError, HttpOptions};

use super::stage::{Asked, Origin, failure, json, load, open, options, says, some, texts};

fn to(status: &str, location: &str) -> super::stage::Says {
    says(status, &[&format!("location: {location}")], "moved")
}

#[tokio::test]
async fn a_redirect_is_followed_within_its_origin_and_keeps_the_headers() {
    let origin = Origin::start(|_, asked: &Asked| match asked.target.as_str() {
        "/a" => to("301 Moved", "/b/c?x=1"),
        "/b/c?x=1" => to("307 Moved", "../d"),
        "/d" => to("308 Moved", "?y=2"),
        "/d?y=2" => json("1"),
        other => panic!("{other}"),
    })
    .await;
    let source = open(HttpOptions {
        headers: vec![("x-key".into(), "hush".into())],
        ..options(&origin.url("/{code}"), &["code"])
    });
    assert_eq!(texts(&source, &["a"]).await, [some("1")]);
    assert!(origin.asked().iter().all(|asked| asked.header("x-key") == "hush"));
    assert_eq!(origin.connections().0, 1);
}

#[tokio::test]
async fn too_many_redirects_end() {
    let origin = Origin::start(|_, _| to("302 Found", "/again")).await;
    for redirects in [0, 2] {
        let before = origin.asked().len();
        let options = HttpOptions { redirects, ..options(&origin.url("/{code}"), &["code"]) };
        let (error, retry) = failure(&open(options)).await;
        assert!(matches!(error, HttpError::Redirects { most, .. } if most == redirects) && !retry, "{error}");
        assert_eq!(origin.asked().len() - before, usize::from(redirects) + 1);
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_is_refused_without_a_request() {
    let other = Origin::start(|_, _| json("1")).await;
    let elsewhere = other.url("/x");
    let origin = Origin::start(move |_, asked: &Asked| match asked.target.as_str() {
        "/other" => to("302 Found", &elsewhere),
        "/metadata" => to("302 Found", "http://169.254.169.254/latest?secret=hush"),
        "/nowhere" => says("302 Found", &[], ""),
        _ => to("302 Found", "file:///etc/passwd"),
    })
    .await;
    let source = open(HttpOptions {
        headers: vec![("authorization".into(), "hush".into())],
        ..options(&origin.url("/{code}"), &["code"])
    });
    for (key, told) in [
        ("other", "another origin"),
        ("metadata", "169.254.169.254"),
        ("nowhere", "no url"),
        ("file", "no url"),
    ] {
        let error = load(&source, &[key]).await.unwrap_err();
        assert!(!error.retry && error.to_string().contains(told), "{key}: {error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    assert_eq!(other.connections().0, 0);
}
