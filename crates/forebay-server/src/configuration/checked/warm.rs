//! `[namespace.NAME.warm]`: what is loaded at the start.
//!
//! What is declared here can be carried out: every listed value can stand in a key, and the lists multiply to no more keys
//! than the engine warms.

use std::collections::BTreeMap;

use forebay::namespace::pattern::Pattern;
use forebay::value::{Key, KeyBuf, TakeParts};

use super::super::fault::{KeyFault, ListedFault, PolicyFault};
use super::super::query::check_list;
use super::super::raw::{Entry, Table, Value};
use super::super::report::Findings;
use super::super::secrets::Text;
use super::keys;

/// The most keys that lists may multiply to; the engine's own limit.
const KEYS_MAX: u64 = 1_000_000;

/// What is loaded at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warm {
    /// Values by parameter; every combination is a key. Empty where no list is given.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// How many of the keys that were most read in the last run.
    pub hottest: Option<u32>,
    /// Gives keys, the most worth first.
    pub query: Option<Text>,
    /// Whether all that the source lists is loaded.
    pub all: bool,
}

impl Warm {
    /// What of it is built into the namespace: which keys are counted, and what the source is to say.
    pub(super) fn built(&self) -> Option<Self> {
        let Self { hottest, query, .. } = self.clone();
        (hottest.is_some() || query.is_some()).then(|| Self {
            parameters: BTreeMap::new(),
            hottest,
            query,
            all: false,
        })
    }

    /// What is loaded apart from the hottest keys.
    #[must_use]
    pub fn plan(&self, key: &Pattern) -> forebay::Warm {
        let lists = self.lists(key);
        forebay::Warm {
            lists,
            preferred: self.query.is_some(),
            listing: self.all,
            ..forebay::Warm::default()
        }
    }

    /// The lists in the order of the parameters of `key`.
    #[must_use]
    pub fn lists(&self, key: &Pattern) -> Vec<Vec<String>> {
        key.names().filter_map(|name| self.parameters.get(name).cloned()).collect()
    }
}

pub(super) fn warm(table: &Table, key: Option<&Pattern>, findings: &mut Findings) -> Option<Warm> {
    let raw = table.get("warm")?;
    let mut warm = Warm { parameters: BTreeMap::new(), hottest: None, query: None, all: false };
    let known: Vec<&str> = key.map(keys::names).unwrap_or_default();
    let sql = table.table("source").and_then(|source| source.table("sql"));
    let mut is_complete = true;
    for (name, entry) in table.map("warm") {
        match &entry.value {
            Value::Integer(hottest) => warm.hottest = u32::try_from(*hottest).ok(),
            Value::Flag(all) => {
                warm.all = *all;
                if *all && sql.is_none_or(|sql| !sql.has("list")) {
                    findings.add(entry.key.clone(), ListedFault::WarmAll);
                }
            }
            Value::Text(text) => {
                if sql.is_none() {
                    findings.add(entry.key.clone(), ListedFault::WarmQuery);
                }
                for (fault, within) in check_list(text, &known, true) {
                    findings.add(entry.part(within), fault);
                }
                warm.query = Some(text.clone());
            }
            Value::Texts(values) => {
                if key.is_some() && !known.contains(&name.as_str()) {
                    let fault = KeyFault::UnknownWarmParameter {
                        name: name.clone(),
                        parameters: keys::listed(&known),
                    };
                    findings.add(entry.key.clone(), fault);
                    is_complete = false;
                }
                if let Some(key) = key {
                    check_values(key, name, values, findings);
                }
                let values = values.iter().filter_map(Entry::text).map(|value| value.expose().to_owned());
                warm.parameters.insert(name.clone(), values.collect());
            }
            _ => is_complete = false,
        }
    }
    if !is_complete || key.is_none() || matches!(raw.value, Value::Refused) {
        return None;
    }
    let lists: Vec<&str> = warm.parameters.keys().map(String::as_str).collect();
    if !lists.is_empty() && lists.len() < known.len() {
        let fault = KeyFault::WarmIncomplete { given: keys::listed(&lists), wanted: keys::listed(&known) };
        findings.add(raw.key.clone(), fault);
    }
    let is_asked = warm.hottest.is_some() || warm.query.is_some() || warm.all;
    if !is_asked && warm.parameters.values().all(Vec::is_empty) {
        findings.add(raw.key.clone(), PolicyFault::WarmEmpty);
    }
    let lengths = warm.parameters.values().map(|list| u64::try_from(list.len()).unwrap_or(u64::MAX));
    let count = lengths.fold(1, u64::saturating_mul);
    if count > KEYS_MAX {
        let count = if count == u64::MAX { "far too many".into() } else { count.to_string() };
        findings.add(raw.key.clone(), KeyFault::WarmTooMany { count, most: KEYS_MAX });
    }
    Some(warm)
}

/// Every value of one parameter must be able to stand in a key.
fn check_values(key: &Pattern, name: &str, values: &[Entry], findings: &mut Findings) {
    let Some(at) = key.names().position(|known| known == name) else { return };
    let Some(kind) = key.kinds().nth(at) else { return };
    for entry in values {
        let Some(text) = entry.text() else { continue };
        let alone = Alone { at, of: key.names().len(), text: text.expose() };
        let why = if kind.canonical(text.expose().as_bytes()) {
            match key.render(&alone, &mut KeyBuf::new()) {
                Ok(()) => continue,
                Err(fault) => fault.to_string(),
            }
        } else {
            format!("it is no {} as keys write it", kind.name())
        };
        let value = if text.is_secret() { "…".into() } else { text.expose().to_owned() };
        findings.add(entry.span.clone(), KeyFault::WarmValue { name: name.into(), value, why });
    }
}

/// One parameter of a key, among others that are right in any pattern: a text that holds no literal.
struct Alone<'t> {
    at: usize,
    of: usize,
    text: &'t str,
}

impl Key for Alone<'_> {
    fn give_parts(&self, to: &mut impl TakeParts) {
        for at in 0..self.of {
            to.take(if at == self.at { self.text.as_bytes() } else { b"\0" });
        }
    }
}
