//! The trading calendar: hours, holidays, next openings, its range.

use forebay_app_stocks::calendar::{CalendarError, TradingCalendar, TradingSession};
use jiff::Timestamp;

use crate::shanghai;

fn calendar() -> TradingCalendar {
    TradingCalendar::shipped().unwrap()
}

#[test]
fn hours_are_half_open() {
    let calendar = calendar();
    for (time, open) in [
        ("09:29:59.999", false),
        ("09:30:00", true),
        ("11:29:59.999", true),
        ("11:30:00", false),
        ("12:59:59", false),
        ("13:00:00", true),
        ("14:59:59.999", true),
        ("15:00:00", false),
    ] {
        assert_eq!(calendar.is_open(shanghai(&format!("2019-01-28T{time}"))), Ok(open), "{time}");
    }
}

#[test]
fn holidays_and_make_up_saturdays_are_closed() {
    let calendar = calendar();
    for (day, open) in [
        ("2019-02-01", true),
        ("2019-02-02", false),
        ("2019-02-04", false),
        ("2019-02-08", false),
        ("2019-02-11", true),
        ("2019-10-01", false),
        ("2020-01-31", false),
        ("2020-02-03", true),
        ("2024-02-29", true),
    ] {
        assert_eq!(calendar.is_open(shanghai(&format!("{day}T10:00:00"))), Ok(open), "{day}");
    }
}

#[test]
fn the_next_opening_is_after_the_time_asked_about() {
    let calendar = calendar();
    for (at, open) in [
        ("2019-01-28T00:00:00", "2019-01-28T09:30:00"),
        ("2019-01-28T09:30:00", "2019-01-28T13:00:00"),
        ("2019-01-28T12:00:00", "2019-01-28T13:00:00"),
        ("2019-01-28T13:00:00", "2019-01-29T09:30:00"),
        ("2019-02-01T15:00:00", "2019-02-11T09:30:00"),
        ("2019-02-02T10:00:00", "2019-02-11T09:30:00"),
    ] {
        assert_eq!(calendar.next_open(shanghai(at)), Ok(shanghai(open)), "{at}");
    }
}

#[test]
fn a_day_is_a_day_in_shanghai() {
    let late_in_utc: Timestamp = "2019-01-27T23:00:00Z".parse().unwrap();
    let session = calendar().session(late_in_utc).unwrap().unwrap();
    assert_eq!(session.day().to_string(), "2019-01-28");
    assert_eq!(session.opens().to_string(), "2019-01-28T01:30:00Z");
    assert_eq!(session.closes().to_string(), "2019-01-28T07:00:00Z");
    assert_eq!(calendar().session(shanghai("2019-01-27T12:00:00")), Ok(None));
}

#[test]
fn outside_the_range_there_is_no_answer() {
    let calendar = calendar();
    for at in ["2017-12-31T23:59:59", "2027-01-01T00:00:00"] {
        let refused = calendar.is_open(shanghai(at));
        assert!(matches!(refused, Err(CalendarError::OutOfRange { .. })), "{at}: {refused:?}");
    }
    assert_eq!(calendar.is_open(shanghai("2018-01-01T10:00:00")), Ok(false));
    let last_afternoon = shanghai("2026-12-31T14:00:00");
    assert_eq!(calendar.is_open(last_afternoon), Ok(true));
    assert!(calendar.next_open(last_afternoon).is_err());
}

#[test]
fn a_damaged_list_names_its_line() {
    for list in ["date\n20190102\n2019-01-03\n", "date\n20190103\n20190102\n", "date\n20190102\n20290102\n"] {
        let error = TradingCalendar::parse(list).unwrap_err();
        assert!(error.to_string().starts_with("line 3 "), "{error}");
    }
}

#[test]
fn trading_time_of_a_session_and_back() {
    let session = TradingSession::on("2019-01-28".parse().unwrap()).unwrap();
    for (time, minutes) in [
        ("09:00:00", 0),
        ("09:30:00", 0),
        ("11:29:00", 119),
        ("11:30:00", 120),
        ("12:15:00", 120),
        ("13:01:00", 121),
    ] {
        let at = shanghai(&format!("2019-01-28T{time}"));
        assert_eq!(session.traded_ms(at), minutes * 60_000, "{time}");
    }
    assert_eq!(session.traded_ms(shanghai("2019-01-28T18:00:00")), 240 * 60_000);
    assert_eq!(session.after(119 * 60_000), shanghai("2019-01-28T11:29:00"));
    assert_eq!(session.after(120 * 60_000), shanghai("2019-01-28T13:00:00"));
    assert_eq!(session.after(239 * 60_000), shanghai("2019-01-28T14:59:00"));
}
