//! Glob patterns, as `KEYS`, `SCAN … MATCH` and `PSUBSCRIBE` take them.
//!
//! `*` stands for any bytes, `?` for one, `[abc]`, `[a-z]` and `[^a]` for one of (or none of) some, `\` takes the next byte as it is.
//! Odd corners are those of Redis: a class that is not closed ends with the pattern, a range may be written backwards, a `\` at the
//! end stands for itself.
//!
//! A match takes at most the product of both lengths: when a later part fails, only the last `*` is tried at another place, since
//! whatever an earlier one could take more, the last can take too (as in Russ Cox, "Glob Matching Can Be Simple And Fast Too", 2017).
//! Where both are tens of kilobytes long even that is seconds, so that there is an end to it: [`STEPS_MAX`].

/// The most steps that a match may take, each over a byte of the pattern; what would take more does not match. A pattern of
/// 256 bytes never takes so many over a key of 32 KiB.
pub const STEPS_MAX: usize = 1 << 24;

/// Whether all of `text` matches `pattern`, within [`STEPS_MAX`] steps.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (pattern, text);
    let mut steps_left = STEPS_MAX;
    // Behind the last `*`, and what it leaves of the text.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = at {
            star = Some((rest, from));
            at = rest;
            continue;
        }
        let (is_matched, behind) = one(at, from.first().copied());
        match steps_left.checked_sub((at.len() - behind.len()).max(1)) {
            Some(left) => steps_left = left,
            None => return false,
        }
        match from {
            [_, rest @ ..] if is_matched => (at, from) = (behind, rest),
            [] if at.is_empty() => return true,
            _ => match star {
                Some((after, [_, rest @ ..])) => {
                    star = Some((after, rest));
                    (at, from) = (after, rest);
                }
                _ => return false,
            },
        }
    }
}

/// Whether the first part of `pattern`, which is no `*`, matches `byte`, and what of the pattern was not looked at for that.
fn one(pattern: &[u8], byte: Option<u8>) -> (bool, &[u8]) {
    let Some(byte) = byte else { return (false, pattern) };
    match pattern {
        [b'?', rest @ ..] => (true, rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte, rest),
        [] => (false, pattern),
    }
}

/// Whether the class that `pattern` begins within has `byte`, and what is left behind it.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut at) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut has = false;
    let rest = loop {
        at = match at {
            [b'\\', literal, rest @ ..] => {
                has |= *literal == byte;
                rest
            }
            [b']', rest @ ..] => break rest,
            [] => break at,
            [first, b'-', last, rest @ ..] => {
                has |= (*first.min(last)..=*first.max(last)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                has |= *literal == byte;
                rest
            }
        };
    };
    (has != negated, rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert_eq, proptest};

    use super::{matches, one};

    /// As one would write it down: every `*` is tried at every place.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', rest @ ..], text) => (0..=text.len()).any(|taken| model(rest, &text[taken..])),
            (_, []) => false,
            (pattern, [byte, rest @ ..]) => {
                let (is_matched, behind) = one(pattern, Some(*byte));
                is_matched && model(behind, rest)
            }
        }
    }

    /// Bytes of which patterns are made more often than chance would have it.
    fn globs(letters: &'static str) -> impl Strategy<Value = Vec<u8>> {
        proptest::string::bytes_regex(letters).unwrap()
    }

    proptest! {
        #[test]
        fn a_star_takes_what_it_must(pattern in globs(r"[ab*?\[\]\\^-]{0,10}"), text in globs(r"[ab*\]\\-]{0,10}")) {
            prop_assert_eq!(matches(&pattern, &text), model(&pattern, &text));
        }
    }

    #[test]
    fn odd_corners_are_those_of_redis() {
        for (pattern, yes, no) in [
            ("", "", "a"),
            ("*", "", ""),
            ("h?llo", "hello", "hllo"),
            ("h[ae]llo", "hallo", "hillo"),
            ("h[^e]llo", "hallo", "hello"),
            ("h[a-b]llo", "hbllo", "hcllo"),
            ("h[b-a]llo", "hallo", "hcllo"),
            (r"h\*llo", "h*llo", "hello"),
            (r"a\", r"a\", "a"),
            ("[ab", "a", "c"),
            ("[a-]x", "_", "b"),
            (r"[\]]", "]", r"\"),
            ("a*b*c", "axxbyyc", "axxbyy"),
            ("*user:*:name", "user:user:1:name", "user:1:names"),
        ] {
            assert!(matches(pattern.as_bytes(), yes.as_bytes()), "{pattern} {yes}");
            assert!(no.is_empty() || !matches(pattern.as_bytes(), no.as_bytes()), "{pattern} {no}");
        }
    }

    /// A matcher that tries every star at every place takes longer than the universe has lasted.
    #[test]
    fn many_stars_cost_no_more_than_the_product_of_both_lengths() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(20_000).as_bytes()));
    }

    /// One long key and one long pattern would keep everybody waiting for seconds; a class that is read again at each place, for longer.
    #[test]
    fn there_is_an_end_to_steps() {
        let letters = "a".repeat(1 << 16);
        for pattern in
            [format!("*{letters}b*"), format!("*[{letters}]b*"), format!("*?{}b", "*?".repeat(1 << 15))]
        {
            assert!(!matches(pattern.as_bytes(), letters.as_bytes()));
        }
        // It would be found in the end, after billions.
        let (pattern, text) = (format!("*{}b*", "a".repeat(1 << 15)), format!("{letters}{letters}b"));
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
        assert!(matches(format!("*{letters}*").as_bytes(), letters.as_bytes()));
        let (pattern, text) = (format!("*{}b*", "a".repeat(250)), format!("{}b", "a".repeat(60_000)));
        assert!(matches(pattern.as_bytes(), text.as_bytes()));
    }
}
