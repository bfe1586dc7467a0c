//! What the tests of messages look at.

use tidings_protocol::proto::world::v1 as wire;

/// A text with texts in it, so deep.
pub fn text(depth: u32) -> wire::Text {
    let inner = (depth > 0).then(|| wire::arg::Value::Text(text(depth - 1)));
    let lines = wire::Lines { lines: vec![wire::Text::default(); 2] };
    let args = [
        ("inner".to_owned(), wire::Arg { value: inner }),
        ("lines".to_owned(), wire::Arg { value: Some(wire::arg::Value::Lines(lines)) }),
        ("plain".to_owned(), wire::Arg { value: Some(wire::arg::Value::Plain("größe".into())) }),
    ];
    wire::Text { key: "chat.say".into(), args: args.into_iter().collect() }
}

/// An event with something in each field.
pub fn event() -> wire::Event {
    let words = || vec!["a".to_owned(), String::new()];
    wire::Event {
        kind: "chat.say".into(),
        time_ms: -1,
        from: Some(wire::Actor {
            id: "i".into(),
            name: "Ann".into(),
            account: "a".into(),
            kind: 2,
            staff: true,
        }),
        origin: Some(wire::Origin { session: "s".into(), id: "c1".into() }),
        text: Some(text(3)),
        own: Some(text(0)),
        data: "{}".into(),
        only: words(),
        subject: "s".into(),
        audiences: Some(wire::Audiences { before: words(), after: words() }),
        patch: "{}".into(),
        variants: [("low".to_owned(), text(1))].into_iter().collect(),
        mute: Some(wire::MuteChange {
            account: "a".into(),
            target_account: "t".into(),
            name: "Ben".into(),
            channel: "say".into(),
            until_ms: i64::MAX,
            removed: true,
            seq: u64::MAX,
        }),
        always: true,
        channel: "say".into(),
        except: words(),
        refused: true,
        bye: Some(wire::Bye { code: 4001, reason: "Gone.".into() }),
        record: b"{}".as_slice().into(),
    }
}
