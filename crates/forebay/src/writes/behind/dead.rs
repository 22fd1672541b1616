//! Dead letters: heads of lines that could not be applied, and wait for somebody to replay or drop them.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::super::sink::OperationId;
use super::job::{Job, Since};
use super::lines::{Dead, Line, Lines, Stand};
use crate::rt::Tick;

/// A dead letter, as it lies in its line.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) key: Arc<[u8]>,
    pub(crate) job: Job,
    pub(crate) reason: Arc<str>,
    pub(crate) attempts: u32,
    pub(crate) since: Since,
}

impl Lines {
    /// Puts a dead letter that a journal held into the line of its key.
    pub(super) fn lay_dead(&mut self, parked: Parked) {
        let Parked { key, job, reason, attempts, since } = parked;
        let head = Job { attempts, ..job };
        self.dead.insert(head.id, Arc::clone(&key));
        let stand = Stand::Dead(Dead { reason, since, is_taken_up: false });
        self.by_key.insert(key, Line { head, next: None, stand, alone: false });
    }

    /// The dead letters, those that were parked first before the others.
    pub(super) fn parked(&self, now: Tick) -> Vec<Parked> {
        let parked = self.dead.values().filter_map(|key| {
            let Line { head, stand: Stand::Dead(dead), .. } = self.by_key.get(key)? else { return None };
            let Dead { reason, since, .. } = dead.clone();
            Some(Parked { key: Arc::clone(key), job: head.clone(), reason, attempts: head.attempts, since })
        });
        let mut parked: Vec<Parked> = parked.collect();
        parked.sort_by_key(|one| Reverse(one.since.age(now)));
        parked
    }

    /// How long ago the dead letter was parked that was parked first.
    pub(super) fn oldest_dead(&self, now: Tick) -> Option<Duration> {
        let age = |key| {
            let Line { stand: Stand::Dead(dead), .. } = self.by_key.get(key)? else { return None };
            Some(dead.since.age(now))
        };
        self.dead.values().filter_map(age).max()
    }

    fn dead(&mut self, id: OperationId) -> Option<(Arc<[u8]>, &mut Line)> {
        let key = self.dead.get(&id)?;
        Some((Arc::clone(key), self.by_key.get_mut(key)?))
    }

    /// Takes up a dead letter, to replay or drop it; its key, or `None` where it is none or somebody else has taken it up.
    pub(super) fn take_up(&mut self, id: OperationId) -> Option<Arc<[u8]>> {
        let (key, Line { stand: Stand::Dead(dead), .. }) = self.dead(id)? else { return None };
        (!std::mem::replace(&mut dead.is_taken_up, true)).then_some(key)
    }

    /// Lays down what was taken up, and is still dead.
    pub(super) fn lay_down(&mut self, id: OperationId) {
        if let Some((_, Line { stand: Stand::Dead(dead), .. })) = self.dead(id) {
            dead.is_taken_up = false;
        }
    }

    /// A dead letter is to be applied again; whether it was there.
    pub(super) fn revive(&mut self, id: OperationId, now: Tick) -> bool {
        let turn = self.newest_turn + 1;
        let Some((key, line)) = self.dead(id) else { return false };
        let since = Since::ago(now, Duration::ZERO);
        line.head = Job { turn, since, attempts: 0, ..line.head.clone() };
        line.stand = Stand::Blocked { due: now, fresh: true };
        self.newest_turn = turn;
        self.turns.insert(turn, since);
        self.dead.remove(&id);
        self.place(&key);
        true
    }

    /// A dead letter that is settled is gone; whether it was there.
    pub(super) fn drop_dead(&mut self, id: OperationId) -> bool {
        let Some(line) = self.dead.remove(&id).and_then(|key| self.by_key.remove(&key)) else { return false };
        self.release(line.head.weight_bytes);
        true
    }
}
