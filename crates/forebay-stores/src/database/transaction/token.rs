//! A token: what a transaction hands back, for whoever must read what it wrote.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use forebay::feed::Place;

/// Tells of a commit: whoever reads what has seen it reads nothing older.
///
/// In the instance that committed it is worth nothing more than its existence: it is there once every read that starts sees the commit. It
/// has a text form, `database@place`, to be handed to others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The name of the database.
    pub database: Arc<str>,
    /// A place in the order of its commits that is not before this one: PostgreSQL's position in its log of changes. `None` where the
    /// database has one file and no order that outlives it, or could not be asked.
    pub place: Option<Place>,
}

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no token: hand back what a transaction gave, unchanged")]
pub struct TokenError {
    /// The text.
    pub text: String,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.database)?;
        match self.place {
            Some(Place(place)) => write!(f, "{place:x}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let refused = || TokenError { text: text.to_owned() };
        let (database, place) = text.rsplit_once('@').ok_or_else(refused)?;
        let place = match place {
            "" => None,
            digits => {
                let place = u64::from_str_radix(digits, 16).map_err(|_| refused())?;
                // What is not written as it is told was not told.
                if format!("{place:x}") != digits {
                    return Err(refused());
                }
                Some(Place(place))
            }
        };
        Ok(Self { database: database.into(), place })
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Token};

    #[test]
    fn a_token_is_read_back_from_its_text() {
        for place in [None, Some(Place(0)), Some(Place(u64::MAX))] {
            let token = Token { database: "a@b".into(), place };
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        for text in ["", "main", "main@x", "main@+1", "main@01", "main@FF", "main@10000000000000000"] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }
}
