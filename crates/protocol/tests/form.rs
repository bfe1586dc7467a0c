//! The check of a message's form finds what decoding finds.

mod sample;

use proptest::prelude::*;
use prost::Message as _;
use tidings_protocol::form::{FormError, form};
use tidings_protocol::proto::world::v1 as wire;
use tidings_protocol::proto::world::v1::zone_request::Ask;

use sample::{event, text};

/// What is found good decodes, and what is found bad does not: but for maps, whose entries prost reads whatever they say
/// of how they are written.
fn agree<M: prost::Message + Default>(name: &str, bytes: &[u8]) {
    let (checked, decoded) = (form(name).expect("a table").check(bytes), M::decode(bytes).map(drop));
    let fine = checked == Err(FormError::Entry) || checked.is_ok() == decoded.is_ok();
    assert!(fine, "{checked:?} and {decoded:?} of {bytes:?} as {name}");
}

/// A message that crosses the bus, with something in each field.
struct Sample {
    name: &'static str,
    agree: fn(&str, &[u8]),
    bytes: Vec<u8>,
}

impl Sample {
    fn new<M: prost::Message + Default>(name: &'static str, message: &M) -> Self {
        Self { name, agree: agree::<M>, bytes: message.encode_to_vec() }
    }

    fn agrees(&self, bytes: &[u8]) {
        (self.agree)(self.name, bytes);
    }
}

fn samples() -> Vec<Sample> {
    let asks = asks().into_iter().map(|ask| wire::ZoneRequest { ask: Some(ask) });
    let asks = asks.map(|request| Sample::new("tidings.world.v1.ZoneRequest", &request));
    let record = wire::ZoneRecord { time_ms: -1, effects: vec![0, 0xff].into() };
    let ownership = wire::Ownership { host: "host".into(), time_ms: i64::MAX };
    let others = [
        Sample::new(EVENT, &event()),
        Sample::new("tidings.world.v1.ZoneRecord", &record),
        Sample::new("tidings.world.v1.Ownership", &ownership),
    ];
    asks.chain(others).collect()
}

const EVENT: &str = "tidings.world.v1.Event";

fn asks() -> Vec<Ask> {
    let word = || "word".to_owned();
    let origin = || Some(wire::Origin { session: word(), id: word() });
    let bye = Some(wire::Bye { code: 4001, reason: word() });
    let character = wire::Character {
        id: word(),
        name: "größe".into(),
        account: word(),
        role: word(),
        zone: word(),
        room: word(),
        state: word(),
        guest: true,
    };
    let handover = wire::Handover {
        move_id: word(),
        from_zone: word(),
        from_room: word(),
        from_owner_seq: u64::MAX,
        to_room: word(),
        traveller: word(),
    };
    let link = wire::Link { session: word(), character: word(), kind: 1, grace_ms: 300, generation: 2 };
    vec![
        Ask::Command(wire::Command { origin: origin(), character: word(), text: word() }),
        Ask::Enter(wire::Enter {
            session: word(),
            character: Some(character),
            generation: u64::MAX,
            view_locale: word(),
        }),
        Ask::Leave(wire::Leave { origin: origin(), character: word(), bye }),
        Ask::Link(link),
        Ask::State(wire::StateQuery { character: word(), what: word(), page: word(), locale: word() }),
        Ask::Handover(handover),
        Ask::Control(wire::Control { fact: word() }),
    ]
}

#[test]
fn what_was_encoded_has_the_form() {
    for sample in samples() {
        let bytes = &sample.bytes;
        form(sample.name).expect("a table").check(bytes).expect("good");
        (0..bytes.len()).for_each(|cut| sample.agrees(&bytes[..cut]));
    }
}

#[test]
fn an_entry_of_a_map_says_how_it_is_written_and_so_does_every_field() {
    // `variants` of an event and `args` of a text, said to be numbers; then `kind`, `from` and `bye`.
    for (bytes, expected) in [
        (&[12 << 3, 0][..], FormError::Entry),
        (&[5 << 3 | 2, 2, 2 << 3, 0], FormError::Entry),
        (&[1 << 3, 0], FormError::Wire),
        (&[3 << 3, 0], FormError::Wire),
        (&[0x90, 0x01, 0], FormError::Wire),
    ] {
        assert_eq!(form(EVENT).expect("a table").check(bytes), Err(expected), "{bytes:?}");
        agree::<wire::Event>(EVENT, bytes);
    }
}

#[test]
fn messages_too_deep_in_each_other_are_refused_where_decoding_refuses_them() {
    for depth in 20..40 {
        let deep = wire::Event { text: Some(text(depth)), ..wire::Event::default() };
        agree::<wire::Event>(EVENT, &deep.encode_to_vec());
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

/// Decoding reads a length where such an entry's key says eight bytes, of which there are seven.
#[test]
fn an_entry_that_is_cut_off_and_not_written_as_one_is_no_entry() {
    let bytes = [97, 0, 173, 1, 0, 0, 0, 0];
    assert_eq!(form(EVENT).expect("a table").check(&bytes), Err(FormError::Entry));
    agree::<wire::Event>(EVENT, &bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn any_bytes_are_judged_as_decoding_judges_them(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        samples().iter().for_each(|sample| sample.agrees(&bytes));
    }

    #[test]
    fn a_message_with_some_bytes_changed_too(sample in any::<prop::sample::Index>(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let sample = samples().swap_remove(sample.index(samples().len()));
        let mut bytes = sample.bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        sample.agrees(&bytes);
    }

    #[test]
    fn small_numbers_make_groups_and_fields_of_every_kind(bytes in proptest::collection::vec(0u8..20, 0..48)) {
        samples().iter().for_each(|sample| sample.agrees(&bytes));
    }
}
