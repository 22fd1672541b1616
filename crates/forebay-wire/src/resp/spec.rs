//! What a row of the command table says of a command.
//!
//! A command is declared once, next to the function that understands its arguments. Dispatch, argument
//! counts, access checks, `COMMAND …`, `… HELP` and the reference page all read the same row.

use super::command::{Call, Command, CommandError};
use super::number;
use super::request::Request;

/// A command, or a sub-command such as `CLIENT|ID`.
#[derive(Debug)]
pub struct CommandSpec {
    /// Its name in capitals; a sub-command's begins with its container's and `|`. At most 16 bytes for a
    /// command.
    pub name: &'static str,
    /// How many words it takes, its own name (both names of a sub-command) among them: exactly `n` if
    /// positive, at least `n` for `-n`.
    pub arity: i32,
    /// How it behaves, in Redis' words.
    pub flags: &'static [Flag],
    /// Which of its words are keys.
    pub keys: Keys,
    /// What it does with them in Redis' words, for each of the ranges in which `COMMAND INFO` tells them; as [`Keys::usage`] has it
    /// where empty.
    pub key_flags: &'static [&'static [&'static str]],
    /// The right that a client needs to call it.
    pub access: Access,
    /// The Redis version whose behaviour this is the first to have; Forebay's own for `FB.` commands.
    pub since: &'static str,
    /// Where it belongs in the reference.
    pub group: Group,
    /// The words after its name, in the notation of the Redis reference; empty if there are none.
    pub arguments: &'static str,
    /// What it does, in one sentence without a full stop.
    pub summary: &'static str,
    /// Its cost within Forebay; a read that misses adds its source's.
    pub complexity: &'static str,
    /// Its sub-commands; the word after its name chooses one.
    pub subcommands: &'static [CommandSpec],
    pub(super) parse: fn(&Call<'_>) -> Result<Command, CommandError>,
}

/// How rows are written: what is not said of a command is as with one that costs a constant, names no keys and has neither flags nor
/// sub-commands.
impl CommandSpec {
    /// The row of a command of `group` that takes `arity` words.
    pub(super) const fn row(
        group: Group,
        name: &'static str,
        arity: i32,
        access: Access,
        parse: fn(&Call<'_>) -> Result<Command, CommandError>,
    ) -> Self {
        Self {
            name,
            arity,
            flags: &[],
            keys: Keys::NONE,
            key_flags: &[],
            access,
            since: "",
            group,
            arguments: "",
            summary: "",
            complexity: "O(1)",
            subcommands: &[],
            parse,
        }
    }

    /// The same with these flags.
    pub(super) const fn flags(self, flags: &'static [Flag]) -> Self {
        Self { flags, ..self }
    }

    /// The same with these keys.
    pub(super) const fn keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// The same, doing this with its keys.
    pub(super) const fn key_flags(self, key_flags: &'static [&'static [&'static str]]) -> Self {
        Self { key_flags, ..self }
    }

    /// The same, as it is since this version.
    pub(super) const fn since(self, since: &'static str) -> Self {
        Self { since, ..self }
    }

    /// The same with these words after its name.
    pub(super) const fn words(self, arguments: &'static str) -> Self {
        Self { arguments, ..self }
    }

    /// The same, which does this.
    pub(super) const fn does(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// The same at this cost.
    pub(super) const fn costs(self, complexity: &'static str) -> Self {
        Self { complexity, ..self }
    }

    /// The same with these sub-commands.
    pub(super) const fn holds(self, subcommands: &'static [CommandSpec]) -> Self {
        Self { subcommands, ..self }
    }
}

impl CommandSpec {
    /// What `request` asks for, if this is its command (see [`resolve`](super::resolve)).
    ///
    /// # Errors
    ///
    /// [`CommandError`] where the arguments are not what the command takes. It is the client's fault, and
    /// nothing was done.
    pub fn parse(&self, request: &Request) -> Result<Command, CommandError> {
        (self.parse)(&Call { spec: self, request })
    }

    /// Whether a request of `words` words, its name among them, has as many as this command takes.
    #[must_use]
    pub fn takes(&self, words: usize) -> bool {
        let least = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 { words >= least } else { words == least }
    }

    /// The places of the keys in `request`, for [`Request::get`]. Every key that the command touches is among them, so an access
    /// check may rely on it.
    pub fn key_indexes(&self, request: &Request) -> impl Iterator<Item = usize> + use<> {
        let words = request.len();
        let Keys { first, last, step, counted, .. } = self.keys;
        let end = match usize::try_from(last) {
            Ok(last) => words.min(last.saturating_add(1)),
            Err(_) => {
                let from_end = usize::try_from(last.unsigned_abs()).unwrap_or(usize::MAX);
                words.saturating_add(1).saturating_sub(from_end)
            }
        };
        let start = if first == 0 { end } else { first };
        let counted = counted.map_or(0..0, |at| {
            let start = at.saturating_add(1).min(words);
            start..start.saturating_add(counted_keys(request, at).unwrap_or_default()).min(words)
        });
        (start..end).step_by(step.max(1)).chain(counted)
    }

    /// Whether the word that counts keys, where there is one, says as many as there can be.
    pub(super) fn counts_keys(&self, request: &Request) -> bool {
        self.keys.counted.is_none_or(|at| {
            let left = request.len().saturating_sub(at + 1);
            counted_keys(request, at).is_some_and(|count| (1..=left).contains(&count))
        })
    }

    /// Whether its words may be passwords, which nobody else is shown: they come in commands that are there before a client has
    /// authenticated, and in settings.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.flags.contains(&Flag::NoAuth) || self.name == "CONFIG|SET"
    }

    /// The name as Redis shows it in replies and messages: in small letters.
    #[must_use]
    pub fn display_name(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}

/// How many keys follow the word at `at`, if it says so.
fn counted_keys(request: &Request, at: usize) -> Option<usize> {
    usize::try_from(number::integer(request.get(at)?)?).ok()
}

/// Which words of a request are keys: from `first` to `last`, every `step`-th, and those that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// Index of the first key; 0 if there are none.
    pub first: usize,
    /// Index of the last key; counted from the end if negative, -1 being the last word.
    pub last: i32,
    /// How far apart keys are; 0 if there are none.
    pub step: usize,
    /// Index of a word that says how many keys follow it, as in `ZUNION`.
    pub counted: Option<usize>,
    /// What happens to them; the most where it is not the same with all of them.
    pub usage: KeyUse,
}

impl Keys {
    /// No keys.
    pub const NONE: Self = Self { first: 0, last: 0, step: 0, counted: None, usage: KeyUse::None };

    /// The one word after the command's name.
    #[must_use]
    pub const fn one(usage: KeyUse) -> Self {
        Self { first: 1, last: 1, step: 1, counted: None, usage }
    }

    /// The one word after the two names of a sub-command.
    #[must_use]
    pub const fn of_subcommand(usage: KeyUse) -> Self {
        Self { first: 2, last: 2, step: 1, counted: None, usage }
    }

    /// Every word after the command's name.
    #[must_use]
    pub const fn all(usage: KeyUse) -> Self {
        Self { first: 1, last: -1, step: 1, counted: None, usage }
    }

    /// Every second word after the command's name.
    #[must_use]
    pub const fn pairs(usage: KeyUse) -> Self {
        Self { first: 1, last: -1, step: 2, counted: None, usage }
    }

    /// The two words after the command's name.
    #[must_use]
    pub const fn two(usage: KeyUse) -> Self {
        Self { first: 1, last: 2, step: 1, counted: None, usage }
    }

    /// As many words after the one at index `at` as that says.
    #[must_use]
    pub const fn counted(at: usize, usage: KeyUse) -> Self {
        Self { counted: Some(at), usage, ..Self::NONE }
    }

    /// The word after the command's name, and those that the word at index `at` counts.
    #[must_use]
    pub const fn one_and_counted(at: usize, usage: KeyUse) -> Self {
        Self { counted: Some(at), ..Self::one(usage) }
    }

    /// Whether a request has any.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.usage != KeyUse::None
    }
}

/// What a command does with its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// There are none.
    None,
    /// Answers what is in the value.
    Read,
    /// Answers what is known about the value (whether it is there, its type, its remaining time).
    Inspect,
    /// Writes the value, and may answer the one before.
    Write,
    /// Notes something about the value, whose content stays.
    Mark,
    /// Removes the value, or the copies of it.
    Remove,
}

impl KeyUse {
    /// The words for it in `COMMAND INFO`.
    pub(super) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Read => &["RO", "access"],
            Self::Inspect => &["RO"],
            Self::Write => &["RW", "access", "update", "variable_flags"],
            Self::Mark => &["RW", "update"],
            Self::Remove => &["RM", "delete"],
        }
    }
}

/// A property of a command, in Redis' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// Changes values.
    Write,
    /// Reads values and changes none.
    ReadOnly,
    /// Takes memory, and is refused where there is none.
    DenyOom,
    /// Answers in constant time, or nearly.
    Fast,
    /// About channels.
    PubSub,
    /// For operators.
    Admin,
    /// Not for scripts.
    NoScript,
    /// Answered while data is still being loaded.
    Loading,
    /// Answered by a server that is out of touch.
    Stale,
    /// Answered before the client has authenticated.
    NoAuth,
    /// Answered while something long is running.
    AllowBusy,
}

impl Flag {
    /// The word for it in `COMMAND INFO`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::ReadOnly => "readonly",
            Self::DenyOom => "denyoom",
            Self::Fast => "fast",
            Self::PubSub => "pubsub",
            Self::Admin => "admin",
            Self::NoScript => "noscript",
            Self::Loading => "loading",
            Self::Stale => "stale",
            Self::NoAuth => "no_auth",
            Self::AllowBusy => "allow_busy",
        }
    }
}

/// The right that a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// None beyond being let in: the command is about the connection or the command table.
    Connection,
    /// To read the keys it names, or all where it names none.
    Read,
    /// To write the keys it names, or all where it names none.
    Write,
    /// To have the copies of the keys it names dropped, without a right to write them.
    Invalidate,
    /// To look at the workings of the server, or of the keys it names.
    Observe,
    /// To hear what is published, and who listens.
    Subscribe,
    /// To publish.
    Publish,
    /// To do an operator's work: backups, connections of others, and what becomes of writes that could not be applied.
    Operate,
}

impl Access {
    /// The word for it in the reference.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Read => "read",
            Self::Write => "write",
            Self::Invalidate => "invalidate",
            Self::Observe => "observe",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Operate => "operate",
        }
    }
}

/// Where a command belongs in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// About the connection itself.
    Connection,
    /// About values of any kind.
    Generic,
    /// About blobs.
    String,
    /// About hashes.
    Hash,
    /// About sorted sets.
    SortedSet,
    /// About transactions.
    Transactions,
    /// About channels.
    PubSub,
    /// About the server.
    Server,
    /// About how fresh a value is; Forebay's own.
    Freshness,
}

impl Group {
    /// All groups, in the order of the reference.
    pub const ALL: [Self; 9] = [
        Self::Connection,
        Self::String,
        Self::Hash,
        Self::SortedSet,
        Self::Generic,
        Self::Transactions,
        Self::PubSub,
        Self::Freshness,
        Self::Server,
    ];

    /// The word for it in `COMMAND DOCS`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::String => "string",
            Self::Hash => "hash",
            Self::SortedSet => "sorted-set",
            Self::Transactions => "transactions",
            Self::PubSub => "pubsub",
            Self::Server => "server",
            Self::Freshness => "freshness",
        }
    }
}
