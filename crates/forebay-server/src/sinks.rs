//! From a declared sink to one that applies writes.
//!
//! It guarantees that what it gives can apply: its statements have been prepared against their database, which has the table of
//! operation ids by which no write takes effect twice.

use std::collections::BTreeMap;

use forebay_stores::database::Database;
use forebay_stores::sink::sql::{OpenError, REMEMBERED, SqlSink, SqlStatements};
use forebay_stores::source::sql::KeyColumn;

use crate::configuration::{Namespace, Sink};

/// Why a declared sink cannot apply writes.
#[derive(Debug, thiserror::Error)]
pub enum SinkFault {
    /// Its statements cannot work.
    #[error("its sink cannot work: {0}")]
    Statements(#[from] OpenError),
    /// It names a database that is not open.
    #[error("it writes to the database `{database}`, which is not declared")]
    NoDatabase {
        /// The database's name.
        database: String,
    },
}

/// The sink of `namespace`, if one is declared. Requests as sinks are refused as not served before anything is opened.
pub(crate) async fn of(
    namespace: &Namespace,
    databases: &BTreeMap<String, Database>,
) -> Result<Option<SqlSink>, SinkFault> {
    let Some(Sink::Sql(declared)) = &namespace.sink else { return Ok(None) };
    let statements = SqlStatements {
        write: declared.write.expose().to_owned(),
        delete: declared.delete.as_ref().map(|delete| delete.expose().to_owned()),
        params: KeyColumn::all_of(&namespace.key),
        remember: REMEMBERED,
    };
    let database = databases
        .get(&declared.database)
        .ok_or_else(|| SinkFault::NoDatabase { database: declared.database.clone() })?;
    Ok(Some(SqlSink::open(database, statements).await?))
}
