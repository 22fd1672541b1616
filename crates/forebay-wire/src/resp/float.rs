//! Floating-point numbers as clients write them.
//!
//! What C's `strtod` takes, since Redis hands it their words: decimals, `inf` and `infinity` in letters of any size, and hexadecimal
//! numbers such as `0x1.8p3`. A number is never NaN here: wherever Redis reads that word, it refuses it.

/// A number that is not NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Double(f64);

impl Eq for Double {}

impl Double {
    /// 1.
    pub const ONE: Self = Self(1.0);

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

/// The number that `text` spells and nothing else, as scores and weights are read; `None` also where it is too large or too small
/// for a double, other than 0.
pub(super) fn strict(text: &[u8]) -> Option<Double> {
    let read = whole(text)?;
    (!read.out_of_range).then_some(Double(read.value))
}

/// The number at an end of a range of scores, which is read less strictly: blanks may come before it, nothing at all is 0, and what is
/// beyond a double is an infinity or 0. What follows a NUL byte is not looked at.
pub(super) fn bound(text: &[u8]) -> Option<Double> {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let text = text.get(..end).unwrap_or_default();
    if text.is_empty() {
        return Some(Double(0.0));
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    whole(text.get(blanks..)?).map(|read| Double(read.value))
}

/// A number to be added to another, as decimal text: what `HINCRBYFLOAT` takes. `Err` where it is infinite, `None` where it is no
/// number.
pub(super) fn decimal(text: &[u8]) -> Option<Result<String, Infinite>> {
    let read = whole(text)?;
    if read.value.is_infinite() {
        return if read.out_of_range { None } else { Some(Err(Infinite)) };
    }
    match str::from_utf8(text) {
        Ok(text) if !text.contains(['x', 'X']) => Some(Ok(text.into())),
        _ => Some(Ok(read.value.to_string())),
    }
}

/// The number is an infinity.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Infinite;

/// A number that was read.
struct Read {
    value: f64,
    /// Whether digits say that it is another one, which a double is too narrow for.
    out_of_range: bool,
}

/// The number that all of `text` spells.
fn whole(text: &[u8]) -> Option<Read> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let mut read = match digits {
        [b'0', b'x' | b'X', rest @ ..] => hexadecimal(rest)?,
        [b'0'..=b'9' | b'.', ..] => decimal_digits(digits)?,
        _ if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") => {
            Read { value: f64::INFINITY, out_of_range: false }
        }
        _ => return None,
    };
    if negative {
        read.value = -read.value;
    }
    Some(read)
}

fn decimal_digits(text: &[u8]) -> Option<Read> {
    // Words such as `infinity` do not begin as these do: what is left differs from C in nothing.
    let text = str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let is_zero = !mantissa.contains(|digit: char| matches!(digit, '1'..='9'));
    Some(Read { value, out_of_range: value.is_infinite() || value == 0.0 && !is_zero })
}

/// Hexadecimal digits, with a point among them, and a power of two. Of more than 13 digits, each one rounds.
fn hexadecimal(text: &[u8]) -> Option<Read> {
    let end = text.iter().position(|byte| matches!(byte, b'p' | b'P')).unwrap_or(text.len());
    let (digits, power) = text.split_at_checked(end)?;
    let mut exponent = match power.split_first() {
        Some((_, power)) => exponent(power)?,
        None => 0,
    };
    let (mut value, mut seen, mut after_point) = (0.0_f64, false, false);
    for byte in digits {
        match (byte, char::from(*byte).to_digit(16)) {
            (b'.', _) if !after_point => after_point = true,
            (_, Some(digit)) => {
                seen = true;
                value = value.mul_add(16.0, f64::from(digit));
                exponent = exponent.saturating_sub(if after_point { 4 } else { 0 });
            }
            _ => return None,
        }
    }
    if !seen {
        return None;
    }
    let is_zero = value == 0.0;
    // In steps, since a power of two may be beyond a double where the product is not.
    while exponent != 0 && value != 0.0 && value.is_finite() {
        let step = exponent.clamp(-1000, 1000);
        value *= 2.0_f64.powi(step);
        exponent -= step;
    }
    Some(Read { value, out_of_range: value.is_infinite() || value == 0.0 && !is_zero })
}

/// The power after a `p`; one that is too long to be read is larger than any that matters.
fn exponent(text: &[u8]) -> Option<i32> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let limit = if text.starts_with(b"-") { i32::MIN / 2 } else { i32::MAX / 2 };
    Some(str::from_utf8(text).ok()?.parse().unwrap_or(limit))
}

#[cfg(test)]
mod tests {
    use super::{Double, Infinite, bound, decimal, strict};

    /// Probed from Redis 7.0: scores, and ends of ranges.
    #[test]
    fn numbers_are_what_redis_takes_for_one() {
        let number = |number| Some(Double(number));
        for (text, score, end) in [
            ("1", number(1.0), number(1.0)),
            ("-1.5e3", number(-1500.0), number(-1500.0)),
            ("+inf", number(f64::INFINITY), number(f64::INFINITY)),
            ("-INFinity", number(f64::NEG_INFINITY), number(f64::NEG_INFINITY)),
            ("1.", number(1.0), number(1.0)),
            (".5", number(0.5), number(0.5)),
            ("0x10", number(16.0), number(16.0)),
            ("0x1.8p1", number(3.0), number(3.0)),
            ("-0X.8P-1", number(-0.25), number(-0.25)),
            ("4.9e-324", number(5e-324), number(5e-324)),
            ("0e-999", number(0.0), number(0.0)),
            ("1e400", None, number(f64::INFINITY)),
            ("-1e400", None, number(f64::NEG_INFINITY)),
            ("1e-400", None, number(0.0)),
            ("0x1p99999999999", None, number(f64::INFINITY)),
            ("0x1p-9999", None, number(0.0)),
            ("0x1p-1074", number(5e-324), number(5e-324)),
            ("", None, number(0.0)),
            (" 1", None, number(1.0)),
            ("1\0x", None, number(1.0)),
            ("1 ", None, None),
            (" ", None, None),
            ("nan", None, None),
            (".", None, None),
            ("1e", None, None),
            ("1e+", None, None),
            ("0x", None, None),
            ("0x1p", None, None),
            ("0x1.2.3", None, None),
            ("+-1", None, None),
            ("infi", None, None),
            ("x", None, None),
        ] {
            assert_eq!(strict(text.as_bytes()), score, "{text:?} as a score");
            assert_eq!(bound(text.as_bytes()), end, "{text:?} as an end");
        }
    }

    #[test]
    fn what_is_added_is_decimal_text() {
        for (text, read) in [
            ("1e3", Some(Ok("1e3".into()))),
            ("-0x10", Some(Ok("-16".into()))),
            ("1e-400", Some(Ok("1e-400".into()))),
            ("inf", Some(Err(Infinite))),
            ("1e400", None),
            (" 1", None),
            ("nan", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), read, "{text}");
        }
    }
}
