//! `[alarm.NAME]`: what it watches.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::fault::AlarmFault;
use super::super::raw::{Table, nearest};
use super::super::report::Findings;
use super::Namespace;
use crate::observe::TROUBLES;

/// How far back reads are looked at where nothing is said.
const WINDOW: Duration = Duration::from_secs(60);
/// How many reads are enough to tell where nothing is said.
const REQUESTS_MIN: u64 = 100;

/// An alarm. It is raised where its bounds are left, or one of its troubles is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The bounds of a namespace.
    pub bounds: Option<Bounds>,
    /// The words by which `/health/ready` tells them.
    pub troubles: Vec<&'static str>,
    /// How far back reads are looked at, and for how long all must be well before it is over. Default: a minute.
    pub window: Duration,
    /// Whether the process is out of service while it is raised. Default: no.
    pub unready: bool,
}

/// Within what the reads of a namespace are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The namespace.
    pub namespace: String,
    /// The least share of reads that do not wait for the source, in percent.
    pub hit_rate_min: Option<u8>,
    /// The longest that 99 of 100 reads take.
    pub latency_max: Option<Duration>,
    /// How many reads are enough to tell. Default: 100.
    pub requests_min: u64,
}

/// The options that are bounds of a namespace.
const BOUNDS: [&str; 2] = ["hit_rate_min", "latency_max"];

pub(super) fn alarm(
    table: &Table,
    namespaces: &BTreeMap<String, Option<Namespace>>,
    findings: &mut Findings,
) -> Option<Alarm> {
    let troubles = troubles(table, findings);
    let given = BOUNDS.into_iter().find(|option| table.has(option));
    let bounds = match (table.has("namespace"), given) {
        (true, Some(_)) => Some(bounds(table, namespaces, findings)?),
        (true, None) => {
            findings.add(table.span("namespace"), AlarmFault::NoBounds);
            return None;
        }
        (false, Some(option)) => {
            findings.add(table.key_span(option), AlarmFault::BoundsOfNothing { option });
            return None;
        }
        (false, None) if !table.has("troubles") => {
            findings.add(table.name_span.clone(), AlarmFault::NothingWatched);
            return None;
        }
        (false, None) => None,
    };
    Some(Alarm {
        bounds,
        troubles: troubles?,
        window: table.duration("window").unwrap_or(WINDOW),
        unready: table.flag("unready").unwrap_or_default(),
    })
}

fn bounds(
    table: &Table,
    namespaces: &BTreeMap<String, Option<Namespace>>,
    findings: &mut Findings,
) -> Option<Bounds> {
    let name = table.text("namespace")?.expose();
    let Some(namespace) = namespaces.get(name) else {
        let mend = match nearest(name, namespaces.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name a `[namespace.NAME]` of this declaration".into(),
        };
        findings.add(table.span("namespace"), AlarmFault::UnknownNamespace { name: name.into(), mend });
        return None;
    };
    if namespace.as_ref().is_some_and(|namespace| namespace.source.is_none()) {
        let fault = AlarmFault::NoSource { name: name.into() };
        findings.add(table.span("namespace"), fault);
        return None;
    }
    Some(Bounds {
        namespace: name.to_owned(),
        hit_rate_min: table.percent("hit_rate_min"),
        latency_max: table.duration("latency_max"),
        requests_min: table.integer("requests_min").unwrap_or(REQUESTS_MIN),
    })
}

fn troubles(table: &Table, findings: &mut Findings) -> Option<Vec<&'static str>> {
    let mut known = Some(Vec::new());
    for entry in table.texts("troubles") {
        let Some(word) = entry.text().map(|text| text.expose()) else { continue };
        match TROUBLES.iter().find(|trouble| **trouble == word) {
            Some(trouble) => known.iter_mut().for_each(|known| known.push(*trouble)),
            None => {
                let mend = match nearest(word, TROUBLES.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("they are {}", TROUBLES.join(", ")),
                };
                let fault = AlarmFault::UnknownTrouble { word: word.into(), mend };
                findings.add(entry.span.clone(), fault);
                known = None;
            }
        }
    }
    known
}
