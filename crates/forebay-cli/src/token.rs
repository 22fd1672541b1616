//! `forebay token`: tokens, by which a server knows its clients.

use forebay_server::access::{Digest, new_token};

use crate::arguments::Token;
use crate::{Failure, say};

pub(crate) fn token(asked: &Token) -> Result<(), Failure> {
    let Token::New { name } = asked;
    let is_plain = |each: char| each.is_ascii_alphanumeric() || matches!(each, '_' | '-');
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(Failure("a token's name has letters, digits, `_` and `-`".into()));
    }
    let token = new_token().map_err(|error| Failure::new(&error))?;
    let hash = Digest::of(token.as_bytes());
    // Shown once: where it cannot be printed it is lost, and the command says so.
    say(&format!(
        "token  {token}\n\nIt is shown this once; hand it to who is to use it. The declaration keeps its hash alone:\n\n\
         [token.{name}]\nhash = \"{hash}\"\nmay = [\"read\"]"
    ))
}
