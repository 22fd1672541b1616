//! Tags as a namespace declares them: `symbol:{symbol}`, with parameters of its keys in braces.
//!
//! A tag made of the key alone is known before the load. What depends on the row is given by the source, with the value.

use super::pattern::{Params, Pattern, PatternError};
use crate::value::Tag;

/// One declared tag.
#[derive(Clone, Debug)]
pub(crate) struct TagTemplate {
    pattern: Pattern,
    /// For each parameter of the tag, which parameter of the key it is.
    places: Vec<usize>,
}

/// Why a tag cannot be declared.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TagError {
    #[error("tag \"{tag}\": {source}")]
    Pattern { tag: String, source: PatternError },
    #[error(
        "tag \"{tag}\": the key has no parameter `{name}`; a tag that depends on the value is given by the source, in `Loaded::tags`"
    )]
    NoParameter { tag: String, name: String },
}

impl TagTemplate {
    /// Reads `tag`, whose parameters are those of `key`.
    pub(crate) fn parse(tag: &str, key: &Pattern) -> Result<Self, TagError> {
        let pattern =
            Pattern::parse(tag).map_err(|source| TagError::Pattern { tag: tag.to_owned(), source })?;
        let place = |name: &str| {
            key.names()
                .position(|other| other == name)
                .ok_or_else(|| TagError::NoParameter { tag: tag.to_owned(), name: name.to_owned() })
        };
        let places = pattern.names().map(place).collect::<Result<_, _>>()?;
        Ok(Self { pattern, places })
    }

    /// The tag of a key with these parameters.
    pub(crate) fn tag(&self, params: &Params<'_>) -> Tag {
        let values: Vec<&[u8]> = self.places.iter().filter_map(|&at| params.get(at).copied()).collect();
        String::from_utf8_lossy(&self.pattern.fill(&values)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, TagTemplate};

    #[test]
    fn a_tag_is_made_of_the_keys_parameters() {
        let key = Pattern::parse("price:{symbol}:{currency}").unwrap();
        let tag = |tag: &str| {
            TagTemplate::parse(tag, &key).map(|tag| tag.tag(&key.matches(b"price:BTC:EUR").unwrap()))
        };
        assert_eq!(&*tag("in:{currency}/of:{symbol}").unwrap(), "in:EUR/of:BTC");
        assert_eq!(&*tag("all-prices").unwrap(), "all-prices");
        assert!(tag("day:{day}").unwrap_err().to_string().contains("no parameter `day`"));
        assert!(tag("day:{day").is_err());
    }
}
