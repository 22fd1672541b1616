//! A change of keys that has begun: nobody else changes them until it is committed or dropped.
//!
//! What is committed is atomic for the keys of one namespace, and not across namespaces: those are committed one after the other, and
//! the first that fails keeps back those that come after it. Their order sees to it that no value is lost: what is only put
//! comes first, what is only deleted last, so that a `RENAME` from one namespace to another that is cut in the middle leaves the
//! value under both keys. Once it has begun, a commit of several namespaces is carried to its end by a task of its own, also
//! where the connection is ended meanwhile; only the end of the process cuts it.

use std::sync::Arc;

use bytes::Bytes;
use forebay::rt::Tasks;
use forebay::{Blob, Error, KeysChange, Kind, Namespace, Slot};
use tokio::sync::oneshot;

use super::data::ending;
use super::values::{Cell, Ends, View};
use super::watch::Watches;

/// How often a change is begun again that somebody came before who waits for nobody. Such writers are those of one whole value where
/// memory has the only copy: more than a few in a row between a beginning and its commit are not chance.
pub(super) const TRIES_MAX: usize = 8;

/// Keys of some namespaces of one keyspace, whose turns it has.
pub(super) struct Begun {
    parts: Vec<Part>,
}

/// The keys of one namespace.
struct Part {
    /// In the order of their bytes.
    keys: Vec<Bytes>,
    change: KeysChange,
    namespace: Arc<str>,
    /// The kind that it declares.
    kind: Option<Kind>,
    is_store: bool,
    db: u32,
    /// Those of the keys that the commit changes, and what it does with some of them.
    changed: Vec<Bytes>,
    puts: bool,
    deletes: bool,
}

/// Whether a change was not committed, no part of it, since somebody else was faster: it may be begun again.
pub(super) fn may_begin_again(error: &Error) -> bool {
    matches!(error, Error::ChangedMeanwhile { .. })
}

impl Begun {
    /// Has the turns, for the connection `maker`, of those `keys` of the keyspace `db` whose places stand beside their namespace. All who begin changes name
    /// namespaces in the same order, that of the keyspace, so that none waits for one who waits for it.
    pub(super) async fn new(
        (db, maker): (u32, Option<u64>),
        keys: &[Bytes],
        namespaces: Vec<(&Namespace<Blob>, Vec<usize>)>,
    ) -> Result<Self, Error> {
        let mut parts = Vec::with_capacity(namespaces.len());
        for (namespace, places) in namespaces {
            let mut own: Vec<Bytes> = places.iter().filter_map(|place| keys.get(*place)).cloned().collect();
            own.sort_unstable();
            own.dedup();
            let texts: Vec<&[u8]> = own.iter().map(AsRef::as_ref).collect();
            let mut change = namespace.begin_change(&texts).await?;
            maker.into_iter().for_each(|maker| change.by(maker));
            parts.push(Part {
                keys: own,
                change,
                namespace: namespace.name().into(),
                kind: namespace.policy().kind,
                is_store: namespace.is_store(),
                db,
                changed: Vec::new(),
                puts: false,
                deletes: false,
            });
        }
        Ok(Self { parts })
    }

    /// What the keys have.
    pub(super) fn view(&mut self) -> View {
        let cells = self.parts.iter_mut().flat_map(|part| {
            let kind = part.kind;
            let cell = |slot: &Slot| {
                let left = slot.left().and_then(|left| ending(Some(left)));
                Cell::new(slot.value().cloned(), left).of_kind(kind)
            };
            part.keys.iter().cloned().zip(part.change.slots().iter().map(cell)).collect::<Vec<_>>()
        });
        View::new(cells)
    }

    /// The parts, each of which has what the view has now.
    fn filled(mut self, view: View) -> Vec<Part> {
        for (key, cell) in view.into_cells() {
            let found = self
                .parts
                .iter_mut()
                .find_map(|part| part.keys.binary_search(&key).ok().map(|place| (part, place)));
            if let Some((part, place)) = found {
                part.fill(key, place, cell);
            }
        }
        self.parts
    }
}

impl Part {
    /// Gives the key at `place` what its cell has now.
    fn fill(&mut self, key: Bytes, place: usize, cell: Cell) {
        let is_new = cell.is_new();
        let Some((value, ends)) = cell.changed() else { return };
        let Some(slot) = self.change.slots().get_mut(place) else { return };
        match value {
            Some(value) if is_new => slot.replace(value),
            value => *slot.value_mut() = value,
        }
        match ends {
            Ends::After(ttl) => drop(slot.ends_after(ttl)),
            Ends::Never => drop(slot.never_ends()),
            Ends::AsBefore | Ends::Anew => {}
        }
        let is_there = slot.value().is_some();
        self.puts |= is_there;
        self.deletes |= !is_there;
        self.changed.push(key);
    }

    /// When it is committed, among the others. Memory comes before stores: whether what was read there still holds shows only then, and
    /// is to show while nothing is done yet. Stores that were only read have nothing to do, and keep their turns to the end.
    fn order(&self) -> (u8, bool) {
        let class = match (self.puts, self.deletes) {
            (false, false) if self.is_store => 4,
            (false, false) => 0,
            (true, false) => 1,
            (true, true) => 2,
            (false, true) => 3,
        };
        (class, self.is_store)
    }
}

/// Makes the keys have what the views have now, as the module's head says, and tells who watches those that were changed.
///
/// # Errors
/// As [`KeysChange::commit`]: nothing was done, except after [`Error::StoreUnconfirmed`], which also says that one namespace was
/// changed and another was not.
pub(super) async fn commit(all: Vec<(Begun, View)>, watches: &Arc<Watches>) -> Result<(), Error> {
    let mut parts: Vec<Part> = all.into_iter().flat_map(|(begun, view)| begun.filled(view)).collect();
    parts.sort_by_key(Part::order);
    let mut changing = parts.iter().filter(|part| !part.changed.is_empty());
    // The commit of one namespace is not cut by who goes away; a task would cost the usual command something.
    let (Some(first), Some(_)) = (changing.next(), changing.next()) else {
        return in_order(parts, Arc::clone(watches)).await;
    };
    let namespace = Arc::clone(&first.namespace);
    let Some(tasks) = Tasks::current() else { return in_order(parts, Arc::clone(watches)).await };
    let (tell, told) = oneshot::channel();
    let (owner, watches) = (tasks.clone(), Arc::clone(watches));
    tasks.start(async move {
        // A connection that has ended is told nothing.
        let _ = tell.send(in_order(parts, watches).await);
        // Tasks end with their owner: this one keeps it until it is done.
        drop(owner);
    });
    // Each of the namespaces has a deadline for its part.
    told.await.unwrap_or_else(|_| Err(Error::StoreUnconfirmed { namespace, cause: None }))
}

async fn in_order(parts: Vec<Part>, watches: Arc<Watches>) -> Result<(), Error> {
    let mut is_partial = false;
    for Part { change, namespace, db, changed, .. } in parts {
        let has_effect = !changed.is_empty();
        let mut telling = Telling { watches: &watches, db, changed };
        match change.commit().await {
            Ok(()) => is_partial |= has_effect,
            Err(error @ Error::StoreUnconfirmed { .. }) => return Err(error),
            Err(error) => {
                telling.changed.clear();
                let partial = |cause| Error::StoreUnconfirmed { namespace, cause: Some(Arc::new(cause)) };
                return Err(if is_partial { partial(error) } else { error });
            }
        }
    }
    Ok(())
}

/// Tells who watches keys that they were changed, or may have been, when it is dropped: also where nobody waits for the commit any more.
struct Telling<'w> {
    watches: &'w Watches,
    db: u32,
    changed: Vec<Bytes>,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.watches.changed(self.db, &self.changed);
    }
}
