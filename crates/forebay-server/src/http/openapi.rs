//! What is served, for programs: an OpenAPI 3.1 document at `/v1/openapi.json`, made from one table of operations.
//!
//! The table is what the handlers are held to: tests drive every operation, and fail where an answer has a status, a header, a member or
//! an error that is not in it, or where one that is in it is not served.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// Parameters of the query and headers of the request: where, name, what it says.
    asks: &'static [(&'static str, &'static str, &'static str)],
    body: Content,
    /// What is answered where it goes well: status, what that means, headers, body.
    answers: &'static [(u16, &'static str, &'static [&'static str], Content)],
    /// The errors of its own: status and code.
    errors: &'static [(u16, &'static str)],
}

/// A body.
#[derive(Clone, Copy)]
enum Content {
    None,
    /// The value, of any content type.
    Value,
    Text,
    /// The text of metrics, in one of two forms.
    Metrics,
    /// JSON of one of the [`schemas`].
    Json(&'static str),
}

/// The headers of an answer that has a value, beside [`REQUEST_ID`].
const OF_VALUE: &[&str] = &[
    "Age",
    "Accept-Ranges",
    "Cache-Control",
    "Cache-Status",
    "Content-Encoding",
    "Content-Range",
    "Content-Security-Policy",
    "ETag",
    "Forebay-Metadata",
    "Vary",
    "X-Cache",
    "X-Content-Type-Options",
];

/// The headers of an error, some of which only some have.
const OF_ERROR: &[&str] = &[
    "Age",
    "Allow",
    "Cache-Control",
    "Cache-Status",
    "Content-Range",
    "Retry-After",
    "WWW-Authenticate",
    "X-Cache",
];

/// A header of every answer.
const REQUEST_ID: &str = "X-Request-Id";

/// The errors of whatever is asked.
const OF_ALL: &[(u16, &str)] = &[
    (400, "bad_host"),
    (400, "no_tls"),
    (405, "method_not_allowed"),
    (408, "body_late"),
    (500, "internal"),
    (501, "transfer_refused"),
    (503, "bodies_full"),
    (503, "no_place"),
];

/// The errors of whoever may not ask it. Only `/health` and `/health/ready` are open to everybody.
const OF_ACCESS: &[(u16, &str)] = &[(401, "unauthorized"), (403, "forbidden"), (403, "foreign_host")];

/// The errors of whoever asks for a namespace.
const NOT_FOUND: &[(u16, &str)] = &[(400, "bad_path"), (404, "no_keyspace"), (404, "no_namespace")];

/// The errors of a load.
const OF_LOADS: &[(u16, &str)] = &[
    (400, "refused"),
    (429, "quota_spent"),
    (502, "source_failed"),
    (503, "breaker_open"),
    (503, "overloaded"),
    (503, "store_failed"),
    (503, "unavailable"),
    (504, "source_timeout"),
];

/// The errors of a write.
const OF_WRITES: &[(u16, &str)] = &[
    (400, "refused"),
    (409, "parked"),
    (413, "too_large"),
    (422, "sink_refused"),
    (422, "unfit"),
    (429, "quota_spent"),
    (502, "sink_failed"),
    (502, "source_failed"),
    (503, "journal_failed"),
    (503, "journal_unconfirmed"),
    (503, "overloaded"),
    (503, "queue_full"),
    (503, "store_failed"),
    (503, "store_unconfirmed"),
    (503, "unavailable"),
    (503, "unconfirmed"),
    (504, "source_timeout"),
    (504, "write_unconfirmed"),
];

const KEY: &str = "/v1/{keyspace}/{namespace}/{key}";
const CONDITIONS: [(&str, &str, &str); 2] = [
    ("header", "If-Match", "only where the value has one of these tags"),
    ("header", "If-None-Match", "only where the value has none of these tags"),
];

const READ: &[(&str, &str, &str)] = &[
    CONDITIONS[0],
    CONDITIONS[1],
    ("header", "Range", "the part that is asked for, in bytes"),
    ("header", "If-Range", "the tag of the value of which the client holds part"),
    ("header", "Accept-Encoding", "gzip is spoken"),
    ("header", "Cache-Control", "`no-cache` asks the source itself"),
];

const NOTHING: &[(&str, &str, &str)] = &[];

const OPERATIONS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/health",
        id: "health",
        summary: "Whether the process serves",
        asks: NOTHING,
        body: Content::None,
        answers: &[(200, "it does", &[], Content::Text)],
        errors: &[],
    },
    Operation {
        method: "get",
        path: "/health/ready",
        id: "ready",
        summary: "How the process is, and, for who may read everything, what is wrong since when",
        asks: NOTHING,
        body: Content::None,
        answers: &[
            (200, "it serves, maybe with troubles", &["Cache-Control"], Content::Json("Health")),
            (503, "it stops, or a store has failed", &["Cache-Control"], Content::Json("Health")),
        ],
        errors: &[],
    },
    Operation {
        method: "get",
        path: "/metrics",
        id: "metrics",
        summary: "What happened, for a monitoring system",
        asks: &[("header", "Accept", "`application/openmetrics-text`, or else the text of Prometheus")],
        body: Content::None,
        answers: &[(200, "the metrics", &["Cache-Control"], Content::Metrics)],
        errors: &[],
    },
    Operation {
        method: "get",
        path: "/v1/openapi.json",
        id: "openapi",
        summary: "This document",
        asks: NOTHING,
        body: Content::None,
        answers: &[(200, "the document", &["Cache-Control"], Content::Json("Document"))],
        errors: &[],
    },
    Operation {
        method: "get",
        path: KEY,
        id: "read",
        summary: "The value of a key, through the source where it must",
        asks: READ,
        body: Content::None,
        answers: &[
            (200, "the value", OF_VALUE, Content::Value),
            (206, "part of the value", OF_VALUE, Content::Value),
            (304, "the client has the value", OF_VALUE, Content::None),
        ],
        errors: &[
            (400, "bad_key"),
            (404, "absent"),
            (409, "wrong_kind"),
            (412, "precondition_failed"),
            (414, "long_key"),
            (416, "no_such_range"),
        ],
    },
    Operation {
        method: "put",
        path: KEY,
        id: "write",
        summary: "Gives a key a value, where the namespace's writes go",
        asks: &[
            CONDITIONS[0],
            CONDITIONS[1],
            ("header", "Forebay-Metadata", "JSON that is kept with the value, at most 1,024 bytes of UTF-8"),
            ("query", "ttl", "after how long the value ends, such as 30s"),
            ("query", "expires_at", "when the value ends, as RFC 3339 writes it"),
        ],
        body: Content::Value,
        answers: &[
            (
                201,
                "it is written, and there was none: told of a write with a condition",
                &["ETag"],
                Content::None,
            ),
            (204, "it is written", &["ETag"], Content::None),
        ],
        errors: &[
            (400, "bad_key"),
            (400, "bad_metadata"),
            (400, "bad_query"),
            (400, "condition_refused"),
            (400, "metadata_refused"),
            (400, "no_body"),
            (400, "no_parts"),
            (400, "short_life"),
            (403, "writes_refused"),
            (412, "precondition_failed"),
            (414, "long_key"),
            (415, "encoding_refused"),
            (429, "too_often"),
        ],
    },
    Operation {
        method: "delete",
        path: KEY,
        id: "delete",
        summary: "Deletes a key, or drops every copy of it where the source has the truth",
        asks: &CONDITIONS,
        body: Content::None,
        answers: &[(204, "it is gone", &[], Content::None)],
        errors: &[
            (400, "bad_key"),
            (400, "condition_refused"),
            (412, "precondition_failed"),
            (414, "long_key"),
        ],
    },
    Operation {
        method: "get",
        path: "/v1/{keyspace}/{namespace}",
        id: "list",
        summary: "The keys of a namespace: of a store all, of a cache those that are held",
        asks: &[
            ("query", "prefix", "how the keys begin"),
            ("query", "limit", "how many keys at most, 1,000 unless said"),
            ("query", "cursor", "where to go on, from the answer before"),
        ],
        body: Content::None,
        answers: &[(200, "keys", &["Cache-Control"], Content::Json("Keys"))],
        errors: &[
            (400, "bad_query"),
            (400, "bad_cursor"),
            (503, "store_failed"),
            (503, "unavailable"),
            (504, "source_timeout"),
        ],
    },
    Operation {
        method: "post",
        path: "/v1/{keyspace}/{namespace}:get",
        id: "read_many",
        summary: "The values of many keys; those that miss are loaded together",
        asks: NOTHING,
        body: Content::Json("Named"),
        answers: &[(
            200,
            "an entry for each key, but for those that found no room and are to be asked for again: `unread`",
            &["Cache-Control"],
            Content::Json("Entries"),
        )],
        errors: &[
            (400, "bad_body"),
            (400, "bad_key"),
            (400, "no_body"),
            (413, "too_large"),
            (429, "quota_spent"),
        ],
    },
    Operation {
        method: "post",
        path: "/v1/{keyspace}/{namespace}:invalidate",
        id: "invalidate",
        summary: "Drops every copy of keys, of a prefix, or of all keys",
        asks: NOTHING,
        body: Content::Json("Reach"),
        answers: &[
            (200, "the keys are gone", &[], Content::Json("Held")),
            (204, "all that begin so are gone", &[], Content::None),
        ],
        errors: &[
            (400, "bad_body"),
            (400, "bad_key"),
            (400, "no_body"),
            (413, "too_large"),
            (503, "unconfirmed"),
        ],
    },
    Operation {
        method: "post",
        path: "/v1/{keyspace}/{namespace}:expire",
        id: "expire",
        summary: "Makes every copy of keys, of a prefix, or of all keys stale",
        asks: NOTHING,
        body: Content::Json("Reach"),
        answers: &[
            (200, "the keys are stale", &[], Content::Json("Held")),
            (204, "all that begin so are stale", &[], Content::None),
        ],
        errors: &[
            (400, "bad_body"),
            (400, "bad_key"),
            (400, "no_body"),
            (413, "too_large"),
            (503, "unconfirmed"),
        ],
    },
    Operation {
        method: "post",
        path: "/v1/{keyspace}:invalidate",
        id: "invalidate_tags",
        summary: "Drops every copy that has one of some tags",
        asks: NOTHING,
        body: Content::Json("Tags"),
        answers: &[(204, "they are gone", &[], Content::None)],
        errors: &[(400, "bad_body"), (400, "no_body"), (413, "too_large"), (503, "unconfirmed")],
    },
    Operation {
        method: "post",
        path: "/v1/{keyspace}:expire",
        id: "expire_tags",
        summary: "Makes every copy stale that has one of some tags",
        asks: NOTHING,
        body: Content::Json("Tags"),
        answers: &[(204, "they are stale", &[], Content::None)],
        errors: &[(400, "bad_body"), (400, "no_body"), (413, "too_large"), (503, "unconfirmed")],
    },
];

impl Operation {
    /// Every error that it answers with.
    fn all_errors(&self) -> Vec<(u16, &'static str)> {
        let (finds, loads, writes) = match self.id {
            "health" | "ready" | "metrics" | "openapi" => (&[][..], &[][..], &[][..]),
            "read" => (NOT_FOUND, OF_LOADS, &[][..]),
            "write" | "delete" => (NOT_FOUND, &[][..], OF_WRITES),
            "invalidate_tags" | "expire_tags" => (NOT_FOUND.get(..2).unwrap_or_default(), &[][..], &[][..]),
            _ => (NOT_FOUND, &[][..], &[][..]),
        };
        let access = if matches!(self.id, "health" | "ready") { &[][..] } else { OF_ACCESS };
        let mut errors = [self.errors, finds, loads, writes, access, OF_ALL].concat();
        errors.sort_unstable();
        errors.dedup();
        errors
    }

    fn document(&self) -> Value {
        let names = self.path.split('{').skip(1).filter_map(|part| part.split('}').next());
        let in_path = names
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        let asked = self.asks.iter().map(
            |(place, name, says)| json!({"name": name, "in": place, "description": says, "schema": {"type": "string"}}),
        );
        let mut document = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": in_path.chain(asked).collect::<Vec<_>>(),
            "responses": self.responses(),
        });
        if let (Some(content), Some(document)) = (self.body.document(), document.as_object_mut()) {
            let is_required = matches!(self.body, Content::Json(_));
            document.insert("requestBody".into(), json!({"required": is_required, "content": content}));
        }
        document
    }

    fn responses(&self) -> Map<String, Value> {
        let mut responses = Map::new();
        for (status, meaning, headers, content) in self.answers {
            let mut response = json!({"description": meaning, "headers": named(headers)});
            if let (Some(content), Some(response)) = (content.document(), response.as_object_mut()) {
                response.insert("content".into(), content);
            }
            responses.insert(status.to_string(), response);
        }
        let mut codes: std::collections::BTreeMap<u16, Vec<&str>> = std::collections::BTreeMap::new();
        for (status, code) in self.all_errors() {
            codes.entry(status).or_default().push(code);
        }
        for (status, codes) in codes {
            let problem = json!({"allOf": [
                {"$ref": "#/components/schemas/Problem"},
                {"properties": {"code": {"enum": codes}}},
            ]});
            // The same status may be that of an answer.
            let answer = responses.get(&status.to_string());
            let meaning = answer.and_then(|answer| answer.get("description")?.as_str());
            let descriptions: Vec<&str> = meaning.into_iter().chain(codes).collect();
            let content = answer.and_then(|answer| answer.get("content")?.as_object());
            let mut content = content.cloned().unwrap_or_default();
            content.insert("application/problem+json".into(), json!({ "schema": problem }));
            let response = json!({
                "description": descriptions.join(", "),
                "headers": named(OF_ERROR),
                "content": content,
            });
            responses.insert(status.to_string(), response);
        }
        responses
    }
}

impl Content {
    fn document(self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Value => Some(json!({"*/*": {}})),
            Self::Text => Some(json!({"text/plain": {"schema": {"type": "string"}}})),
            Self::Metrics => Some(json!({
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            })),
            Self::Json(schema) => {
                let schema = format!("#/components/schemas/{schema}");
                Some(json!({"application/json": {"schema": {"$ref": schema}}}))
            }
        }
    }
}

fn named(headers: &[&str]) -> Map<String, Value> {
    let all = headers.iter().chain([&REQUEST_ID]);
    all.map(|name| ((*name).to_owned(), json!({"schema": {"type": "string"}}))).collect()
}

/// The shapes of bodies.
fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": {"type": "string"}, "maxItems": super::many::KEYS_MAX});
    let object = |required: &[&str], members: Value| json!({"type": "object", "required": required, "properties": members, "additionalProperties": false});
    let entry = object(
        &["key"],
        json!({
            "key": text(), "value": {}, "base64": text(), "content_type": text(), "metadata": {},
            "age_s": {"type": "integer"}, "state": {"enum": ["fresh", "stale", "absent"]},
            "error": object(
                &["status", "code", "detail"],
                json!({"status": {"type": "integer"}, "code": text(), "detail": text()}),
            ),
        }),
    );
    let listed = object(&["key"], json!({"key": text(), "expires_at": text(), "metadata": {}}));
    let trouble = object(
        &["what", "since", "for_s"],
        json!({
            "what": text(), "keyspace": text(), "namespace": text(), "database": text(), "job": text(),
            "alarm": text(), "reason": text(), "since": text(), "for_s": {"type": "integer"},
        }),
    );
    json!({
        "Problem": object(
            &["type", "title", "status", "code", "detail"],
            json!({
                "type": text(), "title": text(), "status": {"type": "integer"}, "code": text(), "detail": text(),
                "request_id": text(),
            }),
        ),
        "Health": object(&["state"], json!({"state": text(), "troubles": {"type": "array", "items": trouble}})),
        "Document": {"type": "object"},
        "Named": object(&["keys"], json!({"keys": texts(), "as": {"enum": ["typed", "text"]}})),
        "Reach": object(&[], json!({"keys": texts(), "prefix": text()})),
        "Tags": object(&["tags"], json!({"tags": texts()})),
        "Held": object(&["held"], json!({"held": {"type": "integer"}})),
        "Entries": object(
            &["entries", "unread"],
            json!({"entries": {"type": "array", "items": entry}, "unread": texts()}),
        ),
        "Keys": object(
            &["keys", "cursor", "complete"],
            json!({
                "keys": {"type": "array", "items": listed},
                "cursor": {"type": ["string", "null"]},
                "complete": {"type": "boolean"},
            }),
        ),
    })
}

/// The whole document.
fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.into(), operation.document());
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Forebay", "version": env!("CARGO_PKG_VERSION"), "description":
            "Values and what is done with them. Every GET can be a HEAD. A key may contain `/`."},
        "paths": paths,
        "components": {"schemas": schemas()},
    })
}

/// Answers with the document.
pub(super) async fn serve() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, Bytes::clone(&TEXT)).into_response()
}
