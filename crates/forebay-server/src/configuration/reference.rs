//! The reference page of the declaration, made from the table of options.

use std::fmt::Write as _;

use super::options::{ROOT, Section};
use super::secrets::{KEY_FILE_VARIABLE, KEY_VARIABLE};
use super::served::page_note;
use super::units::{SIZE_UNIT_NAMES, TIME_UNIT_NAMES};

/// The text of the page `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = head();
    for section in ROOT.all() {
        table(section, &mut page);
    }
    page
}

fn head() -> String {
    format!(
        "\
# The declaration: reference

Every option of a declaration, made from the table that reads it. [features/configuration.md](features/configuration.md)
explains the language by example. What is marked as not served yet is read and checked, and refused when it is to be
served.

## Types

| type | written as |
|---|---|
| duration | `\"3s\"`, `\"250ms\"`, `\"1h30m\"`: whole numbers, each with its unit ({TIME_UNIT_NAMES}), the longest first |
| size | `\"256 MiB\"`, `\"64KiB\"`: a whole number and its unit: {SIZE_UNIT_NAMES} |
| share | `\"25 %\"` |
| rate | `\"0.1 %\"`: with up to four digits after the point |
| name | letters, digits, `_`, `-` and `.`, beginning with a letter, a digit or `_` |
| pattern | text with parameters in braces: `stock:{{code}}`, `order:{{id:integer}}`; types are `text`, `integer` and `uuid` |
| SQL | one `select`; `{{keys}}` stands after `in` and is bound as a list |
| cron pattern | `\"0 30 9 * * mon-fri\"`: second, minute, hour, day of the month, month, day of the week; the seconds may be left out |
| time zone | its IANA name: `\"Asia/Shanghai\"`, `\"UTC\"` |
| address | `\"127.0.0.1:8080\"`, `\"[::1]:8080\"`, `\"localhost:8080\"` |

## Secrets

| written in a string | stands for |
|---|---|
| `${{NAME}}` | the environment variable NAME |
| `${{NAME:-TEXT}}` | the same, or TEXT where it is not set, or set to nothing |
| `${{file:PATH}}` | what the file says, without spaces and line ends around it |
| `${{enc:TEXT}}` | what was encrypted with the key in `{KEY_VARIABLE}` (32 bytes in base64), or in the file that `{KEY_FILE_VARIABLE}` names |
| `$${{` | a plain `${{` |

A text in which one stands for something from outside is shown as `***` everywhere. Names and patterns cannot hold them; paths, addresses, durations
and other values that are shown can only take them from variables. A password written into a url is covered wherever the
url is shown.
"
    )
}

fn table(section: &Section, page: &mut String) {
    let title =
        if section.path.is_empty() { "Top of the file".to_owned() } else { format!("`[{}]`", section.path) };
    // Writing to a string cannot fail.
    let _ = write!(page, "\n## {title}\n\n{}\n\n", section.about);
    page.push_str("| option | type | default | limits | effect |\n|---|---|---|---|---|\n");
    for option in section.options {
        let note = page_note(section.path, option.name).map(|note| format!(" {note}")).unwrap_or_default();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {}{note} |",
            option.name,
            option.kind.name(),
            option.default,
            option.kind.limits(),
            option.effect,
        );
    }
}
