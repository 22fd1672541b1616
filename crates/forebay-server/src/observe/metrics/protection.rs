//! What is told of membership filters, where namespaces have them.

use forebay::Membership;

use super::table::{Metric, NAMESPACE, metric};
use super::text::Family;
use super::text::Kind::{Counter, Gauge};
use super::text::Number;
use super::view::View;

/// What one number of each filter is.
fn each(view: &View, family: &mut Family<'_>, read: impl Fn(&Membership) -> u64) {
    for namespace in &view.namespaces {
        if let Some(membership) = &namespace.membership {
            family.sample(&[&namespace.keyspace, &namespace.name], Number::Whole(read(membership)));
        }
    }
}

pub(super) const READY: Metric = metric(
    "forebay_protection_membership_ready",
    Gauge,
    NAMESPACE,
    "1 while the membership filter denies what it does not hold, 0 while every key may exist",
    |view, family| each(view, family, |membership| u64::from(membership.is_ready)),
);

pub(super) const KEYS: Metric = metric(
    "forebay_protection_membership_keys",
    Gauge,
    NAMESPACE,
    "Keys that the membership filter holds, up to its rate of false answers",
    |view, family| each(view, family, |membership| membership.keys),
);

pub(super) const BYTES: Metric = metric(
    "forebay_protection_membership_bytes",
    Gauge,
    NAMESPACE,
    "The memory that the membership filter takes",
    |view, family| each(view, family, |membership| membership.bytes),
);

pub(super) const FULL: Metric = metric(
    "forebay_protection_membership_full",
    Gauge,
    NAMESPACE,
    "1 where the membership filter holds more keys than it can at its rate of false answers",
    |view, family| each(view, family, |membership| u64::from(membership.is_over_full)),
);

pub(super) const BUILDS: Metric = metric(
    "forebay_protection_membership_builds_total",
    Counter,
    NAMESPACE,
    "How often the membership filter was built of a whole listing",
    |view, family| each(view, family, |membership| membership.builds),
);
