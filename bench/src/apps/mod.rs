//! Whole apps beside what teams write in their place: cache-aside by hand over redis-server, on the same database under the same load.
//!
//! Ours is the served app, asked over HTTP and RESP. By hand is a small honest reference in this process (`by_hand.rs`): it has no HTTP in
//! front, which is an advantage of its own. What either answers wrong is counted.

mod by_hand;
mod client;
pub(crate) mod orders;
pub(crate) mod quotes;

use std::time::Duration;

/// The value at `part` of what was taken, in microseconds.
fn at(took: &mut [Duration], part: f64) -> f64 {
    took.sort_unstable();
    let last = took.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    #[expect(clippy::cast_precision_loss, reason = "a list is not that long")]
    let place = (last as f64 * part) as usize;
    took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e6)
}
