//! The OpenAPI document and the server say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{Answer, Stage, ask_with};
use super::{ITEM_A, STORE};

/// Headers of every answer, which say how it is sent.
const OF_TRANSPORT: [&str; 4] = ["content-type", "content-length", "date", "connection"];

/// Errors of what stands behind the engine. They come from one place for all operations, whatever it was that was asked for.
const OF_ENGINE: [&str; 19] = [
    "breaker_open",
    "journal_failed",
    "journal_unconfirmed",
    "overloaded",
    "parked",
    "queue_full",
    "refused",
    "sink_failed",
    "sink_refused",
    "source_failed",
    "source_timeout",
    "store_failed",
    "store_unconfirmed",
    "unavailable",
    "unconfirmed",
    "unfit",
    "write_unconfirmed",
    // The connection ends with the request that ends before its length: there is nobody to answer.
    "no_body",
    // Of a DELETE: it has no value.
    "too_large",
];

/// Errors of the door, the listener and its places, for which there must be tokens, TLS, a crowd or a mistake: `access.rs`, `bodies.rs`, `framing.rs`,
/// `listeners.rs` and `tls.rs` drive them.
const OF_LISTENER: [&str; 9] = [
    "unauthorized",
    "forbidden",
    "internal",
    "no_place",
    "bodies_full",
    "no_tls",
    "bad_host",
    "body_late",
    "transfer_refused",
];

struct Document {
    all: Value,
    seen: BTreeSet<(String, String)>,
}

impl Document {
    /// Holds an answer to what is said of the operation `id`.
    fn check(&mut self, id: &str, answer: &Answer) {
        let paths = self.all["paths"].as_object().unwrap();
        let mut operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
        let operation = operations.find(|operation| operation["operationId"] == id).expect(id);
        let response = &operation["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{id} does not tell of {answer:?}");
        let told = response["headers"].as_object().unwrap();
        for name in answer.headers.keys().filter(|name| !OF_TRANSPORT.contains(&name.as_str())) {
            assert!(
                told.keys().any(|told| told.eq_ignore_ascii_case(name)),
                "{id} {}: {name}",
                answer.status
            );
        }
        let content_type = answer.header("content-type");
        let mut seen = answer.status.to_string();
        if content_type.starts_with("application/")
            && content_type.ends_with("json")
            && answer.body.starts_with('{')
            && let Some(content) = response["content"].get(content_type)
        {
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            self.fits(&content["schema"], &body, id);
            if let Some(code) = body["code"].as_str() {
                seen = code.to_owned();
            }
        } else {
            assert!(
                answer.body.is_empty()
                    || response["content"].get("*/*").is_some()
                    || response["content"].get(content_type.split(';').next().unwrap()).is_some(),
                "{id} {answer:?}"
            );
        }
        self.seen.insert((id.to_owned(), seen));
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix("#/components/schemas/").unwrap();
            return self.fits(&self.all["components"]["schemas"][name], value, at);
        }
        let all = schema["allOf"].as_array();
        all.into_iter().flatten().for_each(|schema| self.fits(schema, value, at));
        if let Some(values) = schema["enum"].as_array() {
            assert!(values.contains(value), "{at}: {value} is none of {values:?}");
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        match &schema["type"] {
            Value::String(told) => assert_eq!(told, kind, "{at}"),
            Value::Array(told) => assert!(told.contains(&kind.into()), "{at}"),
            _ => {}
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(value.get(name.as_str().unwrap()).is_some(), "{at}: no {name}");
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(name) {
                Some(schema) => self.fits(schema, member, &format!("{at}.{name}")),
                None => assert_ne!(schema["additionalProperties"], false, "{at}: {name} is not told of"),
            }
        }
        if schema["items"].is_object() {
            value.as_array().into_iter().flatten().for_each(|item| self.fits(&schema["items"], item, at));
        }
    }

    /// What is told of: each operation with each of its answers that go well, and each of its errors.
    fn told(&self) -> BTreeSet<(String, String)> {
        let paths = self.all["paths"].as_object().unwrap();
        let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
        operations
            .flat_map(|operation| {
                let id = operation["operationId"].as_str().unwrap();
                let responses = operation["responses"].as_object().unwrap().iter();
                responses.flat_map(move |(status, response)| {
                    let problem = &response["content"]["application/problem+json"]["schema"]["allOf"][1];
                    let codes = problem["properties"]["code"]["enum"].as_array().cloned();
                    let codes = codes.unwrap_or_else(|| vec![status.as_str().into()]);
                    codes.into_iter().map(move |code| (id.to_owned(), code.as_str().unwrap().to_owned()))
                })
            })
            .collect()
    }
}

const PASTE: &str = "/v1/shop/paste/paste:a";
const SUNK: &str = "/v1/shop/sunk/sunk:a";
const METADATA: &str = "Forebay-Metadata: {\"a\":1}\r\n";
const GZIP: &str = "Accept-Encoding: gzip\r\n";
const MANY: &str = r#"{"keys":["item:a","item:none","other"]}"#;

/// An operation, and a request for it: method, path, headers, body.
type Asked<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

fn writes<'a>(text: &'a str, huge: &'a str) -> Vec<Asked<'a>> {
    vec![
        ("write", "PUT", PASTE, METADATA, "{\"n\":1}"),
        ("write", "PUT", "/v1/shop/paste/paste:long?ttl=1h", "Content-Type: text/plain\r\n", text),
        ("write", "PUT", PASTE, "If-None-Match: *\r\n", "1"),
        ("write", "PUT", "/v1/shop/paste/paste:new", "If-None-Match: *\r\n", "1"),
        ("write", "PUT", ITEM_A, "", "1"),
        ("write", "PUT", ITEM_A, "If-Match: *\r\n", "1"),
        ("write", "PUT", SUNK, METADATA, "1"),
        ("write", "PUT", PASTE, "Forebay-Metadata: {\r\n", "1"),
        ("write", "PUT", "/v1/shop/paste/paste:a?ttl=1", "", "1"),
        ("write", "PUT", "/v1/shop/paste/other", "", "1"),
        ("write", "PUT", "/v1/shop/none/a", "", "1"),
        ("write", "PUT", "/v1/none/none/a", "", "1"),
        ("write", "PUT", "/v1/shop/paste/%FF", "", "1"),
        ("write", "PUT", PASTE, "", huge),
        ("write", "PUT", PASTE, "Content-Range: bytes 0-0/2\r\n", "1"),
        ("write", "PUT", PASTE, "Content-Encoding: gzip\r\n", "1"),
    ]
}

fn reads() -> Vec<Asked<'static>> {
    vec![
        ("read", "GET", PASTE, "", ""),
        ("read", "GET", ITEM_A, "", ""),
        ("read", "GET", "/v1/shop/paste/paste:long", GZIP, ""),
        ("read", "HEAD", "/v1/shop/paste/paste:long", GZIP, ""),
        ("read", "GET", PASTE, "Range: bytes=0-0\r\n", ""),
        ("read", "GET", PASTE, "Range: bytes=99-\r\n", ""),
        ("read", "GET", PASTE, "If-None-Match: *\r\n", ""),
        ("read", "GET", PASTE, "If-Match: \"other\"\r\n", ""),
        ("read", "GET", "/v1/shop/item/item:none", "", ""),
        ("read", "GET", "/v1/shop/item/other", "", ""),
        ("read", "GET", "/v1/shop/scratch/scratch:h", "", ""),
        ("read", "GET", "/v1/shop/none/a", "", ""),
        ("read", "GET", "/v1/none/none/a", "", ""),
        ("read", "GET", "/v1/shop/item/%FF", "", ""),
    ]
}

fn others(long: &str) -> Vec<Asked<'_>> {
    vec![
        ("health", "GET", "/health", "", ""),
        ("ready", "GET", "/health/ready", "", ""),
        ("metrics", "GET", "/metrics", "", ""),
        ("metrics", "GET", "/metrics", "Accept: application/openmetrics-text\r\n", ""),
        ("openapi", "GET", "/v1/openapi.json", "", ""),
        ("list", "GET", "/v1/shop/paste?prefix=p&limit=1", "", ""),
        ("list", "GET", "/v1/shop/paste?limit=0", "", ""),
        ("list", "GET", "/v1/shop/paste?cursor=x", "", ""),
        ("list", "GET", "/v1/shop/none", "", ""),
        ("list", "GET", "/v1/none/none", "", ""),
        ("list", "GET", "/v1/shop/%FF", "", ""),
        ("read_many", "POST", "/v1/shop/item:get", "", MANY),
        ("read_many", "POST", "/v1/shop/paste:get", "", r#"{"keys":["paste:a","paste:long"]}"#),
        ("read_many", "POST", "/v1/shop/item:get", "", "[]"),
        ("read_many", "POST", "/v1/shop/item:get", "", long),
        ("read_many", "POST", "/v1/shop/none:get", "", MANY),
        ("read_many", "POST", "/v1/none/item:get", "", MANY),
        ("read_many", "POST", "/v1/shop/%FF:get", "", MANY),
        ("delete", "DELETE", PASTE, "If-Match: \"other\"\r\n", ""),
        ("delete", "DELETE", PASTE, "", ""),
        ("delete", "DELETE", ITEM_A, "If-Match: *\r\n", ""),
        ("delete", "DELETE", "/v1/shop/item/other", "", ""),
        ("delete", "DELETE", "/v1/shop/none/a", "", ""),
        ("delete", "DELETE", "/v1/none/none/a", "", ""),
        ("delete", "DELETE", "/v1/shop/item/%FF", "", ""),
    ]
}

fn invalidations(long: &str) -> Vec<Asked<'_>> {
    let mut asked = vec![
        ("invalidate_tags", "POST", "/v1/shop:invalidate", "", r#"{"tags":["a"]}"#),
        ("invalidate_tags", "POST", "/v1/shop:invalidate", "", "{}"),
        ("invalidate_tags", "POST", "/v1/shop:invalidate", "", long),
        ("invalidate_tags", "POST", "/v1/none:invalidate", "", r#"{"tags":["a"]}"#),
        ("invalidate_tags", "POST", "/v1/%FF:invalidate", "", "{}"),
        ("expire_tags", "POST", "/v1/shop:expire", "", r#"{"tags":["a"]}"#),
        ("expire_tags", "POST", "/v1/shop:expire", "", "{}"),
        ("expire_tags", "POST", "/v1/shop:expire", "", long),
        ("expire_tags", "POST", "/v1/none:expire", "", r#"{"tags":["a"]}"#),
        ("expire_tags", "POST", "/v1/%FF:expire", "", "{}"),
    ];
    for (of, body) in [
        ("item", r#"{"keys":["item:a"]}"#),
        ("item", r#"{"prefix":"item:"}"#),
        ("item", r#"{"prefix":"other:"}"#),
        ("item", "1"),
        ("item", long),
        ("none", "{}"),
    ] {
        let paths = match of {
            "item" => ["/v1/shop/item:invalidate", "/v1/shop/item:expire"],
            _ => ["/v1/shop/none:invalidate", "/v1/shop/none:expire"],
        };
        asked.extend([("invalidate", "POST", paths[0], "", body), ("expire", "POST", paths[1], "", body)]);
    }
    asked.extend([
        ("invalidate", "POST", "/v1/none/item:invalidate", "", "{}"),
        ("invalidate", "POST", "/v1/shop/%FF:invalidate", "", "{}"),
        ("expire", "POST", "/v1/none/item:expire", "", "{}"),
        ("expire", "POST", "/v1/shop/%FF:expire", "", "{}"),
    ]);
    asked
}

/// Of each twice what its quota holds once.
fn quotas() -> Vec<Asked<'static>> {
    let spent = "/v1/shop/spent/spent:a";
    let (read, many) = (("read", "GET", spent, "", ""), r#"{"keys":["spent:a","spent:b"]}"#);
    let write = ("write", "PUT", spent, "", "x");
    vec![
        read,
        read,
        ("read_many", "POST", "/v1/shop/spent:get", "", many),
        write,
        write,
        ("delete", "DELETE", spent, "", ""),
    ]
}

/// What a namespace refuses that keeps to the limits of Workers KV; and a key that none takes.
fn limits(long_key: &str) -> Vec<Asked<'_>> {
    let strict = "/v1/shop/strict/strict:a";
    vec![
        ("write", "PUT", "/v1/shop/strict/strict:a?ttl=59s", "", "x"),
        ("write", "PUT", strict, "", "x"),
        ("write", "PUT", strict, "", "x"),
        ("read", "GET", long_key, "", ""),
        ("write", "PUT", long_key, "", "x"),
        ("delete", "DELETE", long_key, "", ""),
        ("read_many", "POST", "/v1/shop/strict:get", "", r#"{"keys":["strict:a", ""]}"#),
    ]
}

/// Methods that no path takes, and a page of another site.
fn refused() -> Vec<Asked<'static>> {
    let paths = [
        ("ready", "/health/ready"),
        ("metrics", "/metrics"),
        ("openapi", "/v1/openapi.json"),
        ("read", PASTE),
        ("write", PASTE),
        ("delete", PASTE),
        ("list", "/v1/shop/paste"),
        ("read_many", "/v1/shop/paste:get"),
        ("invalidate", "/v1/shop/paste:invalidate"),
        ("expire", "/v1/shop/paste:expire"),
        ("invalidate_tags", "/v1/shop:invalidate"),
        ("expire_tags", "/v1/shop:expire"),
    ];
    let mut asked = vec![("health", "PATCH", "/health", "", "")];
    for (id, path) in paths {
        asked.push((id, "PATCH", path, "", ""));
        asked.push((id, "PATCH", path, "Origin: http://other.example\r\n", ""));
    }
    asked
}

#[tokio::test]
async fn what_is_served_is_what_is_told() {
    let spent = "[namespace.spent]\nkey = 'spent:{id}'\nmode = 'store'\nttl = '1h'\nquota = { reads = 1, writes = 1 }\n\
         [namespace.strict]\nkey = 'strict:{id}'\nmode = 'store'\nttl = '1h'\nworkers_kv_limits = true\n";
    let stage = Stage::with(&format!("{}{STORE}{spent}", super::super::NAMESPACES)).await;
    let text = stage.get("/v1/openapi.json").await;
    assert_eq!(text.header("content-type"), "application/json");
    let mut document = Document { all: serde_json::from_str(&text.body).unwrap(), seen: BTreeSet::new() };
    assert_eq!(document.all["openapi"], "3.1.0");
    assert_eq!(stage.resp().await.say("HSET scratch:h f v").await, "1");
    let (text, long, huge) = ("x ".repeat(2000), "x".repeat(2 << 20 | 1), "x".repeat(25 << 20 | 1));
    let long_key = format!("/v1/shop/strict/strict:{}", "x".repeat(512));
    let limits = limits(&long_key);
    for asked in
        [writes(&text, &huge), reads(), others(&long), invalidations(&long), quotas(), limits, refused()]
    {
        for (id, method, path, headers, body) in asked {
            document.check(id, &ask_with(stage.process.http, method, path, headers, body).await);
        }
    }
    let mut missing: Vec<_> = document.told().difference(&document.seen).cloned().collect();
    missing.retain(|(_, what)| !OF_ENGINE.contains(&what.as_str()) && !OF_LISTENER.contains(&what.as_str()));
    assert!(missing.is_empty(), "told of, and not served: {missing:?}");
}
