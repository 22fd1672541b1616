//! What commands do to values: functions of what some keys have, without locks or engines. Only what takes long waits, to let others in.
//!
//! A command sees the keys that it names as a [`View`], answers from it, and leaves in it what is to be there afterwards. Where the
//! view comes from and where it goes is `data.rs`'s. So the same function serves a read of a cache, a change of a store, and a
//! command within a transaction. What a command that is refused has left in its view is of no use: whoever runs it drops that.

mod draw;
mod hash;
mod key;
mod lcs;
mod scan;
mod sorted_set;
mod string;
#[cfg(test)]
pub(crate) mod tests;
mod view;

use bytes::BytesMut;
use forebay::namespace::kind::Misfit;
use forebay::value::Kind;
use forebay_wire::resp::{CommandError, Data, Version, reply};

use super::refuse::MISFIT;

pub(super) use key::ttl_asked;
pub(super) use view::{Cell, Ends, View};

/// Why a command is refused by what its keys have, in Redis' words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Another kind of value is there.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongKind,
    /// It would be of another kind than the namespace declares.
    #[error("{MISFIT} {0}")]
    Misfit(#[from] Misfit),
    /// No namespace has the key.
    #[error("ERR no namespace of this keyspace takes this key: declare one whose `key` pattern matches it")]
    NoNamespace,
    /// It depends on what was there, and a copy is.
    #[error(
        "ERR what a command leaves may not depend on a copy, which can be lost at any time: write the whole value, or use a namespace without a source"
    )]
    OnACopy,
    /// It names keys of stores and of caches, within a transaction.
    #[error(
        "ERR within a transaction, a command may not name keys of stores together with keys of caches: split it"
    )]
    Mixed,
    /// To be counted with, and no integer.
    #[error("ERR hash value is not an integer")]
    FieldNotAnInteger,
    /// To be counted with, and no number.
    #[error("ERR hash value is not a float")]
    FieldNotAFloat,
    /// The sum does not fit 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The sum is beyond a double.
    #[error("ERR increment would produce NaN or Infinity")]
    NotFinite,
    /// The sum of both infinities.
    #[error("ERR resulting score is not a number (NaN)")]
    ScoreNotANumber,
    /// There is nothing to be renamed.
    #[error("ERR no such key")]
    NoSuchKey,
    /// A string would become too long.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    TooLong,
    /// What is there, or what is to be added, is no decimal number.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// Another kind of value, in `LCS`' words.
    #[error("ERR The specified keys must contain string values")]
    NotStrings,
    /// Strings that are too long to be compared.
    #[error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")]
    LcsTooLarge,
    /// Uses are not counted for each value.
    #[error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
    )]
    NoFrequency,
    /// A cursor of `SCAN` from too long ago.
    #[error("ERR invalid cursor: the server has forgotten this scan; begin again from 0")]
    ForgottenCursor,
    /// More keys than one reply may hold.
    #[error("ERR too many keys match: go through them with SCAN, or ask for fewer")]
    TooManyKeys,
    /// Two keyspaces cannot have each other's values.
    #[error(
        "ERR SWAPDB is not possible: what a keyspace has belongs to its declaration; give each its own `db` there"
    )]
    Swap,
    /// What would be answered does not go into one reply.
    #[error("ERR the reply would be larger than 512 MiB: ask for less at once")]
    ReplyTooLarge,
    /// The words of the command do not go with what is there.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Answers `data` from what its keys have, and leaves there what it changes.
pub(super) async fn run(data: &Data, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    match data {
        Data::String(command) => string::run(command, view, answer).await,
        Data::Hash(command) => hash::run(command, view, answer),
        Data::SortedSet(command) => sorted_set::run(command, view, answer),
        Data::Key(command) => key::run(command, view, answer),
    }?;
    if answer.is_cut { Err(Refusal::ReplyTooLarge) } else { Ok(()) }
}

/// The most bytes that are gathered for a client who has not taken them: one command may name the same value any number of times.
const REPLY_BYTES_MAX: usize = 512 << 20;

/// The reply to one command, in the connection's version of the protocol.
pub(super) struct Answer<'o> {
    out: &'o mut BytesMut,
    version: Version,
    /// It would have been too large, and is not whole.
    is_cut: bool,
}

impl<'o> Answer<'o> {
    /// Writes to `out`.
    pub(super) fn new(out: &'o mut BytesMut, version: Version) -> Self {
        Self { out, version, is_cut: false }
    }

    /// How much has been written.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written since there were `len` bytes.
    pub(super) fn cut_back(&mut self, len: usize) {
        self.out.truncate(len);
        self.is_cut = false;
    }

    pub(super) fn ok(&mut self) {
        reply::ok(self.out);
    }

    pub(super) fn simple(&mut self, text: &str) {
        reply::simple(self.out, text);
    }

    pub(super) fn integer(&mut self, number: i64) {
        reply::integer(self.out, number);
    }

    pub(super) fn count(&mut self, count: usize) {
        reply::integer(self.out, i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn null(&mut self) {
        reply::null(self.out, self.version);
    }

    /// Null where an array was asked for.
    pub(super) fn null_array(&mut self) {
        reply::null_array(self.out, self.version);
    }

    pub(super) fn bulk(&mut self, bytes: &[u8]) {
        self.is_cut |= self.out.len().saturating_add(bytes.len()) > REPLY_BYTES_MAX;
        if !self.is_cut {
            reply::bulk(self.out, bytes);
        }
    }

    /// `bytes`, or null.
    pub(super) fn maybe(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    pub(super) fn array(&mut self, len: usize) {
        reply::array(self.out, len);
    }

    /// Names and what stands with each: pairs of them in RESP3, one after the other in RESP2.
    pub(super) fn pairs<M: AsRef<[u8]>, T: Copy>(&mut self, pairs: &[(M, T)], tell: impl Fn(&mut Self, T)) {
        let are_nested = self.version == Version::Resp3;
        self.array(if are_nested { pairs.len() } else { pairs.len().saturating_mul(2) });
        for (name, what) in pairs {
            if are_nested {
                self.array(2);
            }
            self.bulk(name.as_ref());
            tell(self, *what);
        }
    }

    /// Names alone or, with `tell`, as [`pairs`](Self::pairs).
    pub(super) fn names<M: AsRef<[u8]>, T: Copy>(
        &mut self,
        names: &[(M, T)],
        tell: Option<impl Fn(&mut Self, T)>,
    ) {
        if let Some(tell) = tell {
            return self.pairs(names, tell);
        }
        self.array(names.len());
        names.iter().for_each(|(name, _)| self.bulk(name.as_ref()));
    }

    pub(super) fn map(&mut self, len: usize) {
        reply::map(self.out, self.version, len);
    }

    pub(super) fn double(&mut self, number: f64) {
        reply::double(self.out, self.version, number);
    }
}

/// The name of a kind of value, as `TYPE` tells it.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Blob | Kind::Native | Kind::Counter => "string",
        Kind::Hash => "hash",
        Kind::SortedSet => "zset",
    }
}
