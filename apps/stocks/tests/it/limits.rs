//! How far a price may be, by kind and date.

use forebay_app_stocks::calendar::TradingCalendar;
use forebay_app_stocks::limits::{Limits, Rules};
use forebay_app_stocks::market::Kind;
use forebay_app_stocks::money::Milli;

fn limits(kind: Kind, name: &str, listed_on: Option<&str>, day: &str, close: &str) -> [String; 2] {
    let rules = Rules { kind, name, listed_on: listed_on.map(|day| day.parse().unwrap()) };
    let calendar = TradingCalendar::shipped().unwrap();
    let Limits { low, high } = rules.limits(close.parse().unwrap(), day.parse().unwrap(), &calendar);
    [low.to_string(), high.to_string()]
}

#[test]
fn bands_are_by_kind_and_date() {
    for (kind, name, day, band) in [
        (Kind::AShare, "浦发银行", "2019-01-28", ["9.00", "11.00"]),
        (Kind::AShare, "*ST信威", "2019-01-28", ["9.50", "10.50"]),
        (Kind::AShare, "ST康美", "2021-01-28", ["9.50", "10.50"]),
        (Kind::ChiNext, "宁德时代", "2020-08-21", ["9.00", "11.00"]),
        (Kind::ChiNext, "宁德时代", "2020-08-24", ["8.00", "12.00"]),
        (Kind::ChiNext, "*ST天翔", "2020-08-21", ["9.50", "10.50"]),
        (Kind::ChiNext, "*ST天翔", "2020-08-24", ["8.00", "12.00"]),
        (Kind::Star, "中芯国际", "2020-07-28", ["8.00", "12.00"]),
        (Kind::Index, "上证指数", "2019-01-28", ["9.00", "11.00"]),
        (Kind::Index, "创业板指", "2021-01-28", ["8.00", "12.00"]),
    ] {
        assert_eq!(limits(kind, name, None, day, "10.00"), band, "{name} {day}");
    }
}

#[test]
fn limits_are_rounded_in_decimals() {
    assert_eq!(limits(Kind::AShare, "一", None, "2019-01-28", "10.05"), ["9.05", "11.06"]);
    assert_eq!(limits(Kind::AShare, "一", None, "2019-01-28", "3.05"), ["2.75", "3.36"]);
}

#[test]
fn what_is_newly_registered_has_no_band_for_five_trading_days() {
    let free = ["0.20", "500.00"];
    for (kind, listed_on, day, band) in [
        (Kind::Star, "2020-07-16", "2020-07-16", free),
        (Kind::Star, "2020-07-16", "2020-07-22", free),
        (Kind::Star, "2020-07-16", "2020-07-23", ["8.00", "12.00"]),
        (Kind::ChiNext, "2020-08-21", "2020-08-24", ["8.00", "12.00"]),
        (Kind::ChiNext, "2020-08-24", "2020-08-28", free),
        (Kind::AShare, "2023-04-07", "2023-04-10", ["9.00", "11.00"]),
        (Kind::AShare, "2023-04-10", "2023-04-14", free),
        (Kind::AShare, "2023-04-10", "2023-04-17", ["9.00", "11.00"]),
    ] {
        assert_eq!(limits(kind, "新", Some(listed_on), day, "10.00"), band, "{kind:?} {listed_on} {day}");
    }
}

#[test]
fn st_14_no_share_is_without_a_band_on_days_that_nobody_can_count() {
    let (free, band) = (["0.20", "500.00"], ["8.00", "12.00"]);
    for (listed_on, day, expected) in [
        ("2026-12-30", "2026-12-31", free),
        ("2026-12-30", "2027-01-01", band),
        ("2026-12-30", "2027-01-04", band),
        ("2027-03-01", "2027-03-01", band),
        ("2030-03-01", "2040-03-01", band),
        ("2099-01-01", "2020-07-16", band),
    ] {
        assert_eq!(limits(Kind::Star, "新", Some(listed_on), day, "10.00"), expected, "{listed_on} {day}");
    }
}

#[test]
fn limits_hold_what_is_on_them() {
    let limits = Limits { low: Milli::new(9_000), high: Milli::new(11_000) };
    assert!(limits.hold(Milli::new(9_000)) && limits.hold(Milli::new(11_000)));
    assert!(!limits.hold(Milli::new(8_990)) && !limits.hold(Milli::new(11_010)));
}
