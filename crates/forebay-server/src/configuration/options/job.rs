//! Options of a job: when it runs, what becomes of missed runs, and the one thing that it does.

use super::{Kind, NONE, Opt, REQUIRED, Section, TextKind, between, days, millis};

pub(super) static JOB: Section = Section {
    path: "job.NAME",
    about: "Work that is done by the clock: `schedule` says when, and one of `warm`, `invalidate`, `sql` and `run` says what. \
            Environments have the same jobs, on their own data.",
    options: &[
        Opt {
            name: "schedule",
            kind: Kind::Text(TextKind::Schedule),
            default: REQUIRED,
            effect: "When it is due: `\"0 30 9 * * mon-fri\"`, or without the seconds `\"30 9 * * mon-fri\"`.",
        },
        Opt {
            name: "zone",
            kind: Kind::Text(TextKind::Zone),
            default: "`\"UTC\"`",
            effect: "The time zone that the schedule is told in, by its IANA name, such as `\"Asia/Shanghai\"`.",
        },
        Opt {
            name: "missed",
            kind: Kind::Choice(&["skip", "once", "all"]),
            default: "`\"skip\"`",
            effect: "What becomes of runs that could not begin within ten seconds of when they were due, as the process was down or the run \
                     before was still under way: they are skipped; one run makes up for all of them; or each is made up, the newest 100 of \
                     them, one after the other.",
        },
        Opt {
            name: "jitter",
            kind: between(millis(0), millis(3_600_000)),
            default: NONE,
            effect: "A run begins later than it is due, by a time up to this that differs from run to run and from process to process.",
        },
        Opt {
            name: "timeout",
            kind: between(millis(1), days(1)),
            default: "5m",
            effect: "A run that takes longer is given up, and recorded as timed out.",
        },
        Opt {
            name: "warm",
            kind: Kind::Text(TextKind::Name),
            default: NONE,
            effect: "Loads what `warm` of this namespace says: its lists, and the keys that are read most now.",
        },
        Opt {
            name: "invalidate",
            kind: Kind::NameOr(&INVALIDATE),
            default: NONE,
            effect: "Drops what is held of this namespace, or of what the table names.",
        },
        Opt {
            name: "sql",
            kind: Kind::Table(&SQL),
            default: NONE,
            effect: "Carries out a statement in a transaction. What was loaded from the rows that it changes is invalidated.",
        },
        Opt {
            name: "run",
            kind: Kind::Text(TextKind::Name),
            default: NONE,
            effect: "Calls this function of the app whose declaration it is.",
        },
    ],
};

static INVALIDATE: Section = Section {
    path: "job.NAME.invalidate",
    about: "What is dropped: a tag, or a namespace, all of it or the keys with a prefix.",
    options: &[
        Opt {
            name: "tag",
            kind: Kind::Text(TextKind::Any),
            default: NONE,
            effect: "Whatever bears this tag.",
        },
        Opt {
            name: "namespace",
            kind: Kind::Text(TextKind::Name),
            default: NONE,
            effect: "All of this namespace.",
        },
        Opt {
            name: "prefix",
            kind: Kind::Text(TextKind::Any),
            default: NONE,
            effect: "Of `namespace` the keys alone that begin so.",
        },
    ],
};

static SQL: Section = Section {
    path: "job.NAME.sql",
    about: "A statement, and where it is carried out.",
    options: &[
        Opt {
            name: "database",
            kind: Kind::Text(TextKind::Name),
            default: REQUIRED,
            effect: "The database, by the name of its table.",
        },
        Opt {
            name: "statement",
            kind: Kind::Text(TextKind::Any),
            default: REQUIRED,
            effect: "One statement, without parameters, such as `\"delete from sessions where ends < current_timestamp\"`.",
        },
    ],
};
