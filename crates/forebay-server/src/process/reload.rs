//! A reload: another checked deployment is put in service in place of the one that is, whole or not at all.
//!
//! It guarantees that what did not change is not touched: an unchanged namespace keeps what it holds, its counters, its breaker and its
//! loads. Everything new is opened, prepared and built before anything is swapped; any fault leaves the old deployment in service and is
//! told. Requests under way finish on what they began with, and what they were the last to use is closed then. What a running process
//! cannot change is refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use forebay::{Blob, Namespace};

use super::Process;
use crate::assembly::{self, Assembled, AssemblyError, Building};
use crate::configuration::{self, Declaration, Deployment, Error, Fault, Report};
use crate::connect;
use crate::disks::Disks;
use crate::jobs::{self, JobOf};
use crate::keyspaces::InService;
use crate::observe::{self, DatabaseOf, SourceOf};
use crate::tls::{Certificate, TlsError};

/// What a reload has put in service, by `KEYSPACE/NAMESPACE`, `database KEYSPACE/NAME`, `job KEYSPACE/NAME`, `keyspace NAME` or `token NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What was not served before.
    pub added: Vec<String>,
    /// What is served otherwise than before.
    pub changed: Vec<String>,
    /// What is no longer served.
    pub removed: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        if parts.is_empty() { f.write_str("nothing has changed") } else { f.write_str(&parts.join("; ")) }
    }
}

/// Why a reload was refused; what was in service still is.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It changes what a running process cannot.
    #[error("{0}")]
    NeedsRestart(Report),
    /// Requests that began earlier still use a namespace that is to be there anew.
    #[error(
        "namespace `{namespace}` of keyspace `{keyspace}` was removed a moment ago and is still in use by requests that began before: \
         reload once more when they have ended"
    )]
    StillInUse {
        /// The namespace.
        namespace: Arc<str>,
        /// Its keyspace.
        keyspace: Arc<str>,
    },
    /// Connections cannot be made secure as declared.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What is declared cannot be served.
    #[error(transparent)]
    Assembly(AssemblyError),
}

impl From<AssemblyError> for ReloadError {
    fn from(error: AssemblyError) -> Self {
        match error {
            AssemblyError::Engine(forebay::Error::NameTaken { namespace, keyspace }) => {
                Self::StillInUse { namespace, keyspace }
            }
            error => Self::Assembly(error),
        }
    }
}

impl Process {
    /// Puts `deployment` in service in place of the one that is; what is different then.
    ///
    /// Given up before it has ended, it has changed nothing that is served; what it had opened is closed by the next one, or by the stop.
    ///
    /// # Errors
    /// Whatever keeps all of it from being served: then nothing has changed.
    pub async fn reload(&mut self, deployment: Deployment) -> Result<Reloaded, ReloadError> {
        assembly::is_served(&deployment)?;
        jobs::have_functions(&deployment, &self.apps).map_err(AssemblyError::Unfit)?;
        let fixed = Fixed { process: self, deployment: &deployment }.faults();
        Report::of(fixed).map_or(Ok(()), |report| Err(ReloadError::NeedsRestart(report)))?;
        let certificate = match &deployment.server.tls {
            Some(declared) => Some(Certificate::read(declared).await?),
            None => None,
        };
        self.close_unused().await;
        // Stays while it is assembled, for whoever comes after one that was given up.
        self.unused_since = Some(self.disks.mark());
        match Box::pin(self.assemble(&deployment)).await {
            Ok(assembled) => {
                self.unused_since = None;
                let reloaded = self.swap(deployment, certificate, assembled);
                self.jobs.learn().await;
                Ok(reloaded)
            }
            Err(error) => {
                self.close_unused().await;
                Err(error.into())
            }
        }
    }

    /// Closes what was opened for a deployment that has not come into service.
    async fn close_unused(&mut self) {
        if let Some(mark) = self.unused_since.take() {
            self.disks.close_since(mark).await;
        }
    }

    /// Builds what `deployment` declares around what is in service already.
    async fn assemble(&mut self, deployment: &Deployment) -> Result<Vec<Assembled>, AssemblyError> {
        let mut assembled = Vec::new();
        for declared in &deployment.keyspaces {
            let before = self.assembled.iter().find(|before| before.declared.name == declared.name);
            if before.is_none() {
                assembly::writable(&declared.data).await?;
            }
            let databases = assembly::open_databases(declared, before, false).await?;
            if let Some(declaration) = deployment.declaration_of(declared) {
                // What is in service has been prepared, and its database may be down just now.
                let unfit = Box::pin(connect::faults(declaration, &news(declared, before), &databases)).await;
                Report::of(unfit).map_or(Ok(()), |report| Err(AssemblyError::Unfit(report)))?;
            }
            let mut building = Building {
                engine: &self.engine,
                disks: &mut self.disks,
                clocks: &self.clocks,
                memory_bytes: deployment.memory.budget_bytes,
                failing: BTreeMap::new(),
            };
            let keyspace = Arc::new(building.keyspace(declared, &databases, before).await?);
            let failing = building.failing;
            assembled.push(Assembled { declared: declared.clone(), databases, failing, keyspace });
        }
        Ok(assembled)
    }

    /// Puts what was built in service. It waits for nothing, so that nobody sees half of it.
    fn swap(
        &mut self,
        deployment: Deployment,
        certificate: Option<Certificate>,
        assembled: Vec<Assembled>,
    ) -> Reloaded {
        // First, so that no right that was taken away meets what is new.
        self.door.replace(&deployment.tokens);
        let jobs = jobs::of(&deployment, &assembled, &self.engine, &self.apps, &self.alarms);
        let served = in_service(&deployment, &assembled, &self.disks, jobs);
        self.keyspaces.swap(served);
        self.warmer.follow(&assembled);
        let mut reloaded = between(&self.assembled, &assembled);
        if self.tls.as_ref().zip(certificate).is_some_and(|(tls, certificate)| tls.replace(certificate)) {
            reloaded.changed.push("the certificate".to_owned());
        }
        let (old, new) = (&self.deployment.tokens, &deployment.tokens);
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (old.get(name), new.get(name));
            reloaded.note(format!("token {name}"), old.is_some(), new.is_some(), old == new);
        }
        self.assembled = assembled;
        self.deployment = deployment;
        reloaded
    }
}

/// What front ends find of `assembled`.
pub(super) fn in_service(
    deployment: &Deployment,
    assembled: &[Assembled],
    disks: &Disks,
    jobs: Vec<Arc<JobOf>>,
) -> InService {
    let numbered = |one: &Assembled| (u32::from(one.declared.db), Arc::clone(&one.keyspace));
    let declared =
        |one: &Assembled| Some((u32::from(one.declared.db), deployment.declaration_in(&one.declared)?));
    let keyspaces = assembled.iter().map(numbered).collect();
    let mut served = InService::new(keyspaces, disks.of_stores(deployment))
        .declared(assembled.iter().filter_map(declared).collect());
    let databases = assembled.iter().flat_map(|one| {
        one.databases.iter().map(|(name, database)| DatabaseOf {
            keyspace: one.declared.name.as_str().into(),
            name: name.as_str().into(),
            database: database.clone(),
        })
    });
    served.jobs = jobs;
    served.databases = databases.collect();
    let sources = assembled.iter().flat_map(|one| {
        one.failing.iter().map(|(namespace, failing)| SourceOf {
            keyspace: one.declared.name.as_str().into(),
            namespace: namespace.as_str().into(),
            failing: failing.clone(),
        })
    });
    served.sources = sources.collect();
    served.alarms = observe::alarms_of(assembled);
    served.disks = disks.seen(deployment);
    served.journals = disks.seen_journals(deployment);
    served
}

/// `declared` with those of its namespaces and jobs alone that are not in service yet as they are declared.
fn news(declared: &configuration::Keyspace, before: Option<&Assembled>) -> configuration::Keyspace {
    let is_served = |namespace: &configuration::Namespace| {
        before.is_some_and(|before| before.serves(declared, namespace))
    };
    let news = declared.namespaces.iter().filter(|(_, namespace)| !is_served(namespace));
    let news = news.map(|(name, namespace)| (name.clone(), namespace.clone())).collect();
    let is_known = |(name, job): &(&String, &configuration::Job)| {
        before.is_some_and(|before| {
            let databases = (&before.declared.databases, &declared.databases);
            before.declared.jobs.get(*name) == Some(job) && databases.0 == databases.1
        })
    };
    let jobs = declared.jobs.iter().filter(|job| !is_known(job));
    let jobs = Arc::new(jobs.map(|(name, job)| (name.clone(), job.clone())).collect());
    configuration::Keyspace { namespaces: Arc::new(news), jobs, ..declared.clone() }
}

/// What is different in `new` from `old`.
fn between(old: &[Assembled], new: &[Assembled]) -> Reloaded {
    let mut reloaded = Reloaded::default();
    for one in new {
        let name = &one.declared.name;
        match old.iter().find(|other| other.declared.name == *name) {
            None => reloaded.added.push(format!("keyspace {name}")),
            Some(before) => between_keyspaces(before, one, &mut reloaded),
        }
    }
    let is_gone = |one: &&Assembled| new.iter().all(|other| other.declared.name != one.declared.name);
    reloaded.removed.extend(old.iter().filter(is_gone).map(|one| format!("keyspace {}", one.declared.name)));
    reloaded
}

fn between_keyspaces(old: &Assembled, new: &Assembled, reloaded: &mut Reloaded) {
    let (before, now) = (&old.declared, &new.declared);
    let keyspace = &now.name;
    if before.db != now.db {
        reloaded.changed.push(format!("the number of keyspace {keyspace}"));
    }
    let names: BTreeSet<&String> = before.databases.keys().chain(now.databases.keys()).collect();
    for name in names {
        let (old, new) = (before.databases.get(name), now.databases.get(name));
        reloaded.note(format!("database {keyspace}/{name}"), old.is_some(), new.is_some(), old == new);
    }
    let names: BTreeSet<&String> = before.jobs.keys().chain(now.jobs.keys()).collect();
    for name in names {
        let (old, new) = (before.jobs.get(name), now.jobs.get(name));
        reloaded.note(format!("job {keyspace}/{name}"), old.is_some(), new.is_some(), old == new);
    }
    let names: BTreeSet<&String> = before.alarms.keys().chain(now.alarms.keys()).collect();
    for name in names {
        let (old, new) = (before.alarms.get(name), now.alarms.get(name));
        reloaded.note(format!("alarm {keyspace}/{name}"), old.is_some(), new.is_some(), old == new);
    }
    let names: BTreeSet<&String> = before.namespaces.keys().chain(now.namespaces.keys()).collect();
    for name in names {
        let (built, builds) = (old.keyspace.namespace(name), new.keyspace.namespace(name));
        let is_one = |(old, new): (&Namespace<Blob>, &Namespace<Blob>)| old.is_same_as(new);
        let is_same = built.zip(builds).is_some_and(is_one)
            && before.namespaces.get(name).map(|one| &one.warm)
                == now.namespaces.get(name).map(|one| &one.warm);
        reloaded.note(format!("{keyspace}/{name}"), built.is_some(), builds.is_some(), is_same);
    }
}

impl Reloaded {
    fn note(&mut self, name: String, was_there: bool, is_there: bool, is_same: bool) {
        match (was_there, is_there) {
            (false, _) => self.added.push(name),
            (true, false) => self.removed.push(name),
            (true, true) if is_same => {}
            (true, true) => self.changed.push(name),
        }
    }
}

fn per_address(deployment: &Deployment) -> usize {
    deployment.server.connections_per_address
}

/// Something that a running process cannot change.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot change while the process runs")]
struct NeedsRestart {
    what: String,
    mend: &'static str,
}

impl Fault for NeedsRestart {
    fn label(&self) -> String {
        "needs a restart".into()
    }

    fn mend(&self) -> String {
        self.mend.into()
    }
}

const RESTART: &str =
    "restart to change it, or put it back; until then the declaration before stays in service";
const TRUTH: &str =
    "it is the truth, or has writes that its sink has not: put it back, or restart to change it";

/// Finds what of a deployment cannot be put in service by a running process.
struct Fixed<'p> {
    process: &'p Process,
    deployment: &'p Deployment,
}

impl Fixed<'_> {
    fn faults(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        self.of_the_process(&mut errors);
        self.of_apps(&mut errors);
        for before in &self.process.assembled {
            self.of_keyspace(before, &mut errors);
        }
        errors
    }

    /// A fault at the table `table` of the declaration that has it, or at the beginning of the first.
    fn at_table(&self, table: &'static str, what: String) -> Option<Error> {
        let declarations = &self.deployment.declarations;
        let place = declarations.iter().find(|one| one.raw.has(table));
        let span = place.map_or(0..0, |one| one.raw.key_span(table));
        let place = place.or_else(|| declarations.first())?;
        Some(Error::new(&place.source, span, &NeedsRestart { what, mend: RESTART }))
    }

    fn of_the_process(&self, errors: &mut Vec<Error>) {
        let (old, new) = (&self.process.deployment, self.deployment);
        let changes = [
            ("server", "`[server] http`", old.server.http != new.server.http),
            ("server", "`[server] resp`", old.server.resp != new.server.resp),
            ("server", "`[server] data`", old.server.data != new.server.data),
            ("server", "`[server] connections`", old.server.connections != new.server.connections),
            ("server", "`[server] connections_per_address`", per_address(old) != per_address(new)),
            ("server", "`[server] bodies`", old.server.bodies_bytes != new.server.bodies_bytes),
            ("server", "`[server] slow`", old.server.slow != new.server.slow),
            (
                "server",
                "whether there is a `[server.tls]`",
                old.server.tls.is_some() != new.server.tls.is_some(),
            ),
            ("memory", "`[memory] budget`", old.memory != new.memory),
            ("shared", "`[shared] url`", old.shared.url != new.shared.url),
            ("shared", "`[shared] prefix`", old.shared.prefix != new.shared.prefix),
        ];
        let is_open = !self.process.http.ip().is_loopback() || !self.process.resp.ip().is_loopback();
        if is_open && new.tokens.is_empty() {
            let what = "that others than this machine's are asked for a token";
            errors.extend(self.at_table("token", what.into()));
        }
        let changed = changes.into_iter().filter(|(_, _, differs)| *differs);
        errors.extend(changed.filter_map(|(table, what, _)| self.at_table(table, what.into())));
        if new.shared.is_embedded() && !assembly::loads(old) && assembly::loads(new) {
            let what = "whether copies are kept on disk, which the first namespace with a source asks for,";
            errors.extend(self.at_table("namespace", what.into()));
        }
    }

    fn of_apps(&self, errors: &mut Vec<Error>) {
        let (process, new) = (self.process, self.deployment);
        let old = &process.deployment;
        for app in &process.apps {
            if old.apps.get(app.name) != new.apps.get(app.name) {
                errors.extend(self.at_table("app", format!("`[app.{}]`", app.name)));
            }
        }
        for declared in &new.keyspaces {
            if assembly::app_of(declared, new, &process.apps).is_none() {
                continue;
            }
            let Some(before) = old.keyspaces.iter().find(|before| before.name == declared.name) else {
                errors.extend(self.at_table("app", format!("the app of keyspace `{}`", declared.name)));
                continue;
            };
            for name in declared.databases.keys() {
                // Their copies would not hear of what the app writes.
                let fed: Vec<_> = assembly::same_as(old, before, name).collect();
                let mut reads = assembly::same_as(new, declared, name).filter(|one| !fed.contains(one));
                if let Some((keyspace, database)) = reads.next() {
                    let what = format!(
                        "that the database `{database}` of keyspace `{keyspace}` is one that an app writes to"
                    );
                    errors.extend(self.at_table("database", what));
                }
            }
        }
    }

    fn of_keyspace(&self, before: &Assembled, errors: &mut Vec<Error>) {
        let keyspace = &before.declared.name;
        let declared = self.deployment.keyspaces.iter().find(|declared| declared.name == *keyspace);
        // Where the server's own is another, that is told.
        let is_elsewhere = self.process.deployment.server.data == self.deployment.server.data
            && declared.is_some_and(|declared| declared.data != before.declared.data);
        if is_elsewhere {
            errors.extend(self.at_table("keyspace", format!("the data folder of keyspace `{keyspace}`")));
        }
        for (name, old) in before.declared.namespaces.iter() {
            let what = || format!("namespace `{name}` of keyspace `{keyspace}`");
            let new = declared.and_then(|declared| Some((declared, declared.namespaces.get(name)?)));
            let is_refused = match new {
                Some((declared, new)) => {
                    (old.has_truth() || new.has_truth()) && !before.serves(declared, new)
                }
                None => old.writes == configuration::Writes::Behind,
            };
            if !is_refused {
                continue;
            }
            let fault = NeedsRestart { what: what(), mend: TRUTH };
            let declaration = declared.and_then(|declared| self.deployment.declaration_of(declared));
            let place = declaration.or_else(|| self.deployment.declarations.first());
            let at = |place: &Declaration| {
                let mut tables = place.raw.tables("namespace");
                let table =
                    tables.find(|(known, _)| *known == name).map(|(_, table)| table.name_span.clone());
                Error::new(&place.source, table.unwrap_or_else(|| place.raw.key_span("keyspace")), &fault)
            };
            errors.extend(place.map(at));
        }
    }
}
