//! Exact prices.
//!
//! A price is a whole number of thousandths, read from and written to decimal text; binary floating point never touches
//! it. Shares and indices are quoted in hundredths, so what goes out has two places, rounded half up (halves away from
//! zero).

use std::fmt;
use std::ops::Sub;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A price, or a difference of prices, in thousandths of a yuan or of an index point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milli(i64);

/// The text is not a decimal with at most three places that fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a decimal number with at most three places")]
pub struct NotDecimal(pub String);

impl Milli {
    /// The price of that many thousandths.
    #[must_use]
    pub const fn new(thousandths: i64) -> Self {
        Self(thousandths)
    }

    /// How many thousandths it is.
    #[must_use]
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// The nearest whole hundredth, halves away from zero.
    #[must_use]
    pub fn to_hundredth(self) -> Self {
        Self(divide_half_up(i128::from(self.0), 10).saturating_mul(10))
    }

    /// This part of `whole` in percent, as text with two places, halves away from zero; `0.00` of nothing.
    #[must_use]
    pub fn percent_of(self, whole: Self) -> String {
        if whole.0 == 0 {
            return "0.00".to_owned();
        }
        let hundredths = divide_half_up(i128::from(self.0) * 10_000, i128::from(whole.0));
        Self(hundredths.saturating_mul(10)).to_string()
    }

    /// This price times `parts` / `of`, halves away from zero; `of` must not be zero, or the price stays as it is.
    #[must_use]
    pub fn scaled(self, parts: i64, of: i64) -> Self {
        if of == 0 {
            self
        } else {
            Self(divide_half_up(i128::from(self.0) * i128::from(parts), i128::from(of)))
        }
    }
}

/// Two places, rounded: `10.41`, `-0.05`.
impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.to_hundredth().0 / 10;
        let sign = if hundredths < 0 { "-" } else { "" };
        let hundredths = hundredths.unsigned_abs();
        write!(f, "{sign}{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

impl Sub for Milli {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Digits with at most three decimal places, a minus sign allowed; no exponent, no plus sign, no blanks.
impl FromStr for Milli {
    type Err = NotDecimal;

    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        parse(text).map(Self).ok_or_else(|| NotDecimal(text.to_owned()))
    }
}

/// A JSON number with two places.
impl Serialize for Milli {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

/// A JSON number, or the same in quotes; read by its digits, so that it is never a binary fraction in between.
impl<'de> Deserialize<'de> for Milli {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let quoted = raw.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        quoted.unwrap_or(raw.get()).parse().map_err(D::Error::custom)
    }
}

fn parse(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, places) =
        digits.split_once('.').map_or((digits, None), |(whole, places)| (whole, Some(places)));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !places.is_none_or(|places| all_digits(places) && places.len() <= 3) {
        return None;
    }
    let thousandths: i64 = format!("{:0<3}", places.unwrap_or_default()).parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000)?.checked_add(thousandths)?.checked_mul(sign)
}

fn divide_half_up(part: i128, by: i128) -> i64 {
    let (part, by) = if by < 0 { (-part, -by) } else { (part, by) };
    let magnitude = (part.abs() * 2 + by) / (by * 2);
    let limit = if part < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(magnitude * part.signum()).unwrap_or(limit)
}
