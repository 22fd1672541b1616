//! On a SQLite file.

use forebay_stores::database::{Database, Dialect};
use forebay_stores::sink::sql::{OpenError, SqlSink};

use super::{DELETE, WRITE, run, schema, statements};

async fn database(folder: &tempfile::TempDir) -> Database {
    let database = crate::open(folder).await;
    run(&database, &schema(Dialect::Sqlite)).await;
    database
}

#[tokio::test]
async fn a_table_of_ids_of_another_shape_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    run(&database, "create table forebay_operations (number integer)").await;
    let error = SqlSink::open(&database, statements(WRITE, Some(DELETE), &["code"])).await.unwrap_err();
    assert!(matches!(error, OpenError::NoTable { .. }), "{error}");
    assert!(error.to_string().contains("create table forebay_operations (id text primary key"), "{error}");
}

#[tokio::test]
async fn many_writes_are_applied_and_none_is_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::many_writes_are_applied_and_none_is_pasted(&database).await;
}

#[tokio::test]
async fn a_write_is_applied_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::a_write_is_applied_once(&database).await;
}

#[tokio::test]
async fn what_is_refused_is_refused_for_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::what_is_refused_is_refused_for_itself_only(&database).await;
}

#[tokio::test]
async fn what_cannot_be_bound_is_told_beforehand() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::what_cannot_be_bound_is_told_beforehand(&database).await;
}

#[tokio::test]
async fn what_waits_for_the_commit_is_refused_for_itself_too() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::what_waits_for_the_commit_is_refused_for_itself_too(&database).await;
}

#[tokio::test]
async fn a_table_that_is_gone_fails_and_parks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::a_table_that_is_gone_fails_and_parks_nothing(&database).await;
}

#[tokio::test]
async fn old_ids_are_forgotten_in_steps() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::old_ids_are_forgotten_in_steps(&database).await;
}

#[tokio::test]
async fn statements_that_cannot_work_are_refused_when_they_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::statements_that_cannot_work_are_refused_when_they_are_opened(&database).await;
}

#[tokio::test]
async fn keys_of_several_parameters_and_columns_of_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::keys_of_several_parameters_and_columns_of_bytes(&database).await;
}

#[tokio::test]
async fn a_dropped_call_ends() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    super::a_dropped_call_ends(&database).await;
}
