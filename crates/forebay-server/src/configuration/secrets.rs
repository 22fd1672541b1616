//! Secrets: what stands in for them in a declaration, and the texts that hold them.
//!
//! A declaration never needs to hold a secret itself: `${NAME}` stands for an environment variable, `${NAME:-TEXT}` for TEXT
//! where that is not set, `${file:PATH}` for
//! what a file says, `${enc:TEXT}` for what was encrypted with [`encrypt`] under a key from outside (`$${` is a plain
//! `${`). A [`Text`] that held any of these is shown as `***` wherever it is shown, as is a password in a URL; no error
//! says what one expanded to.
//!
//! Encryption is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): a random nonce of 24 bytes, then the ciphertext with its
//! tag, in base64. The key is 32 bytes in base64.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::rand_core::RngCore;
use chacha20poly1305::aead::{Aead, OsRng};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

/// The variable that holds the key of `${enc:…}`.
pub const KEY_VARIABLE: &str = "FOREBAY_SECRET_KEY";
/// The variable that holds the path of a file with the key, where [`KEY_VARIABLE`] is not set.
pub const KEY_FILE_VARIABLE: &str = "FOREBAY_SECRET_KEY_FILE";

const NONCE_BYTES: usize = 24;

/// What a declaration may ask of the world outside it.
pub trait Environment {
    /// The environment variable `name`.
    fn variable(&self, name: &str) -> Option<String>;

    /// The text of the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is not UTF-8.
    fn file(&self, path: &str) -> std::io::Result<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// A text of a declaration, which may hold a secret. `Debug`, `Display` and serialisation show `***` for the whole text if
/// any of it came from outside the declaration, and for the password of a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    value: String,
    secret: bool,
}

impl Text {
    /// A text that stands in the declaration as it is.
    #[must_use]
    pub fn plain(value: impl Into<String>) -> Self {
        Self { value: value.into(), secret: false }
    }

    /// The text itself, secrets and all: for whoever is to use it, never for messages.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Whether any of it came from outside the declaration.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// The text as it may be shown.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        if self.secret { Cow::Borrowed("***") } else { mask_passwords(&self.value, |_| "***".into()) }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.shown())
    }
}

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

/// Puts `mask(password)` in the place of each password in a URL (`scheme://user:password@host`).
///
/// A password may hold what should have been escaped, so it runs to the last `@` of its URL: rather too much is covered than
/// too little.
pub(crate) fn mask_passwords(text: &str, mask: impl Fn(&str) -> String) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let (url, next) = after.split_at_checked(url_end(before, after)).unwrap_or((after, ""));
        masked.push_str(before);
        masked.push_str("://");
        match url.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?, host))) {
            Some(((user, password), host)) if !user.contains('/') => {
                masked.push_str(&format!("{user}:{}@{host}", mask(password)));
            }
            _ => masked.push_str(url),
        }
        rest = next;
    }
    if masked.is_empty() {
        return Cow::Borrowed(text);
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// Where the URL ends whose scheme is at the end of `before`: at the quote it began with, else at a space.
fn url_end(before: &str, after: &str) -> usize {
    let in_scheme = |each: char| each.is_ascii_alphanumeric() || "+-.".contains(each);
    let quote = before.trim_end_matches(in_scheme).chars().next_back().filter(|last| "\"'".contains(*last));
    let mut is_escaped = false;
    let ends = |each: char| {
        let ends = match quote {
            Some(quote) => each == '\n' || (each == quote && !is_escaped),
            None => each.is_whitespace(),
        };
        is_escaped = quote == Some('"') && each == '\\' && !is_escaped;
        ends
    };
    after.find(ends).unwrap_or(after.len())
}

/// Why a secret could not be had. None of its messages holds one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// `${` without its `}`.
    #[error("`${{` is never closed")]
    Unclosed,
    /// What stands in the braces is not a variable's name, nor `file:` or `enc:`.
    #[error("`${{{name}}}` names no environment variable")]
    BadName {
        /// What stands in the braces.
        name: String,
    },
    /// The variable is not set.
    #[error("the environment variable `{name}` is not set")]
    Unset {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("the secret file `{path}` cannot be read: {reason}")]
    Unreadable {
        /// Its path as written.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// There is something encrypted and no key.
    #[error("there is no key to decrypt this with")]
    NoKey,
    /// The key is not 32 bytes in base64.
    #[error("the key to decrypt this with is not 32 bytes in base64")]
    BadKey,
    /// What was to be decrypted is not base64, or too short.
    #[error("this is not an encrypted secret")]
    Malformed,
    /// It was encrypted with another key, or has been changed.
    #[error("the encrypted secret does not open with this key")]
    DoesNotOpen,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

impl SecretError {
    /// What to do about it.
    #[must_use]
    pub fn mend(&self) -> String {
        match self {
            Self::Unclosed => "close it with `}`; a plain `${` is written `$${`".into(),
            Self::BadName { .. } => {
                "write `${NAME}`, `${file:/path}` or `${enc:…}`; a plain `${` is written `$${`".into()
            }
            Self::Unset { name } => format!("set it before the start: `export {name}=…`"),
            Self::Unreadable { .. } => "make the file readable for this user, or correct the path".into(),
            Self::NoKey => {
                format!("set {KEY_VARIABLE} to the key, or {KEY_FILE_VARIABLE} to a file that holds it")
            }
            Self::BadKey => {
                format!("set {KEY_VARIABLE} to a key as `forebay secret key` makes it: 32 bytes in base64")
            }
            Self::Malformed => "paste what `forebay secret encrypt` prints, whole".into(),
            Self::DoesNotOpen => {
                "encrypt it again with the key in use, or use the key it was encrypted with".into()
            }
            Self::NoRandomness => "see why the system's random source fails".into(),
        }
    }
}

/// Makes a key for [`encrypt`]: 32 random bytes in base64.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_key() -> Result<String, SecretError> {
    let mut key = [0_u8; 32];
    OsRng.try_fill_bytes(&mut key).map_err(|_| SecretError::NoRandomness)?;
    Ok(STANDARD.encode(key))
}

/// Encrypts `text` under `key` (base64, from [`new_key`]); gives what belongs between `${enc:` and `}`.
///
/// # Errors
/// When the key is not a key, or the system gives no random bytes.
pub fn encrypt(key: &str, text: &str) -> Result<String, SecretError> {
    let cipher = cipher(key)?;
    let mut nonce = [0_u8; NONCE_BYTES];
    OsRng.try_fill_bytes(&mut nonce).map_err(|_| SecretError::NoRandomness)?;
    let sealed = cipher.encrypt(&XNonce::from(nonce), text.as_bytes()).map_err(|_| SecretError::Malformed)?;
    Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
}

fn decrypt(sealed: &str, environment: &dyn Environment) -> Result<String, SecretError> {
    let cipher = cipher(&outside_key(environment)?)?;
    let sealed = STANDARD.decode(sealed.trim()).map_err(|_| SecretError::Malformed)?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SecretError::Malformed)?;
    let text = cipher.decrypt(&XNonce::from(*nonce), sealed).map_err(|_| SecretError::DoesNotOpen)?;
    String::from_utf8(text).map_err(|_| SecretError::DoesNotOpen)
}

fn cipher(key: &str) -> Result<XChaCha20Poly1305, SecretError> {
    let key = STANDARD.decode(key.trim()).map_err(|_| SecretError::BadKey)?;
    XChaCha20Poly1305::new_from_slice(&key).map_err(|_| SecretError::BadKey)
}

fn outside_key(environment: &dyn Environment) -> Result<String, SecretError> {
    if let Some(key) = environment.variable(KEY_VARIABLE) {
        return Ok(key);
    }
    let path = environment.variable(KEY_FILE_VARIABLE).ok_or(SecretError::NoKey)?;
    read(&path, environment)
}

fn read(path: &str, environment: &dyn Environment) -> Result<String, SecretError> {
    let text = environment.file(path).map_err(|error| SecretError::Unreadable {
        path: path.into(),
        reason: match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".into(),
            std::io::ErrorKind::PermissionDenied => "permission denied".into(),
            kind => kind.to_string(),
        },
    })?;
    Ok(text.trim().to_owned())
}

/// Puts what they stand for in the place of `${…}`. Each error comes with where it stands in `raw`; `sealed` tells whether
/// files and ciphertexts are allowed at all.
pub(crate) fn expand(
    raw: &str,
    environment: &dyn Environment,
) -> Result<Text, Vec<(SecretError, Range<usize>)>> {
    let (mut value, mut secret, mut errors) = (String::new(), false, Vec::new());
    let mut at = 0;
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(found) = rest.find("${") else {
            value.push_str(rest);
            break;
        };
        let (before, from) = rest.split_at_checked(found).unwrap_or((rest, ""));
        if let Some(before) = before.strip_suffix('$') {
            value.push_str(before);
            value.push_str("${");
            at += found + 2;
            continue;
        }
        value.push_str(before);
        let start = at + found;
        let Some(len) = from.find('}') else {
            errors.push((SecretError::Unclosed, start..start + 2));
            break;
        };
        at = start + len + 1;
        match stands_for(from.get(2..len).unwrap_or_default(), environment) {
            Ok(text) => {
                value.push_str(&text.value);
                secret |= text.secret;
            }
            Err(error) => errors.push((error, start..at)),
        }
    }
    if errors.is_empty() { Ok(Text { value, secret }) } else { Err(errors) }
}

/// Whether a text holds `${file:…}` or `${enc:…}`.
pub(crate) fn is_sealed(raw: &str) -> bool {
    raw.contains("${file:") || raw.contains("${enc:")
}

fn stands_for(inside: &str, environment: &dyn Environment) -> Result<Text, SecretError> {
    let outside = |value| Text { value, secret: true };
    if let Some(path) = inside.strip_prefix("file:") {
        return read(path.trim(), environment).map(outside);
    }
    if let Some(sealed) = inside.strip_prefix("enc:") {
        return decrypt(sealed, environment).map(outside);
    }
    let (name, otherwise) = match inside.split_once(":-") {
        Some((name, otherwise)) => (name, Some(otherwise)),
        None => (inside, None),
    };
    let is_name = name.chars().all(|each| each.is_ascii_alphanumeric() || each == '_');
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || !is_name {
        return Err(SecretError::BadName { name: name.into() });
    }
    // As shells have it, a variable that is set to nothing is as good as none.
    match (environment.variable(name), otherwise) {
        (Some(value), Some(otherwise)) if value.is_empty() => Ok(Text::plain(otherwise)),
        (Some(value), _) => Ok(outside(value)),
        (None, Some(otherwise)) => Ok(Text::plain(otherwise)),
        (None, None) => Err(SecretError::Unset { name: name.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (text, masked) in [
            ("postgres://u:hunter2@host/db", "postgres://u:***@host/db"),
            ("postgres://u@host/db", "postgres://u@host/db"),
            ("sqlite:data/main.db", "sqlite:data/main.db"),
            ("redis://:pw@h:6379", "redis://:***@h:6379"),
            ("a://u:p@h b://v:q@i", "a://u:***@h b://v:***@i"),
            ("postgres://u:p/w?x@host/db", "postgres://u:***@host/db"),
            ("\"postgres://u:p'w d@h\" 'x@y'", "\"postgres://u:***@h\" 'x@y'"),
            (r#""postgres://u:p\"w@h" x@y"#, r#""postgres://u:***@h" x@y"#),
            ("postgres://u:p@s/w@host/db", "postgres://u:***@host/db"),
            ("http://host:80/a", "http://host:80/a"),
            ("http://host:80/a@b", "http://host:***@b"),
        ] {
            assert_eq!(mask_passwords(text, |_| "***".into()), masked, "{text}");
        }
    }
}
