//! Whether what is declared can work with its databases: every query and statement is prepared against its own.
//!
//! A start refuses what does not pass, and `forebay check --connect` tells it without starting: all that is wrong at once, each with its
//! place in the declaration. Origins of requests are not asked, since they may come up later.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use forebay_stores::database::{Address, Database, DatabaseError, DatabaseOptions, Url};
use forebay_stores::sink::sql::OpenError;
use forebay_stores::source::sql::SqlError;

use crate::configuration::raw::{Entry, Table};
use crate::configuration::{
    self, Declaration, Deployment, Error, Fault, Job, Keyspace, Namespace, Report, Work,
};
use crate::sinks::{self, SinkFault};
use crate::sources::{self, SourceFault};
use crate::time::Clocks;

/// What a database says against what is declared.
#[derive(Debug, thiserror::Error)]
#[error("{subject} of keyspace `{keyspace}`: {told}")]
struct Unfit {
    keyspace: String,
    /// The namespace, the job or the database.
    subject: String,
    told: String,
    mend: &'static str,
}

impl Fault for Unfit {
    fn label(&self) -> String {
        "cannot work".into()
    }

    fn mend(&self) -> String {
        self.mend.into()
    }
}

const CORRECT: &str = "correct it here, or change the schema of the database first";
const REACH: &str = "correct the url, or see that the database runs and lets us in";

/// Prepares everything that `deployment` declares against its databases. It changes nothing in them and makes nothing.
///
/// # Errors
/// With everything that cannot work.
pub async fn check(deployment: &Deployment) -> Result<(), Report> {
    let mut errors = Vec::new();
    for keyspace in &deployment.keyspaces {
        let Some(declaration) = deployment.declaration_of(keyspace) else { continue };
        let mut databases = BTreeMap::new();
        for (name, declared) in &keyspace.databases {
            match looked_at(declared).await {
                Ok(database) => {
                    databases.insert(name.clone(), database);
                }
                Err(error) => errors.push(unreachable(declaration, keyspace, name, &error)),
            }
        }
        errors.extend(faults(declaration, keyspace, &databases).await);
    }
    Report::of(errors).map_or(Ok(()), Err)
}

/// The database, open to be read.
async fn looked_at(declared: &configuration::Database) -> Result<Database, DatabaseError> {
    Database::open_to_read(&DatabaseOptions { pool_warm: 0, ..options(declared, false)? }).await
}

/// How a declared database is opened; `create` makes a SQLite file that is missing.
pub(crate) fn options(
    declared: &configuration::Database,
    create: bool,
) -> Result<DatabaseOptions, DatabaseError> {
    let address = match declared.url.sqlite_path() {
        Some(path) => Address::Sqlite(path.into()),
        // MySQL is refused as not served before anything is opened.
        None => Address::Postgres(parsed(&declared.url)?),
    };
    Ok(DatabaseOptions {
        address,
        pool_max: declared.pool.max,
        pool_warm: declared.pool.warm,
        pool_wait: declared.pool.wait,
        pool_max_lifetime: declared.pool.max_lifetime,
        pool_ping_after_idle: declared.pool.ping_after_idle,
        statement_timeout: declared.statement_timeout,
        replicas: declared.replicas.iter().map(parsed).collect::<Result<_, _>>()?,
        create,
    })
}

fn parsed(url: &configuration::DatabaseUrl) -> Result<Url, DatabaseError> {
    url.text.expose().parse().map_err(DatabaseError::Driver)
}

/// What of `keyspace` cannot work with `databases`; one that is not among them is passed over.
pub(crate) async fn faults(
    declaration: &Declaration,
    keyspace: &Keyspace,
    databases: &BTreeMap<String, Database>,
) -> Vec<Error> {
    let mut errors = Vec::new();
    for (name, table) in declaration.raw.tables("namespace") {
        let Some(namespace) = keyspace.namespaces.get(name) else { continue };
        let told = |(span, told, mend): (Range<usize>, String, &'static str)| {
            let subject = format!("namespace `{name}`");
            let fault = Unfit { keyspace: keyspace.name.clone(), subject, told, mend };
            Error::new(&declaration.source, span, &fault)
        };
        if let Some(fault) = source_fault(table, namespace, databases).await {
            errors.push(told(fault));
        }
        if let Some(fault) = sink_fault(table, namespace, databases).await {
            errors.push(told(fault));
        }
    }
    for (name, table) in declaration.raw.tables("job") {
        let Some(declared) = keyspace.jobs.get(name) else { continue };
        if let Some((span, told, mend)) = job_fault(table, declared, databases).await {
            let subject = format!("job `{name}`");
            let fault = Unfit { keyspace: keyspace.name.clone(), subject, told, mend };
            errors.push(Error::new(&declaration.source, span, &fault));
        }
    }
    errors
}

async fn job_fault(table: &Table, job: &Job, databases: &BTreeMap<String, Database>) -> Option<Found> {
    let Work::Sql { database, statement } = &job.work else { return None };
    // A database that is not there has been told.
    let error = databases.get(database)?.takes(statement.expose()).await.err()?;
    let message = match &error {
        DatabaseError::Driver(cause) => cause.as_database_error().map(|told| told.message()),
        _ => None,
    };
    Some(refused(table.table("sql")?.get("statement")?, message, error.to_string()))
}

/// A place, what is wrong there, and the mend.
type Found = (Range<usize>, String, &'static str);

async fn source_fault(
    table: &Table,
    namespace: &Namespace,
    databases: &BTreeMap<String, Database>,
) -> Option<Found> {
    let declared = namespace.source.as_ref()?.sql.as_ref()?;
    let sql = table.table("source")?.table("sql")?;
    match sources::sql(declared, namespace, databases, &Clocks::default()).await {
        Err(SourceFault::Query(error)) => Some(of_query(&error, table, sql, "query")),
        // A database that is not there has been told.
        Ok(_) | Err(SourceFault::NoDatabase { .. } | SourceFault::Request(_)) => None,
    }
}

/// Where the fault of a query is, and what it is; `option` is the query.
fn of_query(error: &SqlError, namespace: &Table, sql: &Table, option: &'static str) -> Found {
    let place = match error {
        SqlError::Fields(error) => return of_query(error, namespace, sql, "fields"),
        SqlError::List(error) => return of_query(error, namespace, sql, "list"),
        SqlError::Preferred(error) => return of_preferred(error, namespace),
        SqlError::Database(cause) => {
            let Some(entry) = sql.get(option) else {
                return (sql.name_span.clone(), cause.to_string(), REACH);
            };
            return refused(entry, cause.as_database_error().map(|told| told.message()), cause.to_string());
        }
        SqlError::DecimalColumn { column } => {
            sql.map("decimals").find(|(name, _)| *name == column).map(|(_, entry)| entry.key.clone())
        }
        SqlError::VersionColumn { .. } | SqlError::VersionType { .. } => Some(namespace.span("version")),
        SqlError::FreshUntilColumn { .. } | SqlError::FreshUntilType { .. } => {
            Some(namespace.span("fresh_until"))
        }
        SqlError::TagColumn { tag, .. } => {
            let is_it = |entry: &&Entry| entry.text().is_some_and(|text| text.expose() == tag);
            namespace.texts("tags").iter().find(is_it).map(|entry| entry.span.clone())
        }
        SqlError::ShapeColumn { option: "field", .. } => Some(namespace.span("field")),
        SqlError::ShapeColumn { option, .. } => Some(sql.span(option)),
        _ => None,
    };
    (place.unwrap_or_else(|| sql.span(option)), error.to_string(), CORRECT)
}

/// The same of the query of what is to be warm.
fn of_preferred(error: &SqlError, namespace: &Table) -> Found {
    let query = namespace.map("warm").find(|(_, entry)| entry.text().is_some()).map(|(_, entry)| entry);
    match (query, error) {
        (Some(entry), SqlError::Database(cause)) => {
            refused(entry, cause.as_database_error().map(|told| told.message()), cause.to_string())
        }
        (Some(entry), error) => (entry.span.clone(), error.to_string(), CORRECT),
        (None, error) => (namespace.span("warm"), error.to_string(), CORRECT),
    }
}

async fn sink_fault(
    table: &Table,
    namespace: &Namespace,
    databases: &BTreeMap<String, Database>,
) -> Option<Found> {
    let sql = table.table("sink")?.table("sql")?;
    let Some(configuration::Sink::Sql(declared)) = &namespace.sink else { return None };
    let fault = sinks::statements(declared, namespace, databases).await.err()?;
    let SinkFault::Statements(error) = fault else { return None };
    match &error {
        OpenError::Statement { statement, cause } => {
            let message = cause.as_database_error().map(|told| told.message());
            Some(refused(sql.get(statement)?, message, cause.to_string()))
        }
        // The statements have been prepared; a start makes the table, or tells why it cannot.
        OpenError::NoTable { .. } | OpenError::Table(_) => None,
        OpenError::Form | OpenError::KeyColumn { .. } | OpenError::Database(_) => {
            Some((sql.span("write"), error.to_string(), CORRECT))
        }
    }
}

/// What is told of the query in `entry`, by the database or on the way to it: at the name that is complained of, where that can be found.
fn refused(entry: &Entry, by_database: Option<&str>, told: String) -> Found {
    let Some(message) = by_database else { return (entry.span.clone(), told, REACH) };
    match entry.text() {
        // What is said of a secret would show parts of it.
        Some(text) if text.is_secret() => (entry.span.clone(), "the database refuses it".into(), CORRECT),
        text => {
            let place = text.and_then(|text| place_of(message, text.expose()));
            (place.map_or_else(|| entry.span.clone(), |at| entry.part(at)), message.into(), CORRECT)
        }
    }
}

/// Where in `query` the name stands that `message` complains of: one in quotes, or one behind a colon.
fn place_of(message: &str, query: &str) -> Option<Range<usize>> {
    let quoted = message.split('"').nth(1);
    let name = quoted.or_else(|| message.rsplit_once(": ").map(|(_, name)| name))?;
    let name = name.rsplit('.').next().filter(|name| !name.is_empty())?;
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = query.as_bytes();
    let is_whole = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        !is_part(before) && !is_part(bytes.get(at + name.len()))
    };
    let start = query.match_indices(name).map(|(at, _)| at).find(is_whole)?;
    Some(start..start + name.len())
}

fn unreachable(declaration: &Declaration, keyspace: &Keyspace, name: &str, error: &DatabaseError) -> Error {
    let of_environment = keyspace.environment.as_ref().and_then(|environment| {
        let mut environments = declaration.raw.tables("environment");
        environments.find(|(known, _)| *known == environment).map(|(_, table)| table)
    });
    let table = of_environment.unwrap_or(&declaration.raw);
    let mut databases = table.tables("database");
    let span = databases.find(|(known, _)| *known == name).map(|(_, table)| table.span("url"));
    let fault = Unfit {
        keyspace: keyspace.name.clone(),
        subject: format!("database `{name}`"),
        told: error.to_string(),
        mend: REACH,
    };
    Error::new(&Arc::clone(&declaration.source), span.unwrap_or(0..0), &fault)
}

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn the_name_that_is_complained_of_is_found() {
        let query = "select code, c.nope, \"od d\" from nowhere c where code in {keys}";
        for (message, found) in [
            ("no such table: nowhere", Some("nowhere")),
            ("no such column: c.nope", Some("nope")),
            ("column c.\"od d\" does not exist", Some("od d")),
            ("relation \"nowhere\" does not exist", Some("nowhere")),
            ("near \"ode\": syntax error", None),
            ("near \"\": syntax error", None),
            ("too few columns", None),
        ] {
            assert_eq!(place_of(message, query).map(|at| query.get(at).unwrap()), found, "{message}");
        }
    }
}
