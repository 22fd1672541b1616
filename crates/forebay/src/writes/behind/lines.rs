//! Writes that are durable and not applied: one line for each key, with at most two writes in it, and which of them may go to the
//! sink when.
//!
//! The *head* of a line is the write that goes next, or is at the sink. Later writes of the key go into the *next* place, each
//! in place of the one before it, since a whole value makes an earlier one without effect. A head that nobody has sent, and whose
//! time has not come, is overtaken in the same way; one whose outcome is unknown is not: it goes again, by its own id, before
//! anything else of its key. The one exception is a head that is over, refused or out of retries, behind which an acknowledged write
//! waits. To park it would park that one too, which nobody has refused, so the later one goes, after a pause. That an
//! earlier attempt does not come after it then rests on the sink alone, which must end what it has under way when its call is
//! dropped.
//!
//! A write goes only when what it overtook or follows is *durably* settled. Otherwise the journal could be found with the
//! earlier write still in it and the later one applied, which a sink that remembers ids would then leave as the earlier one made it.
//!
//! A sink that fails is taken to be down: one write at a time probes it, after pauses that double, until one is applied. A write
//! that fails alone while others succeed holds up its own key only. It knows neither journal nor sink: it gives verdicts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::super::journal::JournalEntry;
use super::super::sink::{Effect, OperationId};
use super::PendingWrites;
use super::commits::{Commits, Then};
use super::job::{Job, Since};
use super::options::BehindOptions;
use super::overlay::Laid;
use crate::rt::Tick;
use crate::value::length;

/// When something may go, and a number that tells those of one moment apart.
pub(super) type Due = (Tick, u64);

/// What a dead letter says beside what the sink said last.
const MAYBE_APPLIED: &str = " (of an earlier attempt nobody knows whether it was applied)";

/// What a write takes that waits, beside its key and value, in bytes: its line and what it lays over its key, in tables that are
/// half full at worst; its turn and its place in a queue, in trees that are so; and the head of its key's text.
const WRITE_BYTES: usize = 2 * size_of::<(Arc<[u8]>, Line)>()
    + 2 * size_of::<(Box<[u8]>, Laid)>()
    + 2 * size_of::<(u64, Since)>()
    + 2 * size_of::<(Due, Arc<[u8]>)>()
    + 16;

/// What a write of `key` weighs while it waits, in bytes: its text lies in its line, over the base and, until it is durable, in its
/// journal's entry.
pub(crate) fn weight_bytes(key: &[u8], value_bytes: u64) -> u64 {
    length(WRITE_BYTES).saturating_add(length(key.len()).saturating_mul(3)).saturating_add(value_bytes)
}

/// The writes of one key.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) head: Job,
    pub(super) next: Option<Job>,
    pub(super) stand: Stand,
    /// It failed together with others: it goes alone from now on.
    pub(super) alone: bool,
}

/// How the head of a line stands.
#[derive(Debug)]
pub(super) enum Stand {
    /// It waits in `fresh`.
    Fresh(Due),
    /// It has failed, and waits in `later`.
    Later(Due),
    /// It waits in `blocked` for a commit, and is due then.
    Blocked {
        due: Tick,
        fresh: bool,
    },
    AtSink,
    Dead(Dead),
}

/// Why and since when the head of a line is a dead letter.
#[derive(Clone, Debug)]
pub(super) struct Dead {
    pub(super) reason: Arc<str>,
    pub(super) since: Since,
    /// Somebody is about to replay or drop it.
    pub(super) is_taken_up: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Next {
    /// The sink is to be asked.
    Ask(Call),
    /// Nothing before then.
    Wait(Tick),
    /// Nothing before something else happens.
    Rest,
}

/// What one call at the sink is given: the head of each of these lines.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) writes: Vec<(Arc<[u8]>, Job)>,
    is_probe: bool,
    is_alone: bool,
}

/// What became of a write that the sink did not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It is tried again.
    Retried,
    /// It is without effect now: a later write of its key is to be applied.
    Overtaken,
    /// It is a dead letter.
    Parked,
}

/// Why a write is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Its key is parked by this dead letter.
    Parked(OperationId),
    /// Too many writes wait, or too much.
    Full,
    /// It weighs more than may wait in all.
    TooLarge {
        /// The most that may, in bytes.
        limit_bytes: u64,
    },
}

/// A sink that is taken to be down.
#[derive(Clone, Copy, Debug)]
struct Down {
    failures: u32,
    until: Tick,
    is_probed: bool,
}

/// The lines of one namespace.
#[derive(Debug)]
pub(crate) struct Lines {
    options: BehindOptions,
    pub(super) by_key: HashMap<Arc<[u8]>, Line>,
    fresh: BTreeMap<Due, Arc<[u8]>>,
    later: BTreeMap<Due, Arc<[u8]>>,
    /// Keys that wait for a commit, by its number; some of them wait no more.
    blocked: VecDeque<(u64, Arc<[u8]>)>,
    /// Keys whose last write is applied and not durably settled, by the number of its settlement: a write that was on its way to the
    /// journal before that waits for it.
    ended: HashMap<Arc<[u8]>, u64>,
    /// The turns of the writes that live, and since when: dead letters excepted.
    pub(super) turns: BTreeMap<u64, Since>,
    pub(super) newest_turn: u64,
    dues: u64,
    /// Writes taken and not gone: those that are being committed, live, or are dead.
    held: usize,
    held_bytes: u64,
    /// The dead letters, and their keys.
    pub(super) dead: BTreeMap<OperationId, Arc<[u8]>>,
    calls: usize,
    down: Option<Down>,
    /// How many wait for all of it to be applied.
    pub(super) drains: usize,
    /// The commits up to here are durable.
    durable: u64,
}

impl Lines {
    pub(crate) fn new(options: BehindOptions) -> Self {
        Self {
            options,
            by_key: HashMap::new(),
            fresh: BTreeMap::new(),
            later: BTreeMap::new(),
            blocked: VecDeque::new(),
            ended: HashMap::new(),
            turns: BTreeMap::new(),
            newest_turn: 0,
            dues: 0,
            held: 0,
            held_bytes: 0,
            dead: BTreeMap::new(),
            calls: 0,
            down: None,
            drains: 0,
            durable: 0,
        }
    }

    /// Takes a write of `key` into the count, or turns it away.
    pub(super) fn admit(&mut self, key: &[u8], weight_bytes: u64, settling: usize) -> Result<(), Turned> {
        if let Some(Line { head, stand: Stand::Dead(_), .. }) = self.by_key.get(key) {
            return Err(Turned::Parked(head.id));
        }
        if weight_bytes > self.options.bytes_max {
            return Err(Turned::TooLarge { limit_bytes: self.options.bytes_max });
        }
        let bytes = self.held_bytes.saturating_add(weight_bytes);
        if self.held.saturating_add(settling) >= self.options.writes_max || bytes > self.options.bytes_max {
            return Err(Turned::Full);
        }
        self.hold(weight_bytes);
        Ok(())
    }

    /// Counts a write.
    pub(super) fn hold(&mut self, weight_bytes: u64) {
        self.held += 1;
        self.held_bytes += weight_bytes;
    }

    /// Takes a write out of the count.
    pub(super) fn release(&mut self, weight_bytes: u64) {
        self.held -= 1;
        self.held_bytes -= weight_bytes;
    }

    /// Puts a durable write into the line of its key; how many earlier ones it overtook.
    pub(super) fn lay(&mut self, key: &Arc<[u8]>, job: Job, now: Tick, commits: &mut Commits) -> u64 {
        self.newest_turn += 1;
        let job = Job { turn: self.newest_turn, ..job };
        self.turns.insert(job.turn, job.since);
        let Some(line) = self.by_key.get_mut(key) else {
            let due = if job.unknown { now } else { now.after(self.options.linger) };
            let stand = Stand::Blocked { due, fresh: true };
            let after = self.ended.remove(key).unwrap_or_default().max(job.after);
            let head = Job { after, ..job };
            self.by_key.insert(Arc::clone(key), Line { head, next: None, stand, alone: false });
            self.place(key);
            return 0;
        };
        let (due, fresh) = match &line.stand {
            Stand::Fresh((due, _)) => (*due, true),
            Stand::Later((due, _)) => (*due, false),
            Stand::Blocked { due, fresh } => (*due, *fresh),
            // It came before its key was parked: it was acknowledged, and is what the key is to be.
            Stand::Dead(_) => (now, true),
            Stand::AtSink => (Tick::default(), true),
        };
        let is_dead = matches!(line.stand, Stand::Dead(_));
        let overtakes_head = is_dead || (now < due && !line.head.unknown && line.next.is_none());
        let place = if overtakes_head { Some(&mut line.head) } else { line.next.as_mut() };
        let Some(place) = place else {
            line.next = Some(job);
            return 0;
        };
        let settled = commits.settle(place.id);
        let turn = job.turn;
        let job = if is_dead { job } else { job.overtaking(place, settled) };
        let job = Job { after: job.after.max(settled), ..job };
        let earlier = std::mem::replace(place, job);
        if is_dead {
            self.dead.remove(&earlier.id);
        } else {
            self.turns.remove(&turn);
        }
        self.release(earlier.weight_bytes);
        if overtakes_head {
            self.unplace(key);
            if let Some(line) = self.by_key.get_mut(key) {
                line.stand = Stand::Blocked { due, fresh };
            }
            self.place(key);
        }
        1
    }

    /// Puts the head of a line that is blocked where it waits.
    pub(super) fn place(&mut self, key: &Arc<[u8]>) {
        let Some(line) = self.by_key.get_mut(key) else { return };
        let Stand::Blocked { due, fresh } = line.stand else { return };
        if line.head.after > self.durable {
            self.blocked.push_back((line.head.after, Arc::clone(key)));
            return;
        }
        self.dues += 1;
        let due = (due, self.dues);
        let (queue, stand) =
            if fresh { (&mut self.fresh, Stand::Fresh(due)) } else { (&mut self.later, Stand::Later(due)) };
        line.stand = stand;
        queue.insert(due, Arc::clone(key));
    }

    /// Takes the head of a line out of where it waits.
    fn unplace(&mut self, key: &[u8]) {
        match self.by_key.get(key).map(|line| &line.stand) {
            Some(Stand::Fresh(due)) => drop(self.fresh.remove(due)),
            Some(Stand::Later(due)) => drop(self.later.remove(due)),
            _ => {}
        }
    }

    /// Every commit up to `number` is durable: what waited for them may go.
    pub(super) fn durable(&mut self, number: u64) {
        self.durable = self.durable.max(number);
        self.ended.retain(|_, settled| *settled > number);
        let mut held_up = VecDeque::new();
        while let Some((after, key)) = self.blocked.pop_front() {
            if after > self.durable {
                held_up.push_back((after, key));
                continue;
            }
            if self.by_key.get(&key).is_some_and(|line| line.head.after <= self.durable) {
                self.place(&key);
            }
        }
        self.blocked = held_up;
    }

    /// What is to be done at the sink now.
    pub(super) fn next(&mut self, now: Tick, commits: &mut Commits) -> Next {
        let held_up = self.hurry_commits(now, commits);
        let next = self.next_call(now);
        match (next, held_up) {
            (Next::Rest, Some(due)) => Next::Wait(due),
            (Next::Wait(until), Some(due)) => Next::Wait(until.min(due)),
            (next, _) => next,
        }
    }

    /// Lets the commits go that a write waits for which is due; when that is to be asked again.
    fn hurry_commits(&self, now: Tick, commits: &mut Commits) -> Option<Tick> {
        let dues = self.blocked.iter().filter_map(|(_, key)| match self.by_key.get(key)?.stand {
            Stand::Blocked { due, .. } => Some(due),
            _ => None,
        });
        // One commit frees all of them: the first that is due is as good as any.
        let first = dues.min()?;
        if first <= now || self.drains > 0 {
            commits.hurry();
            return None;
        }
        Some(first)
    }

    fn next_call(&mut self, now: Tick) -> Next {
        if self.calls >= self.options.calls {
            return Next::Rest;
        }
        let firsts = [self.later.first_key_value(), self.fresh.first_key_value()];
        let Some((first, _)) = firsts.into_iter().flatten().map(|((due, _), key)| (*due, key)).min() else {
            return Next::Rest;
        };
        match &mut self.down {
            Some(down) if down.is_probed => return Next::Rest,
            Some(down) if now < down.until.max(first) => return Next::Wait(down.until.max(first)),
            Some(down) => {
                down.is_probed = true;
                return self.ask(now, 1, true);
            }
            None => {}
        }
        let is_full = self.fresh.len() >= self.options.batch_max;
        if first <= now || is_full || (self.drains > 0 && !self.fresh.is_empty()) {
            return self.ask(now, self.options.batch_max, false);
        }
        Next::Wait(first)
    }

    /// A call with those that are due, and those that wait for nothing but company.
    fn ask(&mut self, now: Tick, many: usize, is_probe: bool) -> Next {
        let mut writes = Vec::new();
        let mut is_alone = false;
        while writes.len() < many && !is_alone {
            let late = self.later.first_key_value().filter(|((due, _), _)| *due <= now);
            let goes_alone = late.is_some_and(|(_, key)| self.by_key.get(key).is_some_and(|line| line.alone));
            if goes_alone && !writes.is_empty() {
                break;
            }
            is_alone = goes_alone;
            let queue = if late.is_some() { &mut self.later } else { &mut self.fresh };
            let Some((_, key)) = queue.pop_first() else { break };
            let Some(line) = self.by_key.get_mut(&key) else { continue };
            line.stand = Stand::AtSink;
            writes.push((key, line.head.clone()));
        }
        self.calls += 1;
        Next::Ask(Call { writes, is_probe, is_alone })
    }

    /// A call at the sink is over; `answers` tells whether the sink has applied or refused any of it.
    pub(super) fn call_over(&mut self, call: &Call, answers: bool, now: Tick) {
        self.calls -= 1;
        let failures = match self.down {
            _ if answers => {
                self.down = None;
                return;
            }
            Some(down) if call.is_probe => down.failures.saturating_add(1),
            None if !call.is_alone => 1,
            _ => return,
        };
        let until = now.after(self.options.pause(failures));
        self.down = Some(Down { failures, until, is_probed: false });
    }

    /// The sink has applied the head of `key`, which is not laid over anything any more.
    pub(super) fn applied(&mut self, key: &Arc<[u8]>, id: OperationId, now: Tick, commits: &mut Commits) {
        let settled = commits.settle(id);
        let Some(line) = self.by_key.get_mut(key) else { return };
        let gone = match line.next.take() {
            Some(next) => {
                let head = Job { after: next.after.max(settled), ..next };
                line.stand = Stand::Blocked { due: now, fresh: true };
                line.alone = false;
                std::mem::replace(&mut line.head, head)
            }
            None => match self.by_key.remove(key) {
                Some(line) => {
                    self.ended.insert(Arc::clone(key), settled);
                    line.head
                }
                None => return,
            },
        };
        self.turns.remove(&gone.turn);
        self.release(gone.weight_bytes);
        self.place(key);
    }

    /// The next write of `key` takes the place of its head, and goes no sooner than `due`; whether there is one.
    fn overtake_head(&mut self, key: &Arc<[u8]>, due: Tick, commits: &mut Commits) -> bool {
        let Some(line) = self.by_key.get_mut(key) else { return false };
        let Some(next) = line.next.take() else { return false };
        let settled = commits.settle(line.head.id);
        self.turns.remove(&next.turn);
        let head = next.overtaking(&line.head, settled);
        let gone = std::mem::replace(&mut line.head, head);
        line.stand = Stand::Blocked { due, fresh: false };
        self.release(gone.weight_bytes);
        self.place(key);
        true
    }

    /// The sink has not confirmed the head of `key`; `fails_alone` where it confirmed nothing of the call.
    pub(super) fn failed(
        &mut self,
        key: &Arc<[u8]>,
        effect: Effect,
        reason: Arc<str>,
        fails_alone: bool,
        now: Tick,
        commits: &mut Commits,
    ) -> Failed {
        let Some(line) = self.by_key.get_mut(key) else { return Failed::Overtaken };
        let head = &mut line.head;
        head.attempts = head.attempts.saturating_add(1);
        head.unknown |= effect == Effect::Unknown;
        line.alone |= fails_alone;
        let due = now.after(self.options.pause(head.attempts));
        let is_over = effect == Effect::Refused || head.attempts > self.options.retries;
        if (is_over || !head.unknown) && self.overtake_head(key, due, commits) {
            return Failed::Overtaken;
        }
        let Some(line) = self.by_key.get_mut(key) else { return Failed::Overtaken };
        if !is_over {
            line.stand = Stand::Blocked { due, fresh: false };
            self.place(key);
            return Failed::Retried;
        }
        let (id, attempts, unknown) = (line.head.id, line.head.attempts, line.head.unknown);
        let reason = if unknown { format!("{reason}{MAYBE_APPLIED}").into() } else { reason };
        self.turns.remove(&line.head.turn);
        self.dead.insert(id, Arc::clone(key));
        let since = Since::ago(now, Duration::ZERO);
        line.stand = Stand::Dead(Dead { reason: Arc::clone(&reason), since, is_taken_up: false });
        commits.add(JournalEntry::Park { id, reason, attempts }, Then::Nothing);
        commits.hurry();
        Failed::Parked
    }

    /// The turn of the newest write.
    pub(super) fn newest_turn(&self) -> u64 {
        self.newest_turn
    }

    /// Whether every write up to `turn`, or what overtook it, is applied or dead.
    pub(super) fn is_drained(&self, turn: u64) -> bool {
        self.turns.first_key_value().is_none_or(|(first, _)| *first > turn)
    }

    /// What waits now.
    pub(super) fn gauges(&self, now: Tick) -> PendingWrites {
        let waits = |(after, key): &&(u64, Arc<[u8]>)| {
            let line = self.by_key.get(key);
            line.is_some_and(|line| line.head.after == *after && matches!(line.stand, Stand::Blocked { .. }))
        };
        PendingWrites {
            writes: self.held - self.dead.len(),
            bytes: self.held_bytes,
            oldest: self.turns.first_key_value().map(|(_, since)| since.age(now)).unwrap_or_default(),
            dead_letters: self.dead.len(),
            held_up: self.blocked.iter().filter(waits).count(),
        }
    }

    /// Whether nothing waits to be applied.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Checks that everything adds up; `committing` writes are on their way to the journal.
    pub(super) fn validate(&self, committing: usize) -> Result<(), String> {
        let lines = self.by_key.values();
        let jobs = lines.clone().flat_map(|line| std::iter::once(&line.head).chain(&line.next));
        let dead = lines.filter(|line| matches!(line.stand, Stand::Dead(_))).count();
        let (held, bytes) = jobs.fold((0, 0), |(many, bytes), job| (many + 1, bytes + job.weight_bytes));
        if held + committing != self.held || (committing == 0 && bytes != self.held_bytes) {
            return Err(format!(
                "{held} writes of {bytes} bytes lie in lines and {committing} are being committed, where {} of {} are \
                 counted",
                self.held, self.held_bytes
            ));
        }
        if dead != self.dead.len() || held - dead != self.turns.len() {
            return Err(format!(
                "{dead} dead letters of {held} writes, where {} and {} are counted",
                self.dead.len(),
                self.turns.len()
            ));
        }
        let waits = |(key, line): (&Arc<[u8]>, &Line)| match &line.stand {
            Stand::Fresh(due) => self.fresh.get(due) == Some(key),
            Stand::Later(due) => self.later.get(due) == Some(key),
            Stand::Blocked { .. } => self.blocked.iter().any(|(_, other)| other == key),
            Stand::AtSink | Stand::Dead(_) => true,
        };
        let placed =
            self.by_key.values().filter(|line| matches!(line.stand, Stand::Fresh(_) | Stand::Later(_)));
        if !self.by_key.iter().all(waits) || placed.count() != self.fresh.len() + self.later.len() {
            return Err("a write waits in a place of which nobody knows".into());
        }
        Ok(())
    }
}
