//! Who may do what: tokens, and the rights that each of them gives.
//!
//! A process without tokens listens on loopback alone, and everybody there may do everything. Where there are tokens, every request
//! shows one, and has its rights and no others: [`Access`] is what both front ends ask, for each request. Of a token only its hash is
//! known here.
//!
//! All tokens are one table, which is put in place of another as a whole (`Door::replace`). Whoever holds rights of the table before
//! finds that out with its next request, at the cost of one load of an atomic: a right that was taken away is gone at once.
//!
//! Left to others: how a token is shown (`http.rs` here, `resp/rights.rs`), and which right a request needs.

mod digest;
pub(crate) mod http;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use tokio::sync::watch;

pub use digest::{Digest, NewTokenError, new_token};

/// What a token allows to do with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To read them, which loads those that miss.
    Read,
    /// To write them, and to drop copies of them.
    Write,
    /// Everything, an operator's commands among it.
    Admin,
}

impl Right {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The word for it in a declaration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// A token as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Of the token itself, which nobody keeps.
    pub digest: Digest,
    /// The one keyspace that it is for; all where there is none.
    pub keyspace: Option<String>,
    /// The namespaces that it is for; all where there are none.
    pub namespaces: Option<Vec<String>>,
    /// The most that it allows: who may write may read.
    pub may: Right,
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    name: String,
    /// Nothing where no token is asked for.
    token: Option<Token>,
}

impl Access {
    /// Of anybody where there are no tokens.
    #[must_use]
    pub fn everything() -> Self {
        Self { name: DEFAULT_NAME.to_owned(), token: None }
    }

    /// The token's name; `default` where none is asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether everything is allowed, so that nothing else needs to be asked.
    #[must_use]
    pub fn allows_everything(&self) -> bool {
        self.token.as_ref().is_none_or(|token| token.may == Right::Admin)
    }

    /// Whether it is allowed to do with the values of a namespace what `right` says.
    #[must_use]
    pub fn allows(&self, keyspace: &str, namespace: &str, right: Right) -> bool {
        let Some(token) = &self.token else { return true };
        token.may >= right
            && token.keyspace.as_ref().is_none_or(|own| own == keyspace)
            && token.namespaces.as_ref().is_none_or(|own| own.iter().any(|own| own == namespace))
    }

    /// Whether it is allowed to do that with the values of every namespace of a keyspace, declared or not.
    #[must_use]
    pub fn allows_keyspace(&self, keyspace: &str, right: Right) -> bool {
        let Some(token) = &self.token else { return true };
        token.may >= right
            && token.namespaces.is_none()
            && token.keyspace.as_ref().is_none_or(|own| own == keyspace)
    }

    /// Whether it is allowed to do that with all that there is.
    #[must_use]
    pub fn allows_all(&self, right: Right) -> bool {
        let Some(token) = &self.token else { return true };
        token.may >= right && token.namespaces.is_none() && token.keyspace.is_none()
    }

    /// The one keyspace that it is for; nothing where it is for all.
    #[must_use]
    pub fn keyspace(&self) -> Option<&str> {
        self.token.as_ref()?.keyspace.as_deref()
    }

    /// Whether it is for some keyspaces or namespaces only.
    #[must_use]
    pub fn is_of_some(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.keyspace.is_some() || token.namespaces.is_some())
    }
}

/// The name of everybody where there are no tokens, and what clients say that know passwords alone.
pub(crate) const DEFAULT_NAME: &str = "default";

/// All tokens by name.
#[derive(Debug, Default)]
struct Table(BTreeMap<String, Arc<Access>>);

impl Table {
    fn new(tokens: &BTreeMap<String, Token>) -> Self {
        let access = |(name, token): (&String, &Token)| {
            let access = Access { name: name.clone(), token: Some(token.clone()) };
            (name.clone(), Arc::new(access))
        };
        Self(tokens.iter().map(access).collect())
    }

    /// The rights of `shown`. Every token is compared with, and each in constant time: how long it takes tells nothing.
    fn find(&self, name: Option<&[u8]>, shown: &[u8]) -> Option<Arc<Access>> {
        let shown = Digest::of(shown);
        let mut found = None;
        for access in self.0.values() {
            let is_named = name.is_none_or(|name| name == access.name.as_bytes());
            let is_same = access.token.as_ref().is_some_and(|token| token.digest.is(&shown));
            if is_named && is_same {
                found = Some(Arc::clone(access));
            }
        }
        found
    }
}

/// Where tokens are shown, and replaced: one for the process, shared by its front ends.
#[derive(Clone, Debug)]
pub(crate) struct Door(Arc<watch::Sender<Arc<Table>>>);

impl Door {
    /// Asks for one of `tokens`; for none where there are none.
    pub(crate) fn new(tokens: &BTreeMap<String, Token>) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(Table::new(tokens)))))
    }

    /// Asks for one of these from now on. Whoever came in with another one, or with one that allows something else now, has no other
    /// rights from its next request on.
    pub(crate) fn replace(&self, tokens: &BTreeMap<String, Token>) {
        self.0.send_replace(Arc::new(Table::new(tokens)));
    }

    /// The rights of who shows nothing; `None` where that is not enough.
    pub(crate) fn open(&self) -> Option<Arc<Access>> {
        static EVERYTHING: LazyLock<Arc<Access>> = LazyLock::new(|| Arc::new(Access::everything()));
        self.0.borrow().0.is_empty().then(|| Arc::clone(&EVERYTHING))
    }

    /// The rights of who shows `token`, which must be the one called `name` where that is said.
    pub(crate) fn show(&self, name: Option<&[u8]>, token: &[u8]) -> Option<Arc<Access>> {
        let table = Arc::clone(&self.0.borrow());
        table.find(name, token)
    }

    /// Whether anybody may come by this name.
    pub(crate) fn knows(&self, name: &[u8]) -> bool {
        let table = self.0.borrow();
        name == DEFAULT_NAME.as_bytes() || table.0.keys().any(|known| known.as_bytes() == name)
    }

    /// A place from which changes are seen.
    pub(crate) fn watch(&self) -> Watch {
        Watch { door: self.clone(), changes: self.0.subscribe() }
    }
}

/// Sees when rights may have changed.
#[derive(Debug)]
pub(crate) struct Watch {
    door: Door,
    changes: watch::Receiver<Arc<Table>>,
}

impl Watch {
    /// Whether the table is another than when it was last looked at.
    pub(crate) fn has_changed(&self) -> bool {
        self.changes.has_changed().unwrap_or(false)
    }

    /// Waits until it is another, and has looked at it then.
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as this does.
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What who had `before` may do by the present table: nothing where its token is no longer the same, or no longer there.
    pub(crate) fn again(&mut self, before: Option<&Access>) -> Option<Arc<Access>> {
        let table = Arc::clone(&self.changes.borrow_and_update());
        let Some(token) = before.and_then(|before| before.token.as_ref()) else { return self.door.open() };
        let now = table.0.get(before?.name())?;
        let is_same = now.token.as_ref().is_some_and(|now| now.digest == token.digest);
        is_same.then(|| Arc::clone(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, keyspace: Option<&str>, namespaces: Option<&[&str]>, may: Right) -> Token {
        Token {
            digest: Digest::of(text.as_bytes()),
            keyspace: keyspace.map(str::to_owned),
            namespaces: namespaces.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            may,
        }
    }

    fn table(tokens: &[(&str, Token)]) -> BTreeMap<String, Token> {
        tokens.iter().map(|(name, token)| ((*name).to_owned(), token.clone())).collect()
    }

    #[test]
    fn rights_are_those_of_the_token_and_no_others() {
        let reader = token("r", Some("shop"), Some(&["item"]), Right::Read);
        let writer = token("w", Some("shop"), None, Right::Write);
        let admin = token("a", None, None, Right::Admin);
        let door = Door::new(&table(&[("reader", reader), ("writer", writer), ("admin", admin)]));
        assert!(door.open().is_none());
        let of = |token: &[u8]| door.show(None, token).unwrap();
        // keyspace, namespace, right: who may.
        for (keyspace, namespace, right, who) in [
            ("shop", "item", Right::Read, "rwa"),
            ("shop", "item", Right::Write, "wa"),
            ("shop", "item", Right::Admin, "a"),
            ("shop", "note", Right::Read, "wa"),
            ("other", "item", Right::Read, "a"),
            ("other", "item", Right::Write, "a"),
        ] {
            for name in ["r", "w", "a"] {
                let allowed = of(name.as_bytes()).allows(keyspace, namespace, right);
                assert_eq!(allowed, who.contains(name), "{name} {right:?} {keyspace}/{namespace}");
            }
        }
        for (keyspace, right, who) in
            [("shop", Right::Read, "wa"), ("shop", Right::Write, "wa"), ("other", Right::Read, "a")]
        {
            for name in ["r", "w", "a"] {
                let allowed = of(name.as_bytes()).allows_keyspace(keyspace, right);
                assert_eq!(allowed, who.contains(name), "{name} {right:?} {keyspace}");
            }
        }
        for name in ["r", "w", "a"] {
            assert_eq!(of(name.as_bytes()).allows_all(Right::Read), name == "a", "{name}");
            assert_eq!(of(name.as_bytes()).allows_everything(), name == "a", "{name}");
        }
        assert!(Access::everything().allows("any", "any", Right::Admin));
    }

    #[test]
    fn a_token_is_found_by_itself_or_under_its_own_name() {
        let one = token("one", None, None, Right::Read);
        let two = token("two", None, None, Right::Read);
        let door = Door::new(&table(&[("a", one), ("b", two)]));
        let name = |name: Option<&[u8]>, token: &[u8]| Some(door.show(name, token)?.name().to_owned());
        assert_eq!(name(None, b"one").as_deref(), Some("a"));
        assert_eq!(name(Some(b"b"), b"two").as_deref(), Some("b"));
        assert_eq!(name(Some(b"b"), b"one"), None);
        assert_eq!(name(None, b"On"), None);
        assert_eq!(name(None, b""), None);
    }

    #[tokio::test]
    async fn what_was_taken_away_is_gone_with_the_next_look() {
        let rights = |may| table(&[("a", token("one", None, None, may))]);
        let door = Door::new(&rights(Right::Write));
        let mut watch = door.watch();
        let held = door.show(None, b"one").unwrap();
        assert!(!watch.has_changed());

        door.replace(&rights(Right::Read));
        assert!(watch.has_changed());
        let held = watch.again(Some(&held)).unwrap();
        assert!(held.allows("x", "y", Right::Read) && !held.allows("x", "y", Right::Write));
        assert!(!watch.has_changed());

        // The same name with another token is another one.
        door.replace(&table(&[("a", token("other", None, None, Right::Read))]));
        assert!(watch.has_changed() && watch.again(Some(&held)).is_none());
        // Who never showed one has nothing where one is asked for, and everything where none is.
        assert!(watch.again(None).is_none());
        door.replace(&BTreeMap::new());
        assert!(watch.again(None).unwrap().allows_everything());
    }
}
