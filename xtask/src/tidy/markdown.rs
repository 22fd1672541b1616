//! Markdown as far as the rules need it: prose, fenced code, links and headings.
//!
//! It reads CommonMark's usual forms. Indented code is read as prose: we write fences.

use std::collections::BTreeSet;

/// A page taken apart.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Lines outside fences with their numbers from 1; code spans are blanked.
    pub prose: Vec<(usize, String)>,
    /// Fenced code.
    pub fences: Vec<Fence>,
    /// The anchors that links may name.
    pub anchors: BTreeSet<String>,
}

/// Fenced code.
#[derive(Debug)]
pub(super) struct Fence {
    /// The line that opens it, from 1.
    pub line: usize,
    /// What stands behind the opening fence.
    pub info: String,
}

/// A link and the line it stands on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The line, from 1.
    pub line: usize,
    /// Where it points.
    pub target: String,
}

impl Page {
    /// Takes `text` apart.
    #[must_use]
    pub(super) fn new(text: &str) -> Self {
        Self::of_lines(text.lines().enumerate().map(|(at, line)| (at + 1, line)))
    }

    /// Takes numbered lines apart.
    pub(super) fn of_lines<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let mut page = Self::default();
        let mut fence: Option<String> = None;
        for (number, line) in lines {
            let trimmed = line.trim_start().trim_start_matches("> ");
            let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'));
            let ticks: String = trimmed.chars().take_while(|c| Some(*c) == mark).collect();
            match &fence {
                Some(open) if ticks.starts_with(open.as_str()) && trimmed.trim_end() == ticks => fence = None,
                Some(_) => {}
                // What looks like a fence and holds further ticks is a code span.
                None if ticks.len() >= 3 && !trimmed.trim_start_matches('`').contains('`') => {
                    let info = trimmed.strip_prefix(ticks.as_str()).unwrap_or("").trim().to_owned();
                    page.fences.push(Fence { line: number, info });
                    fence = Some(ticks);
                }
                None => page.take_prose(number, line),
            }
        }
        page
    }

    fn take_prose(&mut self, number: usize, line: &str) {
        if let Some(heading) = line.strip_prefix('#') {
            let slug = slug(heading.trim_start_matches('#'));
            let numbered = (1..).map(|n| format!("{slug}-{n}"));
            let free =
                std::iter::once(slug.clone()).chain(numbered).find(|name| !self.anchors.contains(name));
            self.anchors.extend(free);
        }
        for attribute in ["id=\"", "name=\""] {
            let named = line.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
            self.anchors.extend(named.map(str::to_owned));
        }
        self.prose.push((number, without_code_spans(line)));
    }

    /// The links of its prose.
    #[must_use]
    pub(super) fn links(&self) -> Vec<Link> {
        let mut found = Vec::new();
        for (line, text) in &self.prose {
            let inline = text.split("](").skip(1).map(target_of);
            let defined = text.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
            let defined = defined.and_then(|(_, rest)| rest.split_whitespace().next()).map(str::to_owned);
            let targets = inline.chain(defined).filter(|target| !target.is_empty());
            found.extend(targets.map(|target| Link { line: *line, target }));
        }
        found
    }
}

/// The target at the head of `rest`, up to its closing bracket, without title and angle brackets.
fn target_of(rest: &str) -> String {
    let mut depth = 0_usize;
    let end = rest.char_indices().find(|(_, c)| match c {
        '(' => {
            depth += 1;
            false
        }
        ')' if depth == 0 => true,
        ')' => {
            depth -= 1;
            false
        }
        _ => false,
    });
    let inner = end.and_then(|(at, _)| rest.get(..at)).unwrap_or(rest);
    inner.split_whitespace().next().unwrap_or("").trim_matches(['<', '>']).to_owned()
}

/// The anchor that code hosts give a heading.
fn slug(heading: &str) -> String {
    let mut text = String::new();
    let mut in_target = false;
    let mut last = ' ';
    for c in heading.trim().chars() {
        match c {
            '(' if last == ']' => in_target = true,
            ')' if in_target => in_target = false,
            _ if in_target => {}
            ' ' => text.push('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => text.extend(c.to_lowercase()),
            _ => {}
        }
        last = c;
    }
    text
}

/// `line` with the inside of its code spans turned to spaces.
fn without_code_spans(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, from)) = rest.find('`').and_then(|at| rest.split_at_checked(at)) {
        let ticks: String = from.chars().take_while(|c| *c == '`').collect();
        let body = from.strip_prefix(ticks.as_str()).unwrap_or("");
        out.push_str(before);
        out.push_str(&ticks);
        let Some((span, after)) = body.split_once(ticks.as_str()) else {
            rest = body;
            continue;
        };
        out.extend(span.chars().map(|_| ' '));
        out.push_str(&ticks);
        rest = after;
    }
    out.push_str(rest);
    out
}
