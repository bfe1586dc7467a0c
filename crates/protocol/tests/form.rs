//! The check of a message's form finds what decoding finds.

use proptest::prelude::*;
use prost::Message as _;
use tidings_protocol::form::{FormError, form};
use tidings_protocol::proto::world::v1 as wire;

/// What is found good decodes, and what is found bad does not: but that prost reads a map whatever its key says of how
/// it is written.
fn agree(bytes: &[u8]) {
    let event = form("tidings.world.v1.Event").expect("a table");
    let (checked, decoded) = (event.check(bytes), wire::Event::decode(bytes));
    let fine = checked == Err(FormError::Wire) || checked.is_ok() == decoded.is_ok();
    assert!(fine, "{checked:?} and {decoded:?} of {bytes:?}");
}

fn text(depth: u32) -> wire::Text {
    let inner = (depth > 0).then(|| wire::arg::Value::Text(text(depth - 1)));
    let lines = wire::Lines { lines: vec![wire::Text::default(); 2] };
    let args = [
        ("inner".to_owned(), wire::Arg { value: inner }),
        ("lines".to_owned(), wire::Arg { value: Some(wire::arg::Value::Lines(lines)) }),
        ("plain".to_owned(), wire::Arg { value: Some(wire::arg::Value::Plain("größe".into())) }),
    ];
    wire::Text { key: "chat.say".into(), args: args.into_iter().collect() }
}

fn event() -> wire::Event {
    wire::Event {
        kind: "chat.say".into(),
        time_ms: -1,
        from: Some(wire::Actor { name: "Ann".into(), kind: 2, staff: true, ..wire::Actor::default() }),
        text: Some(text(3)),
        only: vec!["a".into(), String::new()],
        variants: [("low".to_owned(), text(1))].into_iter().collect(),
        mute: Some(wire::MuteChange { until_ms: i64::MAX, seq: u64::MAX, ..wire::MuteChange::default() }),
        bye: Some(wire::Bye { code: 4001, reason: "Gone.".into() }),
        ..wire::Event::default()
    }
}

#[test]
fn what_was_encoded_has_the_form() {
    let bytes = event().encode_to_vec();
    form("tidings.world.v1.Event").expect("a table").check(&bytes).expect("good");
    (0..bytes.len()).for_each(|cut| agree(&bytes[..cut]));
}

#[test]
fn messages_too_deep_in_each_other_are_refused_where_decoding_refuses_them() {
    for depth in 20..40 {
        agree(&wire::Event { text: Some(text(depth)), ..wire::Event::default() }.encode_to_vec());
    }
}

#[test]
fn every_message_has_its_form_and_no_other_name_has() {
    for name in
        ["tidings.world.v1.ZoneRequest", "tidings.world.v1.Text.ArgsEntry", "tidings.services.v1.Present"]
    {
        assert!(form(name).is_some(), "{name}");
    }
    assert!(form("Event").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn any_bytes_are_judged_as_decoding_judges_them(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        agree(&bytes);
    }

    #[test]
    fn a_message_with_some_bytes_changed_too(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = event().encode_to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        agree(&bytes);
    }

    #[test]
    fn small_numbers_make_groups_and_fields_of_every_kind(bytes in proptest::collection::vec(0u8..20, 0..48)) {
        agree(&bytes);
    }
}
