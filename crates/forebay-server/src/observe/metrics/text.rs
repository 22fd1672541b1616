//! The text in which metrics are told: Prometheus' exposition format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), or OpenMetrics 1.0.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>) where that is asked for.
//!
//! It guarantees that label values are escaped, and that no number goes through a float: seconds are written from whole parts of
//! one. What is told is for the table beside it to say.

use std::fmt::{self, Write as _};

use forebay::observe::Distribution;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Prometheus' own.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

impl Form {
    /// The form that `accept`, a request's header, asks for.
    pub(crate) fn asked(accept: &str) -> Self {
        let open = accept.split(',').any(|one| one.trim().starts_with("application/openmetrics-text"));
        if open { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its `Content-Type`.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, from the start of the process on.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A distribution, as counts of what is no greater than each of some bounds.
    Histogram,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A number as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// As it is.
    Whole(u64),
    /// Milliseconds, written as seconds.
    Ms(u64),
    /// Microseconds, written as seconds.
    Us(u64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Ms(ms) => write!(f, "{}.{:03}", ms / 1000, ms % 1000),
            Self::Us(us) => write!(f, "{}.{:06}", us / 1_000_000, us % 1_000_000),
        }
    }
}

/// How the numbers of a distribution are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Whole numbers, by bounds that are one less than a power of two: 1, 3, 7 … 1,023.
    Whole,
    /// Milliseconds, cut to whole ones: by powers of two from 1 ms to 65.536 s.
    Ms,
    /// Microseconds, cut to whole ones: by powers of two from 64 µs to 4.194304 s.
    Us,
}

impl Scale {
    /// The bounds, the least first: the greatest number that each takes in as it was recorded, and how the bound is written.
    ///
    /// What was cut to whole units and is at most `2ⁿ - 1` was less than `2ⁿ` before. The engine's buckets end at powers of two, so
    /// that each of them lies on one side of a bound.
    fn bounds(self) -> impl Iterator<Item = (u64, Number)> {
        let powers = match self {
            Self::Whole => 1..=10,
            Self::Ms => 0..=16,
            Self::Us => 6..=22,
        };
        powers.map(move |power: u32| {
            let end = 1_u64 << power;
            let written = match self {
                Self::Whole => Number::Whole(end - 1),
                Self::Ms => Number::Ms(end),
                Self::Us => Number::Us(end),
            };
            (end - 1, written)
        })
    }

    fn sum(self, sum: u64) -> Number {
        match self {
            Self::Whole => Number::Whole(sum),
            Self::Ms => Number::Ms(sum),
            Self::Us => Number::Us(sum),
        }
    }
}

/// One metric on its way into the text.
pub(crate) struct Family<'t> {
    text: &'t mut String,
    name: &'static str,
    labels: &'static [&'static str],
}

impl<'t> Family<'t> {
    /// Writes the head of the metric `name`.
    pub(crate) fn begin(
        text: &'t mut String,
        form: Form,
        (name, kind): (&'static str, Kind),
        labels: &'static [&'static str],
        meaning: &str,
    ) -> Self {
        let head = match (form, kind) {
            // There a counter's name is told without the ending that its samples have.
            (Form::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let meaning = meaning.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "# HELP {head} {meaning}\n# TYPE {head} {}", kind.as_str());
        Self { text, name, labels }
    }

    /// Writes one number of it, with the values of its labels in their order.
    pub(crate) fn sample(&mut self, labels: &[&str], number: Number) {
        self.line("", labels, None, number);
    }

    /// Writes one distribution of it.
    pub(crate) fn histogram(&mut self, labels: &[&str], told: &Distribution, scale: Scale) {
        let mut filled = told.filled().peekable();
        let mut below = 0_u64;
        for (most, bound) in scale.bounds() {
            while let Some(bucket) = filled.next_if(|bucket| bucket.most <= most) {
                below = below.saturating_add(bucket.count);
            }
            self.line("_bucket", labels, Some(Some(bound)), Number::Whole(below));
        }
        self.line("_bucket", labels, Some(None), Number::Whole(told.count()));
        self.line("_sum", labels, None, scale.sum(told.sum()));
        self.line("_count", labels, None, Number::Whole(told.count()));
    }

    /// `bound`: that of a bucket, of which the last has none.
    fn line(&mut self, ending: &str, labels: &[&str], bound: Option<Option<Number>>, number: Number) {
        let text = &mut *self.text;
        let _ = write!(text, "{}{ending}", self.name);
        let mut between = '{';
        for (name, value) in self.labels.iter().zip(labels) {
            let _ = write!(text, "{between}{name}=\"");
            escape(value, text);
            text.push('"');
            between = ',';
        }
        if let Some(bound) = bound {
            let _ = match bound {
                Some(bound) => write!(text, "{between}le=\"{bound}\""),
                None => write!(text, "{between}le=\"+Inf\""),
            };
            between = ',';
        }
        if between == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {number}");
    }
}

/// Writes a label's value so that it ends where it ends.
fn escape(value: &str, text: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay::observe::Histogram;

    use super::*;

    fn family(text: &mut String) -> Family<'_> {
        Family::begin(text, Form::Prometheus, ("m", Kind::Histogram), &["of"], "What it is\nand \\ more")
    }

    #[test]
    fn what_would_end_a_label_or_a_line_is_escaped() {
        let mut text = String::new();
        family(&mut text).sample(&["a\"b\\c\nd"], Number::Whole(1));
        let head = "# HELP m What it is\\nand \\\\ more\n# TYPE m histogram\n";
        assert_eq!(text, format!("{head}m{{of=\"a\\\"b\\\\c\\nd\"}} 1\n"));
    }

    #[test]
    fn seconds_are_exact() {
        assert_eq!(Number::Ms(1_002_003).to_string(), "1002.003");
        assert_eq!(Number::Us(5).to_string(), "0.000005");
        assert_eq!(Number::Us(u64::MAX).to_string(), "18446744073709.551615");
    }

    #[test]
    fn a_bound_takes_in_what_is_no_greater_and_nothing_else() {
        for scale in [Scale::Whole, Scale::Ms, Scale::Us] {
            for (most, bound) in scale.bounds() {
                let histogram = Histogram::default();
                [0, most, most + 1, u64::MAX].into_iter().for_each(|number| histogram.record(number));
                let mut text = String::new();
                family(&mut text).histogram(&["x"], &histogram.snapshot(), scale);
                let line = format!("m_bucket{{of=\"x\",le=\"{bound}\"}} 2\n");
                assert!(text.contains(&line), "{line} in\n{text}");
                assert!(
                    text.contains("m_bucket{of=\"x\",le=\"+Inf\"} 4\n")
                        && text.ends_with("_count{of=\"x\"} 4\n")
                );
            }
        }
    }

    #[test]
    fn the_form_is_the_one_asked_for() {
        let asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";
        assert_eq!(Form::asked(asked), Form::OpenMetrics);
        assert_eq!(Form::asked("*/*"), Form::Prometheus);
    }
}
