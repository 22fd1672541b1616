//! A query's words, names, strings and symbols.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes; what stands in them.
    Quoted(String),
    String,
    Number,
    /// `{name}`; the name.
    Placeholder(String),
    /// One symbol.
    Symbol(char),
    /// A string or a comment without its end, or a brace.
    Unclosed,
}

/// A token and its place in the query, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token<'q> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'q str,
    pub(crate) span: Range<usize>,
    /// How many parentheses are open around it; a parenthesis counts as outside itself.
    pub(crate) depth: usize,
}

impl Token<'_> {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_symbol(&self, symbol: char) -> bool {
        self.kind == TokenKind::Symbol(symbol)
    }

    pub(crate) fn is_keys(&self) -> bool {
        matches!(&self.kind, TokenKind::Placeholder(name) if name == "keys")
    }

    /// The name it stands for, quoted or not.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word => Some(self.text),
            TokenKind::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// Splits a query; comments and spaces are left out.
pub(crate) fn tokens(query: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(rest) = query.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, len) = token(rest);
        let len = len.max(rest.chars().next().map_or(1, char::len_utf8)).min(rest.len());
        let Some(kind) = kind else {
            at += len;
            continue;
        };
        if kind == TokenKind::Symbol(')') {
            depth = depth.saturating_sub(1);
        }
        let text = rest.get(..len).unwrap_or(rest);
        let opens = kind == TokenKind::Symbol('(');
        tokens.push(Token { kind, text, span: at..at + len, depth });
        depth += usize::from(opens);
        at += len;
    }
    tokens
}

/// The token at the start of `rest` and its length; no kind for spaces and comments.
fn token(rest: &str) -> (Option<TokenKind>, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    let run = |of: fn(char) -> bool| rest.find(|each| !of(each)).unwrap_or(rest.len());
    match first {
        _ if first.is_whitespace() => (None, run(char::is_whitespace)),
        '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => match rest.get(2..).and_then(|after| after.find("*/")) {
            Some(end) => (None, end + 4),
            None => (Some(TokenKind::Unclosed), 2),
        },
        '\'' => string(rest, '\''),
        '"' | '`' => quoted(rest, first, first),
        '[' if names_in_brackets(rest) => quoted(rest, '[', ']'),
        '$' => dollar_string(rest),
        '{' => match rest.find('}') {
            Some(end) => (Some(TokenKind::Placeholder(rest.get(1..end).unwrap_or_default().into())), end + 1),
            None => (Some(TokenKind::Unclosed), 1),
        },
        _ if first.is_alphabetic() || first == '_' => {
            (Some(TokenKind::Word), run(|each| each.is_alphanumeric() || each == '_' || each == '$'))
        }
        _ if first.is_ascii_digit() => {
            (Some(TokenKind::Number), run(|each| each.is_alphanumeric() || each == '.'))
        }
        symbol => (Some(TokenKind::Symbol(symbol)), symbol.len_utf8()),
    }
}

/// The length of what stands between two quotes, the closing one doubled inside, and both included.
fn quotes(rest: &str, close: char) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, each)) = chars.next() {
        if each == close && chars.next_if(|(_, next)| *next == close).is_none() {
            return Some(at + close.len_utf8());
        }
    }
    None
}

fn string(rest: &str, close: char) -> (Option<TokenKind>, usize) {
    match quotes(rest, close) {
        Some(len) => (Some(TokenKind::String), len),
        None => (Some(TokenKind::Unclosed), 1),
    }
}

fn quoted(rest: &str, open: char, close: char) -> (Option<TokenKind>, usize) {
    let Some(len) = quotes(rest, close) else { return (Some(TokenKind::Unclosed), 1) };
    let name = rest.get(open.len_utf8()..len - close.len_utf8()).unwrap_or_default();
    let doubled = format!("{close}{close}");
    (Some(TokenKind::Quoted(name.replace(&doubled, &close.to_string()))), len)
}

/// `[name]` is a name in SQLite; `a[1]` is an element in PostgreSQL.
fn names_in_brackets(rest: &str) -> bool {
    rest.chars().nth(1).is_some_and(|next| next.is_alphabetic() || next == '_') && rest.contains(']')
}

/// `$$…$$` and `$tag$…$tag$`; a lone `$` is a symbol.
fn dollar_string(rest: &str) -> (Option<TokenKind>, usize) {
    let tag_end = rest.get(1..).and_then(|after| after.find('$')).map(|at| at + 2);
    let tag = tag_end.and_then(|end| rest.get(..end));
    let Some(tag) =
        tag.filter(|tag| tag.chars().all(|each| each == '$' || each == '_' || each.is_alphanumeric()))
    else {
        return (Some(TokenKind::Symbol('$')), 1);
    };
    match rest.get(tag.len()..).and_then(|after| after.find(tag)) {
        Some(end) => (Some(TokenKind::String), tag.len() + end + tag.len()),
        None => (Some(TokenKind::Unclosed), tag.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_names_and_comments_are_told_apart() {
        let query = "select \"a\"\"b\", [c d], 'it''s {keys}', $$x{keys}$$ -- {keys}\n/* {keys} */ from t where x in {keys}";
        let found = tokens(query);
        let keys: Vec<_> = found.iter().filter(|token| token.is_keys()).collect();
        assert_eq!(keys.len(), 1, "strings and comments hold no placeholder");
        assert_eq!(query.get(keys[0].span.clone()), Some("{keys}"));
        assert_eq!(found[1].name(), Some("a\"b"));
        assert_eq!(found[3].name(), Some("c d"));
        assert_eq!(found[5].text, "'it''s {keys}'");
        assert_eq!(found[7].kind, TokenKind::String);
    }

    #[test]
    fn depth_counts_open_parentheses() {
        let depths: Vec<_> = tokens("a (b (c)) d)").iter().map(|token| token.depth).collect();
        assert_eq!(depths, [0, 0, 1, 1, 2, 1, 0, 0, 0]);
    }

    #[test]
    fn what_is_never_closed_is_named() {
        for query in ["'a", "\"a", "/* a", "{keys", "$$a"] {
            assert_eq!(tokens(query)[0].kind, TokenKind::Unclosed, "{query}");
        }
    }
}
