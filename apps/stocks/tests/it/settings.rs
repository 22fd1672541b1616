//! The table `[app.stocks]`.

use std::time::Duration;

use forebay_app_stocks::clock::Speed;
use forebay_app_stocks::settings::{MarketTime, Settings};

use crate::{shanghai, speed};

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse(&text.parse().unwrap()).map_err(|error| error.to_string())
}

/// Nothing else said than what the clock is.
fn by(clock: MarketTime) -> Settings {
    Settings { clock, ahead_at_most: Duration::from_secs(5) }
}

#[test]
fn nothing_given_is_a_replay_at_speed_20() {
    let default = by(MarketTime::Replay { start: None, speed: Speed::DEFAULT, paused: false });
    assert_eq!(parse(""), Ok(default));
    assert_eq!(parse("replay = {}"), Ok(default));
    assert_eq!(parse(r#"clock = "replay""#), Ok(default));
    assert_eq!(Speed::DEFAULT, speed("20"));
}

#[test]
fn what_is_given_is_taken() {
    let start = Some(shanghai("2019-01-28T09:30:00"));
    let given = by(MarketTime::Replay { start, speed: speed("0.5"), paused: true });
    assert_eq!(
        parse(r#"replay = { start = "2019-01-28T09:30:00+08:00", speed = 0.5, paused = true }"#),
        Ok(given)
    );
    assert_eq!(
        parse("replay = { start = 2019-01-28T09:30:00+08:00, speed = 0.5, paused = true }"),
        Ok(given)
    );
    assert_eq!(parse(r#"clock = "wall""#), Ok(by(MarketTime::Wall)));
    let given = Settings { clock: MarketTime::Wall, ahead_at_most: Duration::from_millis(1_500) };
    assert_eq!(parse("clock = \"wall\"\nahead_at_most = \"1s500ms\""), Ok(given));
}

#[test]
fn what_is_wrong_is_refused_with_the_mend() {
    for (text, mend) in [
        ("speed = 3", "unknown field `speed`, expected one of `clock`, `ahead_at_most`, `replay`"),
        ("replay = { spead = 3 }", "unknown field `spead`, expected one of `start`, `speed`, `paused`"),
        (r#"ahead_at_most = "soon""#, "ahead_at_most: "),
        (r#"clock = "sundial""#, "unknown variant `sundial`, expected `wall` or `replay`"),
        ("clock = \"wall\"\nreplay = {}", "leave one of them out"),
        (r#"replay = { start = "2019-01-28" }"#, "write one with its offset"),
        ("replay = { start = 2019-01-28 }", "write one with its offset"),
        ("replay = { speed = 0 }", "write a number from 0.1 to 10000"),
        (r#"replay = { speed = "fast" }"#, "write a number from 0.1 to 10000"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with("[app.stocks]: ") && error.contains(mend), "{text}: {error}");
    }
}
