//! The keyspaces in service: what every front end finds a namespace by, behind one handle that is swapped whole.
//!
//! It guarantees that who has taken a [snapshot](InService) sees the keyspaces of one declaration, never a mixture of two, for as
//! long as it is held; that a connection learns of a swap by one atomic load a command ([`View::refresh`]), without a lock; and
//! that one which is idle learns of it too ([`View::moved`]), so that nobody keeps for long what is no longer declared. What is put
//! in service, and when, is the process' matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use forebay::Keyspace;
use tokio::sync::watch;

use crate::configuration::{Declaration, Exists};
use crate::disks::StoresOf;
use crate::jobs::JobOf;
use crate::limits::Limits;
use crate::observe::{AlarmOf, DatabaseOf, DiskOf, JournalOf, SourceOf};
use crate::time::WallClock;

/// The keyspaces of one checked declaration, ready to be read.
#[derive(Debug, Default)]
pub(crate) struct InService {
    /// By the number that `SELECT` picks them by.
    by_number: BTreeMap<u32, Arc<Keyspace>>,
    by_name: BTreeMap<String, Arc<Keyspace>>,
    /// What the stores of these keyspaces lie on, for backups.
    stores: BTreeMap<u32, StoresOf>,
    /// How they are declared.
    declarations: BTreeMap<u32, Declaration>,
    /// Those of their namespaces in which who asks whether something exists has it loaded.
    loading_exists: BTreeMap<u32, BTreeSet<String>>,
    /// The names of their namespaces that are declared `secure`, by the names of the keyspaces.
    secure: BTreeMap<String, BTreeSet<String>>,
    /// Quotas and logs of operations.
    pub(crate) limits: Limits,
    /// What lies beneath them, to be looked at.
    pub(crate) databases: Vec<DatabaseOf>,
    pub(crate) disks: Vec<DiskOf>,
    pub(crate) journals: Vec<JournalOf>,
    pub(crate) sources: Vec<SourceOf>,
    /// What is done by the clock.
    pub(crate) jobs: Vec<Arc<JobOf>>,
    /// What is watched.
    pub(crate) alarms: Vec<AlarmOf>,
}

/// The keyspaces in service now. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Keyspaces(Arc<watch::Sender<Arc<InService>>>);

/// The keyspaces in service as one connection saw them last.
#[derive(Clone, Debug)]
pub(crate) struct View {
    now: Arc<InService>,
    moves: watch::Receiver<Arc<InService>>,
}

impl InService {
    /// Keyspaces by their numbers, and the disks of the stores of those that have any.
    pub(crate) fn new(by_number: BTreeMap<u32, Arc<Keyspace>>, stores: BTreeMap<u32, StoresOf>) -> Self {
        let named = |keyspace: &Arc<Keyspace>| (keyspace.name().to_owned(), Arc::clone(keyspace));
        let by_name = by_number.values().map(named).collect();
        Self { by_number, by_name, stores, ..Self::default() }
    }

    /// The keyspace that `SELECT number` picks.
    pub(crate) fn numbered(&self, number: u32) -> Option<&Arc<Keyspace>> {
        self.by_number.get(&number)
    }

    /// The keyspace called `name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Keyspace>> {
        self.by_name.get(name)
    }

    /// All of them with their numbers, in the order of these.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = (u32, &Arc<Keyspace>)> {
        self.by_number.iter().map(|(number, keyspace)| (*number, keyspace))
    }

    /// The same with their declarations.
    pub(crate) fn declared(self, declarations: BTreeMap<u32, Declaration>) -> Self {
        let loading = |(number, declared): (&u32, &Declaration)| {
            let loading = declared.namespaces.iter().filter(|(_, one)| one.exists == Exists::Load);
            let names: BTreeSet<String> = loading.map(|(name, _)| name.clone()).collect();
            (!names.is_empty()).then_some((*number, names))
        };
        let loading_exists = declarations.iter().filter_map(loading).collect();
        let secure = |(number, declared): (&u32, &Declaration)| {
            let secure = declared.namespaces.iter().filter(|(_, one)| one.secure);
            let names: BTreeSet<String> = secure.map(|(name, _)| name.clone()).collect();
            let keyspace = self.by_number.get(number).filter(|_| !names.is_empty())?;
            Some((keyspace.name().to_owned(), names))
        };
        let secure = declarations.iter().filter_map(secure).collect();
        let named = |(number, declared)| Some((self.by_number.get(number)?.name(), declared));
        let limits = Limits::of(declarations.iter().filter_map(named));
        Self { declarations, loading_exists, secure, limits, ..self }
    }

    /// The same, with the days of quotas told by `wall`.
    pub(crate) fn with_days_of(mut self, wall: &WallClock) -> Self {
        self.limits.by(wall.clone());
        self
    }

    /// Whether this namespace of the keyspace of this name is declared `secure`.
    pub(crate) fn is_secure(&self, keyspace: &str, namespace: &str) -> bool {
        self.secure.get(keyspace).is_some_and(|names| names.contains(namespace))
    }

    /// Whether who asks whether something exists in this namespace of the keyspace of this number has it loaded.
    pub(crate) fn loads_exists(&self, number: u32, namespace: &str) -> bool {
        self.loading_exists.get(&number).is_some_and(|names| names.contains(namespace))
    }

    /// How the keyspace of this number is declared.
    pub(crate) fn declaration(&self, number: u32) -> Option<&Declaration> {
        self.declarations.get(&number)
    }

    /// What the stores of the keyspace of this number lie on, where it has any.
    pub(crate) fn stores(&self, number: u32) -> Option<&StoresOf> {
        self.stores.get(&number)
    }
}

/// None are in service yet.
impl Default for Keyspaces {
    fn default() -> Self {
        Self::new(InService::default())
    }
}

impl Keyspaces {
    /// With the first ones in service.
    pub(crate) fn new(first: InService) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(first))))
    }

    /// Those in service now.
    pub(crate) fn now(&self) -> Arc<InService> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts others in service, all at once. Who has a snapshot of those before goes on with them.
    pub(crate) fn swap(&self, mut next: InService) {
        next.limits.follow(&self.now().limits);
        self.0.send_replace(Arc::new(next));
    }

    /// What a connection looks at, over and over.
    pub(crate) fn view(&self) -> View {
        let mut moves = self.0.subscribe();
        let now = Arc::clone(&moves.borrow_and_update());
        View { now, moves }
    }
}

impl View {
    /// Those that it saw last.
    pub(crate) fn now(&self) -> &Arc<InService> {
        &self.now
    }

    /// Looks again; whether others are in service than before.
    #[inline]
    pub(crate) fn refresh(&mut self) -> bool {
        // Without a sender nothing moves any more.
        if !self.moves.has_changed().unwrap_or(false) {
            return false;
        }
        self.now = Arc::clone(&self.moves.borrow_and_update());
        true
    }

    /// Waits until others are in service than those it saw last, and looks at them. It may be given up at any point.
    pub(crate) async fn moved(&mut self) {
        if self.moves.changed().await.is_err() {
            std::future::pending().await
        }
        self.now = Arc::clone(&self.moves.borrow());
    }
}
