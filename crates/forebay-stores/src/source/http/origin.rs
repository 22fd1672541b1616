//! Several origins of the same data, in the order in which they are preferred.
//!
//! The first one that is healthy is asked. An origin is left alone while it keeps failing requests (passively: for a time that doubles;
//! a url that fails again and again counts once, since it may be at fault itself),
//! and while it fails its probes (actively, where declared). Where all are left alone the first is asked all the same: whether
//! nobody is asked is for the breaker to say. Each change is one line in the log.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Mutex, Tick};

use super::template::Origin;

/// Requests in a row that an origin fails before it is left alone.
const FAILURES_MAX: u32 = 3;
/// Probes in a row that it fails.
const PROBES_MAX: u32 = 2;
/// How long it is left alone at first.
const REST: Duration = Duration::from_secs(5);
/// How long it is left alone at most.
const REST_MAX: Duration = Duration::from_secs(60);

/// Origins, and how they are.
#[derive(Debug)]
pub(super) struct Origins(Vec<Candidate>);

#[derive(Debug)]
struct Candidate {
    origin: Arc<Origin>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// Failed requests in a row.
    failures: u32,
    /// The hash of the url that it failed to answer last, which may hold a secret.
    failed: Option<u64>,
    /// Not asked until then.
    rests_until: Option<Tick>,
    /// Rests in a row.
    rests: u32,
    /// Failed probes in a row.
    probes: u32,
    /// Whether the log was told that it is left alone.
    is_told: bool,
}

impl Health {
    fn is_well(&self, now: Tick) -> bool {
        self.probes < PROBES_MAX && self.rests_until.is_none_or(|until| now >= until)
    }
}

impl Origins {
    /// `origins`, the most preferred first.
    pub(super) fn new(origins: impl IntoIterator<Item = Origin>) -> Self {
        let candidate = |origin| Candidate { origin: Arc::new(origin), health: Mutex::default() };
        Self(origins.into_iter().map(candidate).collect())
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Origin>> {
        self.0.iter().map(|candidate| &candidate.origin)
    }

    /// The one to ask at `now`: the first healthy one, another than number `failed` if there is one.
    pub(super) fn pick(&self, now: Tick, failed: Option<usize>) -> Option<(usize, Arc<Origin>)> {
        let well: Vec<usize> = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, candidate)| candidate.health.lock().is_well(now))
            .map(|(at, _)| at)
            .collect();
        let other = well.iter().copied().find(|at| Some(*at) != failed);
        let at = other.or_else(|| well.first().copied()).unwrap_or(0);
        Some((at, Arc::clone(&self.0.get(at)?.origin)))
    }

    /// Number `at` gave an answer.
    pub(super) fn answered(&self, at: usize) {
        self.change(at, |health| {
            (health.failures, health.rests, health.rests_until) = (0, 0, None);
            health.failed = None;
        });
    }

    /// Number `at` failed at `now`; `target` is the url that may be at fault in its place.
    pub(super) fn failed(&self, at: usize, now: Tick, target: Option<&str>) {
        self.change(at, |health| {
            let target = target.map(|target| BuildHasherDefault::<DefaultHasher>::default().hash_one(target));
            if target.is_some() && health.failed == target {
                return;
            }
            health.failed = target;
            health.failures = health.failures.saturating_add(1);
            if health.failures >= FAILURES_MAX && health.rests_until.is_none_or(|until| now >= until) {
                let rest = REST.saturating_mul(2_u32.saturating_pow(health.rests)).min(REST_MAX);
                health.rests = health.rests.saturating_add(1);
                health.rests_until = Some(now.after(rest));
            }
        });
    }

    /// Number `at` passed a probe, or failed it.
    pub(super) fn probed(&self, at: usize, is_well: bool) {
        self.change(at, |health| {
            health.probes = if is_well { 0 } else { health.probes.saturating_add(1) };
        });
    }

    /// Makes a change to the health of number `at`, and tells the log where it is left alone from now on, or asked again.
    fn change(&self, at: usize, change: impl FnOnce(&mut Health)) {
        let Some(candidate) = self.0.get(at) else { return };
        let mut health = candidate.health.lock();
        change(&mut health);
        let is_left_alone = health.rests_until.is_some() || health.probes >= PROBES_MAX;
        let was_told = std::mem::replace(&mut health.is_told, is_left_alone);
        drop(health);
        let (is_one_of_many, origin) = (self.0.len() > 1, &candidate.origin.shown);
        match (was_told, is_left_alone) {
            (false, true) if is_one_of_many => {
                tracing::warn!(%origin, "an origin keeps failing and is left alone")
            }
            (true, false) if is_one_of_many => tracing::info!(%origin, "an origin answers again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Origins {
        Origins::new(["https://one", "https://two"].map(|text| Origin::parse(text).unwrap()))
    }

    fn picked(origins: &Origins, ms: u64) -> usize {
        origins.pick(Tick::from_ms(ms), None).unwrap().0
    }

    #[test]
    fn an_origin_that_keeps_failing_is_left_alone_for_longer_each_time() {
        let origins = origins();
        assert_eq!(picked(&origins, 0), 0);
        assert_eq!(origins.pick(Tick::from_ms(0), Some(0)).unwrap().0, 1, "a retry goes to another");
        origins.failed(0, Tick::from_ms(0), None);
        origins.failed(0, Tick::from_ms(0), None);
        assert_eq!(picked(&origins, 0), 0);
        origins.failed(0, Tick::from_ms(0), None);
        assert_eq!((picked(&origins, 4_999), picked(&origins, 5_000)), (1, 0));
        origins.failed(0, Tick::from_ms(5_000), None);
        assert_eq!((picked(&origins, 14_999), picked(&origins, 15_000)), (1, 0), "twice as long");
        origins.answered(0);
        for _ in 0..2 {
            origins.failed(0, Tick::from_ms(15_000), None);
        }
        assert_eq!(picked(&origins, 15_000), 0, "its failures were counted on");
    }

    #[test]
    fn a_probe_tells_before_requests_do() {
        let origins = origins();
        origins.probed(0, false);
        assert_eq!(picked(&origins, 0), 0);
        origins.probed(0, false);
        assert_eq!(picked(&origins, 0), 1);
        origins.probed(0, true);
        assert_eq!(picked(&origins, 0), 0);
        for _ in 0..3 {
            origins.failed(0, Tick::from_ms(0), None);
        }
        assert_eq!(picked(&origins, 1), 1);
        origins.probed(0, true);
        assert_eq!(picked(&origins, 1), 1, "one whose probes pass and whose requests fail still rests");
    }

    #[test]
    fn one_url_that_keeps_failing_is_no_failing_origin() {
        let origins = origins();
        for _ in 0..9 {
            origins.failed(0, Tick::from_ms(0), Some("/bad"));
        }
        assert_eq!(picked(&origins, 0), 0);
        for target in ["/a", "/b"] {
            origins.failed(0, Tick::from_ms(0), Some(target));
        }
        assert_eq!(picked(&origins, 0), 1);
    }

    #[test]
    fn where_all_are_left_alone_the_first_is_asked() {
        let origins = origins();
        for at in [0, 1] {
            (0..3).for_each(|_| origins.failed(at, Tick::from_ms(0), None));
        }
        assert_eq!(picked(&origins, 1), 0);
    }
}
