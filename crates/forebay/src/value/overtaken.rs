//! What was done to parts of a value while the whole was being loaded, and what that makes of the load's answer.
//!
//! A load sees its source at some moment of its own. A field that was set, removed or invalidated here after the load began
//! may be older in the answer than it is here, so the answer takes over what is known here; a field of which nothing is known
//! becomes a hole. A member of a sorted set that a later event changed is changed in the answer too, by the same absolute
//! change. It leaves to others when this is asked, and what is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::hash::Hash;
use super::origin::Version;
use super::sorted_set::{MemberChange, SortedSet};
use super::{FieldState, Value};

/// Applies the changes of `version` to a set of version `of`, unless it knows them; whether it did.
pub(crate) fn apply_changes(
    set: &mut SortedSet,
    of: Version,
    version: Version,
    changes: &[MemberChange],
) -> bool {
    let newer = version > of;
    if newer {
        changes.iter().for_each(|change| change.apply(set));
    }
    newer
}

/// The parts of a value that were changed since its load began.
#[derive(Clone, Debug, Default)]
pub(crate) enum Overtaken {
    /// None was.
    #[default]
    Nothing,
    /// These fields of a hash were set, removed or invalidated.
    Fields(BTreeSet<Bytes>),
    /// These members of a sorted set were changed.
    Members(Vec<(Version, Vec<MemberChange>)>),
}

impl Overtaken {
    /// The most changes that are noted; beyond it, it is cheaper to load anew.
    const MAX: usize = Hash::HOLES_MAX;

    /// Whether no part was changed.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Notes a field; `false` where no more can be noted.
    #[must_use]
    pub(crate) fn touch(&mut self, field: Bytes) -> bool {
        if let Self::Nothing = self {
            *self = Self::Fields(BTreeSet::new());
        }
        match self {
            Self::Fields(fields) if fields.len() < Self::MAX || fields.contains(&field) => {
                fields.insert(field);
                true
            }
            _ => false,
        }
    }

    /// Notes the changes of one version, once; `false` where no more can be noted.
    #[must_use]
    pub(crate) fn upsert(&mut self, version: Version, changes: &[MemberChange]) -> bool {
        if let Self::Nothing = self {
            *self = Self::Members(Vec::new());
        }
        match self {
            Self::Members(noted) if noted.iter().any(|(known, _)| *known == version) => true,
            Self::Members(noted)
                if noted.iter().map(|(_, changes)| changes.len()).sum::<usize>() + changes.len()
                    <= Self::MAX =>
            {
                noted.push((version, changes.to_vec()));
                true
            }
            _ => false,
        }
    }

    /// Whether an answer takes over parts of what is held, and does not only forget them.
    pub(crate) fn takes_from(&self, held: Option<&Value>) -> bool {
        match (self, held.and_then(Value::as_hash)) {
            (Self::Fields(touched), Some(hash)) => {
                touched.iter().any(|field| hash.state(field) != FieldState::Unknown)
            }
            _ => false,
        }
    }

    /// Gives the answer of a load the parts that were changed meanwhile, as `held` has them; whether the answer may be stored.
    #[must_use]
    pub(crate) fn settle(
        &self,
        held: Option<&Value>,
        answer: &mut Option<Value>,
        version: &mut Option<Version>,
    ) -> bool {
        match (self, answer) {
            (Self::Nothing, _) => true,
            (Self::Fields(touched), Some(Value::Hash(loaded))) => {
                let mut known =
                    held.and_then(Value::as_hash).map_or_else(Hash::partial, |hash| (**hash).clone());
                known.make_whole(loaded, touched);
                *loaded = Arc::new(known);
                true
            }
            (Self::Members(noted), Some(Value::SortedSet(loaded))) => {
                let Some(version) = version else { return false };
                let set = Arc::make_mut(loaded);
                // Events may be told by several at once; what they made of a member is as of the last version.
                let mut noted: Vec<_> = noted.iter().collect();
                noted.sort_by_key(|(version, _)| *version);
                for (later, changes) in noted {
                    if apply_changes(set, *version, *later, changes) {
                        *version = *later;
                    }
                }
                true
            }
            (Self::Fields(_) | Self::Members(_), _) => false,
        }
    }
}
