//! Addresses that must not be reached are refused when they are connected to, whatever name led there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use forebay_stores::source::http::address::{AddressPolicy, Class, Network, class};
use forebay_stores::source::http::{HttpError, HttpOptions, Resolve, Resolving};

use super::stage::{Origin, failure, json, load, open, options, says, some, texts};

#[test]
fn addresses_are_what_the_registries_say() {
    use Class::{LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Unspecified};
    for (address, wanted) in [
        ("8.8.8.8", Public),
        ("1.1.1.1", Public),
        ("192.0.1.1", Public),
        ("172.15.255.255", Public),
        ("172.32.0.0", Public),
        ("100.63.255.255", Public),
        ("100.128.0.0", Public),
        ("223.255.255.255", Public),
        ("127.0.0.1", Loopback),
        ("127.255.255.254", Loopback),
        ("10.0.0.0", Private),
        ("10.255.255.255", Private),
        ("172.16.0.1", Private),
        ("172.31.255.255", Private),
        ("192.168.0.1", Private),
        ("100.64.0.1", Private),
        ("169.254.0.1", LinkLocal),
        ("169.254.169.254", Metadata),
        ("169.254.170.2", Metadata),
        ("168.63.129.16", Metadata),
        ("100.100.100.200", Metadata),
        ("0.0.0.0", Unspecified),
        ("0.1.2.3", Unspecified),
        ("224.0.0.1", Multicast),
        ("239.255.255.255", Multicast),
        ("192.0.0.192", Reserved),
        ("192.0.2.1", Reserved),
        ("198.18.0.1", Reserved),
        ("198.51.100.1", Reserved),
        ("203.0.113.1", Reserved),
        ("240.0.0.1", Reserved),
        ("255.255.255.255", Reserved),
        ("2606:4700::1111", Public),
        ("2a00::1", Public),
        ("::", Unspecified),
        ("::1", Loopback),
        ("fc00::1", Private),
        ("fdff::1", Private),
        ("fec0::1", Private),
        ("fe80::1", LinkLocal),
        ("febf::1", LinkLocal),
        ("fd00:ec2::254", Metadata),
        ("fd00:ec2::23", Metadata),
        ("fd00:ec3::23", Private),
        ("fd20:ce::254", Metadata),
        ("ff02::1", Multicast),
        ("2001::1", Reserved),
        ("2001:db8::1", Reserved),
        ("3fff::1", Reserved),
        ("4000::1", Reserved),
        ("100::1", Reserved),
        ("::ffff:127.0.0.1", Loopback),
        ("::ffff:10.0.0.1", Private),
        ("::ffff:169.254.169.254", Metadata),
        ("::ffff:8.8.8.8", Public),
        ("::127.0.0.1", Loopback),
        ("64:ff9b::10.0.0.1", Private),
        ("64:ff9b::a9fe:a9fe", Metadata),
        ("64:ff9b:1::1", Reserved),
        ("2002:7f00:1::1", Loopback),
        ("2002:808:808::1", Public),
    ] {
        assert_eq!(class(address.parse().unwrap()), wanted, "{address}");
    }
}

#[test]
fn private_addresses_are_allowed_by_word_and_others_never() {
    let allows = |policy: &AddressPolicy, address: &str| policy.check(address.parse().unwrap()).is_ok();
    let strict = AddressPolicy::default();
    let private = AddressPolicy { allow_private: true, allowed: Vec::new() };
    let listed: Vec<Network> = ["10.1.0.0/16", "127.0.0.1", "fd12::/16", "0.0.0.0/0"]
        .iter()
        .map(|net| net.parse().unwrap())
        .collect();
    let some = AddressPolicy { allow_private: false, allowed: listed[..3].to_vec() };
    let all = AddressPolicy { allow_private: true, allowed: listed };
    for (address, strictly, privately, listed) in [
        ("8.8.8.8", true, true, true),
        ("10.1.2.3", false, true, true),
        ("::ffff:10.1.2.3", false, true, true),
        ("10.2.0.1", false, true, false),
        ("127.0.0.1", false, true, true),
        ("127.0.0.2", false, true, false),
        ("fd12::1", false, true, true),
        ("fd13::1", false, true, false),
        ("169.254.1.1", false, false, false),
        ("169.254.169.254", false, false, false),
        ("fd00:ec2::254", false, false, false),
        ("0.0.0.0", false, false, false),
        ("224.0.0.1", false, false, false),
    ] {
        let seen = (allows(&strict, address), allows(&private, address), allows(&some, address));
        assert_eq!(seen, (strictly, privately, listed), "{address}");
    }
    assert!(!allows(&all, "169.254.169.254"), "no list opens it");
    for text in ["", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "host", "10.0.0.0/-1"] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
}

/// Gives one list of addresses after the other.
struct Changing(Vec<Vec<IpAddr>>, AtomicUsize);

impl Resolve for Changing {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        assert_eq!(host, "origin.example");
        let at = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        let addresses = self.0[at].iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        Box::pin(async move { Ok(addresses) })
    }
}

fn named(port: u16, lists: &[&[&str]]) -> HttpOptions {
    let lists = lists.iter().map(|list| list.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
    let url = format!("http://origin.example:{port}/{{code}}");
    HttpOptions {
        resolver: Arc::new(Changing(lists, AtomicUsize::new(0))),
        retries: 0,
        addresses: AddressPolicy { allow_private: false, allowed: vec!["127.0.0.1".parse().unwrap()] },
        ..options(&url, &["code"])
    }
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_connected_to() {
    let origin = Origin::start(|_, _| says("200 OK", &["connection: close"], "1")).await;
    let port = origin.address.port();
    // The second answer of the name server leads to this machine by another address.
    let source = open(named(port, &[&["127.0.0.1"], &["127.0.0.2"], &["169.254.169.254", "127.0.0.1"]]));
    assert_eq!(texts(&source, &["a"]).await, [some("1")]);
    let (error, retry) = failure(&source).await;
    assert!(
        matches!(error, HttpError::Refused { refused, .. } if refused.class == Class::Loopback),
        "{error}"
    );
    assert!(!retry && error.to_string().contains("allow_private"), "{error}");
    assert_eq!(texts(&source, &["a"]).await, [some("1")], "what may be reached among several is");
    assert_eq!(origin.asked().len(), 2);
}

#[tokio::test]
async fn an_address_in_the_url_is_judged_too() {
    let origin = Origin::start(|_, _| json("1")).await;
    let strict = |url: &str| {
        open(HttpOptions { addresses: AddressPolicy::default(), retries: 0, ..options(url, &["code"]) })
    };
    let port = origin.address.port();
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "127.1", "2130706433", "0x7f.1"] {
        let (error, retry) = failure(&strict(&format!("http://{host}:{port}/{{code}}"))).await;
        assert!(matches!(error, HttpError::Refused { .. }), "{host}: {error}");
        assert!(!retry, "{host}");
    }
    let (error, _) = failure(&strict("http://169.254.169.254/latest/{code}")).await;
    assert!(error.to_string().contains("metadata"), "{error}");
    assert_eq!(origin.connections().0, 0);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_may_come_back() {
    let source = open(named(9, &[&[]]));
    let (error, retry) = failure(&source).await;
    assert!(retry && matches!(error, HttpError::Unreachable { .. }), "{error}");
    assert!(load(&source, &["b"]).await.is_err());
}
