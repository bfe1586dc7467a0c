//! What the members of a room find at their sockets.

use std::net::Ipv4Addr;
use std::rc::Rc;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::super::Shard;
use super::super::commands::tests::{session, shared};
use super::super::pace::Pace;
use super::super::table::Session;
use super::*;
use crate::http::ConnInfo;
use crate::ws;
use crate::ws::deflate::{self, COMPRESS_FROM_BYTES};

/// A room, and sockets in it.
struct Room {
    shard: Rc<Shard>,
    pace: Pace,
    seq: u64,
}

impl Room {
    fn new() -> Self {
        Self { shard: Shard::new(0, shared(), CancellationToken::new()), pace: Pace::default(), seq: 0 }
    }

    /// One more member.
    async fn member(&self, deflate: bool) -> (At, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let info = ConnInfo { address: address.ip(), origin_present: false, deflate };
        let stream = accepted.expect("a socket").0;
        // The runtime knows that it takes bytes once it was asked.
        stream.writable().await.expect("a socket");
        let mut inner = self.shard.inner.borrow_mut();
        let at = inner.insert(stream, info);
        let live = Session { inflight: None, ..session() };
        inner.conn(at).expect("the connection").phase = Phase::Live(Box::new(live));
        inner.join_audience(at.key, &Encoded::sample(0).audience, Hearing::Heard);
        (at, client.expect("a socket"))
    }

    /// Says something of so many bytes; answers the frame.
    fn says(&mut self, bytes: usize) -> Bytes {
        self.seq += 1;
        let frame = ws::text(&vec![b'a' + (self.seq % 26) as u8; bytes]);
        let event = Encoded { frame: frame.clone(), ..Encoded::sample(self.seq) };
        let batch = ToShard::Batch { events: vec![Arc::new(event)], through: self.seq };
        self.shard.take(batch, &mut self.pace);
        frame
    }

    fn writes(&mut self) {
        self.shard.write_turn(&mut self.pace);
    }
}

async fn reads(client: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    let read = tokio::time::timeout(std::time::Duration::from_secs(10), client.read_exact(&mut got));
    read.await.expect("nothing comes").expect("bytes");
    assert!(got == expected, "{} bytes", expected.len());
}

#[tokio::test]
async fn everybody_gets_the_same_however_it_lies() {
    let mut room = Room::new();
    let ((_, mut plain), (_, mut other)) = (room.member(false).await, room.member(false).await);
    let (_, mut deflating) = room.member(true).await;
    for round in 0..3 {
        let mut said = Vec::new();
        for bytes in [40, 300, 500, 300, 40 + round] {
            said.extend_from_slice(&room.says(bytes));
        }
        room.writes();
        for client in [&mut plain, &mut other, &mut deflating] {
            reads(client, &said).await;
        }
        let long = room.says(COMPRESS_FROM_BYTES);
        let short = room.says(200);
        room.writes();
        let both = [&long[..], &short].concat();
        reads(&mut plain, &both).await;
        reads(&mut other, &both).await;
        let mut header = [0; 2];
        deflating.read_exact(&mut header).await.expect("bytes");
        assert_eq!(header[0], 0xC1, "compressed");
        let mut small = vec![0; usize::from(header[1])];
        deflating.read_exact(&mut small).await.expect("bytes");
        assert_eq!(deflate::inflate(&small, usize::MAX).expect("deflate"), long[4..]);
        reads(&mut deflating, &short).await;
    }
}

#[tokio::test]
async fn who_leaves_the_room_gets_what_was_said_before() {
    let mut room = Room::new();
    let members = [room.member(false).await, room.member(false).await];
    let said = [&room.says(300)[..], &room.says(300)].concat();
    for (at, _) in &members {
        room.shard.inner.borrow_mut().leave_audience(at.key, Encoded::sample(0).audience.id);
    }
    room.writes();
    for (_, mut client) in members {
        reads(&mut client, &said).await;
    }
}

#[tokio::test]
async fn a_line_before_everybodys_reply_is_written_too() {
    let mut room = Room::new();
    let members = [room.member(false).await, room.member(false).await];
    let (line, reply) = (room.says(300), ws::text(b"your own reply"));
    for (at, _) in &members {
        room.shard.inner.borrow_mut().push_frame(at.key, &reply, None);
    }
    room.writes();
    for (_, mut client) in members {
        reads(&mut client, &[&line[..], &reply].concat()).await;
    }
}

/// A reply between two lines lies elsewhere, and a socket that takes no more has the rest later.
#[tokio::test]
async fn what_is_between_keeps_its_place_and_what_is_left_comes_later() {
    let mut room = Room::new();
    let ((at, mut slow), (_, mut other)) = (room.member(false).await, room.member(false).await);
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    let mut rounds = 0;
    while !room.shard.inner.borrow_mut().conn(at).expect("it is there").blocked {
        rounds += 1;
        assert!(rounds < 2_000, "the socket takes everything");
        let first = room.says(9_000);
        let reply = ws::text(b"your own reply");
        room.shard.inner.borrow_mut().push_frame(at.key, &reply, None);
        let second = room.says(700);
        room.writes();
        said.extend_from_slice(&[&first[..], &reply, &second].concat());
        heard = [&first[..], &second].concat();
        reads(&mut other, &heard).await;
    }
    assert!(!heard.is_empty());
    // More is said while the rest waits, and is not written yet when the socket takes bytes again.
    said.extend_from_slice(&room.says(500));
    let mut got = vec![0; said.len()];
    let mut at_place = 0;
    while at_place < said.len() {
        tokio::select! {
            read = slow.read(&mut got[at_place..]) => at_place += read.expect("bytes"),
            () = tokio::time::sleep(std::time::Duration::from_millis(5)) => {
                let _ = room.shard.inner.borrow_mut().flush(at);
            }
        }
    }
    assert!(got == said);
}
