//! Writes by clients. In a namespace whose writes are `cache` a value is kept until its TTL or an invalidation; the source
//! is never touched, and loads that began before the write cannot overwrite it. Where they go `through`, a [`Sink`] applies them
//! first: its contract is here, and the order in which it is asked. Where they go `behind`, a [`Journal`] keeps them until the
//! sink has applied them (`behind/`). What becomes of copies is told by the engine.

mod behind;
mod function;
mod journal;
mod order;
mod sink;

pub(crate) use behind::{Behind, Call, Failed, Job, Laid, Next, Parked, Since, Turned, weight_bytes};
pub use behind::{BehindOptions, PendingWrites};
pub use function::{WriteMany, WriteOne, write_many, write_one};
pub use journal::{Committing, Journal, JournalEntry, JournalError, Kept, KeptDead, Operation, Recovered};
pub(crate) use order::{Going, Order, Place};
pub(crate) use sink::WrongCount;
pub use sink::{Applied, Applying, Change, Effect, OperationId, Outcomes, Sink, SinkError, SinkWrite, Unfit};

use crate::loader::Flights;
use crate::rt::planted::{Bug, planted};
use crate::tier::memory::{Admit, Filled, Held, MemoryTier};

/// Keeps `held` for `key`, fencing off the loads in flight.
///
/// The flight is closed under the lock of the insert: a load that boards later looks at memory after that lock, and finds
/// the value.
pub(crate) fn keep(memory: &MemoryTier, flights: &Flights, namespace: u32, key: &[u8], held: Held) -> Filled {
    let close = |_: Option<&Held>| {
        if !planted(Bug::PutNotFencing) {
            flights.close(key);
        }
        Admit::Yes
    };
    memory.insert(namespace, key, held, close)
}
