//! The OpenAPI document and the server say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{Answer, ask_with};
use super::stage;

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
                    || content_type.starts_with("text/"),
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

#[tokio::test]
async fn what_is_served_is_what_is_told() {
    let stage = stage().await;
    let sink = "/v1/shop/sunk/sunk:a";
    let text = stage.get("/v1/openapi.json").await;
    assert_eq!(text.header("content-type"), "application/json");
    let mut document = Document { all: serde_json::from_str(&text.body).unwrap(), seen: BTreeSet::new() };
    assert_eq!(document.all["openapi"], "3.1.0");
    assert_eq!(stage.resp().await.say("HSET scratch:h f v").await, "1");
    let (paste, item, long) = ("/v1/shop/paste/paste:a", "/v1/shop/item/item:a", "x".repeat(2 << 20 | 1));
    let huge = "x".repeat(16 << 20 | 1);
    let (meta, gzip) = ("Forebay-Metadata: {\"a\":1}\r\n", "Accept-Encoding: gzip\r\n");
    let many = r#"{"keys":["item:a","item:none","other"]}"#;
    for (id, method, path, headers, body) in [
        ("health", "GET", "/health", "", ""),
        ("openapi", "GET", "/v1/openapi.json", "", ""),
        ("write", "PUT", paste, meta, "{\"n\":1}"),
        (
            "write",
            "PUT",
            "/v1/shop/paste/paste:long?ttl=1h",
            "Content-Type: text/plain\r\n",
            &"x ".repeat(2000),
        ),
        ("write", "PUT", paste, "If-None-Match: *\r\n", "1"),
        ("write", "PUT", item, "", "1"),
        ("write", "PUT", item, "If-Match: *\r\n", "1"),
        ("write", "PUT", sink, meta, "1"),
        ("write", "PUT", paste, "Forebay-Metadata: {\r\n", "1"),
        ("write", "PUT", "/v1/shop/paste/paste:a?ttl=1", "", "1"),
        ("write", "PUT", "/v1/shop/paste/other", "", "1"),
        ("write", "PUT", "/v1/shop/none/a", "", "1"),
        ("write", "PUT", "/v1/none/none/a", "", "1"),
        ("write", "PUT", "/v1/shop/paste/%FF", "", "1"),
        ("write", "PUT", paste, "", &huge),
        ("read", "GET", paste, "", ""),
        ("read", "GET", item, "", ""),
        ("read", "GET", "/v1/shop/paste/paste:long", gzip, ""),
        ("read", "HEAD", "/v1/shop/paste/paste:long", gzip, ""),
        ("read", "GET", paste, "Range: bytes=0-0\r\n", ""),
        ("read", "GET", paste, "Range: bytes=99-\r\n", ""),
        ("read", "GET", paste, "If-None-Match: *\r\n", ""),
        ("read", "GET", paste, "If-Match: \"other\"\r\n", ""),
        ("read", "GET", "/v1/shop/item/item:none", "", ""),
        ("read", "GET", "/v1/shop/item/other", "", ""),
        ("read", "GET", "/v1/shop/scratch/scratch:h", "", ""),
        ("read", "GET", "/v1/shop/none/a", "", ""),
        ("read", "GET", "/v1/none/none/a", "", ""),
        ("read", "GET", "/v1/shop/item/%FF", "", ""),
        ("list", "GET", "/v1/shop/paste?prefix=p&limit=1", "", ""),
        ("list", "GET", "/v1/shop/paste?limit=0", "", ""),
        ("list", "GET", "/v1/shop/paste?cursor=x", "", ""),
        ("list", "GET", "/v1/shop/none", "", ""),
        ("list", "GET", "/v1/none/none", "", ""),
        ("list", "GET", "/v1/shop/%FF", "", ""),
        ("read_many", "POST", "/v1/shop/item:get", "", many),
        ("read_many", "POST", "/v1/shop/paste:get", "", r#"{"keys":["paste:a","paste:long"]}"#),
        ("read_many", "POST", "/v1/shop/item:get", "", "[]"),
        ("read_many", "POST", "/v1/shop/item:get", "", &long),
        ("read_many", "POST", "/v1/shop/none:get", "", many),
        ("read_many", "POST", "/v1/none/item:get", "", many),
        ("read_many", "POST", "/v1/shop/%FF:get", "", many),
        ("invalidate_tags", "POST", "/v1/shop:invalidate", "", r#"{"tags":["a"]}"#),
        ("invalidate_tags", "POST", "/v1/shop:invalidate", "", "{}"),
        ("invalidate_tags", "POST", "/v1/shop:invalidate", "", &long),
        ("invalidate_tags", "POST", "/v1/none:invalidate", "", r#"{"tags":["a"]}"#),
        ("invalidate_tags", "POST", "/v1/%FF:invalidate", "", "{}"),
        ("expire_tags", "POST", "/v1/shop:expire", "", r#"{"tags":["a"]}"#),
        ("expire_tags", "POST", "/v1/shop:expire", "", "{}"),
        ("expire_tags", "POST", "/v1/shop:expire", "", &long),
        ("expire_tags", "POST", "/v1/none:expire", "", r#"{"tags":["a"]}"#),
        ("expire_tags", "POST", "/v1/%FF:expire", "", "{}"),
        ("delete", "DELETE", paste, "If-Match: \"other\"\r\n", ""),
        ("delete", "DELETE", paste, "", ""),
        ("delete", "DELETE", item, "If-Match: *\r\n", ""),
        ("delete", "DELETE", "/v1/shop/item/other", "", ""),
        ("delete", "DELETE", "/v1/shop/none/a", "", ""),
        ("delete", "DELETE", "/v1/none/none/a", "", ""),
        ("delete", "DELETE", "/v1/shop/item/%FF", "", ""),
    ] {
        let answer = ask_with(stage.process.http, method, path, headers, body).await;
        document.check(id, &answer);
    }
    for verb in ["invalidate", "expire"] {
        for (of, body) in [
            ("shop/item", r#"{"keys":["item:a"]}"#),
            ("shop/item", r#"{"prefix":"item:"}"#),
            ("shop/item", "1"),
            ("shop/item", &long),
            ("shop/none", "{}"),
            ("none/item", "{}"),
            ("shop/%FF", "{}"),
        ] {
            let path = format!("/v1/{of}:{verb}");
            document.check(verb, &ask_with(stage.process.http, "POST", &path, "", body).await);
        }
    }
    let missing: Vec<_> = document.told().difference(&document.seen).cloned().collect();
    let missing: Vec<_> = missing.iter().filter(|(_, what)| !OF_ENGINE.contains(&what.as_str())).collect();
    assert!(missing.is_empty(), "told of, and not served: {missing:?}");
}
