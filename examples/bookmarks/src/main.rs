//! Bookmarks: each user's links, kept in a table and read at the speed of a cache.

use std::process::ExitCode;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use forebay::feed::Changed;
use forebay::value::Param;
use forebay_server::app::{App, AppError, AppJob, JobError, JobRun, Running, Served, Setup, Try};
use forebay_server::problem::Problem;
use forebay_stores::database::{Database, DatabaseError, Migration, Statement};
use serde::Deserialize;

const SCHEMA: &str = "create table bookmarks (
    user_id text not null,
    url     text not null,
    title   text not null,
    primary key (user_id, url)
)";

fn main() -> ExitCode {
    forebay_cli::main(&[app()])
}

/// The app: a value, which the command serves.
fn app() -> App {
    App {
        name: "bookmarks",
        summary: "links of users",
        declaration: include_str!("../forebay.toml"),
        migrations: &[Migration { version: 1, name: "bookmarks", sqlite: SCHEMA, postgres: Some(SCHEMA) }],
        jobs: &[AppJob { name: "forget", run: |run| Box::pin(forget(run)) }],
        tries: &[Try {
            command: "curl http://127.0.0.1:{http}/api/bookmarks/ada",
            shows: "the links of a user",
        }],
        start: |setup| Box::pin(start(setup)),
    }
}

/// What requests are carried out with.
#[derive(Clone)]
struct Links {
    database: Database,
    served: Served,
}

async fn start(setup: Setup) -> Result<Running, AppError> {
    let refused = |message: &str| AppError::Settings { app: "bookmarks", message: message.to_owned() };
    let database = setup.databases.get("main").cloned();
    let database = database.ok_or_else(|| refused("it needs a database `main`"))?;
    let links = Links { database, served: setup.served };
    let routes = Router::new().route("/api/bookmarks/{user}", get(all).post(keep)).with_state(links);
    Ok(Running { routes: Some(routes), ..Running::default() })
}

/// All links of a user, from wherever they are held.
async fn all(
    State(links): State<Links>,
    Path(user): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let busy =
        || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_in_service", "try again later".to_owned());
    let keyspace = links.served.now().ok_or_else(busy)?;
    let namespace = keyspace.namespace("bookmarks").ok_or_else(busy)?;
    let read = namespace.read(format!("bookmarks:{user}").as_bytes()).await;
    let read = read.map_err(|error| Problem::engine(&error))?;
    if read.value.is_none() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_bookmarks", format!("`{user}` keeps no links")));
    }
    links.served.answer(namespace, &read, (&method, &headers)).await
}

#[derive(Deserialize)]
struct Link {
    url: String,
    title: String,
}

/// Keeps a link. Whoever reads the user's links after the answer sees it.
async fn keep(
    State(links): State<Links>,
    Path(user): Path<String>,
    link: Result<Json<Link>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    const KEEP: &str = "insert into bookmarks (user_id, url, title) values ($1, $2, $3) \
         on conflict (user_id, url) do update set title = excluded.title";
    let Json(link) =
        link.map_err(|refusal| Problem::new(refusal.status(), "bad_link", refusal.body_text()))?;
    let kept = links.database.transaction(async |tx| {
        tx.execute(Statement::new(KEEP).bind(user.as_str()).bind(link.url).bind(link.title)).await?;
        // SQLite finds out which rows have changed; PostgreSQL is told, or all users' links are loaded anew.
        let row = || vec![("user_id".into(), Some(Param::Text(user.clone())))];
        tx.changed(Changed::updated("bookmarks", row(), row()));
        Ok::<_, DatabaseError>(())
    });
    kept.await.map_err(|error| Problem::transaction(error, |error| Problem::database(&error)))?;
    Ok(StatusCode::CREATED)
}

/// Links without a title go at night.
async fn forget(run: JobRun) -> Result<String, JobError> {
    let main = run.databases.get("main").ok_or("it needs a database `main`")?;
    let gone = main.carry_out("delete from bookmarks where title = ''").await?;
    Ok(format!("{gone} links without a title"))
}
