//! From a checked deployment to keyspaces that can be read: databases are opened, migrated and filled, queries prepared,
//! namespaces built.
//!
//! It guarantees that what it hands out can be served: every declared query has been prepared against its database, every
//! folder that is declared to keep something is open, and every app has been started. It opens no port.

mod ruled;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Tasks;
use forebay::tier::store::Durability;
use forebay::{BehindOptions, Blob, Forebay, Keyspace, Namespace, NamespaceBuilder, Policy};
use forebay_stores::database::{Database, DatabaseError};
use forebay_stores::disk::DiskError;
use forebay_stores::journal;
use forebay_stores::source::episodes::{Episodes, Failing};

use crate::app::{App, AppError, AtStop, Progress, Served, Setup};
use crate::configuration::{self, Deployment, Mode, Report};
use crate::connect;
use crate::disks::{Disks, journal_of};
use crate::jobs;
use crate::keyspaces::Keyspaces;
use crate::observe::Board;
use crate::sinks::{self, SinkFault};
use crate::sources::{self, SourceFault};
use crate::time::Clocks;
use ruled::{STORE_CONCURRENCY, STORE_QUEUE, durable, ruled};

/// A keyspace ready to be read, and what it was made of.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// As it is declared.
    pub declared: configuration::Keyspace,
    /// Its databases by name, open.
    pub databases: BTreeMap<String, Database>,
    /// Whether the sources of its namespaces fail, by the namespaces' names.
    pub failing: BTreeMap<String, Failing>,
    /// Its namespaces.
    pub keyspace: Arc<Keyspace>,
}

/// Keyspaces ready to be read, and what apps brought with them.
#[derive(Debug)]
pub struct Assembly {
    /// In the order of the deployment.
    pub keyspaces: Vec<Assembled>,
    /// The engine behind them.
    pub engine: Forebay,
    /// What they keep on disk.
    pub disks: Disks,
    /// The apps' HTTP routes.
    pub routes: axum::Router,
    /// The apps' lines for the start-up message.
    pub notes: Vec<String>,
    /// What the apps do last.
    pub at_stop: Vec<AtStop>,
    /// The alarms that apps may have raised already.
    pub(crate) alarms: Board,
}

/// Why a deployment cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// It uses parts of the language that this version does not serve.
    #[error("{0}")]
    NotServed(Report),
    /// Queries and statements that cannot work with their databases.
    #[error("{0}")]
    Unfit(Report),
    /// The data folder cannot be written.
    #[error("cannot write to the data folder {}: {source}; make it writable or say another in [server] data", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The disk of copies could not be opened.
    #[error("the copies on disk: {0}")]
    Copies(#[source] DiskError),
    /// The disk of a data folder could not be opened.
    #[error("the stores of keyspace `{keyspace}`: {source}")]
    Disk {
        /// The keyspace.
        keyspace: String,
        /// What keeps it from being opened, and what to do.
        source: DiskError,
    },
    /// A database could not be opened.
    #[error("database `{database}` of keyspace `{keyspace}`: {source}")]
    Database {
        /// The keyspace.
        keyspace: String,
        /// Its name in the declaration.
        database: String,
        /// What the database said.
        source: DatabaseError,
    },
    /// A declared source cannot work.
    #[error("namespace `{namespace}` of keyspace `{keyspace}`: {source}")]
    Source {
        /// The keyspace.
        keyspace: String,
        /// The namespace.
        namespace: String,
        /// What is wrong.
        source: SourceFault,
    },
    /// A declared sink cannot work.
    #[error("namespace `{namespace}` of keyspace `{keyspace}`: {source}")]
    Sink {
        /// The keyspace.
        keyspace: String,
        /// The namespace.
        namespace: String,
        /// What is wrong.
        source: SinkFault,
    },
    /// The journal of a namespace that writes behind could not be opened.
    #[error("namespace `{namespace}` of keyspace `{keyspace}`: {source}")]
    Journal {
        /// The keyspace.
        keyspace: String,
        /// The namespace.
        namespace: String,
        /// What keeps it from being opened, and what to do.
        source: journal::OpenError,
    },
    /// An app brings a schema and its declaration no database for it.
    #[error("app `{app}` needs a database `main`: declare [database.main] with a url")]
    NoMain {
        /// The app.
        app: &'static str,
    },
    /// The engine refused a namespace.
    #[error(transparent)]
    Engine(#[from] forebay::Error),
    /// An app did not start.
    #[error(transparent)]
    App(#[from] AppError),
}

/// What apps are started with, whichever they are.
#[derive(Clone)]
pub struct Surroundings {
    /// Owns what they spawn.
    pub tasks: Tasks,
    /// Where to tell how far long work has come.
    pub progress: Arc<dyn Progress>,
    /// Where what is assembled will be in service.
    pub(crate) keyspaces: Keyspaces,
}

impl Surroundings {
    /// Where nothing is in service yet.
    #[must_use]
    pub fn new(tasks: Tasks, progress: Arc<dyn Progress>) -> Self {
        Self { tasks, progress, keyspaces: Keyspaces::default() }
    }
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// Builds everything that `deployment` declares and starts the `apps` whose keyspaces it holds. TTLs are measured by the engine's of
/// `clocks`, moments that rows name by the wall clock.
///
/// # Errors
/// The first thing that cannot be served, with what to do about it.
pub async fn assemble(
    deployment: &Deployment,
    apps: &[App],
    surroundings: &Surroundings,
    clocks: Clocks,
) -> Result<Assembly, AssemblyError> {
    is_served(deployment)?;
    jobs::have_functions(deployment, apps).map_err(AssemblyError::Unfit)?;
    writable(&deployment.server.data).await?;
    let mut disks = Disks::default();
    let clock = &clocks.engine;
    let engine = Forebay::builder().memory_budget_bytes(deployment.memory.budget_bytes).clock(clock.clone());
    let engine = if deployment.shared.is_embedded() && loads(deployment) {
        let tier = disks.tier(&deployment.server.data, clock).await;
        engine.shared_tier(tier.map_err(AssemblyError::Copies)?)
    } else {
        engine
    };
    let mut assembly = Assembly {
        keyspaces: Vec::new(),
        engine: engine.build()?,
        disks,
        routes: axum::Router::new(),
        notes: Vec::new(),
        at_stop: Vec::new(),
        alarms: Board::new(clock.clone()),
    };
    match assembly.fill(deployment, apps, surroundings, &clocks).await {
        Ok(()) => Ok(assembly),
        Err(error) => {
            let Assembly { keyspaces, engine, disks, .. } = assembly;
            drop((keyspaces, engine));
            disks.close().await;
            Err(error)
        }
    }
}

/// Whether this version serves all that is declared.
pub(crate) fn is_served(deployment: &Deployment) -> Result<(), AssemblyError> {
    let refused = deployment.declarations.iter().flat_map(configuration::served::refuse).collect();
    Report::of(refused).map_or(Ok(()), |report| Err(AssemblyError::NotServed(report)))
}

impl Assembled {
    /// Whether what it serves under the name of `namespace`, which is of `declared`, is what that declares: but for what is to be
    /// warm, which is no part of what is served.
    pub(crate) fn serves(
        &self,
        declared: &configuration::Keyspace,
        namespace: &configuration::Namespace,
    ) -> bool {
        let Some(own) = self.declared.namespaces.get(&namespace.name) else { return false };
        let uses = |name: &String| self.declared.databases.get(name) == declared.databases.get(name);
        own.is_built_like(namespace) && own.databases().all(uses)
    }
}

impl Assembly {
    /// Builds the keyspaces and starts the apps.
    async fn fill(
        &mut self,
        deployment: &Deployment,
        apps: &[App],
        surroundings: &Surroundings,
        clocks: &Clocks,
    ) -> Result<(), AssemblyError> {
        for declared in &deployment.keyspaces {
            writable(&declared.data).await?;
            let app = app_of(declared, deployment, apps);
            let databases = open_databases(declared, None, app.is_some()).await?;
            if let Some(app) = app {
                let Surroundings { tasks, progress, keyspaces } = surroundings.clone();
                let setup = Setup {
                    keyspace: declared.name.clone(),
                    served: Served::new(keyspaces, &declared.name),
                    data: declared.data.clone(),
                    databases: feeding(deployment, declared, &databases, &self.engine),
                    settings: deployment
                        .apps
                        .get(app.name)
                        .map(|settings| settings.table.clone())
                        .unwrap_or_default(),
                    tasks,
                    progress,
                    wall: clocks.wall.clone(),
                    alarms: self.alarms.of(app.name, &declared.name),
                };
                self.start(app, declared, setup).await?;
            }
            if let Some(declaration) = deployment.declaration_of(declared) {
                let unfit = Box::pin(connect::faults(declaration, declared, &databases)).await;
                Report::of(unfit).map_or(Ok(()), |report| Err(AssemblyError::Unfit(report)))?;
            }
            let Self { engine, disks, .. } = self;
            let memory_bytes = deployment.memory.budget_bytes;
            let failing = BTreeMap::new();
            let mut building = Building { engine, disks, clocks, memory_bytes, failing };
            let keyspace = Arc::new(building.keyspace(declared, &databases, None).await?);
            let failing = building.failing;
            self.keyspaces.push(Assembled { declared: declared.clone(), databases, failing, keyspace });
        }
        Ok(())
    }

    async fn start(
        &mut self,
        app: &App,
        declared: &configuration::Keyspace,
        setup: Setup,
    ) -> Result<(), AssemblyError> {
        if !app.migrations.is_empty() {
            let main = setup.databases.get("main");
            let database = main.ok_or(AssemblyError::NoMain { app: app.name })?;
            database.migrate(app.migrations).await.map_err(|source| AppError::Database {
                app: app.name,
                doing: "applying its migrations",
                source,
            })?;
        }
        let running = (app.start)(setup).await?;
        self.notes.extend(running.notes);
        self.at_stop.extend(running.at_stop);
        // An environment is reached through its keyspace; the app's own routes are production's.
        if let (Some(routes), None) = (running.routes, &declared.environment) {
            self.routes = std::mem::take(&mut self.routes).merge(routes);
        }
        Ok(())
    }
}

/// What keyspaces are built on.
pub(crate) struct Building<'a> {
    pub(crate) engine: &'a Forebay,
    pub(crate) disks: &'a mut Disks,
    pub(crate) clocks: &'a Clocks,
    /// The budget of memory that shares are of.
    pub(crate) memory_bytes: u64,
    /// Whether the sources of the keyspace that was built fail, by the names of its namespaces.
    pub(crate) failing: BTreeMap<String, Failing>,
}

impl Building<'_> {
    /// The keyspace that is `declared`. Of the one `before` it, which has its name, it keeps what did not change, and takes the place of
    /// what did.
    pub(crate) async fn keyspace(
        &mut self,
        declared: &configuration::Keyspace,
        databases: &BTreeMap<String, Database>,
        before: Option<&Assembled>,
    ) -> Result<Keyspace, AssemblyError> {
        let mut keyspace = Keyspace::new(&declared.name);
        // Tags, and what is done to everything, are the keyspace's own.
        let engine = self.engine.keyspace(&declared.name);
        for (name, namespace) in declared.namespaces.iter() {
            let old = before.and_then(|before| before.keyspace.namespace(name));
            if let (Some(old), Some(before)) = (old, before)
                && before.serves(declared, namespace)
            {
                let failing = before.failing.get(name).cloned();
                self.failing.extend(failing.map(|failing| (name.clone(), failing)));
                keyspace.add(old.clone())?;
                continue;
            }
            let builder = ruled(engine.namespace(name), declared, namespace, self.memory_bytes);
            let builder = match old {
                Some(old) => builder.replacing(old),
                None => builder,
            };
            let builder = self.kept(builder, declared, namespace).await?;
            let (built, failing) = built(builder, declared, namespace, databases, self.clocks).await?;
            self.failing.extend(failing.map(|failing| (name.clone(), failing)));
            keyspace.add(built)?;
        }
        keyspace.set_default(match before.and_then(|before| before.keyspace.default_namespace()) {
            Some(old) => old.clone(),
            None => self.default_store(declared).await?,
        })?;
        Ok(keyspace)
    }

    /// What keys of no declared namespace live in.
    async fn default_store(
        &mut self,
        declared: &configuration::Keyspace,
    ) -> Result<Namespace<Blob>, AssemblyError> {
        let store = self.disks.store(&declared.data, &self.clocks.engine).await;
        let failed = |source| AssemblyError::Disk { keyspace: declared.name.clone(), source };
        let (concurrency, queue) = (STORE_CONCURRENCY, STORE_QUEUE);
        let policy = Policy { concurrency, queue, ..Policy::new(Duration::MAX) };
        let builder = self.engine.keyspace(&declared.name).namespace(configuration::DEFAULT_STORE).any_key();
        Ok(builder
            .policy(policy)
            .store(store.map_err(failed)?, Durability::Interval(configuration::FLUSH_INTERVAL))
            .build()?)
    }

    /// `builder` with what `namespace` keeps on disk: its values, or its writes until the sink has them.
    async fn kept(
        &mut self,
        builder: NamespaceBuilder<Blob>,
        declared: &configuration::Keyspace,
        namespace: &configuration::Namespace,
    ) -> Result<NamespaceBuilder<Blob>, AssemblyError> {
        if let (Mode::Store, Some(durability)) = (namespace.mode, namespace.durability) {
            let store = self.disks.store(&declared.data, &self.clocks.engine).await;
            let failed = |source| AssemblyError::Disk { keyspace: declared.name.clone(), source };
            return Ok(builder.store(store.map_err(failed)?, durable(durability)));
        }
        if namespace.writes != configuration::Writes::Behind {
            return Ok(builder);
        }
        let folder = journal_of(&declared.data, &declared.name, &namespace.name);
        let journal = self.disks.journal(folder).await.map_err(|source| AssemblyError::Journal {
            keyspace: declared.name.clone(),
            namespace: namespace.name.clone(),
            source,
        })?;
        Ok(builder.behind(journal, BehindOptions::default()))
    }
}

async fn built(
    builder: NamespaceBuilder<Blob>,
    declared: &configuration::Keyspace,
    namespace: &configuration::Namespace,
    databases: &BTreeMap<String, Database>,
    clocks: &Clocks,
) -> Result<(Namespace<Blob>, Option<Failing>), AssemblyError> {
    let source = Box::pin(sources::of(namespace, databases, clocks)).await.map_err(|source| {
        AssemblyError::Source { keyspace: declared.name.clone(), namespace: namespace.name.clone(), source }
    })?;
    let source = source.map(|source| Episodes::new(source, clocks.engine.clone()));
    let failing = source.as_ref().map(Episodes::failing);
    let builder = match source {
        Some(source) => builder.source(source),
        None => builder,
    };
    let sink = sinks::of(namespace, databases, &clocks.engine).await.map_err(|source| {
        AssemblyError::Sink { keyspace: declared.name.clone(), namespace: namespace.name.clone(), source }
    })?;
    let builder = match sink {
        Some(sink) => builder.sink(sink),
        None => builder,
    };
    Ok((builder.build()?, failing))
}

/// Every keyspace and the name by which it declares what is the database `name` of `declared`: what a transaction changes there is theirs
/// too.
pub(crate) fn same_as<'d>(
    deployment: &'d Deployment,
    declared: &'d configuration::Keyspace,
    name: &str,
) -> impl Iterator<Item = (&'d str, &'d str)> {
    let url = declared.databases.get(name).map(|database| database.url.text.expose());
    deployment.keyspaces.iter().flat_map(move |keyspace| {
        let same = keyspace.databases.iter().filter(move |(_, other)| Some(other.url.text.expose()) == url);
        same.map(|(name, _)| (keyspace.name.as_str(), name.as_str()))
    })
}

/// The `databases` of a keyspace, whose transactions invalidate what every keyspace has loaded from the rows that they change.
pub(crate) fn feeding(
    deployment: &Deployment,
    declared: &configuration::Keyspace,
    databases: &BTreeMap<String, Database>,
    engine: &Forebay,
) -> BTreeMap<String, Database> {
    let feeding = |(name, database): (&String, &Database)| {
        let fed = same_as(deployment, declared, name);
        let feed = |database: Database, (keyspace, name): (&str, &str)| {
            database.feeding(&engine.keyspace(keyspace), name)
        };
        (name.clone(), fed.fold(database.clone(), feed))
    };
    databases.iter().map(feeding).collect()
}

/// Whether any namespace has a source, of whose answers copies are kept.
pub(crate) fn loads(deployment: &Deployment) -> bool {
    deployment.keyspaces.iter().any(|keyspace| keyspace.namespaces.values().any(|one| one.source.is_some()))
}

/// Opens what is declared, and takes over what is open already of the keyspace `before`; `create` makes what is missing, for the app
/// whose migrations will fill it.
pub(crate) async fn open_databases(
    declared: &configuration::Keyspace,
    before: Option<&Assembled>,
    create: bool,
) -> Result<BTreeMap<String, Database>, AssemblyError> {
    let mut databases = BTreeMap::new();
    for (name, database) in &declared.databases {
        let is_open = before.filter(|before| before.declared.databases.get(name) == Some(database));
        if let Some(open) = is_open.and_then(|before| before.databases.get(name)) {
            databases.insert(name.clone(), open.clone());
            continue;
        }
        let failed = |source| AssemblyError::Database {
            keyspace: declared.name.clone(),
            database: name.clone(),
            source,
        };
        let options = connect::options(database, create).map_err(failed)?;
        let open = Database::open(&options).await.map_err(failed)?;
        databases.insert(name.clone(), open);
    }
    Ok(databases)
}

/// The app whose declaration a keyspace comes from, in production or an environment.
pub(crate) fn app_of<'a>(
    declared: &configuration::Keyspace,
    deployment: &Deployment,
    apps: &'a [App],
) -> Option<&'a App> {
    let file = &deployment.declaration_of(declared)?.file;
    apps.iter().find(|app| app.file() == *file)
}

/// Makes `folder` and sees that it can be written.
pub(crate) async fn writable(folder: &Path) -> Result<(), AssemblyError> {
    let probe = folder.join(".forebay-can-write");
    let tried = async {
        tokio::fs::create_dir_all(folder).await?;
        tokio::fs::write(&probe, b"").await?;
        tokio::fs::remove_file(&probe).await
    };
    tried.await.map_err(|source| AssemblyError::Folder { folder: folder.to_path_buf(), source })
}
