//! Answers, to the byte, in both versions of the protocol; and reading them back.

use bytes::{Bytes, BytesMut};
use expect_test::{Expect, expect};
use forebay_wire::resp::{self, NESTING_MAX, Reply, ReplyError, ReplyLimits, ReplyState, Version, reply};

use crate::corpus;

fn check(write: impl Fn(&mut BytesMut, Version), resp2: Expect, resp3: Expect) {
    for (version, expected) in [(Version::Resp2, resp2), (Version::Resp3, resp3)] {
        let mut out = BytesMut::new();
        write(&mut out, version);
        expected.assert_eq(&out.escape_ascii().to_string());
    }
}

fn same(write: impl Fn(&mut BytesMut), expected: Expect) {
    let mut out = BytesMut::new();
    write(&mut out);
    expected.assert_eq(&out.escape_ascii().to_string());
}

#[test]
fn elements_that_both_versions_have() {
    same(reply::ok, expect![[r"+OK\r\n"]]);
    same(|out| reply::simple(out, "PONG"), expect![[r"+PONG\r\n"]]);
    same(|out| reply::simple(out, "a\r\nb\n"), expect![[r"+a  b \r\n"]]);
    same(|out| reply::error(out, "ERR no\r\n+OK"), expect![[r"-ERR no  +OK\r\n"]]);
    same(|out| reply::integer(out, i64::MIN), expect![[r":-9223372036854775808\r\n"]]);
    same(|out| reply::bulk(out, b""), expect![[r"$0\r\n\r\n"]]);
    same(|out| reply::bulk(out, b"a\r\n\xff"), expect![[r"$4\r\na\r\n\xff\r\n"]]);
    same(|out| reply::array(out, 0), expect![[r"*0\r\n"]]);
    same(|out| reply::array(out, 1_048_576), expect![[r"*1048576\r\n"]]);
}

#[test]
fn elements_that_resp2_lacks() {
    check(reply::null, expect![[r"$-1\r\n"]], expect![[r"_\r\n"]]);
    check(reply::null_array, expect![[r"*-1\r\n"]], expect![[r"_\r\n"]]);
    check(|out, v| reply::map(out, v, 2), expect![[r"*4\r\n"]], expect![[r"%2\r\n"]]);
    check(|out, v| reply::set(out, v, 2), expect![[r"*2\r\n"]], expect![[r"~2\r\n"]]);
    check(|out, v| reply::push(out, v, 3), expect![[r"*3\r\n"]], expect![[r">3\r\n"]]);
    check(|out, v| reply::boolean(out, v, true), expect![[r":1\r\n"]], expect![[r"#t\r\n"]]);
    check(|out, v| reply::boolean(out, v, false), expect![[r":0\r\n"]], expect![[r"#f\r\n"]]);
    check(
        |out, v| reply::verbatim(out, v, *b"txt", b"a\r\nb"),
        expect![[r"$4\r\na\r\nb\r\n"]],
        expect![[r"=8\r\ntxt:a\r\nb\r\n"]],
    );
    check(
        |out, v| reply::big_number(out, v, "-12345678901234567890"),
        expect![[r"$21\r\n-12345678901234567890\r\n"]],
        expect![[r"(-12345678901234567890\r\n"]],
    );
    check(|out, v| reply::double(out, v, 0.1), expect![[r"$3\r\n0.1\r\n"]], expect![[r",0.1\r\n"]]);
}

#[test]
fn doubles_are_the_shortest_that_read_back() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (-1.5, "-1.5"),
        (1e16, "10000000000000000"),
        (1e17, "1e+17"),
        (1.25e300, "1.25e+300"),
        (1e-5, "0.00001"),
        (1e-6, "1e-06"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        let mut out = BytesMut::new();
        reply::double(&mut out, Version::Resp3, value);
        assert_eq!(out.escape_ascii().to_string(), format!(",{text}\\r\\n"));
    }
}

#[test]
fn every_type_is_read() {
    let bulk = |text: &'static str| Reply::Bulk(Bytes::from_static(text.as_bytes()));
    for (input, expected) in [
        ("+OK\r\n", Reply::Simple("OK".into())),
        ("-ERR x\r\n", Reply::Error("ERR x".into())),
        ("!5\r\nERR x\r\n", Reply::Error("ERR x".into())),
        (":-7\r\n", Reply::Integer(-7)),
        ("$2\r\n\r\n\r\n", bulk("\r\n")),
        ("$-1\r\n", Reply::Null),
        ("*-1\r\n", Reply::Null),
        ("_\r\n", Reply::Null),
        ("*2\r\n$1\r\na\r\n*0\r\n", Reply::Array(vec![bulk("a"), Reply::Array(vec![])])),
        ("%1\r\n$1\r\na\r\n:1\r\n", Reply::Map(vec![(bulk("a"), Reply::Integer(1))])),
        ("~1\r\n:1\r\n", Reply::Set(vec![Reply::Integer(1)])),
        (">1\r\n+invalidate\r\n", Reply::Push(vec![Reply::Simple("invalidate".into())])),
        (",-1.5e+3\r\n", Reply::Double(-1500.0)),
        (",-inf\r\n", Reply::Double(f64::NEG_INFINITY)),
        ("#t\r\n", Reply::Boolean(true)),
        ("#f\r\n", Reply::Boolean(false)),
        ("=5\r\ntxt:a\r\n", Reply::Verbatim { format: *b"txt", text: "a".into() }),
        ("(-123\r\n", Reply::BigNumber("-123".into())),
        ("|1\r\n+ttl\r\n:1\r\n*1\r\n|0\r\n:5\r\n", Reply::Array(vec![Reply::Integer(5)])),
    ] {
        for pieces in corpus::cuts(input.as_bytes()) {
            let read = corpus::replies(&pieces, &ReplyLimits::default());
            assert_eq!(read, (vec![expected.clone()], String::new()), "{pieces:?}");
        }
    }
}

fn refusal(input: &[u8], limits: &ReplyLimits) -> ReplyError {
    resp::decode_reply(&mut BytesMut::from(input), limits, &mut ReplyState::default()).unwrap_err()
}

#[test]
fn what_is_no_reply_is_refused() {
    for (input, what) in [
        (&b"$01\r\n"[..], "length"),
        (b"$-2\r\n", "length"),
        (b"*?\r\n", "length"),
        (b"$1\r\nab\r\n", "end of a string"),
        (b"+a\n", "line end"),
        (b":1.5\r\n", "integer"),
        (b",infinity\r\n", "double"),
        (b"#x\r\n", "boolean"),
        (b"(1x\r\n", "big number"),
        (b"=3\r\ntxt\r\n", "verbatim string"),
        (b"_x\r\n", "null"),
    ] {
        assert_eq!(
            refusal(input, &ReplyLimits::default()),
            ReplyError::Malformed { what },
            "{}",
            input.escape_ascii()
        );
    }
    assert_eq!(refusal(b"HTTP/1.1 400\r\n", &ReplyLimits::default()), ReplyError::UnknownType { got: b'H' });
    assert_eq!(
        refusal(&[&b"$"[..], &[b'1'; 5000]].concat(), &ReplyLimits::default()),
        ReplyError::Malformed { what: "number" }
    );
}

#[test]
fn nesting_ends_at_its_limit() {
    for header in ["*1\r\n", "~1\r\n", ">1\r\n", "%1\r\n+k\r\n", "|1\r\n+a\r\n+b\r\n"] {
        let deepest = format!("{}:1\r\n", header.repeat(NESTING_MAX));
        let (replies, end) = corpus::replies(&[deepest.as_bytes()], &ReplyLimits::default());
        assert_eq!((replies.len(), end.as_str()), (1, ""), "{header:?}");
        let deeper = header.repeat(NESTING_MAX + 1);
        assert_eq!(refusal(deeper.as_bytes(), &ReplyLimits::default()), ReplyError::TooDeep, "{header:?}");
    }
    refusal("*1\r\n".repeat(10_000).as_bytes(), &ReplyLimits::default());
}

#[test]
fn announced_lengths_of_replies_are_limited_before_they_arrive() {
    let limits = ReplyLimits { reply_bytes_max: 100 };
    for input in ["$95\r\n", "*2\r\n$50\r\n", "$9223372036854775807\r\n"] {
        let arrived = match input {
            "*2\r\n$50\r\n" => format!("{input}{}\r\n$40\r\n", "a".repeat(50)),
            _ => input.to_owned(),
        };
        assert_eq!(
            refusal(arrived.as_bytes(), &limits),
            ReplyError::TooLong { limit_bytes: 100 },
            "{input:?}"
        );
    }
    assert_eq!(refusal(&[b'+'; 101], &limits), ReplyError::TooLong { limit_bytes: 100 });
    // 5 for the length and 2 for the end: 93 bytes fit.
    let fits = format!("$93\r\n{}\r\n", "a".repeat(93));
    assert_eq!(corpus::replies(&[fits.as_bytes()], &limits).0.len(), 1);
    // A count says nothing about bytes: there may be none to come, and nothing is kept ready for them.
    let (replies, end) = corpus::replies(&[b"*9223372036854775807\r\n"], &limits);
    assert_eq!((replies.len(), end.as_str()), (0, "…"));
}
