//! Faults of the network and of the origin: every load ends in time and says truly whether it may be tried again.

use std::time::Duration;

use forebay::rt::Clock;
use forebay_stores::source::http::HttpOptions;

use super::stage::{Origin, json, load, open, options, some, texts};
use crate::withstanding::{LOAD, withstand};
use forebay_simulated::proxy::{Fault, Proxy};

fn quick(proxy: &Proxy) -> HttpOptions {
    HttpOptions {
        connect_timeout: LOAD / 3,
        timeout: LOAD / 3,
        deadline: LOAD - Duration::from_millis(20),
        retries: 1,
        ..options(&format!("http://{}/{{code}}", proxy.address), &["code"])
    }
}

#[tokio::test]
async fn every_load_ends_in_time_and_may_be_tried_again() {
    let origin = Origin::start(|_, _| json(r#"{"a":1}"#)).await;
    let proxy = Proxy::before(origin.address).await;
    let source = open(quick(&proxy));
    let clock = Clock::default();
    for fault in Fault::DEADLY {
        proxy.set(Fault::None);
        while load(&source, &["a"]).await.is_err() {}
        proxy.set(fault);
        let began = clock.now();
        let error = load(&source, &["a"]).await.expect_err("nothing is answered");
        let took = clock.now().since(began);
        assert!(took < LOAD * 5, "{fault:?} took {took:?}");
        assert!(error.retry, "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn what_is_slow_and_in_time_is_answered() {
    let origin = Origin::start(|_, _| json(r#"{"a":1}"#)).await;
    let proxy = Proxy::before(origin.address).await;
    let source = open(options(&format!("http://{}/{{code}}", proxy.address), &["code"]));
    for fault in [Fault::Delay(Duration::from_millis(30)), Fault::Drip(Duration::ZERO)] {
        proxy.set(fault);
        assert_eq!(texts(&source, &["a"]).await, [some(r#"{"a":1}"#)], "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_is_whole_or_none() {
    let origin = Origin::start(|_, _| json(r#"{"a":1}"#)).await;
    let proxy = Proxy::before(origin.address).await;
    let whole = String::from_utf8(match json(r#"{"a":1}"#) {
        super::stage::Says::Bytes(bytes) => bytes,
        super::stage::Says::Nothing => Vec::new(),
    })
    .unwrap()
    .len();
    let url = format!("http://{}/{{code}}", proxy.address);
    for cut in 1..whole {
        proxy.set(Fault::Cut(cut));
        let source = open(HttpOptions { retries: 0, ..options(&url, &["code"]) });
        let error = load(&source, &["a"]).await.expect_err("it was cut");
        assert!(error.retry, "cut after {cut}: {error}");
    }
}

#[tokio::test]
async fn the_engine_withstands_a_broken_origin() {
    let origin = Origin::start(|_, _| json(r#"{"a":1}"#)).await;
    let proxy = Proxy::before(origin.address).await;
    withstand(&proxy, "a", open(quick(&proxy)), open(quick(&proxy))).await;
}
