//! Integers as RESP and its commands write them.
//!
//! One spelling per number: an optional `-`, then digits without a leading zero. `+1`, `01`, `-0`, blanks
//! and the empty text are refused, as Redis does, so that a length cannot be read in two ways.

/// The integer that `text` spells, or `None` if it is not canonical or leaves the range of `i64`.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    match digits.split_first()? {
        (b'0', []) if !negative => return Some(0),
        (b'1'..=b'9', _) => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = match byte {
            b'0'..=b'9' => i64::from(byte - b'0'),
            _ => return None,
        };
        // Counting downwards for negative numbers reaches i64::MIN, which has no positive twin.
        value = value.checked_mul(10)?;
        value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn only_the_canonical_spelling_is_a_number() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("-01", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("0x1", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
        }
    }
}
