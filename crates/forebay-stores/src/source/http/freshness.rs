//! How long an origin says that its answer is fresh (RFC 9111 §4.2), as a cache that many readers share takes it.
//!
//! What cannot be read is taken for stale, as §4.2.1 asks; what an answer has spent in other caches is taken off (`Age`). The time of an
//! answer is its own `Date`: no clock of this machine is asked.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderName, LAST_MODIFIED};
use jiff::Timestamp;

/// A span that no TTL is longer than: what is told beyond it makes no difference.
const SECONDS_MAX: u64 = 10 * 365 * 24 * 60 * 60;

/// What an answer says about being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// How long it is fresh from when it was made; `None` where nothing is said.
    fresh: Option<Duration>,
    /// It may not be kept at all.
    pub(super) no_store: bool,
}

impl Lifetime {
    /// What `headers` say; `None` where they say nothing.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(CACHE_CONTROL) && !headers.contains_key(EXPIRES) {
            return None;
        }
        let (mut shared, mut own, mut lifetime, mut asks) = (None, None, Self::default(), false);
        for directive in headers.get_all(CACHE_CONTROL).iter().flat_map(|value| directives(value.as_bytes()))
        {
            let (name, value) = directive.split_once('=').unwrap_or((&directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "s-maxage" => shared = Some(seconds(value)),
                "max-age" => own = Some(seconds(value)),
                "no-store" => lifetime.no_store = true,
                // Kept, but never answered without asking; for one reader alone.
                "no-cache" | "private" => asks = true,
                _ => {}
            }
        }
        let expires = || headers.contains_key(EXPIRES).then(|| expires_after(headers));
        lifetime.fresh =
            if asks || lifetime.no_store { Some(Duration::ZERO) } else { shared.or(own).or_else(expires) };
        Some(lifetime)
    }

    /// How long an answer of this lifetime is still fresh that came with `headers`; `None` where nothing was said.
    pub(super) fn left(self, headers: &HeaderMap) -> Option<Duration> {
        let age = text(headers, &AGE).map_or(Duration::ZERO, |age| match age.trim() {
            "" => Duration::ZERO,
            age => seconds(age),
        });
        self.fresh.map(|fresh| fresh.saturating_sub(age))
    }
}

/// Whether a `Last-Modified` tells two versions apart: a second at least before the answer was made (RFC 9110 §8.8.2.2).
pub(super) fn is_strong_time(headers: &HeaderMap) -> bool {
    let (Some(modified), Some(date)) = (time(headers, &LAST_MODIFIED), time(headers, &DATE)) else {
        return false;
    };
    date.as_second().saturating_sub(modified.as_second()) >= 1
}

/// How long to wait before asking again, as `Retry-After` says: seconds, or a time after the answer's own `Date`.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let name = hyper::header::RETRY_AFTER;
    let told = text(headers, &name)?.trim();
    if !told.is_empty() && told.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(seconds(told));
    }
    Some(between(time(headers, &DATE)?, time(headers, &name)?))
}

/// The directives of a `Cache-Control`, a quoted value without its quotes; commas within quotes part nothing.
fn directives(value: &[u8]) -> Vec<String> {
    let (mut found, mut current, mut is_quoted) = (Vec::new(), String::new(), false);
    for byte in value {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => found.push(std::mem::take(&mut current)),
            _ => current.push(char::from(*byte)),
        }
    }
    found.push(current);
    found
}

/// Delta-seconds (RFC 9111 §1.2.2); zero where they cannot be read.
fn seconds(text: &str) -> Duration {
    let text = text.trim();
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Too many digits are a very long time.
    let seconds = if is_digits { text.parse().unwrap_or(SECONDS_MAX) } else { 0 };
    Duration::from_secs(seconds.min(SECONDS_MAX))
}

fn expires_after(headers: &HeaderMap) -> Duration {
    match (time(headers, &DATE), time(headers, &EXPIRES)) {
        (Some(date), Some(expires)) => between(date, expires),
        _ => Duration::ZERO,
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    let seconds = to.as_second().saturating_sub(from.as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(SECONDS_MAX))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A time as HTTP writes it today (`IMF-fixdate`); older forms are not read.
fn time(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let text = text(headers, name)?.trim();
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    /// Seconds left, of an answer that came with `lines`.
    fn left(lines: &[&str]) -> Option<u64> {
        let headers = headers(lines);
        Lifetime::of(&headers)?.left(&headers).map(|left| left.as_secs())
    }

    #[test]
    fn lifetimes_are_read_as_a_shared_cache_reads_them() {
        const DATE: &str = "date: Sat, 21 Nov 2026 10:00:00 GMT";
        for (lines, wanted) in [
            (&["etag: x"][..], None),
            (&["cache-control: public"], None),
            (&["cache-control: max-age=60"], Some(60)),
            (&["cache-control: max-age=\"60\""], Some(60)),
            (&["cache-control: Max-Age=60 , public"], Some(60)),
            (&["cache-control: max-age=60", "cache-control: s-maxage=5"], Some(5)),
            (&["cache-control: max-age=60", "age: 50"], Some(10)),
            (&["cache-control: max-age=60", "age: 61"], Some(0)),
            (&["cache-control: max-age=60", "age: soon"], Some(60)),
            (&["cache-control: max-age=-1"], Some(0)),
            (&["cache-control: max-age=soon"], Some(0)),
            (&["cache-control: max-age=99999999999999999999"], Some(SECONDS_MAX)),
            (&["cache-control: no-store, max-age=60"], Some(0)),
            (&["cache-control: no-cache=\"a, b\", max-age=60"], Some(0)),
            (&["cache-control: ext=\"no-store, private\", max-age=60"], Some(60)),
            (&["cache-control: private, max-age=60"], Some(0)),
            (&[DATE, "expires: Sat, 21 Nov 2026 10:01:30 GMT"], Some(90)),
            (&[DATE, "expires: Sat, 21 Nov 2026 09:01:30 GMT"], Some(0)),
            (&[DATE, "expires: 0"], Some(0)),
            (&["expires: Sat, 21 Nov 2026 10:01:30 GMT"], Some(0)),
            (&[DATE, "expires: 0", "cache-control: max-age=7"], Some(7)),
        ] {
            assert_eq!(left(lines), wanted, "{lines:?}");
        }
        assert!(Lifetime::of(&headers(&["cache-control: no-store"])).unwrap().no_store);
        assert!(!Lifetime::of(&headers(&["cache-control: no-cache"])).unwrap().no_store);
    }

    #[test]
    fn a_time_is_a_validator_once_its_second_is_over() {
        let date = |date: &str| headers(&["last-modified: Sat, 21 Nov 2026 10:00:00 GMT", date]);
        assert!(!is_strong_time(&date("date: Sat, 21 Nov 2026 10:00:00 GMT")));
        assert!(is_strong_time(&date("date: Sat, 21 Nov 2026 10:00:01 GMT")));
        assert!(!is_strong_time(&date("x: y")));
    }

    #[test]
    fn retry_after_is_seconds_or_a_time() {
        const DATE: &str = "date: Sat, 21 Nov 2026 10:00:00 GMT";
        let told = |lines: &[&str]| retry_after(&headers(lines)).map(|after| after.as_secs());
        assert_eq!(told(&["retry-after: 7"]), Some(7));
        assert_eq!(told(&[DATE, "retry-after: Sat, 21 Nov 2026 10:00:05 GMT"]), Some(5));
        assert_eq!(told(&["retry-after: Sat, 21 Nov 2026 10:00:05 GMT"]), None);
        assert_eq!((told(&["retry-after: soon"]), told(&[])), (None, None));
    }
}
