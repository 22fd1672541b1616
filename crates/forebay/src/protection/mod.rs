//! What stands between a miss and its source: a breaker that leaves a failing source alone, and a filter that knows
//! which keys cannot exist.
//!
//! Both give verdicts and do nothing: whether a refused load ends in a stale value or in an error, and what counts as a
//! failure, is for the loader to say. How many loads run at once is the loader's queue.

mod breaker;
mod filter;

pub(crate) use breaker::{Breaker, Permit, Verdict};
pub use breaker::{BreakerState, Phase};
pub use filter::FilterOptions;
pub(crate) use filter::{Answer, Filter};
