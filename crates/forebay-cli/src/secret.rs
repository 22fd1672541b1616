//! `forebay secret`: keys, and secrets encrypted with them.

use forebay_server::configuration::secrets;

use crate::arguments::Secret;
use crate::{Failure, read_all, say};

/// The longest secret that is read, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

pub(crate) fn secret(asked: &Secret) -> Result<(), Failure> {
    match asked {
        Secret::Key => say(&secrets::new_key().map_err(|error| Failure::new(&error))?)?,
        Secret::Encrypt => {
            let key = key()?;
            let bytes = read_all("the secret on standard input", std::io::stdin(), SECRET_BYTES_MAX)?;
            let text = String::from_utf8(bytes);
            let text =
                text.map_err(|_| Failure("the secret on standard input is no text in UTF-8".into()))?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let encrypted = secrets::encrypt(&key, text).map_err(|error| Failure::new(&error))?;
            say(&format!("${{enc:{encrypted}}}"))?;
        }
    }
    Ok(())
}

/// The key, from where a declaration's secrets are decrypted with it.
fn key() -> Result<String, Failure> {
    if let Ok(key) = std::env::var("FOREBAY_SECRET_KEY") {
        return Ok(key);
    }
    let Some(file) = std::env::var_os("FOREBAY_SECRET_KEY_FILE") else {
        let mend = "set FOREBAY_SECRET_KEY (`forebay secret key` makes one) or FOREBAY_SECRET_KEY_FILE";
        return Err(Failure(format!("there is no key to encrypt with: {mend}")));
    };
    let name = file.to_string_lossy().into_owned();
    let key =
        std::fs::read_to_string(file).map_err(|error| Failure(format!("cannot read {name}: {error}")))?;
    Ok(key.trim().to_owned())
}
