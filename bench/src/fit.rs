//! How large a budget of ours has room for so many entries, as it ships: found by filling, since what an entry takes beside
//! its value is the engine's business.

use std::time::Duration;

use forebay::{Forebay, Namespace, Value};

use crate::error::Error;

/// The least budget that an engine takes, in bytes.
pub(crate) const BUDGET_MIN_BYTES: u64 = 1024 * 1024;
const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Entries whose weights are known: all keys are of one length, all values weigh the same.
#[derive(Clone, Copy)]
pub(crate) struct Entries<'k> {
    /// The text of a key, by its number.
    pub(crate) key: &'k dyn Fn(u32) -> String,
    /// What a value weighs, in bytes.
    pub(crate) value_bytes: u64,
}

impl Entries<'_> {
    /// The largest budget found, in bytes, that holds no more than `wanted` of them, and not many fewer.
    ///
    /// # Errors
    /// Where none is found.
    pub(crate) fn budget_bytes(&self, wanted: u32) -> Result<u64, Error> {
        let mut low = (u64::from(wanted) * self.value_bytes).max(BUDGET_MIN_BYTES);
        let mut high = low + u64::from(wanted) * 512 + BUDGET_MIN_BYTES;
        let few = wanted - wanted / 200;
        let mut best = None;
        while high - low > self.value_bytes / 8 {
            let middle = low.midpoint(high);
            let held = self.held(wanted, middle)?;
            if held > wanted {
                high = middle;
                continue;
            }
            best = best.max(Some((held, middle)));
            if held >= few {
                break;
            }
            low = middle;
        }
        let fits = best.filter(|(held, _)| held * 10 >= wanted * 9);
        fits.map(|(_, bytes)| bytes).ok_or(Error::NoFit { wanted, held: best.map_or(0, |best| best.0) })
    }

    /// How many an engine with this budget holds after more than `wanted` of them.
    fn held(&self, wanted: u32, budget_bytes: u64) -> Result<u32, Error> {
        let (forebay, namespace) = namespace(budget_bytes)?;
        for number in 0..wanted + wanted / 8 + 2 {
            self.put(&namespace, number)?;
        }
        Ok(u32::try_from(forebay.memory().len()).unwrap_or(u32::MAX))
    }

    fn put(&self, namespace: &Namespace<()>, number: u32) -> Result<(), Error> {
        Ok(namespace.write((self.key)(number).as_bytes(), Value::native((), self.value_bytes), None)?)
    }
}

/// A namespace without a source in an engine of its own.
pub(crate) fn namespace(budget_bytes: u64) -> Result<(Forebay, Namespace<()>), Error> {
    let forebay = Forebay::builder().memory_budget_bytes(budget_bytes).build()?;
    let namespace = forebay.namespace("entries").key("{key}").ttl(TTL).build()?;
    Ok((forebay, namespace))
}

#[cfg(test)]
mod tests {
    use super::{BUDGET_MIN_BYTES, Entries};

    #[test]
    fn the_budget_holds_what_was_wanted_and_no_more() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        for (wanted, value_bytes) in [(14, BUDGET_MIN_BYTES / 14), (1_500, 1024), (10_000, 100)] {
            let entries = Entries { key: &|number| format!("{number:08}"), value_bytes };
            let budget_bytes = entries.budget_bytes(wanted).unwrap();
            let held = entries.held(wanted, budget_bytes).unwrap();
            assert!((wanted - wanted / 50..=wanted + wanted / 100).contains(&held), "{held} of {wanted}");
        }
    }
}
