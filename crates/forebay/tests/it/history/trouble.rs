//! What happens to the way between instances and their shared tier: by chance to every exchange, and in turn to all of them.

use fastrand::Rng;
use forebay_simulated::{ANSWER_WITHIN, Faults, Partition, SimulatedTier};

use super::record::Reach;

/// How long an answer of the tier may wait until the log is applied as far as the tier knew it, in milliseconds.
const CATCH_UP_MS: u64 = 100;

/// The troubles of one world.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// What happens by chance while there is trouble.
    faults: Faults,
    /// Whether instances are cut off, so long that nobody waits for them.
    cuts: bool,
}

impl Trouble {
    pub fn draw(rng: &mut Rng) -> Self {
        let cuts = rng.bool();
        let most = if cuts { 100 } else { 20 };
        let mut per_mille = || rng.u16(0..most);
        let (refuse, lose_request, lose_answer) = (per_mille(), per_mille(), per_mille());
        let (late, repeat) = (per_mille(), 10 * per_mille());
        let delay_ms_max = if rng.bool() { rng.u64(0..20) } else { 0 };
        Self { faults: Faults { delay_ms_max, refuse, lose_request, lose_answer, late, repeat }, cuts }
    }

    /// How soon an invalidation must be seen, whatever the trouble is.
    pub fn reach(&self, visible_within: u64) -> Reach {
        let answer = u64::try_from(ANSWER_WITHIN.as_millis()).unwrap();
        let delay = self.faults.delay_ms_max;
        // What comes after its sender has given up is delayed twice.
        let way = if self.faults.late > 0 { answer + 1 + 2 * delay } else { delay };
        // A millisecond for a task that is ready and has not run.
        Reach { visible_within, way: way + 1, answer: answer + CATCH_UP_MS + 1 }
    }

    /// Nothing goes wrong: what is sent arrives, though not at once, and may come twice.
    pub fn ends(&self, tier: &SimulatedTier, instances: usize) {
        let Faults { delay_ms_max, repeat, .. } = self.faults;
        tier.set_faults(Faults { delay_ms_max, repeat, ..Faults::default() });
        for instance in 0..instances {
            tier.partition(number(instance), None);
        }
    }

    /// Trouble begins; the instance that is cut off.
    pub fn begins(&self, tier: &SimulatedTier, instances: usize, rng: &mut Rng) -> Option<usize> {
        tier.set_faults(self.faults);
        let instance = rng.usize(0..instances);
        let how = [Partition::Refused, Partition::Requests, Partition::Answers][rng.usize(0..3)];
        if self.cuts && rng.u8(0..3) > 0 {
            tier.partition(number(instance), Some(how));
            return Some(instance);
        }
        forget(tier, rng);
        None
    }

    /// Trouble is about to end: what an instance that was cut off has missed may be gone by then.
    pub fn is_ending(&self, tier: &SimulatedTier, rng: &mut Rng) {
        if self.cuts && rng.u8(0..3) > 0 {
            forget(tier, rng);
        }
    }
}

/// The tier forgets some of its log: it fails over, or it cuts it short.
fn forget(tier: &SimulatedTier, rng: &mut Rng) {
    match rng.u8(0..5) {
        0..2 => tier.restart(rng.usize(0..30)),
        2..4 => tier.trim(rng.usize(0..3)),
        _ => {}
    }
}

/// The number of an instance, as the tier knows it.
pub fn number(instance: usize) -> u64 {
    u64::try_from(instance).unwrap()
}
