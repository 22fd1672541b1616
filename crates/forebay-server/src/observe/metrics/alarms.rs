//! What is told of alarms, and what apps count.

use super::table::{Metric, metric};
use super::text::Kind::{Counter, Gauge};
use super::text::Number;

pub(super) const RAISED: Metric = metric(
    "forebay_alarm",
    Gauge,
    &["keyspace", "alarm"],
    "1 while an alarm is raised, else 0: those of the declaration, and those of apps once they were raised",
    |view, family| {
        for ((keyspace, name), is_raised) in &view.alarms {
            family.sample(&[keyspace, name], Number::Whole(u64::from(*is_raised)));
        }
    },
);

pub(super) const EVENTS: Metric = metric(
    "forebay_app_events_total",
    Counter,
    &["keyspace", "app", "event"],
    "What apps count, by the words of their code",
    |view, family| {
        for (event, count) in &view.events {
            family.sample(&[&event.keyspace, event.app, event.name], Number::Whole(*count));
        }
    },
);
