//! Key patterns: how a key's text maps to named parameters and back.
//!
//! A pattern is literal text with parameters in braces: `price:{symbol}:{currency}`, `order:{id:integer}`. Three
//! guarantees hold for every pattern that parses:
//!
//! - **One reading.** A key matches in one way or not at all: a parameter is not empty and ends at the first occurrence of
//!   the literal that follows it; the last parameter, when nothing follows it, runs to the end.
//! - **Back and forth.** [`Pattern::render`] gives a key that [`Pattern::matches`] reads as the same parameters, or
//!   refuses.
//! - **Overlap is decided, not guessed**: [`Pattern::overlap`], in `overlap.rs`.
//!
//! Whether a parameter's text is canonical for its type ([`ParamKind::canonical`]) is no part of matching: what follows
//! from text that is not is decided by the engine (absent, without a query). Which patterns make up a keyspace is
//! decided by the configuration.

use std::fmt;

use smallvec::SmallVec;

use crate::value::{self, Key, KeyBuf, TakeParts};

/// Longest pattern, in bytes; keys have the same limit on the front ends that promise one.
pub const MAX_PATTERN_BYTES: usize = 512;

/// The parameters of one key, in the pattern's order; up to four need no allocation.
pub type Params<'k> = SmallVec<[&'k [u8]; 4]>;

/// What the text of a parameter must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ParamKind {
    /// Any UTF-8 text.
    #[default]
    Text,
    /// A decimal integer of 64 bits: an optional `-`, no leading zeros, no `-0`.
    Integer,
    /// A UUID in lower case with hyphens (RFC 9562 §4).
    Uuid,
}

impl ParamKind {
    /// The word for it in a pattern.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Uuid => "uuid",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Text, Self::Integer, Self::Uuid].into_iter().find(|kind| kind.name() == name)
    }

    /// The parameter that `text` is; `None` where it is not of this type. That it is [canonical](Self::canonical) is not looked at.
    #[must_use]
    pub fn param(self, text: &str) -> Option<value::Param> {
        match self {
            Self::Integer => text.parse().ok().map(value::Param::Integer),
            Self::Text | Self::Uuid => Some(value::Param::Text(text.to_owned())),
        }
    }

    /// Whether `text` is the one way to write its value, so that one value never has two keys.
    #[must_use]
    pub fn canonical(&self, text: &[u8]) -> bool {
        match self {
            Self::Text => std::str::from_utf8(text).is_ok(),
            Self::Integer => canonical_integer(text),
            Self::Uuid => canonical_uuid(text),
        }
    }
}

fn canonical_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let zero_ok = digits.first() != Some(&b'0') || text == b"0";
    let is_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    zero_ok && is_digits && std::str::from_utf8(text).is_ok_and(|text| text.parse::<i64>().is_ok())
}

fn canonical_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// A parsed key pattern. `Display` and `Debug` show its text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Box<str>,
    /// The literal before the first parameter: the whole pattern when there is none.
    pub(super) head: Box<[u8]>,
    pub(super) params: Box<[Param]>,
    is_any: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Param {
    name: Box<str>,
    kind: ParamKind,
    /// The literal that ends it. Only the last parameter may have an empty one.
    pub(super) then: Box<[u8]>,
}

/// Why a pattern could not be parsed, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct PatternError {
    /// What is wrong.
    pub fault: PatternFault,
    /// Where it begins, in bytes from the start of the pattern.
    pub offset: usize,
    /// How many bytes it covers.
    pub len: usize,
}

impl PatternError {
    /// What to write instead.
    #[must_use]
    pub fn mend(&self) -> String {
        self.fault.mend()
    }
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// There is no text.
    #[error("a key pattern must not be empty")]
    Empty,
    /// More than [`MAX_PATTERN_BYTES`].
    #[error("a key pattern of {bytes} bytes is over the limit of {MAX_PATTERN_BYTES}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A `{` without its `}`.
    #[error("`{{` is never closed")]
    Unclosed,
    /// A `}` without its `{`.
    #[error("`}}` closes nothing")]
    Unopened,
    /// Not a name.
    #[error("`{name}` cannot name a parameter")]
    BadName {
        /// What stands in the braces.
        name: String,
    },
    /// No such type.
    #[error("there is no parameter type `{kind}`")]
    UnknownKind {
        /// What stands after the colon.
        kind: String,
    },
    /// A name used before.
    #[error("the parameter `{name}` is named twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// No literal between two parameters, so that nothing says where the first one ends.
    #[error("nothing stands between `{{{left}}}` and `{{{right}}}` to tell them apart")]
    Adjacent {
        /// The first parameter.
        left: String,
        /// The one right after it.
        right: String,
    },
}

impl PatternFault {
    fn mend(&self) -> String {
        match self {
            Self::Empty => {
                "write the text of the key with its parameters in braces, like `stock:{code}`".into()
            }
            Self::TooLong { .. } => format!("shorten it to {MAX_PATTERN_BYTES} bytes or fewer"),
            Self::Unclosed => "close the parameter with `}`".into(),
            Self::Unopened => "open the parameter with `{`, or leave the `}` out".into(),
            Self::BadName { .. } => {
                "a name is a letter or `_`, then letters, digits and `_`, like `{code}` or `{id:integer}`"
                    .into()
            }
            Self::UnknownKind { .. } => {
                "the types are `text`, `integer` and `uuid`; without one it is text".into()
            }
            Self::Duplicate { .. } => "give each parameter a name of its own".into(),
            Self::Adjacent { left, right } => {
                format!("put a literal between them, like `{{{left}}}:{{{right}}}`")
            }
        }
    }
}

/// A key being written, parameter by parameter.
struct Rendering<'a> {
    params: std::slice::Iter<'a, Param>,
    out: &'a mut KeyBuf,
    given: usize,
    fault: Option<RenderError>,
}

impl TakeParts for Rendering<'_> {
    fn take(&mut self, value: &[u8]) {
        self.given += 1;
        let Some(param) = self.params.next() else { return };
        let value_at = self.out.len();
        self.out.extend_from_slice(value);
        if value.is_empty() {
            self.fault.get_or_insert(RenderError::Empty { name: param.name.to_string() });
        }
        if param.then.is_empty() {
            return;
        }
        self.out.extend_from_slice(&param.then);
        // The literal must not begin earlier, not even partly inside the value: `a` + `aa` reads as `` + `aa` + `a`.
        let ends_at = self.out.get(value_at..).and_then(|written| find(written, &param.then));
        if ends_at != Some(value.len()) {
            let literal = String::from_utf8_lossy(&param.then).into_owned();
            self.fault.get_or_insert(RenderError::Ambiguous { name: param.name.to_string(), literal });
        }
    }
}

/// A key of the pattern of every key being written.
struct Whole<'a> {
    out: &'a mut KeyBuf,
    given: usize,
}

impl TakeParts for Whole<'_> {
    fn take(&mut self, value: &[u8]) {
        self.given += 1;
        self.out.extend_from_slice(value);
    }
}

/// Why parameters cannot be written as a key of the pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Not as many as the pattern has.
    #[error("the pattern has {wanted} parameters, {given} were given")]
    Count {
        /// How many the pattern has.
        wanted: usize,
        /// How many there were.
        given: usize,
    },
    /// A parameter without text.
    #[error("the parameter `{name}` must not be empty")]
    Empty {
        /// Its name.
        name: String,
    },
    /// A parameter in which the literal that should end it comes too soon, so that the key would be read differently.
    #[error("the parameter `{name}` must not contain `{literal}`, which ends it")]
    Ambiguous {
        /// Its name.
        name: String,
        /// The literal that follows it.
        literal: String,
    },
}

impl Pattern {
    /// Parses the text of a pattern.
    ///
    /// # Errors
    /// With the first fault and its place: see [`PatternFault`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let fault = |fault, offset, len| Err(PatternError { fault, offset, len });
        if text.is_empty() {
            return fault(PatternFault::Empty, 0, 0);
        }
        if text.len() > MAX_PATTERN_BYTES {
            return fault(PatternFault::TooLong { bytes: text.len() }, 0, text.len());
        }
        let (head, mut offset) = literal(text, 0)?;
        let mut params: Vec<Param> = Vec::new();
        while let Some(after_brace) = text.get(offset..).and_then(|rest| rest.strip_prefix('{')) {
            let Some((inside, _)) = after_brace.split_once('}') else {
                return fault(PatternFault::Unclosed, offset, 1);
            };
            let (name, kind) = parameter(inside, offset + 1)?;
            let len = inside.len() + 2;
            if params.iter().any(|param| *param.name == *name) {
                return fault(PatternFault::Duplicate { name: name.into() }, offset, len);
            }
            if let Some(left) = params.last().filter(|param| param.then.is_empty()) {
                let left = left.name.to_string();
                return fault(PatternFault::Adjacent { left, right: name.into() }, offset, len);
            }
            let (then, next) = literal(text, offset + len)?;
            params.push(Param { name: name.into(), kind, then: then.as_bytes().into() });
            offset = next;
        }
        Ok(Self { text: text.into(), head: head.as_bytes().into(), params: params.into(), is_any: false })
    }

    /// The pattern of every key, whatever its bytes, the empty key included: it has no parameters, and its text is `{*}`, which
    /// [`parse`](Self::parse) refuses. A key is rendered from one part, the whole of it.
    #[must_use]
    pub fn any() -> Self {
        Self { text: "{*}".into(), head: Box::default(), params: Box::default(), is_any: true }
    }

    /// Whether it is the pattern of every key.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.is_any
    }

    /// The parameters of `key`, or nothing where it does not match.
    #[must_use]
    pub fn matches<'k>(&self, key: &'k [u8]) -> Option<Params<'k>> {
        self.matches_tail(self.tail(key)?)
    }

    /// What of `key` follows the literal that every key of the pattern begins with; nothing where it does not begin so.
    ///
    /// The engine holds keys by their tails: the literal is the same for all.
    #[must_use]
    pub fn tail<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(&*self.head)
    }

    /// The key whose tail is `tail`.
    #[must_use]
    pub fn whole(&self, tail: &[u8]) -> Vec<u8> {
        [&*self.head, tail].concat()
    }

    /// The parameters of the key whose tail is `tail`, or nothing where it does not match.
    #[must_use]
    pub fn matches_tail<'k>(&self, tail: &'k [u8]) -> Option<Params<'k>> {
        let mut rest = tail;
        let mut params = Params::new();
        if self.is_any {
            return Some(params);
        }
        let mut open_end = false;
        for param in &self.params {
            let len = if param.then.is_empty() {
                open_end = true;
                rest.len()
            } else {
                find(rest, &param.then)?
            };
            let (value, tail) = rest.split_at_checked(len)?;
            if value.is_empty() {
                return None;
            }
            params.push(value);
            rest = tail.strip_prefix(&*param.then)?;
        }
        (open_end || rest.is_empty()).then_some(params)
    }

    /// Appends the key that these parameters make to `out`.
    ///
    /// # Errors
    /// When the key would not be read back as the same parameters; `out` is then as it was.
    pub fn render(&self, key: &(impl Key + ?Sized), out: &mut KeyBuf) -> Result<(), RenderError> {
        let start = out.len();
        out.extend_from_slice(&self.head);
        self.render_tail(key, out).inspect_err(|_| out.truncate(start))
    }

    /// Appends the tail of the key that these parameters make to `out`.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_tail(&self, key: &(impl Key + ?Sized), out: &mut KeyBuf) -> Result<(), RenderError> {
        let start = out.len();
        if self.is_any {
            let mut whole = Whole { out, given: 0 };
            key.give_parts(&mut whole);
            let given = whole.given;
            if given != 1 {
                out.truncate(start);
                return Err(RenderError::Count { wanted: 1, given });
            }
            return Ok(());
        }
        let mut rendering = Rendering { params: self.params.iter(), out, given: 0, fault: None };
        key.give_parts(&mut rendering);
        let fault = match rendering.fault {
            None if rendering.given == self.params.len() => return Ok(()),
            Some(fault) if rendering.given <= self.params.len() => fault,
            _ => RenderError::Count { wanted: self.params.len(), given: rendering.given },
        };
        out.truncate(start);
        Err(fault)
    }

    /// The text with `values` in the parameters' places, which need not read back as them: for names that are only compared.
    #[must_use]
    pub fn fill(&self, values: &[&[u8]]) -> Vec<u8> {
        let parts = self.params.iter().zip(values).flat_map(|(param, value)| [*value, &*param.then]);
        std::iter::once(&*self.head).chain(parts).collect::<Vec<_>>().concat()
    }

    /// The parameters' names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.params.iter().map(|param| &*param.name)
    }

    /// The parameters' types, in order.
    pub fn kinds(&self) -> impl ExactSizeIterator<Item = ParamKind> {
        self.params.iter().map(|param| param.kind)
    }

    /// The literal that every matching key begins with; the whole key where there is no parameter.
    #[must_use]
    pub fn literal_prefix(&self) -> &[u8] {
        &self.head
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.text)
    }
}

/// The literal that begins at `offset`, and where it ends.
fn literal(text: &str, offset: usize) -> Result<(&str, usize), PatternError> {
    let rest = text.get(offset..).unwrap_or_default();
    let literal = rest.split('{').next().unwrap_or_default();
    match literal.find('}') {
        Some(at) => Err(PatternError { fault: PatternFault::Unopened, offset: offset + at, len: 1 }),
        None => Ok((literal, offset + literal.len())),
    }
}

/// What stands in the braces; `offset` is where it begins.
fn parameter(inside: &str, offset: usize) -> Result<(&str, ParamKind), PatternError> {
    let (name, kind) = inside.split_once(':').unwrap_or((inside, ParamKind::Text.name()));
    let first_ok = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !first_ok || !name.chars().all(|each| each.is_ascii_alphanumeric() || each == '_') {
        let fault = PatternFault::BadName { name: name.into() };
        return Err(PatternError { fault, offset, len: name.len() });
    }
    let Some(kind) = ParamKind::from_name(kind) else {
        let fault = PatternFault::UnknownKind { kind: kind.into() };
        return Err(PatternError { fault, offset: offset + name.len() + 1, len: kind.len() });
    };
    Ok((name, kind))
}

/// Where `needle` first occurs in `text`.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, others) = needle.split_first()?;
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|byte| byte == first)?;
        if text.get(at + 1..)?.starts_with(others) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn read<'k>(text: &str, key: &'k str) -> Option<Vec<&'k str>> {
        let params = pattern(text).matches(key.as_bytes())?;
        Some(params.into_iter().map(|param| std::str::from_utf8(param).unwrap()).collect())
    }

    #[test]
    fn a_key_is_read_in_one_way() {
        assert_eq!(read("stock:{code}", "stock:600000"), Some(vec!["600000"]));
        assert_eq!(read("stock:{code}", "stock:a:b"), Some(vec!["a:b"]), "the last one runs to the end");
        assert_eq!(
            read("price:{a}:{b}", "price:x:y:z"),
            Some(vec!["x", "y:z"]),
            "ends at the first occurrence"
        );
        assert_eq!(read("h:{a}:24h", "h:x:24h"), Some(vec!["x"]));
        assert_eq!(read("h:{a}:24h", "h:x:24h:24h"), None, "a parameter never contains its literal");
        assert_eq!(read("h:{a}:24h", "h::24h"), None, "nor is it empty");
        assert_eq!(read("{a}aa", "aaa"), None, "the first occurrence is at its start");
        assert_eq!(read("stock:{code}", "stock:"), None);
        assert_eq!(read("stock:{code}", "Stock:1"), None);
        assert_eq!(read("trending", "trending"), Some(vec![]));
        assert_eq!(read("trending", "trending:"), None);
        assert_eq!(read("trending", "trendin"), None);
        assert_eq!(read("{all}", "x"), Some(vec!["x"]));
    }

    #[test]
    fn what_was_declared_can_be_asked() {
        let pattern = pattern("price:{symbol}:{id:integer}-{u:uuid}");
        assert_eq!(pattern.names().collect::<Vec<_>>(), ["symbol", "id", "u"]);
        assert_eq!(
            pattern.kinds().collect::<Vec<_>>(),
            [ParamKind::Text, ParamKind::Integer, ParamKind::Uuid]
        );
        assert_eq!(pattern.literal_prefix(), b"price:");
        assert_eq!(pattern.to_string(), "price:{symbol}:{id:integer}-{u:uuid}");
    }

    #[test]
    fn faults_point_at_their_place() {
        let too_long = "x".repeat(513);
        for (text, fault, offset, len) in [
            ("", PatternFault::Empty, 0, 0),
            (too_long.as_str(), PatternFault::TooLong { bytes: 513 }, 0, 513),
            ("a:{b", PatternFault::Unclosed, 2, 1),
            ("a:b}", PatternFault::Unopened, 3, 1),
            ("a:{b}}", PatternFault::Unopened, 5, 1),
            ("a:{}", PatternFault::BadName { name: String::new() }, 3, 0),
            ("a:{1b}", PatternFault::BadName { name: "1b".into() }, 3, 2),
            ("a:{{b}", PatternFault::BadName { name: "{b".into() }, 3, 2),
            ("a:{b:int}", PatternFault::UnknownKind { kind: "int".into() }, 5, 3),
            ("a:{b}:{b}", PatternFault::Duplicate { name: "b".into() }, 6, 3),
            ("a:{b}{c}", PatternFault::Adjacent { left: "b".into(), right: "c".into() }, 5, 3),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err(), PatternError { fault, offset, len }, "{text}");
        }
        assert!(Pattern::parse(&"x".repeat(512)).is_ok());
    }

    #[test]
    fn one_value_has_one_text() {
        for good in ["0", "7", "-7", "9223372036854775807", "-9223372036854775808"] {
            assert!(ParamKind::Integer.canonical(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "007", "00", "-0", "+7", "7.0", " 7", "9223372036854775808", "٧", "7a"] {
            assert!(!ParamKind::Integer.canonical(bad.as_bytes()), "{bad}");
        }
        assert!(ParamKind::Uuid.canonical(b"018f4e3a-9c1d-7b2e-8f00-0123456789ab"));
        for bad in [
            "",
            "018F4E3A-9c1d-7b2e-8f00-0123456789ab",
            "018f4e3a9c1d7b2e8f000123456789ab",
            "018f4e3a-9c1d-7b2e-8f00-0123456789a",
            "018f4e3a-9c1d-7b2e-8f00-0123456789ag",
            "018f4e3a-9c1d-7b2e-8f00-0123456789abc",
        ] {
            assert!(!ParamKind::Uuid.canonical(bad.as_bytes()), "{bad}");
        }
        assert!(ParamKind::Text.canonical("ключ".as_bytes()));
        assert!(!ParamKind::Text.canonical(&[0xff]));
    }

    #[test]
    fn rendering_refuses_what_would_be_read_differently() {
        let mut out = SmallVec::new();
        let name = || "a".to_string();
        let refused = |text: &str, params: &[&[u8]], out: &mut SmallVec<[u8; 128]>| {
            pattern(text).render(params, out).unwrap_err()
        };
        out.extend_from_slice(b"kept");
        assert_eq!(refused("x:{a}", &[], &mut out), RenderError::Count { wanted: 1, given: 0 });
        assert_eq!(refused("x:{a}", &[b""], &mut out), RenderError::Empty { name: name() });
        let ambiguous = |literal: &str| RenderError::Ambiguous { name: name(), literal: literal.into() };
        assert_eq!(refused("x:{a}:{b}", &[b"1:2", b"3"], &mut out), ambiguous(":"));
        assert_eq!(
            refused("{a}aa", &[b"a"], &mut out),
            ambiguous("aa"),
            "the literal begins inside the value"
        );
        assert_eq!(&*out, b"kept");
        pattern("x:{a}:{b}").render(&[&b"1"[..], b"2:3"][..], &mut out).unwrap();
        assert_eq!(&*out, b"keptx:1:2:3");
    }

    #[test]
    fn overlaps_are_found_with_a_key_to_show() {
        for (left, right, key) in [
            ("a:{x}", "a:b:{y}", Some("a:b:0")),
            ("a:{x}", "b:{x}", None),
            ("a:{x}:c", "a:{x}:d", None),
            ("{x}", "trending", Some("trending")),
            ("a:{x}:{y}", "a:{z}", Some("a:0:0")),
            // `aba` cannot be a parameter's text before `ba`: it would end sooner.
            ("{x}ba", "ababa", None),
            ("{x}ba", "aba", Some("aba")),
            ("stock", "stocks", None),
            ("h:{a}:24h", "h:{a}:7d", None),
        ] {
            let found = pattern(left).overlap(&pattern(right)).map(|key| String::from_utf8(key).unwrap());
            let found = found.map(|key| key.replace(['x', 'y', 'z'], "0"));
            assert_eq!(found.as_deref(), key, "{left} {right}");
        }
    }

    /// Patterns and keys over so small an alphabet that they meet often.
    fn small_pattern() -> impl Strategy<Value = Pattern> {
        let literal = "[ab:]{0,3}";
        (literal, proptest::collection::vec(literal, 0..4)).prop_filter_map("a pattern", |(head, thens)| {
            let tail: String =
                thens.iter().enumerate().map(|(at, then)| format!("{{p{at}}}{then}")).collect();
            Pattern::parse(&format!("{head}{tail}")).ok()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn rendered_keys_are_read_back(
            pattern in small_pattern(),
            values in proptest::collection::vec("[abc:]{0,4}", 4),
        ) {
            let values: Vec<&[u8]> = values.iter().take(pattern.names().len()).map(|value| value.as_bytes()).collect();
            let mut key = SmallVec::new();
            match pattern.render(values.as_slice(), &mut key) {
                Ok(()) => {
                    let read = pattern.matches(&key);
                    prop_assert_eq!(read.as_deref(), Some(values.as_slice()), "{} {:?}", pattern, key);
                }
                Err(_) => prop_assert!(key.is_empty()),
            }
        }

        #[test]
        fn what_matches_renders_to_the_same_key(pattern in small_pattern(), key in "[abc:]{0,10}") {
            if let Some(params) = pattern.matches(key.as_bytes()) {
                let mut rendered = SmallVec::new();
                prop_assert_eq!(pattern.render(params.as_slice(), &mut rendered), Ok(()));
                prop_assert_eq!(&*rendered, key.as_bytes());
            }
        }

        #[test]
        fn overlap_agrees_with_trying_keys(
            left in small_pattern(),
            right in small_pattern(),
            keys in proptest::collection::vec("[abc:]{0,7}", 50),
        ) {
            let both = |key: &[u8]| left.matches(key).is_some() && right.matches(key).is_some();
            match left.overlap(&right) {
                Some(key) => prop_assert!(both(&key), "{} {} {:?}", left, right, key),
                None => {
                    for key in keys {
                        prop_assert!(!both(key.as_bytes()), "{} {} {:?}", left, right, key);
                    }
                }
            }
            prop_assert_eq!(left.overlap(&right).is_some(), right.overlap(&left).is_some());
        }
    }
}
