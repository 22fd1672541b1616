//! The log: lines for people, or JSON for machines, each with whose doing it tells of.
//!
//! It guarantees one line an event, and that a line written while a request or a connection is served names it, without a span that
//! every request would pay for. Nothing that is told begins a line of its own, as a driver's or a client's words may: control characters
//! are escaped, in text all of them, so that none moves a terminal's cursor either; in JSON those that JSON has escaped. What may be told
//! is for those to see to who tell: no url, password or header is ever a field.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::origin::Origin;

/// What is told where nothing else is asked for: warnings, and the server's own news.
pub const FILTER: &str = "warn,forebay_server=info";

/// The form of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line: `timestamp` (RFC 3339), `level`, `target`, `message`, the event's fields, and `request` or
    /// `connection`.
    Json,
}

/// The log could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error("the log's filter `{filter}` cannot be read: {source}; write it as in `{FILTER}`")]
    Filter {
        /// As it was written.
        filter: String,
        /// What is wrong.
        source: tracing_subscriber::filter::ParseError,
    },
}

/// A log of lines of `form` to `writer`, of what passes `filter` (as [`FILTER`]); in colours where `is_coloured`, if it is text.
///
/// # Errors
/// [`LogError::Filter`] where the filter is none.
pub fn to<W>(form: Form, filter: &str, is_coloured: bool, writer: W) -> Result<Dispatch, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let parsed = EnvFilter::try_new(filter);
    let filter = parsed.map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_coloured).with_writer(writer);
    Ok(match form {
        Form::Text => lines.fmt_fields(TextFields).into(),
        Form::Json => lines
            .fmt_fields(JsonFields::new())
            .event_format(Named(tracing_subscriber::fmt::format().json().flatten_event(true)))
            .into(),
    })
}

/// Makes `log` that of the whole process. The first one stays: a second in one process is a test's doing and harmless.
pub fn install(log: Dispatch) {
    let _ = tracing::dispatcher::set_global_default(log);
}

/// The fields of a line of text, and behind them whose doing it is.
struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = Text { writer, written: Ok(()), is_first: true };
        fields.record(&mut text);
        text.written?;
        match Origin::current() {
            Some(origin) => write!(text.writer, " {}={origin}", origin.kind()),
            None => Ok(()),
        }
    }
}

/// Fields as they are written one after the other, the message first.
struct Text<'w> {
    writer: Writer<'w>,
    written: fmt::Result,
    is_first: bool,
}

impl Text<'_> {
    fn write(&mut self, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        match (field.name(), self.writer.has_ansi_escapes()) {
            ("message", _) => {}
            (name, true) => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
            (name, false) => write!(self.writer, "{name}=")?,
        }
        write!(Escaped(&mut self.writer), "{value:?}")
    }
}

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.written.is_ok() {
            self.written = self.write(field, value);
        }
    }
}

/// Writes what is given to it with its control characters escaped.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.chars().next_back().filter(|last| last.is_control()) {
                Some(control) => {
                    self.0.write_str(part.strip_suffix(control).unwrap_or_default())?;
                    write!(self.0, "{}", control.escape_default())?;
                }
                None => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// A line of JSON, which begins with whose doing it is.
struct Named(Format<Json>);

impl<S, N> FormatEvent<S, N> for Named
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(origin) = Origin::current() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            // An id has no letter that JSON would escape.
            Some(rest) => write!(writer, "{{\"{}\":\"{origin}\",{rest}", origin.kind()),
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use forebay::rt::Mutex;

    use super::*;

    /// What was written to a log.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged without an origin, for a request, and for a connection.
    async fn logged(form: Form) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = to(form, "info", false, move || writer.clone()).unwrap();
        let _here = tracing::dispatcher::set_default(&log);
        tracing::info!(count = 1, "nobody's");
        Origin::Request("r-1".into()).serve(async { tracing::warn!(why = "a \"b\"", "told") }).await;
        Origin::Connection(7).serve(async { tracing::info!("told") }).await;
        let text = lines.text();
        text.lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_line_of_text_ends_with_whose_doing_it_is() {
        let lines = logged(Form::Text).await;
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].ends_with("nobody's count=1"), "{lines:?}");
        assert!(lines[1].ends_with("told why=\"a \\\"b\\\"\" request=r-1"), "{lines:?}");
        assert!(lines[2].ends_with("told connection=7"), "{lines:?}");
    }

    /// A database may have been told by whoever writes to it what to say.
    #[test]
    fn what_others_have_said_begins_no_line_of_its_own() {
        let said = "no\n2026-01-01 WARN it is all well\r\u{1b}[2J\u{9b}1m\u{7f}\0 f\u{fc}r";
        for is_coloured in [false, true] {
            let lines = Lines::default();
            let writer = lines.clone();
            let log = to(Form::Text, "info", is_coloured, move || writer.clone()).unwrap();
            let _here = tracing::dispatcher::set_default(&log);
            let error = std::io::Error::other(said);
            tracing::warn!(%error, cause = ?error, text = said, by = &error as &dyn std::error::Error, "told: {said}");
            let text = lines.text();
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            let escaped = r"no\n2026-01-01 WARN it is all well\r\u{1b}[2J\u{9b}1m\u{7f}\u{0} f\u{fc}r";
            let escaped = escaped.replace(r"\u{fc}", "\u{fc}");
            assert!(text.contains(&format!("told: {escaped} ")), "{text:?}");
            let own = |control: char| control == '\n' || is_coloured && control == '\u{1b}';
            assert!(text.chars().all(|each| !each.is_control() || own(each)), "{text:?}");
            assert_eq!(text.contains("\u{1b}["), is_coloured);
            assert!(!text.contains("\u{1b}[2J"), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_line_of_json_is_one_object() {
        let lines = logged(Form::Json).await;
        let lines: Vec<serde_json::Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[0]["message"], &lines[0]["count"]), (&"nobody's".into(), &1.into()));
        assert!(lines[0].get("request").is_none());
        assert_eq!((&lines[1]["request"], &lines[1]["why"]), (&"r-1".into(), &"a \"b\"".into()));
        assert_eq!((&lines[1]["level"], &lines[2]["connection"]), (&"WARN".into(), &"7".into()));
    }

    #[test]
    fn a_filter_that_is_none_is_told() {
        let error = to(Form::Text, "forebay=loud=x", false, std::io::sink).unwrap_err().to_string();
        assert!(error.contains("`forebay=loud=x`") && error.contains(FILTER), "{error}");
    }
}
