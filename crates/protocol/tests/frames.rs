//! Golden frames: what is written here is what is on the wire, byte for byte, and stays so within version 1.

use proptest::prelude::*;
use serde_json::{Value, json};
use tidings_protocol::frames::{ClientFrame, Resume, ServerFrame, What};
use tidings_protocol::read::{FrameErrorKind, client_frame};
use tidings_protocol::{CloseCode, ErrorCode, Position};

const DEPTH: usize = 10;
const ID: &str = "0190000000007000800000000000000a";

fn read(text: &str) -> Result<ClientFrame, FrameErrorKind> {
    client_frame(text.as_bytes(), DEPTH).map_err(|error| error.kind)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn client_frames_read_and_write_as_they_are_written_here() {
    let hello = |token, ticket, csrf, character, resume| ClientFrame::Hello {
        token,
        ticket,
        csrf,
        character,
        resume,
    };
    let position = Position::new("e1", 42);
    let cases = [
        (
            r#"{"type":"hello","token":"t","character":"Ann"}"#,
            hello(some("t"), None, None, some("Ann"), None),
        ),
        (r#"{"type":"hello","token":"t"}"#, hello(some("t"), None, None, None, None)),
        (
            r#"{"type":"hello","ticket":"t","csrf":"c","character":"Ann"}"#,
            hello(None, some("t"), some("c"), some("Ann"), None),
        ),
        (
            r#"{"type":"hello","resume":{"secret":"s","position":{"epoch":"e1","seq":42}}}"#,
            hello(None, None, None, None, Some(Resume { secret: "s".into(), position: Some(position) })),
        ),
        (
            r#"{"type":"hello","resume":{"secret":"s"}}"#,
            hello(None, None, None, None, Some(Resume { secret: "s".into(), position: None })),
        ),
        (
            r#"{"type":"command","id":"c1","text":"say hello"}"#,
            ClientFrame::Command { id: "c1".into(), text: "say hello".into() },
        ),
        (r#"{"type":"state","what":"room"}"#, ClientFrame::State { what: What::Room, page: None }),
        (
            r#"{"type":"state","what":"occupants","page":"p2"}"#,
            ClientFrame::State { what: What::Occupants, page: some("p2") },
        ),
        (r#"{"type":"state","what":"map"}"#, ClientFrame::State { what: What::Map, page: None }),
        (r#"{"type":"state","what":"commands"}"#, ClientFrame::State { what: What::Commands, page: None }),
        (r#"{"type":"ping"}"#, ClientFrame::Ping { id: None }),
        (r#"{"type":"ping","id":"p1"}"#, ClientFrame::Ping { id: some("p1") }),
    ];
    for (text, frame) in cases {
        assert_eq!(read(text).as_ref(), Ok(&frame), "{text}");
        assert_eq!(serde_json::to_string(&frame).expect("json"), text);
    }
    assert_eq!(read(r#"{"type":"state"}"#), Ok(ClientFrame::State { what: What::Room, page: None }));
}

#[test]
fn what_clients_do_not_send_is_refused_by_kind() {
    use FrameErrorKind::{Form, NotJson, NotUtf8, TooDeep, UnknownField, UnknownType};
    let deep = format!(r#"{{"type":"ping","id":{}1{}}}"#, r#"{"a":"#.repeat(10), "}".repeat(10));
    let long = format!(r#"{{"type":"command","id":"{}","text":"look"}}"#, "x".repeat(65));
    let cases = [
        ("", NotJson),
        ("{", NotJson),
        ("hello", NotJson),
        (r#"{"type":"ping"} {}"#, NotJson),
        (r#"{"type":"ping","id":NaN}"#, NotJson),
        (r#"{"type":"ping","id":'a'}"#, NotJson),
        ("{\"type\":\"ping\",\"id\":\"\u{1}\"}", NotJson),
        (r#"{"type":"command","id":"a","text":"\ud800"}"#, NotJson),
        ("{}", Form),
        ("null", Form),
        ("7", Form),
        (r#""ping""#, Form),
        (r#"["ping"]"#, Form),
        (r#"{"type":"hello","resume":["s",null]}"#, Form),
        (r#"{"type":7}"#, Form),
        (r#"{"type":"command","id":"a"}"#, Form),
        (r#"{"type":"command","id":1,"text":"look"}"#, Form),
        (r#"{"type":"command","id":"","text":"look"}"#, Form),
        (r#"{"type":"hello","resume":{}}"#, Form),
        (r#"{"type":"hello","resume":{"secret":"s","position":{"epoch":"e","seq":-1}}}"#, Form),
        (r#"{"type":"hello","resume":{"secret":"s","position":{"epoch":"e","seq":1.5}}}"#, Form),
        (r#"{"type":"hello","resume":{"secret":"s","position":{"epoch":"e","seq":1,"x":1}}}"#, UnknownField),
        (&long, Form),
        (&deep, TooDeep),
        (r#"{"type":"welcome"}"#, UnknownType),
        (r#"{"type":"event","kind":"chat.say"}"#, UnknownType),
        (r#"{"type":"Ping"}"#, UnknownType),
        (r#"{"type":"state","what":"secrets"}"#, UnknownType),
        (r#"{"type":"ping","from":"Ann"}"#, UnknownField),
        (r#"{"type":"command","id":"a","text":"look","character":"Ben"}"#, UnknownField),
        (r#"{"type":"command","id":"a","id":"b","text":"look"}"#, UnknownField),
        (r#"{"type":"ping","type":"command"}"#, UnknownField),
        (r#"{"type":"hello","resume":{"secret":"s","role":"admin"}}"#, UnknownField),
        (r#"{"type":"hello","resume":{"secret":"s","position":{"epoch":"e","seq":1,"x":1}}}"#, UnknownField),
    ];
    for (text, kind) in cases {
        assert_eq!(read(text), Err(kind), "{text}");
    }
    assert_eq!(client_frame(b"{\"type\":\"ping\",\"id\":\"\xff\"}", DEPTH).map_err(|e| e.kind), Err(NotUtf8));
}

#[test]
fn a_refusal_names_the_field_and_no_value() {
    let cases = [
        (r#"{"type":"hello","token":"s3cret","colour":"red"}"#, "`colour`"),
        (r#"{"type":"shout"}"#, "`shout`"),
        (r#"{"type":"command","text":"s3cret"}"#, "`id`"),
        (r#"{"type":"hello","token":{"a":"s3cret"}}"#, "form"),
        (r#"{"type":"hello","token":"s3cret""#, "JSON"),
    ];
    for (text, named) in cases {
        let message = client_frame(text.as_bytes(), DEPTH).expect_err("refused").message;
        assert!(message.contains(named) && !message.contains("s3cret"), "{message}");
    }
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(9000));
    assert!(client_frame(long.as_bytes(), DEPTH).expect_err("refused").message.len() < 500);
}

fn server_frames() -> Vec<(&'static str, Value)> {
    let ann = json!({ "id": ID, "name": "Ann" });
    let position = json!({ "epoch": "e1", "seq": 42 });
    vec![
        (
            "welcome",
            json!({ "type": "welcome", "session": ID, "resume": "s", "character": ann, "recovered": true,
                "reason": null, "position": position, "heartbeat_ms": 25000, "limits": { "frame_bytes": 10240 } }),
        ),
        (
            "state",
            json!({ "type": "state", "what": "room", "position": position, "character": ann,
                "room": { "id": "harbour_quay", "name": "Quay", "description": "Salt.", "zone": "harbour",
                    "exits": { "east": { "name": "Fish Market", "to": "harbour_market" } },
                    "occupants": { "items": [{ "id": ID, "name": "Ben", "kind": "player", "link_lost": false }],
                        "total": 1, "next": null } } }),
        ),
        (
            "event",
            json!({ "type": "event", "kind": "chat.say", "audience": "room", "seq": 123, "position": position,
                "time": "2026-11-20T10:00:00.000Z", "from": ann, "text": "Ann says: hello",
                "data": { "message": "hello" } }),
        ),
        (
            "patch",
            json!({ "type": "patch", "target": "room", "position": position, "patch": { "name": null } }),
        ),
        (
            "reply",
            json!({ "type": "reply", "id": "c1", "ok": true, "text": "You say: hello", "key": "chat.say.self",
                "position": position }),
        ),
        (
            "error",
            json!({ "type": "error", "id": "c1", "code": "rate_limited", "message": "Too fast.",
                "retry_after_ms": 900 }),
        ),
        ("error", json!({ "type": "error", "code": "bad_frame", "message": "A frame has to be JSON." })),
        ("pong", json!({ "type": "pong", "id": "p1" })),
        ("pong", json!({ "type": "pong" })),
        (
            "bye",
            json!({ "type": "bye", "code": 4001, "reason": "Taken over.", "reconnect": false, "after_ms": 0 }),
        ),
    ]
}

#[test]
fn server_frames_read_and_write_as_they_are_written_here() {
    for (kind, value) in server_frames() {
        let frame: ServerFrame = serde_json::from_value(value.clone()).expect(kind);
        assert_ne!(frame, ServerFrame::Unknown);
        let text = serde_json::to_string(&frame).expect("json");
        assert!(text.starts_with(&format!(r#"{{"type":"{kind}""#)), "the type comes first: {text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("json"), value, "{kind}");
    }
}

#[test]
fn clients_ignore_what_they_do_not_know() {
    for (kind, value) in server_frames() {
        let known: ServerFrame = serde_json::from_value(value.clone()).expect(kind);
        let mut grown = value;
        grown["from_a_later_version"] = json!({ "deep": [1, 2] });
        let frame: ServerFrame = serde_json::from_value(grown).expect(kind);
        match (frame, known) {
            // The members of a view are its body: one more is there, and nobody looks at it.
            (ServerFrame::State(grown), ServerFrame::State(known)) => assert_eq!(grown.what, known.what),
            (grown, known) => assert_eq!(grown, known),
        }
    }
    let later = r#"{"type":"weather_map","cells":[1]}"#;
    assert_eq!(serde_json::from_str::<ServerFrame>(later).expect("read"), ServerFrame::Unknown);
}

#[test]
fn every_code_is_written_as_its_table_says() {
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).expect("json"), code.as_str());
    }
    for code in CloseCode::ALL {
        assert_eq!(code.reconnects(), code.code() >= 4500);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = client_frame(&bytes, DEPTH);
        let _ = serde_json::from_slice::<ServerFrame>(&bytes);
    }

    #[test]
    fn no_json_like_text_panics_the_reader(text in r#"(\{|\}|\[|\]|"|\\|:|,|type|hello|command|state|id|text|resume|1e9|null|\PC){0,60}"#) {
        let _ = client_frame(text.as_bytes(), DEPTH);
    }

    #[test]
    fn a_command_reads_back_whatever_is_typed(id in r"\PC{1,16}", text in any::<String>()) {
        let frame = ClientFrame::Command { id, text };
        let json = serde_json::to_string(&frame).expect("json");
        prop_assert_eq!(client_frame(json.as_bytes(), DEPTH), Ok(frame));
    }

    /// What is written as most commands are is read without a parser: with white space it goes through one.
    #[test]
    fn a_command_means_the_same_with_white_space_in_it(rest in r#"("|\\|,|:|\{|\}|\[|text|id|a|7|\u{1}|\u{e9}){0,12}"#) {
        let close = format!(r#"{{"type":"command","id":"{rest}"}}"#);
        let wide = format!(r#"{{ "type":"command","id":"{rest}"}}"#);
        prop_assert_eq!(read(&close), read(&wide));
        let close = format!(r#"{{"type":"command","id":"c","text":"{rest}"}}"#);
        let wide = format!(r#"{{ "type":"command","id":"c","text":"{rest}"}}"#);
        prop_assert_eq!(read(&close), read(&wide));
    }

    #[test]
    fn a_depth_is_refused_exactly_beyond_the_bound(depth in 2usize..40) {
        let text = format!(r#"{}{{"type":"ping"}}{}"#, r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1));
        prop_assert_eq!(read(&text) == Err(FrameErrorKind::TooDeep), depth > DEPTH);
    }
}
