//! `forebay invalidate`: what a running server holds, dropped by key, tag, prefix or namespace.

use forebay_wire::resp::Reply;
use serde_json::json;

use crate::arguments::Invalidate;
use crate::client::Client;
use crate::http::{Http, escaped};
use crate::{Failure, say};

pub(crate) fn invalidate(asked: &Invalidate) -> Result<(), Failure> {
    if asked.keys.is_empty() {
        return over_http(asked);
    }
    let words: Vec<&str> =
        ["FB.INVALIDATE"].into_iter().chain(asked.keys.iter().map(String::as_str)).collect();
    let Reply::Integer(held) = Client::connect(&asked.at)?.call(&words)? else {
        return Err(Failure::unknown_answer());
    };
    if asked.json {
        say(&json!({ "held": held }).to_string());
    } else {
        say(&format!("invalidated; {held} of {} were held", asked.keys.len()));
    }
    Ok(())
}

/// What RESP has no command for.
fn over_http(asked: &Invalidate) -> Result<(), Failure> {
    let keyspace = match &asked.keyspace {
        Some(name) => name.clone(),
        None => keyspace(asked)?,
    };
    let keyspace = escaped(&keyspace);
    let (path, body) = match &asked.namespace {
        Some(namespace) => {
            let body = asked.prefix.as_ref().map_or_else(|| json!({}), |prefix| json!({ "prefix": prefix }));
            (format!("/v1/{keyspace}/{}:invalidate", escaped(namespace)), body)
        }
        None => (format!("/v1/{keyspace}:invalidate"), json!({ "tags": asked.tags })),
    };
    let http = Http {
        address: asked.http.as_ref(),
        ca: asked.at.tls.ca.as_deref(),
        token: asked.at.token.as_deref(),
    };
    http.ask("POST", &path, &body.to_string())?;
    // How many there were is not counted.
    say(if asked.json { r#"{"held":null}"# } else { "invalidated" });
    Ok(())
}

/// The name of the keyspace of the number that is asked for.
fn keyspace(asked: &Invalidate) -> Result<String, Failure> {
    let told = Client::connect(&asked.at)?.call(&["INFO", "keyspace"]);
    let told = told.map_err(|Failure(why)| {
        Failure(format!("the keyspace's name cannot be asked for ({why}): say it by --keyspace"))
    })?;
    let text = match &told {
        Reply::Bulk(text) | Reply::Verbatim { text, .. } => String::from_utf8_lossy(text),
        _ => return Err(Failure::unknown_answer()),
    };
    let begin = format!("db{}:name=", asked.at.db);
    let name = text.lines().find_map(|line| line.strip_prefix(&begin)?.split(',').next());
    name.map(ToOwned::to_owned).ok_or_else(|| {
        Failure(format!("no keyspace has the number {}: name it by --keyspace or --db", asked.at.db))
    })
}
