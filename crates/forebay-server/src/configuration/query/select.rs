//! The select list, the tables and the places of `{keys}` of a query.

use std::ops::Range;

use super::tokens::{Token, TokenKind, tokens};

/// The columns that a query gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// These, in order; expressions without a name are left out.
    Told(Vec<String>),
    /// Cannot be told without the database: a star, or no plain `select`.
    Untold,
}

/// One place where keys are bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeysUse {
    pub(crate) span: Range<usize>,
    pub(crate) form: KeysForm,
}

/// What stands around `{keys}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeysForm {
    /// `left in {keys}`: the parts of `left`, by the column they are, if they are plain columns, and the table that each is said to be of.
    In {
        parts: Vec<Option<String>>,
        of: Vec<Option<String>>,
        left: Range<usize>,
    },
    NotIn,
    InParentheses,
    Elsewhere,
}

/// What was seen of a query.
#[derive(Debug)]
pub(crate) struct Statement<'q> {
    pub(crate) tokens: Vec<Token<'q>>,
    pub(crate) columns: Columns,
    /// Where the select list stands, if there is one.
    pub(crate) list: Option<Range<usize>>,
    pub(crate) keys: Vec<KeysUse>,
    /// The tables it reads, if it is simple enough to tell them.
    pub(crate) tables: Option<Vec<ReadTable>>,
}

const SET_WORDS: [&str; 3] = ["union", "intersect", "except"];
/// Words that may stand right before a parenthesis without making it a function's.
const NOT_FUNCTIONS: [&str; 9] = ["where", "and", "or", "on", "not", "when", "row", "having", "then"];

impl<'q> Statement<'q> {
    pub(crate) fn read(query: &'q str) -> Self {
        let tokens = tokens(query);
        let (columns, list) = select_list(&tokens);
        let keys = keys_uses(&tokens);
        let tables = tables(&tokens);
        Self { tokens, columns, list, keys, tables }
    }
}

/// The tokens between the outermost `select` and its `from`.
fn select_list(tokens: &[Token<'_>]) -> (Columns, Option<Range<usize>>) {
    let is_plain = tokens.first().is_some_and(|first| first.is_word("select"));
    if !is_plain {
        return (Columns::Untold, None);
    }
    let mut rest = tokens.get(1..).unwrap_or_default();
    while let [first, others @ ..] = rest {
        let skipped = if first.is_word("distinct") || first.is_word("all") {
            0
        } else if first.is_word("on") {
            others.iter().position(|token| token.is_symbol(')') && token.depth == 0).map_or(0, |at| at + 1)
        } else {
            break;
        };
        rest = others.get(skipped..).unwrap_or_default();
    }
    let ends = |token: &Token<'_>| {
        token.depth == 0 && (token.is_word("from") || SET_WORDS.iter().any(|word| token.is_word(word)))
    };
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    let list = rest.get(..end).unwrap_or_default();
    let span = list.first().zip(list.last()).map(|(first, last)| first.span.start..last.span.end);
    let items = list.split(|token| token.depth == 0 && token.is_symbol(','));
    let mut columns = Vec::new();
    for item in items {
        if item.last().is_some_and(|last| last.is_symbol('*')) && item.len() <= 3 {
            return (Columns::Untold, span);
        }
        columns.extend(column(item));
    }
    (Columns::Told(columns), span)
}

/// The name that an item of the select list gives its column.
fn column(item: &[Token<'_>]) -> Option<String> {
    let (last, before) = item.split_last()?;
    let name = last.name()?.to_owned();
    match before {
        [] => Some(name),
        // `t.code`, `s.t.code`
        [.., dot] if dot.is_symbol('.') => {
            before.iter().all(|token| token.is_symbol('.') || token.name().is_some()).then_some(name)
        }
        [.., word] if word.is_word("as") => Some(name),
        // `price p`, `max(price) p`; not `a collate nocase` nor `… end`.
        [.., token] if !last.is_word("end") && !token.is_word("collate") => {
            let ends_value = token.name().is_some()
                || token.is_symbol(')')
                || matches!(token.kind, TokenKind::String | TokenKind::Number | TokenKind::Placeholder(_));
            let is_operator =
                ["and", "or", "not", "is", "like", "in", "between", "case", "then", "else", "when"];
            (ends_value && !is_operator.iter().any(|word| token.is_word(word))).then_some(name)
        }
        _ => None,
    }
}

fn keys_uses(tokens: &[Token<'_>]) -> Vec<KeysUse> {
    let places = tokens.iter().enumerate().filter(|(_, token)| token.is_keys());
    places
        .map(|(at, token)| {
            let before = tokens.get(..at).unwrap_or_default();
            KeysUse { span: token.span.clone(), form: keys_form(before) }
        })
        .collect()
}

fn keys_form(before: &[Token<'_>]) -> KeysForm {
    match before {
        [.., not, is_in] if is_in.is_word("in") && not.is_word("not") => KeysForm::NotIn,
        [left @ .., is_in] if is_in.is_word("in") => left_side(left),
        [.., is_in, open] if open.is_symbol('(') && is_in.is_word("in") => KeysForm::InParentheses,
        _ => KeysForm::Elsewhere,
    }
}

/// What stands before `in`: a tuple, a column, or another expression.
fn left_side(left: &[Token<'_>]) -> KeysForm {
    let Some((last, before)) = left.split_last() else { return KeysForm::Elsewhere };
    let expression =
        |start: usize| KeysForm::In { parts: vec![None], of: vec![None], left: start..last.span.end };
    if last.is_symbol(')') {
        let open = before.iter().rposition(|token| token.is_symbol('(') && token.depth == last.depth);
        let Some(open) = open else { return expression(last.span.start) };
        let start = before.get(open).map_or(0, |token| token.span.start);
        let caller = open.checked_sub(1).and_then(|at| before.get(at));
        let is_call = caller.is_some_and(|caller| {
            caller.name().is_some() && !NOT_FUNCTIONS.iter().any(|word| caller.is_word(word))
        });
        if is_call {
            return expression(caller.map_or(start, |caller| caller.span.start));
        }
        let inside = before.get(open + 1..).unwrap_or_default();
        let parts = inside.split(|token| token.depth == last.depth + 1 && token.is_symbol(','));
        let of = parts.clone().map(qualifier).collect();
        return KeysForm::In { parts: parts.map(plain_column).collect(), of, left: start..last.span.end };
    }
    // `schema.table.column`, as long as dots join it.
    let mut start = left.len() - 1;
    while start >= 2 && left.get(start - 1).is_some_and(|token| token.is_symbol('.')) {
        start -= 2;
    }
    let name = left.get(start..).unwrap_or_default();
    let from = name.first().map_or(last.span.start, |first| first.span.start);
    KeysForm::In { parts: vec![plain_column(name)], of: vec![qualifier(name)], left: from..last.span.end }
}

/// The column that `t.code` or `code` is.
fn plain_column(tokens: &[Token<'_>]) -> Option<String> {
    let (last, before) = tokens.split_last()?;
    let joined = before
        .iter()
        .rev()
        .enumerate()
        .all(|(at, token)| if at % 2 == 0 { token.is_symbol('.') } else { token.name().is_some() });
    (joined && before.len() % 2 == 0).then(|| last.name().map(str::to_owned))?
}

/// The table that a column is said to be of: `t` in `t.code`.
fn qualifier(column: &[Token<'_>]) -> Option<String> {
    match column {
        [.., table, dot, _] if dot.is_symbol('.') => folded(table),
        _ => None,
    }
}

/// A name as the databases know it: one without quotes is in small letters.
pub(crate) fn folded(token: &Token<'_>) -> Option<String> {
    match &token.kind {
        TokenKind::Quoted(name) => Some(name.clone()),
        _ => token.name().map(str::to_ascii_lowercase),
    }
}

/// A table that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadTable {
    pub(crate) name: String,
    /// What it is called in the query.
    pub(crate) alias: String,
}

/// Words between two tables.
const JOINS: [&str; 9] = ["join", "inner", "left", "right", "full", "outer", "cross", "natural", "only"];

/// The tables of `select … from table [alias] [join …] [where …]`, without subqueries, functions that give rows, and set operations.
fn tables(tokens: &[Token<'_>]) -> Option<Vec<ReadTable>> {
    let selects = tokens.iter().filter(|token| token.is_word("select")).count();
    let compound = tokens.iter().any(|token| token.is_word("with") || is_any(token, &SET_WORDS));
    if selects != 1 || compound || !tokens.first()?.is_word("select") {
        return None;
    }
    let from = tokens.iter().position(|token| token.depth == 0 && token.is_word("from"))?;
    let rest = tokens.get(from + 1..)?;
    let end_words = ["where", "group", "order", "limit", "having", "window", "fetch", "offset", "for"];
    let ends = |token: &Token<'_>| token.depth == 0 && (is_any(token, &end_words) || token.is_symbol(';'));
    let mut rest = rest.get(..rest.iter().position(ends).unwrap_or(rest.len()))?;
    let mut tables = Vec::new();
    while !rest.is_empty() {
        rest = rest.get(rest.iter().position(|token| !is_any(token, &JOINS))?..)?;
        let (table, after) = read_table(rest)?;
        tables.push(table);
        rest = after;
    }
    (!tables.is_empty()).then_some(tables)
}

/// The table that `tokens` begin with, and what follows its conditions.
fn read_table<'t, 'q>(tokens: &'t [Token<'q>]) -> Option<(ReadTable, &'t [Token<'q>])> {
    // `schema.table`: the name is what the last dot leads to.
    let mut at = 0;
    while tokens.get(at + 1).is_some_and(|token| token.is_symbol('.')) {
        at += 2;
    }
    let name = folded(tokens.get(at)?)?;
    let mut rest = tokens.get(at + 1..)?;
    if let [word, after @ ..] = rest
        && word.is_word("as")
    {
        rest = after;
    }
    let is_alias = |token: &Token<'_>| {
        token.name().is_some() && !is_any(token, &["on", "using"]) && !is_any(token, &JOINS)
    };
    let alias = match rest {
        [alias, after @ ..] if is_alias(alias) => {
            rest = after;
            folded(alias)?
        }
        _ => name.clone(),
    };
    let conditions = match rest {
        [] => 0,
        [next, ..] if next.is_symbol(',') || is_any(next, &JOINS) => 0,
        [next, ..] if is_any(next, &["on", "using"]) => next_table(rest),
        // A function that gives rows, a sample, a hint.
        _ => return None,
    };
    let after = rest.get(conditions..)?;
    let after = if after.first().is_some_and(|token| token.is_symbol(',')) { after.get(1..)? } else { after };
    Some((ReadTable { name, alias }, after))
}

/// Where the condition of a join ends.
fn next_table(tokens: &[Token<'_>]) -> usize {
    let is_call = |at: usize| tokens.get(at + 1).is_some_and(|token| token.is_symbol('('));
    let begins = |(at, token): (usize, &Token<'_>)| {
        token.depth == 0 && (token.is_symbol(',') || is_any(token, &JOINS) && !is_call(at))
    };
    tokens.iter().enumerate().position(begins).unwrap_or(tokens.len())
}

fn is_any(token: &Token<'_>, words: &[&str]) -> bool {
    words.iter().any(|word| token.is_word(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str) -> Option<Vec<String>> {
        match Statement::read(query).columns {
            Columns::Told(columns) => Some(columns),
            Columns::Untold => None,
        }
    }

    #[test]
    fn the_select_list_is_told_where_it_can_be() {
        for (query, columns) in [
            ("select code, name from t", Some(vec!["code", "name"])),
            ("SELECT DISTINCT t.code, \"Name\" FROM t", Some(vec!["code", "Name"])),
            ("select distinct on (a, b) a, c from t", Some(vec!["a", "c"])),
            ("select max(price) as price, min(x) low, count(*) from t", Some(vec!["price", "low"])),
            ("select coalesce(a, (select b from c)) as a from t", Some(vec!["a"])),
            ("select case when a then b else c end, d from t", Some(vec!["d"])),
            ("select case when a then b else c end as e from t", Some(vec!["e"])),
            ("select a::text as b, 'x' c, a || b from t", Some(vec!["b", "c"])),
            ("select extract(year from d) as y, z from t", Some(vec!["y", "z"])),
            (
                "select {now} asked, case when x > {now} then x end as until from t",
                Some(vec!["asked", "until"]),
            ),
            ("select a collate nocase from t", Some(vec![])),
            ("select * from t", None),
            ("select t.*, u.x from t", None),
            ("select a * 2 as b from t", Some(vec!["b"])),
            ("with x as (select 1) select a from x", None),
            ("values (1)", None),
            ("select a", Some(vec!["a"])),
        ] {
            let columns = columns.map(|columns| columns.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(told(query), columns, "{query}");
        }
    }

    fn form(query: &str) -> KeysForm {
        Statement::read(query).keys[0].form.clone()
    }

    #[test]
    fn what_stands_before_in_is_seen() {
        for (query, parts) in [
            ("select * from t where code in {keys}", vec![Some("code")]),
            ("select * from t where t.code in {keys}", vec![Some("code")]),
            ("select * from t where (a, t.b) IN {keys}", vec![Some("a"), Some("b")]),
            ("select * from t where x and (a) in {keys}", vec![Some("a")]),
            ("select * from t where lower(code) in {keys}", vec![None]),
            ("select * from t where (lower(a), \"b c\") in {keys}", vec![None, Some("b c")]),
        ] {
            let KeysForm::In { parts: found, .. } = form(query) else { panic!("{query}") };
            let parts: Vec<Option<String>> = parts.into_iter().map(|part| part.map(str::to_owned)).collect();
            assert_eq!(found, parts, "{query}");
        }
        assert_eq!(form("select * from t where a not in {keys}"), KeysForm::NotIn);
        assert_eq!(form("select * from t where a in ({keys})"), KeysForm::InParentheses);
        assert_eq!(form("select * from t where a = {keys}"), KeysForm::Elsewhere);
    }

    #[test]
    fn a_query_without_subqueries_tells_its_tables() {
        for (query, tables) in [
            ("select * from quotes where code in {keys}", "quotes quotes"),
            ("select * from main.Quotes as q where q.code in {keys}", "quotes q"),
            ("select * from \"My quotes\" q", "My quotes q"),
            ("select * from a, b c", "a a, b c"),
            ("select * from a join b on a.x = left(b.x, 2) and (b.y = 1) where a.z in {keys}", "a a, b b"),
            ("select * from a x left outer join s.b y using (id), c", "a x, b y, c c"),
            ("select * from a natural join b order by 1", "a a, b b"),
            ("select case when x <= {now} then 'old' else y end as y from a where z in {keys}", "a a"),
            ("select count(*) from only a", "a a"),
            ("select * from a for share", "a a"),
            ("select * from (select 1)", ""),
            ("select * from a join (select 1) b on true", ""),
            ("select * from a where x in (select y from b)", ""),
            ("select * from json_each(a)", ""),
            ("select * from a union select * from b", ""),
            ("with a as (select 1) select * from a", ""),
            ("select 1", ""),
        ] {
            let found = Statement::read(query).tables.unwrap_or_default();
            let found: Vec<String> =
                found.iter().map(|table| format!("{} {}", table.name, table.alias)).collect();
            assert_eq!(found.join(", "), tables, "{query}");
        }
    }
}
