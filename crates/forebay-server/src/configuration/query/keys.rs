//! Whether a query asks for the rows of the keys, and whether its rows can be matched to them.

use std::ops::Range;

use super::super::fault::QueryFault;
use super::functions::calls_others;
use super::select::{Columns, KeysForm, KeysUse, ReadTable, Statement};
use super::tokens::{Token, TokenKind};
use super::{Lookup, Query};
use crate::configuration::secrets::Text;

/// Checks a query that loads by `bound` and must give the columns `wanted`; each fault comes with its place in the query. `may_call`: its
/// database may have functions that read tables.
pub(crate) fn check_keys(
    text: &Text,
    bound: &[&str],
    wanted: &[&str],
    may_call: bool,
) -> (Query, Vec<(QueryFault, Range<usize>)>) {
    let statement = Statement::read(text.expose());
    let mut faults = Vec::new();
    check_statement(&statement, text.expose().len(), &mut faults);
    if faults.is_empty() {
        check_placeholders(&statement, bound, &mut faults);
        check_cuts(&statement, bound, &mut faults);
        check_columns(&statement, wanted, &mut faults);
    }
    if text.is_secret() {
        // What is derived from a secret would show parts of it.
        for (fault, _) in &mut faults {
            hide(fault);
        }
        return (Query { text: text.clone(), columns: None, reads: None }, faults);
    }
    let columns = match &statement.columns {
        Columns::Told(columns) => Some(columns.clone()),
        Columns::Untold => None,
    };
    let reads = if may_call && calls_others(&statement.tokens) { None } else { reads(&statement) };
    (Query { text: text.clone(), columns, reads }, faults)
}

/// Checks a query that gives keys, in the columns `wanted`; each fault comes with its place in the query. `may_cut`: it need not give all
/// that there are.
pub(crate) fn check_list(text: &Text, wanted: &[&str], may_cut: bool) -> Vec<(QueryFault, Range<usize>)> {
    let statement = Statement::read(text.expose());
    let mut faults = Vec::new();
    check_statement(&statement, text.expose().len(), &mut faults);
    if faults.is_empty() {
        let bound = statement.tokens.iter().filter(|token| matches!(token.kind, TokenKind::Placeholder(_)));
        faults.extend(bound.map(|token| (QueryFault::BoundInList, token.span.clone())));
        let cuts = |token: &&Token<'_>| token.depth == 0 && CUTS.iter().any(|word| token.is_word(word));
        let cut = statement.tokens.iter().find(cuts).filter(|_| !may_cut);
        faults.extend(cut.map(|token| {
            (QueryFault::ListCut { word: token.text.to_ascii_lowercase() }, token.span.clone())
        }));
        check_columns(&statement, wanted, &mut faults);
    }
    if text.is_secret() {
        faults.iter_mut().for_each(|(fault, _)| hide(fault));
    }
    faults
}

/// Takes the query's own words out of a fault.
fn hide(fault: &mut QueryFault) {
    match fault {
        QueryFault::UnknownPlaceholder { name, .. } => *name = "…".into(),
        QueryFault::ColumnMissing { column, mend } => *mend = format!("add `{column}` to the columns"),
        _ => {}
    }
}

/// That it is one statement that reads.
fn check_statement(statement: &Statement<'_>, len: usize, faults: &mut Vec<(QueryFault, Range<usize>)>) {
    let tokens = &statement.tokens;
    if let Some(open) = tokens.iter().find(|token| token.kind == TokenKind::Unclosed) {
        faults.push((QueryFault::Unclosed, open.span.clone()));
        return;
    }
    let reads = ["select", "with", "values"];
    match tokens.first() {
        Some(first) if reads.iter().any(|word| first.is_word(word)) => {}
        first => {
            faults.push((QueryFault::NotASelect, first.map_or(0..len, |first| first.span.clone())));
            return;
        }
    }
    let end = tokens.iter().position(|token| token.is_symbol(';'));
    if let Some(next) = end.and_then(|end| tokens.get(end + 1)) {
        faults.push((QueryFault::SeveralStatements, next.span.clone()));
    }
}

fn check_placeholders(
    statement: &Statement<'_>,
    bound: &[&str],
    faults: &mut Vec<(QueryFault, Range<usize>)>,
) {
    let example = format!("where {} in {{keys}}", tuple(bound));
    for token in &statement.tokens {
        match &token.kind {
            TokenKind::Placeholder(name) if name != "keys" && name != "now" => {
                let mend = match name.as_str() {
                    "key" | "KEYS" | "Keys" => "write `{keys}`".into(),
                    "NOW" | "Now" => "write `{now}`".into(),
                    _ if bound.is_empty() => "the key has no parameters: write the value out".into(),
                    _ => format!("only `{{keys}}` is bound, as a list (`{example}`), and `{{now}}`, as text"),
                };
                faults
                    .push((QueryFault::UnknownPlaceholder { name: name.clone(), mend }, token.span.clone()));
            }
            TokenKind::String if token.text.contains("{keys}") => {
                faults.push((
                    QueryFault::KeysInString { mend: format!("write it without quotes: `{example}`") },
                    in_string(token, "{keys}"),
                ));
            }
            TokenKind::String if token.text.contains("{now}") => {
                faults.push((QueryFault::NowInString, in_string(token, "{now}")));
            }
            _ => {}
        }
    }
    if statement.keys.is_empty() && !bound.is_empty() && faults.is_empty() {
        let place = statement.tokens.first().zip(statement.tokens.last());
        let place = place.map_or(0..0, |(first, last)| first.span.start..last.span.end);
        faults.push((QueryFault::NoKeys { mend: format!("add `{example}`") }, place));
    }
    for usage in &statement.keys {
        let fault = match &usage.form {
            KeysForm::NotIn => Some((QueryFault::NotIn, usage.span.clone())),
            KeysForm::InParentheses => Some((QueryFault::KeysInParentheses, usage.span.clone())),
            KeysForm::Elsewhere => {
                Some((QueryFault::KeysNotAfterIn { mend: format!("write `{example}`") }, usage.span.clone()))
            }
            KeysForm::In { parts, left, .. } => tuple_fault(parts, bound).map(|fault| (fault, left.clone())),
        };
        faults.extend(fault);
    }
}

/// That nothing cuts the rows of several keys together: which keys would lose theirs would hang on who asks at the same time.
fn check_cuts(statement: &Statement<'_>, bound: &[&str], faults: &mut Vec<(QueryFault, Range<usize>)>) {
    let from = statement.tokens.iter().position(|token| token.depth == 0 && token.is_word("from"));
    let Some(after) = from.and_then(|from| statement.tokens.get(from..)).filter(|_| !bound.is_empty()) else {
        return;
    };
    let cuts = |token: &&Token<'_>| token.depth == 0 && CUTS.iter().any(|word| token.is_word(word));
    if let Some(token) = after.iter().find(cuts) {
        faults.push((QueryFault::Cut { word: token.text.to_ascii_lowercase() }, token.span.clone()));
    }
}

/// Words that cut rows.
const CUTS: [&str; 3] = ["limit", "offset", "fetch"];

fn in_string(token: &Token<'_>, placeholder: &str) -> Range<usize> {
    let at = token.span.start + token.text.find(placeholder).unwrap_or(0);
    at..at + placeholder.len()
}

fn tuple_fault(parts: &[Option<String>], bound: &[&str]) -> Option<QueryFault> {
    if bound.is_empty() {
        return Some(QueryFault::KeysOfNothing);
    }
    if parts.len() != bound.len() {
        return Some(QueryFault::Arity { given: parts.len(), wanted: bound.len(), tuple: tuple(bound) });
    }
    // Columns may be called otherwise; but one that is called like a parameter must stand in that one's place.
    let misplaced = |(at, part): (usize, &Option<String>)| {
        let place = part.as_deref().and_then(|name| bound.iter().position(|param| *param == name));
        place.is_some_and(|place| place != at)
    };
    parts.iter().enumerate().any(misplaced).then(|| QueryFault::Order { tuple: tuple(bound) })
}

fn tuple(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        names => format!("({})", names.join(", ")),
    }
}

fn check_columns(statement: &Statement<'_>, wanted: &[&str], faults: &mut Vec<(QueryFault, Range<usize>)>) {
    let (Columns::Told(columns), Some(list)) = (&statement.columns, &statement.list) else { return };
    for name in wanted.iter().filter(|name| !columns.iter().any(|column| column == *name)) {
        let bound_to = statement.keys.iter().find_map(|usage| match &usage.form {
            KeysForm::In { parts, .. } => {
                let at = wanted.iter().position(|other| other == name)?;
                parts.get(at)?.clone().filter(|column| column != name)
            }
            _ => None,
        });
        let mend = match bound_to {
            Some(column) => format!("select it: `{column} as {name}`"),
            None => format!("add `{name}` to the columns, or `… as {name}`"),
        };
        faults.push((QueryFault::ColumnMissing { column: (*name).to_owned(), mend }, list.clone()));
    }
}

/// What a simple query reads: the table that the keys are looked up in, by its columns, and the others whole.
fn reads(statement: &Statement<'_>) -> Option<Vec<Lookup>> {
    let tables = statement.tables.as_ref()?;
    let looked_up = looked_up(statement, tables);
    let lookup = |(at, table): (usize, &ReadTable)| {
        let columns =
            looked_up.as_ref().filter(|(place, _)| *place == at).map(|(_, columns)| columns.clone());
        Lookup { table: table.name.clone(), columns: columns.unwrap_or_default() }
    };
    Some(tables.iter().enumerate().map(lookup).collect())
}

/// The place of the table whose columns stand before the one `in {keys}`, and those columns; `None` where any row may concern any key.
fn looked_up(statement: &Statement<'_>, tables: &[ReadTable]) -> Option<(usize, Vec<String>)> {
    let [KeysUse { form: KeysForm::In { parts, of, .. }, .. }] = statement.keys.as_slice() else {
        return None;
    };
    let columns = parts.iter().cloned().collect::<Option<Vec<String>>>()?;
    let place = |of: &Option<String>| match (of, tables) {
        (None, [_]) => Some(0),
        (None, _) => None,
        (Some(of), tables) => tables.iter().position(|table| table.alias == *of),
    };
    let places = of.iter().map(place).collect::<Option<Vec<usize>>>()?;
    let first = *places.first()?;
    places.iter().all(|place| *place == first).then_some((first, columns))
}
