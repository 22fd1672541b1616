//! Looks after writes that wait for their sink, and tells the log of what an operator has to see to.
//!
//! It guarantees one line when writes begin to wait for long and one when that is over, and one whenever more of them have become dead
//! letters. What is done with them is the engine's.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay::{Blob, Keyspace, Namespace, PendingWrites, Writes};

use crate::stop::Stop;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A write that waits for longer is told.
const LONG: Duration = Duration::from_secs(30);

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Waiting,
    CaughtUp,
    DeadLetters,
}

/// What was told of one namespace.
#[derive(Debug, Default)]
struct Told {
    is_waiting: bool,
    dead_letters: usize,
}

impl Told {
    /// What is new in `pending`.
    fn news(&mut self, pending: &PendingWrites) -> Vec<News> {
        let mut news = Vec::new();
        let is_waiting = pending.writes > 0 && pending.oldest >= LONG;
        if is_waiting != std::mem::replace(&mut self.is_waiting, is_waiting) {
            news.push(if is_waiting { News::Waiting } else { News::CaughtUp });
        }
        if pending.dead_letters > std::mem::replace(&mut self.dead_letters, pending.dead_letters) {
            news.push(News::DeadLetters);
        }
        news
    }
}

/// Looks after the namespaces that write behind until the process stops.
pub(crate) async fn look_after(keyspaces: Vec<Arc<Keyspace>>, clock: Clock, mut stop: Stop) {
    let behind = |keyspace: &Arc<Keyspace>| -> Vec<(Namespace<Blob>, Told)> {
        let behind = keyspace.namespaces().iter().filter(|it| it.policy().writes == Writes::Behind);
        behind.map(|namespace| (namespace.clone(), Told::default())).collect()
    };
    let mut watched: Vec<_> = keyspaces.iter().flat_map(behind).collect();
    drop(keyspaces);
    while !watched.is_empty() {
        for (namespace, told) in &mut watched {
            let pending = namespace.pending_writes();
            for news in told.news(&pending) {
                tell(namespace, &pending, news);
            }
        }
        tokio::select! {
            () = clock.sleep(LOOK_EVERY) => {}
            () = stop.asked() => return,
        }
    }
}

fn tell(namespace: &Namespace<Blob>, pending: &PendingWrites, news: News) {
    let name = namespace.name();
    let PendingWrites { writes, oldest, dead_letters, .. } = *pending;
    match news {
        News::Waiting => {
            tracing::warn!(
                namespace = name,
                writes,
                ?oldest,
                "writes wait: their sink fails or does not keep up"
            );
        }
        News::CaughtUp => tracing::info!(namespace = name, writes, "writes no longer wait"),
        News::DeadLetters => {
            let newest = namespace.dead_letters().pop();
            let reason = newest.as_ref().map_or("", |letter| &letter.reason);
            tracing::warn!(
                namespace = name,
                dead_letters,
                reason,
                "writes could not be applied and are kept as dead letters; their keys take no more writes"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_episode_is_told_once() {
        let pending = |writes, secs, dead_letters| PendingWrites {
            writes,
            oldest: Duration::from_secs(secs),
            dead_letters,
            ..PendingWrites::default()
        };
        let mut told = Told::default();
        for (at, pending, news) in [
            (1, pending(3, 1, 0), &[][..]),
            (2, pending(3, 30, 0), &[News::Waiting]),
            (3, pending(9, 60, 1), &[News::DeadLetters]),
            (4, pending(9, 60, 1), &[]),
            (5, pending(0, 60, 1), &[News::CaughtUp]),
            (6, pending(0, 0, 0), &[]),
            (7, pending(1, 31, 2), &[News::Waiting, News::DeadLetters]),
        ] {
            assert_eq!(told.news(&pending), news, "look {at}");
        }
    }
}
