//! The alarm that quotes are refused: raised by the first, and over once a minute of quotes was believed.

use forebay::rt::Mutex;
use forebay_server::app::Alarms;
use jiff::{SignedDuration, Timestamp};

use super::Refused;

/// The alarm.
pub const REFUSED: &str = "quotes_refused";
/// The event that is counted.
pub const COUNTED: &str = "quote_refused";
/// The alarm is over once nothing was refused for so long.
const QUIET: SignedDuration = SignedDuration::from_secs(60);

/// Whether quotes are being refused.
#[derive(Debug)]
pub(super) struct Episode {
    alarms: Alarms,
    /// When one was refused last, while the alarm is raised.
    last: Mutex<Option<Timestamp>>,
}

impl Episode {
    /// None, so far.
    pub(super) fn new(alarms: Alarms) -> Self {
        Self { alarms, last: Mutex::new(None) }
    }

    /// Tells of a batch that was judged at `now`: what of it is not believed, and how many quotes are. Of two at a time one tells after the other, so
    /// that the alarm is as the last of them says.
    pub(super) fn judged(&self, refused: &[Refused], believed: usize, now: Timestamp) {
        let mut last = self.last.lock();
        if let Some(Refused { id, reason, .. }) = refused.first() {
            *last = Some(last.map_or(now, |last| last.max(now)));
            self.alarms.count(COUNTED, u64::try_from(refused.len()).unwrap_or(u64::MAX));
            let (market, code) = (&id.market, &id.code);
            self.alarms.raise(REFUSED, &format!("{market} {code}: {reason}; see /api/v1/ingest/refused"));
        } else if believed > 0 && last.is_some_and(|last| now.duration_since(last) >= QUIET) {
            *last = None;
            self.alarms.clear(REFUSED);
        }
    }
}
