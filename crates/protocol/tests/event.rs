//! What is read where it lies is what decoding gives, and what is written back to front decodes to what was meant.

mod sample;

use proptest::prelude::*;
use prost::Message as _;
use tidings_protocol::proto::world::v1 as wire;
use tidings_protocol::text::{Arg, TextRef};
use tidings_protocol::{Catalogue, EventRef, MessageWriter, Text};

fn rendered(text: Option<&wire::Text>) -> Option<String> {
    text.map(|text| Catalogue::builtin().render(&Text::from(text.clone()), "en"))
}

fn rendered_ref(text: Option<TextRef<'_>>) -> Option<String> {
    text.map(|text| Catalogue::builtin().render(text, "en"))
}

/// Whether both say the same. A text is compared as it is rendered: that is all that is done with one.
fn same(event: &wire::Event, read: &EventRef<'_>) {
    let from = event.from.as_ref().map(|from| (from.id.as_str(), from.name.as_str(), from.account.as_str()));
    assert_eq!(read.from.map(|from| (from.id, from.name, from.account)), from);
    let origin = event.origin.as_ref().map(|origin| (origin.session.as_str(), origin.id.as_str()));
    assert_eq!(read.origin.map(|origin| (origin.session, origin.id)), origin);
    assert_eq!((read.kind, read.time_ms, read.data), (&*event.kind, event.time_ms, &*event.data));
    assert_eq!((&read.only, &read.except), (&refs(&event.only), &refs(&event.except)));
    assert_eq!((read.subject, read.patch, read.channel), (&*event.subject, &*event.patch, &*event.channel));
    assert_eq!((&read.audiences, &read.mute, &read.bye), (&event.audiences, &event.mute, &event.bye));
    assert_eq!((read.always, read.refused), (event.always, event.refused));
    assert_eq!(rendered_ref(read.text), rendered(event.text.as_ref()));
    assert_eq!(rendered_ref(read.own), rendered(event.own.as_ref()));
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn an_event_reads_as_it_decodes() {
    for event in [wire::Event::default(), sample::event()] {
        let bytes = event.encode_to_vec();
        same(&event, &EventRef::read(&bytes).expect("an event"));
    }
}

fn any_text() -> impl Strategy<Value = Text> {
    let name = "[a-z]{1,6}";
    let leaf = ("[a-z.]{0,12}", prop::collection::vec((name, ".{0,40}"), 0..4)).prop_map(|(key, args)| {
        args.into_iter().fold(Text::new(key), |text, (name, plain)| text.with(name, plain))
    });
    leaf.prop_recursive(4, 24, 3, move |inner| {
        (inner.clone(), name, name, inner.clone(), prop::collection::vec(inner, 0..3))
            .prop_map(|(text, one, many, inner, lines)| text.with(one, inner).with(many, Arg::Lines(lines)))
    })
}

proptest! {
    #[test]
    fn a_text_is_written_as_prost_encodes_it(text in any_text()) {
        let written = MessageWriter::default().write(|w| w.words(5, &text));
        let expected = wire::Event { text: Some(text.clone().into()), ..wire::Event::default() };
        prop_assert_eq!(wire::Event::decode(written.clone()), Ok(expected));
        let read = EventRef::read(&written).expect("an event");
        prop_assert_eq!(rendered_ref(read.text), Some(Catalogue::builtin().render(&text, "en")));
    }

    #[test]
    fn numbers_and_texts_of_any_size_are_written_as_they_are(
        time in any::<u64>(),
        texts in prop::collection::vec(".{0,3000}", 0..4),
        refused in any::<bool>(),
    ) {
        let mut writer = MessageWriter::default();
        for _ in 0..2 {
            let written = writer.write(|w| {
                w.flag(17, refused);
                texts.iter().rev().for_each(|text| w.member(8, text));
                w.number(2, time);
            });
            let event = wire::Event { time_ms: time.cast_signed(), only: texts.clone(), refused, ..wire::Event::default() };
            prop_assert_eq!(written, event.encode_to_vec());
        }
    }

    #[test]
    fn what_decodes_is_read_and_says_the_same(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample::event().encode_to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(event) = wire::Event::decode(&*bytes) {
            let read = EventRef::read(&bytes);
            prop_assert!(read.is_ok(), "{read:?}");
            let read = read.expect("looked at");
            prop_assert_eq!((read.kind, read.time_ms, read.data), (&*event.kind, event.time_ms, &*event.data));
            prop_assert_eq!((&read.only, &read.except), (&refs(&event.only), &refs(&event.except)));
            prop_assert_eq!((read.subject, read.channel), (&*event.subject, &*event.channel));
        }
    }
}
