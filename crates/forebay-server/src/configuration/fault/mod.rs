//! What can be wrong with a declaration: one enum an area, each variant with its message, a label for the caret and the
//! mend, which says what to write.

mod alarm;
mod database;
mod job;
mod key;
mod listed;
mod memory;
mod policy;
mod query;
mod request;
mod rows;
mod token;
mod value;
mod workers_kv;

use forebay::namespace::pattern::PatternError;

pub(crate) use alarm::AlarmFault;
pub(crate) use database::DatabaseFault;
pub(crate) use job::JobFault;
pub(crate) use key::KeyFault;
pub(crate) use listed::ListedFault;
pub(crate) use memory::MemoryFault;
pub(crate) use policy::PolicyFault;
pub(crate) use query::QueryFault;
pub(crate) use request::RequestFault;
pub(crate) use rows::RowsFault;
pub(crate) use token::TokenFault;
pub(crate) use value::ValueFault;
pub(crate) use workers_kv::WorkersKvFault;

use super::secrets::SecretError;
use super::units::UnitFault;

/// Something wrong; `Display` is the message.
pub(crate) trait Fault: std::error::Error {
    /// A few words at the caret.
    fn label(&self) -> String;
    /// What to write instead.
    fn mend(&self) -> String;
}

/// A label and a mend.
struct Advice(String, String);

fn advice(label: impl Into<String>, mend: impl Into<String>) -> Advice {
    Advice(label.into(), mend.into())
}

impl Fault for PatternError {
    fn label(&self) -> String {
        "here".into()
    }

    fn mend(&self) -> String {
        Self::mend(self)
    }
}

impl Fault for SecretError {
    fn label(&self) -> String {
        "needed here".into()
    }

    fn mend(&self) -> String {
        Self::mend(self)
    }
}

impl Fault for UnitFault {
    fn label(&self) -> String {
        match self {
            Self::NoUnit { .. } => "no unit".into(),
            Self::UnknownUnit { .. } => "unknown unit".into(),
            Self::NotANumber { .. } => "not a number with a unit".into(),
            Self::Order { .. } => "out of order".into(),
            Self::TooLarge => "too large".into(),
        }
    }

    fn mend(&self) -> String {
        Self::mend(self)
    }
}

/// Gives an enum with a method `advice` its [`Fault`].
macro_rules! fault_by_advice {
    ($name:ident) => {
        impl crate::configuration::fault::Fault for $name {
            fn label(&self) -> String {
                self.advice().0
            }

            fn mend(&self) -> String {
                self.advice().1
            }
        }
    };
}
pub(crate) use fault_by_advice;
