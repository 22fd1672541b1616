//! When a job is due: a cron pattern in a time zone.
//!
//! It guarantees that the same pattern and zone give the same moments on every machine that knows the same rules of the zone, and that
//! moments go up: [`next`](Schedule::next) is later than what it is asked for, [`last`](Schedule::last) is not. Where the zone's clocks go
//! forward, a time of the day that is left out is due at the end of the gap, once; where they go back, a time of the day that comes twice is
//! due the first time. A pattern that goes through the minutes or hours (`*`, `*/5`) follows time itself: it is due in both, and in no gap.
//! Whoever reads the patterns is `croner`; which field is wrong is found out here.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::configuration::fault::JobFault;
use crate::configuration::raw::nearest;

/// The zone of schedules that name none.
pub(crate) const UTC: &str = "UTC";

/// When a job is due.
#[derive(Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    text: String,
    zone_name: String,
}

/// Why a text is no schedule.
#[derive(Debug)]
pub(crate) enum ScheduleFault {
    /// There is no such time zone.
    Zone,
    /// The pattern is none.
    Pattern {
        /// Where in the text it is wrong.
        within: Range<usize>,
        fault: JobFault,
    },
}

/// The fields of a pattern with seconds: the name of each, and what may stand in it.
const FIELDS: [(&str, &str); 6] = [
    ("second", "write 0 to 59, `*`, a range `0-29`, a list `0,30` or a step `*/10`"),
    ("minute", "write 0 to 59, `*`, a range `0-29`, a list `0,30` or a step `*/10`"),
    ("hour", "write 0 to 23, `*`, a range `9-17`, a list `9,12` or a step `*/6`"),
    (
        "day of the month",
        "write 1 to 31, `L` for the last, `15W` for the weekday nearest to it, `*`, a range or a list",
    ),
    ("month", "write 1 to 12 or jan to dec, `*`, a range or a list"),
    (
        "day of the week",
        "write sun to sat or 0 to 6, `mon-fri`, `fri#2` for the second, `friL` for the last, `*`, or a list",
    ),
];

impl Schedule {
    /// Reads a pattern, and finds its zone.
    pub(crate) fn parse(text: &str, zone: &str) -> Result<Self, ScheduleFault> {
        let cron = parse(text).map_err(|(within, fault)| ScheduleFault::Pattern { within, fault })?;
        let zone = TimeZone::get(zone).map_err(|_| ScheduleFault::Zone)?;
        let zone_name = zone.iana_name().unwrap_or(UTC).to_owned();
        let schedule = Self { cron, zone, text: text.trim().to_owned(), zone_name };
        if schedule.next(Duration::ZERO).is_none() {
            return Err(ScheduleFault::Pattern { within: 0..text.len(), fault: JobFault::Never });
        }
        Ok(schedule)
    }

    /// The zone whose place, the last part of its name, is most like that of `name`, if any is much like it.
    pub(crate) fn zone_like(name: &str) -> Option<String> {
        let zones: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
        let place = |zone: &str| zone.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let places: Vec<String> = zones.iter().map(|zone| place(zone)).collect();
        let near = nearest(&place(name), places.iter().map(String::as_str))?;
        zones.iter().find(|zone| place(zone) == near).cloned()
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of its time zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    /// The first moment after `after` when it is due; both are times since 1970-01-01 UTC. `None` after the end of the calendar.
    #[must_use]
    pub fn next(&self, after: Duration) -> Option<Duration> {
        let after = moment(after)?.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        u64::try_from(next.timestamp().as_second()).ok().map(Duration::from_secs)
    }

    /// The last moment at `until` or before when it was due; both are times since 1970-01-01 UTC.
    #[must_use]
    pub fn last(&self, until: Duration) -> Option<Duration> {
        let until = moment(until)?.to_zoned(self.zone.clone());
        let last = self.cron.find_previous_occurrence(&until, true).ok()?;
        u64::try_from(last.timestamp().as_second()).ok().map(Duration::from_secs)
    }
}

/// A whole second.
fn moment(unix: Duration) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(unix.as_secs()).ok()?).ok()
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.zone_name) == (&other.text, &other.zone_name)
    }
}

impl Eq for Schedule {}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.text, self.zone_name)
    }
}

fn parse(text: &str) -> Result<Cron, (Range<usize>, JobFault)> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let whole = 0..text.len();
    let fields = fields(text);
    if text.trim_start().starts_with('@') {
        return parser.parse(text).map_err(|_| (whole, JobFault::ShortForm { text: text.trim().into() }));
    }
    if !(5..=6).contains(&fields.len()) {
        return Err((whole, JobFault::Fields { count: fields.len() }));
    }
    if let Ok(cron) = parser.parse(text) {
        return Ok(cron);
    }
    // Each alone among fields that are right: the first that is refused is what is wrong.
    for (at, field) in fields.iter().enumerate().map(|(at, field)| (at + 6 - fields.len(), field)) {
        let written = text.get(field.clone()).unwrap_or_default();
        let alone: Vec<&str> = (0..6).map(|other| if other == at { written } else { "*" }).collect();
        if let (Err(_), Some((name, mend))) = (parser.parse(&alone.join(" ")), FIELDS.get(at)) {
            return Err((field.clone(), JobFault::Field { text: written.into(), field: name, mend }));
        }
    }
    Err((whole, JobFault::Never))
}

/// Where the fields of a pattern are.
fn fields(text: &str) -> Vec<Range<usize>> {
    let mut fields: Vec<Range<usize>> = Vec::new();
    let mut is_within = false;
    for (at, each) in text.char_indices() {
        if each.is_whitespace() {
            is_within = false;
        } else if let (true, Some(field)) = (is_within, fields.last_mut()) {
            field.end = at + each.len_utf8();
        } else {
            fields.push(at..at + each.len_utf8());
            is_within = true;
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(moment: &str) -> Duration {
        let moment: Timestamp = moment.parse().unwrap();
        Duration::from_secs(u64::try_from(moment.as_second()).unwrap())
    }

    /// When it is due after `after`, as many times as are wanted.
    #[track_caller]
    fn due(pattern: &str, zone: &str, after: &str, wanted: &[&str]) {
        let schedule = Schedule::parse(pattern, zone).unwrap_or_else(|fault| panic!("{pattern}: {fault:?}"));
        let mut at = unix(after);
        let mut found = Vec::new();
        for _ in wanted {
            at = schedule.next(at).unwrap();
            assert_eq!(schedule.last(at), Some(at), "what is due next is due last when it is there");
            let second = Duration::from_secs(1);
            assert!(schedule.last(at - second).is_none_or(|before| before < at));
            found.push(Timestamp::from_second(i64::try_from(at.as_secs()).unwrap()).unwrap().to_string());
        }
        assert_eq!(found, wanted, "{pattern} in {zone}");
    }

    #[test]
    fn patterns_have_seconds_or_none() {
        due(
            "0 30 9 * * mon-fri",
            "Asia/Shanghai",
            "2026-11-20T00:00:00Z",
            &["2026-11-20T01:30:00Z", "2026-11-23T01:30:00Z"],
        );
        due("30 9 * * mon-fri", "UTC", "2026-11-20T09:30:00Z", &["2026-11-23T09:30:00Z"]);
        due(
            "*/20 * * * * *",
            "UTC",
            "2026-11-20T09:30:01Z",
            &["2026-11-20T09:30:20Z", "2026-11-20T09:30:40Z"],
        );
        due("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", &["2026-02-28T00:00:00Z"]);
        due("0 12 * * fri#2", "UTC", "2026-11-01T00:00:00Z", &["2026-11-13T12:00:00Z"]);
        due("@daily", "Asia/Shanghai", "2026-11-20T00:00:00Z", &["2026-11-20T16:00:00Z"]);
        due("0 0 1 * mon", "UTC", "2026-11-24T00:00:00Z", &["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"]);
    }

    /// In Berlin clocks go from 2 to 3 on 2026-03-29, at 1 UTC.
    #[test]
    fn where_clocks_go_forward_what_is_left_out_comes_at_the_end_of_the_gap() {
        let zone = "Europe/Berlin";
        due("0 30 2 * * *", zone, "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        due("0 30 3 * * *", zone, "2026-03-28T12:00:00Z", &["2026-03-29T01:30:00Z", "2026-03-30T01:30:00Z"]);
        due(
            "0 */30 * * * *",
            zone,
            "2026-03-29T00:29:00Z",
            &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        );
        due("0 30 * * * *", zone, "2026-03-29T00:00:00Z", &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    }

    /// In Berlin clocks go from 3 to 2 on 2026-10-25, at 1 UTC.
    #[test]
    fn where_clocks_go_back_what_comes_twice_is_due_the_first_time() {
        let zone = "Europe/Berlin";
        due("0 30 2 * * *", zone, "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        due("0 0 3 * * *", zone, "2026-10-24T12:00:00Z", &["2026-10-25T02:00:00Z"]);
        due(
            "0 30 * * * *",
            zone,
            "2026-10-25T00:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
        );
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (pattern, within, fault) in [
            ("0 30 25 * * *", 5..7, "`25` is no hour of a schedule"),
            ("30 9 * * mom-fri", 9..16, "`mom-fri` is no day of the week of a schedule"),
            (" 61  9 * * *", 1..3, "`61` is no minute of a schedule"),
            ("* * * * foo *", 8..11, "`foo` is no month of a schedule"),
            ("0 30 9 32 * *", 7..9, "`32` is no day of the month of a schedule"),
            ("ä * * * * *", 0..2, "`ä` is no second of a schedule"),
            ("30 9 * *", 0..8, "a schedule has five fields, or six with the seconds first; this has 4"),
            (
                "0 0 9 * * * 2027",
                0..16,
                "a schedule has five fields, or six with the seconds first; this has 7",
            ),
            ("@noon", 0..5, "`@noon` is no short form of a schedule"),
            ("0 0 30 2 *", 0..10, "this schedule is never due: no year has such a day"),
        ] {
            match Schedule::parse(pattern, UTC) {
                Err(ScheduleFault::Pattern { within: at, fault: found }) => {
                    assert_eq!((at, found.to_string().as_str()), (within, fault), "{pattern}");
                }
                other => panic!("{pattern}: {other:?}"),
            }
        }
        assert!(matches!(Schedule::parse("@daily", "Asia/Shanghi"), Err(ScheduleFault::Zone)));
        assert_eq!(Schedule::zone_like("Asia/Shanghi").as_deref(), Some("Asia/Shanghai"));
        assert_eq!(Schedule::zone_like("Berlin").as_deref(), Some("Europe/Berlin"));
        assert_eq!(Schedule::zone_like("Mars/Q"), None);
    }
}
