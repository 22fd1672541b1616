//! Declared urls: a key stays within its place, and no path leads elsewhere.

use forebay::LoadKey;
use forebay::value::Param;
use forebay_stores::source::http::{Many, TemplateFault, UrlTemplate};
use proptest::prelude::*;

use super::stage::key;

fn template(text: &str, params: &[&str]) -> UrlTemplate {
    UrlTemplate::parse(text, params, Many::Joined).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn filled(text: &str, params: &[&str], values: &[&str]) -> Option<String> {
    let params_of = LoadKey { params: values.iter().map(|value| Param::Text((*value).into())).collect() };
    template(text, params).fill(&[&params_of])
}

#[test]
fn parameters_are_encoded_by_their_place() {
    for (text, value, wanted) in [
        ("https://h/a/{x}", "b", "/a/b"),
        ("https://h/a/{x}/", "b", "/a/b/"),
        ("https://h", "b", "/"),
        ("https://h?q={x}", "b", "/?q=b"),
        ("https://h/a/{x}.json?v=1&q={x}", "b c", "/a/b%20c.json?v=1&q=b%20c"),
        ("https://h/{x}", "a/b", "/a%2Fb"),
        ("https://h/{x}", "a?b#c&d=e;f%g+h", "/a%3Fb%23c%26d%3De%3Bf%25g%2Bh"),
        ("https://h/?q={x}", "..", "/?q=.."),
        ("https://h/{x}", "浦\n", "/%E6%B5%A6%0A"),
        ("https://h/{x}", "a.b-c_d~e", "/a.b-c_d~e"),
    ] {
        assert_eq!(filled(text, &["x"], &[value]).as_deref(), Some(wanted), "{text} with {value:?}");
    }
    let pair = LoadKey { params: vec![Param::Text("a".into()), Param::Integer(-7)] };
    assert_eq!(template("http://h/{y}/{x}", &["x", "y"]).fill(&[&pair]).as_deref(), Some("/-7/a"));
}

#[test]
fn a_key_whose_path_would_lead_elsewhere_cannot_be_asked_for() {
    for value in [
        "",
        ".",
        "..",
        "../a",
        "a/..",
        "a/./b",
        "..\\a",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "%25252e.",
        "a%2f..",
        "a%5c.%2e",
    ] {
        assert_eq!(filled("https://h/a/{x}", &["x"], &[value]), None, "{value:?}");
    }
    assert_eq!(filled("https://h/{x}{y}", &["x", "y"], &[".", "."]), None);
    assert_eq!(filled("https://h/.{x}", &["x"], &["."]), None);
    assert_eq!(filled("https://h/a{x}", &["x"], &[".."]).as_deref(), Some("/a.."));
    assert_eq!(filled("https://h/{x}", &["x"], &["..."]).as_deref(), Some("/..."));
    assert_eq!(filled("https://h/{x}", &["x"], &[&"a".repeat(8_000)]), None, "too long");
    assert_eq!(filled("https://h/{x}/{y}", &["x", "y"], &["a"]), None, "a parameter is missing");
}

#[test]
fn many_keys_are_joined_or_repeated() {
    let keys = ["a", "b,c", "d&e"].map(key);
    let keys: Vec<&LoadKey> = keys.iter().collect();
    let fill = |text: &str, many| UrlTemplate::parse(text, &["x"], many).unwrap().fill(&keys);
    assert_eq!(fill("https://h/?q={keys}&v=1", Many::Joined).as_deref(), Some("/?q=a,b%2Cc,d%26e&v=1"));
    assert_eq!(fill("https://h/p/{keys}", Many::Joined).as_deref(), Some("/p/a,b%2Cc,d%26e"));
    let repeated = fill("https://h/?v=1&q={keys}", Many::Repeated);
    assert_eq!(repeated.as_deref(), Some("/?v=1&q=a&q=b%2Cc&q=d%26e"));
    let named = UrlTemplate::parse("https://h/{keys}", &["keys"], Many::Joined).unwrap();
    assert!(!named.takes_many(), "a parameter may be called so");
}

#[test]
fn what_cannot_work_is_refused_with_its_place() {
    use TemplateFault as Fault;
    let unknown = || Fault::UnknownParameter { name: "y".into() };
    for (text, params, fault, part) in [
        ("ftp://h/", &["x"][..], Fault::Scheme, "ftp://h/"),
        ("https:///a", &["x"], Fault::Host, ""),
        ("https://h:x/a", &["x"], Fault::Host, "h:x"),
        ("https://h:/a", &["x"], Fault::Host, "h:"),
        ("https://h h/a", &["x"], Fault::Host, "h h"),
        ("https://u:p@h/a", &["x"], Fault::Login, "u:p@h"),
        ("https://{x}/a", &["x"], Fault::ParameterInOrigin, "{x}"),
        ("https://h{x}/a", &["x"], Fault::ParameterInOrigin, "h{x}"),
        ("https://h/a#b", &["x"], Fault::Fragment, "#b"),
        ("https://h/a//b", &["x"], Fault::Segment, ""),
        ("https://h/a/../b", &["x"], Fault::Segment, ".."),
        ("https://h/%2e%2E/b", &["x"], Fault::Segment, "%2e%2E"),
        ("https://h/a b", &["x"], Fault::Character { found: ' ' }, " "),
        ("https://h/a?b=é", &["x"], Fault::Character { found: 'é' }, "é"),
        ("https://h/a%2", &["x"], Fault::Character { found: '%' }, "%"),
        ("https://h/a{x", &["x"], Fault::Brace, "{"),
        ("https://h/a}", &["x"], Fault::Brace, "}"),
        ("https://h/?q={y}", &["x"], unknown(), "{y}"),
        ("https://h/?{x}=1", &["x"], Fault::ParameterInName, "{x}"),
        ("https://h/{keys}/{x}", &["x"], Fault::Keys, "/{keys}/{x}"),
        ("https://h/{keys}?q={keys}", &["x"], Fault::Keys, "/{keys}?q={keys}"),
        ("https://h/{keys}", &["x", "y"], Fault::Keys, "/{keys}"),
    ] {
        let error = UrlTemplate::parse(text, params, Many::Joined).unwrap_err();
        assert_eq!((&error.fault, &text[error.at.clone()]), (&fault, part), "{text}");
        assert!(!error.fault.mend().is_empty());
    }
    let error = UrlTemplate::parse("https://h/{keys}", &["x"], Many::Repeated).unwrap_err();
    assert_eq!(error.fault, Fault::Repeated);
    let shown = format!("{:?}", template("https://h/a?token=hush", &[]));
    assert!(!shown.contains("hush"), "{shown}");
}

/// Undoes percent-encoding, by a rule of its own.
fn undone(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    out
}

proptest! {
    #[test]
    fn what_is_read_back_is_what_was_filled_in(
        first in "\\PC{0,12}|[./%\\\\a]{1,6}",
        second in any::<String>(),
        third in any::<i64>(),
    ) {
        let template = template("https://h/v1/{a}/x-{b}?n={c}&q={b}&r={a}", &["a", "b", "c"]);
        let key = LoadKey {
            params: vec![Param::Text(first.clone()), Param::Text(second.clone()), Param::Integer(third)],
        };
        let Some(target) = template.fill(&[&key]) else {
            // Refused for its path alone.
            let dotted = |text: &str| text.contains('.') || text.contains("%2");
            let is_long = first.len() + second.len() > 1_000;
            prop_assert!(first.is_empty() || dotted(&first) || dotted(&second) || is_long, "{first:?} {second:?}");
            return Ok(());
        };
        let uri: hyper::Uri = target.parse().unwrap();
        let segments: Vec<&str> = uri.path().split('/').collect();
        prop_assert_eq!(segments.len(), 4, "{}", target);
        prop_assert_eq!((segments[0], segments[1]), ("", "v1"));
        prop_assert_eq!(undone(segments[2]), first.as_bytes());
        prop_assert_eq!(undone(segments[3]), format!("x-{second}").into_bytes());
        let pairs: Vec<(&str, &str)> =
            uri.query().unwrap().split('&').map(|pair| pair.split_once('=').unwrap()).collect();
        let read: Vec<(&str, Vec<u8>)> = pairs.into_iter().map(|(name, value)| (name, undone(value))).collect();
        let wanted = [("n", third.to_string().into_bytes()), ("q", second.into_bytes()), ("r", first.into_bytes())];
        prop_assert_eq!(read, wanted);
    }
}
