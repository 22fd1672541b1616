//! `forebay dead-letters`: writes that a serving process could not apply, looked at and decided.

use std::time::Duration;

use forebay_wire::resp::Reply;
use serde_json::{Map, Value, json};

use crate::arguments::{Chosen, DeadLetters};
use crate::client::{Client, object, text};
use crate::{Failure, say};

/// Does what is asked of the process that serves.
pub(crate) fn dead_letters(asked: &DeadLetters) -> Result<(), Failure> {
    match asked {
        DeadLetters::List { namespace, json, at } => {
            let letters = listed(&mut Client::connect(at)?, namespace.as_deref())?;
            if letters.is_empty() && !json {
                say("no dead letters")?;
            }
            let told = |letter: &Vec<_>| {
                if *json { Value::Object(object(letter)).to_string() } else { line(letter) }
            };
            letters.iter().try_for_each(|letter| say(&told(letter)))
        }
        DeadLetters::Show { id, json, at } => {
            match Client::connect(at)?.call(&["FB.DEADLETTERS", "SHOW", id])? {
                Reply::Map(fields) if *json => say(&Value::Object(object(&fields)).to_string()),
                Reply::Map(fields) => {
                    let line = |(name, value): &_| format!("{:<10} {}", text(name), text(value));
                    fields.iter().try_for_each(|field| say(&line(field)))
                }
                Reply::Null => Err(none(id)),
                _ => Err(Failure::unknown_answer()),
            }
        }
        DeadLetters::Replay(chosen) => decide(chosen, "REPLAY", ("replayed", "go to the sink again")),
        DeadLetters::Drop(chosen) => decide(chosen, "DROP", ("dropped", "are given up")),
    }
}

/// Has the process do `verb` with those that are chosen; `done` is how that is told, to programs and to people.
fn decide(chosen: &Chosen, verb: &str, done: (&str, &str)) -> Result<(), Failure> {
    let mut client = Client::connect(&chosen.at)?;
    let ids = if chosen.all {
        let letters = listed(&mut client, chosen.namespace.as_deref())?;
        letters.iter().map(|letter| field(letter, "id")).collect()
    } else {
        chosen.ids.clone()
    };
    let mut count = 0;
    let mut failed = Ok(());
    // One at a time, so that a refusal tells which, and those before it are counted.
    for id in &ids {
        match client.call(&["FB.DEADLETTERS", verb, id]) {
            Ok(Reply::Integer(1)) => count += 1,
            Ok(_) if chosen.all => {}
            Ok(_) => failed = Err(none(id)),
            Err(Failure(refused)) => failed = Err(Failure(format!("{id}: {refused}"))),
        }
        if failed.is_err() {
            break;
        }
    }
    let (member, words) = done;
    if chosen.json {
        say(&Value::Object(Map::from_iter([(member.to_owned(), json!(count))])).to_string())?;
    } else {
        say(&format!("{count} {words}"))?;
    }
    failed
}

fn none(id: &str) -> Failure {
    Failure(format!("there is no dead letter {id}: `forebay dead-letters list` tells which there are"))
}

/// The fields of every dead letter.
fn listed(client: &mut Client, namespace: Option<&str>) -> Result<Vec<Vec<(Reply, Reply)>>, Failure> {
    let words: Vec<&str> = ["FB.DEADLETTERS", "LIST"].into_iter().chain(namespace).collect();
    let Reply::Array(letters) = client.call(&words)? else { return Err(Failure::unknown_answer()) };
    let fields = |letter| match letter {
        Reply::Map(fields) => Ok(fields),
        _ => Err(Failure::unknown_answer()),
    };
    letters.into_iter().map(fields).collect()
}

/// One line of the list.
fn line(letter: &[(Reply, Reply)]) -> String {
    let field = |name| field(letter, name);
    let age = Duration::from_millis(field("age_ms").parse().unwrap_or_default());
    let age = Duration::from_secs(age.as_secs());
    let (id, namespace, key, change) = (field("id"), field("namespace"), field("key"), field("change"));
    let (attempts, reason) = (field("attempts"), field("reason"));
    format!("{id}  {namespace}  {key}  {change}, tried {attempts} times, {age:?} ago: {reason}")
}

fn field(letter: &[(Reply, Reply)], name: &str) -> String {
    letter.iter().find(|(field, _)| text(field) == name).map(|(_, value)| text(value)).unwrap_or_default()
}
