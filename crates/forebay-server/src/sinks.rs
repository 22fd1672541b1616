//! From a declared sink to one that applies writes: statements, or requests.
//!
//! It guarantees that what it gives can apply: statements have been prepared against their database, which has the table of operation ids
//! by which no write takes effect twice; a request is whole. Where requests go is not asked: it may come up later.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay::Sink;
use forebay::rt::Clock;
use forebay_stores::database::Database;
use forebay_stores::sink::http::HttpSink;
use forebay_stores::sink::sql::{self, REMEMBERED, SqlSink, SqlStatements};
use forebay_stores::source::http;
use forebay_stores::source::sql::KeyColumn;

use crate::configuration::{self, Namespace};

/// Why a declared sink cannot apply writes.
#[derive(Debug, thiserror::Error)]
pub enum SinkFault {
    /// Its statements cannot work.
    #[error("its sink cannot work: {0}")]
    Statements(#[from] sql::OpenError),
    /// Its requests cannot be made.
    #[error("its sink's requests cannot be made: {0}")]
    Requests(#[from] http::OpenError),
    /// It names a database that is not open.
    #[error("it writes to the database `{database}`, which is not declared")]
    NoDatabase {
        /// The database's name.
        database: String,
    },
}

/// The sink of `namespace`, if one is declared; its times are measured by `clock`.
pub(crate) async fn of(
    namespace: &Namespace,
    databases: &BTreeMap<String, Database>,
    clock: &Clock,
) -> Result<Option<Arc<dyn Sink>>, SinkFault> {
    Ok(match &namespace.sink {
        None => None,
        Some(configuration::Sink::Sql(declared)) => {
            Some(Arc::new(statements(declared, namespace, databases).await?))
        }
        Some(configuration::Sink::Http(declared)) => {
            Some(Arc::new(HttpSink::open(declared.options(namespace.loader.timeout), clock.clone())?))
        }
    })
}

/// The sink of declared statements, which are prepared against their database.
pub(crate) async fn statements(
    declared: &configuration::SqlSink,
    namespace: &Namespace,
    databases: &BTreeMap<String, Database>,
) -> Result<SqlSink, SinkFault> {
    let statements = SqlStatements {
        write: declared.write.expose().to_owned(),
        delete: declared.delete.as_ref().map(|delete| delete.expose().to_owned()),
        params: KeyColumn::all_of(&namespace.key),
        remember: REMEMBERED,
    };
    let database = databases
        .get(&declared.database)
        .ok_or_else(|| SinkFault::NoDatabase { database: declared.database.clone() })?;
    Ok(SqlSink::open(database, statements).await?)
}
