//! Refreshes wait a moment for company, so that a thousand values that go stale together are one query.
//!
//! Nobody waits for a refresh, so it may be late. A reader who does wait for a gathered load takes all of it along at once
//! ([`Gather::take`]): a foreground miss is never delayed.

use std::time::Duration;

use crate::rt::Mutex;

/// How long refreshes gather.
pub(crate) const GATHER: Duration = Duration::from_millis(2);

/// So many do not wait for more.
const COMPANY_MAX: usize = 256;

/// Loads `T` that gather.
#[derive(Debug)]
pub(crate) struct Gather<T>(Mutex<Vec<T>>);

/// What became of a load that joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gathered<T> {
    /// It is the first: whoever added it takes them all after [`GATHER`].
    First,
    /// It waits with others.
    Waits,
    /// They are many enough to go at once.
    Full(Vec<T>),
}

impl<T> Default for Gather<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Gather<T> {
    /// Adds a load.
    pub(crate) fn add(&self, load: T) -> Gathered<T> {
        let mut gathered = self.0.lock();
        gathered.push(load);
        match gathered.len() {
            COMPANY_MAX.. => Gathered::Full(std::mem::take(&mut gathered)),
            1 => Gathered::First,
            _ => Gathered::Waits,
        }
    }

    /// How many have gathered.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// What has gathered.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPANY_MAX, Gather, Gathered};

    #[test]
    fn the_first_of_each_company_is_told() {
        let gather = Gather::default();
        assert_eq!([gather.add(1), gather.add(2)], [Gathered::First, Gathered::Waits]);
        assert_eq!(gather.take(), [1, 2]);
        assert_eq!(gather.add(3), Gathered::First, "nobody would take the next company");
    }

    #[test]
    fn a_full_company_goes_at_once() {
        let gather = Gather::default();
        let all: Vec<usize> = (0..COMPANY_MAX).collect();
        let last = all.iter().map(|load| gather.add(*load)).last();
        assert_eq!(last, Some(Gathered::Full(all)));
        assert!(gather.take().is_empty());
    }
}
