//! permessage-deflate with a client that keeps to the RFC by another hand: raw frames, compressed both ways.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::{Compress, FlushCompress};
use serde_json::{Value, json};
use std::net::TcpStream;

use crate::harness::House;

struct Raw(TcpStream);

/// A frame that came: whether it was compressed, its bytes on the wire, what it says.
struct Came {
    compressed: bool,
    wire: usize,
    text: String,
}

impl Raw {
    fn open(house: &House) -> Self {
        let address = house.api.address();
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.contains("sec-websocket-extensions: permessage-deflate;"), "{answer}");
        Self(stream)
    }

    /// Sends a frame, compressed, under a mask of zeros.
    fn send(&mut self, frame: &Value) {
        let text = frame.to_string();
        let mut payload = Vec::with_capacity(text.len() + 64);
        let mut compress = Compress::new(Compression::default(), false);
        compress.compress_vec(text.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
        payload.truncate(payload.len() - 4);
        let mut bytes = vec![0xC1, 0x80 | 126];
        bytes.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        if payload.len() < 126 {
            bytes = vec![0xC1, 0x80 | u8::try_from(payload.len()).unwrap()];
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&payload);
        self.0.write_all(&bytes).unwrap();
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn next(&mut self) -> Came {
        let [first, second] = self.take();
        let wire = match second {
            126 => usize::from(u16::from_be_bytes(self.take())),
            127 => usize::try_from(u64::from_be_bytes(self.take())).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; wire];
        self.0.read_exact(&mut payload).unwrap();
        let compressed = first & 0x40 != 0;
        if compressed {
            // What a flush ends with, and an empty last block for a decoder that wants an end.
            payload.extend_from_slice(&[0, 0, 0xff, 0xff, 0x01, 0, 0, 0xff, 0xff]);
            let mut text = Vec::new();
            DeflateDecoder::new(&payload[..]).read_to_end(&mut text).unwrap();
            payload = text;
        }
        Came { compressed, wire, text: String::from_utf8(payload).unwrap() }
    }

    /// The next frame of a type.
    fn find(&mut self, kind: &str) -> Came {
        loop {
            let came = self.next();
            let value: Value = serde_json::from_str(&came.text).unwrap();
            if value["type"] == kind {
                return came;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_frames_come_compressed_and_a_welcome_never() {
    let house = House::new().await;
    let session = house.api.guest().await.unwrap();
    tokio::task::block_in_place(|| {
        let mut raw = Raw::open(&house);
        raw.send(&json!({ "type": "hello", "token": session.access_token }));
        assert!(!raw.find("welcome").compressed, "it holds a secret");
        raw.find("state");
        for _ in 0..3 {
            raw.send(&json!({ "type": "state", "what": "commands" }));
            let commands = raw.find("state");
            assert!(commands.compressed && commands.wire < commands.text.len() / 2);
            assert!(commands.text.contains(r#""what":"commands""#));
        }
        raw.send(&json!({ "type": "command", "id": "c1", "text": "say hello" }));
        let reply = raw.find("reply");
        assert!(!reply.compressed && reply.text.contains("You say: hello"), "{}", reply.text);
        raw.send(&json!({ "type": "ping", "id": "x".repeat(9000) }));
        assert!(raw.find("error").text.contains("bad_frame"));
    });
}
