//! The order of writes: those of one key go to the sink one after the other, as they came.
//!
//! Two writes of one key that are at a sink together may be applied in any order, so that nobody knows which value it has in the end.
//! Writes of different keys go beside each other, as many at once as the policy allows. Who waits is counted: beyond the bound a
//! write is turned away. A turn is passed on however the write ends, and past those who wait no more.
//!
//! A write of several keys stands in all their lines from one moment on, and goes when it has all their turns. Since every line has
//! the order in which the writes came, nobody waits for one who waits for him.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::rt::Mutex;

/// The writes of one namespace that have not ended.
#[derive(Debug)]
pub(crate) struct Order {
    lines: Mutex<Lines>,
    at_once: Arc<Semaphore>,
    writes_max: usize,
}

#[derive(Debug, Default)]
struct Lines {
    /// Who waits for the turn of each key that somebody has; no more in a line than `admitted`, but for those who wait no more.
    by_key: HashMap<Box<[u8]>, VecDeque<oneshot::Sender<Turn>>>,
    /// Writes that have not ended.
    admitted: usize,
}

/// A write's place in the lines of its keys, mostly one.
#[derive(Debug)]
pub(crate) struct Place {
    turns: SmallVec<[Wait; 1]>,
    counted: Counted,
}

#[derive(Debug)]
enum Wait {
    Over(Turn),
    For(oneshot::Receiver<Turn>),
}

/// One write in the count, however it ends.
#[derive(Debug)]
struct Counted(Arc<Order>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lines.lock().admitted -= 1;
    }
}

/// The turn of one key: until it is dropped no other write of the key has it.
#[derive(Debug)]
struct Turn {
    order: Arc<Order>,
    key: Box<[u8]>,
    /// It was handed back by somebody who waits no more: whoever handed it out passes it on.
    returned: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.returned {
            self.order.pass_on(&self.key);
        }
    }
}

/// What a write needs to go to the sink; given up when dropped.
#[derive(Debug)]
pub(crate) struct Going {
    _slot: Option<OwnedSemaphorePermit>,
    _turns: SmallVec<[Turn; 1]>,
    _counted: Counted,
}

impl Order {
    /// An order that lets `at_once` writes go beside each other and holds `writes_max` in all.
    #[must_use]
    pub(crate) fn new(at_once: usize, writes_max: usize) -> Self {
        let at_once = Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)));
        Self { lines: Mutex::default(), at_once, writes_max }
    }

    /// A place behind the writes of `key` that came before; `None` where there are too many writes.
    pub(crate) fn enter(self: &Arc<Self>, key: &[u8]) -> Option<Place> {
        self.enter_all(std::iter::once(key))
    }

    /// A place behind the writes of any of `keys`, all different, that came before. It counts as one write.
    pub(crate) fn enter_all<'k>(self: &Arc<Self>, keys: impl Iterator<Item = &'k [u8]>) -> Option<Place> {
        let mut lines = self.lines.lock();
        if lines.admitted >= self.writes_max {
            return None;
        }
        lines.admitted += 1;
        let turns = keys.map(|key| self.stand(&mut lines, key)).collect();
        Some(Place { turns, counted: Counted(Arc::clone(self)) })
    }

    /// Stands at the end of the line of `key`.
    fn stand(self: &Arc<Self>, lines: &mut Lines, key: &[u8]) -> Wait {
        match lines.by_key.get_mut(key) {
            Some(line) => {
                if line.len() >= self.writes_max {
                    line.retain(|waits| !waits.is_closed());
                }
                let (give, take) = oneshot::channel();
                line.push_back(give);
                Wait::For(take)
            }
            None => {
                lines.by_key.insert(key.into(), VecDeque::new());
                Wait::Over(Turn { order: Arc::clone(self), key: key.into(), returned: false })
            }
        }
    }

    /// Gives the turn of `key` to the next who still waits for it.
    fn pass_on(self: &Arc<Self>, key: &[u8]) {
        loop {
            let next = {
                let mut lines = self.lines.lock();
                let next = lines.by_key.get_mut(key).and_then(VecDeque::pop_front);
                if next.is_none() {
                    lines.by_key.remove(key);
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn { order: Arc::clone(self), key: key.into(), returned: false }) {
                Ok(()) => return,
                Err(mut turn) => turn.returned = true,
            }
        }
    }

    /// Waits for the turns of `place`, and for a slot. Dropped, the place is given up.
    pub(crate) async fn go(&self, place: Place) -> Option<Going> {
        let Place { turns: waits, counted } = place;
        let mut turns = SmallVec::with_capacity(waits.len());
        for turn in waits {
            turns.push(match turn {
                Wait::Over(turn) => turn,
                // The other end is only dropped with the order itself.
                Wait::For(turn) => turn.await.ok()?,
            });
        }
        // It is never closed.
        let slot = Arc::clone(&self.at_once).acquire_owned().await.ok();
        Some(Going { _slot: slot, _turns: turns, _counted: counted })
    }

    /// How many writes have not ended.
    pub(crate) fn len(&self) -> usize {
        self.lines.lock().admitted
    }
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use std::sync::Arc;

    use super::Order;

    #[tokio::test]
    async fn a_turn_passes_those_by_who_wait_no_more() {
        let order = Arc::new(Order::new(4, 8));
        let first = order.go(order.enter(b"a").unwrap()).await.unwrap();
        let (second, third) = (order.enter(b"a").unwrap(), order.enter(b"a").unwrap());
        let other = order.go(order.enter(b"b").unwrap()).await.unwrap();
        drop(second);
        let mut third = std::pin::pin!(order.go(third));
        let waits =
            std::future::poll_fn(|context| std::task::Poll::Ready(third.as_mut().poll(context).is_pending()));
        assert!(waits.await, "two writes of one key at once");
        drop(first);
        let third = third.await.unwrap();
        // One that is given the turn, and goes away before it takes it.
        let (fourth, fifth) = (order.enter(b"a").unwrap(), order.enter(b"a").unwrap());
        drop(third);
        drop(fourth);
        drop(order.go(fifth).await.unwrap());
        drop(other);
        assert_eq!(order.len(), 0);
        assert!(order.lines.lock().by_key.is_empty(), "a line without a write was kept");
    }

    /// Each has what the other needs next, were the lines not entered at one moment.
    #[tokio::test]
    async fn writes_of_several_keys_wait_for_each_other_in_one_order() {
        let order = Arc::new(Order::new(1, 8));
        let enter = |keys: &'static [&'static [u8]]| order.enter_all(keys.iter().copied()).unwrap();
        let (first, second, third) = (enter(&[b"a", b"b"]), enter(&[b"b", b"a"]), enter(&[b"a", b"c"]));
        let (second, third) = (order.go(second), order.go(third));
        let (mut second, mut third) = (std::pin::pin!(second), std::pin::pin!(third));
        for _ in 0..2 {
            assert!(matches!(polled(second.as_mut()).await, std::task::Poll::Pending));
            assert!(matches!(polled(third.as_mut()).await, std::task::Poll::Pending));
        }
        drop(order.go(first).await.unwrap());
        assert!(matches!(polled(third.as_mut()).await, std::task::Poll::Pending));
        drop(second.await.unwrap());
        drop(third.await.unwrap());
        // One that goes away between two of its turns passes on the one that it has.
        let (holder, goes) = (enter(&[b"b"]), enter(&[b"a", b"b"]));
        {
            let mut goes = std::pin::pin!(order.go(goes));
            assert!(matches!(polled(goes.as_mut()).await, std::task::Poll::Pending));
        }
        drop(order.go(enter(&[b"a"])).await.unwrap());
        drop(holder);
        drop(order.go(enter(&[b"b"])).await.unwrap());
        assert_eq!(order.len(), 0);
        assert!(order.lines.lock().by_key.is_empty(), "a line without a write was kept");
    }

    /// What a future says when it is asked once.
    async fn polled<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> std::task::Poll<T> {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await
    }

    #[test]
    fn what_waits_is_bounded() {
        let order = Arc::new(Order::new(1, 2));
        let places = [order.enter(b"a").unwrap(), order.enter(b"a").unwrap()];
        assert!(order.enter(b"b").is_none());
        drop(places);
        assert!(order.enter(b"b").is_some());
    }
}
