//! The codec at its boundary: bytes in, messages or a violation out, however the bytes are cut.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::deflate::{self, Broken, Deflater};
use super::{Bounds, Message, Parser, Violation, close, pong, text};

const BOUNDS: Bounds = Bounds { message_bytes: 70_000, fragments: 8 };

/// A message that can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

fn keep(message: Message<'_>) -> Kept {
    match message {
        Message::Text(text) => Kept::Text(text.to_owned()),
        Message::Binary(bytes) => Kept::Binary(bytes.to_vec()),
        Message::Ping(bytes) => Kept::Ping(bytes.to_vec()),
        Message::Pong => Kept::Pong,
        Message::Close(code) => Kept::Close(code),
    }
}

/// A frame as a client sends it.
fn client(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// Feeds bytes in pieces of `step`.
fn run(bytes: &[u8], step: usize) -> (Vec<Kept>, Result<(), Violation>, bool) {
    run_with(Parser::default(), bytes, step)
}

fn run_with(mut parser: Parser, bytes: &[u8], step: usize) -> (Vec<Kept>, Result<(), Violation>, bool) {
    let mut kept = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        let mut piece = piece.to_vec();
        let fed = parser.feed(&mut piece, &BOUNDS, |message| {
            kept.push(keep(message));
            ControlFlow::Continue(())
        });
        if fed.is_err() {
            return (kept, fed, parser.is_idle());
        }
    }
    (kept, Ok(()), parser.is_idle())
}

const M: [u8; 4] = [1, 2, 3, 4];

#[test]
fn violations_are_named_by_the_header_alone() {
    let cases: &[(&str, Vec<u8>, Violation)] = &[
        ("rsv1", vec![0xC1], Violation::ReservedBit),
        ("rsv2 on control", vec![0xA9], Violation::ReservedBit),
        ("opcode 3", vec![0x83], Violation::Opcode),
        ("opcode 11", vec![0x8B], Violation::Opcode),
        ("unmasked", vec![0x81], Violation::Unmasked),
        ("fragmented ping", vec![0x09], Violation::Control),
        ("continuation of nothing", vec![0x80], Violation::Fragment),
    ];
    for (name, start, expected) in cases {
        let second = if *expected == Violation::Unmasked { 0x01 } else { 0x81 };
        let bytes = [start.as_slice(), &[second]].concat();
        assert_eq!(run(&bytes, 1).1, Err(*expected), "{name}");
    }
    let long_ping = [0x89, 0x80 | 126];
    assert_eq!(run(&long_ping, 2).1, Err(Violation::Control));
    let oversize = [&[0x81, 0x80 | 127][..], &70_001u64.to_be_bytes()].concat();
    assert_eq!(run(&oversize, 3).1, Err(Violation::TooLarge), "no payload was waited for");
    let negative = [&[0x81, 0x80 | 127][..], &u64::MAX.to_be_bytes()].concat();
    assert_eq!(run(&negative, 10).1, Err(Violation::Length));
    assert_eq!(run(&[0x81, 0x80 | 126, 0, 125], 4).1, Err(Violation::Length));
}

#[test]
fn fragments_are_joined_and_control_frames_pass_between() {
    let bytes = [
        client(0x01, "Zw\u{f6}l".as_bytes(), M),
        client(0x89, b"still there?", M),
        client(0x00, b"", [0; 4]),
        client(0x80, b"f", M),
        client(0x8A, b"", M),
    ]
    .concat();
    let expected =
        vec![Kept::Ping(b"still there?".to_vec()), Kept::Text("Zw\u{f6}lf".to_owned()), Kept::Pong];
    for step in [1, 2, 7, 1000] {
        assert_eq!(run(&bytes, step), (expected.clone(), Ok(()), true), "{step}");
    }
}

#[test]
fn a_character_may_be_cut_by_fragments_but_not_be_missing() {
    let whole = "\u{1F30D}".as_bytes();
    let cut = [client(0x01, &whole[..2], M), client(0x80, &whole[2..], M)].concat();
    assert_eq!(run(&cut, 5).0, vec![Kept::Text("\u{1F30D}".to_owned())]);
    for bad in [&whole[..3], b"\xed\xa0\x80", b"\xc0\xaf", b"\xff"] {
        assert_eq!(run(&client(0x81, bad, M), 100).1, Err(Violation::Utf8), "{bad:?}");
    }
}

#[test]
fn fragments_have_a_number_and_a_size() {
    let mut bytes = client(0x01, b"", M);
    for _ in 0..8 {
        bytes.extend(client(0x00, b"", M));
    }
    assert_eq!(run(&bytes, 9).1, Err(Violation::TooManyFragments));
    let piece = vec![b'x'; 40_000];
    let bytes = [client(0x01, &piece, M), client(0x80, &piece, M)].concat();
    assert_eq!(run(&bytes, 4096).1, Err(Violation::TooLarge));
    let inside = [client(0x01, b"a", M), client(0x81, b"b", M)].concat();
    assert_eq!(run(&inside, 100).1, Err(Violation::Fragment));
}

#[test]
fn close_codes_are_checked_and_end_the_reading() {
    let close = |payload: &[u8]| run(&[client(0x88, payload, M), client(0x81, b"x", M)].concat(), 500);
    assert_eq!(close(b"").0, vec![Kept::Close(None)]);
    for code in [1000u16, 1001, 1003, 1007, 1011, 3000, 4001, 4999] {
        assert_eq!(close(&code.to_be_bytes()).0, vec![Kept::Close(Some(code))], "{code}");
    }
    for code in [0u16, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535] {
        assert_eq!(close(&code.to_be_bytes()).1, Err(Violation::CloseCode), "{code}");
    }
    assert_eq!(close(b"\x03").1, Err(Violation::CloseCode));
    assert_eq!(close(b"\x03\xe8\xff").1, Err(Violation::Utf8));
}

#[test]
fn what_the_server_sends_has_the_shortest_header() {
    assert_eq!(&text(b"hi")[..], b"\x81\x02hi");
    assert_eq!(&text(&[b'x'; 126])[..4], &[0x81, 126, 0, 126]);
    assert_eq!(&text(&[b'x'; 65_536])[..10], &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(&close(4001, "bye")[..], b"\x88\x05\x0f\xa1bye");
    let long = close(4000, &"\u{e9}".repeat(100));
    assert!(long.len() <= 127 && std::str::from_utf8(&long[4..]).is_ok());
    assert_eq!(&pong(b"p")[..], b"\x8a\x01p");
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(
        messages in prop::collection::vec(("\\PC{0,300}", any::<[u8; 4]>(), any::<bool>()), 0..6),
        step in 1usize..600,
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (payload, mask, binary) in &messages {
            bytes.extend(client(if *binary { 0x82 } else { 0x81 }, payload.as_bytes(), *mask));
            expected.push(if *binary {
                Kept::Binary(payload.clone().into_bytes())
            } else {
                Kept::Text(payload.clone())
            });
        }
        prop_assert_eq!(run(&bytes, step), (expected, Ok(()), true));
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(bytes in prop::collection::vec(any::<u8>(), 0..400), step in 1usize..50) {
        let (whole, cut) = (run(&bytes, 1000), run(&bytes, step));
        prop_assert_eq!(whole.1, cut.1);
        prop_assert_eq!(whole.0, cut.0);
    }
}

/// The examples of RFC 7692, 7.2.3: "Hello" in several ways.
const HELLO: [&[u8]; 4] = [
    &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
    &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
    &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
    &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
];

#[test]
fn compressed_messages_are_read_where_that_was_agreed() {
    for payload in HELLO {
        let whole = client(0xC1, payload, M);
        let pieces =
            [client(0x41, &payload[..3], M), client(0x00, b"", M), client(0x80, &payload[3..], M)].concat();
        for bytes in [whole, pieces] {
            for step in [1, 3, 1000] {
                let (kept, result, idle) = run_with(Parser::new(true), &bytes, step);
                assert_eq!(
                    (kept, result, idle),
                    (vec![Kept::Text("Hello".to_owned())], Ok(()), true),
                    "{payload:?}"
                );
                assert_eq!(run(&bytes, step).1, Err(Violation::ReservedBit), "not agreed");
            }
        }
    }
    let plain = client(0x81, b"Hello", M);
    assert_eq!(run_with(Parser::new(true), &plain, 9).0, vec![Kept::Text("Hello".to_owned())]);
}

#[test]
fn compressed_nonsense_and_bombs_are_refused() {
    let deflated = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
        compress.compress_vec(bytes, &mut out, flate2::FlushCompress::Sync).expect("room enough");
        out.truncate(out.len() - 4);
        out
    };
    let cases = [
        (client(0xC1, b"\xff\xff\xff", M), Violation::Compressed),
        (client(0xC1, &deflated(&[b'a'; 70_001]), M), Violation::TooLarge),
        (client(0xC1, &deflated(&vec![0; 60_000_000]), M), Violation::TooLarge),
        (client(0xC1, &deflated(b"\xff"), M), Violation::Utf8),
        (client(0xE1, HELLO[0], M), Violation::ReservedBit),
        (client(0xC9, b"", M), Violation::ReservedBit),
        ([client(0x41, &HELLO[0][..3], M), client(0xC0, &HELLO[0][3..], M)].concat(), Violation::ReservedBit),
    ];
    for (bytes, expected) in cases {
        assert_eq!(run_with(Parser::new(true), &bytes, 10_000).1, Err(expected));
    }
    assert_eq!(run_with(Parser::new(true), &client(0xC1, &deflated(&[b'a'; 70_000]), M), 999).1, Ok(()));
    assert_eq!(deflate::inflate(&deflated(&[1; 101]), 100), Err(Broken::TooLarge));
    assert_eq!(deflate::inflate(&deflated(&[1; 100]), 100), Ok(vec![1; 100]));
    // Where there is no limit: more than was reserved at first.
    assert_eq!(deflate::inflate(&deflated(&[1; 10_000]), usize::MAX), Ok(vec![1; 10_000]));
}

/// What a client makes of one of the server's text frames.
fn read_by_client(frame: &[u8]) -> Vec<u8> {
    let start = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    match frame[0] {
        0x81 => frame[start..].to_vec(),
        0xC1 => deflate::inflate(&frame[start..], usize::MAX).expect("deflate"),
        other => panic!("no text frame: {other:x}"),
    }
}

#[test]
fn long_frames_are_compressed_once_and_short_ones_not() {
    let mut deflater = Deflater::new();
    let long = text("The quay smells of salt. ".repeat(100).as_bytes());
    let first = deflater.frame(&long);
    assert!(first.len() < long.len() / 4 && first.as_ptr() == deflater.frame(&long).as_ptr());
    assert_eq!(read_by_client(&first), "The quay smells of salt. ".repeat(100).as_bytes());
    let short = text(&[b'a'; 900]);
    assert_eq!(short.as_ptr(), deflater.frame(&short).as_ptr());
    let other = text("The market smells of fish. ".repeat(100).as_bytes());
    assert_eq!(read_by_client(&deflater.frame(&other)), "The market smells of fish. ".repeat(100).as_bytes());
}

#[test]
fn offers_are_taken_or_left() {
    let cases = [
        ("permessage-deflate", true),
        ("permessage-deflate; client_max_window_bits", true),
        ("permessage-deflate; client_max_window_bits=15", true),
        ("permessage-deflate; client_max_window_bits=\"9\"", true),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", true),
        ("x-webkit-deflate-frame, permessage-deflate", true),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
        ("permessage-deflate; server_max_window_bits=10", false),
        ("permessage-deflate; client_max_window_bits=7", false),
        ("permessage-deflate; client_max_window_bits=08", false),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", false),
        ("permessage-deflate; client_no_context_takeover=1", false),
        ("permessage-deflate; later", false),
        ("permessage-deflate-2", false),
        ("", false),
    ];
    for (header, expected) in cases {
        assert_eq!(deflate::accepts(header), expected, "{header}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_survives_compression(words in proptest::collection::vec("[a-z ]{1,12}|\\PC{1,6}", 1..400)) {
        let words = words.concat();
        let frame = text(words.as_bytes());
        let sent = Deflater::new().frame(&frame);
        prop_assert!(sent.len() <= frame.len());
        prop_assert_eq!(read_by_client(&sent), words.as_bytes());
    }

    #[test]
    fn no_compressed_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), max in 0usize..5000) {
        if let Ok(out) = deflate::inflate(&bytes, max) {
            prop_assert!(out.len() <= max);
        }
    }
}
