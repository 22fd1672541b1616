//! The slow log: the last requests that took longer than is declared, over RESP and over HTTP.
//!
//! Entries are as Redis has them (<https://redis.io/docs/latest/commands/slowlog/>): at most 32 words each, of at most 128 bytes, and
//! nothing of what may be a password. It is bounded, the oldest entries make room, and what was not slow costs one comparison. Times are
//! in microseconds. What memory answers at once is not measured: asking a clock for each would slow it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::Mutex;

/// Entries that are kept.
const ENTRIES_MAX: usize = 128;
/// Words of an entry.
const WORDS_MAX: usize = 32;
/// Bytes of a word.
const WORD_BYTES_MAX: usize = 128;

/// The slow log of a process.
#[derive(Debug)]
pub(crate) struct SlowLog {
    /// What takes as long or longer is slow.
    threshold: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    next_id: u64,
    /// The newest first.
    entries: VecDeque<Slow>,
}

/// One request that was slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    /// It grows from entry to entry, also over a reset.
    pub(crate) id: u64,
    /// When it ended, since 1970-01-01 UTC.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    /// What was asked, cut.
    pub(crate) words: Vec<Bytes>,
    /// Where its client is; empty where that is not known.
    pub(crate) from: String,
    /// How its client calls itself, or the request's id.
    pub(crate) name: Bytes,
}

impl SlowLog {
    /// Keeps what takes as long as `threshold`, or longer.
    pub(crate) fn new(threshold: Duration) -> Self {
        Self { threshold, kept: Mutex::default() }
    }

    /// Whether what took so long is slow.
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        took >= self.threshold
    }

    /// Keeps a request that was slow; its id is given here.
    pub(crate) fn keep(&self, slow: Slow) {
        let mut kept = self.kept.lock();
        let id = kept.next_id;
        kept.next_id += 1;
        kept.entries.truncate(ENTRIES_MAX - 1);
        kept.entries.push_front(Slow { id, ..slow });
    }

    /// The newest entries, at most `count`, the newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Slow> {
        self.kept.lock().entries.iter().take(count).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.lock().entries.len()
    }

    pub(crate) fn reset(&self) {
        self.kept.lock().entries.clear();
    }
}

/// `words` as an entry keeps them. Where there are too many, the last that is kept says how many more there were; so does a word that
/// is cut.
pub(crate) fn cut<'w>(words: impl ExactSizeIterator<Item = &'w [u8]>) -> Vec<Bytes> {
    let left = words.len().saturating_sub(WORDS_MAX);
    let kept = if left > 0 { WORDS_MAX - 1 } else { WORDS_MAX };
    let mut cut: Vec<Bytes> = words.take(kept).map(cut_word).collect();
    if left > 0 {
        cut.push(format!("... ({} more arguments)", left + 1).into());
    }
    cut
}

fn cut_word(word: &[u8]) -> Bytes {
    match word.split_at_checked(WORD_BYTES_MAX) {
        Some((kept, rest)) if !rest.is_empty() => {
            let mut cut = kept.to_vec();
            cut.extend_from_slice(format!("... ({} more bytes)", rest.len()).as_bytes());
            cut.into()
        }
        _ => Bytes::copy_from_slice(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(name: &'static str) -> Slow {
        let (at, took) = (Duration::ZERO, Duration::ZERO);
        Slow {
            id: 0,
            at,
            took,
            words: Vec::new(),
            from: String::new(),
            name: Bytes::from_static(name.as_bytes()),
        }
    }

    #[test]
    fn the_newest_are_kept_and_ids_go_on() {
        let log = SlowLog::new(Duration::from_millis(10));
        assert!(log.is_slow(Duration::from_millis(10)) && !log.is_slow(Duration::from_millis(9)));
        for _ in 0..ENTRIES_MAX + 3 {
            log.keep(slow("a"));
        }
        let ids = |log: &SlowLog| log.newest(2).iter().map(|slow| slow.id).collect::<Vec<_>>();
        assert_eq!((log.len(), ids(&log)), (ENTRIES_MAX, vec![130, 129]));
        log.reset();
        assert_eq!(log.len(), 0);
        log.keep(slow("b"));
        assert_eq!(ids(&log), [131]);
    }

    #[test]
    fn long_entries_are_cut_as_redis_cuts_them() {
        let words = |count: usize| vec![&b"w"[..]; count];
        assert_eq!(cut(words(32).into_iter()).len(), 32);
        let many = cut(words(40).into_iter());
        assert_eq!((many.len(), &many[31][..]), (32, &b"... (9 more arguments)"[..]));
        let long = [vec![b'x'; 128], vec![b'x'; 130]];
        let long = cut(long.iter().map(Vec::as_slice));
        assert_eq!(long[0].len(), 128);
        assert_eq!(long[1], [&[b'x'; 128][..], b"... (2 more bytes)"].concat());
    }
}
