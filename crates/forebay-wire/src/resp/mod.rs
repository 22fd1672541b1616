//! RESP, the protocol of Redis and its clients, in versions 2 and 3.
//!
//! The way of a request: [`decode`] cuts a [`Request`] out of what has arrived, [`resolve`] finds its row in
//! the command table, [`CommandSpec::parse`] makes a typed [`Command`] of it ([`parse`] does both), and
//! [`reply`] writes the answer. [`describe`] answers what clients ask about the table itself. The other
//! direction, for clients and tests, is [`encode_request`] and [`decode_reply`].
//!
//! Texts, limits and odd corners follow Redis 7.0, so that its clients and its test suite find what they
//! expect. Where Forebay is stricter on purpose, the item concerned says so.
//!
//! Protocol reference: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

mod arguments;
mod command;
mod decode;
pub mod describe;
mod float;
pub mod glob;
mod inline;
mod number;
mod read_reply;
pub mod reply;
mod request;
mod spec;
mod table;

pub use command::{
    AclCommand, Add, AddAnswer, Aggregate, Bound, ClientAttribute, ClientCommand, ClientFilter, ClientKind,
    Combination, CombineOptions, Combined, Command, CommandError, CommandFilter, Comparison, Condition,
    Credentials, Data, DeadLetters, Describe, End, Expire, ExpireIf, Expiry, FreshnessCommand, HashCommand,
    Hello, Jobs, KeyCommand, KeyspaceCommand, Lcs, LcsAnswer, Moment, OperatorsCommand, PubSubCommand,
    Replying, Scan, ScanOptions, Selection, ServerCommand, Set, Slowlog, SortedSetCommand, SortedSetError,
    Span, StringCommand, Tracking, TransactionCommand, WarmCommand, parse, resolve,
};
pub use decode::{Limits, ProtocolError, State, VALUE_BYTES_MAX, decode};
pub use float::Double;
pub use read_reply::{NESTING_MAX, Reply, ReplyError, ReplyLimits, ReplyState, decode_reply};
pub use reply::Version;
pub use request::{Request, encode_request};
pub use spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};
pub use table::{commands, lookup, lookup_name};
