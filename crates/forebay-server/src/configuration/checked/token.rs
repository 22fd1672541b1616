//! `[token.NAME]`: a token by itself. Whether what it is for is declared is seen where all files are (`deployment`).

use super::super::fault::TokenFault;
use super::super::raw::{Entry, Table};
use super::super::report::Findings;
use super::required;
use crate::access::{Digest, Right, Token};

pub(super) fn token(table: &Table, findings: &mut Findings) -> Option<Token> {
    let digest =
        required(table, "hash", "write what `forebay token new` prints", findings).and_then(|hash| {
            let digest = Digest::parse(table.text(hash)?.expose().trim());
            if digest.is_none() {
                findings.add(table.span(hash), TokenFault::BadHash);
            }
            digest
        });
    let may = required(table, "may", "write `may = [\"read\"]`", findings)
        .and_then(|may| right(table.get(may)?, table.texts(may), findings));
    let namespaces = table.has("namespaces").then(|| {
        let names = table.texts("namespaces").iter().filter_map(Entry::text);
        names.map(|name| name.expose().to_owned()).collect::<Vec<_>>()
    });
    if namespaces.as_ref().is_some_and(Vec::is_empty) {
        findings.add(table.span("namespaces"), TokenFault::NoNamespaces);
    }
    if may == Some(Right::Admin) {
        for option in ["keyspace", "namespaces"].into_iter().filter(|option| table.has(option)) {
            findings.add(table.key_span(option), TokenFault::AdminOfSome);
        }
    }
    let keyspace = table.text("keyspace").map(|name| name.expose().to_owned());
    Some(Token { digest: digest?, keyspace, namespaces, may: may? })
}

/// The most that the words allow.
fn right(may: &Entry, words: &[Entry], findings: &mut Findings) -> Option<Right> {
    let mut rights = Vec::new();
    for word in words {
        let known = word.text().and_then(|text| Right::ALL.into_iter().find(|it| it.word() == text.expose()));
        match known {
            Some(right) => rights.push(right),
            None => {
                findings.add(word.span.clone(), TokenFault::UnknownRight);
                return None;
            }
        }
    }
    let most = rights.iter().max().copied();
    if most.is_none() {
        findings.add(may.span.clone(), TokenFault::NoRight);
    }
    if most == Some(Right::Write) && !rights.contains(&Right::Read) {
        findings.add(may.span.clone(), TokenFault::WriteAlone);
    }
    most
}
