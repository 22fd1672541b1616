//! A change of keys that has begun: nobody else changes them until it is committed or dropped.

use bytes::Bytes;
use forebay::{Blob, Error, KeysChange, Namespace};

use super::data::ending;
use super::values::{Cell, Ends, View};
use super::watch::Watches;

/// Keys of some namespaces, whose turns it has.
pub(super) struct Begun {
    /// Those of each namespace, in the order of their bytes.
    changes: Vec<(Vec<Bytes>, KeysChange)>,
}

impl Begun {
    /// Has the turns of those `keys` whose places stand beside their namespace. All who begin changes name namespaces in the same
    /// order, that of the keyspace, so that none waits for one who waits for it.
    pub(super) async fn new(
        keys: &[Bytes],
        namespaces: Vec<(&Namespace<Blob>, Vec<usize>)>,
    ) -> Result<Self, Error> {
        let mut changes = Vec::with_capacity(namespaces.len());
        for (namespace, places) in namespaces {
            let mut own: Vec<Bytes> = places.iter().filter_map(|place| keys.get(*place)).cloned().collect();
            own.sort_unstable();
            own.dedup();
            let texts: Vec<&[u8]> = own.iter().map(AsRef::as_ref).collect();
            let change = namespace.begin_change(&texts).await?;
            changes.push((own, change));
        }
        Ok(Self { changes })
    }

    /// What the keys have.
    pub(super) fn view(&mut self) -> View {
        let cells = self.changes.iter_mut().flat_map(|(keys, change)| {
            let cell = |slot: &forebay::Slot| {
                Cell::new(slot.value().cloned(), slot.left().and_then(|left| ending(Some(left))))
            };
            keys.iter().cloned().zip(change.slots().iter().map(cell)).collect::<Vec<_>>()
        });
        View::new(cells)
    }

    /// Makes the keys of the keyspace `db` have what the view has now, those of each namespace all at once, and tells who watches them.
    pub(super) async fn commit(mut self, view: View, db: u32, watches: &Watches) -> Result<(), Error> {
        let mut changed = Vec::new();
        for (key, cell) in view.into_cells() {
            let Some((value, ends)) = cell.changed() else { continue };
            let slot = self
                .changes
                .iter_mut()
                .find_map(|(keys, change)| change.slots().get_mut(keys.binary_search(&key).ok()?));
            let Some(slot) = slot else { continue };
            changed.push(key);
            match (value, ends) {
                (Some(value), Ends::Anew) => slot.replace(value),
                (value, ends) => {
                    *slot.value_mut() = value;
                    match ends {
                        Ends::After(ttl) => drop(slot.ends_after(ttl)),
                        Ends::Never => drop(slot.never_ends()),
                        Ends::AsBefore | Ends::Anew => {}
                    }
                }
            }
        }
        for (_, change) in self.changes {
            change.commit().await?;
        }
        watches.changed(db, &changed);
        Ok(())
    }
}
