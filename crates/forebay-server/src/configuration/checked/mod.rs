//! The checked form of a declaration: every option present with its type and its default, and every rule between options
//! kept.
//!
//! The rules are run on what was given, so that an error in one option does not hide the next; the form itself is only
//! handed out when nothing was wrong.

mod alarm;
mod database;
mod environment;
mod fresh_until;
mod http;
mod job;
mod keys;
mod loader;
mod membership;
mod memory;
mod namespace;
mod rules;
mod server;
mod sink;
mod source;
mod token;
mod warm;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use alarm::{Alarm, Bounds};
pub use database::{Database, DatabaseKind, DatabaseUrl, Pool};
pub use environment::DeclaredEnvironment;
pub use fresh_until::FreshUntil;
pub use http::HttpSource;
pub use job::{Dropped, Job, Missed, Work};
pub use loader::{Breaker, Loader};
pub use membership::Membership;
pub use memory::{Budget, EvictionPolicy, NamespaceMemory};
pub(crate) use memory::{COMMON_BYTES_MIN, OWN_BYTES_MIN};
pub use namespace::{
    DEFAULT_STORE, Durability, Exists, FLUSH_INTERVAL, Kind, Mode, Namespace, Quota, Ttl, Writes,
};
pub use server::{Memory, Server, Shared, Tls};
pub use sink::{HttpSink, Sink, SqlSink};
pub use source::{RowShape, Source, SourceKind, SqlSource};
pub use warm::Warm;

use super::fault::ValueFault;
use super::raw::{self, Settings, Table, Value};
use super::report::{Error, Findings, Report, SourceText};
use super::secrets::Environment;
use crate::access::Token;

/// One declaration, checked: what one application declares.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The file's name as it was given.
    pub file: String,
    /// The keyspace's name.
    pub keyspace: String,
    /// The number by which RESP clients pick the keyspace.
    pub db: u16,
    /// Where the process listens, if this file says so.
    pub server: Option<Server>,
    /// The memory tier, if this file speaks of it.
    pub memory: Option<Memory>,
    /// The shared tier, if there is one.
    pub shared: Option<Shared>,
    /// Databases by name.
    pub databases: BTreeMap<String, Database>,
    /// Namespaces by name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Jobs by name.
    pub jobs: BTreeMap<String, Job>,
    /// Alarms by name.
    pub alarms: BTreeMap<String, Alarm>,
    /// Further keyspaces of the same shape, by name.
    pub environments: BTreeMap<String, DeclaredEnvironment>,
    /// Tokens by name; they are for the whole process.
    pub tokens: BTreeMap<String, Token>,
    /// Settings of apps by name, unchecked.
    pub apps: BTreeMap<String, Settings>,
    pub(crate) raw: Table,
    pub(crate) source: Arc<SourceText>,
}

impl Declaration {
    /// Reads and checks one declaration. It has no effects: `environment` is asked for variables and secret files and
    /// nothing else is touched.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn parse(file_name: &str, text: &str, environment: &dyn Environment) -> Result<Self, Report> {
        let source = Arc::new(SourceText::new(file_name, text));
        let mut findings = Findings::new(&source);
        let checked = raw::read(text, environment, &mut findings).and_then(|raw| check(raw, &mut findings));
        match (Report::of(findings.errors), checked) {
            (None, Some(declaration)) => Ok(declaration),
            (Some(report), _) => Err(report),
            (None, None) => {
                // No form although nothing was found wrong: said rather than passed over.
                let fault = ValueFault::Syntax { message: "the declaration is incomplete".into() };
                Err(Report::from(Error::new(&source, 0..0, &fault)))
            }
        }
    }
}

fn check(raw: Table, findings: &mut Findings) -> Option<Declaration> {
    let keyspace = keyspace(&raw, findings);
    let server = raw.table("server").map(|table| server::server(table, findings));
    let memory = raw.table("memory").map(server::memory);
    let shared = raw.table("shared").map(|table| server::shared(table, findings));
    let databases: BTreeMap<String, Option<Database>> = raw
        .tables("database")
        .map(|(name, table)| (name.clone(), database::database(table, findings)))
        .collect();
    let context = Context {
        databases: raw.map("database").map(|(name, _)| name.clone()).collect(),
        files: environment::files(&raw, &databases),
        shared: matches!(&shared, Some(shared) if shared.as_ref().is_none_or(server::Shared::is_remote)),
        budget_bytes: memory.as_ref().map(|memory| memory.budget_bytes),
    };
    let namespaces: BTreeMap<String, Option<Namespace>> = raw
        .tables("namespace")
        .map(|(name, table)| (name.clone(), namespace::namespace(name, table, &context, findings)))
        .collect();
    keys::overlaps(&raw, findings);
    membership::told(&raw, &databases, &namespaces, findings);
    let jobs: BTreeMap<String, Option<job::Job>> = raw
        .tables("job")
        .map(|(name, table)| (name.clone(), job::job(table, &context, &namespaces, findings)))
        .collect();
    let alarms: BTreeMap<String, Option<Alarm>> = raw
        .tables("alarm")
        .map(|(name, table)| (name.clone(), alarm::alarm(table, &namespaces, findings)))
        .collect();
    let databases = all(databases);
    let declared = databases.as_ref();
    let environments =
        environment::environments(&raw, keyspace.as_deref(), declared, &context.databases, findings);
    let tokens: BTreeMap<String, Option<Token>> =
        raw.tables("token").map(|(name, table)| (name.clone(), token::token(table, findings))).collect();
    let apps = raw.map("app").filter_map(|(name, entry)| match &entry.value {
        Value::Free(settings) => Some((name.clone(), settings.clone())),
        _ => None,
    });
    Some(Declaration {
        file: findings.source.file.clone(),
        keyspace: keyspace?,
        db: number(&raw, "db").unwrap_or(0),
        server: transposed(server)?,
        memory,
        shared: transposed(shared)?,
        namespaces: all(namespaces)?,
        jobs: all(jobs)?,
        alarms: all(alarms)?,
        environments,
        tokens: all(tokens)?,
        apps: apps.collect(),
        databases: databases?,
        raw,
        source: Arc::clone(&findings.source),
    })
}

/// What a namespace must know of the rest of the declaration.
pub(crate) struct Context {
    /// The names of all databases, right or wrong.
    databases: Vec<String>,
    /// Those of them that are SQLite files, in every environment.
    files: Vec<String>,
    shared: bool,
    /// Of `[memory]`, if this file has it.
    budget_bytes: Option<u64>,
}

fn keyspace(raw: &Table, findings: &mut Findings) -> Option<String> {
    let name = required(raw, "keyspace", "write `keyspace = \"NAME\"` as the first line", findings)?;
    checked_name(raw, name, "a keyspace", findings)
}

/// The text of an option that names something.
fn checked_name(table: &Table, option: &str, what: &str, findings: &mut Findings) -> Option<String> {
    let name = table.text(option)?.expose();
    if !raw::is_name(name) {
        findings.add(table.span(option), ValueFault::BadName { what: what.into() });
        return None;
    }
    Some(name.to_owned())
}

/// Reports an option that must be given and was not; gives its name back where it was.
fn required(
    table: &Table,
    name: &'static str,
    mend: &'static str,
    findings: &mut Findings,
) -> Option<&'static str> {
    if table.has(name) {
        return Some(name);
    }
    let place = table.place();
    findings.add(table.name_span.clone(), ValueFault::Missing { name, place, mend });
    None
}

/// A number whose limits, which the table of options has set, let it fit.
fn number<T: TryFrom<u64>>(table: &Table, name: &str) -> Option<T> {
    table.integer(name).and_then(|value| T::try_from(value).ok())
}

/// The map without its holes, if it has none.
fn all<T>(map: BTreeMap<String, Option<T>>) -> Option<BTreeMap<String, T>> {
    map.into_iter().map(|(name, value)| Some((name, value?))).collect()
}

/// Nothing for a value that was given and is wrong.
#[expect(clippy::option_option, reason = "given or not, right or not")]
fn transposed<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
        None => Some(None),
    }
}
