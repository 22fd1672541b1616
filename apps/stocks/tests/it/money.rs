//! Exact decimals.

use forebay_app_stocks::money::Milli;

#[test]
fn decimals_are_exact_both_ways() {
    for (text, thousandths) in
        [("10.410", 10_410), ("0.07", 70), ("-0.05", -50), ("2601.390", 2_601_390), ("3", 3_000)]
    {
        assert_eq!(text.parse(), Ok(Milli::new(thousandths)), "{text}");
    }
    for (thousandths, text) in
        [(10_410, "10.41"), (70, "0.07"), (-50, "-0.05"), (-12_340, "-12.34"), (0, "0.00")]
    {
        assert_eq!(Milli::new(thousandths).to_string(), text);
    }
}

#[test]
fn what_is_no_decimal_is_refused() {
    for text in ["", ".", "1.", ".5", "1e3", "+1", " 1", "1.2345", "--1", "1,5", "9223372036854775807", "１"]
    {
        assert!(text.parse::<Milli>().is_err(), "{text:?}");
    }
}

#[test]
fn halves_round_away_from_zero() {
    for (thousandths, text) in
        [(16_219, "16.22"), (1_005, "1.01"), (1_004, "1.00"), (-1_005, "-1.01"), (-4, "0.00")]
    {
        assert_eq!(Milli::new(thousandths).to_string(), text);
    }
}

#[test]
fn percent_is_of_the_previous_close() {
    let percent = |change: &str, of: &str| change.parse::<Milli>().unwrap().percent_of(of.parse().unwrap());
    assert_eq!(percent("1.23", "3199.22"), "0.04");
    assert_eq!(percent("0.67", "10.56"), "6.34");
    assert_eq!(percent("-0.01", "8.00"), "-0.13", "a half is rounded away from zero");
    assert_eq!(percent("1.00", "0"), "0.00");
}
