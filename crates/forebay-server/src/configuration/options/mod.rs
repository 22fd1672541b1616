//! The one table of the language: every option with its type, default, limits and effect.
//!
//! Reading a declaration, suggesting an option for a misspelt one and writing the reference page all go by this table, so
//! none of them can know an option that the others do not. What options mean together is decided in `checked`.

mod alarm;
mod job;
mod loader;
mod namespace;
mod process;

use std::time::Duration;

pub(crate) use process::ROOT;

use super::units::{show_duration, show_rate, show_size};

/// What holds where an option is left out that has no default.
const NONE: &str = "none";
/// That it may not be left out.
const REQUIRED: &str = "must be given";

/// A table of options.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its path as written in a declaration, with names in capitals: `namespace.NAME.loader`.
    pub(crate) path: &'static str,
    /// What it is for, in a sentence or two.
    pub(crate) about: &'static str,
    pub(crate) options: &'static [Opt],
}

/// One option.
#[derive(Debug)]
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What holds where it is left out, as text for the page.
    pub(crate) default: &'static str,
    pub(crate) effect: &'static str,
}

/// What may be written for an option. Limits are inclusive.
#[derive(Debug)]
pub(crate) enum Kind {
    Flag,
    Integer {
        min: u64,
        max: u64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    /// In bytes.
    Size {
        min: u64,
        max: u64,
    },
    Percent,
    /// In millionths.
    Rate {
        min: u64,
        max: u64,
    },
    Choice(&'static [&'static str]),
    Text(TextKind),
    /// A list of texts.
    Texts(TextKind),
    /// `always`, `none` or `interval DURATION`.
    Durability,
    /// A name, or a table of the section.
    NameOr(&'static Section),
    /// A duration, or a table of the section.
    DurationOr(&'static Section, Limits),
    /// A table whose keys are names of the declaration's own, called `NAME` on the page.
    Map(&'static str, &'static Kind),
    /// Lists of texts by parameter, a text `query`, a flag `all` and a number `hottest`.
    Warm,
    Table(&'static Section),
    /// A table that is handed on as it is.
    Free,
}

/// The least and the most of a duration.
#[derive(Debug)]
pub(crate) struct Limits(pub(crate) Duration, pub(crate) Duration);

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// Letters, digits, `_`, `-`, `.`; shown everywhere.
    Name,
    /// A key pattern; shown everywhere.
    Pattern,
    Address,
    Path,
    Url,
    Query,
    /// A cron pattern; shown everywhere.
    Schedule,
    /// The IANA name of a time zone; shown everywhere.
    Zone,
    Any,
}

impl TextKind {
    /// Whether `${…}` may stand in it. What names things is shown wherever they are, so it may not.
    pub(crate) fn may_hold_secrets(self) -> bool {
        !matches!(self, Self::Name | Self::Pattern | Self::Schedule | Self::Zone)
    }

    /// Whether `${file:…}` and `${enc:…}` may stand in it: not where it becomes something that is printed at every start.
    pub(crate) fn may_be_sealed(self) -> bool {
        matches!(self, Self::Url | Self::Query | Self::Any)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Pattern => "pattern",
            Self::Address => "address",
            Self::Path => "path",
            Self::Url => "url",
            Self::Query => "SQL",
            Self::Schedule => "cron pattern",
            Self::Zone => "time zone",
            Self::Any => "text",
        }
    }
}

impl Section {
    pub(crate) fn option(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|option| option.name == name)
    }

    /// This section and all below it, in the table's order.
    pub(crate) fn all(&'static self) -> Vec<&'static Section> {
        let mut sections = vec![self];
        for option in self.options {
            sections.extend(option.kind.section().into_iter().flat_map(Section::all));
        }
        sections
    }
}

impl Kind {
    /// The section of a table, or of the tables in a map.
    pub(crate) fn section(&self) -> Option<&'static Section> {
        match self {
            Self::Table(section) | Self::NameOr(section) | Self::DurationOr(section, _) => Some(section),
            Self::Map(_, kind) => kind.section(),
            _ => None,
        }
    }

    /// The type's name on the page.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Flag => "`true` or `false`".into(),
            Self::Integer { .. } => "integer".into(),
            Self::Duration { .. } => "duration".into(),
            Self::Size { .. } => "size".into(),
            Self::Percent => "share".into(),
            Self::Rate { .. } => "rate".into(),
            Self::Choice(choices) => one_of(choices),
            Self::Text(kind) => kind.name().into(),
            Self::Texts(kind) => format!("list of {}s", kind.name()),
            Self::Durability => "`\"always\"`, `\"none\"` or `\"interval DURATION\"`".into(),
            Self::NameOr(_) => "name, or table".into(),
            Self::DurationOr(..) => "duration, or table".into(),
            Self::Map(key, kind) => match &**kind {
                Kind::Table(_) => format!("tables by {key}"),
                kind => format!("{} by {key}", kind.name()),
            },
            Self::Warm => "lists of texts by parameter, `query`, `all` and `hottest`".into(),
            Self::Table(_) => "table".into(),
            Self::Free => "table of its own".into(),
        }
    }

    /// The limits on the page; empty where there are none.
    pub(crate) fn limits(&self) -> String {
        match self {
            Self::Integer { min, max } => format!("{min} – {max}"),
            Self::Duration { min, max } | Self::DurationOr(_, Limits(min, max)) => {
                format!("{} – {}", show_duration(*min), show_duration(*max))
            }
            Self::Size { min, max } => format!("{} – {}", show_size(*min), show_size(*max)),
            Self::Percent => "1 % – 100 %".into(),
            Self::Rate { min, max } => format!("{} – {}", show_rate(*min), show_rate(*max)),
            Self::Map(_, kind) => kind.limits(),
            Self::Warm => "`hottest` 1 – 100000; the lists at most 1000000 keys, the query 100000".into(),
            Self::Text(TextKind::Name) => "64 characters".into(),
            Self::Text(TextKind::Pattern) => "512 bytes".into(),
            _ => String::new(),
        }
    }
}

/// `"a"`, `"b"` or `"c"`.
pub(crate) fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("`\"{choice}\"`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

/// The type of a duration between two limits.
const fn between(min: Duration, max: Duration) -> Kind {
    Kind::Duration { min, max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_told_once_and_in_full() {
        let sections = ROOT.all();
        for section in &sections {
            assert!(section.about.ends_with('.'), "{} ends its sentence", section.path);
            let mut names: Vec<&str> = section.options.iter().map(|option| option.name).collect();
            for option in section.options {
                assert!(!option.effect.is_empty() && !option.default.is_empty(), "{}", option.name);
                assert!(!option.effect.contains('|'), "{} would break the page's table", option.name);
            }
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), section.options.len(), "{}", section.path);
        }
        let mut paths: Vec<&str> = sections.iter().map(|section| section.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), sections.len());
    }
}
