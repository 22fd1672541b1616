//! Tokens as text, and what is kept of them.
//!
//! A token is 256 bits of the system's randomness. Nobody guesses one, with its hash before him or without, so that one round of
//! SHA-256 keeps it as well as any number of rounds would: slow hashes are for passwords that people make up. So a token is checked in
//! less than a microsecond, and nobody can make the server work by showing wrong ones.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::OsRng;
use chacha20poly1305::aead::rand_core::RngCore as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What a token begins with, so that it is known where it turns up by mistake.
const PREFIX: &str = "fbt_";
/// What a hash begins with in a declaration.
const ALGORITHM: &str = "sha256:";
const BYTES: usize = 32;

/// The SHA-256 of a token's text.
#[derive(Clone, Copy)]
pub struct Digest([u8; BYTES]);

impl Digest {
    /// Of a token's text.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// What `sha256:` and 64 hexadecimal digits say.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.strip_prefix(ALGORITHM)?.as_bytes().as_chunks::<2>();
        let mut bytes = [0; BYTES];
        if pairs.len() != BYTES || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(bytes))
    }

    /// Whether they are the same, told in a time that does not depend on them.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl Eq for Digest {}

/// As [`Digest::parse`] takes it.
impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(ALGORITHM)?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sha256:…")
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes, so no token can be made: try again later")]
pub struct NewTokenError;

/// A token that nobody has.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_token() -> Result<String, NewTokenError> {
    let mut bytes = [0_u8; BYTES];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_| NewTokenError)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_sha256_says() {
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), text);
        assert_eq!(Digest::parse(text), Some(Digest::of(b"abc")));
        assert_eq!(
            Digest::parse(&text.to_ascii_uppercase().replace("SHA256", "sha256")),
            Some(Digest::of(b"abc"))
        );
        assert_ne!(Digest::parse(text), Some(Digest::of(b"abd")));
        for bad in [
            "",
            "sha256:",
            "ba7816bf",
            text.trim_end_matches("ad"),
            &format!("{text}0"),
            &text.replace('b', "g"),
        ] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
        assert!(!format!("{:?}", Digest::of(b"abc")).contains("ba78"));
    }

    #[test]
    fn tokens_have_256_bits_and_are_never_the_same() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(one, other);
        let bits = URL_SAFE_NO_PAD.decode(one.strip_prefix("fbt_").unwrap()).unwrap();
        assert_eq!(bits.len(), 32);
    }
}
