//! `forebay init`: a declaration proposed from the schema of a database, for a person to decide on.
//!
//! It guarantees that what is proposed checks, and that it writes over nothing. What a key is to mean is not in a schema: comments name
//! what there is to decide.

mod schema;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use forebay_server::configuration::{Declaration, ProcessEnvironment, Style};

use crate::arguments::Init;
use crate::{Failure, say};
use schema::{Affinity, Column, Table};

/// What a file or the name of a table is called where nothing of it can stand in a declaration.
const NAMELESS: &str = "main";

/// Proposes a declaration.
pub(crate) fn init(asked: &Init) -> Result<(), Failure> {
    let Some(path) = asked.database.strip_prefix("sqlite:") else {
        let mend = "give --database sqlite:PATH; for another database write the declaration by hand";
        return Err(Failure(format!("the schema of a SQLite database is read, and of no other: {mend}")));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(&error))?;
    let tables = runtime.block_on(schema::read(path)).map_err(|error| Failure::new(&error))?;
    let text = proposal(&asked.database, path, &tables);
    let name = asked.to.as_deref().unwrap_or(Path::new("proposal")).display().to_string();
    if let Err(report) = Declaration::parse(&name, &text, &ProcessEnvironment) {
        let said = "this schema makes a proposal that does not check, which is a fault of this command: please report it";
        return Err(Failure(format!("{}\n{said}", report.render(Style::Plain))));
    }
    let Some(file) = &asked.to else {
        say(text.trim_end());
        return Ok(());
    };
    let mut made = std::fs::File::create_new(file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure(format!("{name} exists, and is not written over: name another file"))
        }
        _ => Failure(format!("cannot make {name}: {error}")),
    })?;
    made.write_all(text.as_bytes()).map_err(|error| Failure(format!("cannot write {name}: {error}")))?;
    say(&format!(
        "{name} is proposed: read it, decide what its comments ask, then `forebay check --connect {name}`"
    ));
    Ok(())
}

/// The text of the declaration.
fn proposal(url: &str, path: &str, tables: &[Table]) -> String {
    let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let mut text = format!(
        "# Proposed by `forebay init` from the tables of the database. Decide, and delete what is not to be read by key:\n\
         #   ttl     how old may an answer be? `stale_if_error` serves an older one while the database fails\n\
         #   key     what clients ask for; others may use this prefix already\n\
         #   query   only the columns that clients may see\n\
         #   writes  refused unless `writes` and a sink say where they go\n\n\
         keyspace = {}\n\n[database.main]\nurl = {}\n",
        quoted(&word(&stem)),
        quoted(url)
    );
    // The keys of no other namespace live in the one that is called so.
    let mut taken = BTreeSet::from(["default".to_owned()]);
    for table in tables {
        let mut keyed: Vec<&Column> = table.columns.iter().filter(|column| column.in_key > 0).collect();
        keyed.sort_by_key(|column| column.in_key);
        text.push('\n');
        match refused(&keyed) {
            Some(why) => {
                let _ = writeln!(
                    text,
                    "# The table {}: no namespace, since {why}.",
                    table.name.plain.escape_debug()
                );
            }
            None => namespace(&mut text, table, &keyed, &mut taken),
        }
    }
    text
}

/// Why a table is not read by its key.
fn refused(keyed: &[&Column]) -> Option<&'static str> {
    if keyed.is_empty() {
        return Some("it has no primary key: write a query whose rows a key finds");
    }
    let is_inexact = |column: &&Column| matches!(column.affinity, Affinity::Real | Affinity::Blob);
    keyed.iter().any(is_inexact).then_some("its primary key has a column that is neither integer nor text")
}

fn namespace(text: &mut String, table: &Table, keyed: &[&Column], taken: &mut BTreeSet<String>) {
    let name = unlike(&word(&table.name.plain), taken);
    // A parameter is a column of the answer, where each has a name of its own.
    let others = table.columns.iter().filter(|column| column.in_key == 0);
    let mut used: BTreeSet<String> = others.map(|column| column.name.plain.clone()).collect();
    let parameters: Vec<String> =
        keyed.iter().map(|column| unlike(&word(&column.name.plain), &mut used)).collect();
    let parts: Vec<String> = parameters
        .iter()
        .zip(keyed)
        .map(|(parameter, column)| match column.affinity {
            Affinity::Integer => format!("{{{parameter}:integer}}"),
            _ => format!("{{{parameter}}}"),
        })
        .collect();
    let selected: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            match keyed.iter().position(|each| each.name == column.name).and_then(|at| parameters.get(at)) {
                Some(parameter) if *parameter != column.name.in_sql => {
                    format!("{} as \"{parameter}\"", column.name.in_sql)
                }
                _ => column.name.in_sql.clone(),
            }
        })
        .collect();
    let found: Vec<&str> = keyed.iter().map(|column| column.name.in_sql.as_str()).collect();
    let found = if found.len() > 1 { format!("({})", found.join(", ")) } else { found.concat() };
    let query =
        format!("select {} from {} where {found} in {{keys}}", selected.join(", "), table.name.in_sql);
    let _ = writeln!(text, "# A row of {}, by its primary key.", table.name.plain.escape_debug());
    let is_text = |column: &&Column| column.affinity != Affinity::Integer;
    if keyed.len() > 1 && keyed.iter().any(is_text) {
        text.push_str(
            "# Decide: text that has a `:` cannot stand in such a key; another character may divide it.\n",
        );
    }
    let decimals = table.columns.iter().filter(|column| column.is_decimal);
    let decimals: Vec<String> =
        decimals.map(|column| format!("{} = 2", quoted(&column.name.plain))).collect();
    if !decimals.is_empty() {
        let _ = writeln!(
            text,
            "# Decide: text or integers that mean exact numbers have so many digits after the point by decimals = {{ {} }} in source.sql.",
            decimals.join(", ")
        );
    }
    let _ = writeln!(
        text,
        "[namespace.{name}]\nkey = {}\nttl = \"1m\"\nsource.sql = {{ database = \"main\", query = {} }}",
        quoted(&format!("{name}:{}", parts.join(":"))),
        quoted(&query)
    );
}

/// A text of the declaration's language.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `name` of letters, digits and `_` alone.
fn word(name: &str) -> String {
    let letters = |each: char| if each.is_ascii_alphanumeric() { each } else { '_' };
    let word: String = name.chars().map(letters).collect();
    match word.chars().next() {
        None => NAMELESS.into(),
        Some(first) if first.is_ascii_alphabetic() => word,
        Some(_) => format!("t{word}"),
    }
}

/// `name`, or where that is taken the first of it that is not.
fn unlike(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut unlike = name.to_owned();
    let mut number = 2_u32;
    while !taken.insert(unlike.clone()) {
        unlike = format!("{name}_{number}");
        number = number.saturating_add(1);
    }
    unlike
}
