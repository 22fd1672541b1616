//! Requests to commands.

use bytes::BytesMut;
use forebay_wire::resp::{self, CommandError, Limits, Request, State};

use crate::corpus::{cases, unescape};

#[test]
fn words_become_commands_or_refusals() {
    for case in cases(include_str!("corpus/commands.txt")) {
        let mut line = BytesMut::from(&case.input[..]);
        line.extend_from_slice(b"\r\n");
        let request =
            resp::decode(&mut line, &Limits::AUTHENTICATED, &mut State::default()).unwrap().unwrap();
        let said = match resp::parse(&request) {
            Ok(command) => format!("{command:?}"),
            Err(refusal) => refusal.to_string(),
        };
        let expected = match case.expected.starts_with(|first: char| first.is_uppercase()) {
            true if case.expected.contains("ERR ") => String::from_utf8(unescape(&case.expected)).unwrap(),
            _ => case.expected,
        };
        assert_eq!(said, expected, "line {}", case.line);
    }
}

#[test]
fn letters_of_any_size_name_a_command() {
    for spec in resp::commands() {
        let mixed: String = spec
            .name
            .char_indices()
            .map(|(at, letter)| if at % 2 == 0 { letter.to_ascii_lowercase() } else { letter })
            .collect();
        for name in [spec.name, &spec.display_name(), &mixed] {
            assert_eq!(resp::lookup(name.as_bytes()).map(|found| found.name), Some(spec.name), "{name}");
        }
    }
    for name in
        ["", "G", "GE", "GETT", "GET ", "GET\0", "GET\0\0\0\0\0\0\0\0\0\0\0\0\0", "SEVENTEEN_LETTERS", "🦀"]
    {
        assert!(resp::lookup(name.as_bytes()).is_none(), "{name:?}");
    }
}

#[test]
fn nothing_else_names_a_command() {
    for code in 0..26_u32.pow(3) {
        let name = [676, 26, 1].map(|place| b'A' + u8::try_from(code / place % 26).unwrap());
        for name in [&name[..], &name[1..]] {
            let found = resp::lookup(name).map(|spec| spec.name.as_bytes());
            assert!(found.is_none_or(|found| found == name), "{}", name.escape_ascii());
        }
    }
    for spec in resp::commands() {
        for end in 0..spec.name.len() {
            let found = resp::lookup(&spec.name.as_bytes()[..end]).map(|found| found.name);
            assert!(found.is_none_or(|found| found == &spec.name[..end]), "{}", &spec.name[..end]);
            let mut misspelt = spec.name.as_bytes().to_vec();
            misspelt[end] ^= 1;
            let found = resp::lookup(&misspelt).map(|found| found.name.as_bytes());
            assert!(found.is_none_or(|found| found == misspelt), "{}", misspelt.escape_ascii());
        }
    }
}

#[test]
fn words_that_are_not_utf8_are_shown_without_harm() {
    let request = Request::from_args([&b"\xffoo\r\n"[..], b"\xfe"]).unwrap();
    let refusal = resp::parse(&request).unwrap_err();
    let mut out = BytesMut::new();
    resp::reply::error(&mut out, &refusal.to_string());
    let text = String::from_utf8(out.to_vec()).unwrap();
    assert_eq!(text, "-ERR unknown command '\u{fffd}oo  ', with args beginning with: '\u{fffd}' \r\n");
    assert!(matches!(refusal, CommandError::UnknownCommand { .. }));
}
