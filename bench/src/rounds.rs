//! Interleaved rounds: A B C A B C …, so that whatever else the machine does meets all contestants alike.
//!
//! The first round warms up and is not counted; of the others each contestant gets its median.

use std::time::{Duration, Instant};

use crate::error::Error;

/// One contestant's work of one round.
pub(crate) type Contestant<'a> = &'a mut dyn FnMut() -> Result<(), Error>;

/// Runs every contestant once a round, for `rounds` counted rounds; each one's median time of a round.
///
/// # Errors
/// The first that a contestant gives.
pub(crate) fn medians<const N: usize>(
    rounds: usize,
    mut contestants: [Contestant<'_>; N],
) -> Result<[Duration; N], Error> {
    let mut taken: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        for (work, taken) in contestants.iter_mut().zip(&mut taken) {
            #[expect(clippy::disallowed_methods, reason = "what is measured is the machine's own time")]
            let start = Instant::now();
            work()?;
            let elapsed = start.elapsed();
            if round > 0 {
                taken.push(elapsed);
            }
        }
    }
    Ok(taken.map(median))
}

/// The middle one of `taken`.
pub(crate) fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort_unstable();
    taken.get(taken.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::{median, medians};
    use crate::error::Error;

    #[test]
    fn rounds_are_interleaved_and_the_first_is_a_warm_up() {
        let order = RefCell::new(String::new());
        let note = |name: char| -> Result<(), Error> {
            order.borrow_mut().push(name);
            Ok(())
        };
        assert!(medians(2, [&mut || note('a'), &mut || note('b')]).is_ok());
        assert_eq!(*order.borrow(), "ababab");
    }

    #[test]
    fn an_outlier_does_not_move_the_median() {
        let taken = [5, 900, 4, 6, 5].map(Duration::from_millis);
        assert_eq!(median(taken.to_vec()), Duration::from_millis(5));
    }

    #[test]
    fn a_contestant_that_fails_ends_the_run() {
        let failed = medians(3, [&mut || Err(Error::KeptStale)]);
        assert!(matches!(failed, Err(Error::KeptStale)));
    }
}
