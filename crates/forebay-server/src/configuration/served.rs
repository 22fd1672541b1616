//! What of the language this version serves.
//!
//! One table lists the options that are read and checked but not served; [`refuse`] finds them in a declaration, the
//! reference page marks them, `explain` names them. Serving an option is taking its line out.

use super::checked::Declaration;
use super::fault::Fault;
use super::raw::{Entry, Table, Value};
use super::report::{Error, Span};

/// An option, or some of its values, that is not served.
struct Unserved {
    /// Its path, `*` for any name.
    path: &'static str,
    values: Values,
}

/// Which values of an option are not served.
enum Values {
    All,
    /// `true`.
    True,
    /// Addresses that begin like this.
    Beginning(&'static str),
}

const UNSERVED: &[Unserved] = &[
    Unserved { path: "shared.url", values: Values::Beginning("redis") },
    Unserved { path: "database.*.url", values: Values::Beginning("mysql:") },
    Unserved { path: "database.*.feed", values: Values::True },
    Unserved { path: "environment.*.database.*.url", values: Values::Beginning("mysql:") },
    Unserved { path: "namespace.*.aliases", values: Values::All },
    Unserved { path: "namespace.*.memory.max_age", values: Values::All },
];

#[derive(Debug, thiserror::Error)]
#[error("{what} is part of the language but not served by this version")]
struct NotServed {
    what: String,
    mend: String,
}

impl Fault for NotServed {
    fn label(&self) -> String {
        "not served yet".into()
    }

    fn mend(&self) -> String {
        self.mend.clone()
    }
}

/// Finds what of a declaration is not served; each error points at its line.
#[must_use]
pub fn refuse(declaration: &Declaration) -> Vec<Error> {
    let mut found = Vec::new();
    for unserved in UNSERVED {
        let steps: Vec<&str> = unserved.path.split('.').collect();
        in_table(&declaration.raw, &steps, unserved, &mut found);
    }
    found.sort_by_key(|(span, _)| span.start);
    found.into_iter().map(|(span, fault)| Error::new(&declaration.source, span, &fault)).collect()
}

/// What of one table is not served, as its options are written; `under` is the path of such tables, `namespace.*.`.
pub(crate) fn unserved_in(table: &Table, under: &str) -> Vec<String> {
    let mut found = Vec::new();
    for unserved in UNSERVED {
        if let Some(path) = unserved.path.strip_prefix(under) {
            in_table(table, &path.split('.').collect::<Vec<_>>(), unserved, &mut found);
        }
    }
    found.sort_by_key(|(span, _)| span.start);
    found.into_iter().map(|(_, fault)| fault.what).collect()
}

/// What the page says of an option: nothing where it is served.
pub(crate) fn page_note(section: &str, option: &str) -> Option<String> {
    let path = if section.is_empty() { option.to_owned() } else { format!("{section}.{option}") };
    let path = path.replace("NAME", "*");
    let unserved = UNSERVED.iter().find(|unserved| unserved.path == path)?;
    Some(match &unserved.values {
        Values::All => "*Not served yet.*".into(),
        Values::True => "*`true` is not served yet.*".into(),
        Values::Beginning(start) => format!("*`{start}` is not served yet.*"),
    })
}

fn in_table(table: &Table, steps: &[&str], unserved: &Unserved, found: &mut Vec<(Span, NotServed)>) {
    let Some((step, rest)) = steps.split_first() else { return };
    if table.section.option(step).is_some()
        && let Some(entry) = table.get(step)
    {
        in_entry(entry, rest, unserved, found);
    }
}

fn in_entry(entry: &Entry, rest: &[&str], unserved: &Unserved, found: &mut Vec<(Span, NotServed)>) {
    match (&entry.value, rest) {
        (_, []) => found.extend(not_served(entry, unserved)),
        (Value::Map(map), [_, rest @ ..]) => {
            for entry in map.values() {
                in_entry(entry, rest, unserved, found);
            }
        }
        (Value::Table(table), rest) => in_table(table, rest, unserved, found),
        _ => {}
    }
}

fn not_served(entry: &Entry, unserved: &Unserved) -> Option<(Span, NotServed)> {
    // `source.http`: as it is written within its table.
    let name = unserved.path.rsplit("*.").next().unwrap_or_default();
    let leave_out = format!("leave `{name}` out");
    let (span, what, mend) = match (&unserved.values, &entry.value) {
        (Values::All, _) => (entry.key.clone(), format!("`{name}`"), leave_out),
        (Values::True, Value::Flag(true)) => (entry.span.clone(), format!("`{name} = true`"), leave_out),
        (Values::Beginning(start), Value::Text(text)) if text.expose().starts_with(start) => {
            let mend = match name {
                "shared.url" => "write `url = \"embedded\"` or `url = \"memory\"`",
                _ => "write a `sqlite:` or a `postgres:` address",
            };
            let mend = mend.to_owned();
            (entry.span.clone(), format!("a `{name}` that begins with `{start}`"), mend)
        }
        _ => return None,
    };
    Some((span, NotServed { what, mend }))
}

#[cfg(test)]
mod tests {
    use super::super::options::ROOT;
    use super::*;

    #[test]
    fn every_line_names_an_option() {
        for unserved in UNSERVED {
            let mut section = &ROOT;
            for step in unserved.path.split('.').filter(|step| *step != "*") {
                let option = section.option(step).unwrap_or_else(|| panic!("{}: {step}", unserved.path));
                section = option.kind.section().unwrap_or(section);
            }
            let (table, option) = unserved.path.rsplit_once('.').unwrap_or(("", unserved.path));
            assert!(page_note(&table.replace('*', "NAME"), option).is_some());
        }
    }
}
