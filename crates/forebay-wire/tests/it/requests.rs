//! Requests out of streams.

use bytes::BytesMut;
use forebay_wire::resp::{self, Limits, ReplyLimits, State};

use crate::corpus::{self, cases};

#[test]
fn streams_are_understood_the_same_however_they_are_cut() {
    for (file, limits) in [
        (include_str!("corpus/requests.txt"), &Limits::AUTHENTICATED),
        (include_str!("corpus/refused.txt"), &Limits::AUTHENTICATED),
        (include_str!("corpus/refused_unauthenticated.txt"), &Limits::UNAUTHENTICATED),
    ] {
        for case in cases(file) {
            let whole = corpus::requests(&[&case.input], limits);
            assert_eq!(whole, case.expected, "line {}: {}", case.line, case.input.escape_ascii());
            for pieces in corpus::cuts(&case.input) {
                assert_eq!(
                    corpus::requests(&pieces, limits),
                    case.expected,
                    "line {}: {pieces:?}",
                    case.line
                );
            }
        }
    }
}

#[test]
fn junk_is_judged_the_same_however_it_is_cut() {
    for case in cases(include_str!("corpus/junk.txt")) {
        let requests = corpus::requests(&[&case.input], &Limits::UNAUTHENTICATED);
        let replies = format!("{:?}", corpus::replies(&[&case.input], &ReplyLimits::default()));
        for pieces in corpus::cuts(&case.input) {
            assert_eq!(corpus::requests(&pieces, &Limits::UNAUTHENTICATED), requests, "{pieces:?}");
            let cut = corpus::replies(&pieces, &ReplyLimits::default());
            assert_eq!(format!("{cut:?}"), replies, "{pieces:?}");
        }
    }
}

#[test]
fn ten_words_of_16_kib_need_no_authentication() {
    let words = vec![vec![b'a'; 16 * 1024]; 10];
    let mut buf = BytesMut::new();
    resp::encode_request(&mut buf, &words);
    let request = resp::decode(&mut buf, &Limits::UNAUTHENTICATED, &mut State::default()).unwrap().unwrap();
    assert!(request.args().eq(&words));
    assert!(buf.is_empty());
    let line = format!("{}\n", "a".repeat(16 * 1024));
    assert_eq!(corpus::requests(&[line.as_bytes()], &Limits::UNAUTHENTICATED), line.trim_end());
}

#[test]
fn a_request_is_refused_when_its_headers_exceed_the_whole() {
    let limits = Limits { request_bytes_max: 100, ..Limits::AUTHENTICATED };
    // 4 for the count, 5 for the length, 2 for the end: 89 bytes fit, 90 do not.
    let fits = format!("*1\r\n$89\r\n{}\r\n", "a".repeat(89));
    assert_eq!(corpus::requests(&[fits.as_bytes()], &limits), "a".repeat(89));
    assert_eq!(corpus::requests(&[b"*1\r\n$90\r\n"], &limits), "ERR Protocol error: too big request");
    let second = format!("*2\r\n$80\r\n{}\r\n$5\r\n", "a".repeat(80));
    assert_eq!(corpus::requests(&[second.as_bytes()], &limits), "ERR Protocol error: too big request");
}

#[test]
fn every_length_is_read_as_what_it_is() {
    let word = vec![b'a'; 10_010];
    for len in 0..=word.len() {
        let mut buf = BytesMut::new();
        resp::encode_request(&mut buf, [&word[..len]]);
        let request = resp::decode(&mut buf, &Limits::AUTHENTICATED, &mut State::default()).unwrap().unwrap();
        assert_eq!((request.name().len(), request.len(), buf.len()), (len, 1, 0));
    }
}

#[test]
fn limits_may_change_when_a_client_authenticates() {
    let mut buf = BytesMut::from("HELLO 3\r\n*11\r\n");
    let mut state = State::default();
    assert!(resp::decode(&mut buf, &Limits::UNAUTHENTICATED, &mut state).unwrap().is_some());
    assert!(resp::decode(&mut buf, &Limits::AUTHENTICATED, &mut state).unwrap().is_none());
}

#[test]
fn arguments_share_the_bytes_they_arrived_in() {
    let mut buf = BytesMut::from("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\nrest");
    let arrived = buf.as_ptr_range();
    let request = resp::decode(&mut buf, &Limits::AUTHENTICATED, &mut State::default()).unwrap().unwrap();
    assert!(arrived.contains(&request.bytes(1).unwrap().as_ptr()));
    assert_eq!((request.get(1), request.get(2), request.bytes(2)), (Some(&b"key"[..]), None, None));
    assert_eq!(&buf[..], b"rest");
}

#[test]
fn debug_output_of_a_request_keeps_its_arguments_to_itself() {
    let request = resp::Request::from_args(["HELLO", "3", "AUTH", "default", "hunter2"]).unwrap();
    assert_eq!(format!("{request:?}"), "Request(HELLO, 1 bytes, 4 bytes, 7 bytes, 7 bytes)");
    let command = resp::parse(&request).unwrap();
    let shown = format!("{command:?}");
    assert!(shown.contains("default") && !shown.contains("hunter2"), "{shown}");
}
