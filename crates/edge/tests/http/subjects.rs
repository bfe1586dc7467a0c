//! Subjects by HTTP: for staff alone.

use crate::harness::{ACCESS, ADMIN, MODERATOR, Request, TestServer, with_server};

#[test]
fn staff_see_every_subject_and_nobody_else_does() {
    with_server(async |server: &TestServer| {
        let get = |token: &str| Request::get("/api/v1/subjects").bearing(token);
        for token in [MODERATOR, ADMIN] {
            let reply = server.ask(get(token)).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let subjects = reply.json()["subjects"].as_array().expect("a list").clone();
            assert_eq!(subjects.len(), server.bus.registry().templates().len());
            let room = subjects.iter().find(|row| row["name"] == "room.log").expect("rooms have logs");
            assert_eq!((room["class"].as_str(), room["wide"].is_null()), (Some("durable"), true), "{room}");
            assert_eq!(room["message"], "tidings.world.v1.Event");
        }
        assert_eq!(server.ask(get(ACCESS)).await.code(), "permission_denied");
        assert_eq!(server.ask(get("access-of-nobody")).await.code(), "unauthenticated");
        assert_eq!(server.ask(Request::get("/api/v1/subjects")).await.code(), "unauthenticated");
    });
}
