//! What is told of a value of another type than its option has: what it is, what was wanted, what to write.

use toml::de::DeValue;

use super::super::options::Kind;
use super::super::units;

pub(super) fn found(raw: &DeValue<'_>) -> &'static str {
    match raw {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The type in a sentence.
pub(super) fn wanted(kind: &Kind) -> String {
    match kind {
        Kind::Integer { .. } => "an integer".into(),
        Kind::Duration { .. } => "a duration".into(),
        Kind::Size { .. } => "a size".into(),
        Kind::Percent => "a share".into(),
        Kind::Rate { .. } => "a rate".into(),
        Kind::Text(_) => "a string".into(),
        Kind::Texts(_) => "a list of strings".into(),
        Kind::NameOr(_) => "a string or a table".into(),
        Kind::DurationOr(..) => "a duration or a table".into(),
        Kind::Table(_) | Kind::Map(..) | Kind::Warm | Kind::Free => "a table".into(),
        Kind::Flag | Kind::Choice(_) | Kind::Durability => kind.name(),
    }
}

pub(super) fn type_mend(name: &str, kind: &Kind, raw: &DeValue<'_>) -> String {
    let number = match raw {
        DeValue::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    let quoted = |value: &str| format!("write `{name} = \"{value}\"`");
    match (kind, number) {
        (Kind::Duration { .. } | Kind::DurationOr(..), Some(number)) => {
            format!("a number needs a unit: `{name} = \"{number}s\"` or `\"{number}ms\"`")
        }
        (Kind::Duration { .. } | Kind::DurationOr(..), None) => quoted("3s"),
        (Kind::Size { .. }, Some(number)) => {
            let likely = number.parse().map_or(number, units::likely_size);
            format!("a number needs a unit: `{name} = \"{likely}\"`")
        }
        (Kind::Size { .. }, None) => quoted("256 MiB"),
        (Kind::Percent, _) => quoted("25 %"),
        (Kind::Rate { .. }, Some(number)) => quoted(&format!("{number} %")),
        (Kind::Rate { .. }, None) => quoted("0.1 %"),
        (Kind::Integer { min, .. }, _) => {
            format!("write a number without quotes, like `{name} = {}`", (*min).max(1))
        }
        (Kind::Flag, _) => format!("write `{name} = true` or `{name} = false`, without quotes"),
        (Kind::Text(_), Some(number)) => quoted(&number),
        (Kind::Choice(choices), _) => quoted(choices.first().unwrap_or(&"")),
        (Kind::Text(_) | Kind::NameOr(_), _) => "put it in quotes".into(),
        (Kind::Texts(_), _) => format!("write a list: `{name} = [\"…\"]`"),
        (Kind::Durability, _) => quoted("interval 1s"),
        (Kind::Map(..) | Kind::Table(_) | Kind::Warm | Kind::Free, _) => {
            format!("write a table: `{name} = {{ … }}`, or `[….{name}]` with its options below")
        }
    }
}
