//! Numbers in text: what `INCR` and `INCRBYFLOAT` compute.
//!
//! Pure functions on text and numbers; keeping the result is the caller's. Integers are 64-bit and read as strictly as
//! Redis reads them. Decimals are added exactly, to 17 digits after the point, as `INCRBYFLOAT` promises to print them:
//! 0.1 + 0.2 is 0.3, and 1234567.1 + 0.1 is 1234567.2, where Redis shows what its processor's `long double` makes of it.

use smallvec::SmallVec;

/// Why a number could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CounterError {
    /// The text is not a 64-bit integer in its shortest form.
    #[error(
        "value is not an integer or out of range: write it as a 64-bit decimal without sign `+`, spaces or leading zeros"
    )]
    NotInteger,
    /// The result does not fit 64 bits.
    #[error("{number} changed by {by} does not fit 64 bits: the counter stays as it is")]
    Overflow {
        /// The counter.
        number: i64,
        /// What was to be added.
        by: i64,
    },
    /// The text is not a decimal number.
    #[error("value is not a valid float: write a decimal number such as 10.5 or 5e3")]
    NotDecimal,
    /// The result would be infinite, or not a number.
    #[error("increment would produce NaN or Infinity: the number stays as it is")]
    NotFinite,
}

/// Reads a 64-bit integer in its shortest decimal form, as Redis' `string2ll`: no `+`, no spaces, no leading zeros, no `-0`.
///
/// # Errors
/// [`CounterError::NotInteger`].
pub fn parse(text: &[u8]) -> Result<i64, CounterError> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let shortest = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let number = std::str::from_utf8(text).ok().filter(|_| shortest).and_then(|text| text.parse().ok());
    number.ok_or(CounterError::NotInteger)
}

/// The decimal text of `number`, on the stack.
#[must_use]
pub fn print(number: i64) -> SmallVec<[u8; 24]> {
    let mut text = SmallVec::new();
    let mut rest = number.unsigned_abs();
    loop {
        text.push(b'0' + u8::try_from(rest % 10).unwrap_or_default());
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number.is_negative() {
        text.push(b'-');
    }
    text.reverse();
    text
}

/// `number + by`.
///
/// # Errors
/// [`CounterError::Overflow`].
pub fn add(number: i64, by: i64) -> Result<i64, CounterError> {
    number.checked_add(by).ok_or(CounterError::Overflow { number, by })
}

/// The sum of two decimals, as text without exponent, trailing zeros or `-0`. Up to 10²⁰ it is exact, both being read to
/// 17 digits after the point (half away from zero); beyond, it has the precision of a double.
///
/// # Errors
/// [`CounterError::NotDecimal`] where either is not a number; [`CounterError::NotFinite`] where one is infinite or the sum
/// would be.
pub fn add_decimal(number: &[u8], by: &[u8]) -> Result<String, CounterError> {
    let (number, by) = (Decimal::read(number)?, Decimal::read(by)?);
    if let (Some(a), Some(b)) = (number.fixed, by.fixed) {
        return Ok(print_fixed(a + b));
    }
    let sum = number.float + by.float;
    // Display of a double has no exponent, and digits enough to read the same double back.
    if sum.is_finite() { Ok(format!("{sum}")) } else { Err(CounterError::NotFinite) }
}

/// Digits kept after the point.
const SCALE: i32 = 17;
/// 10¹⁷.
const ONE: u128 = 100_000_000_000_000_000;
/// Numbers below this are added exactly; two of them, times 10¹⁷, fit 128 bits.
const EXACT_BELOW: f64 = 5e20;

/// A decimal as it was written.
struct Decimal {
    /// In units of 10⁻¹⁷, where it is small enough.
    fixed: Option<i128>,
    float: f64,
}

impl Decimal {
    fn read(text: &[u8]) -> Result<Self, CounterError> {
        let text = std::str::from_utf8(text).map_err(|_| CounterError::NotDecimal)?;
        let float: f64 = text.parse().map_err(|_| CounterError::NotDecimal)?;
        if float.is_nan() {
            return Err(CounterError::NotDecimal);
        }
        if float.is_infinite() {
            return Err(CounterError::NotFinite);
        }
        let fixed = if float.abs() < EXACT_BELOW { read_fixed(text) } else { None };
        Ok(Self { fixed, float })
    }
}

/// Reads a decimal that is known to be well formed; `None` where it does not fit.
fn read_fixed(text: &str) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        // An exponent too long to read has moved every digit out of sight: its sign is all that counts.
        Some((mantissa, exponent)) => {
            let limit = if exponent.starts_with('-') { i32::MIN / 2 } else { i32::MAX / 2 };
            (mantissa, exponent.parse().unwrap_or(limit))
        }
        None => (text, 0),
    };
    let digits = mantissa.trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut fixed: i128 = 0;
    let mut place = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(SCALE)?;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if place <= 0 {
            // The first digit out of sight rounds, where it is the next one.
            fixed += i128::from(place == 0 && digit >= b'5');
            place = -1;
            break;
        }
        fixed = fixed.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        place -= 1;
    }
    // Leading zeros may come with a large exponent; the value itself is small.
    for _ in 0..place {
        if fixed == 0 {
            break;
        }
        fixed = fixed.checked_mul(10)?;
    }
    Some(if mantissa.starts_with('-') { -fixed } else { fixed })
}

fn print_fixed(fixed: i128) -> String {
    let (whole, fraction) = (fixed.unsigned_abs() / ONE, fixed.unsigned_abs() % ONE);
    let mut text = String::new();
    if fixed < 0 {
        text.push('-');
    }
    text.push_str(&whole.to_string());
    if fraction > 0 {
        let digits = format!("{fraction:017}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text
}
