//! What is told of quotas, where namespaces have them.

use super::table::{Metric, NAMESPACE, metric};
use super::text::Family;
use super::text::Kind::{Counter, Gauge};
use super::text::Number;
use super::view::{QuotaView, View};

const USE: &[&str] = &["keyspace", "namespace", "use"];

/// What is told of the reads and of the writes of each quota.
fn each(view: &View, family: &mut Family<'_>, read: impl Fn(&QuotaView) -> [Option<u64>; 2]) {
    for quota in &view.quotas {
        for (word, number) in ["read", "write"].into_iter().zip(read(quota)) {
            if let Some(number) = number {
                family.sample(&[&quota.keyspace, &quota.namespace, word], Number::Whole(number));
            }
        }
    }
}

pub(super) const LIMIT: Metric = metric(
    "forebay_namespace_quota_keys",
    Gauge,
    USE,
    "Keys that may be read and written in a day, where there is a limit",
    |view, family| each(view, family, |one| [one.quota.reads, one.quota.writes]),
);

pub(super) const USED: Metric = metric(
    "forebay_namespace_quota_used_keys",
    Gauge,
    USE,
    "Keys of a namespace with a quota that were read and written today, in UTC, since the process began",
    |view, family| each(view, family, |one| [Some(one.used.reads), Some(one.used.writes)]),
);

pub(super) const REFUSED: Metric = metric(
    "forebay_namespace_quota_refusals_total",
    Counter,
    NAMESPACE,
    "Keys that were asked for beyond the quota of a day",
    |view, family| {
        for quota in &view.quotas {
            family.sample(&[&quota.keyspace, &quota.namespace], Number::Whole(quota.used.refused));
        }
    },
);
