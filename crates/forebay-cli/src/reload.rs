//! `forebay reload`: a running server reads its declarations again, and tells what is different then.

use forebay_server::process::Reloaded;
use forebay_wire::resp::Reply;
use serde_json::json;

use crate::arguments::Reload;
use crate::client::{Client, text};
use crate::{Failure, say};

/// Has the process that serves read its declarations again.
pub(crate) fn reload(asked: &Reload) -> Result<(), Failure> {
    let Reply::Map(parts) = Client::connect(&asked.at)?.call_long(&["FB.RELOAD"])? else {
        return Err(Failure::unknown_answer());
    };
    let mut reloaded = Reloaded::default();
    for (what, names) in parts {
        let Reply::Array(names) = names else { return Err(Failure::unknown_answer()) };
        let names = names.iter().map(text).collect();
        match text(&what).as_str() {
            "added" => reloaded.added = names,
            "changed" => reloaded.changed = names,
            "removed" => reloaded.removed = names,
            _ => return Err(Failure::unknown_answer()),
        }
    }
    if asked.json {
        let Reloaded { added, changed, removed } = reloaded;
        say(&json!({ "added": added, "changed": changed, "removed": removed }).to_string())
    } else {
        say(&format!("reloaded: {reloaded}"))
    }
}
