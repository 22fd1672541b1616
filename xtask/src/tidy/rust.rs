//! Rust text cut into words, marks, literals and comments.
//!
//! It guarantees that every byte lands in exactly one piece (or is white space), so that no rule mistakes a string or a
//! comment for code. It does not parse: rules look at neighbouring pieces. Text that does not compile is cut all the same.

/// What a piece of Rust text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword, name or number.
    Word,
    /// One character of punctuation.
    Mark,
    /// A string, byte string or character, quotes included.
    Literal,
    /// A lifetime or label.
    Lifetime,
    /// A comment, documentation included.
    Comment,
}

/// A piece of Rust text.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: &'a str,
    /// The line it begins on, from 1.
    pub line: usize,
}

impl Piece<'_> {
    /// The line it ends on, from 1.
    #[must_use]
    pub fn end_line(&self) -> usize {
        self.line + self.text.matches('\n').count()
    }
}

/// A Rust text in pieces.
#[derive(Debug)]
pub struct Source<'a> {
    /// Everything but comments, in order.
    pub pieces: Vec<Piece<'a>>,
    /// The comments, in order.
    pub comments: Vec<Piece<'a>>,
}

/// A function with a body.
#[derive(Debug)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The line of `fn`, from 1.
    pub line: usize,
    /// The line of its closing brace, from 1.
    pub end_line: usize,
    /// The pieces of its body, braces included.
    pub body: std::ops::Range<usize>,
    /// The words of its attributes, each attribute one entry (`tokio::test`, `should_panic`).
    pub attributes: Vec<String>,
}

/// A `mod` item.
#[derive(Debug)]
pub struct Module<'a> {
    /// Its name.
    pub name: &'a str,
    /// The names of the inline modules around it, outermost first.
    pub inside: Vec<&'a str>,
    /// The value of its `#[path]`, where it has one.
    pub path: Option<&'a str>,
    /// The pieces of its body where it is inline.
    pub body: Option<std::ops::Range<usize>>,
    /// Whether it is compiled for tests only.
    pub for_tests: bool,
    /// The line it begins on, attributes included, from 1.
    pub line: usize,
}

impl<'a> Source<'a> {
    /// Cuts `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        let mut source = Self { pieces: Vec::new(), comments: Vec::new() };
        let (mut rest, mut line) = (text, 1);
        while let Some(first) = rest.chars().next() {
            let (kind, length) = next_piece(rest, first);
            let (piece, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
            match kind {
                Some(Kind::Comment) => source.comments.push(Piece { kind: Kind::Comment, text: piece, line }),
                Some(kind) => source.pieces.push(Piece { kind, text: piece, line }),
                None => {}
            }
            line += piece.matches('\n').count();
            rest = tail;
        }
        source
    }

    /// The text of piece `at`; empty past the ends.
    #[must_use]
    pub fn text(&self, at: usize) -> &'a str {
        self.pieces.get(at).map_or("", |piece| piece.text)
    }

    /// The line of piece `at`.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        self.pieces.get(at).map_or(1, |piece| piece.line)
    }

    /// Whether the pieces from `at` on read as `texts`.
    #[must_use]
    pub fn reads(&self, at: usize, texts: &[&str]) -> bool {
        texts.iter().enumerate().all(|(offset, text)| self.text(at + offset) == *text)
    }

    /// The piece that closes the bracket at `open`; the last piece where none does.
    #[must_use]
    pub fn close(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (at, piece) in self.pieces.iter().enumerate().skip(open) {
            match piece.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return at;
                    }
                }
                _ => {}
            }
        }
        self.pieces.len().saturating_sub(1)
    }

    /// The functions that have a body, in order of their beginnings.
    #[must_use]
    pub fn functions(&self) -> Vec<Function<'a>> {
        let mut found = Vec::new();
        let mut attributes = Attributes::default();
        for at in 0..self.pieces.len() {
            attributes.note(self, at);
            if self.text(at) != "fn" || self.pieces.get(at + 1).is_none_or(|next| next.kind != Kind::Word) {
                continue;
            }
            let Some(open) = self.body_of(at) else { continue };
            let close = self.close(open);
            found.push(Function {
                name: self.text(at + 1),
                line: self.line(at),
                end_line: self.line(close),
                body: open..close + 1,
                attributes: attributes.words(self),
            });
        }
        found
    }

    /// The `mod` items, in order.
    #[must_use]
    pub fn modules(&self) -> Vec<Module<'a>> {
        let mut found: Vec<Module<'a>> = Vec::new();
        let mut attributes = Attributes::default();
        for at in 0..self.pieces.len() {
            attributes.note(self, at);
            let is_item =
                self.pieces.get(at).is_some_and(|piece| piece.kind == Kind::Word && piece.text == "mod")
                    && self.pieces.get(at + 1).is_some_and(|next| next.kind == Kind::Word)
                    && matches!(self.text(at + 2), ";" | "{");
            if !is_item {
                continue;
            }
            let around =
                found.iter().filter(|module| module.body.as_ref().is_some_and(|body| body.contains(&at)));
            found.push(Module {
                name: self.text(at + 1),
                inside: around.map(|module| module.name).collect(),
                path: attributes.path(self),
                body: (self.text(at + 2) == "{").then(|| at + 2..self.close(at + 2) + 1),
                for_tests: attributes.words(self).iter().any(|words| words == "cfg(test)"),
                line: attributes.line(self).unwrap_or_else(|| self.line(at)),
            });
        }
        found
    }

    /// Where the body of the function whose `fn` is at `at` opens; `None` where it has none.
    fn body_of(&self, at: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (here, piece) in self.pieces.iter().enumerate().skip(at) {
            match piece.text {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                "{" if depth == 0 => return Some(here),
                ";" if depth == 0 => return None,
                _ => {}
            }
        }
        None
    }
}

/// The attributes seen since the last item or statement ended.
#[derive(Default)]
struct Attributes {
    /// Opening bracket and closing bracket of each.
    seen: Vec<(usize, usize)>,
}

impl Attributes {
    fn note(&mut self, source: &Source<'_>, at: usize) {
        let within = self.seen.last().is_some_and(|(_, close)| at <= *close);
        if within {
            return;
        }
        match source.text(at) {
            "#" if source.text(at + 1) == "[" => self.seen.push((at + 1, source.close(at + 1))),
            ";" | "{" | "}" => self.seen.clear(),
            _ => {}
        }
    }

    fn words(&self, source: &Source<'_>) -> Vec<String> {
        let inner = |(open, close): &(usize, usize)| (open + 1..*close).map(|at| source.text(at)).collect();
        self.seen.iter().map(inner).collect()
    }

    fn path<'a>(&self, source: &Source<'a>) -> Option<&'a str> {
        let open =
            self.seen.iter().map(|(open, _)| *open).find(|open| source.reads(open + 1, &["path", "="]))?;
        Some(source.text(open + 3).trim_matches('"'))
    }

    fn line(&self, source: &Source<'_>) -> Option<usize> {
        self.seen.first().map(|(open, _)| source.line(*open))
    }
}

/// What `rest` begins with, and how many bytes it takes; no kind for white space.
fn next_piece(rest: &str, first: char) -> (Option<Kind>, usize) {
    if first.is_whitespace() {
        let length = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        return (None, length);
    }
    if let Some(length) = comment(rest) {
        return (Some(Kind::Comment), length);
    }
    if let Some(length) = literal(rest) {
        return (Some(Kind::Literal), length);
    }
    if let Some(name) = rest.strip_prefix('\'') {
        return (Some(Kind::Lifetime), 1 + word(name));
    }
    match word(rest) {
        0 => (Some(Kind::Mark), first.len_utf8()),
        length => (Some(Kind::Word), length),
    }
}

fn word(rest: &str) -> usize {
    let plain = |rest: &str| rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    match rest.strip_prefix("r#") {
        Some(raw) if plain(raw) > 0 => 2 + plain(raw),
        _ => plain(rest),
    }
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0_usize);
    loop {
        let here = rest.get(at..)?;
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            match here.chars().next() {
                Some(next) => at += next.len_utf8(),
                None => return Some(rest.len()),
            }
        }
    }
}

fn literal(rest: &str) -> Option<usize> {
    ["br", "cr", "r"]
        .iter()
        .find_map(|prefix| raw_string(rest, prefix))
        .or_else(|| ["b\"", "c\"", "\""].iter().find_map(|prefix| string(rest, prefix)))
        .or_else(|| ["b'", "'"].iter().find_map(|prefix| character(rest, prefix)))
}

fn raw_string(rest: &str, prefix: &str) -> Option<usize> {
    let after = rest.strip_prefix(prefix)?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after.trim_start_matches('#').strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(prefix.len() + hashes + 1 + length)
}

fn string(rest: &str, prefix: &str) -> Option<usize> {
    let body = rest.strip_prefix(prefix)?;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

fn character(rest: &str, prefix: &str) -> Option<usize> {
    let body = rest.strip_prefix(prefix)?;
    let mut chars = body.chars();
    let first = chars.next()?;
    if first == '\\' {
        let escaped = chars.next()?.len_utf8() + 1;
        let end = body.get(escaped..)?.find('\'')?;
        return Some(prefix.len() + escaped + end + 1);
    }
    (first != '\'' && chars.next() == Some('\'')).then(|| prefix.len() + first.len_utf8() + 1)
}
