//! Answers about the command table: `COMMAND` with its sub-commands, and `… HELP`.
//!
//! Shapes are those of Redis 7.0, of which clients take the key positions for routing and shells take the
//! descriptions for hints. The order of names is the table's.

use std::iter;

use bytes::{Bytes, BytesMut};

use super::arguments;
use super::command::{CommandError, CommandFilter, Describe};
use super::glob;
use super::reply::{self, Version};
use super::request::Request;
use super::spec::{Access, CommandSpec, Flag, Group};
use super::table::{commands, lookup_name};

/// Writes the answer to `COMMAND` and any of its sub-commands.
pub fn answer(out: &mut BytesMut, version: Version, asked: &Describe) {
    match asked {
        Describe::All => info(out, version, &[]),
        Describe::Count => count(out),
        Describe::List { filter } => list(out, filter.as_ref()),
        Describe::Info { names } => info(out, version, names),
        Describe::Docs { names } => docs(out, version, names),
        Describe::GetKeys { words } => get_keys(out, words),
        Describe::GetKeysAndFlags { words } => get_keys_and_flags(out, version, words),
        Describe::Help { of } => help(out, of),
    }
}

/// `COMMAND COUNT`: how many commands there are, sub-commands not counted.
pub fn count(out: &mut BytesMut) {
    reply::integer(out, i64::try_from(commands().len()).unwrap_or(i64::MAX));
}

/// `COMMAND LIST`: their names and those of their sub-commands, where the filter has them.
pub fn list(out: &mut BytesMut, filter: Option<&CommandFilter>) {
    let all = commands().flat_map(|spec| iter::once(spec).chain(spec.subcommands));
    let named: Vec<_> = all.filter(|spec| filter.is_none_or(|filter| has(filter, spec))).collect();
    reply::array(out, named.len());
    for spec in named {
        reply::bulk(out, spec.display_name().as_bytes());
    }
}

/// Whether the filter has the command.
fn has(filter: &CommandFilter, spec: &CommandSpec) -> bool {
    match filter {
        CommandFilter::Module(_) => false,
        CommandFilter::Category(asked) => acl_categories(spec)
            .iter()
            .filter_map(|category| category.strip_prefix('@'))
            .any(|category| category.as_bytes().eq_ignore_ascii_case(asked)),
        CommandFilter::Pattern(pattern) => {
            glob::matches(&pattern.to_ascii_lowercase(), spec.display_name().to_ascii_lowercase().as_bytes())
        }
    }
}

/// `COMMAND INFO`: the rows called `names`, null for a name that is none; all rows if `names` is empty.
pub fn info(out: &mut BytesMut, version: Version, names: &[Bytes]) {
    if names.is_empty() {
        reply::array(out, commands().len());
        commands().for_each(|spec| row(out, version, spec));
        return;
    }
    reply::array(out, names.len());
    for name in names {
        match lookup_name(name) {
            Some(spec) => row(out, version, spec),
            None => reply::null(out, version),
        }
    }
}

/// `COMMAND DOCS`: descriptions of the commands called `names`, leaving out names that are none; of all
/// commands if `names` is empty.
pub fn docs(out: &mut BytesMut, version: Version, names: &[Bytes]) {
    let specs: Vec<_> = match names {
        [] => commands().collect(),
        _ => names.iter().filter_map(|name| lookup_name(name)).collect(),
    };
    reply::map(out, version, specs.len());
    for spec in specs {
        doc(out, version, spec);
    }
}

/// `COMMAND GETKEYS`: which of `words`, a whole command with its name first, are keys.
pub fn get_keys(out: &mut BytesMut, words: &[Bytes]) {
    match keys_of(words) {
        Err(refusal) => reply::error(out, &refusal.to_string()),
        Ok((_, keys)) => {
            reply::array(out, keys.len());
            keys.iter().for_each(|(_, key)| reply::bulk(out, key));
        }
    }
}

/// `COMMAND GETKEYSANDFLAGS`: the same, each with what the command does with it.
pub fn get_keys_and_flags(out: &mut BytesMut, version: Version, words: &[Bytes]) {
    match keys_of(words) {
        Err(refusal) => reply::error(out, &refusal.to_string()),
        Ok((spec, keys)) => {
            let counted = usize::from(spec.keys.counted.is_some());
            let ranges = spec.key_flags.len().saturating_sub(counted);
            reply::array(out, keys.len());
            for (at, (index, key)) in keys.iter().enumerate() {
                let is_counted = spec.keys.counted.is_some_and(|counted| *index > counted);
                // Where several ranges are told apart, each has one key.
                let range = if is_counted || ranges > 1 { at.min(ranges) } else { 0 };
                let flags = spec.key_flags.get(range).copied().unwrap_or(spec.keys.usage.flags());
                reply::array(out, 2);
                reply::bulk(out, key);
                simple_set(out, version, flags.iter().copied());
            }
        }
    }
}

/// `CLIENT HELP`, `COMMAND HELP` and their like: the sub-commands of the command called `container`.
pub fn help(out: &mut BytesMut, container: &str) {
    let subcommands = lookup_name(container.as_bytes()).map_or(&[][..], |spec| spec.subcommands);
    reply::array(out, subcommands.len().saturating_mul(2).saturating_add(1));
    reply::simple(out, &format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for spec in subcommands {
        let name = spec.name.split_once('|').map_or(spec.name, |(_, own)| own);
        reply::simple(out, format!("{name} {}", spec.arguments).trim_end());
        reply::simple(out, &format!("    {}.", spec.summary));
    }
}

/// Keys with their places in a command.
type Placed = Vec<(usize, Bytes)>;

/// A whole command's row, and its keys.
fn keys_of(words: &[Bytes]) -> Result<(&'static CommandSpec, Placed), CommandError> {
    let request = Request::from_args(words).ok_or(CommandError::GetKeysUnknown)?;
    let spec = match super::resolve(&request) {
        Ok(spec) => spec,
        Err(CommandError::WrongArity { command }) => {
            // A command without keys is told so even where its arguments are wrong as well.
            let has_keys = lookup_name(command.as_bytes()).is_some_and(|spec| spec.keys.are_there());
            return Err(if has_keys { CommandError::GetKeysArity } else { CommandError::GetKeysNone });
        }
        Err(_) => return Err(CommandError::GetKeysUnknown),
    };
    if !spec.counts_keys(&request) {
        return Err(CommandError::GetKeysCount);
    }
    let keys = spec.key_indexes(&request).filter_map(|index| Some((index, request.bytes(index)?)));
    let keys: Vec<_> = keys.collect();
    if keys.is_empty() { Err(CommandError::GetKeysNone) } else { Ok((spec, keys)) }
}

fn row(out: &mut BytesMut, version: Version, spec: &CommandSpec) {
    reply::array(out, 10);
    reply::bulk(out, spec.display_name().as_bytes());
    reply::integer(out, i64::from(spec.arity));
    // A command that counts its keys has none at places that are known beforehand, or not all of them.
    let movable = spec.keys.counted.map(|_| "movablekeys");
    let flags: Vec<_> = spec.flags.iter().map(|flag| flag.word()).chain(movable).collect();
    simple_set(out, version, flags.into_iter());
    reply::integer(out, i64::try_from(spec.keys.first).unwrap_or_default());
    reply::integer(out, i64::from(spec.keys.last));
    reply::integer(out, i64::try_from(spec.keys.step).unwrap_or_default());
    simple_set(out, version, acl_categories(spec).into_iter());
    reply::set(out, version, 0);
    key_specification(out, version, spec);
    if spec.subcommands.is_empty() {
        // An empty set, as Redis sends it, though a list that is not empty is an array.
        reply::set(out, version, 0);
    } else {
        reply::array(out, spec.subcommands.len());
        spec.subcommands.iter().for_each(|sub| row(out, version, sub));
    }
}

fn simple_set<'a>(out: &mut BytesMut, version: Version, words: impl ExactSizeIterator<Item = &'a str>) {
    reply::set(out, version, words.len());
    words.for_each(|word| reply::simple(out, word));
}

/// The categories of Redis' access lists that the row amounts to, in Redis' order.
fn acl_categories(spec: &CommandSpec) -> Vec<&'static str> {
    let fast = spec.flags.contains(&Flag::Fast);
    [
        ("@keyspace", spec.group == Group::Generic),
        ("@read", spec.flags.contains(&Flag::ReadOnly)),
        ("@write", spec.flags.contains(&Flag::Write)),
        ("@sortedset", spec.group == Group::SortedSet),
        ("@hash", spec.group == Group::Hash),
        ("@string", spec.group == Group::String),
        ("@pubsub", spec.group == Group::PubSub),
        ("@admin", spec.flags.contains(&Flag::Admin)),
        ("@fast", fast),
        ("@slow", !fast),
        ("@dangerous", spec.access == Access::Observe || spec.flags.contains(&Flag::Admin)),
        (
            "@connection",
            spec.group == Group::Connection
                || spec.access == Access::Connection
                    && !matches!(spec.group, Group::Transactions | Group::PubSub),
        ),
        ("@transaction", spec.group == Group::Transactions),
    ]
    .into_iter()
    .filter_map(|(category, applies)| applies.then_some(category))
    .collect()
}

/// The positions of keys once more, in the form that Redis 7 brought.
fn key_specification(out: &mut BytesMut, version: Version, spec: &CommandSpec) {
    let keys = spec.keys;
    let index = |at: usize| i64::try_from(at).unwrap_or_default();
    let (first, step) = (index(keys.first), index(keys.step));
    // Where a command does not do the same with each of its keys, each is told by itself.
    let ranges = match spec.key_flags.len().saturating_sub(usize::from(keys.counted.is_some())) {
        _ if keys.first == 0 => vec![],
        // Here the last key is told relative to the first one, or to the end.
        0 | 1 if keys.last < 0 => vec![(first, i64::from(keys.last))],
        0 | 1 => vec![(first, i64::from(keys.last) - first)],
        several => (0..several).map(|at| (first + index(at) * step, 0)).collect(),
    };
    let flags = |at: usize| spec.key_flags.get(at).copied().unwrap_or(keys.usage.flags());
    reply::set(out, version, ranges.len() + usize::from(keys.counted.is_some()));
    for (at, (first, last)) in ranges.iter().enumerate() {
        reply::map(out, version, 3);
        reply::bulk(out, b"flags");
        simple_set(out, version, flags(at).iter().copied());
        search(out, version, "begin_search", "index", &[("index", *first)]);
        search(out, version, "find_keys", "range", &[("lastkey", *last), ("keystep", step), ("limit", 0)]);
    }
    if let Some(counted) = keys.counted {
        reply::map(out, version, 3);
        reply::bulk(out, b"flags");
        simple_set(out, version, flags(ranges.len()).iter().copied());
        search(out, version, "begin_search", "index", &[("index", index(counted))]);
        search(out, version, "find_keys", "keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]);
    }
}

fn search(out: &mut BytesMut, version: Version, name: &str, kind: &str, numbers: &[(&str, i64)]) {
    reply::bulk(out, name.as_bytes());
    reply::map(out, version, 2);
    reply::bulk(out, b"type");
    reply::bulk(out, kind.as_bytes());
    reply::bulk(out, b"spec");
    reply::map(out, version, numbers.len());
    for (name, number) in numbers {
        reply::bulk(out, name.as_bytes());
        reply::integer(out, *number);
    }
}

fn doc(out: &mut BytesMut, version: Version, spec: &CommandSpec) {
    let texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.word()),
        ("complexity", spec.complexity),
    ];
    reply::bulk(out, spec.display_name().as_bytes());
    let more = usize::from(!spec.arguments.is_empty()) + usize::from(!spec.subcommands.is_empty());
    reply::map(out, version, texts.len() + more);
    for (name, text) in texts {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, text.as_bytes());
    }
    if !spec.arguments.is_empty() {
        reply::bulk(out, b"arguments");
        arguments::write(out, version, spec.arguments);
    }
    if !spec.subcommands.is_empty() {
        reply::bulk(out, b"subcommands");
        reply::map(out, version, spec.subcommands.len());
        spec.subcommands.iter().for_each(|sub| doc(out, version, sub));
    }
}
