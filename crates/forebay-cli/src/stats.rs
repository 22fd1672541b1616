//! `forebay stats`: what a running server has counted, from its metrics; `--watch` goes on telling it once a second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use forebay::rt::Clock;
use serde_json::{Map, Value, json};

use crate::arguments::Stats;
use crate::http::Http;
use crate::{Failure, printed, runtime};

/// How long is waited before it is told again.
const AGAIN: Duration = Duration::from_secs(1);
/// What a terminal is sent to begin again at its upper left, on nothing.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The counts of a namespace: how they are called here, and the metrics that have them.
const COUNTS: [(&str, &str); 6] = [
    ("hits", "forebay_read_hits_total"),
    ("shared_hits", "forebay_read_shared_hits_total"),
    ("misses", "forebay_read_misses_total"),
    ("stale", "forebay_read_stale_total"),
    ("errors", "forebay_read_errors_total"),
    ("loads", "forebay_loader_loads_total"),
];
/// How many of these, from the first, are ways in which a read ends.
const READS: usize = 5;

/// What is told of the process as a whole, likewise; what has labels is summed up.
const WHOLE: [(&str, &str); 5] = [
    ("memory_bytes", "forebay_tier_memory_bytes"),
    ("memory_budget_bytes", "forebay_tier_memory_budget_bytes"),
    ("entries", "forebay_tier_memory_entries"),
    ("resp_connections", "forebay_resp_connections_open"),
    ("commands", "forebay_resp_commands_total"),
];

/// What was counted by one moment.
#[derive(Debug, Default)]
struct Counted {
    whole: [u64; WHOLE.len()],
    /// By keyspace and namespace.
    namespaces: BTreeMap<(String, String), [u64; COUNTS.len()]>,
}

/// Tells it once, or until nobody reads it any more.
pub(crate) fn stats(asked: &Stats) -> Result<(), Failure> {
    let http =
        Http { address: asked.http.as_ref(), ca: asked.tls.ca.as_deref(), token: asked.token.as_deref() };
    let runtime = runtime()?;
    let mut before = None;
    loop {
        let counted = Counted::read(&http.ask("GET", "/metrics", "")?);
        let mut text = if asked.json { counted.object() } else { counted.table(before.as_ref()) };
        if asked.watch && !asked.json && std::io::stdout().is_terminal() {
            text.insert_str(0, CLEAR);
        }
        let mut out = std::io::stdout().lock();
        let is_read = printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
        drop(out);
        if !asked.watch || !is_read {
            return Ok(());
        }
        before = Some(counted);
        runtime.block_on(Clock::system().sleep(AGAIN));
    }
}

impl Counted {
    /// What the text of the metrics tells.
    fn read(metrics: &str) -> Self {
        let mut counted = Self::default();
        for (name, labels, number) in metrics.lines().filter_map(sample) {
            for (sum, (_, metric)) in counted.whole.iter_mut().zip(&WHOLE) {
                *sum = sum.saturating_add(if *metric == name { number } else { 0 });
            }
            let Some(at) = COUNTS.iter().position(|(_, metric)| *metric == name) else { continue };
            if let (Some(keyspace), Some(namespace)) = (label(labels, "keyspace"), label(labels, "namespace"))
            {
                let counts = counted.namespaces.entry((keyspace, namespace)).or_default();
                if let Some(sum) = counts.get_mut(at) {
                    *sum = sum.saturating_add(number);
                }
            }
        }
        counted
    }

    fn object(&self) -> String {
        let whole =
            WHOLE.iter().zip(self.whole).map(|((name, _), number)| ((*name).to_owned(), json!(number)));
        let mut object: Map<String, Value> = whole.collect();
        let namespaces = self.namespaces.iter().map(|((keyspace, namespace), counts)| {
            let mut object = Map::new();
            object.insert("keyspace".into(), json!(keyspace));
            object.insert("namespace".into(), json!(namespace));
            object.extend(
                COUNTS.iter().zip(counts).map(|((name, _), number)| ((*name).to_owned(), json!(number))),
            );
            Value::Object(object)
        });
        object.insert("namespaces".into(), namespaces.collect());
        format!("{}\n", Value::Object(object))
    }

    /// A table for people. With what was counted a second `before`, also how many reads there were since.
    fn table(&self, before: Option<&Self>) -> String {
        let [bytes, budget, entries, connections, commands] = self.whole;
        let mib = |bytes: u64| format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
        let mut text = format!(
            "memory {} of {}, {entries} entries; RESP {connections} connections, {commands} commands\n\n",
            mib(bytes),
            mib(budget)
        );
        let mut rows = vec![
            ["namespace", "hits", "shared", "misses", "stale", "errors", "loads", "hit %", "reads/s"]
                .map(ToOwned::to_owned),
        ];
        for (name, counts) in &self.namespaces {
            let [hits, shared, misses, stale, errors, loads] = *counts;
            let share = hits.saturating_mul(100).checked_div(reads(counts));
            let since = before.map(|before| {
                reads(counts).saturating_sub(before.namespaces.get(name).map_or(0, reads)).to_string()
            });
            let numbers = [hits, shared, misses, stale, errors, loads].map(|number| number.to_string());
            let [hits, shared, misses, stale, errors, loads] = numbers;
            let share = share.map_or_else(|| "-".into(), |share| share.to_string());
            let since = since.unwrap_or_else(|| "-".into());
            let name = format!("{}/{}", name.0, name.1);
            rows.push([name, hits, shared, misses, stale, errors, loads, share, since]);
        }
        let width = rows.iter().map(|[name, ..]| name.len()).max().unwrap_or_default();
        for [name, numbers @ ..] in &rows {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name:width$}");
            for number in numbers {
                let _ = write!(text, " {number:>10}");
            }
            text.push('\n');
        }
        text
    }
}

/// How many reads there were, however they ended.
fn reads(counts: &[u64; COUNTS.len()]) -> u64 {
    counts.iter().take(READS).fold(0, |sum, count| sum.saturating_add(*count))
}

/// The name, the labels and the number of one line; nothing of a comment, or of a number that is no count.
fn sample(line: &str) -> Option<(&str, &str, u64)> {
    let (series, number) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some((name, labels, number.parse().ok()?))
}

/// The value of a label; names of declarations need no escapes.
fn label(labels: &str, name: &str) -> Option<String> {
    let (_, rest) = labels.split_once(&format!("{name}=\""))?;
    rest.split('"').next().map(ToOwned::to_owned)
}
