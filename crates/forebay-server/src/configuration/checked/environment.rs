//! `[environment.NAME]`: a second keyspace of the same shape that can never touch production's data.

use std::collections::BTreeMap;

use super::super::fault::DatabaseFault;
use super::super::raw::Table;
use super::super::report::{Findings, Span};
use super::database::{Database, DatabaseUrl, url};
use super::{number, required};

/// A second keyspace of the same shape with its own data.
#[derive(Clone, Debug)]
pub struct DeclaredEnvironment {
    /// The keyspace's name: `KEYSPACE-NAME`.
    pub keyspace: String,
    /// The number by which RESP clients pick it.
    pub db: u16,
    /// Its databases: the declaration's, each at its own address.
    pub databases: BTreeMap<String, Database>,
}

/// A number, who has it, and where that is said.
type Taken = (u16, String, Span);

/// An address, whose it is, and where it is said.
type Address<'t> = (&'t str, String, DatabaseUrl, Span);

pub(super) fn environments(
    raw: &Table,
    keyspace: Option<&str>,
    production: Option<&BTreeMap<String, Database>>,
    names: &[String],
    findings: &mut Findings,
) -> BTreeMap<String, DeclaredEnvironment> {
    let own_number =
        (number(raw, "db").unwrap_or(0), keyspace.unwrap_or("production").to_owned(), number_span(raw));
    let mut taken: Vec<Taken> = vec![own_number];
    let mut addresses: Vec<Address<'_>> = raw
        .tables("database")
        .filter_map(|(name, table)| {
            let database = production?.get(name)?;
            Some((name.as_str(), "production".to_owned(), database.url.clone(), table.span("url")))
        })
        .collect();
    let mut environments = BTreeMap::new();
    for (name, table) in raw.tables("environment") {
        let full_name = format!("{}-{name}", keyspace.unwrap_or_default());
        let db = own_db(table, &full_name, &mut taken, findings);
        let urls = own_urls(name, table, names, &mut addresses, findings);
        let databases = urls.into_iter().filter_map(|(name, own)| {
            let shape = production?.get(&name)?.clone();
            Some((name, Database { url: own, replicas: Vec::new(), ..shape }))
        });
        let databases: BTreeMap<String, Database> = databases.collect();
        for (database, own) in &databases {
            let fed = own.feed && own.url.kind == super::DatabaseKind::Mysql;
            if let Some(own_table) =
                table.tables("database").find(|(name, _)| *name == database).filter(|_| fed)
            {
                findings.add(own_table.1.span("url"), DatabaseFault::NoFeed { kind: own.url.kind.name() });
            }
        }
        if let Some(db) = db {
            environments.insert(name.clone(), DeclaredEnvironment { keyspace: full_name, db, databases });
        }
    }
    environments
}

/// The databases that are SQLite files, in production and in every environment.
pub(super) fn files(raw: &Table, production: &BTreeMap<String, Option<Database>>) -> Vec<String> {
    let is_file = |url: &str| url.starts_with("sqlite:");
    let own_url = |name: &str, table: &Table| {
        let mut own = table.tables("database").filter(|(database, _)| *database == name);
        own.next().and_then(|(_, table)| Some(is_file(table.text("url")?.expose())))
    };
    let is_everywhere =
        |name: &String| raw.tables("environment").all(|(_, table)| own_url(name, table).unwrap_or(true));
    let is_file = |database: &Option<Database>| {
        database.as_ref().is_some_and(|it| it.url.kind == super::DatabaseKind::Sqlite)
    };
    let files = production.iter().filter(|(name, database)| is_file(database) && is_everywhere(name));
    files.map(|(name, _)| name.clone()).collect()
}

/// Where the keyspace's number is said; where it is left to its default, the keyspace's name.
fn number_span(raw: &Table) -> Span {
    if raw.has("db") { raw.span("db") } else { raw.span("keyspace") }
}

fn own_db(table: &Table, keyspace: &str, taken: &mut Vec<Taken>, findings: &mut Findings) -> Option<u16> {
    required(table, "db", "write `db = 1`, or another number that no other keyspace has", findings)?;
    let db: u16 = number(table, "db")?;
    if let Some((_, by, span)) = taken.iter().find(|(number, ..)| *number == db) {
        let free = (0..=u16::MAX).find(|free| taken.iter().all(|(number, ..)| number != free)).unwrap_or(db);
        let fault = DatabaseFault::TakenNumber { db, by: by.clone(), free };
        findings.add_with(table.span("db"), fault, span.clone(), "taken here");
    }
    taken.push((db, keyspace.to_owned(), table.span("db")));
    Some(db)
}

fn own_urls<'t>(
    environment: &str,
    table: &'t Table,
    names: &[String],
    addresses: &mut Vec<Address<'t>>,
    findings: &mut Findings,
) -> BTreeMap<String, DatabaseUrl> {
    for name in names.iter().filter(|name| !table.map("database").any(|(given, _)| given == *name)) {
        let fault = DatabaseFault::SharedData { environment: environment.into(), database: name.clone() };
        findings.add(table.name_span.clone(), fault);
    }
    let mut urls = BTreeMap::new();
    for (name, database) in table.tables("database") {
        if !names.contains(name) {
            let mend = super::source::known_databases(name, names);
            findings
                .add(database.name_span.clone(), DatabaseFault::UnknownDatabase { name: name.clone(), mend });
            continue;
        }
        let Some(url) = url(database, findings) else { continue };
        let same = addresses.iter().find(|(_, _, other, _)| same_place(other, &url));
        if let Some((_, by, _, span)) = same {
            let fault = DatabaseFault::SameAddress {
                environment: environment.into(),
                database: name.clone(),
                by: by.clone(),
            };
            findings.add_with(database.span("url"), fault, span.clone(), "here");
        }
        addresses.push((name, format!("the environment `{environment}`"), url.clone(), database.span("url")));
        urls.insert(name.clone(), url);
    }
    urls
}

/// Whether two addresses are one database, whoever logs in and however a path is written.
fn same_place(one: &DatabaseUrl, other: &DatabaseUrl) -> bool {
    let place = |url: &DatabaseUrl| match url.sqlite_path() {
        Some(path) => {
            let parts = path.split('/').filter(|part| *part != ".");
            let (is_absolute, parts) = (path.starts_with('/'), parts.filter(|part| !part.is_empty()));
            format!("{is_absolute}/{}", parts.collect::<Vec<_>>().join("/"))
        }
        None => {
            let place = url.text.expose().split_once("://").map_or("", |(_, place)| place);
            let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
            place.split('?').next().unwrap_or_default().to_owned()
        }
    };
    one.kind == other.kind && place(one) == place(other)
}
