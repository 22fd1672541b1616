//! Warmings that operators ask of a process that serves: what is declared to be warm is loaded once more, and can be looked at and
//! stopped.
//!
//! It guarantees that a namespace has one at a time, and that no more of them are remembered than there are namespaces in service. The
//! pace, and that readers go first, is the engine's.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay::rt::Mutex;
use forebay::{Blob, Error, Keyspace, Namespace, Warm, WarmProgress, Warming};

use crate::configuration::Declaration;

/// The warmings that were asked for, each namespace's last.
#[derive(Debug, Default)]
pub(crate) struct AskedWarmings(Mutex<BTreeMap<Name, Asked>>);

/// A keyspace's name, and a namespace's.
type Name = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Asked {
    warming: Warming,
    keys: u64,
}

/// How far a warming is.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) namespace: Arc<str>,
    /// How many keys it is to load, as far as that is known.
    pub(crate) keys: u64,
    pub(crate) progress: WarmProgress,
}

impl AskedWarmings {
    /// Begins to warm the namespaces of `keyspace` that are declared to be warm, or the one called `named` alone; one that is being
    /// warmed goes on. How far each of them is.
    ///
    /// # Errors
    /// As [`Namespace::warm`]; those before the one that failed have begun.
    pub(crate) fn start(
        &self,
        keyspace: &Keyspace,
        declared: &Declaration,
        named: Option<&str>,
    ) -> Result<Vec<Told>, Error> {
        let mut all = self.0.lock();
        // What is no longer declared takes no place.
        all.retain(|(of, name), _| **of != *keyspace.name() || keyspace.namespace(name).is_some());
        let mut told = Vec::new();
        for namespace in keyspace.namespaces() {
            if named.is_some_and(|named| named != namespace.name()) {
                continue;
            }
            let Some((warm, keys)) = plan(namespace, declared) else { continue };
            let name = (Arc::from(keyspace.name()), Arc::from(namespace.name()));
            if all.get(&name).is_none_or(|asked| asked.warming.progress().is_over) {
                let warming = namespace.warm(warm)?;
                all.insert(name.clone(), Asked { warming, keys });
            }
            told.extend(all.get_key_value(&name).map(tell));
        }
        Ok(told)
    }

    /// How far those of `keyspace` are, or that of the namespace called `named` alone.
    pub(crate) fn status(&self, keyspace: &Keyspace, named: Option<&str>) -> Vec<Told> {
        let all = self.0.lock();
        all.iter().filter(|(name, _)| is_meant(name, keyspace, named)).map(tell).collect()
    }

    /// Stops those; how far they are.
    pub(crate) fn stop(&self, keyspace: &Keyspace, named: Option<&str>) -> Vec<Told> {
        for (_, asked) in self.0.lock().iter().filter(|(name, _)| is_meant(name, keyspace, named)) {
            asked.warming.stop();
        }
        self.status(keyspace, named)
    }
}

fn is_meant((of, name): &Name, keyspace: &Keyspace, named: Option<&str>) -> bool {
    **of == *keyspace.name() && named.is_none_or(|named| named == &**name)
}

fn tell(((_, namespace), Asked { warming, keys }): (&Name, &Asked)) -> Told {
    let progress = warming.progress();
    // What the source lists is known once it has been asked.
    Told { namespace: Arc::clone(namespace), keys: progress.known.max(*keys), progress }
}

/// What `namespace` is declared to have warm, and how many keys that are just now; nothing where nothing is declared.
fn plan(namespace: &Namespace<Blob>, declared: &Declaration) -> Option<(Warm, u64)> {
    let policy = declared.namespaces.get(namespace.name())?;
    let declared = policy.warm.as_ref()?;
    let plan = declared.plan(&policy.key);
    let hottest = usize::try_from(declared.hottest.unwrap_or_default()).unwrap_or(usize::MAX);
    let listed = if plan.lists.is_empty() { 0 } else { plan.lists.iter().map(Vec::len).product() };
    let keys = u64::try_from(namespace.hottest(hottest).len().saturating_add(listed)).unwrap_or(u64::MAX);
    Some((Warm { hottest, ..plan }, keys))
}
