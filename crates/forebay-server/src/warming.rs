//! Warming at the start: what is declared to be warm is loaded in the background, and which keys were read most is kept over a
//! restart.
//!
//! It guarantees that no start waits for it and none fails by it: a list of the last run that cannot be read costs speed only.
//! How keys are loaded, and that readers go first, is the engine's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Tasks};
use forebay::{Blob, Keyspace, Namespace, Warm, WarmProgress, Warming};

use crate::configuration::{self, Deployment};

/// How often a warming under way tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How often the hottest keys are written down, so that a process that is killed loses no more.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);
/// The form of a list on disk.
const VERSION: u32 = 1;

/// What warms the namespaces of a process and remembers their hottest keys. Its tasks end with it.
#[derive(Debug)]
pub(crate) struct Warmer {
    remembered: Arc<Vec<Remembered>>,
    _tasks: Tasks,
}

/// A namespace whose hottest keys are kept over a restart.
#[derive(Debug)]
struct Remembered {
    namespace: Namespace<Blob>,
    keys: usize,
    file: PathBuf,
}

/// The hottest keys of a namespace as they lie on disk, the hottest first.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Hottest {
    version: u32,
    keys: Vec<String>,
}

/// Starts to load what `deployment` declares to be warm, on `tasks`.
pub(crate) fn start<'k>(
    deployment: &Deployment,
    keyspaces: impl Iterator<Item = &'k Arc<Keyspace>>,
    clock: &Clock,
    tasks: Tasks,
) -> Warmer {
    let mut remembered = Vec::new();
    for keyspace in keyspaces {
        let declared = deployment.keyspaces.iter().find(|declared| declared.name == keyspace.name());
        for namespace in keyspace.namespaces() {
            let Some(declared) = declared else { continue };
            let Some(policy) = declared.namespaces.get(namespace.name()) else { continue };
            let Some(warm) = &policy.warm else { continue };
            let file = file_of(declared, namespace.name());
            let keys = usize::try_from(warm.hottest.unwrap_or_default()).unwrap_or(usize::MAX);
            let lists = warm.lists(&policy.key);
            let (warmed, path) = (namespace.clone(), file.clone());
            let (name, clock) = (keyspace.name().to_owned(), clock.clone());
            tasks.spawn(async move { warm_up(&name, &warmed, lists, keys, &path, &clock).await });
            if keys > 0 {
                remembered.push(Remembered { namespace: namespace.clone(), keys, file });
            }
        }
    }
    let remembered = Arc::new(remembered);
    if !remembered.is_empty() {
        let (remembered, clock) = (Arc::clone(&remembered), clock.clone());
        tasks.spawn(async move {
            loop {
                clock.sleep(REMEMBER_EVERY).await;
                remember_all(&remembered).await;
            }
        });
    }
    Warmer { remembered, _tasks: tasks }
}

impl Warmer {
    /// Writes the hottest keys down for the next start.
    pub(crate) async fn remember(&self) {
        remember_all(&self.remembered).await;
    }
}

fn file_of(declared: &configuration::Keyspace, namespace: &str) -> PathBuf {
    declared.data.join("hottest").join(&declared.name).join(format!("{namespace}.json"))
}

/// Loads the declared lists of one namespace, then the keys that were hottest in the last run.
async fn warm_up(
    keyspace: &str,
    namespace: &Namespace<Blob>,
    lists: Vec<Vec<String>>,
    hottest: usize,
    file: &Path,
    clock: &Clock,
) {
    if !lists.is_empty() {
        match namespace.warm(Warm { lists, ..Warm::default() }) {
            Ok(warming) => told(keyspace, namespace.name(), "listed", &warming, clock).await,
            Err(error) => tracing::warn!(keyspace, namespace = namespace.name(), %error, "cannot be warmed"),
        }
    }
    if hottest == 0 {
        return;
    }
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
    for one in remembered {
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
