//! Metrics for a monitoring system: the text that is scraped, and the catalogue of what is in it.
//!
//! Both are made of one table (`table.rs`). It guarantees that the number of series depends on the declaration, the command table and
//! the code's routes alone, and that reading them asks nothing of a source.

mod alarms;
mod clients;
mod jobs;
mod limits;
mod protection;
mod table;
mod text;
mod view;

use std::fmt::Write as _;

use self::table::{METRICS, Reading};
use self::text::Family;
pub(crate) use self::text::Form;
use self::view::NamespaceView;
pub(crate) use self::view::View;

/// The text of all metrics.
pub(crate) fn told(view: &View, form: Form) -> String {
    let mut text = String::new();
    for metric in METRICS {
        let name = (metric.name, metric.kind);
        let mut family = Family::begin(&mut text, form, name, metric.labels, metric.meaning);
        match metric.read {
            Reading::View(read) => read(view, &mut family),
            Reading::Counts(counts) => {
                for namespace in &view.namespaces {
                    count(namespace, counts, &mut family);
                }
            }
        }
    }
    if form == Form::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn count(namespace: &NamespaceView, counts: &[(&'static str, &'static str)], family: &mut Family<'_>) {
    for (label, name) in counts {
        if let Some(found) = namespace.counts.each().find(|count| count.name == *name) {
            let labels = [&*namespace.keyspace, &namespace.name, label];
            family.sample(&labels, text::Number::Whole(found.count));
        }
    }
}

/// The text of the page `docs/metrics.md`.
#[must_use]
pub fn catalogue() -> String {
    let mut page = String::from(
        "\
# Metrics: catalogue

What `GET /metrics` tells, made from the table that it is told by. [features/observe.md](features/observe.md#metrics) says how to use it.

Labels are names of the declaration, words of closed sets, commands of the command table and routes of the code, so that the number of
series does not depend on keys or clients. Counters begin at the start of the process; those of a namespace are told from its first
scrape on, also where they are zero. Seconds are decimal fractions. A bound of a distribution in seconds is a power of two of
milliseconds or microseconds, and exact.

| metric | type | labels | what it tells |
|---|---|---|---|
",
    );
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, meaning) = (metric.name, metric.kind.as_str(), metric.meaning);
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {meaning} |", labels.join(", "));
    }
    page
}
