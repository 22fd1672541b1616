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
    /// `left in {keys}`: the parts of `left`, by the column they are, if they are plain columns.
    In {
        parts: Vec<Option<String>>,
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
    /// The one table it reads, if it is that simple.
    pub(crate) table: Option<String>,
}

const SET_WORDS: [&str; 3] = ["union", "intersect", "except"];
/// Words that may stand right before a parenthesis without making it a function's.
const NOT_FUNCTIONS: [&str; 9] = ["where", "and", "or", "on", "not", "when", "row", "having", "then"];

impl<'q> Statement<'q> {
    pub(crate) fn read(query: &'q str) -> Self {
        let tokens = tokens(query);
        let (columns, list) = select_list(&tokens);
        let keys = keys_uses(&tokens);
        let table = single_table(&tokens);
        Self { tokens, columns, list, keys, table }
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
                || matches!(token.kind, TokenKind::String | TokenKind::Number);
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
    let expression = |start: usize| KeysForm::In { parts: vec![None], left: start..last.span.end };
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
        return KeysForm::In { parts: parts.map(plain_column).collect(), left: start..last.span.end };
    }
    // `schema.table.column`, as long as dots join it.
    let mut start = left.len() - 1;
    while start >= 2 && left.get(start - 1).is_some_and(|token| token.is_symbol('.')) {
        start -= 2;
    }
    let name = left.get(start..).unwrap_or_default();
    let from = name.first().map_or(last.span.start, |first| first.span.start);
    KeysForm::In { parts: vec![plain_column(name)], left: from..last.span.end }
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

/// The table of `select … from table [alias] [where …]`, without joins, subqueries and set operations.
fn single_table(tokens: &[Token<'_>]) -> Option<String> {
    let selects = tokens.iter().filter(|token| token.is_word("select")).count();
    let compound =
        tokens.iter().any(|token| ["join", "with"].iter().chain(&SET_WORDS).any(|word| token.is_word(word)));
    if selects != 1 || compound || !tokens.first()?.is_word("select") {
        return None;
    }
    let from = tokens.iter().position(|token| token.depth == 0 && token.is_word("from"))?;
    let rest = tokens.get(from + 1..)?;
    let end_words = ["where", "group", "order", "limit", "having", "window"];
    let end =
        rest.iter().position(|token| end_words.iter().any(|word| token.is_word(word))).unwrap_or(rest.len());
    let table = rest.get(..end)?;
    let is_plain = table.iter().all(|token| token.name().is_some() || token.is_symbol('.'));
    if !is_plain {
        return None;
    }
    // `schema.table alias`: the name is what the last dot leads to.
    let name_at = table.iter().rposition(|token| token.is_symbol('.')).map_or(0, |dot| dot + 1);
    table.get(name_at)?.name().map(str::to_owned)
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
    fn only_a_simple_query_tells_its_table() {
        for (query, table) in [
            ("select * from quotes where code in {keys}", Some("quotes")),
            ("select * from main.quotes as q where q.code in {keys}", Some("quotes")),
            ("select * from \"my quotes\" q", Some("my quotes")),
            ("select * from a, b", None),
            ("select * from a join b on a.x = b.x", None),
            ("select * from (select 1)", None),
            ("select * from a where x in (select y from b)", None),
            ("select * from a union select * from b", None),
        ] {
            assert_eq!(Statement::read(query).table.as_deref(), table, "{query}");
        }
    }
}
