//! Key patterns: reading them, and that no key belongs to two namespaces.

use forebay::namespace::pattern::{ParamKind, Pattern};

use super::super::fault::KeyFault;
use super::super::raw::{Entry, Table};
use super::super::report::Findings;

/// The pattern in an option; its fault is reported at its place within the text.
pub(super) fn pattern(table: &Table, name: &str, findings: &mut Findings) -> Option<Pattern> {
    entry_pattern(table.get(name)?, findings)
}

pub(super) fn entry_pattern(entry: &Entry, findings: &mut Findings) -> Option<Pattern> {
    match Pattern::parse(entry.text()?.expose()) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            findings.add(entry.part(error.offset..error.offset + error.len), error);
            None
        }
    }
}

/// Reports every pair of namespaces that a key could belong to, at the later one.
pub(super) fn overlaps(raw: &Table, findings: &mut Findings) {
    let mut keys: Vec<(&str, &Entry, Pattern)> = raw
        .tables("namespace")
        .filter_map(|(name, table)| {
            let entry = table.get("key")?;
            Some((name.as_str(), entry, Pattern::parse(entry.text()?.expose()).ok()?))
        })
        .collect();
    keys.sort_by_key(|(_, entry, _)| entry.span.start);
    for (at, (other, later, pattern)) in keys.iter().enumerate() {
        for (one, earlier, before) in keys.iter().take(at) {
            let Some(key) = before.overlap(pattern) else { continue };
            let witness = String::from_utf8_lossy(&key).into_owned();
            let fault = KeyFault::Overlap { one: (*one).into(), other: (*other).into(), witness };
            findings.add_with(later.span.clone(), fault, earlier.span.clone(), "matches it");
        }
    }
}

/// The names of a pattern's parameters.
pub(super) fn names(pattern: &Pattern) -> Vec<&str> {
    pattern.names().collect()
}

/// `{a}, {b}`, for messages.
pub(super) fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        return "no parameters".into();
    }
    names.iter().map(|name| format!("`{{{name}}}`")).collect::<Vec<_>>().join(", ")
}

/// Whether every text is canonical for the parameter's type.
pub(super) fn kind_of(pattern: &Pattern, name: &str) -> Option<ParamKind> {
    pattern.names().zip(pattern.kinds()).find(|(known, _)| *known == name).map(|(_, kind)| kind)
}
