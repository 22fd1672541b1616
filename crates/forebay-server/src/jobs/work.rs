//! What a job does when it runs, on what is in service then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::{Blob, Forebay, Keyspace, Namespace, Warm, WarmProgress, Warming};
use forebay_stores::database::Database;

use crate::app::{App, JobError, JobRun, RunJob};
use crate::assembly::{self, Assembled};
use crate::configuration::fault::JobFault;
use crate::configuration::raw::nearest;
use crate::configuration::{self, Deployment, Dropped, Error, Job, Report, Work};
use crate::observe::{Alarms, Board};
use crate::stop::Stop;
use crate::time::WallClock;

/// A job in service, and what it works on.
#[derive(Clone, Debug)]
pub(crate) struct JobOf {
    pub(crate) name: Arc<str>,
    /// As it is declared.
    pub(crate) declared: Job,
    /// As its keyspace is declared.
    pub(crate) of: configuration::Keyspace,
    pub(crate) keyspace: Arc<Keyspace>,
    /// Seen from its keyspace.
    pub(crate) engine: Forebay,
    /// Those of its keyspace; their transactions invalidate what has been loaded from the rows that they change.
    pub(crate) databases: BTreeMap<String, Database>,
    /// The app's function that it calls, and the app's alarms.
    pub(crate) function: Option<(RunJob, Alarms)>,
    /// The app's settings.
    pub(crate) settings: toml::Table,
}

/// The jobs of `deployment`, on what was built of it.
pub(crate) fn of(
    deployment: &Deployment,
    assembled: &[Assembled],
    engine: &Forebay,
    apps: &[App],
    alarms: &Board,
) -> Vec<Arc<JobOf>> {
    let mut jobs = Vec::new();
    for one in assembled {
        let app = assembly::app_of(&one.declared, deployment, apps);
        let settings = app.and_then(|app| deployment.apps.get(app.name));
        for (name, declared) in one.declared.jobs.iter() {
            let function = match &declared.work {
                Work::Run { function } => {
                    app.and_then(|app| Some((named(app, function)?, alarms.of(app.name, &one.declared.name))))
                }
                _ => None,
            };
            jobs.push(Arc::new(JobOf {
                name: name.as_str().into(),
                declared: declared.clone(),
                of: one.declared.clone(),
                keyspace: Arc::clone(&one.keyspace),
                engine: engine.keyspace(&one.declared.name),
                databases: assembly::feeding(deployment, &one.declared, &one.databases, engine),
                function,
                settings: settings.map(|settings| settings.table.clone()).unwrap_or_default(),
            }));
        }
    }
    jobs
}

fn named(app: &App, function: &str) -> Option<RunJob> {
    app.jobs.iter().find(|job| job.name == function).map(|job| job.run)
}

/// Whether every function that a job of `deployment` calls is one of its app.
///
/// # Errors
/// With every job that calls another.
pub fn have_functions(deployment: &Deployment, apps: &[App]) -> Result<(), Report> {
    let mut errors = Vec::new();
    for declaration in &deployment.declarations {
        let app = apps.iter().find(|app| app.file() == declaration.file);
        for (name, table) in declaration.raw.tables("job") {
            let Some(Work::Run { function }) = declaration.jobs.get(name).map(|job| &job.work) else {
                continue;
            };
            if app.is_some_and(|app| named(app, function).is_some()) {
                continue;
            }
            let fault = unknown(function, app);
            errors.push(Error::new(&declaration.source, table.span("run"), &fault));
        }
    }
    Report::of(errors).map_or(Ok(()), Err)
}

fn unknown(function: &str, app: Option<&App>) -> JobFault {
    let names = || app.into_iter().flat_map(|app| app.jobs).map(|job| job.name);
    let what = match app {
        Some(app) => format!("the app `{}`", app.name),
        None => "a declaration that is no app's".into(),
    };
    let mend = match (nearest(function, names()), app) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(_)) if names().next().is_some() => {
            format!("its functions are {}", names().collect::<Vec<_>>().join(", "))
        }
        _ => "write `warm`, `invalidate` or `sql` in its place; functions are what apps bring".into(),
    };
    JobFault::UnknownFunction { name: function.into(), what, mend }
}

impl JobOf {
    /// The names of its keyspace and its own.
    pub(crate) fn id(&self) -> (Arc<str>, Arc<str>) {
        (self.of.name.as_str().into(), Arc::clone(&self.name))
    }

    /// Does what it is for; says in a few words what that was.
    pub(super) async fn carry_out(
        &self,
        due: Option<Duration>,
        wall: WallClock,
        stop: Stop,
    ) -> Result<String, JobError> {
        match &self.declared.work {
            Work::Warm { namespace } => self.warm(namespace).await,
            Work::Invalidate(Dropped::Tag(tag)) => {
                self.engine.invalidate_tag(tag).await?;
                Ok(format!("dropped what bears the tag {tag}"))
            }
            Work::Invalidate(Dropped::Prefix { namespace, prefix }) => {
                self.namespace(namespace)?.invalidate_prefix(prefix).await?;
                Ok(format!("dropped {namespace} {prefix}*"))
            }
            Work::Sql { database, statement } => self.sql(database, statement.expose()).await,
            Work::Run { function } => {
                let Some((run, alarms)) = &self.function else {
                    return Err(format!("the app has no function {function}").into());
                };
                run(JobRun {
                    job: self.name.as_ref().to_owned(),
                    keyspace: Arc::clone(&self.keyspace),
                    engine: self.engine.clone(),
                    databases: self.databases.clone(),
                    settings: self.settings.clone(),
                    alarms: alarms.clone(),
                    wall,
                    due,
                    stop,
                })
                .await
            }
        }
    }

    fn namespace(&self, name: &str) -> Result<&Namespace<Blob>, JobError> {
        self.keyspace.namespace(name).ok_or_else(|| format!("no namespace {name} is in service").into())
    }

    async fn warm(&self, name: &str) -> Result<String, JobError> {
        let namespace = self.namespace(name)?;
        let declared =
            self.of.namespaces.get(name).and_then(|declared| Some((declared, declared.warm.as_ref()?)));
        let (declared, warm) = declared.ok_or("the namespace says no longer what is to be warm")?;
        let plan = warm.plan(&declared.key);
        let mut warmings: Vec<Warming> = Vec::new();
        if plan != Warm::default() {
            warmings.push(namespace.warm(plan)?);
        }
        if let Some(hottest) = warm.hottest {
            let hottest = namespace.hottest(usize::try_from(hottest).unwrap_or(usize::MAX));
            warmings.push(namespace.warm_keys(hottest));
        }
        let (mut held, mut missing, mut failing) = (0, 0, 0);
        for warming in &warmings {
            let WarmProgress { done, failed, absent, .. } = warming.finished().await;
            (held, missing, failing) = (held + done, missing + absent, failing + failed);
        }
        if failing > 0 {
            let all = held + missing + failing;
            return Err(format!("{failing} of {all} keys could not be loaded").into());
        }
        Ok(format!("{held} keys are warm, {missing} do not exist"))
    }

    async fn sql(&self, name: &str, statement: &str) -> Result<String, JobError> {
        let database = self.databases.get(name).ok_or_else(|| format!("no database {name} is in service"))?;
        let rows = database.carry_out(statement).await?;
        Ok(format!("{rows} rows"))
    }
}
