//! Databases are made where they are missing, and migrated once.

use std::path::Path;

use forebay_stores::database::{Address, Database, DatabaseError, DatabaseOptions, Dialect, Migration, Ping};

use crate::postgres::new_database;
use crate::{open, options};

const ONE: Migration = Migration {
    version: 1,
    name: "one",
    sqlite: "create table a (x integer); insert into a values (1);",
    postgres: None,
};
const BAD: Migration = Migration {
    version: 2,
    name: "two",
    sqlite: "create table b (x integer); create nonsense;",
    postgres: None,
};

async fn count(database: &Database, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(database.sqlite().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_migration_is_applied_once() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let database = open(&folder).await;
        database.migrate(&[ONE]).await.unwrap();
        assert_eq!(count(&database, "select count(*) from a").await, 1);
    }
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder).await;
    assert!(database.migrate(&[ONE, BAD]).await.is_err());
    assert_eq!(count(&database, "select count(*) from sqlite_master where name in ('a', 'b')").await, 1);
}

#[tokio::test]
async fn a_migration_that_changed_after_it_was_applied_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder).await;
    database.migrate(&[ONE]).await.unwrap();
    let changed = Migration { sqlite: "create table a (y integer);", postgres: None, ..ONE };
    assert!(database.migrate(&[changed]).await.is_err());
}

#[tokio::test]
async fn a_migration_that_has_no_form_for_a_database_is_refused() {
    let database = open(&tempfile::tempdir().unwrap()).await;
    database.migrate(&[ONE]).await.unwrap();
    let elsewhere =
        Database::open(&DatabaseOptions::postgres(new_database().await.parse().unwrap(), 1)).await.unwrap();
    let refused = elsewhere.migrate(&[ONE]).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Dialect { wanted: Dialect::Sqlite }), "{refused}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deep"), "a file in the way").unwrap();
    let error = Database::open(&options(&folder)).await.unwrap_err();
    assert!(matches!(&error, DatabaseError::Folder { folder, .. } if folder.ends_with("deep/er")), "{error}");
}

#[tokio::test]
async fn a_file_that_nobody_is_to_make_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let mistyped = DatabaseOptions { create: false, ..options(&folder) };
    let error = Database::open(&mistyped).await.unwrap_err();
    assert!(error.to_string().contains("test.db"), "{error}");
    assert!(!folder.path().join("deep").exists(), "something was made");
    open(&folder).await.migrate(&[ONE]).await.unwrap();
    assert_eq!(count(&Database::open(&mistyped).await.unwrap(), "select count(*) from a").await, 1);
}

#[tokio::test]
async fn a_log_that_was_left_is_read_and_not_written_back() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let database = open(&folder).await;
    database.migrate(&[ONE]).await.unwrap();
    let Address::Sqlite(path) = options(&folder).address else { panic!("it is a file") };
    let beside = |path: &Path, suffix: &str| path.with_file_name(format!("test.db{suffix}"));
    let left = copy.path().join("test.db");
    // As a process leaves them that was killed.
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(&path, suffix), beside(&left, suffix)).unwrap();
    }
    let bytes = || ["", "-wal"].map(|suffix| std::fs::read(beside(&left, suffix)).unwrap());
    let before = bytes();
    assert!(!before[1].is_empty());
    let to_read = DatabaseOptions { address: Address::Sqlite(left.clone()), ..options(&folder) };
    let database = Database::open_to_read(&to_read).await.unwrap();
    assert_eq!(count(&database, "select count(*) from a").await, 1, "what the log has is there");
    let pool = database.sqlite().unwrap();
    sqlx::query("insert into a values (2)").execute(pool).await.expect_err("it was opened to be read");
    pool.close().await;
    assert!(bytes() == before, "the log was written back");
}

/// Whether it answers is not known, and a question would wait for who works.
#[tokio::test]
async fn a_database_at_work_is_not_asked_whether_it_answers() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&DatabaseOptions { pool_max: 1, ..options(&folder) }).await.unwrap();
    assert_eq!(database.ping().await.unwrap(), Ping::Answered);
    let at_work = database.sqlite().unwrap().acquire().await.unwrap();
    assert_eq!(database.ping().await.unwrap(), Ping::Busy);
    drop(at_work);
}
