//! The app's settings, the table `[app.stocks]`.
//!
//! ```toml
//! [app.stocks]
//! replay = { start = "2019-01-28T09:30:00+08:00", speed = 20, paused = false }
//! ```
//!
//! or `clock = "wall"`. Nothing given means a replay from the first recorded opening, at speed 20, running. With either, `ahead_at_most = "5s"` says
//! by how much what comes in may be later than the clock.

use std::time::Duration;

use forebay_server::app::AppError;
use forebay_server::configuration::duration;
use jiff::Timestamp;
use serde::Deserialize;

use crate::NAME;
use crate::clock::Speed;

/// By how much what comes in may be later than the clock, unless it is said: clocks that are kept in step differ by less.
const AHEAD: Duration = Duration::from_secs(5);

/// What `[app.stocks]` says, checked but for the start, which the recording judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the market's clock is.
    pub clock: MarketTime,
    /// By how much what comes in may be later than that clock.
    pub ahead_at_most: Duration,
}

/// What the market's clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketTime {
    /// The wall clock: quotes come from a real source, and no sample is loaded.
    Wall,
    /// A replay of the sample.
    Replay {
        /// Where it starts; the first recorded opening where none is given.
        start: Option<Timestamp>,
        /// How fast it runs.
        speed: Speed,
        /// Whether it waits for being resumed.
        paused: bool,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    clock: Option<ClockKind>,
    ahead_at_most: Option<String>,
    replay: Option<RawReplay>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClockKind {
    Wall,
    Replay,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReplay {
    start: Option<toml::Value>,
    speed: Option<toml::Value>,
    #[serde(default)]
    paused: bool,
}

impl Settings {
    /// Checks the table.
    ///
    /// # Errors
    /// [`AppError::Settings`] that names the key and what to write instead.
    pub fn parse(table: &toml::Table) -> Result<Self, AppError> {
        let raw: Raw = table.clone().try_into().map_err(|error: toml::de::Error| refused(error.message()))?;
        let clock = match (raw.clock, raw.replay) {
            (Some(ClockKind::Wall), None) => MarketTime::Wall,
            (Some(ClockKind::Wall), Some(_)) => {
                return Err(refused(
                    "`clock = \"wall\"` and `replay` contradict one another; leave one of them out",
                ));
            }
            (_, replay) => replay.unwrap_or_default().check()?,
        };
        let ahead_at_most = raw.ahead_at_most.map_or(Ok(AHEAD), |text| {
            duration(&text).map_err(|error| refused(&format!("ahead_at_most: {error}")))
        })?;
        Ok(Self { clock, ahead_at_most })
    }
}

impl RawReplay {
    fn check(self) -> Result<MarketTime, AppError> {
        let start = self.start.map(|value| start(&value)).transpose()?;
        let speed = self.speed.map(|value| speed(&value)).transpose()?;
        Ok(MarketTime::Replay { start, speed: speed.unwrap_or(Speed::DEFAULT), paused: self.paused })
    }
}

fn start(value: &toml::Value) -> Result<Timestamp, AppError> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().map_err(|_| {
        refused(&format!(
            "replay.start = {value} is not a time; write one with its offset, as \"2019-01-28T09:30:00+08:00\""
        ))
    })
}

fn speed(value: &toml::Value) -> Result<Speed, AppError> {
    value.to_string().parse().map_err(|error| refused(&format!("replay.speed: {error}")))
}

/// The error that says `message` about the settings.
pub(crate) fn refused(message: &str) -> AppError {
    AppError::Settings { app: NAME, message: message.trim_end().to_owned() }
}
