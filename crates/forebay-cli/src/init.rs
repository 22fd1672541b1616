//! `forebay init`: a declaration proposed from the schema of a database, for a person to decide on.
//!
//! It guarantees that what is proposed checks, and that it writes over nothing. What a key is to mean is not in a schema: comments name
//! what there is to decide.

mod schema;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use forebay_server::configuration::{Declaration, Environment, ProcessEnvironment, Style};

use crate::arguments::Init;
use crate::{Failure, runtime, say};
use schema::{Column, Part, Table};

/// What a file or the name of a table is called where nothing of it can stand in a declaration.
const NAMELESS: &str = "main";

/// Proposes a declaration.
pub(crate) fn init(asked: &Init) -> Result<(), Failure> {
    let from = Place::of(&asked.database)?;
    let tables = runtime()?.block_on(from.tables(&asked.schema))?;
    let text = proposal(&from, &tables);
    let name = asked.to.as_deref().unwrap_or(Path::new("proposal")).display().to_string();
    if let Err(report) = Declaration::parse(&name, &text, &Proposed) {
        let said = "this schema makes a proposal that does not check, which is a fault of this command: please report it";
        return Err(Failure(format!("{}\n{said}", report.render(Style::Plain))));
    }
    let Some(file) = &asked.to else {
        return say(text.trim_end());
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
    ))
}

/// The variable that a proposal takes a password from.
const PASSWORD: &str = "DATABASE_PASSWORD";

/// Where a schema is read.
struct Place<'a> {
    url: &'a str,
    /// The path of a SQLite database; nothing of PostgreSQL.
    path: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> Result<Self, Failure> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self { url, path: Some(path.strip_prefix("//").unwrap_or(path)) });
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self { url, path: None });
        }
        let mend = "give --database sqlite:PATH or postgres://…; for another write the declaration by hand";
        Err(Failure(format!(
            "the schema of a SQLite or PostgreSQL database is read, and of no other: {mend}"
        )))
    }

    async fn tables(&self, schemas: &[String]) -> Result<Vec<Table>, Failure> {
        let tables = match self.path {
            Some(_) if !schemas.is_empty() => {
                return Err(Failure("a SQLite database has no schemas: leave --schema out".into()));
            }
            Some(path) => schema::sqlite::read(path).await,
            None => {
                let wrong = |error| Failure(format!("this is no address of a PostgreSQL database: {error}"));
                schema::postgres::read(self.url.parse().map_err(wrong)?, schemas).await
            }
        };
        tables.map_err(|error| Failure::new(&error))
    }

    /// What the keyspace is called: as the file or the database.
    fn stem(&self) -> String {
        let path = self.path.unwrap_or_else(|| self.url.split('?').next().unwrap_or_default());
        Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Its address as a declaration has it: a password is taken from a variable.
    fn declared(&self) -> String {
        let parts = self.url.split_once("://").and_then(|(scheme, rest)| {
            let (account, place) = rest.split_once('@')?;
            let (user, _) = account.split_once(':')?;
            Some(format!("{scheme}://{user}:${{{PASSWORD}}}@{place}"))
        });
        match parts {
            Some(masked) if self.path.is_none() => masked,
            _ => self.url.to_owned(),
        }
    }
}

/// The environment that a proposal is for: with the password that it asks for.
struct Proposed;

impl Environment for Proposed {
    fn variable(&self, name: &str) -> Option<String> {
        if name == PASSWORD { Some("proposed".into()) } else { ProcessEnvironment.variable(name) }
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        ProcessEnvironment.file(path)
    }
}

/// The text of the declaration.
fn proposal(from: &Place<'_>, tables: &[Table]) -> String {
    let (stem, url) = (from.stem(), from.declared());
    let mut text = format!(
        "# Proposed by `forebay init` from the tables of the database. Decide, and delete what is not to be read by key:\n\
         #   ttl     how old may an answer be? `stale_if_error` serves an older one while the database fails\n\
         #   key     what clients ask for; others may use this prefix already\n\
         #   query   only the columns that clients may see\n\
         #   writes  refused unless `writes` and a sink say where they go\n\n\
         keyspace = {}\n\n[database.main]\nurl = {}\n",
        quoted(&word(&stem)),
        quoted(&url)
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
    let is_no_part = |column: &&Column| column.part.is_none();
    keyed.iter().any(is_no_part).then_some("its primary key has a column that is neither integer nor text")
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
        .map(|(parameter, column)| match column.part {
            Some(Part::Integer) => format!("{{{parameter}:integer}}"),
            Some(Part::Uuid) => format!("{{{parameter}:uuid}}"),
            Some(Part::Text) | None => format!("{{{parameter}}}"),
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
    let is_text = |column: &&Column| column.part == Some(Part::Text);
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
