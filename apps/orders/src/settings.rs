//! The app's settings, the table `[app.orders]`.
//!
//! ```toml
//! [app.orders]
//! expires_after = "5m"
//! periods = "open"
//! ```

use std::time::Duration;

use forebay_server::app::AppError;
use jiff::SignedDuration;
use serde::Deserialize;

use crate::NAME;

/// What `[app.orders]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long an order may be paid that does not say so itself.
    pub expires_after: Duration,
    /// Whether the first order of a period opens it.
    pub opens_periods: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { expires_after: Duration::from_secs(300), opens_periods: true }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    expires_after: Option<String>,
    periods: Option<Periods>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Periods {
    /// A period is open from its first order on.
    Open,
    /// A period is open once somebody has said so.
    Announced,
}

impl Settings {
    /// Checks the table.
    ///
    /// # Errors
    /// [`AppError::Settings`] that names the key and what to write instead.
    pub fn parse(table: &toml::Table) -> Result<Self, AppError> {
        let raw: Raw = table.clone().try_into().map_err(|error: toml::de::Error| refused(error.message()))?;
        let default = Self::default();
        Ok(Self {
            expires_after: raw.expires_after.map_or(Ok(default.expires_after), |text| duration(&text))?,
            opens_periods: raw.periods != Some(Periods::Announced),
        })
    }
}

fn duration(text: &str) -> Result<Duration, AppError> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    parsed.filter(|span| *span >= Duration::from_secs(1)).ok_or_else(|| {
        refused(&format!(
            "expires_after = \"{text}\" is no time of a second or more; write one as \"5m\" or \"90s\""
        ))
    })
}

/// The error that says `message` about the settings.
pub(crate) fn refused(message: &str) -> AppError {
    AppError::Settings { app: NAME, message: message.trim_end().to_owned() }
}
