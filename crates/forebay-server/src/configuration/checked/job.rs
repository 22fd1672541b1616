//! `[job.NAME]`: when it runs, and the one thing that it does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::fault::JobFault;
use super::super::raw::{Table, Value, nearest};
use super::super::report::Findings;
use super::super::secrets::Text;
use super::source::database_name;
use super::{Context, Mode, Namespace, required};
use crate::jobs::schedule::{Schedule, ScheduleFault, UTC};

/// The longest that a run takes where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// When it is due.
    pub schedule: Schedule,
    /// What becomes of runs that were missed. Default: skipped.
    pub missed: Missed,
    /// A run begins later than it is due by a time up to this. Default: zero.
    pub jitter: Duration,
    /// A run that takes longer is given up. Default: five minutes.
    pub timeout: Duration,
    /// What it does.
    pub work: Work,
}

/// What becomes of runs that were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// They are skipped.
    Skip,
    /// One run makes up for all.
    Once,
    /// Each is made up, one after the other.
    All,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Loads what `warm` of a namespace says.
    Warm {
        /// The namespace.
        namespace: String,
    },
    /// Drops what is held.
    Invalidate(Dropped),
    /// Carries out a statement.
    Sql {
        /// The name of the database.
        database: String,
        /// The statement.
        statement: Text,
    },
    /// Calls a function of the app.
    Run {
        /// Its name.
        function: String,
    },
}

/// What a job drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Whatever bears a tag.
    Tag(String),
    /// Keys of a namespace.
    Prefix {
        /// The namespace.
        namespace: String,
        /// What they begin with; all of them where it is empty.
        prefix: String,
    },
}

impl Missed {
    /// The word for it in a declaration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

impl Work {
    /// What it is, in the words of the declaration. A statement is not told, as it may hold a secret.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Warm { namespace } => format!("warm {namespace}"),
            Self::Invalidate(Dropped::Tag(tag)) => format!("invalidate tag {tag}"),
            Self::Invalidate(Dropped::Prefix { namespace, prefix }) if prefix.is_empty() => {
                format!("invalidate {namespace}")
            }
            Self::Invalidate(Dropped::Prefix { namespace, prefix }) => {
                format!("invalidate {namespace} {prefix}*")
            }
            Self::Sql { database, .. } => format!("sql {database}"),
            Self::Run { function } => format!("run {function}"),
        }
    }
}

/// The options of which a job has one.
const WORK: [&str; 4] = ["warm", "invalidate", "sql", "run"];

pub(super) fn job(
    table: &Table,
    context: &Context,
    namespaces: &BTreeMap<String, Option<Namespace>>,
    findings: &mut Findings,
) -> Option<Job> {
    let schedule = schedule(table, findings);
    let given: Vec<&'static str> = WORK.into_iter().filter(|option| table.has(option)).collect();
    match given.as_slice() {
        [] => findings.add(table.name_span.clone(), JobFault::NothingToDo),
        [one, other, ..] => {
            let fault = JobFault::TwoThings { one, other };
            findings.add_with(table.key_span(other), fault, table.key_span(one), "the first");
        }
        [_] => {}
    }
    let known = Known { namespaces, context };
    let works: Vec<Option<Work>> =
        given.into_iter().map(|option| known.work(option, table, findings)).collect();
    Some(Job {
        schedule: schedule?,
        missed: match table.choice("missed") {
            Some("once") => Missed::Once,
            Some("all") => Missed::All,
            _ => Missed::Skip,
        },
        jitter: table.duration("jitter").unwrap_or_default(),
        timeout: table.duration("timeout").unwrap_or(TIMEOUT),
        work: works.into_iter().next()??,
    })
}

fn schedule(table: &Table, findings: &mut Findings) -> Option<Schedule> {
    required(table, "schedule", "write `schedule = \"0 30 9 * * mon-fri\"`", findings)?;
    let entry = table.get("schedule")?;
    let zone = match table.get("zone") {
        Some(entry) => entry.text()?.expose(),
        None => UTC,
    };
    match Schedule::parse(entry.text()?.expose(), zone) {
        Ok(schedule) => Some(schedule),
        Err(ScheduleFault::Zone) => {
            let mend = match Schedule::zone_like(zone) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write its IANA name, like \"Europe/Paris\" or \"UTC\"".into(),
            };
            findings.add(table.span("zone"), JobFault::UnknownZone { name: zone.into(), mend });
            None
        }
        Err(ScheduleFault::Pattern { within, fault }) => {
            findings.add(entry.part(within), fault);
            None
        }
    }
}

/// What the work of a job may name.
struct Known<'k> {
    namespaces: &'k BTreeMap<String, Option<Namespace>>,
    context: &'k Context,
}

impl Known<'_> {
    fn work(&self, option: &'static str, table: &Table, findings: &mut Findings) -> Option<Work> {
        match option {
            "warm" => {
                let (name, namespace) = self.namespace(option, table, findings)?;
                if namespace.is_some_and(|namespace| namespace.warm.is_none()) {
                    findings.add(table.span(option), JobFault::NotWarm { name: name.clone() });
                }
                Some(Work::Warm { namespace: name })
            }
            "invalidate" => match &table.get(option)?.value {
                Value::Table(table) => self.dropped(table, findings).map(Work::Invalidate),
                _ => {
                    let namespace = self.cache(option, table, findings)?;
                    Some(Work::Invalidate(Dropped::Prefix { namespace, prefix: String::new() }))
                }
            },
            "sql" => {
                let table = table.table(option)?;
                let database = database_name(table, self.context, findings);
                required(table, "statement", "write `statement = \"delete from …\"`", findings);
                Some(Work::Sql { database: database?, statement: table.text("statement")?.clone() })
            }
            _ => Some(Work::Run { function: table.text("run")?.expose().to_owned() }),
        }
    }

    fn dropped(&self, table: &Table, findings: &mut Findings) -> Option<Dropped> {
        let text = |name| table.text(name).map(|text| text.expose().to_owned());
        match (table.has("tag"), table.has("namespace"), table.has("prefix")) {
            (true, false, false) => Some(Dropped::Tag(text("tag")?)),
            (false, true, _) => {
                let namespace = self.cache("namespace", table, findings)?;
                Some(Dropped::Prefix { namespace, prefix: text("prefix").unwrap_or_default() })
            }
            (is_tagged, is_named, has_prefix) => {
                let (fault, at) = match (is_tagged, is_named, has_prefix) {
                    (true, true, _) => (JobFault::TagAndNamespace, "namespace"),
                    (.., true) => (JobFault::PrefixOfNothing, "prefix"),
                    _ => (JobFault::NothingDropped, ""),
                };
                let span = if at.is_empty() { table.name_span.clone() } else { table.key_span(at) };
                findings.add(span, fault);
                None
            }
        }
    }

    /// The name of a namespace of which copies are held.
    fn cache(&self, option: &'static str, table: &Table, findings: &mut Findings) -> Option<String> {
        let (name, namespace) = self.namespace(option, table, findings)?;
        if namespace.is_some_and(|namespace| namespace.mode == Mode::Store) {
            findings.add(table.span(option), JobFault::Store { name: name.clone() });
        }
        Some(name)
    }

    /// A declared namespace; itself where it is right.
    fn namespace(
        &self,
        option: &'static str,
        table: &Table,
        findings: &mut Findings,
    ) -> Option<(String, Option<&Namespace>)> {
        let name = table.text(option)?.expose();
        let Some(namespace) = self.namespaces.get(name) else {
            let mut names = self.namespaces.keys().map(String::as_str);
            let mend = match nearest(name, names.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.next().is_none() => "no namespace is declared here".into(),
                None => {
                    format!("declared are {}", self.namespaces.keys().cloned().collect::<Vec<_>>().join(", "))
                }
            };
            findings.add(table.span(option), JobFault::UnknownNamespace { name: name.into(), mend });
            return None;
        };
        Some((name.to_owned(), namespace.as_ref()))
    }
}
