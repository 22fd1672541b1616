//! Declared urls: an origin, and a path and query with parameters of the key in braces.
//!
//! Two guarantees hold for every url that is filled. A parameter stays within its place: every byte of it that could mean something in a
//! url is percent-encoded (RFC 3986 §2), so that it never adds a segment, a pair or a fragment. And no path leads elsewhere: a key of
//! which a path would get an empty or a dot segment, also after somebody on the way has decoded it, cannot be asked for.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use forebay::LoadKey;
use forebay::value::Param;
use hyper::http::uri::Authority;

/// The longest path and query that is asked for, in bytes.
const TARGET_MAX_BYTES: usize = 8_000;

/// `{keys}`: the place of several keys.
const KEYS: &str = "keys";

/// Where requests go: scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    /// Over TLS.
    pub(super) is_tls: bool,
    pub(super) authority: Authority,
    /// How it is named in errors and logs.
    pub(super) shown: Arc<str>,
    /// Its host is not to be told.
    pub(super) is_concealed: bool,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Origin {
    /// Reads `http://HOST` or `https://HOST:PORT`, with nothing behind it.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (origin, rest) = Self::split(text)?;
        match rest {
            "" | "/" => Ok(origin),
            _ => Err(TemplateFault::NotAnOrigin.over(text.len() - rest.len()..text.len())),
        }
    }

    /// Itself, named `shown` in errors and logs: nothing there tells its host.
    #[must_use]
    pub fn shown_as(mut self, shown: &str) -> Self {
        (self.shown, self.is_concealed) = (shown.into(), true);
        self
    }

    /// Where one is led from here, under a name that tells no more than this one's.
    pub(super) fn leads_to(&self, next: Self) -> Self {
        if !self.is_concealed {
            return next;
        }
        let shown =
            if self.is_same(&next) { Arc::clone(&self.shown) } else { "a place that is not shown".into() };
        Self { shown, is_concealed: true, ..next }
    }

    /// The origin that `text` begins with, and the rest.
    pub(super) fn split(text: &str) -> Result<(Self, &str), TemplateError> {
        let (scheme, is_tls) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(_), _) => ("https://", true),
            (_, Some(_)) => ("http://", false),
            _ => return Err(TemplateFault::Scheme.over(0..text.len())),
        };
        let rest = text.get(scheme.len()..).unwrap_or_default();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let at = scheme.len()..scheme.len() + host.len();
        if host.contains('{') {
            return Err(TemplateFault::ParameterInOrigin.over(at));
        }
        if host.contains('@') {
            return Err(TemplateFault::Login.over(at));
        }
        let authority: Authority = host.parse().map_err(|_| TemplateFault::Host.over(at.clone()))?;
        let has_port = host.rsplit(']').next().is_some_and(|after| after.contains(':'));
        if authority.host().is_empty() || (has_port && authority.port_u16().is_none()) {
            return Err(TemplateFault::Host.over(at));
        }
        let shown = format!("{scheme}{}", host.to_ascii_lowercase()).into();
        Ok((Self { is_tls, authority, shown, is_concealed: false }, rest))
    }

    /// How it is named in errors and logs.
    pub(crate) fn shown(&self) -> Arc<str> {
        Arc::clone(&self.shown)
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    pub(super) fn is_host_of(&self, other: &Self) -> bool {
        self.authority.host().eq_ignore_ascii_case(other.authority.host())
    }

    /// Whether both are the same: scheme, host and port (RFC 6454).
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_tls == other.is_tls && self.is_host_of(other) && self.port() == other.port()
    }
}

/// A declared url.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    pub(super) origin: Origin,
    path: Vec<Component>,
    query: Vec<Component>,
    many: Option<Many>,
}

impl fmt::Debug for UrlTemplate {
    /// Shows the origin alone: path and query may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/…", self.origin)
    }
}

/// A path segment, or a pair of the query.
type Component = Vec<Piece>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Encoded already.
    Text(String),
    /// The parameter at this place of the key.
    Param(usize),
    Keys,
}

/// How several keys go into one request, where `{keys}` stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Many {
    /// `?codes=a,b,c`: with commas between them.
    #[default]
    Joined,
    /// `?code=a&code=b`: their pair of the query is repeated.
    Repeated,
}

/// Why a url cannot be declared, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct TemplateError {
    /// What is wrong.
    pub fault: TemplateFault,
    /// Its place in the url, in bytes.
    pub at: Range<usize>,
}

/// What is wrong with a url.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// Neither `http://` nor `https://`.
    #[error("a url begins with `http://` or `https://`")]
    Scheme,
    /// No host, or no port where one is begun.
    #[error("this names no host")]
    Host,
    /// User and password.
    #[error("a url holds no login")]
    Login,
    /// A parameter in scheme, host or port.
    #[error("a parameter cannot choose the host")]
    ParameterInOrigin,
    /// More than an origin.
    #[error("another origin is a scheme and a host alone")]
    NotAnOrigin,
    /// `#…`.
    #[error("a url that is asked for has no fragment")]
    Fragment,
    /// An empty or dot segment.
    #[error("a path has no empty and no dot segments")]
    Segment,
    /// A character that has no place in a url.
    #[error("a url cannot hold `{found}`")]
    Character {
        /// It.
        found: char,
    },
    /// `{` without `}`, or the other way round.
    #[error("a brace stands alone")]
    Brace,
    /// A name that is none of the key's.
    #[error("the url uses `{{{name}}}`, which the key does not have")]
    UnknownParameter {
        /// The name.
        name: String,
    },
    /// A parameter left of `=`.
    #[error("a parameter cannot name a pair of the query")]
    ParameterInName,
    /// `{keys}` beside other parameters, or twice, or for a key of several parameters.
    #[error("`{{keys}}` stands once, alone, for keys of one parameter")]
    Keys,
    /// Repeated, and not in the query.
    #[error("only a pair of the query can be repeated")]
    Repeated,
}

impl TemplateFault {
    /// What to write instead.
    #[must_use]
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Scheme => "write `https://HOST/PATH/{PARAMETER}`",
            Self::Host => "write the host behind `//`, like `https://api.example.com/`",
            Self::Login => "send it as a header: `headers = { authorization = \"Basic ${LOGIN}\" }`",
            Self::ParameterInOrigin => "write the host out; parameters go into the path and the query",
            Self::NotAnOrigin => "write `https://HOST`: path and query are those of `url`",
            Self::Fragment => "leave `#` and what follows out, or write `%23`",
            Self::Segment => "leave `//`, `/./` and `/../` out",
            Self::Character { .. } => "percent-encode it, like `%20` for a space",
            Self::Brace => "write a parameter as `{name}`; a plain brace is `%7B` or `%7D`",
            Self::UnknownParameter { .. } => "use the parameters of the key",
            Self::ParameterInName => "write it as a value, like `?name={parameter}`",
            Self::Keys => "write `?codes={keys}`, or the parameters themselves for one request a key",
            Self::Repeated => "write the pair as `?name={keys}`, or leave `keys = \"repeated\"` out",
        }
    }

    fn over(self, at: Range<usize>) -> TemplateError {
        TemplateError { fault: self, at }
    }
}

impl UrlTemplate {
    /// Reads `text`, for keys with the parameters `params` in this order; `many` says how `{keys}` is written.
    ///
    /// # Errors
    /// When it is no url, or could be led elsewhere by a key.
    pub fn parse(text: &str, params: &[&str], many: Many) -> Result<Self, TemplateError> {
        let (origin, rest) = Origin::split(text)?;
        let start = text.len() - rest.len();
        if let Some(at) = rest.find('#') {
            return Err(TemplateFault::Fragment.over(start + at..text.len()));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let reading = Reading { params, has_many: !params.contains(&KEYS) };
        let mut template = Self { origin, path: Vec::new(), query: Vec::new(), many: None };
        let mut at = start + 1;
        let segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let last = segments.clone().count() - 1;
        for (number, segment) in segments.enumerate() {
            let span = at..at + segment.len();
            let is_end = segment.is_empty() && number == last;
            if !is_end && (segment.is_empty() || is_dots(decoded(segment.as_bytes()))) {
                return Err(TemplateFault::Segment.over(span));
            }
            template.path.push(reading.component(segment, at, is_path)?);
            at = span.end + 1;
        }
        let mut at = start + path.len() + 1;
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            if name.contains('{') {
                return Err(TemplateFault::ParameterInName.over(at..at + name.len()));
            }
            template.query.push(reading.component(pair, at, |byte| is_path(byte) || b"/?".contains(&byte))?);
            at += pair.len() + 1;
        }
        template.check_many(params, many, start..text.len())?;
        Ok(template)
    }

    fn check_many(&mut self, params: &[&str], many: Many, at: Range<usize>) -> Result<(), TemplateError> {
        let pieces = |components: &[Component], wanted: fn(&Piece) -> bool| {
            components.iter().flatten().filter(|piece| wanted(piece)).count()
        };
        let is_keys: fn(&Piece) -> bool = |piece| matches!(piece, Piece::Keys);
        let (in_path, in_query) = (pieces(&self.path, is_keys), pieces(&self.query, is_keys));
        if in_path + in_query == 0 {
            return Ok(());
        }
        let is_param: fn(&Piece) -> bool = |piece| matches!(piece, Piece::Param(_));
        let others = pieces(&self.path, is_param) + pieces(&self.query, is_param);
        if in_path + in_query > 1 || others > 0 || params.len() != 1 {
            return Err(TemplateFault::Keys.over(at));
        }
        if many == Many::Repeated && in_query == 0 {
            return Err(TemplateFault::Repeated.over(at));
        }
        self.many = Some(many);
        Ok(())
    }

    /// Itself, with its origin named `shown` in errors and logs.
    #[must_use]
    pub fn shown_as(mut self, shown: &str) -> Self {
        self.origin = self.origin.shown_as(shown);
        self
    }

    /// Where requests for it go.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether one request serves several keys.
    #[must_use]
    pub fn takes_many(&self) -> bool {
        self.many.is_some()
    }

    /// The path and query for `keys`, where one request serves them; `None` where they cannot be asked for: a path would lead
    /// elsewhere, a parameter is missing, or the url would be over 8,000 bytes.
    #[must_use]
    pub fn fill(&self, keys: &[&LoadKey]) -> Option<String> {
        let mut target = String::with_capacity(64);
        for segment in &self.path {
            target.push('/');
            let at = target.len();
            self.write(segment, keys, &mut target)?;
            let written = target.get(at..)?;
            let has_params = segment.iter().any(|piece| !matches!(piece, Piece::Text(_)));
            if has_params && leads_elsewhere(written) {
                return None;
            }
        }
        for (at, pair) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            if self.many == Some(Many::Repeated) && pair.contains(&Piece::Keys) {
                for (at, key) in keys.iter().enumerate() {
                    if at > 0 {
                        target.push('&');
                    }
                    self.write(pair, &[key], &mut target)?;
                }
            } else {
                self.write(pair, keys, &mut target)?;
            }
        }
        (target.len() <= TARGET_MAX_BYTES).then_some(target)
    }

    fn write(&self, component: &Component, keys: &[&LoadKey], target: &mut String) -> Option<()> {
        for piece in component {
            match piece {
                Piece::Text(text) => target.push_str(text),
                Piece::Param(at) => encode(keys.first()?.params.get(*at)?, target),
                Piece::Keys => {
                    for (at, key) in keys.iter().enumerate() {
                        if at > 0 {
                            target.push(',');
                        }
                        encode(key.params.first()?, target);
                    }
                }
            }
        }
        Some(())
    }
}

/// What names the parameters of a url.
struct Reading<'a> {
    params: &'a [&'a str],
    /// `{keys}` is no parameter's name.
    has_many: bool,
}

impl Reading<'_> {
    /// Reads a component that begins at byte `start` of the url and may hold the bytes `allowed` as they are.
    fn component(
        &self,
        text: &str,
        start: usize,
        allowed: fn(u8) -> bool,
    ) -> Result<Component, TemplateError> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let end = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if !literal.is_empty() {
                pieces.push(Piece::Text(checked(literal, start + at, allowed)?));
            }
            at += end;
            if after.is_empty() {
                break;
            }
            let alone = || TemplateFault::Brace.over(start + at..start + at + 1);
            let name = after.strip_prefix('{').and_then(|after| after.split_once('}')).ok_or_else(alone)?.0;
            let place = self.params.iter().position(|known| *known == name);
            pieces.push(match place {
                Some(place) => Piece::Param(place),
                None if name == KEYS && self.has_many => Piece::Keys,
                None => {
                    let span = start + at..start + at + name.len() + 2;
                    return Err(TemplateFault::UnknownParameter { name: name.to_owned() }.over(span));
                }
            });
            at += name.len() + 2;
        }
        Ok(pieces)
    }
}

/// A literal part of a url, if it may stand there.
fn checked(literal: &str, start: usize, allowed: fn(u8) -> bool) -> Result<String, TemplateError> {
    let bytes = literal.as_bytes();
    for (at, found) in literal.char_indices() {
        let is_escape =
            || bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let is_right = match u8::try_from(found) {
            Ok(b'%') => is_escape(),
            Ok(byte) => allowed(byte),
            Err(_) => false,
        };
        if !is_right {
            let span = start + at..start + at + found.len_utf8();
            return Err(TemplateFault::Character { found }.over(span));
        }
    }
    Ok(literal.to_owned())
}

/// Unreserved characters of RFC 3986 §2.3: what is never encoded.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What may stand in a path segment as it is: `pchar` of RFC 3986 §3.3.
fn is_path(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

/// Writes `param` with every byte encoded that is not unreserved.
fn encode(param: &Param, target: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let number;
    let text = match param {
        Param::Text(text) => text.as_str(),
        Param::Integer(integer) => {
            number = integer.to_string();
            &number
        }
    };
    for byte in text.bytes() {
        if is_unreserved(byte) {
            target.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
            target.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Whether a filled segment is empty or holds dot segments, once decoded by whoever takes `%2F` and `\` for a slash; several keys
/// are looked at one by one.
fn leads_elsewhere(segment: &str) -> bool {
    segment.is_empty()
        || segment
            .split(',')
            .any(|one| decoded(one.as_bytes()).split(|byte| b"/\\".contains(byte)).any(is_dots))
}

fn is_dots(text: impl AsRef<[u8]>) -> bool {
    matches!(text.as_ref(), b"." | b"..")
}

/// `text` with its escapes undone until none is left: who is on the way may undo them, too.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    loop {
        let next = decoded_once(&text);
        if next.len() == text.len() {
            return text;
        }
        text = next;
    }
}

fn decoded_once(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    while let Some((&byte, rest)) = text.split_first() {
        let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
        let escape = (byte == b'%').then(|| Some(digit(0)? * 16 + digit(1)?)).flatten();
        match escape.and_then(|code| u8::try_from(code).ok()) {
            Some(code) => {
                out.push(code);
                text = rest.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                text = rest;
            }
        }
    }
    out
}
