//! The OpenAPI 3.1 document of the routes in [`super::routes`]; a test holds the two together.

use std::sync::OnceLock;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use tidings_protocol::ErrorCode;

use super::problem::Problem;
use super::response::{self, Answer};
use super::routes::{Call, ROUTES};

/// Who may call an operation.
#[derive(Clone, Copy)]
enum Access {
    Anyone,
    Cookie,
    SignedIn,
    SignedInToChange,
}

/// What a route's row does not say: summary, access, schema of the body, status and schema of the answer.
struct Operation(&'static str, &'static str, Access, Option<&'static str>, u16, Option<&'static str>);

const OPERATIONS: &[Operation] = &[
    Operation(
        "createAccount",
        "Makes an account.",
        Access::Anyone,
        Some("Credentials"),
        201,
        Some("Account"),
    ),
    Operation(
        "signIn",
        "Signs in. The answer also sets the refresh cookie.",
        Access::Anyone,
        Some("Credentials"),
        200,
        Some("Session"),
    ),
    Operation(
        "signOut",
        "Signs out: the sign-in's tokens and sessions end.",
        Access::SignedInToChange,
        None,
        204,
        None,
    ),
    Operation(
        "refreshSession",
        "New tokens for the refresh cookie. Takes an allowed Origin.",
        Access::Cookie,
        None,
        200,
        Some("Session"),
    ),
    Operation(
        "enterAsGuest",
        "Signs in as a new guest, where guests are allowed.",
        Access::Anyone,
        None,
        200,
        Some("Session"),
    ),
    Operation("listCharacters", "The account's characters.", Access::SignedIn, None, 200, Some("Characters")),
    Operation(
        "createCharacter",
        "Makes a character.",
        Access::SignedInToChange,
        Some("NewCharacter"),
        201,
        Some("Character"),
    ),
    Operation("deleteCharacter", "Deletes a character, for ever.", Access::SignedInToChange, None, 204, None),
    Operation(
        "createTicket",
        "A ticket that opens one WebSocket within 30 seconds.",
        Access::SignedInToChange,
        None,
        201,
        Some("Ticket"),
    ),
    Operation(
        "listDeadLetterQueues",
        "For moderators: queues with dead letters, how many, and since when.",
        Access::SignedIn,
        None,
        200,
        Some("Any"),
    ),
    Operation(
        "listDeadLetters",
        "For moderators: a page of a queue's dead letters, or one of them.",
        Access::SignedIn,
        None,
        200,
        Some("Any"),
    ),
    Operation(
        "replayDeadLetters",
        "For admins: puts messages back into their queue, at most 100 a call and some seconds long.",
        Access::SignedInToChange,
        Some("DeadLetterChange"),
        200,
        Some("Any"),
    ),
    Operation(
        "purgeDeadLetters",
        "For admins: takes dead letters out, for good, at most 100 a call.",
        Access::SignedInToChange,
        Some("DeadLetterChange"),
        200,
        Some("Any"),
    ),
    Operation(
        "listSubjects",
        "For moderators: every subject that this server's messages go by.",
        Access::SignedIn,
        None,
        200,
        Some("Any"),
    ),
    Operation("getOpenApi", "This document.", Access::Anyone, None, 200, Some("Any")),
    Operation(
        "openWebSocket",
        "Opens a WebSocket of the sub-protocol tidings.v1.json.",
        Access::Anyone,
        None,
        101,
        None,
    ),
    Operation("getHealth", "Whether the process is alive.", Access::Anyone, None, 200, Some("Any")),
    Operation(
        "getReadiness",
        "Whether every dependency answers; 503 where one does not.",
        Access::Anyone,
        None,
        200,
        Some("Any"),
    ),
    Operation(
        "getMetrics",
        "Metrics for Prometheus, for loopback and the configured networks.",
        Access::Anyone,
        None,
        200,
        None,
    ),
];

/// `GET /api/v1/openapi.json`
pub async fn answer(_: &mut Call) -> Result<Answer, Problem> {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let bytes = DOCUMENT.get_or_init(|| Bytes::from(document().to_string()));
    Ok(response::bytes(StatusCode::OK, "application/json", bytes.clone()))
}

/// The document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let Some(operation) = OPERATIONS.iter().find(|operation| operation.0 == route.name) else { continue };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        let described = operation.describe(route.path);
        path[route.method.as_str().to_ascii_lowercase()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidings",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A real-time server for shared worlds. Every error is application/problem+json.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas(), "securitySchemes": security_schemes() },
    })
}

impl Operation {
    fn describe(&self, path: &str) -> Value {
        let Self(name, summary, access, body, status, answer) = self;
        let mut done = json!({ "description": summary });
        if let Some(schema) = answer {
            done["content"] = json!({ "application/json": { "schema": reference(schema) } });
        }
        let problem = json!({ "application/problem+json": { "schema": reference("Problem") } });
        let mut described = json!({
            "operationId": name,
            "summary": summary,
            "security": access.requirements(),
            "responses": {
                status.to_string(): done,
                "default": { "description": "A refusal.", "content": problem },
            },
        });
        if let Some(schema) = body {
            let content = json!({ "application/json": { "schema": reference(schema) } });
            described["requestBody"] = json!({ "required": true, "content": content });
        }
        let parameters = self.parameters(path);
        if !parameters.is_empty() {
            described["parameters"] = Value::Array(parameters);
        }
        described
    }

    fn parameters(&self, path: &str) -> Vec<Value> {
        let mut parameters = Vec::new();
        if path.contains("{id}") {
            let of = if path.contains("dead-letters") { "Queue" } else { "Id" };
            parameters.push(json!({ "name": "id", "in": "path", "required": true, "schema": reference(of) }));
        }
        if self.0 == "listDeadLetters" {
            let text = [("reason", json!({ "type": "string" }))];
            let numbers = ["from_ms", "until_ms", "after", "limit", "letter"];
            let numbers = numbers.map(|name| (name, json!({ "type": "integer" })));
            let query = |(name, schema)| json!({ "name": name, "in": "query", "schema": schema });
            parameters.extend(text.into_iter().chain(numbers).map(query));
        }
        parameters
    }
}

impl Access {
    fn requirements(self) -> Value {
        match self {
            Self::Anyone => json!([]),
            Self::Cookie => json!([{ "cookie": [] }]),
            Self::SignedIn => json!([{ "bearer": [] }, { "cookie": [] }]),
            Self::SignedInToChange => json!([{ "bearer": [] }, { "cookie": [], "csrf": [] }]),
        }
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn security_schemes() -> Value {
    json!({
        "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
        "cookie": {
            "type": "apiKey", "in": "cookie", "name": "__Secure-tidings-refresh",
            "description": "Set by signing in; without the prefix where the server speaks plain HTTP.",
        },
        "csrf": { "type": "apiKey", "in": "header", "name": "X-CSRF-Token" },
    })
}

fn object(required: &[(&str, Value)], optional: &[(&str, Value)], closed: bool) -> Value {
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        required.iter().chain(optional).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let mut schema = json!({ "type": "object", "required": names, "properties": properties });
    if closed {
        schema["additionalProperties"] = Value::Bool(false);
    }
    schema
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let seconds = || json!({ "type": "integer", "description": "seconds" });
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let password = json!({ "type": "string", "format": "password" });
    let character = [("id", reference("Id")), ("name", text())];
    json!({
        "Any": { "type": "object" },
        "Id": { "type": "string", "pattern": "^[0-9a-f]{32}$" },
        "Credentials": object(&[("username", text()), ("password", password)], &[], true),
        "NewCharacter": object(&[("name", text())], &[], true),
        "Account": object(&[("id", reference("Id")), ("username", text())], &[], false),
        "Session": object(
            &[("access_token", text()), ("expires_in", seconds()), ("csrf_token", text())],
            &[],
            false,
        ),
        "Character": object(&character, &[], false),
        "Characters": object(
            &[("characters", json!({ "type": "array", "items": reference("Character") }))],
            &[],
            false,
        ),
        "Ticket": object(&[("ticket", text())], &[("expires_in", seconds())], false),
        "Queue": { "type": "string", "pattern": "^[a-z0-9-]{1,40}$" },
        "DeadLetterChange": object(
            &[],
            &[
                ("id", json!({ "type": "integer" })),
                ("which", reference("DeadLetterFilter")),
                ("per_second", json!({ "type": "integer" })),
            ],
            true,
        ),
        "DeadLetterFilter": object(
            &[],
            &[
                ("reason", text()),
                ("from_ms", json!({ "type": "integer" })),
                ("until_ms", json!({ "type": "integer" })),
                ("after", json!({ "type": "integer" })),
                ("through", json!({ "type": "integer" })),
                ("limit", json!({ "type": "integer" })),
            ],
            true,
        ),
        "Problem": object(
            &[
                ("type", text()),
                ("title", text()),
                ("status", json!({ "type": "integer" })),
                ("detail", text()),
                ("code", json!({ "type": "string", "enum": codes })),
            ],
            &[("retry_after_ms", json!({ "type": "integer" }))],
            false,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_holds_every_route_and_nothing_else() {
        let document = document();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let name = operation["operationId"].as_str().expect("a name");
                described.insert((method.to_uppercase(), path.clone(), name.to_owned()));
            }
        }
        let table: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| (route.method.to_string(), route.path.to_owned(), route.name.to_owned()))
            .collect();
        assert_eq!(described, table);
        assert_eq!(OPERATIONS.len(), ROUTES.len());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        let pointer = to.strip_prefix('#').expect("a local reference");
                        assert!(document.pointer(pointer).is_some(), "{to}");
                    }
                    open.extend(map.values());
                }
                Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
    }
}
