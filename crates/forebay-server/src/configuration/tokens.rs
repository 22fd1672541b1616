//! The tokens of a deployment: those of all its files together, since the process has one door.

use std::collections::BTreeMap;

use super::checked::{DEFAULT_STORE, Declaration};
use super::fault::TokenFault;
use super::raw::{Table, nearest};
use super::report::Error;
use crate::access::Token;

/// A token, and where it stands.
struct Placed<'d> {
    declaration: &'d Declaration,
    name: &'d String,
    token: &'d Token,
    table: &'d Table,
}

impl Placed<'_> {
    fn error(&self, option: &str, fault: &TokenFault) -> Error {
        Error::new(&self.declaration.source, self.table.span(option), fault)
    }

    fn named(&self, fault: &TokenFault) -> Error {
        Error::new(&self.declaration.source, self.table.name_span.clone(), fault)
    }
}

fn placed(declarations: &[Declaration]) -> Vec<Placed<'_>> {
    let mut placed = Vec::new();
    for declaration in declarations {
        for (name, table) in declaration.raw.tables("token") {
            let Some(token) = declaration.tokens.get(name) else { continue };
            placed.push(Placed { declaration, name, token, table });
        }
    }
    placed
}

/// All tokens. A name and a hash are one token's, and what it is for is declared.
pub(super) fn of_all(declarations: &[Declaration], errors: &mut Vec<Error>) -> BTreeMap<String, Token> {
    let all = placed(declarations);
    for (at, one) in all.iter().enumerate() {
        let before = || all.iter().take(at);
        if let Some(other) = before().find(|other| other.name == one.name) {
            let error = one.named(&TokenFault::Taken { name: one.name.clone() });
            errors.push(error.with(&other.declaration.source, other.table.name_span.clone(), "here"));
        } else if let Some(other) = before().find(|other| other.token.digest == one.token.digest) {
            let fault = TokenFault::Same { name: one.name.clone(), other: other.name.clone() };
            let error = one.error("hash", &fault);
            errors.push(error.with(&other.declaration.source, other.table.span("hash"), "here"));
        }
        for_what(one, declarations, errors);
    }
    all.iter().map(|one| (one.name.clone(), one.token.clone())).collect()
}

/// Its keyspace is declared, and its namespaces are: in that keyspace, or where it has none, in any.
fn for_what(one: &Placed<'_>, declarations: &[Declaration], errors: &mut Vec<Error>) {
    let keyspaces = |declaration: &Declaration| {
        let environments = declaration.environments.values().map(|environment| environment.keyspace.clone());
        std::iter::once(declaration.keyspace.clone()).chain(environments).collect::<Vec<_>>()
    };
    let has = |declaration: &&Declaration| {
        one.token.keyspace.as_ref().is_none_or(|name| keyspaces(declaration).contains(name))
    };
    let of: Vec<&Declaration> = declarations.iter().filter(has).collect();
    if let (Some(name), true) = (&one.token.keyspace, of.is_empty()) {
        let known: Vec<String> = declarations.iter().flat_map(keyspaces).collect();
        let mend = did_you_mean(name, &known, "write the name of a declared one, or leave it out for all");
        errors.push(one.error("keyspace", &TokenFault::UnknownKeyspace { name: name.clone(), mend }));
        return;
    }
    let known: Vec<String> = of.iter().flat_map(|of| of.namespaces.keys().cloned()).collect();
    for entry in one.table.texts("namespaces") {
        let Some(name) = entry.text().map(|text| text.expose()) else { continue };
        if name == DEFAULT_STORE || known.iter().any(|known| known == name) {
            continue;
        }
        let place =
            one.token.keyspace.as_ref().map_or(String::new(), |of| format!(" in the keyspace `{of}`"));
        let mend = did_you_mean(name, &known, "write the name of a declared one, or `default`");
        let fault = TokenFault::UnknownNamespace { name: name.to_owned(), place, mend };
        errors.push(Error::new(&one.declaration.source, entry.span.clone(), &fault));
    }
}

fn did_you_mean(name: &str, known: &[String], otherwise: &str) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => otherwise.to_owned(),
    }
}

/// Without tokens nobody beyond this machine is let in.
pub(super) fn exposed(declarations: &[Declaration], errors: &mut Vec<Error>) {
    if declarations.iter().any(|declaration| !declaration.tokens.is_empty()) {
        return;
    }
    for declaration in declarations {
        let Some(table) = declaration.raw.table("server") else { continue };
        for name in declaration.server.iter().flat_map(|server| server.exposed()) {
            let fault = TokenFault::Exposed { name };
            errors.push(Error::new(&declaration.source, table.span(name), &fault));
        }
    }
}
