//! Options of a process: where it listens, its memory, its shared tier, its databases, its environments.

use super::alarm::ALARM;
use super::job::JOB;
use super::namespace::NAMESPACE;
use super::{Kind, NONE, Opt, REQUIRED, Section, TextKind, between, days, millis};

const MIB: u64 = 1 << 20;

/// The whole language.
pub(crate) static ROOT: Section = Section {
    path: "",
    about: "What stands above the first table.",
    options: &[
        Opt {
            name: "keyspace",
            kind: Kind::Text(TextKind::Name),
            default: REQUIRED,
            effect: "The name of everything this declaration declares; in the path of HTTP requests.",
        },
        Opt {
            name: "db",
            kind: DB,
            default: "0",
            effect: "The number by which RESP clients pick the keyspace (`SELECT n`).",
        },
        Opt {
            name: "server",
            kind: Kind::Table(&SERVER),
            default: "its defaults",
            effect: "Where the process listens and keeps its files.",
        },
        Opt {
            name: "memory",
            kind: Kind::Table(&MEMORY),
            default: "its defaults",
            effect: "The memory tier.",
        },
        Opt { name: "shared", kind: Kind::Table(&SHARED), default: NONE, effect: "The shared tier." },
        Opt {
            name: "database",
            kind: Kind::Map("NAME", &Kind::Table(&DATABASE)),
            default: NONE,
            effect: "Databases that sources and sinks name.",
        },
        Opt {
            name: "namespace",
            kind: Kind::Map("NAME", &Kind::Table(&NAMESPACE)),
            default: NONE,
            effect: "Named parts of the keyspace, one policy each. Keys of none of them live in a default store.",
        },
        Opt {
            name: "job",
            kind: Kind::Map("NAME", &Kind::Table(&JOB)),
            default: NONE,
            effect: "Work that is done by the clock.",
        },
        Opt {
            name: "alarm",
            kind: Kind::Map("NAME", &Kind::Table(&ALARM)),
            default: NONE,
            effect: "What is told as soon as it is out of its bounds.",
        },
        Opt {
            name: "environment",
            kind: Kind::Map("NAME", &Kind::Table(&ENVIRONMENT)),
            default: NONE,
            effect: "Further keyspaces of the same shape, each with its own data.",
        },
        Opt {
            name: "token",
            kind: Kind::Map("NAME", &Kind::Table(&TOKEN)),
            default: "none: loopback only, and everybody there may everything",
            effect: "Who may do what, in the whole process, whichever file says it: every request shows one of these tokens. `forebay token new` makes one.",
        },
        Opt {
            name: "app",
            kind: Kind::Map("NAME", &Kind::Free),
            default: NONE,
            effect: "Settings of the app NAME, handed to it unchecked.",
        },
    ],
};

const DB: Kind = Kind::Integer { min: 0, max: 1023 };

static SERVER: Section = Section {
    path: "server",
    about: "Where the process listens and keeps its files. One file of a deployment has it.",
    options: &[
        Opt {
            name: "http",
            kind: Kind::Text(TextKind::Address),
            default: "`\"127.0.0.1:8080\"`",
            effect: "Address and port of the HTTP listener; one that is not loopback needs tokens. Port 0 takes a free one.",
        },
        Opt {
            name: "resp",
            kind: Kind::Text(TextKind::Address),
            default: "`\"127.0.0.1:6380\"`",
            effect: "Address and port of the RESP listener; one that is not loopback needs tokens. Port 0 takes a free one.",
        },
        Opt {
            name: "data",
            kind: Kind::Text(TextKind::Path),
            default: "`\"data\"`",
            effect: "Folder of the embedded tier, journals and what apps keep; made when missing.",
        },
        Opt {
            name: "connections",
            kind: Kind::Integer { min: 1, max: 1_000_000 },
            default: "10000",
            effect: "Most connections at one time, over both listeners; who comes when there are as many is told so and let go.",
        },
        Opt {
            name: "connections_per_address",
            kind: Kind::Integer { min: 1, max: 1_000_000 },
            default: "half of `connections`",
            effect: "Most of them from one address, which of IPv6 is a network of 64 bits. Raise it where a proxy stands in front.",
        },
        Opt {
            name: "bodies",
            kind: Kind::Size { min: 25 * MIB, max: 16 * 1024 * 1024 * MIB },
            default: "64 MiB",
            effect: "Most bytes that bodies of HTTP requests on their way have, all together; a request that brings more is answered 503 `bodies_full`.",
        },
        Opt {
            name: "slow",
            kind: between(millis(0), days(1)),
            default: "10ms",
            effect: "A request over RESP or HTTP that takes as long or longer is kept in the slow log (`SLOWLOG GET`), and the log has a line.",
        },
        Opt {
            name: "tls",
            kind: Kind::Table(&TLS),
            default: "none: both listeners speak without TLS",
            effect: "Both listeners speak TLS alone.",
        },
    ],
};

static TLS: Section = Section {
    path: "server.tls",
    about: "The files with which the server shows who it is, over RESP and HTTP. They are read at the start and at each reload.",
    options: &[
        Opt {
            name: "certificate",
            kind: Kind::Text(TextKind::Path),
            default: REQUIRED,
            effect: "PEM file: the server's own certificate, and behind it those up to its authority.",
        },
        Opt {
            name: "key",
            kind: Kind::Text(TextKind::Path),
            default: REQUIRED,
            effect: "PEM file: the key of that certificate (ECDSA, Ed25519 or RSA), not encrypted, and readable by the server alone.",
        },
    ],
};

static MEMORY: Section = Section {
    path: "memory",
    about: "The memory tier of the process. One file of a deployment has it.",
    options: &[Opt {
        name: "budget",
        kind: Kind::Size { min: MIB, max: 16 * 1024 * 1024 * MIB },
        default: "256 MiB",
        effect: "Most bytes of keys, values and bookkeeping held in memory, over all keyspaces.",
    }],
};

static SHARED: Section = Section {
    path: "shared",
    about: "A tier of copies between memory and the sources. Left out, it is `embedded`.",
    options: &[
        Opt {
            name: "url",
            kind: Kind::Text(TextKind::Url),
            default: REQUIRED,
            effect: "`\"embedded\"`: on disk under `data`, for this process alone; a restart is warm. `\"memory\"`: none, copies are in memory only. `redis://`, `rediss://` or `redis-cluster://`, for \
                     Redis and Valkey alike: shared by several instances.",
        },
        Opt {
            name: "prefix",
            kind: Kind::Text(TextKind::Any),
            default: "`\"fb:\"`",
            effect: "Begins every key written there, so that none collides with other programs' keys.",
        },
    ],
};

static DATABASE: Section = Section {
    path: "database.NAME",
    about: "A database that sources and sinks name.",
    options: &[
        Opt {
            name: "url",
            kind: Kind::Text(TextKind::Url),
            default: REQUIRED,
            effect: "`sqlite:PATH`, `postgres://…` or `mysql://…`. A password in it is never shown.",
        },
        Opt {
            name: "pool",
            kind: Kind::Table(&POOL),
            default: "its defaults",
            effect: "The connections to it.",
        },
        Opt {
            name: "statement_timeout",
            kind: between(millis(1), days(1)),
            default: "30s",
            effect: "The longest that the database works at one statement; a load that nobody waits for any more is given up within half a second.",
        },
        Opt {
            name: "replicas",
            kind: Kind::Texts(TextKind::Url),
            default: "none",
            effect: "Streaming replicas of a PostgreSQL database, `postgres://…` each: sources read one that has everything committed before the \
                     load began, else the database itself.",
        },
        Opt {
            name: "feed",
            kind: Kind::Flag,
            default: "false",
            effect: "Row changes, whoever makes them, invalidate what was loaded from the rows. SQLite files and PostgreSQL have one.",
        },
    ],
};

static POOL: Section = Section {
    path: "database.NAME.pool",
    about: "The connections to a database.",
    options: &[
        Opt {
            name: "max",
            kind: Kind::Integer { min: 1, max: 10_000 },
            default: "16",
            effect: "Most connections open at once. Transactions of apps write to a SQLite file by one more.",
        },
        Opt {
            name: "warm",
            kind: Kind::Integer { min: 0, max: 10_000 },
            default: "min(`max`, 2)",
            effect: "Connections kept open when idle; at most `max`.",
        },
        Opt {
            name: "wait",
            kind: between(millis(1), days(1)),
            default: "5s",
            effect: "Longest wait for a free connection.",
        },
        Opt {
            name: "max_lifetime",
            kind: between(millis(1_000), days(30)),
            default: "30m",
            effect: "A connection older than this is replaced when it is idle.",
        },
        Opt {
            name: "ping_after_idle",
            kind: between(millis(0), days(1)),
            default: "30s",
            effect: "A connection idle for longer is asked whether it lives before it is used.",
        },
    ],
};

static ENVIRONMENT: Section = Section {
    path: "environment.NAME",
    about: "A second keyspace of the same shape, named `KEYSPACE-NAME`, with its own data: its own `db`, its own folder \
            `environments/NAME` under the data folder, and its own address for every database.",
    options: &[
        Opt { name: "db", kind: DB, default: REQUIRED, effect: "The number by which RESP clients pick it." },
        Opt {
            name: "database",
            kind: Kind::Map("NAME", &Kind::Table(&ENVIRONMENT_DATABASE)),
            default: "must name every database",
            effect: "Where the environment's databases are.",
        },
    ],
};

static ENVIRONMENT_DATABASE: Section = Section {
    path: "environment.NAME.database.NAME",
    about: "Where one database of the environment is; its pool and feed are those of `[database.NAME]`.",
    options: &[Opt {
        name: "url",
        kind: Kind::Text(TextKind::Url),
        default: REQUIRED,
        effect: "As in `[database.NAME]`, and not the same: the environment would share its data.",
    }],
};

static TOKEN: Section = Section {
    path: "token.NAME",
    about: "A token, and what it allows. The token itself is written nowhere: whoever made it hands it to who is to use it.",
    options: &[
        Opt {
            name: "hash",
            kind: Kind::Text(TextKind::Any),
            default: REQUIRED,
            effect: "`\"sha256:…\"`, as `forebay token new` prints it.",
        },
        Opt {
            name: "may",
            kind: Kind::Texts(TextKind::Name),
            default: REQUIRED,
            effect: "`[\"read\"]`, `[\"read\", \"write\"]` or `[\"admin\"]`, which is everything, an operator's commands among it.",
        },
        Opt {
            name: "keyspace",
            kind: Kind::Text(TextKind::Name),
            default: "all of them",
            effect: "The one keyspace that it is for.",
        },
        Opt {
            name: "namespaces",
            kind: Kind::Texts(TextKind::Name),
            default: "all of them",
            effect: "The namespaces that it is for; `default` is that of keys of no other.",
        },
    ],
};
