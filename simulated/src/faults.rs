//! What can happen to an exchange, how often, and how often it did.

/// Faults that happen by chance. Chances are in a thousand; the default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The longest that a request, and again its answer, is on its way, in milliseconds.
    pub delay_ms_max: u64,
    /// The connection is refused: the request does not leave.
    pub refuse: u16,
    /// The request is lost: nothing is done, and nobody answers.
    pub lose_request: u16,
    /// The answer is lost: it is done, and nobody answers.
    pub lose_answer: u16,
    /// The request arrives after its sender has given up, and is carried out then.
    pub late: u16,
    /// A batch of the log begins with records that were told before.
    pub repeat: u16,
}

/// How an instance is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// Its connections are refused.
    Refused,
    /// Whatever it sends is lost.
    Requests,
    /// What it sends is carried out, and the answers are lost.
    Answers,
}

/// How often each fault has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    /// Exchanges that were begun.
    pub exchanges: u64,
    /// Requests or answers that were on their way for at least a millisecond.
    pub delayed: u64,
    /// Connections refused, partitions included.
    pub refused: u64,
    /// Requests lost, partitions included.
    pub requests_lost: u64,
    /// Answers lost, partitions included.
    pub answers_lost: u64,
    /// Requests carried out after their sender had given up.
    pub late: u64,
    /// Batches that told records again.
    pub repeated: u64,
    /// Batches that told of a gap.
    pub gaps: u64,
    /// Restarts.
    pub restarts: u64,
    /// Records that a restart lost.
    pub records_lost: u64,
    /// Records trimmed.
    pub records_trimmed: u64,
    /// Leases that an invalidation took away.
    pub leases_taken: u64,
    /// Leases that ended by themselves.
    pub leases_ended: u64,
    /// Fills that came without a live lease.
    pub fills_refused: u64,
}

/// What happens to one exchange, drawn before it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) there_ms: u64,
    pub(crate) back_ms: u64,
    pub(crate) end: End,
    /// Of a batch, how many records are told again.
    pub(crate) repeat: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Refused,
    RequestLost,
    AnswerLost,
    Late,
}

/// The most records that are told again at once.
const REPEAT_MAX: u64 = 8;

impl Faults {
    /// The fate of the next exchange. It draws the same number of times whatever it draws, so that one fault more or less
    /// does not change all that follow.
    pub(crate) fn fate(&self, chance: &mut fastrand::Rng) -> Fate {
        let there_ms = chance.u64(0..=self.delay_ms_max);
        let back_ms = chance.u64(0..=self.delay_ms_max);
        let mut draw = chance.u16(0..1000);
        let ends = [
            (self.refuse, End::Refused),
            (self.lose_request, End::RequestLost),
            (self.lose_answer, End::AnswerLost),
            (self.late, End::Late),
        ];
        let mut end = End::Answered;
        for (chances, happens) in ends {
            if draw < chances {
                end = happens;
                break;
            }
            draw -= chances;
        }
        let again = chance.u64(1..=REPEAT_MAX);
        let repeat = if chance.u16(0..1000) < self.repeat { again } else { 0 };
        Fate { there_ms, back_ms, end, repeat }
    }
}
