//! Options of a namespace.

use super::loader::{LOADER, MEMBERSHIP, QUOTA};
use super::{Kind, Limits, NONE, Opt, REQUIRED, Section, TextKind, between, days, millis};

const PER_SECOND: std::time::Duration = millis(1_000);

pub(crate) static NAMESPACE: Section = Section {
    path: "namespace.NAME",
    about: "A part of the keyspace: what its keys mean, how fresh they must be, where a write goes.",
    options: &[
        Opt {
            name: "key",
            kind: Kind::Text(TextKind::Pattern),
            default: REQUIRED,
            effect: "The pattern of its keys: text with parameters in braces, `{name}` or `{name:integer}` (`text`, `integer`, `uuid`). \
                     No key may match two namespaces.",
        },
        Opt {
            name: "kind",
            kind: Kind::Choice(&["blob", "hash", "sorted_set", "counter"]),
            default: "`\"blob\"` of a source, else any",
            effect: "What a value is. A client's write of another kind is refused where this namespace keeps it: in its store, or as a copy.",
        },
        Opt {
            name: "field",
            kind: Kind::Text(TextKind::Pattern),
            default: "one row is the hash, its columns are the fields",
            effect: "The pattern of a hash's field names, with columns in braces: each row of a key is one field, and its value the row as JSON.",
        },
        Opt {
            name: "mode",
            kind: Kind::Choice(&["cache", "store"]),
            default: "`\"cache\"` with a source, else must be given",
            effect: "`cache`: can be lost at any time, its source has the truth. `store`: is itself the truth, never evicted, durable.",
        },
        Opt {
            name: "ttl",
            kind: Kind::DurationOr(&SLIDING, Limits(millis(1), days(3_650))),
            default: REQUIRED,
            effect: "How long a value is fresh, counted from the moment its load began; as a table, counted from its last use.",
        },
        Opt {
            name: "fresh_until",
            kind: Kind::NameOr(&FRESH_UNTIL),
            default: "`ttl` tells of every row",
            effect: "The column that says until when a row is fresh, in place of `ttl`: text of RFC 3339, a `timestamptz`, or NULL where the row says \
                     nothing. Of several rows the first to end counts; a field of a hash that is one row ends by itself. A column of the name \
                     `fresh_until` is for this alone and no part of the value.",
        },
        Opt {
            name: "absent_ttl",
            kind: between(millis(0), days(1)),
            default: "min(`ttl`, 30s)",
            effect: "How long the absence of a row is believed; `0s` asks every time.",
        },
        Opt {
            name: "stale_while_revalidate",
            kind: between(millis(1), days(365)),
            default: NONE,
            effect: "How long past its TTL a value may be served while one refresh is on its way.",
        },
        Opt {
            name: "stale_if_error",
            kind: between(millis(1), days(365)),
            default: NONE,
            effect: "How long past its TTL a value may be served when the source fails.",
        },
        Opt {
            name: "refresh_ahead",
            kind: between(millis(1), days(365)),
            default: NONE,
            effect: "A read this long before the TTL ends starts a refresh; shorter than `ttl`.",
        },
        Opt {
            name: "refresh_every",
            kind: between(PER_SECOND, days(365)),
            default: NONE,
            effect: "What is held is refreshed this often, read or not; shorter than `ttl` with its longest stale window.",
        },
        Opt {
            name: "jitter",
            kind: between(millis(1), days(365)),
            default: NONE,
            effect: "The most that a TTL is shortened by chance, so that what was filled together does not expire together; shorter than `ttl`.",
        },
        Opt {
            name: "secure",
            kind: Kind::Flag,
            default: "false",
            effect: "Forbids every stale answer; what cannot be loaded fails.",
        },
        Opt {
            name: "version",
            kind: Kind::Text(TextKind::Name),
            default: NONE,
            effect: "A column of integers; a value whose version is older never replaces a newer one.",
        },
        Opt {
            name: "shape",
            kind: Kind::Integer { min: 0, max: 4_294_967_295 },
            default: "0",
            effect: "Raised when the rows change shape, so that new code never meets old copies.",
        },
        Opt {
            name: "tags",
            kind: Kind::Texts(TextKind::Pattern),
            default: NONE,
            effect: "Groups that a value belongs to and is invalidated with; parameters or columns (text, integers) in braces.",
        },
        Opt {
            name: "writes",
            kind: Kind::Choice(&["refuse", "cache", "through", "behind"]),
            default: "`\"refuse\"` with a source; with a sink it must be given",
            effect: "What a client's write does: an error; kept here until its TTL, the source untouched; to the sink first; \
                     to the sink later, from a journal.",
        },
        Opt {
            name: "source",
            kind: Kind::Table(&SOURCE),
            default: NONE,
            effect: "Where a missing key is loaded from.",
        },
        Opt {
            name: "aliases",
            kind: Kind::Map("PARAMETER", &Kind::Text(TextKind::Query)),
            default: NONE,
            effect: "Other names for the key's one parameter (an id or a slug): a query that selects the other name and the parameter, \
                     by `{keys}` of the other name.",
        },
        Opt { name: "sink", kind: Kind::Table(&SINK), default: NONE, effect: "Where writes go." },
        Opt {
            name: "warm",
            kind: Kind::Warm,
            default: NONE,
            effect: "What is loaded at the start: `PARAMETER = [values]`, every combination of them; the keys that `query` gives, in its order; \
                     `all = true`, those of `source.sql.list`; and the `hottest` N keys of the last run.",
        },
        Opt {
            name: "durability",
            kind: Kind::Durability,
            default: "`\"interval 1s\"` in a store",
            effect: "When an acknowledged write of a store is on disk: before the answer, at the end of the interval, or whenever.",
        },
        Opt {
            name: "loader",
            kind: Kind::Table(&LOADER),
            default: "its defaults",
            effect: "How the source is asked.",
        },
        Opt {
            name: "membership",
            kind: Kind::Table(&MEMBERSHIP),
            default: NONE,
            effect: "A filter of the keys that exist, by which what does not is absent without a query; needs `source.sql.list`.",
        },
        Opt {
            name: "quota",
            kind: Kind::Table(&QUOTA),
            default: NONE,
            effect: "How many keys are read and written in a day, in UTC; `{}` counts them alone.",
        },
        Opt {
            name: "workers_kv_limits",
            kind: Kind::Flag,
            default: "false",
            effect: "Refuses what Workers KV refuses: a value that would end within 60 s, a second write of one key within a second, a key that is \
                     empty, `.` or `..`; here a `ttl` under 60 s, and another `kind` than `blob`.",
        },
        Opt {
            name: "log",
            kind: Kind::Choice(&["none", "operations"]),
            default: "`\"none\"`",
            effect: "`operations`: a line of the log for each request to it, of some 1,000 a second at most.",
        },
        Opt {
            name: "memory",
            kind: Kind::Table(&MEMORY),
            default: "its defaults",
            effect: "Its part of the memory tier.",
        },
        Opt {
            name: "exists",
            kind: Kind::Choice(&["held", "load"]),
            default: "`\"held\"`",
            effect: "What `EXISTS` and `HEXISTS` answer from: what is held, or a load.",
        },
        Opt {
            name: "depends_on",
            kind: Kind::Map("TABLE", &Kind::Texts(TextKind::Name)),
            default: "derived from a simple query, else any table of its database",
            effect: "The tables its rows come from, each with the columns that carry the key's parameters in their order; \
                     `[]` where any change of the table concerns every key.",
        },
    ],
};

static SLIDING: Section = Section {
    path: "namespace.NAME.ttl",
    about: "A TTL that every use renews.",
    options: &[
        Opt {
            name: "idle",
            kind: between(millis(1), days(3_650)),
            default: REQUIRED,
            effect: "It ends this long after the last use.",
        },
        Opt {
            name: "max",
            kind: between(millis(1), days(3_650)),
            default: REQUIRED,
            effect: "It ends this long after the value was made, however much it is used.",
        },
    ],
};

static FRESH_UNTIL: Section = Section {
    path: "namespace.NAME.fresh_until",
    about: "A column that says until when a row is fresh, and how far ahead that may be.",
    options: &[
        Opt { name: "column", kind: Kind::Text(TextKind::Name), default: REQUIRED, effect: "The column." },
        Opt {
            name: "at_most",
            kind: between(millis(1), days(3_650)),
            default: "`ttl`",
            effect: "However far ahead the row says, it is fresh no longer than this after its load began. Of a hash with `field` no longer than `ttl`.",
        },
    ],
};

static SOURCE: Section = Section {
    path: "namespace.NAME.source",
    about: "Where a missing key is loaded from: a query, a request, or both merged.",
    options: &[
        Opt { name: "sql", kind: Kind::Table(&SOURCE_SQL), default: NONE, effect: "A query." },
        Opt { name: "http", kind: Kind::Table(&SOURCE_HTTP), default: NONE, effect: "A request." },
        Opt {
            name: "merge",
            kind: Kind::Texts(TextKind::Name),
            default: "with both sources it must be given",
            effect: "`[\"sql\", \"http\"]` or the other way round: both are asked at once, and members of the later are laid over the earlier. A key exists \
                     where either has it.",
        },
    ],
};

static SOURCE_SQL: Section = Section {
    path: "namespace.NAME.source.sql",
    about: "A query that serves one key and many.",
    options: &[
        Opt {
            name: "database",
            kind: Kind::Text(TextKind::Name),
            default: REQUIRED,
            effect: "A `[database.NAME]`.",
        },
        Opt {
            name: "query",
            kind: Kind::Text(TextKind::Query),
            default: REQUIRED,
            effect: "One `select` that gives the rows of the keys in `{keys}`, with a column for each parameter of the key. `{keys}` stands \
                     after `in` and is bound as a list, never pasted.",
        },
        Opt {
            name: "fields",
            kind: Kind::Text(TextKind::Query),
            default: "whole hashes are loaded",
            effect: "For a hash with `field`: the query for single fields, by the parameters of the key and of the field. It gives the same columns.",
        },
        Opt {
            name: "list",
            kind: Kind::Text(TextKind::Query),
            default: "the keys are not listed",
            effect: "One `select` that gives the parameters of all keys that exist, in columns of their names. It is read in pages.",
        },
        Opt {
            name: "rows",
            kind: Kind::Choice(&["one", "many"]),
            default: "`\"one\"`",
            effect: "How many rows a blob is made of: one, which is a JSON object, or all that the key has, a JSON array in the query's order.",
        },
        Opt {
            name: "rows_max",
            kind: Kind::Integer { min: 1, max: 10_000_000 },
            default: "10000",
            effect: "Most rows of a key that is made of many; a key that has more is not loaded.",
        },
        Opt {
            name: "size_max",
            kind: Kind::Size { min: 1, max: 1 << 30 },
            default: "16 MiB",
            effect: "Most bytes of a key's rows; a key that has more is not loaded.",
        },
        Opt {
            name: "member",
            kind: Kind::Text(TextKind::Name),
            default: "`\"member\"`",
            effect: "The column of a sorted set's members: each row of a key is one.",
        },
        Opt {
            name: "score",
            kind: Kind::Text(TextKind::Name),
            default: "`\"score\"`",
            effect: "The column of their scores: numbers, counted as doubles.",
        },
        Opt {
            name: "decimals",
            kind: Kind::Map("COLUMN", &Kind::Integer { min: 0, max: 28 }),
            default: NONE,
            effect: "Columns that hold exact decimals as text, with their digits after the point in the JSON number.",
        },
    ],
};

// Whom requests may reach is said alike for sources and sinks.
const ALLOW_PRIVATE: Opt = Opt {
    name: "allow_private",
    kind: Kind::Flag,
    default: "false",
    effect: "Loopback and private addresses may be reached; link-local ones and metadata services never.",
};

const ALLOW: Opt = Opt {
    name: "allow",
    kind: Kind::Texts(TextKind::Any),
    default: NONE,
    effect: "Networks of loopback and private addresses that may be reached: `[\"10.1.0.0/16\"]`.",
};

const CA_FILE: Opt = Opt {
    name: "ca_file",
    kind: Kind::Text(TextKind::Path),
    default: NONE,
    effect: "A file of authorities (PEM) to trust beside those that browsers trust.",
};

static SOURCE_HTTP: Section = Section {
    path: "namespace.NAME.source.http",
    about: "A request that gives the value of one key, or of many.",
    options: &[
        Opt {
            name: "url",
            kind: Kind::Text(TextKind::Url),
            default: REQUIRED,
            effect: "`http://` or `https://`, with parameters of the key in braces in its path and query: one request a key. With `{keys}` \
                     in their place, one request for many keys of one parameter.",
        },
        Opt {
            name: "keys",
            kind: Kind::Choice(&["joined", "repeated"]),
            default: "`\"joined\"`",
            effect: "How `{keys}` is written: with commas between them, or by repeating their pair of the query.",
        },
        Opt {
            name: "keys_max",
            kind: Kind::Integer { min: 1, max: 256 },
            default: "100",
            effect: "Most keys in one request.",
        },
        Opt {
            name: "failover",
            kind: Kind::Texts(TextKind::Url),
            default: NONE,
            effect: "Other origins (`https://HOST`) that are asked with the same path and query when the first fails, in this order.",
        },
        Opt {
            name: "health",
            kind: Kind::Table(&SOURCE_HTTP_HEALTH),
            default: NONE,
            effect: "How the origins are probed.",
        },
        Opt {
            name: "headers",
            kind: Kind::Map("HEADER", &Kind::Text(TextKind::Any)),
            default: NONE,
            effect: "Headers sent along; they are never shown.",
        },
        Opt {
            name: "pointer",
            kind: Kind::Text(TextKind::Any),
            default: "the whole answer",
            effect: "A JSON pointer (RFC 6901) to the value, or to the array or object that holds the values of many keys. Where it leads to \
                     nothing or `null` there is no value.",
        },
        Opt {
            name: "absent",
            kind: Kind::Texts(TextKind::Name),
            default: NONE,
            effect: "Statuses that say that there is no value, beside 404: `[\"410\"]`.",
        },
        Opt {
            name: "cache_control",
            kind: Kind::Flag,
            default: "false",
            effect: "The answer's `Cache-Control`, `Expires` and `Age` may shorten the TTL.",
        },
        Opt {
            name: "remember",
            kind: Kind::Size { min: 0, max: 1 << 30 },
            default: "1 MiB",
            effect: "Room for answers with an `ETag` or `Last-Modified`, which the origin may confirm instead of sending them again.",
        },
        Opt {
            name: "size_max",
            kind: Kind::Size { min: 1, max: 1 << 28 },
            default: "1 MiB",
            effect: "The largest answer.",
        },
        Opt {
            name: "timeout",
            kind: between(millis(1), days(1)),
            default: "2s, at most two fifths of `loader.timeout`",
            effect: "The longest that one request takes; all of them together take no longer than `loader.timeout`.",
        },
        Opt {
            name: "connect_timeout",
            kind: between(millis(1), days(1)),
            default: "1s",
            effect: "The longest for a connection: name, TCP and TLS.",
        },
        Opt {
            name: "retries",
            kind: Kind::Integer { min: 0, max: 10 },
            default: "2",
            effect: "How often a request is made again whose failure may pass.",
        },
        Opt {
            name: "retry_budget",
            kind: Kind::Percent,
            default: "10 %",
            effect: "Retries as a share of all requests; three a second may always be made.",
        },
        Opt {
            name: "redirects",
            kind: Kind::Integer { min: 0, max: 10 },
            default: "3",
            effect: "Most redirects that are followed, within the origin.",
        },
        Opt {
            name: "connections",
            kind: Kind::Integer { min: 1, max: 1_000 },
            default: "16",
            effect: "Most requests in flight, and most idle connections to an origin.",
        },
        Opt {
            name: "idle_timeout",
            kind: between(millis(1), days(1)),
            default: "30s",
            effect: "How long an idle connection is kept.",
        },
        ALLOW_PRIVATE,
        ALLOW,
        CA_FILE,
    ],
};

static SOURCE_HTTP_HEALTH: Section = Section {
    path: "namespace.NAME.source.http.health",
    about: "How the origins of a request are probed; one that fails two probes in a row is asked last.",
    options: &[
        Opt {
            name: "path",
            kind: Kind::Text(TextKind::Any),
            default: REQUIRED,
            effect: "A path that an origin answers with success while it is well.",
        },
        Opt {
            name: "every",
            kind: between(millis(100), days(1)),
            default: "5s",
            effect: "How often it is asked, give or take a fifth.",
        },
    ],
};

static SINK: Section = Section {
    path: "namespace.NAME.sink",
    about: "Where writes go: statements, or requests.",
    options: &[
        Opt { name: "sql", kind: Kind::Table(&SINK_SQL), default: NONE, effect: "Statements." },
        Opt { name: "http", kind: Kind::Table(&SINK_HTTP), default: NONE, effect: "Requests." },
    ],
};

static SINK_SQL: Section = Section {
    path: "namespace.NAME.sink.sql",
    about: "Statements that apply writes, in batches.",
    options: &[
        Opt {
            name: "database",
            kind: Kind::Text(TextKind::Name),
            default: REQUIRED,
            effect: "A `[database.NAME]`.",
        },
        Opt {
            name: "write",
            kind: Kind::Text(TextKind::Query),
            default: REQUIRED,
            effect: "One statement that writes the rows in `{rows}`, new or not.",
        },
        Opt {
            name: "delete",
            kind: Kind::Text(TextKind::Query),
            default: "deletes are refused",
            effect: "One statement that deletes the rows of the keys in `{keys}`.",
        },
    ],
};

static SINK_HTTP: Section = Section {
    path: "namespace.NAME.sink.http",
    about: "Requests that apply writes: `PUT` with the value, `DELETE` without.",
    options: &[
        Opt {
            name: "url",
            kind: Kind::Text(TextKind::Url),
            default: REQUIRED,
            effect: "`http://` or `https://`, with parameters of the key in braces.",
        },
        Opt {
            name: "headers",
            kind: Kind::Map("HEADER", &Kind::Text(TextKind::Any)),
            default: NONE,
            effect: "Headers sent along; they are never shown.",
        },
        Opt {
            name: "idempotency_key",
            kind: Kind::Flag,
            default: "false",
            effect: "The other side honours `Idempotency-Key`: a write is exactly once in effect; otherwise at least once.",
        },
        Opt {
            name: "accepted",
            kind: Kind::Flag,
            default: "false",
            effect: "202 counts as applied: the other side keeps what it accepts, and applies it in order.",
        },
        Opt {
            name: "timeout",
            kind: between(millis(1), days(1)),
            default: "four fifths of `loader.timeout`",
            effect: "The longest for the writes that are sent together.",
        },
        Opt {
            name: "connections",
            kind: Kind::Integer { min: 1, max: 1_000 },
            default: "16",
            effect: "Most requests in flight, and most idle connections.",
        },
        ALLOW_PRIVATE,
        ALLOW,
        CA_FILE,
    ],
};

static MEMORY: Section = Section {
    path: "namespace.NAME.memory",
    about: "Its part of the memory tier.",
    options: &[
        Opt {
            name: "policy",
            kind: Kind::Choice(&["s3-fifo", "lru", "lfu"]),
            default: "`\"s3-fifo\"`",
            effect: "Which values make room for others; another than the default needs a `budget` or a `share`.",
        },
        Opt {
            name: "budget",
            kind: Kind::Size { min: 64 << 10, max: 1 << 44 },
            default: "the common budget",
            effect: "Bytes of its own, taken from `[memory] budget`.",
        },
        Opt {
            name: "share",
            kind: Kind::Percent,
            default: "the common budget",
            effect: "The same as a share of `[memory] budget`.",
        },
        Opt {
            name: "max_age",
            kind: between(millis(1), days(365)),
            default: "the TTL; in a store on a shared tier: not held in memory",
            effect: "How long a value is answered from memory before the next tier is asked.",
        },
    ],
};
