//! A declared statement taken apart: which table and which columns its rows go to.

use super::{OpenError, SqlStatements};
use crate::source::sql::KeyColumn;

/// The place of the rows in a declared statement.
pub(super) const ROWS: &str = "{rows}";

/// `insert into TABLE (COLUMNS) values {rows} …`, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Insert {
    /// Up to the rows, without `values`.
    pub(super) before: String,
    /// The table as it is written.
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    /// What follows the rows.
    pub(super) after: String,
}

/// A column that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// As it is written.
    pub(super) written: String,
    /// Its name, which a member of a value or a parameter of the key has too.
    pub(super) name: String,
}

impl Insert {
    /// The statement that writes rows, which have their keys.
    pub(super) fn of(statements: &SqlStatements) -> Result<Self, OpenError> {
        let insert = Self::parse(&statements.write)?;
        let is_written = |param: &&KeyColumn| insert.columns.iter().any(|column| column.name == param.name);
        match statements.params.iter().find(|param| !is_written(param)) {
            Some(param) => Err(OpenError::KeyColumn { column: param.name.clone() }),
            None => Ok(insert),
        }
    }

    /// Takes `text` apart.
    fn parse(text: &str) -> Result<Self, OpenError> {
        let (head, after) = text.split_once(ROWS).ok_or(OpenError::Form)?;
        if after.contains(ROWS) {
            return Err(OpenError::Form);
        }
        let before = without_word(head, "values").ok_or(OpenError::Form)?;
        let list = before.strip_suffix(')').ok_or(OpenError::Form)?;
        let opening = last_opening(list).ok_or(OpenError::Form)?;
        let (into, list) = list.split_at_checked(opening).ok_or(OpenError::Form)?;
        let columns = parts(list.strip_prefix('(').ok_or(OpenError::Form)?);
        let columns: Option<Vec<Column>> = columns.into_iter().map(column).collect();
        let table = table_of(into).ok_or(OpenError::Form)?;
        let (before, after) = (before.to_owned(), after.to_owned());
        Ok(Self { before, table, columns: columns.ok_or(OpenError::Form)?, after })
    }
}

/// `text` without the word at its end, and without the space around that.
fn without_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let text = text.trim_end();
    let (rest, end) = text.split_at_checked(text.len().checked_sub(word.len())?)?;
    end.eq_ignore_ascii_case(word).then_some(rest.trim_end())
}

/// Tells of each byte of `text` that is in no quotes.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut until = None;
    text.char_indices().filter(move |(_, letter)| match until {
        Some(end) => {
            if *letter == end {
                until = None;
            }
            false
        }
        None => {
            until = match letter {
                '"' | '\'' | '`' => Some(*letter),
                '[' => Some(']'),
                _ => None,
            };
            until.is_none()
        }
    })
}

/// Where the parenthesis opens that the end of `text` is in, if it is in one.
fn last_opening(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    for (at, letter) in outside_quotes(text) {
        match letter {
            '(' => open.push(at),
            ')' => drop(open.pop()?),
            _ => {}
        }
    }
    open.pop()
}

/// The parts of a list between commas.
fn parts(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (at, letter) in outside_quotes(list) {
        if letter == ',' {
            parts.extend(list.get(begin..at));
            begin = at + 1;
        }
    }
    parts.extend(list.get(begin..));
    parts
}

fn column(part: &str) -> Option<Column> {
    let written = part.trim();
    let name = name_of(written)?;
    Some(Column { written: written.to_owned(), name })
}

/// A name without its quotes.
pub(super) fn name_of(written: &str) -> Option<String> {
    let within = |open: char, close: char| written.strip_prefix(open)?.strip_suffix(close);
    if let Some(name) = within('"', '"') {
        return Some(name.replace("\"\"", "\""));
    }
    if let Some(name) = within('`', '`').or_else(|| within('[', ']')) {
        return Some(name.to_owned());
    }
    let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    (!written.is_empty() && written.chars().all(is_plain)).then(|| written.to_owned())
}

/// The table of `insert into TABLE [as NAME]`.
fn table_of(into: &str) -> Option<String> {
    let mut words = Vec::new();
    let mut begin = 0;
    for (at, letter) in outside_quotes(into) {
        if letter.is_whitespace() {
            words.extend(into.get(begin..at).filter(|word| !word.is_empty()));
            begin = at + letter.len_utf8();
        }
    }
    words.extend(into.get(begin..).filter(|word| !word.is_empty()));
    let at = words.iter().rposition(|word| word.eq_ignore_ascii_case("into"))?;
    words.get(at + 1).map(|table| (*table).to_owned())
}

#[cfg(test)]
mod tests {
    use super::Insert;

    #[test]
    fn table_and_columns_are_found() {
        for (text, table, columns, after) in [
            ("insert into t (a, b) values {rows}", "t", &["a", "b"][..], ""),
            (
                "INSERT OR REPLACE INTO \"my t\"(\"a, (b\", `c`, [d e])VALUES{rows};",
                "\"my t\"",
                &["a, (b", "c", "d e"],
                ";",
            ),
            (
                "insert into s.t as o (a) values {rows} on conflict (a) do nothing",
                "s.t",
                &["a"],
                " on conflict (a) do nothing",
            ),
            ("with x as (select (1)) insert into\n\tt\n(a) values\n{rows}", "t", &["a"], ""),
        ] {
            let insert = Insert::parse(text).unwrap();
            assert_eq!(insert.table, table, "{text}");
            assert_eq!(
                insert.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(),
                columns,
                "{text}"
            );
            assert_eq!(insert.after, after, "{text}");
        }
        for text in [
            "insert into t values {rows}",
            "insert into t (a) {rows}",
            "update t set a = 1",
            "insert into t (a, b + 1) values {rows}",
            "insert into t (a) values {rows}, {rows}",
            "values {rows}",
            "(a) values {rows}",
        ] {
            assert!(Insert::parse(text).is_err(), "{text}");
        }
    }
}
