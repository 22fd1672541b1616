//! A disk without a folder: the same rows in a map, for a process that keeps nothing.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::rows::{Base, Overlay, Visit};
use super::{DiskError, Space};

/// Rows in memory.
#[derive(Debug, Default)]
pub(super) struct Rows {
    spaces: BTreeMap<Space, BTreeMap<Bytes, Bytes>>,
}

impl Rows {
    pub(super) fn commit(&mut self, changes: &Overlay) {
        for (space, key, content) in changes.rows() {
            let rows = self.spaces.entry(space).or_default();
            match content {
                Some(content) => rows.insert(key.clone(), content.clone()),
                None => rows.remove(key),
            };
        }
    }

    pub(super) fn clear(&mut self, space: Space) {
        self.spaces.remove(&space);
    }

    pub(super) fn bytes(&self) -> u64 {
        let rows = self.spaces.values().flatten();
        rows.map(|(key, content)| u64::try_from(key.len() + content.len()).unwrap_or(u64::MAX)).sum()
    }
}

impl Base for Rows {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        Ok(self.spaces.get(&space).and_then(|rows| rows.get(key)).cloned())
    }

    fn walk(&self, space: Space, from: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), DiskError> {
        let rows = self.spaces.get(&space).map(|rows| rows.range::<[u8], _>((from, Bound::Unbounded)));
        for (key, content) in rows.into_iter().flatten() {
            if !visit(key, Ok(content.clone())) {
                break;
            }
        }
        Ok(())
    }
}
