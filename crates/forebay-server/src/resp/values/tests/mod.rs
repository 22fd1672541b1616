//! Commands on values against tables of what they answer.
//!
//! A table is a script for an empty keyspace in memory: a line is a command and, after ` => `, its reply. What replies should be was
//! taken from redis-server 7.0.

mod hash;
mod key;
pub(crate) mod keyspace;
mod sorted_set;
mod string;

use forebay_wire::resp::{Reply, Version};
use keyspace::Memory;

/// Runs a table in one version of the protocol.
fn check(version: Version, table: &str) {
    let mut memory = Memory::new(version);
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").unwrap_or_else(|| panic!("no reply: {line}"));
        assert_eq!(memory.said(command), expected, "{version:?}: {command}");
    }
}

/// Runs a table in both versions.
fn check_both(table: &str) {
    check(Version::Resp2, table);
    check(Version::Resp3, table);
}

/// A reply in one line: bulk strings as they are, `""` for an empty one, doubles with a comma before them.
fn shown(reply: &Reply) -> String {
    let list = |list: &[Reply]| list.iter().map(shown).collect::<Vec<_>>().join(" ");
    match reply {
        Reply::Integer(number) => format!(":{number}"),
        Reply::Double(number) => format!(",{number}"),
        Reply::Null => "nil".into(),
        Reply::Array(elements) => format!("[{}]", list(elements)),
        Reply::Map(entries) => {
            let entry = |(key, value): &(Reply, Reply)| format!("{}:{}", shown(key), shown(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
        Reply::Simple(bytes) => format!("+{}", bytes.escape_ascii()),
        Reply::Error(bytes) => format!("-{}", String::from_utf8_lossy(bytes)),
        Reply::Bulk(bytes) if bytes.is_empty() => "\"\"".into(),
        Reply::Bulk(bytes) => bytes.escape_ascii().to_string(),
        other => panic!("{other:?}"),
    }
}
