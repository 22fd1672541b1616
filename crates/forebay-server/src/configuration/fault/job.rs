//! Faults of jobs: of their schedules, and of what they do.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum JobFault {
    #[error("a schedule has five fields, or six with the seconds first; this has {count}")]
    Fields { count: usize },
    #[error("`{text}` is no {field} of a schedule")]
    Field { text: String, field: &'static str, mend: &'static str },
    #[error("`{text}` is no short form of a schedule")]
    ShortForm { text: String },
    #[error("this schedule is never due: no year has such a day")]
    Never,
    #[error("there is no time zone `{name}`")]
    UnknownZone { name: String, mend: String },
    #[error("the job does nothing")]
    NothingToDo,
    #[error("the job does two things: `{one}` and `{other}`")]
    TwoThings { one: &'static str, other: &'static str },
    #[error("there is no `[namespace.{name}]`")]
    UnknownNamespace { name: String, mend: String },
    #[error("`[namespace.{name}]` does not say what is to be warm")]
    NotWarm { name: String },
    #[error("`[namespace.{name}]` is a store: its values are no copies that could be dropped")]
    Store { name: String },
    #[error("`invalidate` names nothing to drop")]
    NothingDropped,
    #[error("`invalidate` names a tag and a namespace")]
    TagAndNamespace,
    #[error("`prefix` is of a namespace, and none is named")]
    PrefixOfNothing,
    #[error("{what} has no function `{name}`")]
    UnknownFunction { name: String, what: String, mend: String },
}

impl JobFault {
    fn advice(&self) -> Advice {
        match self {
            Self::Fields { .. } => advice(
                "not a schedule",
                "write second, minute, hour, day of the month, month, day of the week, like \"0 30 9 * * mon-fri\"; the seconds may be \
                 left out",
            ),
            Self::Field { field, mend, .. } => advice(format!("no {field}"), *mend),
            Self::ShortForm { .. } => {
                advice("not known", "write @hourly, @daily, @weekly, @monthly or @yearly, or the fields")
            }
            Self::Never => advice("never", "name a day that its month has"),
            Self::UnknownZone { mend, .. } => advice("not a time zone", mend),
            Self::NothingToDo => advice(
                "nothing to do",
                "say one: `warm = \"NAMESPACE\"`, `invalidate = \"NAMESPACE\"`, `sql = { database = …, statement = … }`, or `run = …`",
            ),
            Self::TwoThings { other, .. } => {
                advice("a second thing", format!("keep one of them, or give `{other}` a job of its own"))
            }
            Self::UnknownNamespace { mend, .. } => advice("not declared", mend),
            Self::NotWarm { name } => advice(
                "nothing to warm there",
                format!("add `warm = {{ hottest = 100 }}` or lists of keys to `[namespace.{name}]`"),
            ),
            Self::Store { .. } => advice("a store", "name a cache; what is in a store ends by its `ttl`"),
            Self::NothingDropped => {
                advice("nothing named", "write `{ tag = \"…\" }` or `{ namespace = \"…\" }`")
            }
            Self::TagAndNamespace => advice("one too many", "keep one of them; a tag is of every namespace"),
            Self::PrefixOfNothing => advice("of what?", "add `namespace = \"NAME\"`"),
            Self::UnknownFunction { mend, .. } => advice("no function of it", mend),
        }
    }
}

super::fault_by_advice!(JobFault);
