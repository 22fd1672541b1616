//! `forebay get`, `put`, `del`, `list` and `why`: keys of a running server, as any Redis client has them.
//!
//! A value goes to standard output byte by byte as it is, and to a person with the end of its line; `--json` is one object, in which
//! what is no text stands as `base64`.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use forebay_wire::resp::Reply;
use serde_json::{Map, Value, json};

use crate::arguments::{Del, Get, List, Put, Why};
use crate::client::{Client, object};
use crate::{Failure, NO_SUCH_KEY, printed, read_all, say, say_error};

/// The longest value that is written, in bytes: no server takes a longer one.
const VALUE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How many keys the server looks at for one page of a list.
const PAGE: &str = "1000";

/// Prints a value.
pub(crate) fn get(asked: &Get) -> Result<ExitCode, Failure> {
    let value = match Client::connect(&asked.at)?.call(&["GET", &asked.key])? {
        Reply::Bulk(value) => Some(value),
        Reply::Null => None,
        _ => return Err(Failure::unknown_answer()),
    };
    if asked.json {
        let mut object = Map::from_iter([("key".to_owned(), json!(asked.key))]);
        match &value {
            Some(value) => object.extend([member("value", value)]),
            None => object.extend([("value".to_owned(), Value::Null)]),
        }
        say(&Value::Object(object).to_string())?;
    } else {
        match &value {
            Some(value) => raw(value)?,
            None => say_error(&format!("{} does not exist", asked.key)),
        }
    }
    Ok(if value.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NO_SUCH_KEY) })
}

/// Prints a value as it is. A person's terminal goes on in the next line.
fn raw(value: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let end: &[u8] = if out.is_terminal() { b"\n" } else { b"" };
    let written = out.write_all(value).and_then(|()| out.write_all(end)).and_then(|()| out.flush());
    printed(written).map(drop)
}

/// A member of an object by what bytes are: text under `name`, anything else as `base64`.
fn member(name: &str, bytes: &[u8]) -> (String, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), json!(text)),
        Err(_) => ("base64".to_owned(), json!(STANDARD.encode(bytes))),
    }
}

/// Writes a value.
pub(crate) fn put(asked: &Put) -> Result<(), Failure> {
    let value = match (&asked.file, asked.value.as_deref()) {
        (Some(file), _) if file.as_path() == Path::new("-") => standard_input()?,
        (None, Some("-")) => standard_input()?,
        (Some(file), _) => {
            let name = file.display().to_string();
            let opened = std::fs::File::open(file);
            let opened = opened.map_err(|error| Failure(format!("cannot read {name}: {error}")))?;
            read_all(&name, opened, VALUE_BYTES_MAX)?
        }
        (None, value) => value.unwrap_or_default().as_bytes().to_vec(),
    };
    let ttl = asked.ttl.map(|ttl| ttl.as_millis().to_string());
    let mut words: Vec<&[u8]> = vec![b"SET", asked.key.as_bytes(), &value];
    if let Some(ttl) = &ttl {
        words.extend([b"PX".as_slice(), ttl.as_bytes()]);
    }
    Client::connect(&asked.at)?.call(&words)?;
    if asked.json {
        say(&json!({ "key": asked.key, "bytes": value.len() }).to_string())
    } else {
        say(&format!("{} has {} bytes", asked.key, value.len()))
    }
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    read_all("standard input", std::io::stdin(), VALUE_BYTES_MAX)
}

/// Deletes keys.
pub(crate) fn del(asked: &Del) -> Result<(), Failure> {
    let words: Vec<&str> = ["DEL"].into_iter().chain(asked.keys.iter().map(String::as_str)).collect();
    let Reply::Integer(held) = Client::connect(&asked.at)?.call(&words)? else {
        return Err(Failure::unknown_answer());
    };
    if asked.json {
        say(&json!({ "held": held }).to_string())
    } else {
        say(&format!("deleted; {held} of {} were there", asked.keys.len()))
    }
}

/// Lists keys, each once.
pub(crate) fn list(asked: &List) -> Result<(), Failure> {
    let mut client = Client::connect(&asked.at)?;
    let pattern = format!("{}*", literal(&asked.prefix));
    let (mut told, mut cursor) = (BTreeSet::new(), Bytes::from_static(b"0"));
    loop {
        let (next, keys) = page(client.call(&[
            "SCAN".as_bytes(),
            &cursor,
            b"MATCH",
            pattern.as_bytes(),
            b"COUNT",
            PAGE.as_bytes(),
        ])?)?;
        for key in keys {
            if told.contains(&key) {
                continue;
            }
            if told.len() >= asked.limit {
                say_error(&format!("these are {}, and there are more: --limit lists more", asked.limit));
                return Ok(());
            }
            if !tell(&key, asked.json)? {
                return Ok(());
            }
            told.insert(key);
        }
        if next.as_ref() == b"0" {
            return Ok(());
        }
        cursor = next;
    }
}

fn tell(key: &Bytes, json: bool) -> Result<bool, Failure> {
    let mut line = if json {
        Value::Object(Map::from_iter([member("key", key)])).to_string().into_bytes()
    } else {
        key.to_vec()
    };
    line.push(b'\n');
    printed(std::io::stdout().write_all(&line))
}

/// Where to go on, and the keys of one page.
fn page(reply: Reply) -> Result<(Bytes, Vec<Bytes>), Failure> {
    let Reply::Array(parts) = reply else { return Err(Failure::unknown_answer()) };
    let mut parts = parts.into_iter();
    let (Some(Reply::Bulk(next)), Some(Reply::Array(keys))) = (parts.next(), parts.next()) else {
        return Err(Failure::unknown_answer());
    };
    let key = |reply| match reply {
        Reply::Bulk(key) => Some(key),
        _ => None,
    };
    Ok((next, keys.into_iter().filter_map(key).collect()))
}

/// A pattern that matches `text` alone.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for each in text.chars() {
        if matches!(each, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(each);
    }
    pattern
}

/// Tells what is held of a key.
pub(crate) fn why(asked: &Why) -> Result<ExitCode, Failure> {
    let fields = match Client::connect(&asked.at)?.call(&["FB.WHY", &asked.key])? {
        Reply::Map(fields) => fields,
        Reply::Null => Vec::new(),
        _ => return Err(Failure::unknown_answer()),
    };
    let fields = object(&fields);
    let is_held = fields.get("held").is_some_and(|held| held == "value");
    if asked.json {
        say(&Value::Object(fields).to_string())?;
    } else if fields.is_empty() {
        say_error(&format!("{} is a key of no namespace", asked.key));
    } else {
        for (name, value) in &fields {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            say(&format!("{name:<14} {value}"))?;
        }
    }
    Ok(if is_held { ExitCode::SUCCESS } else { ExitCode::from(NO_SUCH_KEY) })
}
