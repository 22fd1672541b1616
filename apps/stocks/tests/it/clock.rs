//! The replay clock: speed, pause, jumps over closed hours, starting over.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay_app_stocks::calendar::{TradingCalendar, TradingSession};
use forebay_app_stocks::clock::{Change, ClockError, MarketClock, ReplayClock, Speed};
use forebay_server::time::WallClock;

use crate::{shanghai, speed};

fn sessions() -> Arc<[TradingSession]> {
    ["2019-01-31", "2019-02-01", "2019-02-11"]
        .map(|day| TradingSession::on(day.parse().unwrap()).unwrap())
        .into()
}

fn from(start: &str, run: &str) -> ReplayClock {
    ReplayClock::new(sessions(), shanghai(start), speed(run), false).unwrap()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn speed_multiplies_real_time() {
    assert_eq!(from("2019-01-31T09:30:00", "1").now(secs(60)), shanghai("2019-01-31T09:31:00"));
    assert_eq!(from("2019-01-31T09:30:00", "20").now(secs(3)), shanghai("2019-01-31T09:31:00"));
    assert_eq!(from("2019-01-31T09:30:00", "0.1").now(secs(600)), shanghai("2019-01-31T09:31:00"));
    assert_eq!(
        from("2019-01-31T09:30:00", "0.5").now(Duration::from_millis(3)).to_string(),
        "2019-01-31T01:30:00.001Z"
    );
}

#[test]
fn it_runs_over_trading_time_only() {
    assert_eq!(from("2019-01-31T11:29:00", "1").now(secs(60)), shanghai("2019-01-31T13:00:00"), "lunch");
    assert_eq!(from("2019-01-31T14:59:00", "1").now(secs(60)), shanghai("2019-02-01T09:30:00"), "night");
    assert_eq!(
        from("2019-02-01T14:59:00", "1").now(secs(90)),
        shanghai("2019-02-11T09:30:30"),
        "a holiday week"
    );
    assert_eq!(
        from("2019-02-11T14:59:00", "1").now(secs(90)),
        shanghai("2019-01-31T09:30:30"),
        "from the start again"
    );
    let twelve_hours = secs(12 * 3600);
    assert_eq!(from("2019-02-01T10:00:00", "1").now(twelve_hours * 5), shanghai("2019-02-01T10:00:00"));
}

#[test]
fn a_start_out_of_hours_moves_to_the_next_opening() {
    for (start, shown) in [
        ("2019-01-31T12:00:00", "2019-01-31T13:00:00"),
        ("2019-01-31T15:00:00", "2019-02-01T09:30:00"),
        ("2019-02-05T10:00:00", "2019-02-11T09:30:00"),
    ] {
        assert_eq!(from(start, "1").now(secs(0)), shanghai(shown), "{start}");
    }
}

#[test]
fn a_start_outside_the_recording_is_refused() {
    for start in ["2019-01-31T09:29:59", "2019-02-11T15:00:00"] {
        let error = ReplayClock::new(sessions(), shanghai(start), Speed::DEFAULT, false).unwrap_err();
        assert!(
            error.to_string().contains("from 2019-01-31T09:30:00+08:00 and before 2019-02-11T15:00:00+08:00"),
            "{error}"
        );
    }
    let none = ReplayClock::new(Arc::new([]), shanghai("2019-01-31T10:00:00"), Speed::DEFAULT, false);
    assert_eq!(none.unwrap_err(), ClockError::NoSession);
}

#[test]
fn speeds_have_limits() {
    for (text, shown) in
        [("0.1", "0.1"), ("10000", "10000"), ("20.0", "20"), ("1.25", "1.25"), ("0.125", "0.125")]
    {
        assert_eq!(speed(text).to_string(), shown);
    }
    for text in ["0", "0.099", "10000.001", "-1", "1e3", "fast", "0.1001", "NaN", "inf"] {
        assert_eq!(text.parse::<Speed>(), Err(ClockError::Speed(text.to_owned())));
    }
}

fn market_clock(real: &Clock) -> MarketClock {
    MarketClock::replay(TradingCalendar::shipped().unwrap(), from("2019-01-31T09:30:00", "60"), real.clone())
}

#[test]
fn a_pause_stands_still_and_goes_on_where_it_was() {
    let real = Clock::simulated();
    let clock = market_clock(&real);
    real.advance(secs(2));
    assert_eq!(clock.now(), shanghai("2019-01-31T09:32:00"));
    let pause = |paused| Change { paused: Some(paused), ..Change::default() };
    assert!(clock.set(pause(true)).unwrap().paused);
    real.advance(secs(3600));
    assert_eq!(clock.now(), shanghai("2019-01-31T09:32:00"));
    clock.set(pause(false)).unwrap();
    real.advance(secs(1));
    assert_eq!(clock.now(), shanghai("2019-01-31T09:33:00"));
}

#[test]
fn a_change_of_speed_makes_no_jump() {
    let real = Clock::simulated();
    let clock = market_clock(&real);
    real.advance(secs(5));
    clock.set(Change { speed: Some(speed("1")), ..Change::default() }).unwrap();
    assert_eq!(clock.now(), shanghai("2019-01-31T09:35:00"));
    real.advance(secs(60));
    assert_eq!(clock.now(), shanghai("2019-01-31T09:36:00"));
}

#[test]
fn a_refused_change_changes_nothing() {
    let real = Clock::simulated();
    let clock = market_clock(&real);
    real.advance(secs(1));
    let change =
        Change { at: Some(shanghai("2020-01-01T10:00:00")), speed: Some(speed("1")), paused: Some(true) };
    assert!(matches!(clock.set(change), Err(ClockError::NotRecorded { .. })));
    let reading = clock.read();
    assert_eq!(
        (reading.at, reading.speed, reading.paused),
        (shanghai("2019-01-31T09:31:00"), speed("60"), false)
    );
}

#[test]
fn trading_hours_are_those_of_its_own_time() {
    let clock = market_clock(&Clock::simulated());
    assert_eq!(clock.market_is_open(), Ok(true));
    clock.set(Change { at: Some(shanghai("2019-01-31T12:00:00")), ..Change::default() }).unwrap();
    assert_eq!(clock.now(), shanghai("2019-01-31T13:00:00"));
    assert_eq!(clock.market_is_open(), Ok(true));
}

#[test]
fn the_wall_clock_cannot_be_set() {
    let clock = MarketClock::wall(TradingCalendar::shipped().unwrap(), WallClock::system());
    assert_eq!(clock.set(Change { paused: Some(true), ..Change::default() }), Err(ClockError::Wall));
    assert!(clock.read().wall);
}
