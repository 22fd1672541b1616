//! JSON that is taken apart and put together again without being changed.
//!
//! Parts are slices of the text that came, so that a number keeps each of its digits. Of two members of one name the later counts, as
//! most readers have it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON pointer (RFC 6901): the way from a document to a part of it, such as `/data/0/price`; empty for all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// Why a text is no JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not begin with `/`.
    #[error("a JSON pointer begins with `/`, like `/data/price`")]
    Start,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("in a JSON pointer `~` is written `~0` and `/` within a name `~1`")]
    Escape,
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let steps = text.strip_prefix('/').ok_or(PointerError::Start)?;
        steps.split('/').map(unescaped).collect::<Result<_, _>>().map(Self)
    }
}

fn unescaped(step: &str) -> Result<String, PointerError> {
    let mut parts = step.split('~');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => return Err(PointerError::Escape),
        };
        name.push(sign);
        name.push_str(rest);
    }
    Ok(name)
}

impl Pointer {
    /// The part of `document` that it leads to; `None` where nothing is there.
    ///
    /// # Errors
    /// When what lies on the way is no JSON.
    pub fn of<'a>(&self, document: &'a RawValue) -> Result<Option<&'a RawValue>, serde_json::Error> {
        let mut part = document;
        for step in &self.0 {
            let next = match Shape::of(part) {
                Shape::Object => members(part)?.take(step),
                Shape::Array => match index(step) {
                    Some(index) => elements(part)?.get(index).copied(),
                    None => None,
                },
                Shape::Other => None,
            };
            match next {
                Some(next) => part = next,
                None => return Ok(None),
            }
        }
        Ok(Some(part))
    }
}

/// The place in an array that a step names: digits, with no zero before them.
fn index(step: &str) -> Option<usize> {
    let has_zero_before = step.len() > 1 && step.starts_with('0');
    let is_digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    (is_digits && !has_zero_before).then(|| step.parse().ok())?
}

/// What a JSON text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    Other,
}

impl Shape {
    pub(crate) fn of(json: &RawValue) -> Self {
        match json.get().trim_start().bytes().next() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            _ => Self::Other,
        }
    }
}

/// The members of an object, in their order.
#[derive(Debug)]
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The member `name`.
    pub(crate) fn take(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// A member's name; borrowed where no escape stands in it.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

pub(crate) fn members(object: &RawValue) -> Result<Members<'_>, serde_json::Error> {
    serde_json::from_str(object.get())
}

pub(crate) fn elements(array: &RawValue) -> Result<Vec<&RawValue>, serde_json::Error> {
    serde_json::from_str(array.get())
}

/// The text of a string, the digits of a number; `None` of anything else. It is what a key's parameter is compared with.
pub(crate) fn scalar(json: &RawValue) -> Option<Cow<'_, str>> {
    let text = json.get();
    match text.bytes().next()? {
        b'"' => serde_json::from_str::<Name<'_>>(text).ok().map(|Name(name)| name),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// The object `over` laid over the object `under`: members of both names take the value of `over` at their place in `under`, the others
/// follow. Nothing within a member is merged.
///
/// # Errors
/// When one of them is no JSON object.
pub(crate) fn laid_over(under: &[u8], over: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let over: Members<'_> = serde_json::from_slice(over)?;
    let under: Members<'_> = serde_json::from_slice(under)?;
    // Of two members of one name the later one stays, and those of `over` are the latest.
    let all = || under.0.iter().chain(&over.0);
    let mut values: HashMap<&str, &RawValue> = all().map(|(name, value)| (name.as_ref(), *value)).collect();
    // Each at the place of the first of its name.
    let merged =
        all().filter_map(|(name, _)| values.remove(name.as_ref()).map(|value| (name.as_ref(), value)));
    let mut out = Vec::with_capacity(64);
    out.push(b'{');
    for (at, (name, value)) in merged.enumerate() {
        let name: &str = name;
        if at > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, name)?;
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
    Ok(out)
}
