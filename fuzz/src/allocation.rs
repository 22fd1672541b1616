//! How much memory a parser may take for an input.
//!
//! What a stranger *announces* costs nothing, only what he sends does: at no time is more allocated than a multiple of the input and a
//! constant. The class of faults is that of CVE-2021-32675 (Redis), where twelve bytes asked for gigabytes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::Fault;

/// What may be allocated at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// For each byte of input, in bytes.
    pub factor: u64,
    /// Whatever the input, in bytes.
    pub base_bytes: u64,
}

impl Bound {
    /// Of every parser that reads what strangers send.
    pub const STRANGERS: Self = Self { factor: 16, base_bytes: 64 * 1024 };

    /// For an input of this length, in bytes.
    #[must_use]
    pub fn of(self, input_bytes: usize) -> u64 {
        let input_bytes = u64::try_from(input_bytes).unwrap_or(u64::MAX);
        input_bytes.saturating_mul(self.factor).saturating_add(self.base_bytes)
    }
}

/// The result of `work` on an input of `input_bytes` bytes. Counted is what this thread allocates, net of what it frees.
///
/// # Errors
/// [`Fault::Allocation`] where it took more than `bound`.
pub fn within<T>(bound: Bound, input_bytes: usize, work: impl FnOnce() -> T) -> Result<T, Fault> {
    let mut ended = None;
    // A panic may not pass through the counter, which would count on for ever.
    let counted = allocation_counter::measure(|| ended = Some(catch_unwind(AssertUnwindSafe(work))));
    let result = match ended {
        Some(Ok(result)) => result,
        Some(Err(panic)) => resume_unwind(panic),
        None => return Err(Fault::Stage("the counter of allocations did nothing".to_owned())),
    };
    let (allocated_bytes, bound_bytes) = (counted.bytes_max, bound.of(input_bytes));
    if allocated_bytes > bound_bytes {
        return Err(Fault::Allocation { allocated_bytes, input_bytes, bound_bytes });
    }
    Ok(result)
}
