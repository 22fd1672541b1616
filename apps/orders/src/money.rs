//! Money: exact decimals with two places, from the wire to the row and back.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount of money: at most ten digits before the point, and two behind it, so that millions of them add up in 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(Decimal);

/// The text is no amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount: write at most ten digits, and two behind the point, as 100.00")]
pub struct NotMoney(pub String);

impl Money {
    /// The amount of so many hundredths.
    #[must_use]
    pub fn of_hundredths(hundredths: i64) -> Self {
        Self(Decimal::new(hundredths, 2))
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0.is_sign_negative() && !self.0.is_zero()
    }
}

impl FromStr for Money {
    type Err = NotMoney;

    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let refused = || NotMoney(text.chars().take(64).collect());
        let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
        let mut amount = Decimal::from_str_exact(text).ok().filter(|_| is_plain).ok_or_else(refused)?;
        let whole = amount.trunc().abs();
        if amount.normalize().scale() > 2 || whole >= Decimal::from(10_000_000_000_i64) {
            return Err(refused());
        }
        amount.rescale(2);
        Ok(Self(amount))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of a zero there is one.
        if self.0.is_zero() { f.write_str("0.00") } else { write!(f, "{:.2}", self.0) }
    }
}

/// A JSON number with two places.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

/// A JSON number, or the same in quotes; read by its digits, so that it is never a binary fraction in between.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = match raw.get().strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(quoted) => quoted,
            None => raw.get(),
        };
        text.parse().map_err(D::Error::custom)
    }
}
