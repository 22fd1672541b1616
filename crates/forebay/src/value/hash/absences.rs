//! Fields of a partial hash that are known not to exist, the oldest first to be forgotten.
//!
//! It takes no room before there is one. How many are remembered is bounded ([`Hash::ABSENCES_MAX`]).

use std::sync::Arc;

use super::Hash;
use crate::value::length;
use crate::value::name::{Alias, Name, Sought};
use crate::value::tree::Tree;

/// Fields known not to exist.
#[derive(Clone, Default)]
pub(super) struct Absences(Option<Arc<Remembered>>);

#[derive(Clone, Default)]
struct Remembered {
    numbers: Tree<Name, u64>,
    by_age: Tree<u64, Alias>,
}

/// What they take beside what is in the trees, in bytes: the trees themselves and the counts of references.
const REMEMBERED_BYTES: usize = size_of::<Remembered>() + 2 * size_of::<usize>();

impl Absences {
    pub(super) fn contains(&self, sought: Sought<'_>) -> bool {
        self.0.as_ref().is_some_and(|all| all.numbers.get_by(sought.order()).is_some())
    }

    pub(super) fn remember(&mut self, sought: Sought<'_>) {
        if self.contains(sought) {
            return;
        }
        let all = Arc::make_mut(self.0.get_or_insert_default());
        let newest = all.by_age.len().checked_sub(1).and_then(|last| all.by_age.nth(last));
        let number = newest.map_or(0, |(number, _)| number.saturating_add(1));
        let name = sought.to_name();
        all.by_age.insert(number, name.alias());
        all.numbers.insert(name, number);
        while all.numbers.len() > Hash::ABSENCES_MAX {
            let Some((_, oldest)) = all.by_age.nth(0) else { return };
            let oldest = oldest.clone();
            all.forget(Sought::new(oldest.bytes()));
        }
    }

    pub(super) fn forget(&mut self, sought: Sought<'_>) {
        if !self.contains(sought) {
            return;
        }
        let Some(all) = self.0.as_mut().map(Arc::make_mut) else { return };
        all.forget(sought);
        if all.numbers.is_empty() {
            self.0 = None;
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().flat_map(|all| all.numbers.iter()).map(|(name, _)| name)
    }

    pub(super) fn weight_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |all| {
            all.numbers.weight_bytes() + all.by_age.weight_bytes() + length(REMEMBERED_BYTES)
        })
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        self.0.as_ref().map_or(Ok(()), |all| all.validate())
    }
}

impl Remembered {
    fn forget(&mut self, sought: Sought<'_>) {
        if let Some((_, number)) = self.numbers.remove_by(sought.order()) {
            self.by_age.remove_by(|it| it.cmp(&number));
        }
    }

    fn validate(&self) -> Result<(), String> {
        self.numbers.validate()?;
        self.by_age.validate()?;
        let paired = |(name, number): (&Name, &u64)| {
            self.by_age.get_by(|it| it.cmp(number)).is_some_and(|(_, alias)| alias.bytes() == name.bytes())
        };
        if self.numbers.is_empty()
            || self.numbers.len() > Hash::ABSENCES_MAX
            || self.numbers.len() != self.by_age.len()
            || !self.numbers.iter().all(paired)
        {
            return Err(format!("{} absences, {} ages", self.numbers.len(), self.by_age.len()));
        }
        Ok(())
    }
}
