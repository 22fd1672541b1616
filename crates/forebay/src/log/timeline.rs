//! One line of positions out of many epochs.
//!
//! Positions of different epochs cannot be compared, and entries of both lie in memory. So each instance keeps a line of its
//! own that only ascends: within an epoch it is the log's positions, shifted; a new epoch begins above everything that was
//! placed before. It guarantees that order within an epoch is kept and that nothing of a later epoch lies below anything of
//! an earlier one. That what lies below is suspect is for `groups.rs` to say.

use super::{Cursor, Epoch};
use crate::value::Position;

/// The line, and the epoch that it has reached.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    epoch: Epoch,
    /// Added, wrapping, to a position of the epoch.
    shift: u64,
    /// The first place of the epoch; what the log has before it is before this.
    start: Position,
    /// The last place given.
    top: Position,
}

/// Where a place of the log lies on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Here.
    At(Position),
    /// Here, in an epoch that begins with it: what was placed before is suspect.
    Began(Position),
    /// In an epoch that has ended.
    Ended,
}

impl Timeline {
    /// Where `place` lies.
    pub(super) fn place(&mut self, place: Cursor) -> Placed {
        if place.epoch < self.epoch {
            return Placed::Ended;
        }
        if place.epoch == self.epoch {
            let number = place.position.number().wrapping_add(self.shift);
            let first = self.start.number().wrapping_sub(self.shift);
            // Of the time before this instance knew the epoch: below its first place, however far.
            let before = place.position.number() < first;
            let at = if before { Position::START } else { Position::new(number) };
            self.top = self.top.max(at);
            return Placed::At(at);
        }
        // The first epoch keeps the log's own numbers.
        let at = if self.epoch == Epoch::default() { place.position } else { self.top.next() };
        *self = Self {
            epoch: place.epoch,
            shift: at.number().wrapping_sub(place.position.number()),
            start: at,
            top: at,
        };
        Placed::Began(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Placed, Timeline};
    use crate::log::{Cursor, Epoch};
    use crate::value::Position;

    fn cursor(epoch: u64, position: u64) -> Cursor {
        Cursor { epoch: Epoch(epoch), position: Position::new(position) }
    }

    #[test]
    fn a_new_epoch_begins_above_all_that_was_placed() {
        let mut line = Timeline::default();
        let mut place = |epoch, position| line.place(cursor(epoch, position));
        assert_eq!(place(3, 1000), Placed::Began(Position::new(1000)));
        assert_eq!(place(3, 1007), Placed::At(Position::new(1007)));
        assert_eq!(place(3, 1002), Placed::At(Position::new(1002)));
        // A fail-over lost the last ten.
        assert_eq!(place(4, 997), Placed::Began(Position::new(1008)));
        assert_eq!(place(4, 998), Placed::At(Position::new(1009)));
        assert_eq!(place(4, 990), Placed::At(Position::START), "before the epoch was known");
        assert_eq!(place(3, 1008), Placed::Ended);
        // A log that begins at zero.
        assert_eq!(place(9, 0), Placed::Began(Position::new(1010)));
        assert_eq!(place(9, 1), Placed::At(Position::new(1011)));
    }
}
