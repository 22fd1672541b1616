//! SPDX licence expressions: parsed and judged by a list of what is allowed.
//!
//! After SPDX 2.3 annex D: `AND` binds closer than `OR`, `WITH` closest; `/` between licences is the old way to write `OR`.

/// Whether `expression` can be met with licences that `allowed` says yes to.
///
/// A licence with an exception is asked for as `LICENCE WITH EXCEPTION`.
///
/// # Errors
/// What in the expression cannot be understood.
pub(super) fn judge(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let met = parser.any()?;
    match parser.words.first() {
        None => Ok(met),
        Some(word) => Err(format!("`{word}` is not expected in `{expression}`")),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.words.first().is_some_and(|first| first.eq_ignore_ascii_case(word));
        if found {
            self.next();
        }
        found
    }

    fn any(&mut self) -> Result<bool, String> {
        let mut met = self.all()?;
        while self.takes("OR") {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut met = self.one()?;
        while self.takes("AND") {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, String> {
        let name = self.next().ok_or("the expression ends too early")?;
        if name == "(" {
            let met = self.any()?;
            return if self.takes(")") { Ok(met) } else { Err("a bracket is not closed".to_owned()) };
        }
        if [")", "AND", "OR", "WITH"].iter().any(|word| name.eq_ignore_ascii_case(word)) {
            return Err(format!("`{name}` stands where a licence is expected"));
        }
        if self.takes("WITH") {
            let exception = self.next().ok_or("WITH names no exception")?;
            return Ok((self.allowed)(&format!("{name} WITH {exception}")));
        }
        Ok((self.allowed)(name))
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    /// Allowed are `A`, `B` and `C WITH X`.
    fn check(expression: &str, expected: Result<bool, &str>) {
        let allowed = |licence: &str| ["A", "B", "C WITH X"].contains(&licence);
        let judged = judge(expression, &allowed);
        let agrees = match (&judged, expected) {
            (Ok(met), Ok(expected)) => *met == expected,
            (Err(message), Err(part)) => message.contains(part),
            _ => false,
        };
        assert!(agrees, "{expression}: {judged:?}, expected {expected:?}");
    }

    #[test]
    fn expressions_are_judged_by_their_structure() {
        check("A", Ok(true));
        check("N", Ok(false));
        check("A OR N", Ok(true));
        check("N/A", Ok(true));
        check("A AND N", Ok(false));
        check("A AND B", Ok(true));
        check("N OR A AND B", Ok(true));
        check("N AND A OR B", Ok(true));
        check("N AND (A OR B)", Ok(false));
        check("(A OR N) AND B", Ok(true));
    }

    #[test]
    fn a_licence_with_an_exception_is_another_licence() {
        check("C WITH X", Ok(true));
        check("C", Ok(false));
        check("A WITH X", Ok(false));
        check("A WITH X OR B", Ok(true));
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        check("", Err("ends too early"));
        check("A OR", Err("ends too early"));
        check("(A", Err("not closed"));
        check("A B", Err("not expected"));
        check("AND A", Err("licence is expected"));
    }
}
