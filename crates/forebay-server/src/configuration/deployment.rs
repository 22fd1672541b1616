//! Several declarations in one process.
//!
//! It guarantees that keyspaces have names and numbers of their own, that the process has one `[server]`, one
//! `[memory]` and one `[shared]`, whichever files say them, and that nobody beyond this machine is let in without a token.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::checked::{
    Alarm, Budget, COMMON_BYTES_MIN, Database, Declaration, Job, Memory, Namespace, OWN_BYTES_MIN, Server,
    Shared,
};
use super::fault::{DatabaseFault, MemoryFault};
use super::raw::Settings;
use super::report::{Error, Report, SourceText, Span};
use super::tokens;
use super::units::show_size;
use crate::access::Token;

/// What one process serves.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Where it listens and keeps its files.
    pub server: Server,
    /// Its memory tier.
    pub memory: Memory,
    /// The tier between memory and the sources.
    pub shared: Shared,
    /// Its keyspaces, those of environments right after their declaration's own.
    pub keyspaces: Vec<Keyspace>,
    /// Tokens by name; without any everybody on this machine may everything, and nobody else is let in.
    pub tokens: BTreeMap<String, Token>,
    /// Settings of apps by name, unchecked.
    pub apps: BTreeMap<String, Settings>,
    /// The declarations it was made from, in the order they were given.
    pub declarations: Vec<Declaration>,
}

/// Everything one application declares, with its data: in production, or in an environment.
#[derive(Clone, Debug)]
pub struct Keyspace {
    /// Its name: the declared one, or `KEYSPACE-ENVIRONMENT`.
    pub name: String,
    /// The number by which RESP clients pick it.
    pub db: u16,
    /// The environment it is; nothing for production.
    pub environment: Option<String>,
    /// Its data folder: the server's, or `environments/NAME` in it.
    pub data: PathBuf,
    /// Its databases by name.
    pub databases: BTreeMap<String, Database>,
    /// Its namespaces by name, the same in production and environments.
    pub namespaces: Arc<BTreeMap<String, Namespace>>,
    /// Its jobs by name, the same in production and environments.
    pub jobs: Arc<BTreeMap<String, Job>>,
    /// Its alarms by name, the same in production and environments.
    pub alarms: Arc<BTreeMap<String, Alarm>>,
}

impl Deployment {
    /// Puts declarations together; without any, a deployment of nothing with all defaults.
    ///
    /// # Errors
    /// When they contradict one another; the later one is pointed at.
    pub fn assemble(declarations: Vec<Declaration>) -> Result<Self, Report> {
        let mut errors = Vec::new();
        let server = one_of_all(&declarations, "server", |one| one.server.as_ref(), &mut errors);
        let memory = one_of_all(&declarations, "memory", |one| one.memory.as_ref(), &mut errors);
        let shared = one_of_all(&declarations, "shared", |one| one.shared.as_ref(), &mut errors);
        let (server, memory, shared) =
            (server.unwrap_or_default(), memory.unwrap_or_default(), shared.unwrap_or_default());
        unique_keyspaces(&declarations, &mut errors);
        budgets(&declarations, &memory, &mut errors);
        let tokens = tokens::of_all(&declarations, &mut errors);
        tokens::exposed(&declarations, &mut errors);
        let apps = apps(&declarations, &mut errors);
        if let Some(report) = Report::of(errors) {
            return Err(report);
        }
        let keyspaces = declarations.iter().flat_map(|one| keyspaces(one, &server)).collect();
        Ok(Self { server, memory, shared, keyspaces, tokens, apps, declarations })
    }

    /// The declaration that `keyspace` comes from, in production or an environment.
    pub(crate) fn declaration_of(&self, keyspace: &Keyspace) -> Option<&Declaration> {
        let is_of = |declaration: &&Declaration| match &keyspace.environment {
            None => declaration.keyspace == keyspace.name,
            Some(name) => {
                let environment = declaration.environments.get(name);
                environment.is_some_and(|environment| environment.keyspace == keyspace.name)
            }
        };
        self.declarations.iter().find(is_of)
    }

    /// The same as it reads there: with the name, number and databases of `keyspace`.
    pub(crate) fn declaration_in(&self, keyspace: &Keyspace) -> Option<Declaration> {
        let Keyspace { name, db, databases, .. } = keyspace.clone();
        self.declaration_of(keyspace).map(|one| Declaration { keyspace: name, db, databases, ..one.clone() })
    }
}

/// A table that one process has once.
fn one_of_all<T: Clone + PartialEq>(
    declarations: &[Declaration],
    table: &'static str,
    of: impl Fn(&Declaration) -> Option<&T>,
    errors: &mut Vec<Error>,
) -> Option<T> {
    let mut given = declarations.iter().filter_map(|one| Some((one, of(one)?)));
    let (first, value) = given.next()?;
    for (other, _) in given.filter(|(_, other)| *other != value) {
        let error = Error::new(&other.source, other.raw.key_span(table), &DatabaseFault::Disagree { table });
        errors.push(error.with(&first.source, first.raw.key_span(table), "here"));
    }
    Some(value.clone())
}

/// A keyspace's name, its number, and where both are said.
struct Claim {
    source: Arc<SourceText>,
    name: (String, Span),
    db: (u16, Span),
}

fn claims(declaration: &Declaration) -> Vec<Claim> {
    let raw = &declaration.raw;
    let source = &declaration.source;
    // Where the number is left to its default, the keyspace's name is what can be pointed at.
    let db_span = if raw.has("db") { raw.span("db") } else { raw.span("keyspace") };
    let own = Claim {
        source: Arc::clone(source),
        name: (declaration.keyspace.clone(), raw.span("keyspace")),
        db: (declaration.db, db_span),
    };
    let environments = raw.tables("environment").filter_map(|(name, table)| {
        let checked = declaration.environments.get(name)?;
        Some(Claim {
            source: Arc::clone(source),
            name: (checked.keyspace.clone(), table.name_span.clone()),
            db: (checked.db, table.span("db")),
        })
    });
    std::iter::once(own).chain(environments).collect()
}

fn unique_keyspaces(declarations: &[Declaration], errors: &mut Vec<Error>) {
    let claims: Vec<Claim> = declarations.iter().flat_map(claims).collect();
    for (at, claim) in claims.iter().enumerate() {
        let before = || claims.iter().take(at);
        let (name, name_span) = &claim.name;
        if let Some(other) = before().find(|other| other.name.0 == *name) {
            let fault = DatabaseFault::TakenKeyspace { name: name.clone() };
            let error = Error::new(&claim.source, name_span.clone(), &fault);
            errors.push(error.with(&other.source, other.name.1.clone(), "here"));
        }
        let (db, db_span) = &claim.db;
        if let Some(other) = before().find(|other| other.db.0 == *db) {
            let free =
                (0..=u16::MAX).find(|free| claims.iter().all(|claim| claim.db.0 != *free)).unwrap_or(0);
            let fault = DatabaseFault::TakenNumber { db: *db, by: other.name.0.clone(), free };
            let error = Error::new(&claim.source, db_span.clone(), &fault);
            errors.push(error.with(&other.source, other.db.1.clone(), "taken here"));
        }
    }
}

/// What namespaces keep for themselves must be enough to work with, and leave the others enough.
fn budgets(declarations: &[Declaration], memory: &Memory, errors: &mut Vec<Error>) {
    let (mut total, all_bytes) = (0_u64, memory.budget_bytes);
    let all = show_size(all_bytes);
    for declaration in declarations {
        let keyspaces = 1 + u64::try_from(declaration.environments.len()).unwrap_or(u64::MAX);
        for (name, namespace) in &declaration.namespaces {
            let Some(own) = namespace.memory.budget.bytes(all_bytes) else { continue };
            total = total.saturating_add(own.saturating_mul(keyspaces));
            let fault = match namespace.memory.budget {
                Budget::Share(share) if own < OWN_BYTES_MIN => {
                    MemoryFault::ShareTooSmall { share, own: show_size(own), all: all.clone() }
                }
                _ if total > all_bytes => {
                    MemoryFault::BudgetsOverAll { own: show_size(total), all: all.clone() }
                }
                _ if all_bytes - total < COMMON_BYTES_MIN => MemoryFault::BudgetsLeaveNothing {
                    own: show_size(total),
                    all: all.clone(),
                    least: show_size(COMMON_BYTES_MIN),
                },
                _ => continue,
            };
            let table = declaration.raw.tables("namespace").find(|(known, _)| *known == name);
            let span = table.map_or(0..0, |(_, table)| table.key_span("memory"));
            errors.push(Error::new(&declaration.source, span, &fault));
            return;
        }
    }
}

fn apps(declarations: &[Declaration], errors: &mut Vec<Error>) -> BTreeMap<String, Settings> {
    let mut apps: BTreeMap<String, (&Declaration, &Settings)> = BTreeMap::new();
    for declaration in declarations {
        for (name, settings) in &declaration.apps {
            let Some((first, known)) = apps.insert(name.clone(), (declaration, settings)) else { continue };
            if known != settings {
                let span = |of: &Declaration| {
                    of.raw.map("app").find(|(app, _)| *app == name).map_or(0..0, |app| app.1.key.clone())
                };
                let fault = DatabaseFault::AppTwice { name: name.clone() };
                let error = Error::new(&declaration.source, span(declaration), &fault);
                errors.push(error.with(&first.source, span(first), "here"));
            }
        }
    }
    apps.into_iter().map(|(name, (_, settings))| (name, settings.clone())).collect()
}

fn keyspaces(declaration: &Declaration, server: &Server) -> Vec<Keyspace> {
    let namespaces = Arc::new(declaration.namespaces.clone());
    let jobs = Arc::new(declaration.jobs.clone());
    let alarms = Arc::new(declaration.alarms.clone());
    let production = Keyspace {
        name: declaration.keyspace.clone(),
        db: declaration.db,
        environment: None,
        data: server.data.clone(),
        databases: declaration.databases.clone(),
        namespaces: Arc::clone(&namespaces),
        jobs: Arc::clone(&jobs),
        alarms: Arc::clone(&alarms),
    };
    let environments = declaration.environments.iter().map(|(name, environment)| Keyspace {
        name: environment.keyspace.clone(),
        db: environment.db,
        environment: Some(name.clone()),
        data: server.data.join("environments").join(name),
        databases: environment.databases.clone(),
        namespaces: Arc::clone(&namespaces),
        jobs: Arc::clone(&jobs),
        alarms: Arc::clone(&alarms),
    });
    std::iter::once(production).chain(environments).collect()
}
