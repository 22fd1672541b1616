//! Glob patterns, as `KEYS`, `SCAN … MATCH` and `PSUBSCRIBE` take them.
//!
//! `*` stands for any bytes, `?` for one, `[abc]`, `[a-z]` and `[^a]` for one of (or none of) some, `\` takes the next byte as it is.
//! Odd corners are those of Redis: a class that is not closed ends with the pattern, a range may be written backwards, a `\` at the
//! end stands for itself.
//!
//! A match takes at most the product of both lengths: when a later part fails, only the last `*` is tried at another place, since
//! whatever an earlier one could take more, the last can take too (as in Russ Cox, "Glob Matching Can Be Simple And Fast Too", 2017).

/// Whether all of `text` matches `pattern`.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (pattern, text);
    // Behind the last `*`, and what it leaves of the text.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = at {
            star = Some((rest, from));
            at = rest;
            continue;
        }
        match (from, one(at, from.first().copied())) {
            ([_, rest @ ..], Some(after)) => (at, from) = (after, rest),
            ([], _) if at.is_empty() => return true,
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

/// What of `pattern` is left behind its first part, which is no `*`, if that matches `byte`.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<&[u8]> {
    let byte = byte?;
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// What of `pattern` is left behind the class that it begins within, if that has `byte`.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
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
    (has != negated).then_some(rest)
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
            (pattern, [byte, rest @ ..]) => one(pattern, Some(*byte)).is_some_and(|after| model(after, rest)),
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
}
