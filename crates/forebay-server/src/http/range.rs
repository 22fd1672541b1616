//! Parts of values: `Range` and `If-Range` (RFC 9110 §13.1.5 and §14).
//!
//! One range of bytes is served. A request for several is answered with the whole value, as §14.2 allows, and so is what cannot be read.

use std::ops::Range;

use axum::http::{HeaderMap, header};

use super::conditions::Tag;

/// What is to be sent of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These of its bytes, at least one.
    Bytes(Range<usize>),
    /// Nothing: it has none of the bytes that are asked for.
    Nothing,
}

/// What a request asks for of a value of `length` bytes whose tag is `tag`.
pub(super) fn part(asked: &HeaderMap, tag: Tag, length: usize) -> Part {
    let mut lines = asked.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Part::Whole };
    // Who holds part of another value wants the whole of this one. A date is no tag: nobody was ever given one.
    if asked.get(header::IF_RANGE).is_some_and(|held| !tag.is_identity(held)) {
        return Part::Whole;
    }
    line.to_str().ok().and_then(|line| one(line, length)).unwrap_or(Part::Whole)
}

/// The one range that `line` asks for; `None` where it asks for something else.
fn one(line: &str, length: usize) -> Option<Part> {
    let (unit, range) = line.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let range = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(suffix)) => length.saturating_sub(suffix)..length,
        (Some(first), None) => first..length,
        (Some(first), Some(last)) if first > last => return None,
        (Some(first), Some(last)) => first..last.saturating_add(1).min(length),
    };
    Some(if range.is_empty() { Part::Nothing } else { Part::Bytes(range) })
}

/// The number that `digits` are, the largest where they are more; `None` within for no digits, `None` for anything else.
fn number(digits: &str) -> Option<Option<usize>> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| (!digits.is_empty()).then(|| digits.parse().unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use forebay::Blob;
    use proptest::prelude::{any, proptest};

    use super::super::conditions::{Form, Tag};
    use super::{Part, part};

    fn asked(range: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::RANGE, HeaderValue::from_str(range).unwrap())])
    }

    #[test]
    fn one_range_is_taken_and_anything_else_is_the_whole() {
        let tag = Tag::of(&Blob::opaque("0123456789"));
        for (range, wanted) in [
            ("bytes=0-0", Part::Bytes(0..1)),
            ("bytes=2-5", Part::Bytes(2..6)),
            ("Bytes=2-", Part::Bytes(2..10)),
            ("bytes= 2-99", Part::Bytes(2..10)),
            ("bytes=9-99999999999999999999999", Part::Bytes(9..10)),
            ("bytes=-3", Part::Bytes(7..10)),
            ("bytes=-99999999999999999999999", Part::Bytes(0..10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=99999999999999999999999-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=1", Part::Whole),
            ("items=0-1", Part::Whole),
            ("0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(&asked(range), tag, 10), wanted, "{range}");
        }
        for range in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(part(&asked(range), tag, 0), Part::Nothing, "{range} of nothing");
        }
        assert_eq!(part(&HeaderMap::new(), tag, 10), Part::Whole);
    }

    #[test]
    fn who_holds_part_of_another_value_is_sent_the_whole() {
        let tag = Tag::of(&Blob::opaque("0123456789"));
        let plain = tag.header(Form::Identity).unwrap();
        let weak = HeaderValue::from_str(&format!("W/{}", plain.to_str().unwrap())).unwrap();
        for (held, wanted) in [
            (plain, Part::Bytes(0..1)),
            (weak, Part::Whole),
            (tag.header(Form::Compressed).unwrap(), Part::Whole),
            (HeaderValue::from_static("\"other\""), Part::Whole),
            (HeaderValue::from_static("Sat, 29 Oct 1994 19:43:31 GMT"), Part::Whole),
        ] {
            let mut asked = asked("bytes=0-0");
            asked.insert(header::IF_RANGE, held.clone());
            assert_eq!(part(&asked, tag, 10), wanted, "{held:?}");
        }
    }

    proptest! {
        #[test]
        fn a_range_lies_within_the_value(line in "(bytes)?=?[0-9]{0,3}-?[0-9]{0,3}", length in 0_usize..200, two in any::<bool>()) {
            let mut asked = asked(&line);
            if two {
                asked.append(header::RANGE, HeaderValue::from_static("bytes=0-0"));
            }
            match part(&asked, Tag::of(&Blob::opaque("")), length) {
                Part::Bytes(range) => assert!(!two && range.start < range.end && range.end <= length),
                Part::Nothing => assert!(!two),
                Part::Whole => {}
            }
        }
    }
}
