//! The kind that a namespace's values are declared to be, and what becomes of a write of another.
//!
//! A number that a client writes as text is the counter that it says, and a counter is the text of its number: nothing is lost
//! either way. Every other misfit is refused before anything is done. What a source gives, and what was stored before the kind was
//! declared, is not judged, nor is what is taken out of it; nor is what goes to a sink, which judges for itself.

use crate::value::{Blob, Kind, Value, counter};

/// Why a value is none of the kind that its namespace declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the namespace declares `kind = \"{declared}\"` and takes no {given}: {}", mend(*.declared, *.given))]
pub struct Misfit {
    /// What its values are declared to be.
    pub declared: Kind,
    /// What was to be written.
    pub given: Kind,
}

fn mend(declared: Kind, given: Kind) -> &'static str {
    match (declared, given) {
        (Kind::Counter, Kind::Blob) => "write a 64-bit integer, without signs or zeros before it",
        (Kind::Blob, _) => "write the whole value as bytes, or declare another `kind`",
        (Kind::Hash, _) => "write fields, or declare another `kind`",
        (Kind::SortedSet, _) => "write members with scores, or declare another `kind`",
        (Kind::Counter | Kind::Native, _) => "write what it holds, or declare another `kind`",
    }
}

/// `value` as one of the `declared` kind; any is, where none is declared.
///
/// # Errors
/// [`Misfit`] where it is none, and cannot be made one without a loss.
pub fn fit(declared: Option<Kind>, value: Value) -> Result<Value, Misfit> {
    match (declared, value) {
        (Some(declared @ Kind::Counter), Value::Blob(blob)) if blob.metadata().is_none() => {
            let number = counter::parse(blob.as_bytes()).map(Value::Counter);
            number.map_err(|_| Misfit { declared, given: Kind::Blob })
        }
        (Some(Kind::Blob), Value::Counter(number)) => Ok(Blob::opaque(counter::print(number)).into()),
        (_, value) => takes(declared, value.kind()).map(|()| value),
    }
}

/// Whether values of the kind `given` may be written where `declared` is.
///
/// # Errors
/// [`Misfit`] where they may not.
pub fn takes(declared: Option<Kind>, given: Kind) -> Result<(), Misfit> {
    match declared {
        Some(declared) if declared != given => Err(Misfit { declared, given }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::fit;
    use crate::value::{Blob, Hash, Kind, SortedSet, Value};

    fn values() -> [Value; 5] {
        let hash = Hash::whole([(b"f".as_slice(), bytes::Bytes::from_static(b"v"))]);
        [
            Blob::opaque("7").into(),
            Blob::opaque("seven").into(),
            hash.into(),
            SortedSet::new().into(),
            Value::Counter(7),
        ]
    }

    #[test]
    fn what_is_declared_is_kept_and_other_kinds_are_refused() {
        for (kind, fits) in [
            (None, [true; 5]),
            (Some(Kind::Blob), [true, true, false, false, true]),
            (Some(Kind::Hash), [false, false, true, false, false]),
            (Some(Kind::SortedSet), [false, false, false, true, false]),
            (Some(Kind::Counter), [true, false, false, false, true]),
        ] {
            for (value, fits) in values().into_iter().zip(fits) {
                let fitted = fit(kind, value.clone());
                assert_eq!(fitted.is_ok(), fits, "{kind:?} {value:?}");
                if let (Ok(fitted), Some(kind)) = (fitted, kind) {
                    assert_eq!(fitted.kind(), kind);
                }
            }
        }
    }

    #[test]
    fn numbers_and_their_texts_are_the_same() {
        let text = |value: &Value| value.as_blob().map(|blob| blob.bytes());
        let printed = fit(Some(Kind::Blob), Value::Counter(-3)).unwrap();
        assert_eq!(text(&printed).unwrap(), "-3");
        let parsed = fit(Some(Kind::Counter), Blob::opaque("-3").into()).unwrap();
        assert!(matches!(parsed, Value::Counter(-3)));
        let described = Blob::opaque("-3").with_metadata(b"{}");
        assert!(fit(Some(Kind::Counter), described.into()).is_err(), "metadata would be lost");
    }

    #[test]
    fn a_misfit_says_what_to_write() {
        let told = |kind, value: Value| fit(Some(kind), value).unwrap_err().to_string();
        let blob = Value::from(Blob::opaque("x"));
        assert_eq!(
            told(Kind::Hash, blob.clone()),
            "the namespace declares `kind = \"hash\"` and takes no blob: write fields, or declare another `kind`"
        );
        assert!(
            told(Kind::Counter, blob).ends_with("write a 64-bit integer, without signs or zeros before it")
        );
        assert!(
            told(Kind::Blob, SortedSet::new().into()).contains("takes no sorted_set: write the whole value")
        );
    }
}
