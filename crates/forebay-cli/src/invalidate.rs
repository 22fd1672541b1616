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
        say(&json!({ "held": held }).to_string())
    } else {
        say(&format!("invalidated; {held} of {} were held", asked.keys.len()))
    }
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
    say(if asked.json { r#"{"held":null}"# } else { "invalidated" })
}

/// The name of the keyspace of the number that is asked for, or else of the one that a connection begins in.
fn keyspace(asked: &Invalidate) -> Result<String, Failure> {
    let mut client = Client::connect(&asked.at)?;
    let mut ask = |words: &[&str]| match client.call(words) {
        Ok(Reply::Bulk(text) | Reply::Verbatim { text, .. }) => {
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        Ok(_) => Err(Failure::unknown_answer()),
        Err(Failure(why)) => {
            Err(Failure(format!("the keyspace's name cannot be asked for ({why}): say it by --keyspace")))
        }
    };
    let own = ask(&["CLIENT", "INFO"])?;
    let db = own.split_whitespace().find_map(|field| field.strip_prefix("db=")).unwrap_or_default();
    let (begin, text) = (format!("keyspace{db}:name="), ask(&["INFO", "declared"])?);
    let name = text.lines().find_map(|line| line.strip_prefix(&begin)?.split(',').next());
    name.map(ToOwned::to_owned)
        .ok_or_else(|| Failure(format!("no keyspace has the number {db}: name it by --keyspace or --db")))
}
