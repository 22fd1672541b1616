//! From TOML to typed values, option by option.
//!
//! The text is read as a tree that knows where everything stands, and walked along the table of options: unknown options
//! are named with a suggestion, values get their types and units, `${…}` is expanded. The walk goes on after an error, so
//! that a report has all of them; an option whose value was refused is kept as [`Value::Refused`], so that nobody says in
//! addition that it is missing. How options fit together is the concern of `checked`.

mod wrong;

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::ValueFault;
use super::options::{Kind, Limits, Opt, ROOT, Section, TextKind, one_of};
use super::report::{Findings, Span};
use super::secrets::{self, Environment, Text};
use super::units;
use wrong::{found, type_mend, wanted};

/// A table whose options have their types.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) section: &'static Section,
    /// Its path as it stands in the declaration: `namespace.price.loader`.
    path: String,
    entries: BTreeMap<String, Entry>,
    /// Where its name stands, for what is missing in it.
    pub(crate) name_span: Span,
}

/// An option that was given.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) key: Span,
    pub(crate) span: Span,
    /// Where the text of a string begins, if it stands in the declaration as it is.
    inner: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Flag(bool),
    Integer(u64),
    Duration(Duration),
    /// In bytes.
    Size(u64),
    Percent(u8),
    /// In millionths.
    Rate(u64),
    Choice(&'static str),
    Text(Text),
    Texts(Vec<Entry>),
    Table(Table),
    Map(BTreeMap<String, Entry>),
    Free(Settings),
    /// Was wrong, and has been reported.
    Refused,
}

/// The table `[app.NAME]`, as it stands but for its expanded `${…}`. `Debug` shows nothing of a table that holds a secret.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// The table.
    pub table: toml::Table,
    secret: bool,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.secret { formatter.write_str("***") } else { write!(formatter, "{:?}", self.table) }
    }
}

impl Entry {
    /// The place of a part of its text; all of it where escapes or `${…}` moved things.
    pub(crate) fn part(&self, within: std::ops::Range<usize>) -> Span {
        match self.inner {
            Some(start) => start + within.start..start + within.end,
            None => self.span.clone(),
        }
    }

    pub(crate) fn text(&self) -> Option<&Text> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }
}

macro_rules! getter {
    ($name:ident, $variant:ident, $type:ty) => {
        /// The value of the option, if it was given and is right.
        pub(crate) fn $name(&self, name: &str) -> Option<$type> {
            match self.get(name)?.value {
                Value::$variant(value) => Some(value),
                _ => None,
            }
        }
    };
}

impl Table {
    /// Where it is, in a sentence.
    pub(crate) fn place(&self) -> String {
        place(&self.path)
    }

    /// The option as given, right or not.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        debug_assert!(self.section.option(name).is_some(), "{name} is in the table of options");
        self.entries.get(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    getter!(flag, Flag, bool);
    getter!(integer, Integer, u64);
    getter!(duration, Duration, Duration);
    getter!(size, Size, u64);
    getter!(percent, Percent, u8);
    getter!(rate, Rate, u64);
    getter!(choice, Choice, &'static str);

    pub(crate) fn text(&self, name: &str) -> Option<&Text> {
        self.get(name)?.text()
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        match &self.get(name)?.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn map(&self, name: &str) -> impl Iterator<Item = (&String, &Entry)> {
        let map = match self.get(name).map(|entry| &entry.value) {
            Some(Value::Map(map)) => Some(map),
            _ => None,
        };
        map.into_iter().flatten()
    }

    /// The tables of a map, right ones only.
    pub(crate) fn tables(&self, name: &str) -> impl Iterator<Item = (&String, &Table)> {
        self.map(name).filter_map(|(name, entry)| match &entry.value {
            Value::Table(table) => Some((name, table)),
            _ => None,
        })
    }

    pub(crate) fn texts(&self, name: &str) -> &[Entry] {
        match self.get(name).map(|entry| &entry.value) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// Where the option's value stands; the table's name where it was not given.
    pub(crate) fn span(&self, name: &str) -> Span {
        self.get(name).map_or_else(|| self.name_span.clone(), |entry| entry.span.clone())
    }

    /// Where the option's name stands; the table's name where it was not given.
    pub(crate) fn key_span(&self, name: &str) -> Span {
        self.get(name).map_or_else(|| self.name_span.clone(), |entry| entry.key.clone())
    }
}

/// Reads a whole declaration. Nothing is given back for a text that is not TOML.
pub(crate) fn read(text: &str, environment: &dyn Environment, findings: &mut Findings) -> Option<Table> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        findings.add(span, ValueFault::Syntax { message: error.message().replace('\n', ", ") });
    }
    if !errors.is_empty() {
        return None;
    }
    let mut reader = Reader { text, environment, findings };
    Some(reader.table(document.get_ref(), &ROOT, 0..0, ""))
}

struct Reader<'r> {
    text: &'r str,
    environment: &'r dyn Environment,
    findings: &'r mut Findings,
}

impl Reader<'_> {
    fn table(&mut self, raw: &DeTable<'_>, section: &'static Section, name_span: Span, path: &str) -> Table {
        let mut entries = BTreeMap::new();
        for (key, value) in raw {
            let name: &str = key.get_ref();
            let Some(option) = section.option(name) else {
                let mend = suggestion(name, section);
                let fault = ValueFault::UnknownOption { name: name.into(), place: place(path), mend };
                self.findings.add(key.span(), fault);
                continue;
            };
            let entry = self.entry(path, option.name, &option.kind, key.span(), value);
            entries.insert(name.to_owned(), entry);
        }
        Table { section, path: path.to_owned(), entries, name_span }
    }

    /// `path`: of the table that it stands in.
    fn entry(
        &mut self,
        path: &str,
        name: &str,
        kind: &'static Kind,
        key: Span,
        raw: &Spanned<DeValue<'_>>,
    ) -> Entry {
        let span = raw.span();
        let inner = raw.get_ref().as_str().and_then(|value| {
            let shown = self.text.get(span.clone())?;
            (!value.is_empty()).then_some(())?;
            shown.find(value).map(|at| span.start + at)
        });
        let value = self.value(path, name, kind, &key, raw, inner).unwrap_or(Value::Refused);
        Entry { value, key, span, inner }
    }

    fn value(
        &mut self,
        path: &str,
        name: &str,
        kind: &'static Kind,
        key: &Span,
        raw: &Spanned<DeValue<'_>>,
        inner: Option<usize>,
    ) -> Option<Value> {
        match (kind, raw.get_ref()) {
            (Kind::Flag, DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
            (Kind::Integer { min, max }, DeValue::Integer(number)) => {
                let read = u64::from_str_radix(number.as_str(), number.radix()).ok();
                let value = read.filter(|value| (min..=max).contains(&value));
                self.in_range(name, raw, value, min, max).map(Value::Integer)
            }
            (
                Kind::Table(section) | Kind::NameOr(section) | Kind::DurationOr(section, _),
                DeValue::Table(table),
            ) => Some(Value::Table(self.table(table, section, key.clone(), &joined(path, name)))),
            (Kind::Map(of, kind), DeValue::Table(table)) => {
                Some(Value::Map(self.map(&joined(path, name), of, kind, table)))
            }
            (Kind::Warm, DeValue::Table(table)) => Some(Value::Map(self.warm(table))),
            (Kind::Texts(kind), DeValue::Array(items)) => {
                let texts =
                    items.iter().map(|item| self.entry(path, name, text_option(*kind), item.span(), item));
                Some(Value::Texts(texts.collect()))
            }
            (Kind::Free, DeValue::Table(table)) => {
                let mut secret = false;
                let table = self.free_table(table, &mut secret);
                Some(Value::Free(Settings { table, secret }))
            }
            (_, DeValue::String(text)) if kind.is_text() => self.written(name, kind, raw, text, inner),
            (_, other) => {
                let mend = type_mend(name, kind, other);
                let fault = ValueFault::WrongType {
                    name: name.into(),
                    wanted: wanted(kind),
                    found: found(other),
                    mend,
                };
                self.findings.add(raw.span(), fault);
                None
            }
        }
    }

    /// What is written as a string, whatever it means.
    fn written(
        &mut self,
        name: &str,
        kind: &'static Kind,
        raw: &Spanned<DeValue<'_>>,
        text: &str,
        inner: Option<usize>,
    ) -> Option<Value> {
        let text = self.expand(name, kind, raw, text, inner)?;
        let number = text.expose();
        let unit = |value: Result<Value, units::UnitFault>| value;
        let value = match kind {
            Kind::Text(_) | Kind::NameOr(_) if number.trim().is_empty() => {
                self.findings.add(raw.span(), ValueFault::EmptyText { name: name.into() });
                return None;
            }
            Kind::Text(_) | Kind::NameOr(_) | Kind::Durability => return Some(Value::Text(text)),
            Kind::Choice(choices) => {
                let choice = choices.iter().find(|choice| **choice == number).copied();
                if choice.is_none() {
                    let near = if text.is_secret() { None } else { nearest(number, choices.iter().copied()) };
                    let mend = near.map_or_else(
                        || format!("write {}", one_of(choices)),
                        |near| format!("write `{name} = \"{near}\"`"),
                    );
                    let fault = ValueFault::NotAChoice { name: name.into(), choices: one_of(choices), mend };
                    self.findings.add(raw.span(), fault);
                }
                return choice.map(Value::Choice);
            }
            Kind::Size { .. } => unit(units::size(number).map(Value::Size)),
            Kind::Percent => unit(units::percent(number).map(Value::Percent)),
            Kind::Rate { .. } => unit(units::rate(number).map(Value::Rate)),
            _ => unit(units::duration(number).map(Value::Duration)),
        };
        match (value, kind) {
            (
                Ok(Value::Duration(value)),
                Kind::Duration { min, max } | Kind::DurationOr(_, Limits(min, max)),
            ) => {
                if value.is_zero() && name == "ttl" {
                    self.findings.add(raw.span(), ValueFault::Zero { name: name.into() });
                    return None;
                }
                let shown = (units::show_duration(*min), units::show_duration(*max));
                let value = (min..=max).contains(&&value).then_some(value);
                self.in_range(name, raw, value, shown.0, shown.1).map(Value::Duration)
            }
            (Ok(Value::Size(value)), Kind::Size { min, max }) => {
                let shown = (units::show_size(*min), units::show_size(*max));
                let value = (min..=max).contains(&&value).then_some(value);
                self.in_range(name, raw, value, shown.0, shown.1).map(Value::Size)
            }
            (Ok(Value::Rate(value)), Kind::Rate { min, max }) => {
                let shown = (units::show_rate(*min), units::show_rate(*max));
                let value = (min..=max).contains(&&value).then_some(value);
                self.in_range(name, raw, value, shown.0, shown.1).map(Value::Rate)
            }
            (Ok(value), _) => Some(value),
            (Err(fault), _) => {
                self.findings.add(raw.span(), without_text(fault, &text));
                None
            }
        }
    }

    fn in_range<T>(
        &mut self,
        name: &str,
        raw: &Spanned<DeValue<'_>>,
        value: Option<T>,
        min: impl ToString,
        max: impl ToString,
    ) -> Option<T> {
        if value.is_none() {
            let (min, max) = (min.to_string(), max.to_string());
            self.findings.add(raw.span(), ValueFault::OutOfRange { name: name.into(), min, max });
        }
        value
    }

    fn expand(
        &mut self,
        name: &str,
        kind: &Kind,
        raw: &Spanned<DeValue<'_>>,
        text: &str,
        inner: Option<usize>,
    ) -> Option<Text> {
        if !text.contains("${") {
            return Some(Text::plain(text));
        }
        let fault = match kind {
            Kind::NameOr(_) => Some(ValueFault::SecretInName { what: "name" }),
            Kind::Text(what) if !what.may_hold_secrets() => {
                let what = if *what == TextKind::Pattern { "pattern" } else { "name" };
                Some(ValueFault::SecretInName { what })
            }
            Kind::Text(what) if what.may_be_sealed() => None,
            _ => secrets::is_sealed(text).then(|| ValueFault::SealedInTheOpen { name: name.into() }),
        };
        if let Some(fault) = fault {
            self.findings.add(raw.span(), fault);
            return None;
        }
        match secrets::expand(text, self.environment) {
            Ok(text) => Some(text),
            Err(errors) => {
                for (error, within) in errors {
                    let span = inner.map_or(raw.span(), |start| start + within.start..start + within.end);
                    self.findings.add(span, error);
                }
                None
            }
        }
    }

    fn map(
        &mut self,
        path: &str,
        of: &str,
        kind: &'static Kind,
        raw: &DeTable<'_>,
    ) -> BTreeMap<String, Entry> {
        let mut map = BTreeMap::new();
        for (key, value) in raw {
            let name: &str = key.get_ref();
            if of == "NAME" && !is_name(name) {
                self.findings.add(key.span(), ValueFault::BadName { what: "a table".into() });
            }
            let entry = self.entry(path, name, kind, key.span(), value);
            map.insert(name.to_owned(), entry);
        }
        map
    }

    fn warm(&mut self, raw: &DeTable<'_>) -> BTreeMap<String, Entry> {
        static HOTTEST: Kind = Kind::Integer { min: 1, max: 100_000 };
        static QUERY: Kind = Kind::Text(TextKind::Query);
        let mut map = BTreeMap::new();
        for (key, value) in raw {
            let name: &str = key.get_ref();
            // A parameter may be called so, too: its values are a list.
            let kind = match (name, value.get_ref()) {
                ("hottest", _) => &HOTTEST,
                ("query", DeValue::String(_)) => &QUERY,
                ("all", DeValue::Boolean(_)) => &Kind::Flag,
                _ => &TEXTS,
            };
            map.insert(name.to_owned(), self.entry("warm", name, kind, key.span(), value));
        }
        map
    }

    fn free_table(&mut self, raw: &DeTable<'_>, secret: &mut bool) -> toml::Table {
        raw.iter()
            .filter_map(|(key, value)| {
                Some((key.get_ref().to_string(), self.free(key.get_ref(), value, secret)?))
            })
            .collect()
    }

    fn free(&mut self, name: &str, raw: &Spanned<DeValue<'_>>, secret: &mut bool) -> Option<toml::Value> {
        Some(match raw.get_ref() {
            DeValue::String(text) => {
                let shown = self.text.get(raw.span()).and_then(|shown| shown.find(&**text));
                let inner = shown.map(|at| raw.span().start + at);
                let text = self.expand(name, &Kind::Text(TextKind::Any), raw, text, inner)?;
                *secret |= text.is_secret();
                toml::Value::String(text.expose().into())
            }
            DeValue::Integer(number) => {
                toml::Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
            }
            DeValue::Float(number) => toml::Value::Float(number.as_str().parse().ok()?),
            DeValue::Boolean(flag) => toml::Value::Boolean(*flag),
            DeValue::Datetime(time) => toml::Value::Datetime(*time),
            DeValue::Array(items) => {
                toml::Value::Array(items.iter().filter_map(|item| self.free(name, item, secret)).collect())
            }
            DeValue::Table(table) => toml::Value::Table(self.free_table(table, secret)),
        })
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Where a table is, in a sentence.
fn place(path: &str) -> String {
    if path.is_empty() { "at the top of the file".into() } else { format!("in `[{path}]`") }
}

static TEXTS: Kind = Kind::Texts(TextKind::Any);

/// The type of one item of a list of texts.
fn text_option(kind: TextKind) -> &'static Kind {
    match kind {
        TextKind::Name => &Kind::Text(TextKind::Name),
        TextKind::Pattern => &Kind::Text(TextKind::Pattern),
        _ => &Kind::Text(TextKind::Any),
    }
}

impl Kind {
    /// Whether it is written as a string.
    fn is_text(&self) -> bool {
        matches!(
            self,
            Self::Duration { .. }
                | Self::Size { .. }
                | Self::Percent
                | Self::Rate { .. }
                | Self::Choice(_)
                | Self::Text(_)
                | Self::Durability
                | Self::NameOr(_)
                | Self::DurationOr(..)
        )
    }
}

/// Whether this can name a table of the declaration's own.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |each: char| each.is_ascii_alphanumeric() || each == '_';
    name.len() <= 64
        && name.starts_with(plain)
        && name.chars().all(|each| plain(each) || each == '-' || each == '.')
}

/// Keeps a unit's fault from repeating a text that came from outside.
fn without_text(fault: units::UnitFault, text: &Text) -> units::UnitFault {
    if !text.is_secret() {
        return fault;
    }
    units::UnitFault::NotANumber {
        of: "a number with a unit",
        mend: "correct what `${…}` stands for; it is not shown here".into(),
    }
}

/// What to write instead of an option that does not exist here.
fn suggestion(name: &str, section: &'static Section) -> String {
    let names = || section.options.iter().map(|option: &Opt| option.name);
    if let Some(near) = nearest(name, names()).or_else(|| names().find(|option| initials(option) == name)) {
        return format!("did you mean `{near}`?");
    }
    let elsewhere = ROOT.all().into_iter().find(|other| other.option(name).is_some());
    if let Some(other) = elsewhere {
        return format!("`{name}` belongs {}", place(other.path));
    }
    let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
    format!("its options are {}", names.join(", "))
}

/// The name most like the given one, if it is much like it.
pub(crate) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_ascii_lowercase();
    let scored = names.map(|known| (strsim::jaro_winkler(&lower, &known.to_ascii_lowercase()), known));
    scored
        .filter(|(score, _)| *score >= 0.84)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

/// `swr` for `stale_while_revalidate`.
fn initials(name: &str) -> String {
    name.split('_').filter_map(|word| word.chars().next()).collect()
}
