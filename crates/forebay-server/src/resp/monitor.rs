//! MONITOR: who watches is sent a line for each command on the keyspace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use forebay::rt::Mutex;
use forebay_wire::resp::{CommandSpec, Request};

use super::inbox::{Message, Sender};
use super::session::Session;
use super::time::now;

/// A word is shown up to this many bytes.
const WORD_BYTES: usize = 1024;
/// Behind this many bytes of a line no word begins.
const LINE_BYTES: usize = 64 * 1024;

/// Who watches.
#[derive(Debug, Default)]
pub(super) struct Monitors {
    /// How many, so that a command looks no further where nobody does.
    count: AtomicUsize,
    /// By the numbers of the connections; each with that of its keyspace.
    all: Mutex<BTreeMap<i64, (u32, Sender)>>,
}

impl Monitors {
    /// Sends the connection what comes from now on, until what is given is dropped.
    pub(super) fn enter(self: &Arc<Self>, session: &Session) -> Monitoring {
        let mut all = self.all.lock();
        all.insert(session.id, (session.db, session.inbox.sender()));
        self.count.store(all.len(), Ordering::Release);
        Monitoring { monitors: Arc::clone(self), id: session.id }
    }

    /// Whether anybody watches.
    pub(super) fn are_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Tells who watches the keyspace that the connection asks for this.
    pub(super) fn tell(&self, spec: &CommandSpec, request: &Request, session: &Session) {
        if !self.are_any() {
            return;
        }
        let all = self.all.lock();
        let mut of_keyspace = all.values().filter(|(db, _)| *db == session.db).peekable();
        if of_keyspace.peek().is_none() {
            return;
        }
        let line = Bytes::from(line(spec, request, session));
        for (_, to) in of_keyspace {
            to.send(Message::Line(line.clone()));
        }
    }
}

/// A connection that watches, until it is dropped.
#[derive(Debug)]
pub(super) struct Monitoring {
    monitors: Arc<Monitors>,
    id: i64,
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        let mut all = self.monitors.all.lock();
        all.remove(&self.id);
        self.monitors.count.store(all.len(), Ordering::Release);
    }
}

/// When, whose and what.
fn line(spec: &CommandSpec, request: &Request, session: &Session) -> String {
    let now = now();
    let from = session.connected.address();
    let mut line = format!("{}.{:06} [{} {from}]", now.as_secs(), now.subsec_micros(), session.db);
    let shown = if spec.is_secret() { 1 } else { usize::MAX };
    for (place, word) in request.args().take(shown).enumerate() {
        if line.len() >= LINE_BYTES {
            // Writing to a String cannot fail.
            let _ = write!(line, " ... {} more words", request.len().saturating_sub(place));
            break;
        }
        let word = word.get(..WORD_BYTES).unwrap_or(word);
        line.push_str(" \"");
        word.iter().for_each(|byte| escape(*byte, &mut line));
        line.push('"');
    }
    line
}

/// Shows a byte as Redis does.
fn escape(byte: u8, line: &mut String) {
    match byte {
        b'\\' => line.push_str("\\\\"),
        b'"' => line.push_str("\\\""),
        b'\n' => line.push_str("\\n"),
        b'\r' => line.push_str("\\r"),
        b'\t' => line.push_str("\\t"),
        0x07 => line.push_str("\\a"),
        0x08 => line.push_str("\\b"),
        b' '..=b'~' => line.push(char::from(byte)),
        _ => {
            // Writing to a String cannot fail.
            let _ = write!(line, "\\x{byte:02x}");
        }
    }
}
