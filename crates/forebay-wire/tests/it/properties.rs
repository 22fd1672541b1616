//! Properties over random input.

use bytes::{Bytes, BytesMut};
use forebay_wire::resp::{
    self, Command, Condition, Data, Expiry, FreshnessCommand, KeyCommand, Limits, Reply, ReplyLimits,
    Request, Set, State, StringCommand, Version, reply,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use crate::corpus;

/// Bytes that look like RESP more often than chance would have it.
fn nearly_resp() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop_oneof!["\\*", "\\$", "%", "~", ">", ":", "\\+", ",", "#", "=", "\\(", "_", "\\|", "!"],
        Just("\r\n".to_owned()),
        Just("\r\n".to_owned()),
        "[0-9]{1,2}",
        prop_oneof!["-1", "-", "\r", "\n", " ", "\"", "'", "\\\\", "\\\\x41"],
        "[a-z]{0,6}",
        Just("*1\r\n$4\r\nPING\r\n".to_owned()),
    ];
    let bytes = prop_oneof![4 => token.prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..6)];
    vec(bytes, 0..24).prop_map(|parts| parts.concat())
}

/// `input` cut at some of `places`.
fn cut<'a>(input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place % (input.len() + 1)).collect();
    places.sort_unstable();
    let ends = places.iter().copied().chain([input.len()]);
    let starts = std::iter::once(0).chain(places.iter().copied());
    starts.zip(ends).map(|(start, end)| &input[start..end]).collect()
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "[a-z:{}0-9]{1,20}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..3000)
    ]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    word().prop_map(Bytes::from)
}

/// A command together with the words that mean it.
fn command() -> impl Strategy<Value = (Vec<Bytes>, Command)> {
    fn words(name: &str, rest: &[Bytes]) -> Vec<Bytes> {
        std::iter::once(Bytes::copy_from_slice(name.as_bytes())).chain(rest.iter().cloned()).collect()
    }
    let keys = || vec(bytes(), 1..12);
    prop_oneof![
        bytes().prop_map(|key| (
            words("get", std::slice::from_ref(&key)),
            Command::Data(Data::String(StringCommand::Get { key }))
        )),
        bytes().prop_map(|key| (
            words("TTL", std::slice::from_ref(&key)),
            Command::Data(Data::Key(KeyCommand::Ttl { key }))
        )),
        bytes().prop_map(|key| (
            words("fb.Fresh", std::slice::from_ref(&key)),
            Command::Freshness(FreshnessCommand::Fresh { key })
        )),
        bytes()
            .prop_map(|message| (words("ECHO", std::slice::from_ref(&message)), Command::Echo { message })),
        keys().prop_map(|keys| (
            words("mget", &keys),
            Command::Data(Data::String(StringCommand::MGet { keys }))
        )),
        keys().prop_map(|keys| (words("del", &keys), Command::Data(Data::Key(KeyCommand::Del { keys })))),
        keys().prop_map(|keys| (
            words("FB.INVALIDATE", &keys),
            Command::Freshness(FreshnessCommand::Invalidate { keys })
        )),
        set(),
    ]
}

fn set() -> impl Strategy<Value = (Vec<Bytes>, Command)> {
    let expiry = prop_oneof![
        Just((vec![], Expiry::Unsaid)),
        Just((vec!["keepTTL".to_owned()], Expiry::Keep)),
        (1_u64..=9_223_370_000_000_000)
            .prop_map(|s| (vec!["EX".into(), s.to_string()], Expiry::In { ttl_ms: s * 1000 })),
        (1_u64..=9_223_372_036_854_775)
            .prop_map(|s| (vec!["exat".into(), s.to_string()], Expiry::At { unix_ms: s * 1000 })),
        (1_u64..=9_223_370_000_000_000_000)
            .prop_map(|ms| (vec!["pX".into(), ms.to_string()], Expiry::In { ttl_ms: ms })),
        (1_u64..=9_223_372_036_854_775_807)
            .prop_map(|ms| (vec!["PXAT".into(), ms.to_string()], Expiry::At { unix_ms: ms })),
    ];
    let condition = prop_oneof![
        Just(("", Condition::Always)),
        Just(("nx", Condition::IfAbsent)),
        Just(("XX", Condition::IfPresent))
    ];
    (bytes(), bytes(), expiry, condition, any::<bool>(), any::<bool>()).prop_map(
        |(key, value, (expiry_words, expiry), (condition_word, condition), answer_previous, expiry_first)| {
            let mut options: Vec<Vec<String>> = vec![expiry_words];
            if !condition_word.is_empty() {
                options.push(vec![condition_word.to_owned()]);
            }
            if answer_previous {
                options.push(vec!["GET".to_owned()]);
            }
            if !expiry_first {
                options.reverse();
            }
            let mut words = vec![Bytes::from_static(b"SET"), key.clone(), value.clone()];
            words.extend(options.concat().into_iter().map(Bytes::from));
            (
                words,
                Command::Data(Data::String(StringCommand::Set(Set {
                    key,
                    value,
                    expiry,
                    condition,
                    answer_previous,
                }))),
            )
        },
    )
}

/// Any reply that RESP3 can carry, within the limit of nesting.
fn any_reply() -> impl Strategy<Value = Reply> {
    let text = || "[a-zA-Z0-9 ]{0,12}".prop_map(Bytes::from);
    let leaf = prop_oneof![
        text().prop_map(Reply::Simple),
        text().prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        bytes().prop_map(Reply::Bulk),
        Just(Reply::Null),
        any::<f64>().prop_filter("nan equals nothing", |value| !value.is_nan()).prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Boolean),
        (any::<[u8; 3]>(), bytes()).prop_map(|(format, text)| Reply::Verbatim { format, text }),
        any::<i128>().prop_map(|number| Reply::BigNumber(number.to_string().into())),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Reply::Array),
            vec(inner.clone(), 0..6).prop_map(Reply::Set),
            vec(inner.clone(), 0..6).prop_map(Reply::Push),
            vec((inner.clone(), inner), 0..4).prop_map(Reply::Map),
        ]
    })
}

fn write(out: &mut BytesMut, version: Version, value: &Reply) {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    match value {
        Reply::Simple(bytes) => reply::simple(out, &text(bytes)),
        Reply::Error(bytes) => reply::error(out, &text(bytes)),
        Reply::Integer(number) => reply::integer(out, *number),
        Reply::Bulk(bytes) => reply::bulk(out, bytes),
        Reply::Null => reply::null(out, version),
        Reply::Double(number) => reply::double(out, version, *number),
        Reply::Boolean(truth) => reply::boolean(out, version, *truth),
        Reply::Verbatim { format, text } => reply::verbatim(out, version, *format, text),
        Reply::BigNumber(digits) => reply::big_number(out, version, &text(digits)),
        Reply::Array(list) => {
            reply::array(out, list.len());
            list.iter().for_each(|element| write(out, version, element));
        }
        Reply::Set(list) => {
            reply::set(out, version, list.len());
            list.iter().for_each(|element| write(out, version, element));
        }
        Reply::Push(list) => {
            reply::push(out, version, list.len());
            list.iter().for_each(|element| write(out, version, element));
        }
        Reply::Map(entries) => {
            reply::map(out, version, entries.len());
            for (key, value) in entries {
                write(out, version, key);
                write(out, version, value);
            }
        }
    }
}

/// What of a reply a client of RESP2 sees.
fn degraded(value: Reply) -> Reply {
    match value {
        Reply::Boolean(truth) => Reply::Integer(truth.into()),
        Reply::Verbatim { text, .. } | Reply::BigNumber(text) => Reply::Bulk(text),
        Reply::Double(number) => {
            let mut out = BytesMut::new();
            reply::double(&mut out, Version::Resp3, number);
            Reply::Bulk(out.freeze().slice(1..).strip_suffix(b"\r\n").unwrap().to_vec().into())
        }
        Reply::Array(list) | Reply::Set(list) | Reply::Push(list) => {
            Reply::Array(list.into_iter().map(degraded).collect())
        }
        Reply::Map(entries) => {
            Reply::Array(entries.into_iter().flat_map(|(k, v)| [degraded(k), degraded(v)]).collect())
        }
        same => same,
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged_the_same_however_cut(
        input in prop_oneof![nearly_resp(), vec(any::<u8>(), 0..200)],
        places in vec(any::<usize>(), 0..5),
    ) {
        let pieces = cut(&input, &places);
        for limits in [Limits::AUTHENTICATED, Limits::UNAUTHENTICATED] {
            prop_assert_eq!(corpus::requests(&[&input], &limits), corpus::requests(&pieces, &limits));
        }
        let whole = corpus::replies(&[&input], &ReplyLimits::default());
        let in_pieces = corpus::replies(&pieces, &ReplyLimits::default());
        prop_assert_eq!(format!("{whole:?}"), format!("{in_pieces:?}"));
    }

    #[test]
    fn any_words_mean_something_or_are_refused(words in vec(word(), 1..6), name in 0_usize..40) {
        // The first word is mostly a command, or else hardly anything would get past its name.
        let mut words = words;
        if let Some(spec) = resp::commands().nth(name) {
            words[0] = spec.name.into();
        }
        let request = Request::from_args(&words).unwrap();
        if let Err(refusal) = resp::parse(&request) {
            let mut out = BytesMut::new();
            reply::error(&mut out, &refusal.to_string());
            let (replies, end) = corpus::replies(&[&out], &ReplyLimits::default());
            prop_assert_eq!((replies.len(), end.as_str()), (1, ""));
        }
    }

    #[test]
    fn requests_come_back_as_they_were_sent(
        requests in vec(vec(word(), 1..8), 1..5),
        places in vec(any::<usize>(), 0..8),
    ) {
        let mut wire = BytesMut::new();
        for words in &requests {
            resp::encode_request(&mut wire, words);
        }
        let mut buf = BytesMut::new();
        let mut state = State::default();
        let mut decoded = Vec::new();
        for piece in cut(&wire, &places) {
            buf.extend_from_slice(piece);
            while let Some(request) = resp::decode(&mut buf, &Limits::AUTHENTICATED, &mut state).unwrap() {
                decoded.push(request.args().map(<[u8]>::to_vec).collect::<Vec<_>>());
            }
        }
        prop_assert_eq!(decoded, requests);
    }

    #[test]
    fn commands_come_back_as_they_were_meant((words, meant) in command()) {
        let mut wire = BytesMut::new();
        resp::encode_request(&mut wire, &words);
        let request = resp::decode(&mut wire, &Limits::AUTHENTICATED, &mut State::default()).unwrap().unwrap();
        prop_assert_eq!(resp::parse(&request), Ok(meant));
    }

    #[test]
    fn replies_come_back_as_they_were_written(sent in any_reply(), places in vec(any::<usize>(), 0..5)) {
        for (version, expected) in [(Version::Resp3, sent.clone()), (Version::Resp2, degraded(sent.clone()))] {
            let mut wire = BytesMut::new();
            write(&mut wire, version, &sent);
            let read = corpus::replies(&cut(&wire, &places), &ReplyLimits::default());
            prop_assert_eq!(read, (vec![expected], String::new()));
        }
    }
}
