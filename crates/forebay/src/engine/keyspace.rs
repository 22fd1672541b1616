//! A keyspace: the namespaces of one application, found by the text of a key.

use super::handle::Namespace;
use crate::error::Error;
use crate::value::Blob;

/// The namespaces of one application. A key belongs to at most one of them; what belongs to none of the others belongs to the
/// [default](Self::set_default), where there is one.
#[derive(Clone, Debug)]
pub struct Keyspace {
    name: String,
    namespaces: Vec<Namespace<Blob>>,
}

impl Keyspace {
    /// A keyspace without namespaces.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), namespaces: Vec::new() }
    }

    /// Adds a namespace.
    ///
    /// # Errors
    /// [`Error::Build`] where its name is taken, or some key would match it and another; the message shows such a key. A namespace of
    /// any key can only be the [default](Self::set_default).
    pub fn add(&mut self, namespace: Namespace<Blob>) -> Result<(), Error> {
        let fail = |problem: String| Err(Error::Build { namespace: namespace.name().into(), problem });
        if namespace.pattern().is_any() {
            return fail("it has any key: make it the default of its keyspace, or give it a `key`".into());
        }
        for other in &self.namespaces {
            if other.name() == namespace.name() {
                return fail("the name is taken: give each namespace its own".into());
            }
            if let Some(key) = other.pattern().overlap(namespace.pattern()) {
                return fail(format!(
                    "the key \"{}\" would match it and `{}`: give one of them another literal",
                    String::from_utf8_lossy(&key),
                    other.name()
                ));
            }
        }
        let place = self.namespaces.len() - usize::from(self.default_namespace().is_some());
        self.namespaces.insert(place, namespace);
        Ok(())
    }

    /// Makes `namespace`, which has [any key](super::NamespaceBuilder::any_key), the one that has whatever belongs to no other,
    /// whether that was added before or will be.
    ///
    /// # Errors
    /// [`Error::Build`] where its name is taken, its keys are those of a pattern, or the keyspace has a default.
    pub fn set_default(&mut self, namespace: Namespace<Blob>) -> Result<(), Error> {
        let fail = |problem: &str| {
            Err(Error::Build { namespace: namespace.name().into(), problem: problem.to_owned() })
        };
        if !namespace.pattern().is_any() {
            return fail("it has a `key`: say `any_key` of the default of a keyspace, or add it");
        }
        if self.default_namespace().is_some() {
            return fail("the keyspace has a default already: leave one of the two out");
        }
        if self.namespace(namespace.name()).is_some() {
            return fail("the name is taken: give each namespace its own");
        }
        self.namespaces.push(namespace);
        Ok(())
    }

    /// The namespace that has whatever belongs to no other.
    #[must_use]
    pub fn default_namespace(&self) -> Option<&Namespace<Blob>> {
        self.namespaces.last().filter(|last| last.pattern().is_any())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespaces, in the order they were added; the default comes last.
    #[must_use]
    pub fn namespaces(&self) -> &[Namespace<Blob>] {
        &self.namespaces
    }

    /// The namespace called `name`.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace<Blob>> {
        self.namespaces.iter().find(|namespace| namespace.name() == name)
    }

    /// The namespace that `key` belongs to: the default where it is of no other.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&Namespace<Blob>> {
        self.namespaces.iter().find(|namespace| namespace.pattern().matches(key).is_some())
    }
}
