//! A keyspace: the namespaces of one application, found by the text of a key.

use super::handle::Namespace;
use crate::error::Error;
use crate::value::Blob;

/// The namespaces of one application. A key belongs to at most one of them.
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
    /// [`Error::Build`] where its name is taken, or some key would match it and another; the message shows such a key.
    pub fn add(&mut self, namespace: Namespace<Blob>) -> Result<(), Error> {
        let fail = |problem: String| Err(Error::Build { namespace: namespace.name().into(), problem });
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
        self.namespaces.push(namespace);
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespaces, in the order they were added.
    #[must_use]
    pub fn namespaces(&self) -> &[Namespace<Blob>] {
        &self.namespaces
    }

    /// The namespace called `name`.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace<Blob>> {
        self.namespaces.iter().find(|namespace| namespace.name() == name)
    }

    /// The namespace that `key` belongs to.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&Namespace<Blob>> {
        self.namespaces.iter().find(|namespace| namespace.pattern().matches(key).is_some())
    }
}
