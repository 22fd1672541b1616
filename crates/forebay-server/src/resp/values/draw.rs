//! Entries drawn by chance: `HRANDFIELD`, `ZRANDMEMBER`.

use std::collections::BTreeSet;

use super::Answer;

/// Answers entries of a collection of `len`: as many as `count` says, or one outside of an array. `tell` answers what stands with each,
/// where that is asked for.
pub(super) fn answer<'c, T: Copy>(
    count: Option<i64>,
    len: usize,
    nth: impl Fn(usize) -> Option<(&'c [u8], T)>,
    tell: Option<impl Fn(&mut Answer<'_>, T)>,
    answer: &mut Answer<'_>,
) {
    let drawn: Vec<_> = places(count.unwrap_or(1), len).into_iter().filter_map(nth).collect();
    match count {
        None => answer.maybe(drawn.first().map(|(name, _)| *name)),
        Some(_) => answer.names(&drawn, tell),
    }
}

/// Places of `count` of the `len` entries of a collection, all different, or, for a negative count, of as many that may be the same.
fn places(count: i64, len: usize) -> Vec<usize> {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if len == 0 {
        return Vec::new();
    }
    if count < 0 {
        return (0..wanted).map(|_| fastrand::usize(..len)).collect();
    }
    if wanted >= len {
        return (0..len).collect();
    }
    // Floyd's algorithm (Bentley, "A sample of brilliance", CACM 30(9), 1987): every set of places is as likely as any other, and what
    // is not drawn costs nothing.
    let mut drawn = BTreeSet::new();
    for last in len - wanted..len {
        let place = fastrand::usize(..=last);
        if !drawn.insert(place) {
            drawn.insert(last);
        }
    }
    let mut drawn: Vec<_> = drawn.into_iter().collect();
    fastrand::shuffle(&mut drawn);
    drawn
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn places_are_as_many_as_asked_for_and_each_is_drawn() {
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            let mut drawn = places(3, 5);
            drawn.iter().for_each(|place| seen[*place] += 1);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 3);
        }
        // 600 each, with a deviation of 15.
        assert!(seen.iter().all(|times| (500..700).contains(times)), "{seen:?}");
        assert_eq!(places(9, 3), [0, 1, 2]);
        assert!(places(0, 3).is_empty());
        assert!(places(-7, 0).is_empty());
        let drawn = places(-100, 2);
        assert!(drawn.len() == 100 && drawn.contains(&0) && drawn.contains(&1));
    }
}
