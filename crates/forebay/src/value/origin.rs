//! Where a value comes from, as far as order is concerned: log positions, versions, tags.
//!
//! None of these is a time. A [`Position`] orders loads against invalidations, a [`Version`] orders values of one key
//! against each other; both are compared and never added up with clocks.

use std::sync::Arc;

/// A position in the invalidation log. Records have positions from 1 up, without gaps; zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// The position numbered `number`.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The version of a value, as its source counts: a row's counter, or a time in microseconds. Greater is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i64);

/// A group that values belong to and are invalidated with, such as `symbol:BTC`.
pub type Tag = Arc<str>;

/// What only some values have beside their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The groups that it belongs to.
    pub tags: Vec<Tag>,
    /// Its version, where the namespace declares one.
    pub version: Option<Version>,
}

impl Extras {
    /// Itself behind a pointer; `None` where there is nothing to keep.
    #[must_use]
    pub fn kept(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }

    /// What it weighs, in bytes.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        let tags = self.tags.iter().map(|tag| tag.len() + size_of::<Tag>() + 2 * size_of::<usize>());
        super::length(size_of::<Self>() + 2 * size_of::<usize>() + tags.sum::<usize>())
    }
}
