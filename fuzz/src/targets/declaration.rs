//! Declarations: what an operator writes is read, or refused with everything that is wrong with it.

use forebay_server::configuration::{Declaration, Environment, Style, explain, served};

use crate::allocation::{Bound, within};
use crate::{Fault, Large, Seen, Target};

/// What reading a declaration may take. It is the operator's own text and not a stranger's. The dearest is one that is wrong at every
/// byte: each error keeps its message and its mend, some 380 bytes.
const OPERATOR: Bound = Bound { factor: 512, base_bytes: 1 << 20 };

pub(super) const TARGET: Target = Target {
    name: "declaration",
    attacks: "declarations: read or refused, each error at a place in the text; what is read can be explained; no secret is shown",
    words: &[
        b"keyspace = \"shop\"\n",
        b"[server]\n",
        b"[namespace.",
        b"[database.",
        b"[environment.",
        b"key = \"",
        b"{",
        b"}",
        b"ttl = \"",
        b"60s",
        b"source.sql = { database = \"main\", query = \"",
        b"select ",
        b" from ",
        b" where ",
        b" in {keys}",
        b"${SECRET}",
        b"${file:secret}",
        b"${enc:",
        b"$${",
        b"\"",
        b"'",
        b"\"\"\"",
        b"#",
        b"\n",
        b"=",
        b"[[",
        b"]]",
        b".",
        b",",
        b"\\u0000",
        b"mode = \"store\"\n",
        b"writes = \"behind\"\n",
        b"sink.sql = ",
        b"kind = \"hash\"\n",
        b"source.http = { url = \"https://user:word@example.com/{code}\" }\n",
        b"99999999999d",
        b"18446744073709551616",
        b"inf",
        b"nan",
        b"1979-05-27T07:32:00Z",
        b"\xc3\xa5",
        b"\xe2\x80\xae",
        b"\xf0\x9f\x98\x80",
        b"\t",
        b"\r\n",
        b"warm = { ",
        b"tags = [",
        b"depends_on = [",
    ],
    large: &[
        Large { before: b"", unit: b"=", times: 4_000, after: b"" },
        Large { before: b"", unit: b"a.b = 1\n", times: 4_000, after: b"" },
        Large { before: b"", unit: b"[namespace.a]\n", times: 4_000, after: b"" },
        Large { before: b"", unit: b"[", times: 2_000, after: b"" },
        Large { before: b"a = ", unit: b"[", times: 2_000, after: b"" },
        Large { before: b"a = ", unit: b"{a=", times: 2_000, after: b"" },
        Large { before: b"", unit: b"a.", times: 2_000, after: b"a = 1" },
        Large { before: b"keyspace = \"", unit: b"\\u0041", times: 5_000, after: b"\"" },
        Large {
            before: b"keyspace = \"shop\"\n[namespace.a]\nkey = \"",
            unit: b"a{x}",
            times: 500,
            after: b"\"\nttl = \"1s\"\n",
        },
        Large { before: b"keyspace = \"shop\"\n", unit: b"#\n", times: 20_000, after: b"" },
    ],
    begin: || Ok(Box::new(attack)),
};

/// How many errors of a report are looked at: each looks for its line from the beginning of the text.
const ERRORS: usize = 200;

/// What a secret stands for. No text of a declaration has it, so nothing that is shown may have it.
const SECRET: &str = "Tr0ub4dor&3-is-not-shown";

/// One variable and one file.
struct Known;

impl Environment for Known {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "SECRET").then(|| SECRET.to_owned())
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        if path == "secret" { Ok(SECRET.to_owned()) } else { Err(std::io::ErrorKind::NotFound.into()) }
    }
}

fn attack(input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    let text = String::from_utf8_lossy(input);
    match within(OPERATOR, text.len(), || Declaration::parse("forebay.toml", &text, &Known))? {
        Ok(declaration) => explained(&declaration, seen),
        Err(report) => {
            let shown = within(OPERATOR, text.len(), || report.render(Style::Plain))?;
            for error in report.errors().iter().take(ERRORS) {
                seen.note_message(error.message());
                let span = error.span();
                if text.get(span.clone()).is_none() || error.mend().is_empty() || error.line() == 0 {
                    return Err(Fault::Broken(format!(
                        "an error at {span:?} of {} bytes: {}",
                        text.len(),
                        error.message()
                    )));
                }
            }
            silent(&shown)?;
            // Each of them has the whole text with it.
            silent(&format!("{:?}", report.errors().first()))
        }
    }
}

fn explained(declaration: &Declaration, seen: &mut Seen) -> Result<(), Fault> {
    let unserved = served::refuse(declaration);
    seen.note(("good", declaration.namespaces.len().min(4), unserved.len().min(4)));
    for name in declaration.namespaces.keys() {
        let Some(page) = explain(declaration, name) else {
            return Err(Fault::Broken(format!("the namespace {name:?} cannot be explained")));
        };
        silent(&page)?;
    }
    silent(&format!("{declaration:?}"))
}

/// Nothing that is shown has the secret in it.
fn silent(shown: &str) -> Result<(), Fault> {
    if shown.contains(SECRET) {
        return Err(Fault::Broken("a secret is shown".to_owned()));
    }
    Ok(())
}
