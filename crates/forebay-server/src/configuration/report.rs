//! Errors as people read them: file, line and column, a caret under what is wrong, and what to write instead.
//!
//! A report holds every error that was found, in the order of the text. It shows the declaration's own lines, in which
//! secrets stand as `${…}`; a password that stands in a URL is covered.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::fault::Fault;
use super::secrets::mask_passwords;

/// A place in a declaration's text, in bytes.
pub(crate) type Span = Range<usize>;

/// A declaration's text and the name it is shown under.
#[derive(Debug)]
pub(crate) struct SourceText {
    pub(crate) file: String,
    /// Passwords in URLs are covered, byte for byte, so that every place in it is as in the original.
    pub(crate) shown: String,
}

impl SourceText {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let shown = mask_passwords(text, covered).into_owned();
        Self { file: file.into(), shown }
    }
}

/// Stars for a password, byte for byte; a `${…}` in it stays, as it is what the reader must find.
fn covered(password: &str) -> String {
    let mut shown = String::new();
    let mut rest = password;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, next)) = after.split_once('}') else { break };
        shown.push_str(&"*".repeat(before.len()));
        shown.push_str(&format!("${{{name}}}"));
        rest = next;
    }
    shown + &"*".repeat(rest.len())
}

/// One thing that is wrong with a declaration.
#[derive(Clone, Debug)]
pub struct Error {
    source: Arc<SourceText>,
    message: String,
    mend: String,
    label: String,
    span: Span,
    related: Vec<Related>,
}

/// Another place that an error concerns.
#[derive(Clone, Debug)]
struct Related {
    source: Arc<SourceText>,
    span: Span,
    label: String,
}

impl Error {
    pub(crate) fn new(source: &Arc<SourceText>, span: Span, fault: &dyn Fault) -> Self {
        Self {
            source: Arc::clone(source),
            message: fault.to_string(),
            mend: fault.mend(),
            label: fault.label(),
            span: within(&source.shown, span),
            related: Vec::new(),
        }
    }

    /// Adds another place that the error concerns.
    pub(crate) fn with(mut self, source: &Arc<SourceText>, span: Span, label: impl Into<String>) -> Self {
        let span = within(&source.shown, span);
        self.related.push(Related { source: Arc::clone(source), span, label: label.into() });
        self
    }

    /// The file's name as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.source.file
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead.
    #[must_use]
    pub fn mend(&self) -> &str {
        &self.mend
    }

    /// Where it is, in bytes from the start of the text; within the text and at the bounds of characters.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// The column, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        self.before().rsplit('\n').next().unwrap_or_default().chars().count() + 1
    }

    fn before(&self) -> &str {
        self.source.shown.get(..self.span.start).unwrap_or_default()
    }

    fn render(&self, renderer: &Renderer) -> String {
        let primary = AnnotationKind::Primary.span(self.span.clone()).label(self.label.as_str());
        let mut here = Snippet::source(&self.source.shown).path(&self.source.file).annotation(primary);
        let mut elsewhere = Vec::new();
        for related in &self.related {
            let context = AnnotationKind::Context.span(related.span.clone()).label(related.label.as_str());
            if Arc::ptr_eq(&related.source, &self.source) {
                here = here.annotation(context);
            } else {
                elsewhere.push(
                    Snippet::source(&related.source.shown).path(&related.source.file).annotation(context),
                );
            }
        }
        let group = Level::ERROR.primary_title(self.message.as_str()).element(here).elements(elsewhere);
        renderer.render(&[group.element(Level::HELP.message(self.mend.as_str()))])
    }
}

/// Moves a span to the nearest one that lies within the text, on characters' bounds, on one line if it begins on one.
fn within(text: &str, span: Span) -> Span {
    let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (start, end) = (floor(span.start), floor(span.end.max(span.start)));
    let line_end = text.get(start..end).and_then(|inside| inside.find('\n')).map_or(end, |at| start + at);
    start..line_end.max(start)
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Style {
    /// Without escape sequences.
    #[default]
    Plain,
    /// With the colours of a terminal.
    Colour,
}

/// How many errors a report shows.
const SHOWN_MAX: usize = 100;

/// Everything that is wrong with one or several declarations; never empty.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Report {
    errors: Vec<Error>,
}

impl Report {
    /// A report of these errors, in the order of files and text; nothing where there are none.
    #[must_use]
    pub fn of(mut errors: Vec<Error>) -> Option<Self> {
        errors.sort_by(|one, other| {
            (&one.source.file, one.span.start, one.span.end).cmp(&(
                &other.source.file,
                other.span.start,
                other.span.end,
            ))
        });
        (!errors.is_empty()).then_some(Self { errors })
    }

    /// Every error, in the order of the text.
    #[must_use]
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// The report as text, without an end of line at its end: the first hundred errors, and how many more there are. Each is shown
    /// with the lines around it, and a text that is no declaration at all can have one a byte.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Colour => Renderer::styled(),
        };
        let shown = self.errors.iter().take(SHOWN_MAX).map(|error| error.render(&renderer));
        let mut shown: Vec<String> = shown.collect();
        match self.errors.len().saturating_sub(SHOWN_MAX) {
            0 => {}
            1 => shown.push("and 1 more error: mend these first".to_owned()),
            more => shown.push(format!("and {more} more errors: mend these first")),
        }
        shown.join("\n\n")
    }
}

impl From<Error> for Report {
    fn from(error: Error) -> Self {
        Self { errors: vec![error] }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(Style::Plain))
    }
}

/// Gathers what is wrong with one declaration.
pub(crate) struct Findings {
    pub(crate) source: Arc<SourceText>,
    pub(crate) errors: Vec<Error>,
}

impl Findings {
    pub(crate) fn new(source: &Arc<SourceText>) -> Self {
        Self { source: Arc::clone(source), errors: Vec::new() }
    }

    pub(crate) fn add(&mut self, span: Span, fault: impl Fault) {
        self.errors.push(Error::new(&self.source, span, &fault));
    }

    /// Adds an error with a second place that it concerns.
    pub(crate) fn add_with(&mut self, span: Span, fault: impl Fault, other: Span, label: &str) {
        self.errors.push(Error::new(&self.source, span, &fault).with(&self.source, other, label));
    }
}
