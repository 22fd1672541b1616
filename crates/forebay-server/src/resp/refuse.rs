//! How errors are told: each kind with a code that clients can tell apart.

use bytes::BytesMut;
use forebay::Error;
use forebay_wire::resp::reply;

use super::data::Failed;
use super::values::Refusal;
use crate::limits::Refused;
use crate::limits::workers_kv::Beyond;

/// The code of a write of another kind than its namespace declares.
pub(super) const MISFIT: &str = "FBKIND";

/// Writes why a command was not carried out.
pub(super) fn refuse(failed: &Failed, out: &mut BytesMut) {
    match failed {
        Failed::Refused(refusal) => reply::error(out, &refusal.to_string()),
        // In Redis' words, as its clients know them.
        Failed::Engine(Error::WrongKind { .. }) => reply::error(out, &Refusal::WrongKind.to_string()),
        Failed::Engine(Error::Misfit { problem, .. }) => reply::error(out, &format!("{MISFIT} {problem}")),
        Failed::Engine(error) => {
            crate::problem::told(error);
            reply::error(out, &format!("{} {error}", code(error)));
        }
    }
}

/// The code of a command that is refused before it is carried out.
pub(super) fn code_of_refused(refused: &Refused) -> &'static str {
    match refused {
        Refused::Spent(_) => "FBQUOTA",
        Refused::LongKey { .. } => "FBLONGKEY",
        Refused::LongValue { .. } => "FBTOOLARGE",
        Refused::Beyond { beyond, .. } => match beyond {
            Beyond::ShortTtl { .. } | Beyond::EndsSoon { .. } | Beyond::HasEnded { .. } => "FBSHORTLIFE",
            Beyond::NoKey => "FBBADKEY",
            Beyond::OtherKind => MISFIT,
            Beyond::TooOften { .. } => "FBTOOOFTEN",
        },
    }
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::WritesRefused { .. } => "FBREFUSED",
        Error::TooLarge { .. } => "FBTOOLARGE",
        Error::Source { .. } | Error::LoadLost { .. } => "FBSOURCE",
        Error::Timeout { .. } => "FBTIMEOUT",
        Error::Overloaded { .. } => "FBOVERLOADED",
        Error::BreakerOpen { .. } => "FBBREAKEROPEN",
        Error::Unconfirmed { .. } => "FBUNCONFIRMED",
        Error::Unfit { .. } => "FBUNFIT",
        Error::SinkRefused { .. } => "FBSINKREFUSED",
        Error::SinkFailed { .. } => "FBSINKFAILED",
        Error::WriteUnconfirmed { .. } => "FBWRITEUNCONFIRMED",
        Error::QueueFull { .. } => "FBQUEUEFULL",
        Error::Parked { .. } => "FBPARKED",
        Error::JournalFailed { .. } => "FBJOURNALFAILED",
        Error::JournalUnconfirmed { .. } => "FBJOURNALUNCONFIRMED",
        Error::StoreFailed { .. } => "FBSTOREFAILED",
        Error::StoreUnconfirmed { .. } => "FBSTOREUNCONFIRMED",
        _ => "ERR",
    }
}
