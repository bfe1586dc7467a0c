//! Dead letters by HTTP: who may look, who may change, what is noted.

use serde_json::{Value, json};
use tidings_bus::WorkConfig;

use crate::harness::{ACCESS, ADMIN, CSRF, MODERATOR, Reply, Request, TestServer, with_server};

/// Two letters of the queue 'mail'.
async fn give_up(server: &TestServer) {
    let registry = server.bus.registry();
    let queue = registry.subject("work", &["mail"]).expect("a queue");
    let dead = registry.subject("dlq", &["mail"]).expect("its letters");
    let work = server.bus.work(&queue, &dead, WorkConfig::default()).expect("work");
    for (text, why) in [("to ann", "timed out"), ("to ben", "no such person")] {
        work.enqueue(text.into(), Vec::new()).await.expect("stored");
        work.next().await.expect("work").term(why).await.expect("a letter");
    }
}

async fn get(server: &TestServer, path: &str, token: &str) -> Reply {
    server.ask(Request::get(&format!("/api/v1/dead-letters{path}")).bearing(token)).await
}

async fn post(server: &TestServer, path: &str, token: &str, body: &Value) -> Reply {
    let request = Request::post(&format!("/api/v1/dead-letters/mail/{path}")).bearing(token);
    server.ask(request.json(&body.to_string())).await
}

fn audited(server: &TestServer) -> Vec<String> {
    std::mem::take(&mut *server.calls.lock().expect("no test panics here"))
}

#[test]
fn moderators_look_and_admins_change() {
    with_server(async |server: &TestServer| {
        give_up(server).await;
        let queues = get(server, "", MODERATOR).await.json();
        assert_eq!(
            (&queues["queues"][0]["queue"], &queues["queues"][0]["letters"]),
            (&json!("mail"), &json!(2))
        );
        let page = get(server, "/mail?limit=1", MODERATOR).await.json();
        assert_eq!(page["letters"][0]["text"], "to ann");
        let next = get(server, &format!("/mail?limit=1&after={}", page["next"]), ADMIN).await.json();
        assert_eq!((&next["letters"][0]["text"], &next["next"]), (&json!("to ben"), &Value::Null));
        let found = get(server, "/mail?reason=no+such%20person", MODERATOR).await.json();
        let id = found["letters"][0]["id"].clone();
        let one = get(server, &format!("/mail?letter={id}"), MODERATOR).await.json();
        assert_eq!(one, found["letters"][0]);
        assert!(audited(server).is_empty(), "looking changes nothing");

        let done = post(server, "replay", ADMIN, &json!({ "id": id })).await;
        assert_eq!((done.status, &done.json()["replayed"]), (200, &json!(1)), "{done:?}");
        assert_eq!(post(server, "replay", ADMIN, &json!({ "id": id })).await.code(), "not_found");
        let done = post(server, "purge", ADMIN, &json!({ "which": { "reason": "timed" } })).await;
        assert_eq!(done.json()["purged"], json!(1), "{done:?}");
        assert_eq!(get(server, "", MODERATOR).await.json()["queues"], json!([]));
        let noted = audited(server);
        assert_eq!(noted.len(), 3, "{noted:?}");
        assert!(noted[0].starts_with("audit ann dead-letters.replay mail {"), "{noted:?}");
    });
}

#[test]
fn others_are_refused_and_noted() {
    with_server(async |server: &TestServer| {
        give_up(server).await;
        for path in ["", "/mail"] {
            assert_eq!(get(server, path, ACCESS).await.code(), "permission_denied");
            let stranger = server.ask(Request::get(&format!("/api/v1/dead-letters{path}"))).await;
            assert_eq!(stranger.code(), "unauthenticated");
        }
        for (path, token) in [("replay", ACCESS), ("replay", MODERATOR), ("purge", MODERATOR)] {
            let refused = post(server, path, token, &json!({ "which": {} })).await;
            assert_eq!(refused.code(), "permission_denied", "{path}");
        }
        let expected = [
            "audit ann dead-letters.list  refused",
            "audit ann dead-letters.list mail refused",
            "audit ann dead-letters.replay mail refused",
            "audit ann dead-letters.replay mail refused",
            "audit ann dead-letters.purge mail refused",
        ];
        assert_eq!(audited(server), expected);
        assert_eq!(get(server, "", MODERATOR).await.json()["queues"][0]["letters"], 2, "nothing was changed");
    });
}

#[test]
fn a_cookie_alone_is_passed_on_but_changes_nothing_without_its_csrf_token() {
    with_server(async |server: &TestServer| {
        give_up(server).await;
        let purge = || Request::post("/api/v1/dead-letters/mail/purge").cookie().json(r#"{"which":{}}"#);
        let refused = server.ask(purge()).await;
        assert_eq!((refused.code().as_str(), audited(server).len()), ("permission_denied", 0));
        let refused = server.ask(purge().header("X-CSRF-Token", CSRF)).await;
        assert_eq!(refused.detail(), "This is for the role 'admin'.");
        let looked = server.ask(Request::get("/api/v1/dead-letters").cookie()).await;
        assert_eq!(looked.detail(), "This is for the role 'moderator'.");
        let expected = ["audit ann dead-letters.purge mail refused", "audit ann dead-letters.list  refused"];
        assert_eq!(audited(server), expected);
    });
}

#[test]
fn what_cannot_be_asked_is_told() {
    with_server(async |server: &TestServer| {
        for path in ["/mail?limit=x", "/mail?limt=1", "/mail?after=1&after=2", "/no.queue"] {
            assert_eq!(get(server, path, MODERATOR).await.code(), "invalid_argument", "{path}");
        }
        assert_eq!(get(server, "/mail?letter=7", MODERATOR).await.code(), "not_found");
        for body in [json!({}), json!({ "id": 1, "which": {} }), json!({ "which": { "ids": [1] } })] {
            let refused = post(server, "purge", ADMIN, &body).await;
            assert_eq!(refused.code(), "invalid_argument", "{body}");
        }
    });
}
