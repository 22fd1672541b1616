//! From an answer's body to values: the part that a pointer leads to, and the elements that belong to keys.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use forebay::value::Version;
use forebay::{Blob, Loaded};
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use serde_json::value::RawValue;

use super::error::HttpError;
use crate::source::json::{self, Pointer, Shape};

/// How values are found in a body.
#[derive(Clone, Debug)]
pub(super) struct Picking {
    pub(super) pointer: Option<Pointer>,
    /// The member that orders values.
    pub(super) version: Option<String>,
}

/// A body to be read.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) origin: &'a Arc<str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
    /// Nothing said where it ends.
    pub(super) maybe_cut: bool,
}

impl Answer<'_> {
    fn not_json(&self, error: &serde_json::Error) -> HttpError {
        HttpError::NotJson {
            origin: Arc::clone(self.origin),
            problem: error.to_string(),
            maybe_cut: self.maybe_cut,
        }
    }

    /// The body, which is JSON to its end.
    fn json(&self) -> Result<&RawValue, HttpError> {
        let json: &RawValue = serde_json::from_slice(self.body).map_err(|error| self.not_json(&error))?;
        // Of all JSON only a number can be cut and still be JSON.
        let is_number = json.get().ends_with(|last: char| last.is_ascii_digit());
        if self.maybe_cut && is_number { Err(self.no_end()) } else { Ok(json) }
    }

    fn no_end(&self) -> HttpError {
        HttpError::NoEnd { origin: Arc::clone(self.origin) }
    }
}

impl Picking {
    /// The one value of `answer`; `None` where the pointer leads to nothing, or to `null`.
    pub(super) fn one(&self, answer: &Answer<'_>) -> Result<Option<Loaded>, HttpError> {
        let Some(pointer) = &self.pointer else { return self.whole(answer).map(Some) };
        let part = pointer.of(answer.json()?).map_err(|error| answer.not_json(&error))?;
        part.filter(|part| part.get() != "null").map(|part| self.loaded(answer, part)).transpose()
    }

    /// The body as it came, of the type that it says it is. Where nothing says where it ends, only JSON shows that it is whole.
    fn whole(&self, answer: &Answer<'_>) -> Result<Loaded, HttpError> {
        let told = answer.headers.get(CONTENT_TYPE).and_then(|told| told.to_str().ok()).unwrap_or_default();
        let essence = told.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = essence == "application/json" || essence.ends_with("+json");
        let version = if self.version.is_some() {
            self.version(answer, answer.json()?)?
        } else if is_json {
            answer.json()?;
            None
        } else if answer.maybe_cut {
            return Err(answer.no_end());
        } else {
            None
        };
        let blob = match told {
            "" => Blob::opaque(answer.body),
            _ if essence == "application/json" => Blob::json(answer.body),
            told => Blob::new(answer.body, told),
        };
        Ok(Loaded { version, ..Loaded::new(blob) })
    }

    fn loaded(&self, answer: &Answer<'_>, part: &RawValue) -> Result<Loaded, HttpError> {
        let version = self.version(answer, part)?;
        Ok(Loaded { version, ..Loaded::new(Blob::json(part.get())) })
    }

    fn version(&self, answer: &Answer<'_>, part: &RawValue) -> Result<Option<Version>, HttpError> {
        let Some(member) = &self.version else { return Ok(None) };
        let told = match Shape::of(part) {
            Shape::Object => json::members(part).map_err(|error| answer.not_json(&error))?.take(member),
            _ => None,
        };
        match told.map(|told| told.get().parse::<i64>()) {
            Some(Ok(version)) => Ok(Some(Version(version))),
            _ if told.is_some_and(|told| told.get() == "null") => Ok(None),
            _ => Err(HttpError::Version { origin: Arc::clone(answer.origin), member: member.clone() }),
        }
    }

    /// The values of many keys, by the text of their one parameter: the elements of an array whose member `param` carries it, or the
    /// members of an object that are named by it. Elements without a key, and members that are `null`, are nobody's.
    pub(super) fn many(
        &self,
        answer: &Answer<'_>,
        param: &str,
    ) -> Result<HashMap<String, Loaded>, HttpError> {
        let all = answer.json()?;
        let not_json = |error| answer.not_json(&error);
        let part = match &self.pointer {
            Some(pointer) => pointer.of(all).map_err(not_json)?,
            None => Some(all),
        };
        let Some(part) = part.filter(|part| part.get() != "null") else { return Ok(HashMap::new()) };
        let mut found = HashMap::new();
        let mut add = |key: String, value: &RawValue| -> Result<(), HttpError> {
            match found.insert(key, self.loaded(answer, value)?) {
                Some(_) => Err(HttpError::Doubled { origin: Arc::clone(answer.origin) }),
                None => Ok(()),
            }
        };
        match Shape::of(part) {
            Shape::Array => {
                for element in json::elements(part).map_err(not_json)? {
                    if Shape::of(element) != Shape::Object {
                        continue;
                    }
                    let members = json::members(element).map_err(not_json)?;
                    if let Some(key) = members.take(param).and_then(json::scalar) {
                        add(key.into_owned(), element)?;
                    }
                }
            }
            Shape::Object => {
                for (key, value) in json::members(part).map_err(not_json)?.0 {
                    if value.get() != "null" {
                        add(key.into_owned(), value)?;
                    }
                }
            }
            Shape::Other => return Err(HttpError::NotMany { origin: Arc::clone(answer.origin) }),
        }
        Ok(found)
    }
}
