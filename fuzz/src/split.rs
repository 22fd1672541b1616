//! The same result however the input is cut into pieces.
//!
//! A stream arrives as the network likes. A decoder that remembers where it stood must come to the same end as one that gets
//! everything at once.

use std::fmt::Debug;

use crate::Fault;
use crate::mutate::seed_of;

/// Inputs up to this length, in bytes, are cut at every place.
const EVERY_PLACE_BYTES: usize = 40;
/// Inputs up to this length, in bytes, are also cut into single bytes.
const SINGLE_BYTES: usize = 1024;
/// How often an input is cut at places drawn from it.
const DRAWN: usize = 3;
/// The longest text of a result that a fault shows, in characters.
const SHOWN: usize = 400;

/// What `feed` makes of `input`, which must be the same for the pieces of every cutting that is tried.
///
/// # Errors
/// [`Fault::Split`] where it is not.
pub fn same_however_cut<T: PartialEq + Debug>(
    input: &[u8],
    mut feed: impl FnMut(&[&[u8]]) -> T,
) -> Result<T, Fault> {
    let whole = feed(&[input]);
    for pieces in cuttings(input) {
        let cut = feed(&pieces);
        if cut != whole {
            let pieces = pieces.iter().map(|piece| piece.len()).collect();
            return Err(Fault::Split { pieces, cut: shown(&cut), whole: shown(&whole) });
        }
    }
    Ok(whole)
}

fn shown(result: &impl Debug) -> String {
    format!("{result:?}").chars().take(SHOWN).collect()
}

fn cuttings(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut all = Vec::new();
    if input.len() <= EVERY_PLACE_BYTES {
        all.extend((1..input.len()).map(|at| pieces(input, vec![at])));
    }
    if input.len() <= SINGLE_BYTES {
        all.push(input.chunks(1).collect());
    }
    let mut chance = fastrand::Rng::with_seed(seed_of(input));
    for _ in 0..DRAWN {
        let cuts = (0..chance.usize(1..=6)).map(|_| chance.usize(0..=input.len())).collect();
        all.push(pieces(input, cuts));
    }
    all
}

/// `input` cut at the places `cuts`.
fn pieces(input: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    cuts.sort_unstable();
    let mut from = 0;
    let mut pieces = Vec::with_capacity(cuts.len() + 1);
    for to in cuts.into_iter().chain([input.len()]) {
        pieces.push(input.get(from..to).unwrap_or_default());
        from = to;
    }
    pieces
}
