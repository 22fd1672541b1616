//! Options of how a namespace asks its source, of what protects that, and of how much may be asked of it.

use super::{Kind, NONE, Opt, Section, between, days, millis};

pub(super) static LOADER: Section = Section {
    path: "namespace.NAME.loader",
    about: "How the source is asked.",
    options: &[
        Opt {
            name: "timeout",
            kind: between(millis(1), days(1)),
            default: "5s",
            effect: "The longest that a reader waits for a load, in the queue and at the source together.",
        },
        Opt {
            name: "soft_timeout",
            kind: between(millis(1), days(1)),
            default: "100ms with `stale_if_error`",
            effect: "After this long a reader who may have a stale value takes it and the load goes on; at most `timeout`.",
        },
        Opt {
            name: "concurrency",
            kind: Kind::Integer { min: 1, max: 10_000 },
            default: "16",
            effect: "Queries or requests in flight at once; misses gather into batches meanwhile.",
        },
        Opt {
            name: "queue",
            kind: Kind::Integer { min: 1, max: 1_000_000 },
            default: "1024",
            effect: "Loads that may wait; more are refused as overloaded, or answered stale.",
        },
        Opt {
            name: "breaker",
            kind: Kind::Table(&BREAKER),
            default: "its defaults",
            effect: "When a failing source is left alone.",
        },
    ],
};

static BREAKER: Section = Section {
    path: "namespace.NAME.loader.breaker",
    about: "When a failing source is left alone, and for how long.",
    options: &[
        Opt {
            name: "failures",
            kind: Kind::Integer { min: 1, max: 1_000_000 },
            default: "5",
            effect: "Failures in a row that open it.",
        },
        Opt {
            name: "successes",
            kind: Kind::Integer { min: 1, max: 1_000_000 },
            default: "2",
            effect: "Trial loads that must succeed to close it.",
        },
        Opt {
            name: "pause",
            kind: between(millis(1), days(1)),
            default: "60s",
            effect: "How long it stays open before a trial.",
        },
    ],
};

pub(super) static MEMBERSHIP: Section = Section {
    path: "namespace.NAME.membership",
    about: "A filter of the keys that exist, built from `source.sql.list`: a key that it does not hold is absent, and the source is not asked.",
    options: &[
        Opt {
            name: "keys",
            kind: Kind::Integer { min: 1, max: 100_000_000 },
            default: "1000000",
            effect: "How many keys are expected. Up to seven times as many are held at the same rate.",
        },
        Opt {
            name: "false_positives",
            kind: Kind::Rate { min: 1, max: 500_000 },
            default: "0.1 %",
            effect: "Which part of the keys that do not exist is asked for all the same.",
        },
        Opt {
            name: "sole_writer",
            kind: Kind::Flag,
            default: NONE,
            effect: "`true` says that nobody but the app's own transactions, its jobs and the sink of this namespace ever adds a row: they tell \
                     the filter. Must be given where the database has no `feed`.",
        },
    ],
};

pub(super) static QUOTA: Section = Section {
    path: "namespace.NAME.quota",
    about: "How much is asked of a namespace in a day of the wall clock, in UTC. A request that would go beyond it is refused: HTTP 429, RESP `FBQUOTA`.",
    options: &[
        Opt {
            name: "reads",
            kind: Kind::Integer { min: 1, max: 1_000_000_000_000 },
            default: "no limit",
            effect: "Keys that are read, wherever the answer comes from.",
        },
        Opt {
            name: "writes",
            kind: Kind::Integer { min: 1, max: 1_000_000_000_000 },
            default: "no limit",
            effect: "Keys that are written, changed or deleted.",
        },
    ],
};
