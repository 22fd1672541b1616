//! Warming: what is declared to be warm is loaded in the background, at the start and where a reload has changed it, and which keys
//! were read most is kept over a restart.
//!
//! It guarantees that no start waits for it and none fails by it: a list of the last run that cannot be read costs speed only.
//! How keys are loaded, and that readers go first, is the engine's.

mod asked;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex, Tasks};
use forebay::{Blob, Namespace, Warm, WarmProgress, Warming};

pub(crate) use self::asked::{AskedWarmings, Told};
use crate::assembly::Assembled;
use crate::configuration;

/// How often a warming under way tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How often the hottest keys are written down, so that a process that is killed loses no more.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// The form of a list on disk.
const VERSION: u32 = 1;

/// What warms the namespaces of a process and remembers their hottest keys. Its tasks end with it.
#[derive(Debug)]
pub(crate) struct Warmer {
    warmed: Arc<Mutex<Vec<Warmed>>>,
    clock: Clock,
    tasks: Tasks,
}

/// A namespace that is kept warm as long as it is declared so.
#[derive(Debug)]
struct Warmed {
    remembered: Remembered,
    /// What is loaded before the hottest keys.
    plan: Warm,
    /// What loads it; ends with it.
    _tasks: Option<Tasks>,
}

/// A namespace whose hottest keys are kept over a restart.
#[derive(Clone, Debug)]
struct Remembered {
    namespace: Namespace<Blob>,
    /// How many; none where zero.
    keys: usize,
    file: PathBuf,
}

/// The hottest keys of a namespace as they lie on disk, the hottest first.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Hottest {
    version: u32,
    keys: Vec<String>,
}

impl Warmer {
    /// Warms nothing yet; writes the hottest keys down from time to time, on `tasks`.
    pub(crate) fn start(clock: &Clock, tasks: Tasks) -> Self {
        let warmer = Self { warmed: Arc::default(), clock: clock.clone(), tasks };
        let (warmed, clock) = (Arc::clone(&warmer.warmed), clock.clone());
        warmer.tasks.spawn(async move {
            loop {
                clock.sleep(REMEMBER_EVERY).await;
                remember_all(&remembered(&warmed)).await;
            }
        });
        warmer
    }

    /// Loads what `assembled` declares to be warm, unless it was so before. What is no longer is given up; its hottest keys are written
    /// down first.
    pub(crate) fn follow(&self, assembled: &[Assembled]) {
        let mut warmed = self.warmed.lock();
        let mut before = std::mem::take(&mut *warmed);
        for Assembled { declared, keyspace, .. } in assembled {
            for namespace in keyspace.namespaces() {
                let Some(policy) = declared.namespaces.get(namespace.name()) else { continue };
                let Some(warm) = &policy.warm else { continue };
                let keys = usize::try_from(warm.hottest.unwrap_or_default()).unwrap_or(usize::MAX);
                let plan = warm.plan(&policy.key);
                let is_it = |one: &Warmed| one.remembered.namespace.is_same_as(namespace);
                let known = before.iter().position(is_it).map(|at| before.swap_remove(at));
                if let Some(known) = known.filter(|known| known.plan == plan) {
                    warmed.push(known);
                    continue;
                }
                let file = file_of(declared, namespace.name());
                let remembered = Remembered { namespace: namespace.clone(), keys, file };
                let gone = before.iter().position(|one| one.remembered.file == remembered.file);
                let gone = gone.map(|at| before.swap_remove(at).remembered);
                let tasks = self.warm(declared.name.clone(), gone, &remembered, plan.clone());
                warmed.push(Warmed { remembered, plan, _tasks: tasks });
            }
        }
        let gone: Vec<Remembered> = before.into_iter().map(|one| one.remembered).collect();
        if !gone.is_empty() {
            self.tasks.spawn(async move { remember_all(&gone).await });
        }
    }

    /// Loads what is planned of a namespace and its hottest keys, after those of the one `before` it have been written down.
    fn warm(
        &self,
        keyspace: String,
        before: Option<Remembered>,
        remembered: &Remembered,
        plan: Warm,
    ) -> Option<Tasks> {
        let tasks = Tasks::current();
        let (Remembered { namespace, keys, file }, clock) = (remembered.clone(), self.clock.clone());
        let warming = async move {
            remember_all(before.as_slice()).await;
            drop(before);
            warm_up(&keyspace, &namespace, plan, keys, &file, &clock).await;
        };
        tasks.inspect(|tasks| tasks.spawn(warming))
    }

    /// Writes the hottest keys down for the next start.
    pub(crate) async fn remember(&self) {
        remember_all(&remembered(&self.warmed)).await;
    }
}

fn remembered(warmed: &Mutex<Vec<Warmed>>) -> Vec<Remembered> {
    warmed.lock().iter().map(|one| one.remembered.clone()).collect()
}

fn file_of(declared: &configuration::Keyspace, namespace: &str) -> PathBuf {
    declared.data.join("hottest").join(&declared.name).join(format!("{namespace}.json"))
}

/// Loads what is planned of one namespace, then the keys that were hottest in the last run.
async fn warm_up(
    keyspace: &str,
    namespace: &Namespace<Blob>,
    plan: Warm,
    hottest: usize,
    file: &Path,
    clock: &Clock,
) {
    let all = Warm { listing: plan.listing, ..Warm::default() };
    planned(keyspace, namespace, Warm { listing: false, ..plan }, "listed", clock).await;
    if hottest > 0 {
        warm_hottest(keyspace, namespace, hottest, file, clock).await;
    }
    // What is worth less comes last.
    planned(keyspace, namespace, all, "all", clock).await;
}

/// Loads what is planned, which is called `keys` in the log.
async fn planned(keyspace: &str, namespace: &Namespace<Blob>, plan: Warm, keys: &str, clock: &Clock) {
    if plan == Warm::default() {
        return;
    }
    match namespace.warm(plan) {
        Ok(warming) => told(keyspace, namespace.name(), keys, &warming, clock).await,
        Err(error) => tracing::warn!(keyspace, namespace = namespace.name(), %error, "cannot be warmed"),
    }
}

/// Loads the keys that were hottest in the last run.
async fn warm_hottest(
    keyspace: &str,
    namespace: &Namespace<Blob>,
    hottest: usize,
    file: &Path,
    clock: &Clock,
) {
    match recall(file, hottest).await {
        Ok(keys) if keys.is_empty() => {}
        Ok(keys) => {
            let warming = namespace.warm_keys(keys);
            told(keyspace, namespace.name(), "hottest", &warming, clock).await;
        }
        Err(error) => {
            let (namespace, file) = (namespace.name(), file.display());
            tracing::warn!(keyspace, namespace, %file, %error, "the hottest keys of the last run are not known");
        }
    }
}

/// Tells in the log how far `warming` is, until it is over.
async fn told(keyspace: &str, namespace: &str, keys: &str, warming: &Warming, clock: &Clock) {
    loop {
        let finished = clock.timeout(TELL_EVERY, warming.finished()).await;
        let WarmProgress { known, done, failed, absent, .. } =
            finished.unwrap_or_else(|_| warming.progress());
        if finished.is_ok() {
            tracing::info!(keyspace, namespace, keys, known, done, failed, absent, "warmed");
            return;
        }
        tracing::info!(keyspace, namespace, keys, known, done, failed, absent, "warming");
    }
}

/// The keys in `file`, at most `keys` of them; none where there is no such file yet.
async fn recall(file: &Path, keys: usize) -> io::Result<Vec<Vec<u8>>> {
    let bytes = match tokio::fs::read(file).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let hottest: Hottest = serde_json::from_slice(&bytes)?;
    if hottest.version != VERSION {
        return Err(io::Error::other(format!("its version is {}, not {VERSION}", hottest.version)));
    }
    Ok(hottest.keys.into_iter().take(keys).map(String::into_bytes).collect())
}

async fn remember_all(remembered: &[Remembered]) {
    for one in remembered.iter().filter(|one| one.keys > 0) {
        let keys = one.namespace.hottest(one.keys);
        // A run in which nothing was read has nothing better to tell than the one before.
        if keys.is_empty() {
            continue;
        }
        if let Err(error) = remember(&one.file, keys).await {
            let file = one.file.display();
            tracing::warn!(namespace = one.namespace.name(), %file, %error, "the hottest keys are not kept");
        }
    }
}

/// Writes `keys` to `file`, whole or not at all.
async fn remember(file: &Path, keys: Vec<Vec<u8>>) -> io::Result<()> {
    // No row has a key that is not UTF-8.
    let keys = keys.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
    let bytes = serde_json::to_vec(&Hottest { version: VERSION, keys })?;
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let new = file.with_extension("new");
    tokio::fs::write(&new, bytes).await?;
    tokio::fs::rename(&new, file).await
}
