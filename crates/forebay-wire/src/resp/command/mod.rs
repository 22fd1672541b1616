//! Commands with their arguments understood, and what is said where they cannot be.
//!
//! Each group of commands has a file under `command/` with what its commands ask for, its rows of the table and the functions behind
//! them. To add a command: a variant, a row and a function there, a line in `table.rs`.
//!
//! What a command *does* is not known here, nor which keys exist, which passwords are right, or what time
//! it is.

pub(super) mod client;
pub(super) mod connection;
pub(super) mod freshness;
pub(super) mod generic;
pub(super) mod hash;
pub(super) mod keyspace;
pub(super) mod lcs;
pub(super) mod operators;
pub(super) mod pubsub;
pub(super) mod scan;
pub(super) mod server;
pub(super) mod sorted_set;
pub(super) mod string;
mod tracking;
pub(super) mod transaction;

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::number;
use super::reply::Version;
use super::request::Request;
use super::spec::CommandSpec;
use super::table;
pub use client::{ClientAttribute, ClientCommand, ClientFilter, ClientKind, Replying};
pub use freshness::FreshnessCommand;
pub use generic::{Expire, ExpireIf, KeyCommand, Moment};
pub use hash::HashCommand;
pub use keyspace::{KeyspaceCommand, Scan};
pub use lcs::{Lcs, LcsAnswer};
pub use operators::{DeadLetters, Jobs, OperatorsCommand, WarmCommand};
pub use pubsub::PubSubCommand;
pub use scan::ScanOptions;
pub use server::{ServerCommand, Slowlog};
pub use sorted_set::combine::{Aggregate, Options as CombineOptions};
pub use sorted_set::{
    Add, AddAnswer, Bound, Combination, Combined, Comparison, End, Selection, SortedSetCommand,
    SortedSetError, Span,
};
pub use string::{Condition, Expiry, Set, StringCommand};
pub use tracking::Tracking;
pub use transaction::TransactionCommand;

/// A request whose meaning is clear. The bytes in it share the buffer that the request arrived in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `PING`: are you there?
    Ping {
        /// To be sent back instead of `PONG`.
        message: Option<Bytes>,
    },
    /// `ECHO`: send this back.
    Echo {
        /// What to send back.
        message: Bytes,
    },
    /// `AUTH`: this is who the client is.
    Auth(Credentials),
    /// `ACL …`: about who the client is.
    Acl(AclCommand),
    /// `HELLO`: choose the protocol version, authenticate, name the connection.
    Hello(Hello),
    /// `SELECT`: choose the keyspace by its number.
    Select {
        /// Its number; whether there is such a keyspace is the server's to say.
        index: u32,
    },
    /// A command on the values of the keys that it names.
    Data(Data),
    /// `MULTI`, `EXEC` and the others about the connection's transaction.
    Transaction(TransactionCommand),
    /// `SUBSCRIBE`, `PUBLISH` and the others on channels.
    PubSub(PubSubCommand),
    /// A command on all the keys that there are.
    Keyspace(KeyspaceCommand),
    /// `CLIENT …`: about this connection.
    Client(ClientCommand),
    /// `COMMAND …`: about the command table; [`describe::answer`](super::describe::answer) answers it.
    Describe(Describe),
    /// `INFO` and the others about the server.
    Server(ServerCommand),
    /// `QUIT`: answer and close.
    Quit,
    /// `RESET`: as if newly connected.
    Reset,
    /// `FB.INVALIDATE` and the others about how fresh values are.
    Freshness(FreshnessCommand),
    /// `FB.STATS` and the others for operators.
    Operators(OperatorsCommand),
}

/// The arguments of `HELLO`. All are checked before any takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The version to speak from the reply on; the present one if `None`.
    pub version: Option<Version>,
    /// Who the client says it is.
    pub auth: Option<Credentials>,
    /// The connection's name; empty takes the name away.
    pub name: Option<Bytes>,
}

/// A user and a password. `Debug` shows the user alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name; `None` where the client has said a password alone.
    pub user: Option<Bytes>,
    /// The password or token.
    pub password: Bytes,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A sub-command of `ACL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclCommand {
    /// `ACL WHOAMI`: the client's name.
    WhoAmI,
    /// What `ACL` can do; [`describe::help`](super::describe::help) answers it.
    Help,
}

/// A command on the values of the keys that it names: what it answers depends on them, and it may change them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// On strings.
    String(StringCommand),
    /// On hashes.
    Hash(HashCommand),
    /// On sorted sets.
    SortedSet(SortedSetCommand),
    /// On values of any kind.
    Key(KeyCommand),
}

/// `COMMAND` and its sub-command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Describe {
    /// `COMMAND`: every row of the table.
    All,
    /// How many commands there are.
    Count,
    /// Their names, and those of their sub-commands.
    List {
        /// Of these alone; none means all.
        filter: Option<CommandFilter>,
    },
    /// Rows of the table.
    Info {
        /// Names, `container|name` for a sub-command; none means all.
        names: Vec<Bytes>,
    },
    /// Descriptions for people.
    Docs {
        /// Names, `container|name` for a sub-command; none means all.
        names: Vec<Bytes>,
    },
    /// The keys in a whole command.
    GetKeys {
        /// That command's words, its name first.
        words: Vec<Bytes>,
    },
    /// The same, with what the command does with each.
    GetKeysAndFlags {
        /// That command's words, its name first.
        words: Vec<Bytes>,
    },
    /// What the sub-commands of a command do.
    Help {
        /// Its name in capitals.
        of: &'static str,
    },
}

/// Which commands `COMMAND LIST` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandFilter {
    /// Those that a module of this name brings: there are no modules.
    Module(Bytes),
    /// Those of this category of Redis' access lists, without its `@`.
    Category(Bytes),
    /// Those whose names match.
    Pattern(Bytes),
}

/// Why a request is refused. `Display` is the text of the error reply, to the letter as Redis has it. It is
/// always the client's doing, nothing was done, and the connection goes on.
///
/// Names that are not UTF-8 are shown with replacement characters; line ends become blanks when written as a
/// reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// There is no such command.
    #[error("ERR unknown command '{name}', with args beginning with: {args}")]
    UnknownCommand {
        /// What was called, cut to 128 bytes.
        name: String,
        /// The arguments, each in quotes and followed by a blank, cut to about 128 bytes in all.
        args: String,
    },
    /// The command has no such sub-command.
    #[error("ERR unknown subcommand '{name}'. Try {command} HELP.")]
    UnknownSubcommand {
        /// The container's name in capitals.
        command: &'static str,
        /// What was called, cut to 128 bytes.
        name: String,
    },
    /// Too few words, or too many.
    #[error("ERR wrong number of arguments for '{}' command", .command.to_ascii_lowercase())]
    WrongArity {
        /// The command's name in capitals.
        command: &'static str,
    },
    /// Words that the command does not have, or not together.
    #[error("ERR syntax error")]
    Syntax,
    /// Not an integer as Redis spells them, or beyond 64 bits.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// An integer beyond 32 bits.
    #[error("ERR value is out of range, value must between {min} and {max}")]
    OutOfRange {
        /// The least allowed.
        min: i64,
        /// The most allowed.
        max: i64,
    },
    /// An integer beyond what a command takes.
    #[error("ERR value is out of range")]
    TooFar,
    /// Not an integer, or a negative one.
    #[error("ERR value is out of range, must be positive")]
    Negative,
    /// An infinity where a number is to be added.
    #[error("ERR value is NaN or Infinity")]
    NotFinite,
    /// Not the cursor of a scan.
    #[error("ERR invalid cursor")]
    InvalidCursor,
    /// Words that a command on sorted sets does not take.
    #[error(transparent)]
    SortedSet(#[from] SortedSetError),
    /// There is no keyspace of that number.
    #[error("ERR DB index is out of range")]
    NoSuchIndex,
    /// A time that is not positive, or too far away to be told.
    #[error("ERR invalid expire time in '{}' command", .command.to_ascii_lowercase())]
    InvalidExpire {
        /// The command's name in capitals.
        command: &'static str,
    },
    /// `DECRBY` of the one number that has no opposite.
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    /// A place before the beginning of a value.
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    /// An option that `EXPIRE` and its kin do not have.
    #[error("ERR Unsupported option {option}")]
    UnknownExpireOption {
        /// The option as written, cut to 128 bytes.
        option: String,
    },
    /// `NX` together with another condition of `EXPIRE`.
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    ExpireNxAndOthers,
    /// `GT` together with `LT`.
    #[error("ERR GT and LT options at the same time are not compatible")]
    ExpireGtAndLt,
    /// `COPY` from a key to itself.
    #[error("ERR source and destination objects are the same")]
    SameObject,
    /// `COPY … DB`: a keyspace's values belong to its declaration.
    #[error("ERR COPY keeps to its keyspace: leave out DB, and write the value after SELECT")]
    CopyToOtherKeyspace,
    /// `SWAPDB` with a first number that is none.
    #[error("ERR invalid first DB index")]
    InvalidFirstIndex,
    /// `SWAPDB` with a second number that is none.
    #[error("ERR invalid second DB index")]
    InvalidSecondIndex,
    /// `SLOWLOG GET` of fewer than all.
    #[error("ERR count should be greater than or equal to -1")]
    SlowlogCount,
    /// `LCS` that asks for two answers at once.
    #[error("ERR If you want both the length and indexes, please just use IDX.")]
    LcsLenAndIdx,
    /// `HELLO` with a version other than 2 and 3.
    #[error("NOPROTO unsupported protocol version")]
    UnsupportedVersion,
    /// `HELLO` with a version that is no number.
    #[error("ERR Protocol version is not an integer or out of range")]
    VersionNotAnInteger,
    /// An option that `HELLO` does not have, or not with so few words after it.
    #[error("ERR Syntax error in HELLO option '{option}'")]
    HelloOption {
        /// The option as written, cut to 128 bytes.
        option: String,
    },
    /// A name with blanks, control characters or non-ASCII letters in it.
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    /// `CLIENT SETINFO` of something other than `LIB-NAME` and `LIB-VER`.
    #[error("ERR Unrecognized option '{option}'")]
    UnknownAttribute {
        /// The attribute as written, cut to 128 bytes.
        option: String,
    },
    /// A `CLIENT SETINFO` value with blanks, control characters or non-ASCII letters in it.
    #[error("ERR {attribute} cannot contain spaces, newlines or special characters.")]
    AttributeValue {
        /// `lib-name` or `lib-ver`.
        attribute: &'static str,
    },
    /// `CLIENT TRACKING` with more than one `REDIRECT`.
    #[error("ERR A client can only redirect to a single other client")]
    RedirectTwice,
    /// A name of a client or its library that is too long to be kept.
    #[error("ERR a name has at most {max} bytes")]
    NameTooLong {
        /// How many it may have.
        max: usize,
    },
    /// `CLIENT PAUSE` for a time that is no number.
    #[error("ERR timeout is not an integer or out of range")]
    PauseTime,
    /// `CLIENT PAUSE` for a time that is negative.
    #[error("ERR timeout is negative")]
    PauseNegative,
    /// `CLIENT PAUSE` of something other than `WRITE` and `ALL`.
    #[error("ERR CLIENT PAUSE mode must be WRITE or ALL")]
    PauseMode,
    /// `CLIENT UNBLOCK` for a reason other than `TIMEOUT` and `ERROR`.
    #[error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")]
    UnblockReason,
    /// `CLIENT KILL ID` of something that is no number of a client.
    #[error("ERR client-id should be greater than 0")]
    ClientId,
    /// `CLIENT LIST ID` of something that is no number of a client.
    #[error("ERR Invalid client ID")]
    InvalidClientId,
    /// Clients of a type that there is not.
    #[error("ERR Unknown client type '{name}'")]
    ClientType {
        /// The type as written, cut to 128 bytes.
        name: String,
    },
    /// Not a number with a point in it, or none that goes here.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// `FUNCTION FLUSH` in a way that there is not.
    #[error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")]
    FunctionFlush,
    /// `COMMAND GETKEYS` of something that is no command.
    #[error("ERR Invalid command specified")]
    GetKeysUnknown,
    /// `COMMAND GETKEYS` of too few or too many words for the command named.
    #[error("ERR Invalid number of arguments specified for command")]
    GetKeysArity,
    /// `COMMAND GETKEYS` of a command that does not say rightly how many keys it names.
    #[error("ERR Invalid arguments specified for command")]
    GetKeysCount,
    /// `COMMAND GETKEYS` of a command that takes no keys.
    #[error("ERR The command has no key arguments")]
    GetKeysNone,
}

/// The row of the table for `request`, its sub-command's if it has one, with the number of words checked.
///
/// # Errors
///
/// [`CommandError::UnknownCommand`], [`CommandError::UnknownSubcommand`] or [`CommandError::WrongArity`].
pub fn resolve(request: &Request) -> Result<&'static CommandSpec, CommandError> {
    let command = table::lookup(request.name()).ok_or_else(|| unknown_command(request))?;
    let spec = match request.get(1) {
        Some(sub) if !command.subcommands.is_empty() => {
            table::lookup_subcommand(command, sub).ok_or_else(|| CommandError::UnknownSubcommand {
                command: command.name,
                name: shown(sub, 128),
            })?
        }
        _ => command,
    };
    match spec.takes(request.len()) {
        true => Ok(spec),
        false => Err(CommandError::WrongArity { command: spec.name }),
    }
}

/// What `request` asks for: [`resolve`] and [`CommandSpec::parse`] in one.
///
/// # Errors
///
/// [`CommandError`], of which each variant says when.
pub fn parse(request: &Request) -> Result<Command, CommandError> {
    resolve(request)?.parse(request)
}

fn unknown_command(request: &Request) -> CommandError {
    let mut args = String::new();
    for arg in request.args().skip(1) {
        let Some(left @ 1..) = 128_usize.checked_sub(args.len()) else {
            break;
        };
        args.push('\'');
        args.push_str(&shown(arg, left));
        args.push_str("' ");
    }
    CommandError::UnknownCommand { name: shown(request.name(), 128), args }
}

/// The first `max_bytes` of what a client wrote, up to a NUL byte, for a message.
fn shown(text: &[u8], max_bytes: usize) -> String {
    let text = text.get(..max_bytes).unwrap_or(text);
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned()
}

/// A request together with the row of the table that it is judged by: what parse functions get.
pub(super) struct Call<'a> {
    pub(super) spec: &'a CommandSpec,
    pub(super) request: &'a Request,
}

impl Call<'_> {
    fn wrong_arity(&self) -> CommandError {
        CommandError::WrongArity { command: self.spec.name }
    }

    /// How many words the request has.
    fn len(&self) -> usize {
        self.request.len()
    }

    /// The word at `index`, to be looked at.
    fn word(&self, index: usize) -> Result<&[u8], CommandError> {
        self.request.get(index).ok_or_else(|| self.wrong_arity())
    }

    /// The word at `index`, to be kept.
    fn bytes(&self, index: usize) -> Result<Bytes, CommandError> {
        self.request.bytes(index).ok_or_else(|| self.wrong_arity())
    }

    /// Whether the word at `index` is `option`, in letters of any size.
    fn is(&self, index: usize, option: &str) -> bool {
        self.request.get(index).is_some_and(|word| word.eq_ignore_ascii_case(option.as_bytes()))
    }

    /// The words from `first` on, to be kept.
    fn rest(&self, first: usize) -> Vec<Bytes> {
        (first..self.len()).filter_map(|index| self.request.bytes(index)).collect()
    }

    /// The words from `first` on, two and two.
    fn pairs(&self, first: usize) -> Result<Vec<(Bytes, Bytes)>, CommandError> {
        let words = self.rest(first);
        let (pairs, rest) = words.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.wrong_arity());
        }
        Ok(pairs.iter().map(|[first, second]| (first.clone(), second.clone())).collect())
    }

    fn integer(&self, index: usize) -> Result<i64, CommandError> {
        number::integer(self.word(index)?).ok_or(CommandError::NotAnInteger)
    }

    /// How many entries are drawn by chance, and whether `option` asks for what belongs to them; one if nothing is said.
    fn random(&self, option: &str) -> Result<(Option<i64>, bool), CommandError> {
        if self.len() == 2 {
            return Ok((None, false));
        }
        let count = self.integer(2)?;
        if count == i64::MIN {
            return Err(CommandError::OutOfRange { min: -i64::MAX, max: i64::MAX });
        }
        let with = match self.len() {
            3 => false,
            4 if self.is(3, option) => true,
            _ => return Err(CommandError::Syntax),
        };
        let half = i64::MAX / 2;
        if with && !(-half..=half).contains(&count) || count < -DRAWN_MAX {
            return Err(CommandError::TooFar);
        }
        Ok((Some(count), with))
    }
}

/// The most entries that one command draws with repeats. Redis answers as many as a client asks for, until its memory is gone.
const DRAWN_MAX: i64 = 1_000_000;

/// The longest time from now that is taken, in milliseconds. As with Redis, added to the clock it must fit an `i64`; the clock is taken
/// to show the year 2023 at least.
const SPAN_MS_MAX: i64 = i64::MAX - 1_700_000_000_000;

/// Makes a command of a request.
type Parse = fn(&Call<'_>) -> Result<Command, CommandError>;

/// Printable ASCII without blanks, which is what client names and attributes are made of.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}
