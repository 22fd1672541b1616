//! Durations, sizes and shares as people write them, and back.
//!
//! A number without a unit is refused rather than guessed, and every refusal says what to write. What a value means, and
//! the limits it must keep, are the options' concern.

use std::time::Duration;

/// The units of time, longest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of size in bytes.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// What units there are, for pages and messages.
pub(crate) const TIME_UNIT_NAMES: &str = "`ms`, `s`, `m`, `h`, `d`";
/// What units there are, for pages and messages.
pub(crate) const SIZE_UNIT_NAMES: &str =
    "`B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024), `KB`, `MB`, `GB`, `TB` (powers of 1000)";

/// Why a text is not a duration, a size or a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitFault {
    #[error("a number needs a unit")]
    NoUnit { mend: String },
    #[error("`{unit}` is not a unit of {of}")]
    UnknownUnit { unit: String, of: &'static str, mend: String },
    #[error("this is not {of}")]
    NotANumber { of: &'static str, mend: String },
    #[error("the units must go from the longest to the shortest, each once")]
    Order { mend: String },
    #[error("this is too large to count")]
    TooLarge,
}

impl UnitFault {
    /// What to write instead.
    pub(crate) fn mend(&self) -> String {
        match self {
            Self::NoUnit { mend }
            | Self::UnknownUnit { mend, .. }
            | Self::NotANumber { mend, .. }
            | Self::Order { mend } => mend.clone(),
            Self::TooLarge => "write a smaller number".into(),
        }
    }
}

/// Reads `3s`, `250ms`, `1h30m`, `30d`: whole numbers, each with its unit, longest unit first.
pub(crate) fn duration(text: &str) -> Result<Duration, UnitFault> {
    const OF: &str = "time";
    let not_a_number = || UnitFault::NotANumber {
        of: "a duration",
        mend: "write whole numbers with units, like \"3s\", \"250ms\" or \"1h30m\"".into(),
    };
    let mut rest = text.trim();
    let (mut total, mut last_unit) = (0_u64, u64::MAX);
    if rest.is_empty() {
        return Err(not_a_number());
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(not_a_number)?;
        let after = after.trim_start();
        let unit_len = after.find(|each: char| !each.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_len).unwrap_or((after, ""));
        if unit.is_empty() {
            if !after.is_empty() && !after.starts_with(|next: char| next.is_ascii_digit()) {
                return Err(not_a_number());
            }
            return Err(UnitFault::NoUnit { mend: format!("say the unit: \"{number}s\" or \"{number}ms\"") });
        }
        let Some((_, in_ms)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
            let mend = match similar_time_unit(unit) {
                Some(known) => format!("write \"{number}{known}\""),
                None => format!("the units are {TIME_UNIT_NAMES}"),
            };
            return Err(UnitFault::UnknownUnit { unit: unit.into(), of: OF, mend });
        };
        if *in_ms >= last_unit {
            return Err(UnitFault::Order { mend: "write it like \"1h30m\"".into() });
        }
        last_unit = *in_ms;
        let part = number.checked_mul(*in_ms).ok_or(UnitFault::TooLarge)?;
        total = total.checked_add(part).ok_or(UnitFault::TooLarge)?;
        rest = next.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Reads `256 MiB`, `64KiB`, `10 MB`: a whole number and its unit; gives bytes.
pub(crate) fn size(text: &str) -> Result<u64, UnitFault> {
    let (number, unit) = leading_number(text.trim()).ok_or_else(|| UnitFault::NotANumber {
        of: "a size",
        mend: "write a whole number with a unit, like \"256 MiB\"".into(),
    })?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        let mend = format!("say the unit: \"{}\"", likely_size(number));
        return Err(UnitFault::NoUnit { mend });
    }
    let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let same = |name: &str| name.eq_ignore_ascii_case(unit) || name.trim_end_matches("iB") == unit;
        let known = SIZE_UNITS.iter().rev().find(|(name, _)| same(name));
        let mend = match known {
            Some((known, _)) => format!("write \"{number} {known}\""),
            None => format!("the units are {SIZE_UNIT_NAMES}"),
        };
        return Err(UnitFault::UnknownUnit { unit: unit.into(), of: "size", mend });
    };
    number.checked_mul(*bytes).ok_or(UnitFault::TooLarge)
}

/// What is most likely meant by a size without a unit: bytes where they make a whole number of KiB, else MiB.
pub(crate) fn likely_size(number: u64) -> String {
    if number >= 1024 && number.is_multiple_of(1024) { show_size(number) } else { format!("{number} MiB") }
}

/// Reads `25 %`: a whole number of hundredths from 1 to 100.
pub(crate) fn percent(text: &str) -> Result<u8, UnitFault> {
    let fault = || UnitFault::NotANumber {
        of: "a share",
        mend: "write a whole number from 1 to 100 with `%`, like \"25 %\"".into(),
    };
    let (number, unit) = leading_number(text.trim()).ok_or_else(fault)?;
    match (u8::try_from(number), unit.trim()) {
        (Ok(share @ 1..=100), "%") => Ok(share),
        (Ok(1..=100), "") => Err(UnitFault::NoUnit { mend: format!("write \"{number} %\"") }),
        _ => Err(fault()),
    }
}

/// Reads `0.1 %`: hundredths, with up to four digits after the point; gives millionths.
pub(crate) fn rate(text: &str) -> Result<u64, UnitFault> {
    let fault = || UnitFault::NotANumber {
        of: "a rate",
        mend: "write hundredths with `%`, like \"0.1 %\", with up to four digits after the point".into(),
    };
    let number = text.trim();
    let Some(number) = number.strip_suffix('%') else {
        let is_number = number.parse::<f64>().is_ok();
        return Err(if is_number {
            UnitFault::NoUnit { mend: format!("write \"{number} %\"") }
        } else {
            fault()
        });
    };
    let number = number.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 4 {
        return Err(fault());
    }
    let whole: u64 = whole.parse().map_err(|_| UnitFault::TooLarge)?;
    let fraction: u64 = format!("{fraction:0<4}").parse().map_err(|_| UnitFault::TooLarge)?;
    whole.checked_mul(10_000).and_then(|whole| whole.checked_add(fraction)).ok_or(UnitFault::TooLarge)
}

/// Writes a rate in millionths the way [`rate`] reads it.
pub(crate) fn show_rate(millionths: u64) -> String {
    let fraction = format!("{:04}", millionths % 10_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction} %", millionths / 10_000)
}

/// Writes a duration the way [`duration`] reads it; what is below a millisecond is left out.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // "24h" is what people write for a day, and what they look for.
    let mut text = String::new();
    for (unit, in_ms) in TIME_UNITS {
        let skip_day = unit == "d" && rest <= in_ms;
        let count = if skip_day { 0 } else { rest / in_ms };
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            rest -= count * in_ms;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Writes a size in the largest unit that divides it, the way [`size`] reads it.
pub(crate) fn show_size(bytes: u64) -> String {
    let divides = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    match SIZE_UNITS.iter().rev().filter(divides).max_by_key(|(_, unit)| *unit) {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let len = text.find(|each: char| !each.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(len)?;
    Some((digits.parse().ok()?, rest))
}

fn similar_time_unit(unit: &str) -> Option<&'static str> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms, shown) in [
            ("3s", 3_000, "3s"),
            ("250ms", 250, "250ms"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1h 30m", 5_400_000, "1h30m"),
            ("24h", 86_400_000, "24h"),
            ("30d", 2_592_000_000, "30d"),
            ("90 s", 90_000, "1m30s"),
            ("0s", 0, "0s"),
        ] {
            let read = duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(ms), "{text}");
            assert_eq!(show_duration(read), shown);
            assert_eq!(duration(shown), Ok(read));
        }
        for (text, mend) in [
            ("3", "say the unit: \"3s\" or \"3ms\""),
            ("1h30", "say the unit: \"30s\" or \"30ms\""),
            ("5 minutes", "write \"5m\""),
            ("5M", "write \"5m\""),
            ("3 weeks", "the units are `ms`, `s`, `m`, `h`, `d`"),
            ("30m1h", "write it like \"1h30m\""),
            ("1s1s", "write it like \"1h30m\""),
            ("", "write whole numbers with units, like \"3s\", \"250ms\" or \"1h30m\""),
            ("1.5h", "write whole numbers with units, like \"3s\", \"250ms\" or \"1h30m\""),
            ("-3s", "write whole numbers with units, like \"3s\", \"250ms\" or \"1h30m\""),
            ("soon", "write whole numbers with units, like \"3s\", \"250ms\" or \"1h30m\""),
            ("999999999999999999d", "write a smaller number"),
        ] {
            assert_eq!(duration(text).unwrap_err().mend(), mend, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("256 MiB", 256 << 20, "256 MiB"),
            ("64KiB", 64 << 10, "64 KiB"),
            ("1 GiB", 1 << 30, "1 GiB"),
            ("10 MB", 10_000_000, "10 MB"),
            ("1 KB", 1_000, "1 KB"),
            ("1001 B", 1_001, "1001 B"),
            ("0 B", 0, "0 B"),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), shown);
            assert_eq!(size(shown), Ok(bytes));
        }
        for (text, mend) in [
            ("256", "say the unit: \"256 MiB\""),
            ("65536", "say the unit: \"64 KiB\""),
            ("256 mib", "write \"256 MiB\""),
            ("256M", "write \"256 MiB\""),
            ("1.5 GiB", "the units are `B`, `KiB`"),
            ("big", "write a whole number with a unit, like \"256 MiB\""),
            ("99999999999 TiB", "write a smaller number"),
        ] {
            let found = size(text).unwrap_err().mend();
            assert!(found.starts_with(mend), "{text}: {found}");
        }
    }

    #[test]
    fn rates_are_read_and_written() {
        for (text, millionths, shown) in [
            ("0.1 %", 1_000, "0.1 %"),
            ("1%", 10_000, "1 %"),
            ("0.0001 %", 1, "0.0001 %"),
            ("50.0 %", 500_000, "50 %"),
        ] {
            assert_eq!(rate(text), Ok(millionths), "{text}");
            assert_eq!(show_rate(millionths), shown);
        }
        assert_eq!(rate("0.1").unwrap_err().mend(), "write \"0.1 %\"");
        for bad in ["", "%", "1.2.3 %", ".1 %", "0.00001 %", "-1 %", "x", "99999999999999999999 %"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_read() {
        assert_eq!(percent("25 %"), Ok(25));
        assert_eq!(percent("100%"), Ok(100));
        for bad in ["0 %", "101 %", "25", "x", "2.5 %"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
